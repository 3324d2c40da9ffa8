//! Every promise against its definition, by brute force, on many small random histories.
//!
//! The oracle knows nothing of bad patterns: it tries every causal order, every order of what happened before a read, every
//! arbitration, every view, every choice of which write a read found, and whether each operation of unknown outcome happened.
//! On longer histories the patterns, closed naively, are the oracle.

mod histories;
mod patterns;
mod world;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::budget::Unlimited;
use crate::causal;
use crate::registers::DECIDABLE;
use crate::verdict::Verdict;
use histories::{history, registers};
use world::{Op, World, oracle};

type Checker = fn(&Registers, &dyn Budget) -> Check;

/// Compares a checker with the definition; a failure names the seed.
fn compare(seeds: std::ops::Range<u64>, checker: Checker, kept: impl Fn(&World) -> bool) {
    let mut seen = [0; 2];
    for seed in seeds.clone() {
        let ops = history(&mut ChaCha8Rng::seed_from_u64(seed));
        let expected = oracle(&ops, &kept);
        let registers = registers(&ops);
        let check = checker(&registers, &Unlimited);
        let found = match check.verdict {
            Verdict::Valid => true,
            Verdict::Invalid => false,
            other => panic!("seed {seed}: {other:?} {check:?} {ops:#?}"),
        };
        assert_eq!(found, expected, "seed {seed}: {check:#?} {ops:#?}");
        seen[usize::from(found)] += 1;
        if let Some(evidence) = check.evidence {
            assert!(
                evidence.minimal && !evidence.ops.is_empty(),
                "seed {seed}: {evidence:#?} {ops:#?}"
            );
            let shown = |at: &usize| evidence.ops.iter().any(|op| op.index == 2 * *at as u64);
            let part: Vec<Op> = (0..ops.len()).filter(shown).map(|at| ops[at]).collect();
            assert!(!oracle(&part, &kept), "seed {seed}: {evidence:#?} {ops:#?}");
        }
    }
    let rare = (seeds.end - seeds.start) / 20;
    assert!(seen.iter().all(|n| *n > rare), "both answers must be common: {seen:?}");
}

#[test]
fn causal_is_as_defined() {
    compare(0..2_000, causal::check, World::causal);
}

#[test]
fn causal_convergence_is_as_defined() {
    compare(100_000..102_000, causal::check_convergence, World::convergence);
}

#[test]
fn causal_memory_is_as_defined() {
    compare(200_000..202_000, causal::check_memory, World::memory);
}

#[test]
fn pram_is_as_defined() {
    compare(300_000..303_000, check_pram, World::pram);
}

#[test]
fn read_your_writes_is_as_defined() {
    compare(400_000..403_000, check_read_your_writes, World::read_your_writes);
}

#[test]
fn monotonic_reads_is_as_defined() {
    compare(500_000..503_000, check_monotonic_reads, World::monotonic_reads);
}

#[test]
fn monotonic_writes_is_as_defined() {
    compare(600_000..603_000, check_monotonic_writes, World::monotonic_writes);
}

#[test]
fn writes_follow_reads_is_as_defined() {
    compare(700_000..703_000, check_writes_follow_reads, World::writes_follow_reads);
}

#[test]
fn what_is_implied_is_kept() {
    for seed in 800_000..802_000 {
        let ops = history(&mut ChaCha8Rng::seed_from_u64(seed));
        let registers = registers(&ops);
        let verdicts: Vec<(Model, Verdict)> = DECIDABLE
            .iter()
            .filter(|(model, _)| Model::Linearizable.implies(*model))
            .map(|(model, check)| (*model, check(&registers, &Unlimited).verdict))
            .collect();
        for (stronger, verdict) in &verdicts {
            for (weaker, other) in &verdicts {
                let contradiction = *verdict == Verdict::Valid && *other == Verdict::Invalid;
                assert!(
                    !(stronger.implies(*weaker) && contradiction),
                    "seed {seed}: {stronger} but not {weaker}: {ops:#?}"
                );
            }
        }
    }
}
