//! Lives as a whole: the same plan gives the same life, correct nodes live well, and mistakes are found and cut down.

use std::collections::BTreeSet;

use keelhaul_checkers::{Unlimited, Verdict};
use keelhaul_nemesis::{KINDS, Schedule, ScheduleOptions, harms, is_simulated};
use keelhaul_protocol::paxos;
use keelhaul_protocol::raft::Mutant;
use keelhaul_protocol::zab;
use keelhaul_sim::{
    Evidence, Guidance, Hunt, SimPlan, States, System, What, Work, draw, judgement, live, shrink,
    stream, violation,
};

/// Short enough for a debug build.
fn short(seed: u64) -> SimPlan {
    short_of(System::Raft(None), seed)
}

fn short_of(system: System, seed: u64) -> SimPlan {
    let mut plan = draw(system, seed);
    plan.rate = plan.rate.min(100.0);
    plan.time_limit_ms = 5_000;
    plan.schedule.faults.retain(|fault| fault.until_ms < 5_000);
    plan
}

#[test]
fn the_same_plan_gives_the_same_life() {
    for seed in 0..20 {
        let plan = short(seed);
        let (mut states, mut again) = (States::default(), States::default());
        let (first, second) = (live(&plan, true, &mut states), live(&plan, true, &mut again));
        assert!(first.history == second.history && first.trace == second.trace, "seed {seed}");
        assert_eq!((first.figures, &states), (second.figures, &again), "seed {seed}");
        // Being looked at changes nothing.
        let unseen = live(&plan, false, &mut States::default());
        assert!(unseen.history == first.history && unseen.trace.is_empty(), "seed {seed}");
        let other = live(&short(seed + 1_000), false, &mut States::default());
        assert!(other.history != first.history);
    }
}

/// A life of correct nodes, and the kinds of faults that were in effect in it.
fn live_well(plan: &SimPlan) -> BTreeSet<String> {
    let life = live(plan, true, &mut States::default());
    assert_eq!(violation(&life, &Unlimited), None, "{plan:?}");
    let judged = judgement(&life, &Unlimited);
    assert!(judged.operations > 30, "{} operations: {plan:?}", judged.operations);
    assert!(judged.checks.iter().all(|check| check.verdict != Verdict::Unknown));
    judged.faults.into_iter().filter(|fault| fault.effective > 0).map(|fault| fault.kind).collect()
}

#[test]
fn correct_nodes_live_well_under_faults_as_they_come() {
    for seed in 100..120 {
        live_well(&short(seed));
    }
}

#[test]
fn correct_nodes_live_well_under_every_fault() {
    for (seed, (kind, _)) in
        (200..).zip(KINDS.iter().filter(|kind| is_simulated(kind.0) && !harms(kind.0)))
    {
        let mut plan = short(seed);
        let kinds = vec![(*kind).to_owned()];
        let options =
            ScheduleOptions { kinds, nodes: plan.nodes, time_limit_ms: 5_000, interval_ms: 700 };
        plan.schedule = Schedule::draw(&options, &mut stream(seed, "schedule"));
        assert!(live_well(&plan).contains(*kind), "{kind} was in effect");
    }
}

#[test]
fn correct_paxos_lives_well_too() {
    for seed in 200..215 {
        let life = live(&short_of(System::Paxos(None), seed), false, &mut States::default());
        assert_eq!(violation(&life, &Unlimited), None, "seed {seed}");
        let judged = judgement(&life, &Unlimited);
        assert!(judged.operations > 30, "seed {seed}: {} operations", judged.operations);
    }
}

#[test]
fn plain_mistakes_of_paxos_are_found() {
    use paxos::Mutant::{FillWithNoop, HalfIsQuorum, SkipHoles};
    for mutant in [FillWithNoop, HalfIsQuorum, SkipHoles] {
        let found = hunt_for(System::Paxos(Some(mutant)), Guidance::None, 60).found;
        assert!(found.is_some(), "{mutant} lives");
    }
}

#[test]
fn correct_zab_lives_well_too() {
    for seed in 200..215 {
        let life = live(&short_of(System::Zab(None), seed), false, &mut States::default());
        assert_eq!(violation(&life, &Unlimited), None, "seed {seed}");
        let judged = judgement(&life, &Unlimited);
        assert!(judged.operations > 30, "seed {seed}: {} operations", judged.operations);
    }
}

#[test]
fn plain_mistakes_of_zab_are_found() {
    use zab::Mutant::{AckUnsynced, KeepTail, QuorumOffByOne, SameEpoch};
    for mutant in [AckUnsynced, KeepTail, QuorumOffByOne, SameEpoch] {
        let found = hunt_for(System::Zab(Some(mutant)), Guidance::None, 60).found;
        assert!(found.is_some(), "{mutant} lives");
    }
}

fn hunt(mutant: Option<Mutant>, guidance: Guidance, lives_max: u64) -> keelhaul_sim::Hunted {
    hunt_for(System::Raft(mutant), guidance, lives_max)
}

/// A hunt as it is unless told otherwise.
fn plain_hunt(system: System, guidance: Guidance, lives_max: u64) -> Hunt {
    Hunt { first_seed: 0, lives_max, jobs: 2, guidance, evidence: Evidence::Any, system }
}

fn hunt_for(system: System, guidance: Guidance, lives_max: u64) -> keelhaul_sim::Hunted {
    let hunt = plain_hunt(system, guidance, lives_max);
    hunt.run(Vec::new(), &Unlimited, &|| false, &|_, _| ())
}

#[test]
fn a_vote_that_is_forgotten_breaks_vote_safety() {
    let found = hunt(Some(Mutant::ForgetVote), Guidance::None, 60).found.expect("it shows");
    assert_eq!(found.violation.kind(), "vote-safety", "{:?}", found.violation);
}

#[test]
fn what_clients_see_is_looked_for_behind_an_invariant_that_breaks_first() {
    let system = System::Raft(Some(Mutant::QuorumOffByOne));
    let inside = hunt_for(system, Guidance::None, 30).found.expect("it shows inside");
    assert_eq!(inside.violation.kind(), "durability");
    let hunt = Hunt { evidence: Evidence::Clients, ..plain_hunt(system, Guidance::None, 60) };
    let hunted = hunt.run(Vec::new(), &Unlimited, &|| false, &|_, _| ());
    let seen = hunted.found.expect("clients see it");
    assert_eq!(seen.violation.kind(), "nonlinearizable", "{:?}", seen.violation);
    let life = live(&seen.plan, false, &mut States::default());
    assert!(life.broken.is_some(), "what broke inside is told all the same");
}

#[test]
fn a_guided_hunt_keeps_what_is_new_and_leaves_correct_nodes_alone() {
    let hunted = hunt(None, Guidance::States, 30);
    assert!(hunted.found.is_none(), "{:?}", hunted.found);
    assert_eq!(hunted.tally.lives, 30);
    assert!(hunted.corpus.len() > 5 && hunted.tally.states > 500, "{:?}", hunted.tally);
}

#[test]
fn plain_mistakes_are_found_and_cut_down() {
    for mutant in [Mutant::VoteForAnyone, Mutant::QuorumOffByOne, Mutant::CommitUnverified] {
        let found = hunt(Some(mutant), Guidance::None, 30).found.expect("a mistake shows");
        let shrunk = shrink(&found.plan, 150, &Unlimited).expect("it goes wrong again");
        assert_eq!(shrunk.violation.kind(), found.violation.kind());
        assert!(shrunk.plan.schedule.faults.len() <= found.plan.schedule.faults.len());
        assert!(matches!(shrunk.plan.work, Work::Listed(_)), "{mutant:?}");
        // What is left is repeatable, and can be told.
        let again = live(&shrunk.plan, true, &mut States::default());
        assert!(again.history == shrunk.life.history);
        let messages = again.trace.iter().filter(|h| matches!(h.what, What::Message { .. }));
        assert!(messages.count() > 0);
    }
}
