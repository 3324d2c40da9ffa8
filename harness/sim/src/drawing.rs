//! Plans of lives, drawn by chance: anew, aimed, composed, or like another.

use keelhaul_nemesis::{
    Ask, KINDS, Moment, Schedule, ScheduleOptions, ScheduledFault, Shape, Spec, Target, harms,
    is_simulated, needs_membership,
};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::disk::Medium;
use crate::plan::{Evidence, SimPlan, Weather, Work, stream};
use crate::succession::compose;
use crate::system::System;

/// Changes made to a schedule at most, to come by the next one.
const CHANGES_MAX: u32 = 4;

pub(crate) fn one_of<T: Copy>(choices: &[T], rng: &mut ChaCha8Rng) -> T {
    choices[rng.random_range(0..choices.len())]
}

/// The faults that a system promises to survive, in virtual time. Leases count on clocks that do not jump.
fn kinds(system: System, lease_reads: bool) -> impl Iterator<Item = &'static str> {
    let promised = move |kind: &str| match kind {
        "clock-bump" => !lease_reads,
        _ if needs_membership(kind) => system.has_membership(),
        _ => !harms(kind),
    };
    KINDS.iter().map(|kind| kind.0).filter(move |kind| is_simulated(kind) && promised(kind))
}

/// A life drawn from a seed: how many nodes and clients, which faults how often, and in what weather.
#[must_use]
pub fn draw(system: System, seed: u64) -> SimPlan {
    let rng = &mut stream(seed, "life");
    let nodes = one_of(&[3, 3, 4, 5, 5], rng);
    let (time_limit_ms, interval_ms) = (10_000, one_of(&[700, 1_500, 3_000], rng));
    let lease_reads = system.has_leases() && rng.random_bool(0.5);
    let mut kinds: Vec<String> = kinds(system, lease_reads).map(str::to_owned).collect();
    kinds.shuffle(rng);
    let all = kinds.len();
    kinds.truncate(one_of(&[1, 2, 3, all], rng));
    let options = ScheduleOptions { kinds, nodes, time_limit_ms, interval_ms };
    let mut weather = Weather::draw(seed);
    if lease_reads {
        // Together with what a fault tells a clock it stays within what leases allow for.
        (weather.jump_ms, weather.drift_ppm) = (0, weather.drift_ppm.min(1_000));
    }
    SimPlan {
        nodes,
        concurrency: one_of(&[5, 10, 30], rng),
        rate: one_of(&[20.0, 100.0, 400.0], rng),
        time_limit_ms,
        op_timeout_ms: one_of(&[300, 1_000, 3_000], rng),
        schedule: Schedule::draw(&options, rng),
        work: Work::Drawn,
        weather,
        medium: one_of(&[Medium::Journaled, Medium::Strict], rng),
        lease_reads,
        evidence: Evidence::Any,
        system,
        seed,
    }
}

const MOMENTS: [Moment; 6] =
    [Moment::Vote, Moment::Elected, Moment::Commit, Moment::Sync, Moment::Snapshot, Moment::Round];

/// Lets some faults of a schedule strike at moments, and at leaders, and some come close upon each other.
pub(crate) fn aim(schedule: &mut Schedule, rng: &mut ChaCha8Rng) {
    for at in 0..schedule.faults.len() {
        if rng.random_bool(0.4) {
            schedule.faults[at].moment = Some(one_of(&MOMENTS, rng));
        }
        if rng.random_bool(0.2) {
            retarget(&mut schedule.faults[at].spec, Target::Leader);
        }
        if at > 0 && rng.random_bool(0.3) {
            let before = schedule.faults[at - 1].at_ms;
            reschedule(&mut schedule.faults[at], before + rng.random_range(10..300));
        }
    }
    tidy(schedule);
}

fn retarget(spec: &mut Spec, to: Target) {
    if let Spec::Partition { shape, .. } = spec {
        *shape = Shape::Leader;
    } else if let Spec::Links(links) = spec {
        links.shape = Shape::Leader;
    } else if let Some(target) = spec.target_mut() {
        *target = to;
    }
}

/// The fault begins at another time and holds as long as before.
fn reschedule(fault: &mut ScheduledFault, at_ms: u64) {
    fault.until_ms = at_ms + (fault.until_ms - fault.at_ms);
    fault.at_ms = at_ms;
}

/// A plan like another, but for a few changes.
pub(crate) fn mutate(mut plan: SimPlan, seed: u64, rng: &mut ChaCha8Rng) -> SimPlan {
    // Half of the time the chances of the network stay as they were, as far as what happens is the same.
    if rng.random_bool(0.5) {
        plan.seed = seed;
    }
    for _ in 0..rng.random_range(1..=CHANGES_MAX) {
        change(&mut plan, rng);
    }
    let limit = plan.time_limit_ms;
    plan.schedule.faults.retain(|fault| fault.until_ms < limit);
    tidy(&mut plan.schedule);
    plan
}

fn change(plan: &mut SimPlan, rng: &mut ChaCha8Rng) {
    let count = plan.schedule.faults.len();
    let what = rng.random_range(0..9);
    if count == 0 || what == 0 {
        // Another draw's fault.
        let mut other = draw(plan.system, rng.next_u64());
        if rng.random_bool(0.5) {
            compose(&mut other, rng);
        }
        let may = |fault: &ScheduledFault| {
            kinds(plan.system, plan.lease_reads).any(|kind| kind == fault.spec.kind())
        };
        let fault = other.schedule.faults.choose(rng);
        let fault = fault.filter(|fault| other.nodes == plan.nodes && may(fault));
        plan.schedule.faults.extend(fault.cloned());
        return;
    }
    let at = rng.random_range(0..count);
    let fault = &mut plan.schedule.faults[at];
    match what {
        1 => drop(plan.schedule.faults.remove(at)),
        2 => reschedule(fault, (fault.at_ms + rng.random_range(0..600)).saturating_sub(300).max(1)),
        3 => fault.until_ms = fault.at_ms + rng.random_range(50..2_500),
        4 => fault.moment = Some(one_of(&MOMENTS, rng)),
        5 => fault.moment = None,
        6 => fault.order.shuffle(rng),
        7 => match &mut fault.spec {
            Spec::Membership { ask } => *ask = one_of(&Ask::WEIGHTED, rng).0,
            spec => retarget(spec, one_of(&[Target::Leader, Target::One, Target::Some], rng)),
        },
        _ => {
            let mut again = fault.clone();
            let at_ms = again.at_ms + rng.random_range(100..3_000);
            reschedule(&mut again, at_ms);
            plan.schedule.faults.push(again);
        }
    }
}

/// In order of time, and numbered.
pub(crate) fn tidy(schedule: &mut Schedule) {
    schedule.faults.sort_by_key(|fault| fault.at_ms);
    for (id, fault) in (0..).zip(&mut schedule.faults) {
        fault.id = id;
    }
}
