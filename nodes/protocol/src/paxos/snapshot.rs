//! Snapshots: taken by every replica of its own state, and given to those whose next slots are gone (Paxos Made Live §5.5).
//!
//! A snapshot travels in pieces. The one who wants it asks for each, saying how much has arrived; so the one who has it need not remember anything, and
//! what is lost is asked for again at a heartbeat.

use std::sync::Arc;

use super::ballot::Ballot;
use super::config::Config;
use super::message::Message;
use super::mutant::Mutant;
use super::node::{Office, Replica};
use crate::api::{LogIndex, NodeId, Snapshot};
use crate::kv;
use crate::outbox::After;

/// A snapshot that arrives.
#[derive(Debug)]
pub(super) struct Incoming {
    last: LogIndex,
    data: Vec<u8>,
}

impl Incoming {
    /// Which one, and how many of its bytes are here.
    pub(super) fn arrived(&self) -> (LogIndex, u64) {
        (self.last, self.data.len() as u64)
    }
}

impl Replica {
    /// Takes a snapshot if enough was executed since the last one.
    pub(super) fn compact(&mut self) {
        let Some((entries_max, keep)) = self.config.compaction() else { return };
        let due =
            self.unsaved_entries >= entries_max || self.unsaved_bytes >= self.config.snapshot_bytes;
        let last_index = self.committed;
        let Some(last_era) = self.log.ballot(last_index).filter(|_| due) else { return };
        let data = self.machine.snapshot().into();
        self.log.compact(LogIndex(last_index.0.saturating_sub(keep)));
        self.set_snapshot(Snapshot { last_index, last_era, data });
    }

    /// From now on the snapshot stands for the slots up to its end.
    fn set_snapshot(&mut self, snapshot: Snapshot<Ballot>) {
        let log_from = LogIndex(self.log.base().0 + 1);
        self.outbox.save_snapshot(snapshot.clone(), log_from, true);
        self.snapshot = Some(snapshot);
        (self.unsaved_entries, self.unsaved_bytes) = (0, 0);
    }

    /// The piece that follows what has arrived; the first one if that was of another snapshot.
    pub(super) fn send_piece(
        &mut self,
        to: NodeId,
        ballot: Ballot,
        arrived: Option<(LogIndex, u64)>,
    ) {
        let Some(snapshot) = &self.snapshot else { return };
        let length = snapshot.data.len();
        let of_this = arrived.filter(|(last, _)| *last == snapshot.last_index);
        let offset = of_this.map_or(0, |(_, bytes)| bytes);
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(length);
        let end = length.min(begin + self.config.piece_bytes_max());
        let piece = Message::Piece {
            ballot,
            last: snapshot.last_index,
            era: snapshot.last_era,
            offset: begin as u64,
            data: snapshot.data[begin..end].into(),
            done: end == length,
        };
        self.outbox.send(After::HardState, to, piece);
    }

    pub(super) fn on_piece(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        (last, era): (LogIndex, Ballot),
        offset: u64,
        data: &[u8],
        done: bool,
    ) {
        if last <= self.committed || self.led_by() != Some(ballot) {
            return;
        }
        self.learner.told(from, last);
        self.learner.moved();
        let incoming = self.learner.incoming.take().filter(|incoming| incoming.last == last);
        let mut incoming = incoming.unwrap_or(Incoming { last, data: Vec::new() });
        if incoming.data.len() as u64 == offset {
            incoming.data.extend_from_slice(data);
            if done {
                self.install(last, era, incoming.data.into());
                self.fetch_if_behind();
                return;
            }
        }
        self.learner.incoming = Some(incoming);
        self.fetch_if_behind();
    }

    /// Replaces the state by a snapshot that has arrived. Slots after it stay as they are.
    fn install(&mut self, last_index: LogIndex, last_era: Ballot, data: Arc<[u8]>) {
        // One that cannot be read is as good as lost: it is asked for again.
        let Ok(machine) = restore(&self.config, &data) else { return };
        self.machine = machine;
        self.committed = last_index;
        self.log.compact(last_index);
        self.set_snapshot(Snapshot { last_index, last_era, data });
        let later = self.pending.split_off(&LogIndex(last_index.0 + 1));
        for (_, id) in std::mem::replace(&mut self.pending, later).into_values() {
            self.outbox.reply(id, kv::Response::Unknown);
        }
        if let Office::Leader(leader) = &mut self.office {
            leader.last = leader.last.max(last_index);
            leader.stored = leader.stored.max(last_index);
        }
        self.commit_as_leader();
    }
}

/// The state machine of a snapshot.
pub(super) fn restore(config: &Config, data: &[u8]) -> Result<kv::Machine, kv::RestoreError> {
    let mut machine = kv::Machine::restore(data)?.with_mistake(config.mistake);
    if config.is(Mutant::ForgetWhatWasDone) {
        machine.forget_commands();
    }
    Ok(machine)
}
