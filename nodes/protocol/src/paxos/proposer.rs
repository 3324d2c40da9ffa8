//! Phase 2: a leader proposes, counts who has accepted, and knows what is chosen (Paxos Made Simple §2.2, §3; Paxos Made Live §4.2).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ballot::Ballot;
use super::leader::Proposal;
use super::log::{Entry, fitting};
use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, Nanos, NodeId, Payload};
use crate::outbox::After;

impl Replica {
    /// What a leader does at each heartbeat.
    pub(super) fn tick_leader(&mut self) {
        let patience = self.config.election_timeout.end().0;
        let deserted = self.now.0 >= self.quorum_heard_at().0.saturating_add(patience);
        let Office::Leader(leader) = &mut self.office else { return };
        leader.heartbeat_due = Nanos(self.now.0.saturating_add(self.config.heartbeat_interval.0));
        if deserted && self.config.check_quorum() {
            self.leader = None;
            self.step_down();
            self.reset_patience();
            return;
        }
        let outbid = leader.outbid;
        if self.catch_up_as_leader() || outbid {
            self.learner.moved();
            self.campaign();
            return;
        }
        let Office::Leader(leader) = &mut self.office else { return };
        self.config.peers().for_each(|peer| leader.rewind(peer));
        self.beat();
    }

    /// When a quorum was heard from last, this node included.
    pub(super) fn quorum_heard_at(&self) -> Nanos {
        self.quorum_reaches(|acceptor| acceptor.heard_at, self.now)
    }

    /// The largest value that a quorum reaches, `own` being this node's.
    pub(super) fn quorum_reaches<T: Ord + Copy>(
        &self,
        value: impl Fn(&super::leader::Acceptor) -> T,
        own: T,
    ) -> T {
        let Office::Leader(leader) = &self.office else { return own };
        let mut values: Vec<T> = leader.acceptors.values().map(value).chain([own]).collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        values.get(self.config.quorum() - 1).copied().unwrap_or(own)
    }

    /// Proposes what clients wait for, as far as slots may be open.
    pub(super) fn propose_waiting(&mut self) {
        while let Office::Leader(leader) = &self.office
            && leader.last.0 < self.committed.0 + self.config.open_slots_max.max(1)
            && let Some((id, payload)) = self.waiting.pop_front()
        {
            let ballot = leader.ballot;
            if let Some(slot) = self.propose(payload) {
                self.pending.insert(slot, (ballot, id));
            }
        }
    }

    /// Proposes for the next slot, and accepts that as its own acceptor.
    pub(super) fn propose(&mut self, payload: Payload) -> Option<LogIndex> {
        let Office::Leader(leader) = &mut self.office else { return None };
        leader.last = LogIndex(leader.last.0 + 1);
        let entry = Entry { slot: leader.last, ballot: leader.ballot, payload };
        let shared = Arc::new(entry.clone());
        leader
            .proposals
            .push_back(Proposal { entry: Arc::clone(&shared), accepted_by: BTreeSet::new() });
        let slot = leader.last;
        self.log.put(shared);
        if self.config.is(Mutant::AcceptUnsynced) {
            self.outbox.put_unsynced([entry]);
        } else {
            self.outbox.put([entry]);
        }
        Some(slot)
    }

    /// Sends proposals to whoever can take more, and counts this node's own when they are durable.
    pub(super) fn feed(&mut self) {
        let Office::Leader(leader) = &mut self.office else { return };
        let (ballot, committed) = (leader.ballot, self.committed);
        if leader.stored < leader.last {
            let (first, last) = (LogIndex(leader.stored.0 + 1), leader.last);
            leader.stored = last;
            let accepted = Message::Accepted { ballot, first, last };
            self.outbox.then(After::Log, accepted);
        }
        let (count, bytes) = (self.config.accept_entries_max, self.config.accept_bytes_max);
        for peer in self.config.peers() {
            while let Some(acceptor) = leader.acceptors.get(&peer)
                && acceptor.in_flight < self.config.accepts_in_flight_max.max(1)
            {
                let entries = fitting(leader.from(acceptor.next), count, bytes);
                let Some(last) = entries.last().map(|entry| entry.slot) else { break };
                if let Some(acceptor) = leader.acceptors.get_mut(&peer) {
                    acceptor.next = LogIndex(last.0 + 1);
                    acceptor.in_flight += 1;
                }
                let message = Message::Accept { ballot, committed, entries };
                self.outbox.send(After::Nothing, peer, message);
            }
        }
    }

    pub(super) fn on_accepted(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        first: LogIndex,
        last: LogIndex,
    ) {
        let any = self.config.is(Mutant::CountAnyBallot);
        let Office::Leader(leader) = &mut self.office else { return };
        if leader.ballot != ballot && !any {
            return;
        }
        if let Some(acceptor) = leader.acceptors.get_mut(&from) {
            acceptor.in_flight = acceptor.in_flight.saturating_sub(1);
            acceptor.heard_at = self.now;
        }
        for slot in (first.0..=last.0).map(LogIndex) {
            if let Some(proposal) = leader.proposal(slot) {
                proposal.accepted_by.insert(from);
            }
        }
        self.commit_as_leader();
    }

    /// Executes what a quorum has accepted, in the order of slots.
    pub(super) fn commit_as_leader(&mut self) {
        let quorum = self.config.quorum();
        loop {
            let next = LogIndex(self.committed.0 + 1);
            let skips = self.config.is(Mutant::SkipHoles);
            let Office::Leader(leader) = &mut self.office else { return };
            leader.committed(self.committed);
            let is_next = |proposal: &&Proposal| proposal.entry.slot == next || skips;
            let chosen = |proposal: &&Proposal| proposal.accepted_by.len() >= quorum;
            let Some(proposal) = leader.proposals.iter().find(chosen).filter(is_next) else {
                return;
            };
            let entry = Arc::clone(&proposal.entry);
            self.execute(&entry);
        }
    }
}
