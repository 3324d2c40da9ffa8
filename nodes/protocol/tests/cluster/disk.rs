//! A disk that keeps what was synced, and after a crash some of the rest.

use keelhaul_protocol::api::{Effect, Entry, LogIndex, Stored, SyncTicket};
use keelhaul_protocol::raft::{HardState, Message, Position};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

#[derive(Default)]
pub struct Disk {
    stored: Stored<Message>,
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

    /// The machine stops. Of what was not synced, term and vote on the one hand, log and snapshot on the other are
    /// there up to some point; an append may be cut short.
    pub fn crash(&mut self, rng: &mut ChaCha8Rng) {
        let kept = rng.random_range(0..=self.pending.len());
        let kept_terms = rng.random_range(0..=self.pending.len());
        for (at, effect) in self.pending.drain(..).enumerate() {
            match effect {
                Effect::SaveHardState(_) if at >= kept_terms => {}
                Effect::SaveHardState(_) => store(&mut self.stored, effect),
                Effect::Append(mut entries) if at == kept => {
                    entries.truncate(rng.random_range(1..=entries.len()));
                    store(&mut self.stored, Effect::Append(entries));
                }
                effect if at < kept => store(&mut self.stored, effect),
                _ => {}
            }
        }
    }

    pub fn read(&self) -> Stored<Message> {
        self.stored.clone()
    }

    /// Term and vote that are durable.
    pub fn hard_state(&self) -> HardState {
        self.stored.hard_state
    }

    /// How far the durable log reaches.
    pub fn last(&self) -> LogIndex {
        let snapshot = self.stored.snapshot.as_ref().map_or(LogIndex(0), |s| s.last_index);
        self.stored.entries.last().map_or(snapshot, |entry| entry.index.max(snapshot))
    }

    /// Whether a committed entry is durable here, by itself or within a snapshot.
    pub fn holds(&self, position: Position) -> bool {
        let entries = &self.stored.entries;
        let at = entries.partition_point(|entry| entry.index < position.index);
        let is_it = |entry: &Entry| (entry.term, entry.index) == (position.term, position.index);
        entries.get(at).is_some_and(is_it)
            || self.stored.snapshot.as_ref().is_some_and(|s| s.last_index >= position.index)
    }
}

fn store(stored: &mut Stored<Message>, effect: Effect<Message>) {
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
