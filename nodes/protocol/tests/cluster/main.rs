//! Random lives of a Raft cluster, each from a seed: crashes that lose what was not synced, cuts, pauses, lost, doubled
//! and late messages. Correct replicas keep every invariant and make progress when the faults stop;
//! replicas with a seeded mistake are found out.
//!
//! Those who change the protocol want some thousands of seeds:
//! `KEELHAUL_SEEDS=2000 cargo test --release -p keelhaul-protocol --test cluster -- --nocapture`.

mod chaos;
mod churn;
mod faults;
#[path = "../lives/mod.rs"]
mod lives;
mod oracle;
mod sim;
mod weather;

use std::ops::Range;

use faults::Kinds;
use keelhaul_protocol::raft::Mutant;
use lives::seeds;
use sim::{Plan, Sim};

fn plan(seed: u64) -> Plan {
    // Half of the lives know neither an operator nor leases.
    let (churn, lease) = (seed % 4 == 1, seed % 4 >= 2 && !seed.is_multiple_of(3));
    Plan { seed, mutant: None, kinds: Kinds::ALL, internal: true, churn, lease }
}

/// Mistakes in what an operator asks for.
fn needs_churn(mutant: Mutant) -> bool {
    [
        Mutant::LeaseAfterTransfer,
        Mutant::ChangeTooEarly,
        Mutant::ChangeWhilePending,
        Mutant::JointUnion,
        Mutant::KeepMembership,
        Mutant::StaleMembership,
        Mutant::CountLearners,
        Mutant::RemovedDisrupts,
        Mutant::TransferSticks,
    ]
    .contains(&mutant)
}

fn needs_lease(mutant: Mutant) -> bool {
    [Mutant::LeaseFromReceipt, Mutant::LeaseAfterTransfer].contains(&mutant)
}

/// Whether the mutant is caught at this seed: by what clients see or, also, by what is checked inside.
fn kills(mutant: Mutant, seed: u64, internal: bool) -> bool {
    let kinds = Kinds::named(mutant.info().nemesis);
    let (churn, lease) = (needs_churn(mutant), needs_lease(mutant));
    Sim::run(Plan { seed, mutant: Some(mutant), kinds, internal, churn, lease }).is_err()
}

#[test]
fn correct_replicas_survive() {
    let mut total = sim::Summary::default();
    let mut failures = Vec::new();
    let seeds = seeds(6);
    for seed in seeds.clone() {
        match Sim::run(plan(seed)) {
            Ok(summary) => total.add(&summary),
            Err(violation) => failures.push((seed, violation)),
        }
    }
    println!("seeds {seeds:?}: {total:?}");
    assert!(failures.is_empty(), "{} of {seeds:?} fail: {failures:#?}", failures.len());
    assert!(total.snapshots_installed > 0, "no snapshot was ever installed");
}

/// Leases keep their promise as long as clocks do, whose rates differ as far as is allowed.
#[test]
fn correct_leases_survive() {
    for seed in seeds(6) {
        if let Err(violation) = Sim::run(Plan { lease: true, ..plan(seed) }) {
            panic!("seed {seed}: {violation:?}");
        }
    }
}

/// Twenty lives for each of a timed run, which takes about as long.
#[test]
fn correct_replicas_survive_chaos() {
    let (mut acknowledged, mut terms, mut changes, mut failures) = (0, 0, 0, Vec::new());
    let seeds = 0..20 * seeds(6).end;
    for seed in seeds.clone() {
        match chaos::run(seed, None, seed % 2 == 1) {
            Ok(summary) => {
                acknowledged += summary.acknowledged;
                terms += summary.terms;
                changes += summary.changes;
            }
            Err(violation) => failures.push((seed, violation)),
        }
    }
    println!(
        "chaos, seeds {seeds:?}: {acknowledged} acknowledged in {terms} terms, {changes} changes of members"
    );
    assert!(failures.is_empty(), "{} of {seeds:?} fail: {failures:#?}", failures.len());
    assert!(terms > 5 * seeds.end && acknowledged > 10 * seeds.end, "little happened");
    assert!(changes > seeds.end, "few members changed");
}

#[test]
fn one_seed_is_one_life() {
    for seed in [6, 7] {
        assert_eq!(Sim::run(plan(seed)), Sim::run(plan(seed)));
    }
}

/// What breaks no rule is no mistake to anybody.
#[test]
fn equivalents_survive() {
    let seeds = seeds(2);
    println!("seeds {seeds:?}");
    // Without pre-votes a node that was removed and does not know it keeps the others from work (dissertation §4.2.3).
    let members = |change| change != Mutant::NoPreVote;
    for change in Mutant::equivalents() {
        for seed in seeds.clone() {
            let plan = plan(seed);
            let plan = Plan { mutant: Some(change), churn: plan.churn && members(change), ..plan };
            if let Err(violation) = Sim::run(plan) {
                panic!("{change} is taken for a mistake with seed {seed}: {violation:?}");
            }
        }
        for seed in 0..20 * seeds.end {
            if let Err(violation) = chaos::run(seed, Some(change), members(change) && seed % 2 == 1)
            {
                panic!("{change} is taken for a mistake in chaos, seed {seed}: {violation}");
            }
        }
    }
}

/// How rare the mistakes are that only an operator brings about: lives until the first five deaths. For
/// `KEELHAUL_SEEDS=100000 cargo test --release -p keelhaul-protocol --test cluster -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, of minutes"]
fn how_many_lives_a_rare_mistake_takes() {
    for mutant in Mutant::all().filter(|mutant| needs_churn(*mutant)) {
        let (deaths, way) = if needs_lease(mutant) {
            let fewer = 0..seeds(1_000).end / 20;
            let timed = fewer.filter(|seed| kills(mutant, *seed, true));
            (timed.take(5).collect::<Vec<_>>(), "timed")
        } else {
            let chaos = seeds(1_000).filter(|seed| chaos::run(*seed, Some(mutant), true).is_err());
            (chaos.take(5).collect::<Vec<_>>(), "without a clock")
        };
        println!("{:<22} dies {way} at {deaths:?}", mutant.name());
    }
}

/// The first seed that kills each mutant; and if many seeds are asked for, how many of a fiftieth of them do.
#[test]
fn mutants_are_caught() {
    const FIRST: Range<u64> = 0..20;
    let table = 0..seeds(0).end / 50;
    let mut alive = Vec::new();
    println!(
        "first of {FIRST:?}; of {table:?}: timed and seen by clients, or inside; without a clock"
    );
    for mutant in Mutant::all().filter(|mutant| !mutant.info().in_storage) {
        let first = FIRST.into_iter().find(|seed| kills(mutant, *seed, true)).or_else(|| {
            // Many short lives are as cheap.
            let lives = 0..20 * FIRST.end;
            let chaos = |seed| chaos::run(seed, Some(mutant), needs_churn(mutant)).is_err();
            lives.into_iter().find(|seed| chaos(*seed))
        });
        if first.is_none() {
            alive.push(mutant);
        }
        let count = |kills: &dyn Fn(u64) -> bool| table.clone().filter(|seed| kills(*seed)).count();
        let outside = count(&|seed| kills(mutant, seed, false));
        let inside = count(&|seed| kills(mutant, seed, true));
        let chaos = count(&|seed| chaos::run(seed, Some(mutant), needs_churn(mutant)).is_err());
        println!("{:<18} {first:>2?} {outside:>4} {inside:>4} {chaos:>4}", mutant.name());
        assert!(inside >= outside, "{mutant}: the oracles see less than clients do");
    }
    // Too long coincidences: golden scripts play them.
    let scripted = [Mutant::CommitOldTerm, Mutant::LeaseFromReceipt, Mutant::LeaseAfterTransfer];
    alive.retain(|mutant| !scripted.contains(mutant) && *mutant != Mutant::ChangeTooEarly);
    assert!(alive.is_empty(), "{alive:?} live");
}
