//! A disk that keeps what was synced, and after a crash some of the rest.

use keelhaul_protocol::api::{Effect, LogIndex, Stored, SyncTicket};
use keelhaul_protocol::paxos::{Ballot, Message};
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
        let is_it = |effect: &Effect<Message>| matches!(effect, Effect::Sync(t) if *t == ticket);
        let end = self.pending.iter().position(is_it).map_or(0, |at| at + 1);
        for effect in self.pending.drain(..end) {
            store(&mut self.stored, effect);
        }
    }

    /// The machine stops. What was not synced is there up to some point, as in a log.
    pub fn crash(&mut self, rng: &mut ChaCha8Rng) {
        let kept = rng.random_range(0..=self.pending.len());
        for effect in self.pending.drain(..).take(kept) {
            store(&mut self.stored, effect);
        }
    }

    pub fn read(&self) -> Stored<Message> {
        self.stored.clone()
    }

    /// The promise that is durable.
    pub fn promised(&self) -> Ballot {
        self.stored.hard_state.promised
    }

    /// Whether a snapshot stands for the slot.
    pub fn covers(&self, slot: LogIndex) -> bool {
        self.stored.snapshot.as_ref().is_some_and(|snapshot| snapshot.last_index >= slot)
    }

    /// What is durably accepted for a slot.
    pub fn accepted(&self, slot: LogIndex) -> Option<&keelhaul_protocol::paxos::Entry> {
        let at = self.stored.entries.binary_search_by_key(&slot, |entry| entry.slot).ok()?;
        self.stored.entries.get(at)
    }
}

fn store(stored: &mut Stored<Message>, effect: Effect<Message>) {
    match effect {
        Effect::SaveHardState(hard_state) => stored.hard_state = hard_state,
        Effect::Put(entries) => {
            for entry in entries {
                match stored.entries.binary_search_by_key(&entry.slot, |entry| entry.slot) {
                    Ok(at) => stored.entries[at] = entry,
                    Err(at) => stored.entries.insert(at, entry),
                }
            }
        }
        Effect::SaveSnapshot { snapshot, log_from, keep_log } => {
            assert!(keep_log, "slots after a snapshot are not its concern");
            stored.entries.retain(|entry| entry.slot >= log_from);
            stored.snapshot = Some(snapshot);
        }
        Effect::Append(_) | Effect::Truncate(_) => unreachable!("slots are stored one by one"),
        _ => {}
    }
}
