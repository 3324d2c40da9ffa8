//! The learner: what is chosen, as the leader tells it, and catching up on what this node lacks (Paxos Made Live §4.4).
//!
//! A leader tells how far it has committed. For a slot up to there this node knows the value if it accepted one under that leader's ballot, for
//! a leader proposes one value a slot, and what is chosen is what it proposes. Whatever was accepted under another ballot may differ from what was chosen
//! and is fetched.
//!
//! What is fetched is stored as accepted under the leader's ballot. It is chosen, so neither that leader nor a later one could propose anything else; and
//! a node answers only if it knows of no later ballot, so that what it knows was chosen in this one or before.

use std::sync::Arc;

use super::ballot::Ballot;
use super::log::{Entry, fitting};
use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use super::snapshot::Incoming;
use crate::api::{LogIndex, NodeId};
use crate::outbox::After;

/// What a node has heard is chosen, and does not all have.
#[derive(Debug, Default)]
pub(super) struct Learner {
    /// Somebody has committed up to here.
    known: LogIndex,
    /// Who.
    source: Option<NodeId>,
    /// How far this node had committed at the last heartbeat, if that was not far enough.
    stuck_at: Option<LogIndex>,
    /// For how many heartbeats it has been there.
    stuck_for: u32,
    /// A snapshot of which pieces have arrived.
    pub(super) incoming: Option<Incoming>,
}

impl Learner {
    /// Somebody has committed so far.
    pub(super) fn told(&mut self, who: NodeId, committed: LogIndex) {
        if committed >= self.known {
            (self.known, self.source) = (committed, Some(who));
        }
    }

    /// What a new leader must have before it goes on, and who promised it with that. Whoever told of more before may have started again since, and
    /// know it no longer: as far as it was chosen this leader proposes it once more.
    pub(super) fn must_reach(&mut self, who: NodeId, committed: LogIndex) {
        (self.known, self.source) = (committed, Some(who));
    }

    /// Something that was lacking has arrived.
    pub(super) fn moved(&mut self) {
        self.stuck_for = 0;
    }

    /// A heartbeat: for how many of them a node that has committed so far has been behind and come no further.
    fn beat(&mut self, committed: LogIndex) -> u32 {
        let behind = (committed < self.known).then_some(committed);
        let same = behind.is_some() && self.stuck_at == behind;
        self.stuck_for = if same { self.stuck_for + 1 } else { 0 };
        self.stuck_at = behind;
        self.stuck_for
    }
}

impl Replica {
    /// Executes what the leader of a ballot has committed, as far as this node accepted it under that ballot.
    pub(super) fn learn_committed(&mut self, from: NodeId, ballot: Ballot, committed: LogIndex) {
        self.learner.told(from, committed);
        while self.committed < committed {
            let next = LogIndex(self.committed.0 + 1);
            let held = self.log.ballot(next);
            let unverified = self.config.is(Mutant::LearnUnverified) && held.is_some();
            if held != Some(ballot) && !unverified {
                break;
            }
            self.execute_next();
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        committed: LogIndex,
        round: u64,
    ) {
        if !self.hear(from, ballot) {
            return;
        }
        self.learn_committed(from, ballot, committed);
        self.outbox.send(After::HardState, from, Message::HeartbeatReply { ballot, round });
        // What is missing may be on its way: only what is missing at two heartbeats is fetched.
        if self.learner.beat(self.committed) > 0 {
            self.fetch_if_behind();
        }
    }

    /// A leader that lacks what somebody knew to be chosen asks for it; whether it has to look for somebody else who knows, since that one is silent.
    pub(super) fn catch_up_as_leader(&mut self) -> bool {
        const SILENT_FOR: u32 = 4;
        let lost = self.learner.beat(self.committed) >= SILENT_FOR;
        self.fetch_if_behind();
        lost
    }

    /// The ballot whose leader this node follows, or is.
    pub(super) fn led_by(&self) -> Option<Ballot> {
        match &self.office {
            Office::Leader(leader) => Some(leader.ballot),
            _ => self.leader.map(|_| self.promised),
        }
    }

    /// Asks for what is chosen and lacks here.
    pub(super) fn fetch_if_behind(&mut self) {
        let leads = matches!(self.office, Office::Leader(_));
        let source = if leads { self.learner.source } else { self.leader };
        let Some((ballot, source)) = self.led_by().zip(source) else { return };
        if self.committed < self.learner.known && source != self.config.id {
            let arrived = self.learner.incoming.as_ref().map(Incoming::arrived);
            let fetch = Message::Fetch { ballot, committed: self.committed, arrived };
            self.outbox.send(After::HardState, source, fetch);
        }
    }

    pub(super) fn on_fetch(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        committed: LogIndex,
        arrived: Option<(LogIndex, u64)>,
    ) {
        if ballot < self.promised || committed >= self.committed {
            return;
        }
        if committed < self.log.base() {
            self.send_piece(from, ballot, arrived);
            return;
        }
        let known = self.log.after(committed).take_while(|entry| entry.slot <= self.committed);
        let entries = fitting(known, self.config.accept_entries_max, self.config.accept_bytes_max);
        let message = Message::Chosen { ballot, committed: self.committed, entries };
        self.outbox.send(After::HardState, from, message);
    }

    pub(super) fn on_chosen(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        committed: LogIndex,
        entries: Vec<Arc<Entry>>,
    ) {
        if self.led_by() != Some(ballot) {
            return;
        }
        self.learner.told(from, committed);
        let before = self.committed;
        for entry in entries {
            if entry.slot.0 == self.committed.0 + 1 {
                self.keep_chosen(ballot, &entry);
                self.execute_next();
            }
        }
        if self.committed > before {
            self.commit_as_leader();
            self.fetch_if_behind();
        }
    }

    /// Holds a chosen value under the leader's ballot; what was accepted under a later one is the same value.
    fn keep_chosen(&mut self, ballot: Ballot, entry: &Entry) {
        if self.log.ballot(entry.slot).is_none_or(|held| held < ballot) {
            let entry = Entry { ballot, ..entry.clone() };
            self.log.put(Arc::new(entry.clone()));
            self.outbox.put([entry]);
        }
    }
}
