//! Random lives of a Paxos cluster, each from a seed: crashes that lose what was not synced, cuts, lost, doubled and late messages. Correct
//! replicas keep every invariant and make progress when the faults stop; replicas with a seeded mistake are found out.

mod chaos;
#[path = "../cluster/clients.rs"]
#[expect(dead_code, reason = "some of it is asked of Raft's replicas only")]
mod clients;
mod disk;
#[path = "../cluster/linear.rs"]
mod linear;
mod oracle;

use std::ops::Range;

use chaos::Chaos;
use keelhaul_protocol::paxos::Mutant;

/// How many seeds each test plays: `otherwise`, or twenty times what `KEELHAUL_SEEDS` says.
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be asked for more than it plays by itself"
)]
fn seeds(otherwise: u64) -> Range<u64> {
    let count = std::env::var("KEELHAUL_SEEDS").ok().map(|count| {
        count.parse::<u64>().unwrap_or_else(|_| panic!("KEELHAUL_SEEDS is '{count}', not a number"))
    });
    0..count.map_or(otherwise, |count| 20 * count)
}

#[test]
fn correct_replicas_survive() {
    let (mut acknowledged, mut rounds, mut installed, mut failures) = (0, 0, 0, Vec::new());
    let seeds = seeds(120);
    for seed in seeds.clone() {
        match Chaos::run(seed, None) {
            Ok(summary) => {
                acknowledged += summary.acknowledged;
                rounds += summary.rounds;
                installed += summary.installed;
            }
            Err(violation) => failures.push((seed, violation)),
        }
    }
    println!(
        "seeds {seeds:?}: {acknowledged} acknowledged in {rounds} rounds, {installed} snapshots fetched"
    );
    assert!(failures.is_empty(), "{} of {seeds:?} fail: {failures:#?}", failures.len());
    assert!(rounds > 5 * seeds.end && acknowledged > 10 * seeds.end, "little happened");
    assert!(installed > seeds.end / 10, "few snapshots were fetched");
}

#[test]
fn one_seed_is_one_life() {
    for seed in [6, 7] {
        assert_eq!(Chaos::run(seed, None), Chaos::run(seed, None));
    }
}

/// What breaks no rule is no mistake to anybody.
#[test]
fn equivalents_survive() {
    for change in Mutant::equivalents() {
        for seed in seeds(20) {
            if let Err(violation) = Chaos::run(seed, Some(change)) {
                panic!("{change} is taken for a mistake, seed {seed}: {violation}");
            }
        }
    }
}

/// The first seed that kills each mutant; and if many seeds are asked for, how many of a tenth of them do.
#[test]
fn mutants_are_caught() {
    const FIRST: Range<u64> = 0..600;
    let table = 0..seeds(0).end / 10;
    let mut alive = Vec::new();
    println!("first of {FIRST:?}; how many of {table:?}");
    for mutant in Mutant::all() {
        let kills = |seed: &u64| Chaos::run(*seed, Some(mutant)).is_err();
        let first = FIRST.into_iter().find(kills);
        let count = table.clone().filter(kills).count();
        println!("{:<22} {first:>4?} {count:>4}", mutant.name());
        if first.is_none() {
            alive.push(mutant);
        }
    }
    // Clocks are each node's own here, so that leases mean nothing, and there is time enough for everybody to be the first; the others take too
    // long coincidences. Golden scripts play all of them.
    let scripted = [
        Mutant::LeaseFromReceipt,
        Mutant::NoBackOff,
        Mutant::CountStalePromises,
        Mutant::AnswerBySlot,
    ];
    alive.retain(|mutant| !scripted.contains(mutant));
    assert!(alive.is_empty(), "{alive:?} live");
}
