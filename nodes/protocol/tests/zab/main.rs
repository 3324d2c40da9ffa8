//! Random lives of a Zab cluster, each from a seed: crashes that lose what was not synced, cuts, pauses, lost, doubled
//! and late messages. Correct replicas keep every invariant and make progress when the faults stop;
//! replicas with a seeded mistake are found out.
//!
//! Those who change the protocol want many thousands of seeds:
//! `KEELHAUL_SEEDS=50000 cargo test --release -p keelhaul-protocol --test zab -- --nocapture`.

mod chaos;
#[path = "../lives/mod.rs"]
mod lives;
mod oracle;

use std::ops::Range;

use keelhaul_protocol::zab::Mutant;
use lives::seeds;

#[test]
fn correct_replicas_survive() {
    let (mut acknowledged, mut epochs, mut failures) = (0, 0, Vec::new());
    let seeds = seeds(80);
    for seed in seeds.clone() {
        match chaos::run(seed, None) {
            Ok(summary) => {
                acknowledged += summary.acknowledged;
                epochs += summary.epochs;
            }
            Err(violation) => failures.push((seed, violation)),
        }
    }
    println!("seeds {seeds:?}: {acknowledged} acknowledged in {epochs} epochs");
    let some: Vec<_> = failures.iter().take(5).collect();
    assert!(failures.is_empty(), "{} of {seeds:?} fail: {some:#?}", failures.len());
    assert!(epochs > 3 * seeds.end && acknowledged > 10 * seeds.end, "little happened");
}

#[test]
fn one_seed_is_one_life() {
    for seed in [6, 7] {
        assert_eq!(chaos::run(seed, None), chaos::run(seed, None));
    }
}

/// What breaks no rule is no mistake to anybody.
#[test]
fn equivalents_survive() {
    for change in Mutant::equivalents() {
        for seed in seeds(8) {
            if let Err(violation) = chaos::run(seed, Some(change)) {
                panic!("{change} is taken for a mistake with seed {seed}: {violation}");
            }
        }
    }
}

/// The first seed that kills each mutant; and if many seeds are asked for, how many of a tenth of them do.
#[test]
fn mutants_are_caught() {
    const FIRST: Range<u64> = 0..400;
    let table = 0..seeds(0).end / 10;
    let mut alive = Vec::new();
    println!("first of {FIRST:?}; of {table:?}");
    for mutant in Mutant::all().filter(|mutant| !mutant.info().in_storage) {
        let kills = |seed: &u64| chaos::run(*seed, Some(mutant)).is_err();
        let first = FIRST.into_iter().find(kills);
        if first.is_none() {
            alive.push(mutant);
        }
        let deaths = table.clone().filter(kills).count();
        println!("{:<28} {first:>3?} {deaths:>5}", mutant.name());
    }
    // Too long coincidences: golden scripts play them.
    let scripted = [Mutant::VoteByZxid, Mutant::LargerCounter];
    alive.retain(|mutant| !scripted.contains(mutant));
    assert!(alive.is_empty(), "{alive:?} live");
}
