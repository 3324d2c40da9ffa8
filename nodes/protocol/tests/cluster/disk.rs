//! A disk that keeps what was synced, and after a crash any prefix of the rest.

use keelhaul_protocol::api::{Effect, LogIndex, Stored, SyncTicket};
use keelhaul_protocol::raft::Message;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

#[derive(Default)]
pub struct Disk {
    stored: Stored,
    /// Asked for, not durable yet, in order.
    pending: Vec<Effect<Message>>,
}

impl Disk {
    /// Takes a storage effect, or a `Sync` to mark where one was asked for.
    pub fn submit(&mut self, effect: Effect<Message>) {
        self.pending.push(effect);
    }

    pub fn complete(&mut self, ticket: SyncTicket) {
        let end = self
            .pending
            .iter()
            .position(|effect| matches!(effect, Effect::Sync(t) if *t == ticket))
            .map_or(0, |at| at + 1);
        for effect in self.pending.drain(..end) {
            store(&mut self.stored, effect);
        }
    }

    /// The machine stops. What was not synced may be there or not, but never a later effect without an earlier one.
    pub fn crash(&mut self, rng: &mut ChaCha8Rng) {
        let kept = rng.random_range(0..=self.pending.len());
        for effect in self.pending.drain(..).take(kept) {
            store(&mut self.stored, effect);
        }
    }

    pub fn read(&self) -> Stored {
        self.stored.clone()
    }
}

fn store(stored: &mut Stored, effect: Effect<Message>) {
    match effect {
        Effect::SaveHardState(hard_state) => stored.hard_state = hard_state,
        Effect::Append(entries) => {
            let first = entries[0].index;
            let keep = stored.entries.partition_point(|entry| entry.index < first);
            stored.entries.truncate(keep);
            let end = stored.snapshot.as_ref().map_or(LogIndex(0), |snapshot| snapshot.last_index);
            let end = stored.entries.last().map_or(end, |entry| entry.index.max(end));
            assert!(first.0 <= end.0 + 1, "append leaves a hole: {first:?} after {end:?}");
            stored.entries.extend(entries);
        }
        Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
            if keep_log {
                stored.entries.retain(|entry| entry.index >= log_from);
            } else {
                stored.entries.clear();
            }
            stored.snapshot = Some(snapshot);
        }
        _ => {}
    }
}
