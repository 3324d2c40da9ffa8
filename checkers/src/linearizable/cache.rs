//! Configurations that are known to lead nowhere.

use std::hash::Hash;

use super::slots::SlotSet;
use crate::columns::WordMap;

/// Where the search stands: before which step, and with which value. Together with the sets of operations that
/// took effect this is a whole configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the step that comes next.
    pub at: u32,
    /// The register's value.
    pub state: u32,
}

/// Dead configurations. Those that differ only in what can but do harm (which crashed operations were used up, which
/// writes cannot be hidden any more) are kept as their minimal sets: whoever has more of that can do no better.
#[derive(Debug)]
pub struct Dead<S> {
    /// Several tables, so that growing one of them never doubles the memory in use. Empty until something is dead.
    shards: Vec<Shard<S>>,
    bytes: usize,
}

type Shard<S> = WordMap<(Place, S), Minimal<S>>;

/// A power of two; what is held may exceed what is wanted by about one part in this many.
const SHARDS: usize = 64;

/// The shard of a configuration.
fn shard<S: SlotSet>(place: Place, done: &S) -> usize {
    let mix = u64::from(place.at) << 32 | u64::from(place.state);
    let words = done.words().iter().fold(mix, |mix, word| mix.rotate_left(7) ^ word);
    // Not the multiplier of the tables' own hash: their places must stay evenly used.
    (words.wrapping_mul(0xd6e8_feb8_6659_fd93) >> (64 - SHARDS.trailing_zeros())) as usize
}

#[derive(Debug)]
struct Minimal<S> {
    first: S,
    more: Vec<S>,
}

impl<S: SlotSet> Dead<S> {
    /// Nothing is dead yet.
    pub fn new() -> Self {
        Self { shards: Vec::new(), bytes: 0 }
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the configuration is known to be dead: one that is at least as good in every respect failed.
    pub fn contains(&self, place: Place, done: S, worse: &S) -> bool {
        let Some(sets) = self.shards.get(shard(place, &done)) else { return false };
        sets.get(&(place, done)).is_some_and(|minimal| {
            minimal.first.within(worse) || minimal.more.iter().any(|set| set.within(worse))
        })
    }

    /// The configuration is dead.
    pub fn insert(&mut self, place: Place, done: S, worse: S) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, WordMap::default);
        }
        let sets = &mut self.shards[shard(place, &done)];
        let capacity = sets.capacity();
        let entry = sets.entry((place, done));
        match entry {
            std::collections::hash_map::Entry::Vacant(slot) => {
                self.bytes += 2 * worse.heap_bytes();
                slot.insert(Minimal { first: worse, more: Vec::new() });
            }
            std::collections::hash_map::Entry::Occupied(mut slot) => {
                let minimal = slot.get_mut();
                let before = minimal.more.capacity();
                minimal.more.retain(|set| !worse.within(set));
                if worse.within(&minimal.first) {
                    minimal.first = worse;
                } else {
                    self.bytes += worse.heap_bytes();
                    minimal.more.push(worse);
                }
                self.bytes += (minimal.more.capacity() - before) * size_of::<S>();
            }
        }
        if sets.capacity() != capacity {
            // The table keeps a byte of its own beside each place, and one place in eight free.
            let place_bytes = size_of::<((Place, S), Minimal<S>)>() + 1;
            self.bytes += (sets.capacity() - capacity) * place_bytes * 8 / 7;
        }
    }
}
