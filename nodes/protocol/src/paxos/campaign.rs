//! Phase 1: a node takes a ballot, asks for promises for all open slots at once, and learns from them what it must propose
//! (Paxos Made Simple §2.2 and §3).

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;

use super::ballot::Ballot;
use super::leader::Leader;
use super::log::Entry;
use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, Nanos, NodeId, Note, Payload};
use crate::kv::Response;
use crate::outbox::After;

/// A promise that was given.
#[derive(Debug)]
pub(super) struct Promise {
    committed: LogIndex,
    accepted: Vec<Arc<Entry>>,
}

/// An attempt to lead.
#[derive(Debug)]
pub(super) struct Campaign {
    ballot: Ballot,
    promises: BTreeMap<NodeId, Promise>,
    /// When those who have not answered are asked again.
    pub(super) again_at: Nanos,
    /// It led in a lower ballot until now, and clients wait still.
    pub(super) renews: bool,
}

impl Replica {
    /// Takes a ballot above all that this node has heard of. A leader that does so keeps its clients waiting.
    pub(super) fn campaign(&mut self) {
        let renews = matches!(self.office, Office::Leader(_));
        let ballot = self.fresh_ballot();
        let own = ballot > self.promised;
        if own {
            self.promise(ballot);
        }
        self.leader = None;
        self.outbox.note(Note::Campaigning(ballot));
        let again_at = Nanos(self.now.0.saturating_add(self.config.heartbeat_interval.0));
        self.office =
            Office::Candidate(Campaign { ballot, promises: BTreeMap::new(), again_at, renews });
        self.reset_patience();
        self.waits_forever();
        if own {
            let promise = self.promise_of(ballot, self.committed);
            self.outbox.then(After::HardState, promise);
        }
        let committed = self.committed;
        self.broadcast(After::HardState, &Message::Prepare { ballot, committed });
    }

    /// The mutant P15 asks once. Whether this node is it, and has.
    pub(super) fn waits_forever(&mut self) -> bool {
        const FOREVER: u64 = 3_600_000_000_000;
        let Office::Candidate(campaign) = &mut self.office else { return false };
        let forever = self.config.is(Mutant::NeverAskAgain);
        if forever {
            let at = Nanos(self.now.0.saturating_add(FOREVER));
            (campaign.again_at, self.election_due) = (at, at);
        }
        forever
    }

    fn fresh_ballot(&mut self) -> Ballot {
        if self.config.is(Mutant::RandomBallots) {
            return Ballot { round: self.rng.random_range(1..=100), node: NodeId(0) };
        }
        self.round += 1;
        let shared = self.config.is(Mutant::SharedBallots);
        let node = if shared { NodeId(0) } else { self.config.id };
        Ballot { round: self.round, node }
    }

    /// Asks those again who have not answered: the question may be lost.
    pub(super) fn prepare_again(&mut self) {
        let Office::Candidate(campaign) = &mut self.office else { return };
        campaign.again_at = Nanos(self.now.0.saturating_add(self.config.heartbeat_interval.0));
        let (ballot, committed) = (campaign.ballot, self.committed);
        let silent = |peer: &NodeId| !campaign.promises.contains_key(peer);
        for peer in self.config.peers().filter(silent) {
            self.outbox.send(After::HardState, peer, Message::Prepare { ballot, committed });
        }
    }

    pub(super) fn on_promise(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        committed: LogIndex,
        accepted: Vec<Arc<Entry>>,
    ) {
        let stale = self.config.is(Mutant::CountStalePromises);
        let Office::Candidate(campaign) = &mut self.office else { return };
        if campaign.ballot != ballot && !stale {
            return;
        }
        campaign.promises.insert(from, Promise { committed, accepted });
        if campaign.promises.len() >= self.config.quorum() {
            self.lead();
        }
    }

    /// A higher ballot is about.
    pub(super) fn on_reject(&mut self, from: NodeId, ballot: Ballot, promised: Ballot) {
        match &mut self.office {
            Office::Leader(leader) if leader.ballot == ballot && promised > ballot => {
                leader.outbid = true;
                if let Some(acceptor) = leader.acceptors.get_mut(&from) {
                    acceptor.heard_at = self.now;
                }
            }
            Office::Candidate(campaign)
                if campaign.ballot == ballot && self.config.is(Mutant::NoBackOff) =>
            {
                self.campaign();
            }
            // Others may promise still; the wait for the next attempt goes on.
            _ => {}
        }
    }

    /// A quorum has promised: proposes for every slot that is open, what the promises say.
    fn lead(&mut self) {
        let Office::Candidate(campaign) = std::mem::replace(&mut self.office, Office::Follower)
        else {
            return;
        };
        let (ballot, promises) = (campaign.ballot, campaign.promises);
        let (chosen, who) = promises
            .iter()
            .map(|(node, promise)| (promise.committed, *node))
            .max_by_key(|(committed, _)| *committed)
            .filter(|(committed, _)| *committed > self.committed)
            .unwrap_or((self.committed, self.config.id));
        let adopted = self.adopt(chosen, promises.into_values().flat_map(|p| p.accepted));
        let end = adopted.last_key_value().map_or(chosen, |(slot, _)| *slot);
        self.renew_pending(ballot, chosen, &adopted);
        self.learner.must_reach(who, chosen);
        self.failures = 0;
        self.leader = Some(self.config.id);
        self.outbox.note(Note::Leading(ballot));
        let mut leader = Leader::new(ballot, chosen, self.config.peers(), self.now);
        leader.opened = end;
        self.office = Office::Leader(leader);
        for slot in (chosen.0 + 1..=end.0).map(LogIndex) {
            let payload = adopted.get(&slot).map_or(Payload::Noop, |entry| entry.payload.clone());
            self.propose(payload);
        }
        self.tick_leader();
    }

    /// For each slot after what somebody knows to be chosen, the value accepted under the highest ballot (P2c).
    fn adopt(
        &mut self,
        chosen: LogIndex,
        accepted: impl Iterator<Item = Arc<Entry>>,
    ) -> BTreeMap<LogIndex, Arc<Entry>> {
        let own_end = self.log.last();
        let mut adopted: BTreeMap<LogIndex, Arc<Entry>> = BTreeMap::new();
        for entry in accepted.filter(|entry| entry.slot > chosen) {
            if self.config.is(Mutant::OwnGapOnly)
                && entry.slot <= own_end
                && self.log.get(entry.slot).is_none_or(|own| own.ballot != entry.ballot)
            {
                continue;
            }
            let held = adopted.get(&entry.slot);
            let first = self.config.is(Mutant::AdoptFirst);
            if held.is_none_or(|held| held.ballot < entry.ballot && !first) {
                adopted.insert(entry.slot, entry);
            }
        }
        self.ignore(&mut adopted);
        adopted
    }

    /// What mutants make of what was accepted.
    fn ignore(&mut self, adopted: &mut BTreeMap<LogIndex, Arc<Entry>>) {
        for (slot, entry) in adopted {
            let payload = if self.config.is(Mutant::FillWithNoop) {
                Payload::Noop
            } else if self.config.is(Mutant::OwnValue)
                && let Some(own) = self.log.get(*slot).filter(|own| own.payload != entry.payload)
            {
                own.payload.clone()
            } else {
                continue;
            };
            *entry = Arc::new(Entry { payload, ..Entry::clone(entry) });
        }
    }

    /// What was proposed under this node's lower ballot and is adopted is proposed again; the rest is lost, or chosen and not known yet.
    fn renew_pending(
        &mut self,
        ballot: Ballot,
        chosen: LogIndex,
        adopted: &BTreeMap<LogIndex, Arc<Entry>>,
    ) {
        let mut lost = Vec::new();
        self.pending.retain(|slot, (under, id)| {
            let same = adopted.get(slot).is_some_and(|entry| entry.ballot == *under)
                || self.config.is(Mutant::AnswerBySlot);
            if same {
                *under = ballot;
            } else if *slot > chosen {
                lost.push(*id);
            }
            same || *slot <= chosen
        });
        lost.into_iter().for_each(|id| self.outbox.reply(id, Response::Unknown));
    }
}
