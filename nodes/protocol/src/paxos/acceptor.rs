//! The acceptor: what it promises, and what it accepts (Paxos Made Simple §2.2, P1a).

use std::sync::Arc;

use super::ballot::{Ballot, HardState};
use super::log::Entry;
use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, Nanos, NodeId, Note};
use crate::outbox::After;

impl Replica {
    pub(super) fn on_prepare(&mut self, from: NodeId, ballot: Ballot, committed: LogIndex) {
        if ballot < self.promised {
            let promised = self.promised;
            self.outbox.send(After::HardState, from, Message::Reject { ballot, promised });
            return;
        }
        if ballot > self.promised {
            if !self.may_promise(from) {
                return;
            }
            self.step_down();
            self.promise(ballot);
            self.leader = None;
            self.reset_patience();
        }
        let promise = self.promise_of(ballot, committed);
        self.outbox.send(After::HardState, from, promise);
    }

    /// What this node's promise tells a proposer who has committed so far.
    pub(super) fn promise_of(&self, ballot: Ballot, committed: LogIndex) -> Message {
        let after = self.committed.max(committed);
        let accepted = self.log.after(after).map(Arc::clone).collect();
        Message::Promise { ballot, committed: self.committed, accepted }
    }

    /// Whether a higher ballot may be promised to this node: not while another leads, and not soon after a restart, before which it may have done.
    fn may_promise(&self, to: NodeId) -> bool {
        let patience = self.config.election_timeout.start().0;
        let lately = |heard: Nanos| self.now.0 < heard.0.saturating_add(patience);
        let hears_another = match &self.office {
            Office::Leader(_) => lately(self.quorum_heard_at()),
            _ => self.leader.is_some_and(|leader| leader != to) && lately(self.heard_at),
        };
        self.now >= self.quiet_until && !hears_another
    }

    /// From now on this node takes part in no ballot below.
    pub(super) fn promise(&mut self, ballot: Ballot) {
        self.promised = ballot;
        if !self.config.is(Mutant::ForgetPromise) {
            self.outbox.save_hard_state(HardState { promised: ballot });
        }
    }

    /// A message of a leader: whether its ballot counts here. To take part in a ballot is to promise it.
    pub(super) fn hear(&mut self, from: NodeId, ballot: Ballot) -> bool {
        if ballot < self.promised {
            let promised = self.promised;
            self.outbox.send(After::HardState, from, Message::Reject { ballot, promised });
            return false;
        }
        if ballot > self.promised || self.leader != Some(from) {
            self.step_down();
            if ballot > self.promised && !self.config.is(Mutant::AcceptWithoutPromise) {
                self.promise(ballot);
            }
            self.leader = Some(from);
            self.outbox.note(Note::Following(ballot, from));
        }
        self.failures = 0;
        self.heard_at = self.now;
        self.reset_patience();
        true
    }

    pub(super) fn on_accept(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        committed: LogIndex,
        entries: Vec<Arc<Entry>>,
    ) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (first, last) = (first.slot, last.slot);
        let greater = self.config.is(Mutant::GreaterValueWins)
            && ballot < self.promised
            && entries.iter().all(|entry| self.is_greater(entry));
        if !greater && !self.hear(from, ballot) {
            return;
        }
        self.accept(entries);
        self.learn_committed(from, ballot, committed);
        self.outbox.send(After::Log, from, Message::Accepted { ballot, first, last });
    }

    /// Stores what is new of entries.
    fn accept(&mut self, entries: Vec<Arc<Entry>>) {
        let smaller = self.config.is(Mutant::SmallerValueStays);
        let mut stored = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let held = self.log.get(entry.slot);
            if entry.slot <= self.log.base() || held.is_some_and(|held| held.ballot == entry.ballot)
            {
                continue;
            }
            if let Some(held) = held.filter(|_| smaller && self.is_greater(&entry)) {
                let payload = held.payload.clone();
                entry = Arc::new(Entry { payload, ..Entry::clone(&entry) });
            }
            stored.push(Entry::clone(&entry));
            self.log.put(entry);
        }
        if self.config.is(Mutant::AcceptUnsynced) {
            self.outbox.put_unsynced(stored);
        } else if !stored.is_empty() {
            self.outbox.put(stored);
        }
    }

    /// Whether a value is greater than the one held for its slot, in an order that means nothing; what teaching texts make mutants of.
    fn is_greater(&self, entry: &Entry) -> bool {
        let print = |entry: &Entry| format!("{:?}", entry.payload);
        self.log.get(entry.slot).is_none_or(|held| print(entry) > print(held))
    }
}
