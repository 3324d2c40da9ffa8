//! Random lives of a Raft cluster, each from a seed: crashes that lose what was not synced, cuts, pauses, lost, doubled
//! and late messages. Correct replicas keep every invariant and make progress when the faults stop;
//! replicas with a seeded mistake are found out.

mod clients;
mod disk;
mod faults;
mod linear;
mod oracle;
mod sim;

use std::ops::Range;

use faults::Kinds;
use keelhaul_protocol::raft::Mutant;
use sim::{Plan, Sim, Violation};

fn plan(seed: u64) -> Plan {
    Plan { seed, mutant: None, kinds: Kinds::ALL, internal: true }
}

/// The first seed at which the mutant is caught, and how.
fn kill(mutant: Mutant, seeds: Range<u64>, internal: bool) -> Option<(u64, Violation)> {
    let kinds = Kinds::named(mutant.info().nemesis);
    seeds.into_iter().find_map(|seed| {
        let plan = Plan { seed, mutant: Some(mutant), kinds, internal };
        Sim::run(plan).err().map(|violation| (seed, violation))
    })
}

#[test]
fn correct_replicas_survive() {
    let mut installed = 0;
    for seed in 0..12 {
        match Sim::run(plan(seed)) {
            Ok(summary) => {
                assert!(summary.acknowledged > 300, "seed {seed}: {summary:?}");
                installed += summary.snapshots_installed;
            }
            Err(violation) => panic!("seed {seed}: {violation:?}"),
        }
    }
    assert!(installed > 0, "no snapshot was ever installed");
}

#[test]
fn one_seed_is_one_life() {
    assert_eq!(Sim::run(plan(7)), Sim::run(plan(7)));
}

#[test]
fn live_mutants_are_caught() {
    const SEEDS: Range<u64> = 0..20;
    for mutant in Mutant::all().filter(|mutant| mutant.info().class <= 2) {
        let caught = kill(mutant, SEEDS, true);
        assert!(caught.is_some(), "{mutant} lives through seeds {SEEDS:?}");
    }
}

/// Many seeds, for those who changed the protocol: `cargo test --release -p keelhaul-protocol -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn correct_replicas_survive_long() {
    let mut total = sim::Summary::default();
    for seed in 1_000..2_000 {
        match Sim::run(plan(seed)) {
            Ok(summary) => {
                total.acknowledged += summary.acknowledged;
                total.snapshots_installed += summary.snapshots_installed;
                total.steps += summary.steps;
            }
            Err(violation) => panic!("seed {seed}: {violation:?}"),
        }
    }
    println!("{total:?}");
}

/// How many of the seeds kill each mutant, by what clients see and by what is checked inside.
#[test]
#[ignore = "a measurement"]
fn kill_table() {
    const SEEDS: u64 = 40;
    for mutant in Mutant::all() {
        let killed = |internal| {
            let kills = |seed: &u64| kill(mutant, *seed..seed + 1, internal).is_some();
            (0..SEEDS).filter(kills).count()
        };
        println!(
            "{:<20} of {SEEDS} seeds: seen by clients {:>3}, inside {:>3}",
            mutant.name(),
            killed(false),
            killed(true)
        );
    }
}
