//! Cuts a life that goes wrong down to what matters: delta debugging over its faults, its operations, its nodes, its weather and its time
//! (Zeller and Hildebrandt, *ddmin*), as long as the same kind of violation remains.
//!
//! Leaving something out shifts every later chance of the network, so a candidate is tried with a few seeds before it is given up: with two as
//! long as much is left, since then a life is long and others like it are to come. Operations are first written down as a list with times and
//! threads; from then on the plan holds them itself. They go key by key first, as what happened to one tells nothing of another.

use std::collections::BTreeSet;

use keelhaul_checkers::budget::Budget;
use keelhaul_nemesis::ScheduledFault;

use crate::disk::Medium;
use crate::drawing::tidy;
use crate::hunt::Found;
use crate::life::{Life, Violation, live, violation};
use crate::plan::{PlannedOp, SimPlan, Weather, Work};
use crate::world::States;

/// Seeds that a candidate is tried with, its own first; and those as long as a list has more than so many items.
const SEEDS: u64 = 6;
const SEEDS_OF_MANY: u64 = 2;
const MANY: usize = 40;

/// What is left of a life.
#[derive(Debug)]
pub struct Shrunk {
    /// Repeats it.
    pub plan: SimPlan,
    /// What is wrong with it.
    pub violation: Violation,
    /// The life itself, with its trace.
    pub life: Life,
    /// Lives that were tried.
    pub tried: u64,
    /// Whether nothing more could be left out; otherwise the lives were used up.
    pub minimal: bool,
}

struct Shrinker<'a> {
    best: Found,
    tried: u64,
    tried_max: u64,
    budget: &'a dyn Budget,
}

/// Shrinks a life that goes wrong, with so many tries at most. None if it does not go wrong.
#[must_use]
pub fn shrink(plan: &SimPlan, tried_max: u64, budget: &dyn Budget) -> Option<Shrunk> {
    let life = live(plan, true, &mut States::default());
    let found = Found { plan: plan.clone(), violation: violation(&life, budget)? };
    let mut shrinker = Shrinker { best: found, tried: 1, tried_max, budget };
    shrinker.list(life.operations);
    shrinker.end_with_violation(life.figures.virtual_ns);
    loop {
        let before = size(&shrinker.best.plan);
        shrinker.calm();
        shrinker.faults();
        shrinker.operations();
        shrinker.nodes();
        shrinker.shorten();
        if size(&shrinker.best.plan) == before || shrinker.is_spent() {
            break;
        }
    }
    let life = live(&shrinker.best.plan, true, &mut States::default());
    let (tried, minimal) = (shrinker.tried, !shrinker.is_spent());
    let Found { plan, violation } = shrinker.best;
    Some(Shrunk { plan, violation, life, tried, minimal })
}

/// The operations of a plan that lists them.
fn listed(plan: &SimPlan) -> &[PlannedOp] {
    if let Work::Listed(ops) = &plan.work { ops } else { &[] }
}

/// What shrinks.
fn size(plan: &SimPlan) -> (usize, usize, u16, u64, Weather) {
    let ops = if let Work::Listed(ops) = &plan.work { ops.len() } else { usize::MAX };
    (plan.schedule.faults.len(), ops, plan.nodes, plan.time_limit_ms, plan.weather)
}

impl Shrinker<'_> {
    fn is_spent(&self) -> bool {
        self.tried >= self.tried_max
    }

    /// Takes a candidate if it goes wrong in the same way, with its own seed or one of a few others.
    fn attempt(&mut self, plan: SimPlan) -> bool {
        self.attempt_with(plan, SEEDS)
    }

    fn attempt_with(&mut self, mut plan: SimPlan, seeds: u64) -> bool {
        tidy(&mut plan.schedule);
        let seed = plan.seed;
        for other in 0..seeds {
            if self.is_spent() {
                return false;
            }
            self.tried += 1;
            plan.seed = seed.wrapping_add(other);
            let life = live(&plan, false, &mut States::default());
            if let Some(violation) = violation(&life, self.budget)
                && violation.kind() == self.best.violation.kind()
            {
                self.best = Found { plan, violation };
                return true;
            }
        }
        false
    }

    /// Writes the operations down; if the life goes another way then, they stay drawn.
    fn list(&mut self, operations: Vec<PlannedOp>) {
        if self.best.plan.work == Work::Drawn {
            let plan = SimPlan { work: Work::Listed(operations), ..self.best.plan.clone() };
            self.attempt(plan);
        }
    }

    /// An invariant that breaks ends a life: what was to come does not matter.
    fn end_with_violation(&mut self, at_ns: u64) {
        if let Violation::Internal(_) = self.best.violation {
            let mut plan = self.best.plan.clone();
            plan.schedule.faults.retain(|fault| fault.at_ms * 1_000_000 <= at_ns);
            self.attempt_with(plan, 1);
        }
    }

    /// The weather, all at once and then one thing after the other.
    fn calm(&mut self) {
        let changes: [fn(&mut Weather); 8] = [
            |w| *w = Weather { snapshot_entries: w.snapshot_entries, ..Weather::CALM },
            |w| w.lost = 0,
            |w| w.doubled = 0,
            |w| w.late = 0,
            |w| w.slow_syncs = 0,
            |w| w.drift_ppm = 0,
            |w| w.jump_ms = 0,
            |w| w.snapshot_entries = Weather::CALM.snapshot_entries,
        ];
        for change in changes {
            let mut plan = self.best.plan.clone();
            change(&mut plan.weather);
            if plan.weather != self.best.plan.weather {
                self.attempt(plan);
            }
        }
        if self.best.plan.medium != Medium::Journaled {
            self.attempt(SimPlan { medium: Medium::Journaled, ..self.best.plan.clone() });
        }
    }

    fn faults(&mut self) {
        self.minimize(
            |plan| plan.schedule.faults.clone(),
            |plan, faults: Vec<ScheduledFault>| plan.schedule.faults = faults,
        );
    }

    fn operations(&mut self) {
        if matches!(self.best.plan.work, Work::Drawn) {
            return;
        }
        self.minimize(
            |plan| {
                listed(plan)
                    .iter()
                    .map(|op| op.key)
                    .collect::<BTreeSet<i64>>()
                    .into_iter()
                    .collect()
            },
            |plan, keys: Vec<i64>| {
                let kept = listed(plan).iter().filter(|op| keys.contains(&op.key));
                plan.work = Work::Listed(kept.cloned().collect());
            },
        );
        self.minimize(
            |plan| listed(plan).to_vec(),
            |plan, ops: Vec<PlannedOp>| plan.work = Work::Listed(ops),
        );
    }

    /// ddmin: leaves out ever smaller parts of a list, as long as that helps.
    fn minimize<T: Clone>(
        &mut self,
        get: impl Fn(&SimPlan) -> Vec<T>,
        set: impl Fn(&mut SimPlan, Vec<T>),
    ) {
        let mut part = get(&self.best.plan).len();
        while part > 0 && !self.is_spent() {
            let (mut from, mut helped) = (0, false);
            while from < get(&self.best.plan).len() && !self.is_spent() {
                let mut items = get(&self.best.plan);
                items.drain(from..(from + part).min(items.len()));
                let mut plan = self.best.plan.clone();
                let seeds = if items.len() > MANY { SEEDS_OF_MANY } else { SEEDS };
                set(&mut plan, items);
                if self.attempt_with(plan, seeds) {
                    helped = true;
                } else {
                    from += part;
                }
            }
            if part > 1 || !helped {
                part /= 2;
            }
        }
    }

    /// Three nodes are easier to follow than five.
    fn nodes(&mut self) {
        for nodes in [3, 4] {
            if nodes < self.best.plan.nodes {
                let mut plan = SimPlan { nodes, ..self.best.plan.clone() };
                for fault in &mut plan.schedule.faults {
                    fault.order.retain(|node| *node <= nodes);
                }
                if self.attempt(plan) {
                    return;
                }
            }
        }
    }

    /// Ends sooner, right after the last thing that is left.
    fn shorten(&mut self) {
        let plan = &self.best.plan;
        let ops = listed(plan).last().map(|op| op.at_ns / 1_000_000);
        let faults = plan.schedule.faults.iter().map(|fault| fault.until_ms).max();
        let end = ops.max(faults).unwrap_or(0).max(1_000) + 100;
        if end < plan.time_limit_ms {
            self.attempt(SimPlan { time_limit_ms: end, ..plan.clone() });
        }
    }
}
