//! A disk that keeps what was synced, and after a crash some of the rest.

use keelhaul_protocol::api::{Effect, LogEntry, LogIndex, Stored, SyncTicket, Vocabulary};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub struct Disk<M: Vocabulary> {
    stored: Stored<M>,
    /// Asked for, not durable yet, in order.
    pending: Vec<Effect<M>>,
}

impl<M: Vocabulary> Default for Disk<M> {
    fn default() -> Self {
        Disk { stored: Stored::default(), pending: Vec::new() }
    }
}

impl<M: Vocabulary> Disk<M> {
    /// Takes a storage effect, or a `Sync` to mark where one was asked for.
    pub fn submit(&mut self, effect: Effect<M>) {
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

    /// The machine stops. What was not synced is there up to some point; if `states_apart`, the hard state on the one hand, log and snapshot on
    /// the other are up to points of their own. An append may be cut short.
    pub fn crash(&mut self, states_apart: bool, rng: &mut ChaCha8Rng) {
        let kept = rng.random_range(0..=self.pending.len());
        let kept_states =
            if states_apart { rng.random_range(0..=self.pending.len()) } else { kept };
        for (at, effect) in self.pending.drain(..).enumerate() {
            match effect {
                Effect::SaveHardState(_) if at >= kept_states => {}
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

    pub fn read(&self) -> Stored<M> {
        self.stored.clone()
    }

    /// The hard state that is durable.
    pub fn hard_state(&self) -> M::HardState {
        self.stored.hard_state
    }

    /// How far the durable log reaches.
    pub fn last(&self) -> LogIndex {
        let snapshot = self.stored.snapshot.as_ref().map_or(LogIndex(0), |s| s.last_index);
        self.stored.entries.last().map_or(snapshot, |entry| entry.index().max(snapshot))
    }

    /// Whether a committed entry is durable here, by itself or within a snapshot.
    pub fn holds(&self, index: LogIndex, is_it: impl FnOnce(&M::Entry) -> bool) -> bool {
        let entries = &self.stored.entries;
        let at = entries.partition_point(|entry| entry.index() < index);
        entries.get(at).is_some_and(|entry| entry.index() == index && is_it(entry))
            || self.stored.snapshot.as_ref().is_some_and(|s| s.last_index >= index)
    }
}

fn store<M: Vocabulary>(stored: &mut Stored<M>, effect: Effect<M>) {
    match effect {
        Effect::SaveHardState(hard_state) => stored.hard_state = hard_state,
        Effect::Append(entries) => {
            let first = entries[0].index();
            cut(stored, first);
            let end = stored.snapshot.as_ref().map_or(LogIndex(0), |snapshot| snapshot.last_index);
            let end = stored.entries.last().map_or(end, |entry| entry.index().max(end));
            assert!(first.0 <= end.0 + 1, "append leaves a hole: {first:?} after {end:?}");
            stored.entries.extend(entries);
        }
        Effect::Put(entries) => {
            for entry in entries {
                match stored.entries.binary_search_by_key(&entry.index(), LogEntry::index) {
                    Ok(at) => stored.entries[at] = entry,
                    Err(at) => stored.entries.insert(at, entry),
                }
            }
        }
        Effect::Truncate(first) => cut(stored, first),
        Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
            if keep_log {
                stored.entries.retain(|entry| entry.index() >= log_from);
            } else {
                stored.entries.clear();
            }
            stored.snapshot = Some(snapshot);
        }
        _ => {}
    }
}

fn cut<M: Vocabulary>(stored: &mut Stored<M>, first: LogIndex) {
    let keep = stored.entries.partition_point(|entry| entry.index() < first);
    stored.entries.truncate(keep);
}
