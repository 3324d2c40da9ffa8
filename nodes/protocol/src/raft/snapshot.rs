//! Snapshots: taken by every replica of its own state, sent to followers whose next entries are gone (paper §7).
//!
//! A snapshot is taken when enough entries were applied since the last one; the log keeps some entries behind it, for
//! followers that are only a little behind. It travels in pieces, one at a time, each answered with how much
//! has arrived; a piece that is lost is sent again at a heartbeat.

use std::sync::Arc;

use super::log::Log;
use super::message::{AppendOutcome, Message, Position};
use super::mutant::Mutant;
use super::node::{Office, Replica, restore};
use super::progress::{Flow, Progress};
use crate::api::{LogIndex, NodeId, Snapshot, Term};
use crate::membership::Membership;
use crate::outbox::After;

/// A snapshot that arrives.
#[derive(Debug)]
pub(super) struct Incoming {
    last: Position,
    data: Vec<u8>,
}

impl Progress {
    /// The follower needs entries that are compacted.
    pub(super) fn begin_snapshot(&mut self, snapshot: &Snapshot<Term>) {
        let last = Position { term: snapshot.last_era, index: snapshot.last_index };
        let data = Arc::clone(&snapshot.data);
        self.flow = Flow::Snapshot { last, data, offset: 0, moved: true };
    }

    /// The piece that the follower waits for.
    pub(super) fn snapshot_piece(&self, term: Term, bytes_max: usize) -> Option<Message> {
        let Flow::Snapshot { last, data, offset, .. } = &self.flow else { return None };
        let end = data.len().min(offset + bytes_max.max(1));
        let done = end == data.len();
        let data = if *offset == 0 && done { Arc::clone(data) } else { data[*offset..end].into() };
        Some(Message::InstallSnapshot { term, last: *last, offset: *offset as u64, data, done })
    }

    /// So much has arrived. Says whether that changes what is to be sent.
    fn received(&mut self, of: Position, bytes: u64) -> bool {
        let Flow::Snapshot { last, data, offset, moved } = &mut self.flow else { return false };
        let Ok(bytes) = usize::try_from(bytes) else { return false };
        if of != *last || bytes == *offset || bytes >= data.len() {
            return false;
        }
        (*offset, *moved) = (bytes, true);
        true
    }

    /// Whether a piece was on its way for a whole heartbeat, to a follower that is there.
    pub(super) fn snapshot_stalled(&mut self) -> bool {
        let responsive = self.responsive;
        let Flow::Snapshot { moved, .. } = &mut self.flow else { return false };
        !std::mem::take(moved) && responsive
    }
}

impl Replica {
    /// Takes a snapshot if enough was applied since the last one.
    pub(super) fn compact(&mut self) {
        let Some((entries_max, keep)) = self.config.compaction() else { return };
        let due =
            self.unsaved_entries >= entries_max || self.unsaved_bytes >= self.config.snapshot_bytes;
        let ahead = self.config.is(Mutant::SnapshotAhead);
        let last_index = if ahead { self.committed } else { self.applied };
        let Some(last_era) = self.log.term(last_index).filter(|_| due) else { return };
        let data = self.machine.snapshot().into();
        let snapshot = Snapshot { last_index, last_era, data };
        self.log.compact(LogIndex(self.applied.0.saturating_sub(keep)));
        let log_from = LogIndex(self.log.base().index.0 + 1);
        self.outbox.save_snapshot(snapshot.clone(), log_from, true);
        self.set_snapshot(snapshot);
    }

    pub(super) fn on_install_snapshot(
        &mut self,
        from: NodeId,
        last: Position,
        offset: u64,
        data: &[u8],
        done: bool,
    ) {
        if !self.hear(from) {
            return;
        }
        let term = self.hard_state.term;
        if last.index <= self.committed {
            let outcome = AppendOutcome::Matched(self.committed);
            self.outbox.send(After::Log, from, Message::AppendReply { term, outcome });
            return;
        }
        if offset == 0 && self.incoming.as_ref().is_none_or(|incoming| incoming.last != last) {
            self.incoming = Some(Incoming { last, data: Vec::new() });
        }
        let arrived = self.incoming.as_mut().filter(|incoming| incoming.last == last);
        let received = match arrived {
            Some(incoming) if incoming.data.len() as u64 == offset => {
                incoming.data.extend_from_slice(data);
                if done {
                    self.install(from);
                    return;
                }
                incoming.data.len()
            }
            Some(incoming) => incoming.data.len(),
            None => 0,
        } as u64;
        let message = Message::InstallSnapshotReply { term, last, received };
        self.outbox.send(After::HardState, from, message);
    }

    /// Replaces the state by a snapshot that has arrived. Log entries after it stay if the log holds the
    /// snapshot's last entry, for then they continue it (paper, figure 13, rules 6 and 7).
    fn install(&mut self, from: NodeId) {
        let Some(Incoming { last, data }) = self.incoming.take() else { return };
        // One that cannot be read is as good as lost: the leader sends it again.
        let Ok(machine) = restore(&self.config, &data) else { return };
        let keep_log =
            self.log.term(last.index) == Some(last.term) && !self.config.is(Mutant::DropSuffix);
        if keep_log {
            self.log.compact(last.index);
        } else {
            let stale = self.config.is(Mutant::StaleMembership).then(|| self.membership());
            let membership = stale.or(machine.membership()).cloned();
            let first = || Membership::of(self.config.members.iter().copied());
            self.log = Log::new(last, membership.unwrap_or_else(first));
        }
        self.machine = machine;
        (self.committed, self.applied) = (last.index, last.index);
        self.verified = self.verified.max(last.index);
        let snapshot = Snapshot { last_index: last.index, last_era: last.term, data: data.into() };
        self.outbox.save_snapshot(snapshot.clone(), LogIndex(last.index.0 + 1), keep_log);
        self.set_snapshot(snapshot);
        let outcome = AppendOutcome::Matched(last.index);
        let message = Message::AppendReply { term: self.hard_state.term, outcome };
        self.outbox.send(After::Log, from, message);
    }

    fn set_snapshot(&mut self, snapshot: Snapshot<Term>) {
        self.snapshot = Some(snapshot);
        (self.unsaved_entries, self.unsaved_bytes) = (0, 0);
    }

    pub(super) fn on_install_snapshot_reply(
        &mut self,
        from: NodeId,
        last: Position,
        received: u64,
    ) {
        let Office::Leader(leader) = &mut self.office else { return };
        let Some(progress) = leader.progress.get_mut(&from) else { return };
        progress.heard();
        if progress.received(last, received) {
            let piece =
                progress.snapshot_piece(self.hard_state.term, self.config.piece_bytes_max());
            piece.into_iter().for_each(|piece| self.outbox.send(After::HardState, from, piece));
        }
    }
}
