//! Small sets of slots. A slot is held by a pending operation only, so a set stays as short as the number of
//! operations that are ever pending together, however long the history is.

use std::fmt::Debug;
use std::hash::Hash;

/// A set of small numbers, of a width that is fixed when the search begins.
pub trait SlotSet: Clone + Eq + Hash + Debug {
    /// The empty set with room for `slots` slots.
    fn with_room(slots: usize) -> Self;
    /// The bits.
    fn words(&self) -> &[u64];
    /// The bits.
    fn words_mut(&mut self) -> &mut [u64];

    /// Whether the slot is in the set.
    fn has(&self, slot: u32) -> bool {
        self.words()[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    /// Puts the slot in.
    fn set(&mut self, slot: u32) {
        self.words_mut()[slot as usize / 64] |= 1 << (slot % 64);
    }

    /// Takes the slot out.
    fn clear(&mut self, slot: u32) {
        self.words_mut()[slot as usize / 64] &= !(1 << (slot % 64));
    }

    /// Whether every slot of this set is in `other`.
    fn within(&self, other: &Self) -> bool {
        self.words().iter().zip(other.words()).all(|(a, b)| a & !b == 0)
    }

    /// The slots of this set that are in `other`.
    fn and(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for (word, mask) in out.words_mut().iter_mut().zip(other.words()) {
            *word &= mask;
        }
        out
    }

    /// The slots of this set that are not in `other`.
    fn minus(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for (word, mask) in out.words_mut().iter_mut().zip(other.words()) {
            *word &= !mask;
        }
        out
    }

    /// The first slot at or after `from`.
    fn next_from(&self, from: u32) -> Option<u32> {
        let words = self.words();
        let mut at = from as usize / 64;
        let mut word = words.get(at)? & (!0 << (from % 64));
        while word == 0 {
            at += 1;
            word = *words.get(at)?;
        }
        Some(at as u32 * 64 + word.trailing_zeros())
    }

    /// The slots in rising order.
    fn iter(&self) -> Slots<'_, Self> {
        Slots { set: self, next: 0 }
    }

    /// Bytes held outside the value itself.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Iterator over the slots of a set.
#[derive(Debug)]
pub struct Slots<'a, S: ?Sized> {
    set: &'a S,
    next: u32,
}

impl<S: SlotSet> Iterator for Slots<'_, S> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let slot = self.set.next_from(self.next)?;
        self.next = slot + 1;
        Some(slot)
    }
}

impl<const N: usize> SlotSet for [u64; N] {
    fn with_room(slots: usize) -> Self {
        assert!(slots <= N * 64, "the caller picks a set with enough room");
        [0; N]
    }

    fn words(&self) -> &[u64] {
        self
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self
    }
}

impl SlotSet for Box<[u64]> {
    fn with_room(slots: usize) -> Self {
        vec![0; slots.div_ceil(64)].into_boxed_slice()
    }

    fn words(&self) -> &[u64] {
        self
    }

    fn words_mut(&mut self) -> &mut [u64] {
        self
    }

    fn heap_bytes(&self) -> usize {
        self.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk<S: SlotSet>(slots: &[u32]) {
        let mut set = S::with_room(128);
        for slot in slots {
            set.set(*slot);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), slots);
        for slot in slots {
            let mut less = set.clone();
            less.clear(*slot);
            assert!(less.within(&set) && !set.within(&less));
            assert!(set.has(*slot) && !less.has(*slot));
            assert_eq!(set.minus(&less).iter().collect::<Vec<_>>(), [*slot]);
            assert_eq!(set.and(&less), less);
        }
    }

    #[test]
    fn sets_of_every_width_agree() {
        walk::<[u64; 2]>(&[0, 1, 63, 64, 65, 127]);
        walk::<Box<[u64]>>(&[0, 1, 63, 64, 65, 127]);
        walk::<[u64; 2]>(&[]);
        walk::<Box<[u64]>>(&[127]);
    }
}
