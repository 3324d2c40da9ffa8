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

/// Dead configurations. Those that differ only in which crashed operations were used up are kept as their minimal
/// sets: whoever has used more can do no better.
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

    /// Whether the configuration is known to be dead.
    pub fn contains(&self, place: Place, done: &S, crashed: &S) -> bool {
        self.sets.get(&(place, done.minus(crashed))).is_some_and(|minimal| {
            let used = done.and(crashed);
            minimal.first.within(&used) || minimal.more.iter().any(|set| set.within(&used))
        })
    }

    /// The configuration is dead.
    pub fn insert(&mut self, place: Place, done: &S, crashed: &S) {
        let used = done.and(crashed);
        let capacity = self.sets.capacity();
        let entry = self.sets.entry((place, done.minus(crashed)));
        match entry {
            std::collections::hash_map::Entry::Vacant(slot) => {
                self.bytes += 2 * used.heap_bytes();
                slot.insert(Minimal { first: used, more: Vec::new() });
            }
            std::collections::hash_map::Entry::Occupied(mut slot) => {
                let minimal = slot.get_mut();
                let before = minimal.more.capacity();
                minimal.more.retain(|set| !used.within(set));
                if used.within(&minimal.first) {
                    minimal.first = used;
                } else {
                    self.bytes += used.heap_bytes();
                    minimal.more.push(used);
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
