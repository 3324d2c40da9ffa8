//! Histories of more operations than can be tried, with written values that differ: the bad patterns by closing relations, a
//! matrix each, until nothing is new.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::histories::{Shape, arbitrary, registers, replicated};
use super::world::Op;
use super::{Checker, check_pram};
use crate::budget::Unlimited;
use crate::causal;
use crate::columns::INITIAL;
use crate::verdict::Verdict;

/// What comes before each operation, as sets.
type Before = Vec<u64>;

/// A history whose operations all happened and have one source each: none for the initial value.
struct Told {
    ops: Vec<Op>,
    sources: Vec<Option<usize>>,
}

impl Told {
    /// Leaves out what nobody can have seen; none if somebody found what nobody wrote.
    fn new(ops: &[Op]) -> Option<Self> {
        let writer = |op: &Op| {
            let writers = ops.iter().position(|w| w.key == op.key && w.leaves() == Some(op.a));
            if op.a == INITIAL { Ok(None) } else { writers.map(Some).ok_or(()) }
        };
        let mut happened: Vec<bool> = ops.iter().map(|op| op.known).collect();
        for _ in ops {
            for at in 0..ops.len() {
                if happened[at] && ops[at].finds() {
                    let source = writer(&ops[at]).ok()?;
                    if let Some(source) = source {
                        happened[source] = true;
                    }
                }
            }
        }
        let kept: Vec<usize> = (0..ops.len()).filter(|at| happened[*at]).collect();
        let place = |at: usize| kept.iter().position(|other| *other == at);
        let source = |at: &usize| {
            let op = &ops[*at];
            if op.finds() { writer(op).ok().flatten().and_then(place) } else { None }
        };
        let sources = kept.iter().map(source).collect();
        Some(Self { ops: kept.iter().map(|at| ops[*at]).collect(), sources })
    }

    fn po(&self, a: usize, b: usize) -> bool {
        a < b && self.ops[a].process == self.ops[b].process && self.ops[a].known
    }

    /// Sessions, and reading by those operations.
    fn base(&self, reads: impl Fn(usize) -> bool) -> Before {
        let mut before = vec![0; self.ops.len()];
        for (op, set) in before.iter_mut().enumerate() {
            for other in (0..self.ops.len()).filter(|other| self.po(*other, op)) {
                *set |= 1 << other;
            }
            if let Some(source) = self.sources[op].filter(|_| reads(op)) {
                *set |= 1 << source;
            }
        }
        close(&mut before);
        before
    }

    fn writes(&self, key: u32) -> impl Iterator<Item = usize> {
        (0..self.ops.len())
            .filter(move |w| self.ops[*w].key == key && self.ops[*w].leaves().is_some())
    }

    /// Whether the reads of these operations fit their pasts.
    fn fits(&self, before: &Before, reads: impl Fn(usize) -> bool) -> bool {
        let readers = (0..self.ops.len()).filter(|op| self.ops[*op].finds() && reads(*op));
        acyclic(before)
            && readers.into_iter().all(|read| {
                self.writes(self.ops[read].key)
                    .filter(|w| before[read] >> w & 1 == 1)
                    .all(|w| self.sources[read].is_some_and(|source| before[w] >> source & 1 == 0))
            })
    }

    /// Adds that writes before a read come before the one that it found; true if something was new.
    fn saturate(&self, before: &mut Before, reads: impl Fn(usize) -> bool) -> bool {
        let old = before.clone();
        for read in (0..self.ops.len()).filter(|op| reads(*op)) {
            let Some(source) = self.sources[read] else { continue };
            for write in self.writes(self.ops[read].key).filter(|w| *w != source) {
                if before[read] >> write & 1 == 1 {
                    before[source] |= 1 << write;
                }
            }
        }
        close(before);
        *before != old
    }

    fn causal(&self) -> bool {
        self.fits(&self.base(|_| true), |_| true)
    }

    fn convergence(&self) -> bool {
        let happened = self.base(|_| true);
        let mut before = happened.clone();
        for (read, past) in happened.iter().enumerate() {
            let Some(source) = self.sources[read] else { continue };
            for write in self.writes(self.ops[read].key).filter(|w| *w != source) {
                if past >> write & 1 == 1 {
                    before[source] |= 1 << write;
                }
            }
        }
        close(&mut before);
        self.causal() && acyclic(&before)
    }

    fn views(&self, base: impl Fn(usize) -> Before) -> bool {
        (0..self.ops.len()).all(|last| {
            let own = |op: usize| op == last || self.po(op, last);
            let mut before = base(last);
            while self.saturate(&mut before, own) {}
            self.fits(&before, own)
        })
    }

    fn memory(&self) -> bool {
        let happened = self.base(|_| true);
        let past = |last: usize| {
            let set = happened[last] | 1 << last;
            let keep = |(op, before): (usize, &u64)| if set >> op & 1 == 1 { *before } else { 0 };
            happened.iter().enumerate().map(keep).collect()
        };
        self.causal() && self.views(past)
    }

    fn pram(&self) -> bool {
        self.views(|last| self.base(|op| op == last || self.po(op, last)))
    }
}

fn close(before: &mut Before) {
    for middle in 0..before.len() {
        for op in 0..before.len() {
            if before[op] >> middle & 1 == 1 {
                before[op] |= before[middle];
            }
        }
    }
}

fn acyclic(before: &Before) -> bool {
    before.iter().enumerate().all(|(op, set)| set >> op & 1 == 0)
}

fn history(rng: &mut ChaCha8Rng) -> Vec<Op> {
    let shape = Shape {
        ops: rng.random_range(8..24),
        processes: rng.random_range(2..6),
        keys: rng.random_range(1..3),
        values: 0,
        cas_percent: rng.random_range(0..2) * 30,
        miss_percent: 0,
        unknown_percent: rng.random_range(0..3) * 10,
    };
    if rng.random_range(0..8) == 0 {
        return arbitrary(rng, Shape { ops: shape.ops / 2, ..shape });
    }
    let mut ops = replicated(rng, shape);
    if rng.random_range(0..3) == 0 {
        let at = rng.random_range(0..ops.len());
        let value = ops[rng.random_range(0..ops.len())].a;
        if ops[at].finds() && ops[at].leaves() != Some(value) {
            ops[at].a = value;
        }
    }
    ops
}

fn compare(seeds: std::ops::Range<u64>, checker: Checker, kept: impl Fn(&Told) -> bool) {
    let mut seen = [0; 2];
    for seed in seeds.clone() {
        let ops = history(&mut ChaCha8Rng::seed_from_u64(seed));
        let expected = Told::new(&ops).is_some_and(|told| kept(&told));
        let check = checker(&registers(&ops), &Unlimited);
        let verdict = if expected { Verdict::Valid } else { Verdict::Invalid };
        assert_eq!(check.verdict, verdict, "seed {seed}: {check:#?} {ops:?}");
        assert!(check.evidence.is_none_or(|evidence| evidence.minimal), "seed {seed}: {ops:?}");
        seen[usize::from(expected)] += 1;
    }
    let rare = (seeds.end - seeds.start) / 20;
    assert!(seen.iter().all(|n| *n > rare), "both answers must be common: {seen:?}");
}

#[test]
fn causal_has_no_bad_pattern() {
    compare(0..500, causal::check, Told::causal);
}

#[test]
fn causal_convergence_has_no_bad_pattern() {
    compare(10_000..10_500, causal::check_convergence, Told::convergence);
}

#[test]
fn causal_memory_has_no_bad_pattern() {
    compare(20_000..20_500, causal::check_memory, Told::memory);
}

#[test]
fn pram_has_no_bad_pattern() {
    compare(30_000..30_500, check_pram, Told::pram);
}
