//! What a replica wants done, held back for as long as durability demands.
//!
//! A step collects storage effects and messages. It ends with at most one `Sync`, and whatever depends on what is
//! not durable yet waits for its ticket. There are two kinds of waiting: for the promise (all messages: no node speaks of a ballot that it
//! might forget), and for what was accepted too (what says that something is). A leader's proposals and heartbeats wait for neither,
//! since a node leads only after its own promise is durable.
//!
//! A node is its own acceptor as well: what it says to itself waits like anything else, and then comes back to it. So its own promise, and its own
//! acceptances, count only when they are durable.

use std::collections::BTreeMap;

use super::ballot::{Ballot, HardState};
use super::log::Entry;
use super::message::Message;
use crate::api::{Effect, LogIndex, Nanos, NodeId, Note, RequestId, Snapshot, SyncTicket};
use crate::kv::Response;

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing.
    Now,
    /// The promise as it is now.
    Promise,
    /// That, and everything accepted so far.
    Log,
}

/// Effects of the current step, and messages of earlier ones that wait.
#[derive(Debug)]
pub(super) struct Outbox {
    own: NodeId,
    effects: Vec<Effect<Message>>,
    waiting: BTreeMap<SyncTicket, Vec<(NodeId, Message)>>,
    /// What this node said to itself.
    returned: Vec<Message>,
    /// The last ticket given out.
    issued: SyncTicket,
    /// The last one reported durable.
    synced: SyncTicket,
    /// Storage effects were collected since the last ticket.
    dirty: bool,
    /// The ticket that makes the promise durable.
    promise_ticket: SyncTicket,
    /// The ticket that makes everything accepted durable.
    log_ticket: SyncTicket,
    /// When the driver's timer will go off.
    armed: Option<Nanos>,
}

impl Outbox {
    pub(super) fn new(own: NodeId) -> Self {
        let none = SyncTicket(0);
        Self {
            own,
            effects: Vec::new(),
            waiting: BTreeMap::new(),
            returned: Vec::new(),
            issued: none,
            synced: none,
            dirty: false,
            promise_ticket: none,
            log_ticket: none,
            armed: None,
        }
    }

    pub(super) fn save_promise(&mut self, promised: Ballot) {
        self.effects.push(Effect::SaveHardState(HardState { promised }));
        self.dirty = true;
        self.promise_ticket = self.next_ticket();
    }

    pub(super) fn put(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.put_unsynced(entries);
        self.dirty = true;
        self.log_ticket = self.next_ticket();
    }

    /// What a mutant does in its place: nothing asks for a sync, and nothing waits for one.
    pub(super) fn put_unsynced(&mut self, entries: impl IntoIterator<Item = Entry>) {
        if let Some(Effect::Put(before)) = self.effects.last_mut() {
            before.extend(entries);
        } else {
            self.effects.push(Effect::Put(entries.into_iter().collect()));
        }
    }

    /// The snapshot stands for every slot before `log_from`.
    pub(super) fn save_snapshot(&mut self, snapshot: Snapshot<Ballot>, log_from: LogIndex) {
        self.effects.push(Effect::SaveSnapshot { snapshot, log_from, keep_log: true });
        self.dirty = true;
        self.log_ticket = self.next_ticket();
    }

    /// To another node, or to this one.
    pub(super) fn send(&mut self, after: After, to: NodeId, message: Message) {
        let ticket = match after {
            After::Now => SyncTicket(0),
            After::Promise => self.promise_ticket,
            After::Log => self.promise_ticket.max(self.log_ticket),
        };
        if ticket <= self.synced {
            self.release(to, message);
        } else {
            self.waiting.entry(ticket).or_default().push((to, message));
        }
    }

    /// What this node said to itself and may hear now.
    pub(super) fn take_returned(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.returned)
    }

    pub(super) fn reply(&mut self, id: RequestId, response: Response) {
        self.effects.push(Effect::Reply { id, response });
    }

    pub(super) fn note(&mut self, note: Note<Ballot>) {
        self.effects.push(Effect::Note(note));
    }

    /// Everything up to the ticket is durable: lets go of what waited for it.
    pub(super) fn synced(&mut self, ticket: SyncTicket) {
        self.synced = self.synced.max(ticket);
        let later = self.waiting.split_off(&SyncTicket(self.synced.0 + 1));
        for (to, message) in std::mem::replace(&mut self.waiting, later).into_values().flatten() {
            self.release(to, message);
        }
    }

    /// The driver's timer went off, or it has none.
    pub(super) fn disarm(&mut self) {
        self.armed = None;
    }

    /// Ends a step: asks for a sync if one is needed, and for the timer if it would go off too late. One that
    /// goes off too early is asked for again then, which is cheaper than to move it with every message.
    pub(super) fn finish(&mut self, timer: Nanos, out: &mut Vec<Effect<Message>>) {
        if std::mem::take(&mut self.dirty) {
            self.issued = self.next_ticket();
            self.effects.push(Effect::Sync(self.issued));
        }
        if self.armed.is_none_or(|armed| timer < armed) {
            self.armed = Some(timer);
            self.effects.push(Effect::SetTimer(timer));
        }
        out.append(&mut self.effects);
    }

    fn next_ticket(&self) -> SyncTicket {
        SyncTicket(self.issued.0 + 1)
    }

    fn release(&mut self, to: NodeId, message: Message) {
        if to == self.own {
            self.returned.push(message);
        } else {
            self.effects.push(Effect::Send { to, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(outbox: &mut Outbox) -> (Vec<Effect<Message>>, usize) {
        let mut out = Vec::new();
        outbox.finish(Nanos(1), &mut out);
        out.retain(|effect| matches!(effect, Effect::Send { .. }));
        (out, outbox.take_returned().len())
    }

    #[test]
    fn a_node_speaks_to_others_and_to_itself_when_what_it_says_is_durable() {
        let (own, other) = (NodeId(1), NodeId(2));
        let ballot = Ballot { round: 1, node: own };
        let word = Message::HeartbeatReply { ballot, round: 1 };
        let mut outbox = Outbox::new(own);
        outbox.send(After::Log, other, word.clone());
        assert_eq!(heard(&mut outbox).0.len(), 1, "nothing to wait for");
        outbox.save_promise(ballot);
        outbox.send(After::Promise, own, word.clone());
        outbox.send(After::Promise, other, word.clone());
        assert_eq!(heard(&mut outbox), (vec![], 0));
        outbox.put([]);
        outbox.send(After::Log, other, word.clone());
        outbox.send(After::Now, other, word);
        assert_eq!(heard(&mut outbox).0.len(), 1);
        outbox.synced(SyncTicket(1));
        let (sent, returned) = heard(&mut outbox);
        assert_eq!((sent.len(), returned), (1, 1), "the log waits for a ticket of its own");
        outbox.synced(SyncTicket(2));
        assert_eq!(heard(&mut outbox).0.len(), 1);
    }
}
