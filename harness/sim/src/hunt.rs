//! Looking for a life that goes wrong: many lives, each with a schedule of its own, on several threads.
//!
//! *Plain* hunting draws every life anew from its number. *Guided* hunting keeps the schedules of lives that reached states of the cluster that no
//! life before had, and every other life is a mutation of one of those; faults are aimed at moments and leaders. A life is
//! repeatable from its plan alone, however it was come by; which lives a guided hunt on several threads tries depends on which thread is first.

use std::sync::Mutex;

use keelhaul_checkers::budget::Budget;
use keelhaul_nemesis::{
    Ask, KINDS, Moment, Schedule, ScheduleOptions, ScheduledFault, Spec, Target, harms,
    is_simulated, needs_membership,
};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::disk::Medium;
use crate::life::{Violation, live, violation};
use crate::plan::{Evidence, SimPlan, Weather, Work, stream};
use crate::system::System;
use crate::world::States;

/// How a hunt chooses its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guidance {
    /// Each anew.
    None,
    /// By the states that lives reached.
    States,
}

/// What a hunt is after.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Lives are numbered from here, and each is drawn from its number.
    pub first_seed: u64,
    /// The most lives.
    pub lives_max: u64,
    /// Threads.
    pub jobs: usize,
    /// How lives are chosen.
    pub guidance: Guidance,
    /// What it takes for one to have gone wrong.
    pub evidence: Evidence,
    /// What the nodes run.
    pub system: System,
}

/// A life that went wrong.
#[derive(Clone, Debug)]
pub struct Found {
    /// Repeats it.
    pub plan: SimPlan,
    /// What is wrong with it.
    pub violation: Violation,
}

/// How far a hunt has come.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Lives that ended.
    pub lives: u64,
    /// States of the cluster that they reached.
    pub states: usize,
    /// Schedules that are kept.
    pub kept: usize,
    /// Virtual time they took, nanoseconds.
    pub virtual_ns: u64,
}

/// What a hunt brought.
#[derive(Debug)]
pub struct Hunted {
    /// The first life that went wrong.
    pub found: Option<Found>,
    /// Figures.
    pub tally: Tally,
    /// Plans that reached something new, the newest last.
    pub corpus: Vec<SimPlan>,
}

/// Schedules kept at most. The ones that reached the least go first.
const CORPUS_MAX: usize = 400;
/// Changes made to a schedule at most, to come by the next one.
const CHANGES_MAX: u32 = 4;

#[derive(Debug, Default)]
struct Shared {
    tally: Tally,
    begun: u64,
    states: States,
    /// With how many new states each had reached.
    corpus: Vec<(usize, SimPlan)>,
    found: Option<Found>,
}

impl Hunt {
    /// Hunts until a life goes wrong, the lives are used up, or `stop` says so. `observer` is told of every life that ends and of each plan
    /// that is kept.
    pub fn run(
        &self,
        corpus: Vec<SimPlan>,
        budget: &(dyn Budget + Sync),
        stop: &(dyn Fn() -> bool + Sync),
        observer: &(dyn Fn(&Tally, Option<&SimPlan>) + Sync),
    ) -> Hunted {
        let corpus = corpus.into_iter().map(|plan| (1, plan)).collect();
        let shared = Mutex::new(Shared { corpus, ..Shared::default() });
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| while !stop() && self.one(&shared, budget, observer) {});
            }
        });
        let shared = shared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let corpus = shared.corpus.into_iter().map(|(_, plan)| plan).collect();
        Hunted { found: shared.found, tally: shared.tally, corpus }
    }

    /// One life. Whether there is to be another.
    fn one(
        &self,
        shared: &Mutex<Shared>,
        budget: &(dyn Budget + Sync),
        observer: &(dyn Fn(&Tally, Option<&SimPlan>) + Sync),
    ) -> bool {
        let plan = {
            let shared = &mut *lock(shared);
            if shared.found.is_some() || shared.begun >= self.lives_max {
                return false;
            }
            shared.begun += 1;
            let plan = self.choose(self.first_seed.wrapping_add(shared.begun - 1), &shared.corpus);
            SimPlan { evidence: self.evidence, ..plan }
        };
        let mut states = States::default();
        let life = live(&plan, false, &mut states);
        let violation = violation(&life, budget);
        let shared = &mut *lock(shared);
        let before = shared.states.len();
        shared.states.extend(states);
        let fresh = shared.states.len() - before;
        let keep = fresh > 0 && self.guidance == Guidance::States;
        if keep {
            shared.keep(fresh, plan.clone());
        }
        shared.tally.lives += 1;
        shared.tally.virtual_ns += life.figures.virtual_ns;
        shared.tally.states = shared.states.len();
        shared.tally.kept = shared.corpus.len();
        observer(&shared.tally, keep.then_some(&plan));
        if let Some(violation) = violation {
            shared.found.get_or_insert(Found { plan, violation });
        }
        shared.found.is_none()
    }

    fn choose(&self, seed: u64, corpus: &[(usize, SimPlan)]) -> SimPlan {
        let rng = &mut stream(seed, "choice");
        match (self.guidance, corpus.choose(rng)) {
            (Guidance::None, _) => draw(self.system, seed),
            (Guidance::States, Some((_, kept))) if rng.random_bool(0.5) => {
                // What is kept may be of another mistake.
                let kept = SimPlan { system: self.system, ..kept.clone() };
                mutate(kept, seed, rng)
            }
            (Guidance::States, _) => {
                let mut plan = draw(self.system, seed);
                aim(&mut plan.schedule, rng);
                plan
            }
        }
    }
}

impl Shared {
    fn keep(&mut self, fresh: usize, plan: SimPlan) {
        self.corpus.push((fresh, plan));
        if self.corpus.len() > CORPUS_MAX {
            let least = self.corpus.iter().enumerate().min_by_key(|(_, (fresh, _))| *fresh);
            if let Some((at, _)) = least {
                self.corpus.remove(at);
            }
        }
    }
}

/// A thread that panicked has said so; what it left is whole.
fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one_of<T: Copy>(choices: &[T], rng: &mut ChaCha8Rng) -> T {
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

const MOMENTS: [Moment; 5] =
    [Moment::Vote, Moment::Elected, Moment::Sync, Moment::Snapshot, Moment::Round];

/// Lets some faults of a schedule strike at moments, and at leaders, and some come close upon each other.
fn aim(schedule: &mut Schedule, rng: &mut ChaCha8Rng) {
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
        *shape = keelhaul_nemesis::Shape::Leader;
    } else if let Spec::Links(links) = spec {
        links.shape = keelhaul_nemesis::Shape::Leader;
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
fn mutate(mut plan: SimPlan, seed: u64, rng: &mut ChaCha8Rng) -> SimPlan {
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
        let other = draw(plan.system, rng.next_u64());
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
