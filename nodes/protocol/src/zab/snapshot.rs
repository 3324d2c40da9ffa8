//! Snapshots: taken by every replica of its own state, sent to followers whose next transactions are gone (SNAP).
//!
//! A snapshot is taken when enough transactions were applied since the last one; the history keeps some behind it, for
//! followers that are only a little behind. It travels in pieces, one at a time, each answered with how much
//! has arrived; a piece that is lost is sent again at a heartbeat.

use std::sync::Arc;

use super::history::History;
use super::learner::{Flow, Learner};
use super::message::{Epoch, Message, Zxid};
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, NodeId, Snapshot};
use crate::kv;
use crate::outbox::After;

/// A snapshot that arrives.
#[derive(Debug)]
pub(super) struct Incoming {
    last: Zxid,
    data: Vec<u8>,
}

impl Learner {
    /// The piece that the follower waits for.
    fn piece(&self, epoch: Epoch, bytes_max: usize) -> Option<Message> {
        let Flow::Snapshot { last, data, offset, .. } = &self.flow else { return None };
        let end = data.len().min(offset + bytes_max);
        let done = end == data.len();
        let data = if *offset == 0 && done { Arc::clone(data) } else { data[*offset..end].into() };
        Some(Message::Snap { epoch, last: *last, offset: *offset as u64, data, done })
    }

    /// So much has arrived. Says whether that changes what is to be sent.
    fn received(&mut self, of: Zxid, bytes: u64) -> bool {
        let Flow::Snapshot { last, data, offset, moved } = &mut self.flow else { return false };
        let Ok(bytes) = usize::try_from(bytes) else { return false };
        if of != *last || bytes == *offset || bytes >= data.len() {
            return false;
        }
        (*offset, *moved) = (bytes, true);
        true
    }
}

impl Replica {
    /// Takes a snapshot if enough was applied since the last one.
    pub(super) fn compact(&mut self) {
        let Some((entries_max, keep)) = self.config.compaction() else { return };
        let due =
            self.unsaved_entries >= entries_max || self.unsaved_bytes >= self.config.snapshot_bytes;
        let Some(last) = self.history.zxid(self.applied).filter(|_| due) else { return };
        let data = self.machine.snapshot().into();
        let snapshot = Snapshot { last_index: last.counter, last_era: last.epoch, data };
        self.history.compact(LogIndex(self.applied.0.saturating_sub(keep)));
        let log_from = LogIndex(self.history.base().counter.0 + 1);
        self.outbox.save_snapshot(snapshot.clone(), log_from, true);
        self.set_snapshot(snapshot);
    }

    fn set_snapshot(&mut self, snapshot: Snapshot<Epoch>) {
        self.snapshot = Some(snapshot);
        (self.unsaved_entries, self.unsaved_bytes) = (0, 0);
    }

    /// A follower needs transactions that are compacted.
    pub(super) fn begin_snapshot(&mut self, follower: NodeId) {
        let (epoch, bytes_max) = (self.epochs.accepted, self.config.piece_bytes_max());
        let Some(snapshot) = &self.snapshot else { return };
        let last = Zxid { epoch: snapshot.last_era, counter: snapshot.last_index };
        let data = Arc::clone(&snapshot.data);
        let Some(learner) = self.learner(follower) else { return };
        learner.flow = Flow::Snapshot { last, data, offset: 0, moved: true };
        if let Some(piece) = learner.piece(epoch, bytes_max) {
            self.outbox.send(After::HardState, follower, piece);
        }
    }

    /// Sends again what was on its way for a whole heartbeat.
    pub(super) fn resend_pieces(&mut self) {
        let (epoch, bytes_max) = (self.epochs.accepted, self.config.piece_bytes_max());
        let Office::Leading(leader) = &mut self.office else { return };
        for (follower, learner) in &mut leader.learners {
            let Flow::Snapshot { moved, .. } = &mut learner.flow else { continue };
            if !std::mem::take(moved)
                && let Some(piece) = learner.piece(epoch, bytes_max)
            {
                self.outbox.send(After::HardState, *follower, piece);
            }
        }
    }

    pub(super) fn on_snap_received(&mut self, from: NodeId, last: Zxid, received: u64) {
        let (epoch, bytes_max) = (self.epochs.accepted, self.config.piece_bytes_max());
        let Some(learner) = self.learner(from) else { return };
        if learner.received(last, received)
            && let Some(piece) = learner.piece(epoch, bytes_max)
        {
            self.outbox.send(After::HardState, from, piece);
        }
    }

    /// A piece of the leader's state. What arrives is kept apart until it is whole.
    pub(super) fn on_snap(
        &mut self,
        from: NodeId,
        last: Zxid,
        offset: u64,
        data: &[u8],
        done: bool,
    ) {
        let begun = self.incoming.as_ref().is_some_and(|incoming| incoming.last == last);
        // What this node has and acknowledged stays: an old snapshot must not take its place.
        if !begun && (last.counter <= self.committed || self.history.holds(last)) {
            self.say_what_it_has();
            return;
        }
        if offset == 0 && !begun {
            self.incoming = Some(Incoming { last, data: Vec::new() });
            if self.config.is(Mutant::PartialSnapshot) && !done {
                self.install_partly(last);
            }
        }
        let received = match &mut self.incoming {
            Some(incoming) if incoming.last == last => {
                if incoming.data.len() as u64 == offset {
                    incoming.data.extend_from_slice(data);
                    if done {
                        self.install();
                        return;
                    }
                }
                incoming.data.len() as u64
            }
            _ => 0,
        };
        let epoch = self.epochs.accepted;
        self.outbox.send(After::HardState, from, Message::SnapReceived { epoch, last, received });
    }

    /// Replaces the state, and the history, by a snapshot that has arrived. All that it had and that was committed is in there; the
    /// leader sends what follows.
    fn install(&mut self) {
        let Some(Incoming { last, data }) = self.incoming.take() else { return };
        if self.history.holds(last) && !self.config.is(Mutant::PartialSnapshot) {
            self.say_what_it_has();
            return;
        }
        // One that cannot be read is as good as lost: the leader sends it again.
        let Ok(machine) = kv::Machine::restore(&data) else { return };
        let machine = machine.with_mistake(self.config.mistake);
        self.machine = machine;
        self.restart_from(last, data.into());
        self.progressed(last.counter);
        self.say_what_it_has();
    }

    /// State and history are those of a snapshot from now on.
    fn restart_from(&mut self, last: Zxid, data: Arc<[u8]>) {
        self.history = History::new(last);
        (self.committed, self.applied) = (last.counter, last.counter);
        for id in self.clients.forget_entered(last.counter) {
            self.outbox.reply(id, kv::Response::Unknown);
        }
        let snapshot = Snapshot { last_index: last.counter, last_era: last.epoch, data };
        self.outbox.save_snapshot(snapshot.clone(), LogIndex(last.counter.0 + 1), false);
        self.set_snapshot(snapshot);
    }

    /// What the mutant Z10 does with the first piece: it makes room for the rest, and is what it will have.
    fn install_partly(&mut self, last: Zxid) {
        let data = self.machine.snapshot().into();
        self.restart_from(last, data);
    }
}
