//! Random lives of a Paxos cluster, each from a seed: crashes that lose what was not synced, cuts, lost, doubled and late messages. Correct
//! replicas keep every invariant and make progress when the faults stop; replicas with a seeded mistake are found out.

mod chaos;
#[path = "../lives/mod.rs"]
#[expect(dead_code, reason = "slots are not asked how far they reach")]
mod lives;
mod oracle;

use std::ops::Range;

use keelhaul_protocol::paxos::Mutant;

/// Each takes about a twentieth of the time of a life with a clock, as those of Raft have.
fn lives(otherwise: u64) -> Range<u64> {
    0..20 * lives::seeds(otherwise).end
}

#[test]
fn correct_replicas_survive() {
    let (mut acknowledged, mut rounds, mut installed, mut failures) = (0, 0, 0, Vec::new());
    let seeds = lives(6);
    for seed in seeds.clone() {
        match chaos::run(seed, None) {
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
        assert_eq!(chaos::run(seed, None), chaos::run(seed, None));
    }
}

/// What breaks no rule is no mistake to anybody.
#[test]
fn equivalents_survive() {
    for change in Mutant::equivalents() {
        for seed in lives(1) {
            if let Err(violation) = chaos::run(seed, Some(change)) {
                panic!("{change} is taken for a mistake, seed {seed}: {violation}");
            }
        }
    }
}

/// The first seed that kills each mutant; and if many seeds are asked for, how many of a tenth of them do.
#[test]
fn mutants_are_caught() {
    const FIRST: Range<u64> = 0..1_500;
    // Clocks are each node's own here, so that leases mean nothing, and there is time enough for everybody to be the first; the others take too
    // long coincidences. Golden scripts play all of them.
    let scripted = [
        Mutant::LeaseFromReceipt,
        Mutant::NoBackOff,
        Mutant::CountStalePromises,
        Mutant::AnswerBySlot,
        Mutant::CountAnyBallot,
    ];
    let looked_for = |mutant: &Mutant| !mutant.info().in_storage && !scripted.contains(mutant);
    let table = 0..lives(0).end / 10;
    let mut alive = Vec::new();
    println!("first of {FIRST:?}; how many of {table:?}");
    for mutant in Mutant::all().filter(looked_for) {
        let kills = |seed: &u64| chaos::run(*seed, Some(mutant)).is_err();
        let first = FIRST.into_iter().find(kills);
        let count = table.clone().filter(kills).count();
        println!("{:<22} {first:>4?} {count:>4}", mutant.name());
        if first.is_none() {
            alive.push(mutant);
        }
    }
    assert!(alive.is_empty(), "{alive:?} live");
}
