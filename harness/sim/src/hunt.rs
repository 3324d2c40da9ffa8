//! Looking for a life that goes wrong: many lives, each with a schedule of its own, on several threads.
//!
//! *Plain* hunting draws every life anew from its number. *Guided* hunting keeps the schedules of lives that reached states of the cluster that no
//! life before had, and every other life is a mutation of one of those. Of the others, most depose one leader after the other, and the rest have their
//! faults aimed at moments and leaders. A life is repeatable from its plan alone, however it was come by; which lives a guided hunt on several threads
//! tries depends on which thread is first.

use std::sync::Mutex;

use keelhaul_checkers::budget::Budget;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::drawing::{aim, draw, mutate};
use crate::life::{Violation, live, violation};
use crate::plan::{Evidence, SimPlan, stream};
use crate::succession::compose;
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
                if rng.random_bool(0.7) {
                    compose(&mut plan, rng);
                } else {
                    aim(&mut plan.schedule, rng);
                }
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
