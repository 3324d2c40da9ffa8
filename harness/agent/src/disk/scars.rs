//! Damage that can be mended: what the disk held before, as far as no program has written there since.
//!
//! A medium whose sectors are readable again gives back what was in them. What was written in between must stay, so every write
//! takes away what it covers.

use std::ops::Range;

use super::model::{Ino, index};

/// Something that was damaged, and what was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scar {
    pub ino: Ino,
    pub offset: u64,
    pub was: Vec<u8>,
    /// The file was cut short there, rather than overwritten.
    pub cut: bool,
}

impl Scar {
    fn end(&self) -> u64 {
        self.offset + self.was.len() as u64
    }

    /// What is left of it when a range was written: its parts before and after.
    fn without(&self, range: &Range<u64>) -> Vec<Self> {
        if self.cut {
            // Whoever makes the file longer has gone on without the rest.
            return if range.end > self.offset { Vec::new() } else { vec![self.clone()] };
        }
        let parts =
            [self.offset..self.end().min(range.start), self.offset.max(range.end)..self.end()];
        let part = |part: Range<u64>| Self {
            offset: part.start,
            was: self.was[index(part.start - self.offset)..index(part.end - self.offset)].to_vec(),
            ..*self
        };
        parts.into_iter().filter(|part| part.start < part.end).map(part).collect()
    }
}

/// All damage that could be mended, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Scars(Vec<Scar>);

impl Scars {
    pub fn push(&mut self, scar: Scar) {
        self.0.push(scar);
    }

    /// A program wrote a range of a file, or cut it off.
    pub fn written(&mut self, ino: Ino, range: &Range<u64>) {
        if self.0.iter().any(|scar| scar.ino == ino) {
            let left = |scar: Scar| if scar.ino == ino { scar.without(range) } else { vec![scar] };
            self.0 = std::mem::take(&mut self.0).into_iter().flat_map(left).collect();
        }
    }

    /// From now on nothing that was damaged is mended.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Everything, in the order in which it must be mended: the latest first, since one may lie on another.
    pub fn take(&mut self) -> Vec<Scar> {
        let mut scars = std::mem::take(&mut self.0);
        scars.reverse();
        scars
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const INO: Ino = Ino(7);

    /// Programs and damage take turns on one file. Mended, each byte must be what a program wrote last, whatever lies between.
    #[test]
    fn mended_is_what_programs_wrote() {
        for seed in 0..2_000 {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let (mut wanted, mut found) = (vec![0_u8; 32], vec![0_u8; 32]);
            let mut scars = Scars::default();
            for _ in 0..dice.random_range(1..12) {
                let start = dice.random_range(0..32_usize);
                let range = start..dice.random_range(start + 1..=32);
                let byte = dice.random();
                if dice.random_bool(0.5) {
                    scars.push(Scar {
                        ino: INO,
                        offset: start as u64,
                        was: found[range.clone()].to_vec(),
                        cut: false,
                    });
                } else {
                    wanted[range.clone()].fill(byte);
                    scars.written(INO, &(range.start as u64..range.end as u64));
                }
                found[range].fill(byte);
            }
            for scar in scars.take() {
                let start = index(scar.offset);
                found[start..start + scar.was.len()].copy_from_slice(&scar.was);
            }
            assert_eq!(found, wanted, "seed {seed}");
        }
    }

    #[test]
    fn a_file_that_has_grown_does_not_get_its_end_back() {
        let check = |range: Range<u64>, mended: usize| {
            let mut scars = Scars::default();
            scars.push(Scar { ino: INO, offset: 10, was: vec![1; 4], cut: true });
            scars.written(Ino(8), &(0..99));
            scars.written(INO, &range);
            assert_eq!(scars.take().len(), mended, "{range:?}");
        };
        check(0..10, 1);
        check(9..11, 0);
        check(20..21, 0);
    }
}
