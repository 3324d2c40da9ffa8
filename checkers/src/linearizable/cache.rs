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
    sets: WordMap<(Place, S), Minimal<S>>,
    bytes: usize,
}

#[derive(Debug)]
struct Minimal<S> {
    first: S,
    more: Vec<S>,
}

impl<S: SlotSet> Dead<S> {
    /// Nothing is dead yet.
    pub fn new() -> Self {
        Self { sets: WordMap::default(), bytes: 0 }
    }

    /// Bytes held.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the configuration is known to be dead: one that is at least as good in every respect failed.
    pub fn contains(&self, place: Place, done: S, worse: &S) -> bool {
        self.sets.get(&(place, done)).is_some_and(|minimal| {
            minimal.first.within(worse) || minimal.more.iter().any(|set| set.within(worse))
        })
    }

    /// The configuration is dead.
    pub fn insert(&mut self, place: Place, done: S, worse: S) {
        let capacity = self.sets.capacity();
        let entry = self.sets.entry((place, done));
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
        if self.sets.capacity() != capacity {
            // The table keeps a byte of its own beside each place, and one place in eight free.
            let place_bytes = size_of::<((Place, S), Minimal<S>)>() + 1;
            self.bytes += (self.sets.capacity() - capacity) * place_bytes * 8 / 7;
        }
    }
}
