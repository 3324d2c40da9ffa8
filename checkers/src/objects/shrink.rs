//! The smallest part of an illegal history that is still illegal.
//!
//! A *part* is some rows, restricted to some groups ([`Model::restrict`]): what is left of a legal history
//! when groups or pure operations are left out is legal too, so whatever part is illegal shows that the whole is. Minimal means:
//! leave out any one group or any one pure operation, and an order exists. Operations that belong to no group and are not
//! pure cannot be left out, and a part that has such is not called minimal.

use std::collections::BTreeSet;

use super::model::{Model, Operation, Shortcut, Witness};
use super::search::Problem;
use crate::budget::Budget;
use crate::linearizable::search::{Answer, Reached, STEPS_PER_LOOK, Stop, Watch};

/// Steps that one trial may take, and some more for each operation; one that takes longer counts as legal.
const TRIAL_STEPS: u64 = 64 * STEPS_PER_LOOK;

/// Operations looked at in all trials of one shrinking.
const WORK_MAX: usize = 10_000_000;

/// Steps made, and operations looked at, even when the budget has ended: a violation without evidence is worth little.
const WORK_OVER_BUDGET: u64 = 100_000;

/// A part that is illegal.
#[derive(Clone, Debug)]
pub struct Shrunk<O> {
    /// The operations that are left, restricted, with their rows.
    pub part: Vec<(u32, Operation<O>)>,
    /// Whether leaving out any one was shown to make the rest legal.
    pub minimal: bool,
    /// The longest order, as indices into `part`.
    pub order: Vec<u32>,
    /// The argument in words, if the object's own procedure has one.
    pub words: Vec<String>,
}

/// What a part keeps.
#[derive(Clone, Debug)]
struct Part {
    rows: BTreeSet<u32>,
    groups: BTreeSet<u64>,
}

/// Something that can be left out.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Group(u64),
    Row(u32),
}

struct Trial<'a> {
    steps_max: u64,
    budget: &'a dyn Budget,
    over_budget: u64,
}

impl Watch for Trial<'_> {
    fn look(&mut self, bytes: usize, steps: u64) -> Option<Stop> {
        let spent = self.budget.spent(bytes);
        self.over_budget += spent.map_or(0, |_| STEPS_PER_LOOK);
        match spent {
            Some(why) if self.over_budget > WORK_OVER_BUDGET => Some(Stop::Budget(why)),
            _ => (steps >= self.steps_max).then_some(Stop::Share),
        }
    }
}

/// Shrinks parts of one object's history.
pub struct Shrinker<'a, M: Model> {
    model: &'a M,
    ops: &'a [Operation<M::Op>],
    budget: &'a dyn Budget,
    work: usize,
    /// What was done since the budget ended.
    over_budget: u64,
    gave_up: bool,
}

impl<'a, M: Model> Shrinker<'a, M> {
    /// For this history.
    pub fn new(model: &'a M, ops: &'a [Operation<M::Op>], budget: &'a dyn Budget) -> Self {
        Self { model, ops, budget, work: 0, over_budget: 0, gave_up: false }
    }

    /// Shrinks what the witness names; `None` if that is legal or takes too long to tell.
    pub fn shrink(&mut self, witness: &Witness) -> Option<Shrunk<M::Op>> {
        let mut part = Part {
            rows: witness.rows.iter().copied().collect(),
            groups: witness.groups.iter().copied().collect(),
        };
        if !self.illegal(&part) {
            return None;
        }
        let mut chunk = self.units(&part).len().div_ceil(2).max(1);
        loop {
            self.gave_up = false;
            let changed = self.drop_chunks(&mut part, chunk);
            if chunk == 1 && !changed {
                break;
            }
            chunk = (chunk / 2).max(1);
        }
        let ops = self.ops_of(&part);
        let problem_ops: Vec<Operation<M::Op>> = ops.iter().map(|(_, op)| op.clone()).collect();
        let (_, reached) = self.search(&problem_ops, true);
        let free = |op: &M::Op| self.model.group(op).is_some() || self.model.is_pure(op);
        let minimal = !self.gave_up && ops.iter().all(|(_, op)| free(&op.op));
        // What was said of the whole need not hold of the part.
        let words = match self.model.shortcut(&problem_ops) {
            Shortcut::Illegal(witness) => witness.words,
            Shortcut::Legal | Shortcut::NotApplicable => Vec::new(),
        };
        Some(Shrunk { part: ops, minimal, order: reached.order, words })
    }

    fn units(&self, part: &Part) -> Vec<Unit> {
        // What counts of an operation may be pure though all of it is not.
        let pure = |row: &&u32| {
            let op = self.model.restrict(&self.ops[**row as usize].op, &part.groups);
            op.is_some_and(|op| self.model.is_pure(&op))
        };
        let rows = part.rows.iter().filter(pure).map(|row| Unit::Row(*row));
        part.groups.iter().map(|group| Unit::Group(*group)).chain(rows).collect()
    }

    /// Tries to leave out every run of `size` units; true if any could go.
    fn drop_chunks(&mut self, part: &mut Part, size: usize) -> bool {
        let mut changed = false;
        for chunk in self.units(part).chunks(size) {
            let mut rest = part.clone();
            for unit in chunk {
                match unit {
                    Unit::Group(group) => rest.groups.remove(group),
                    Unit::Row(row) => rest.rows.remove(row),
                };
            }
            if self.illegal(&rest) {
                *part = rest;
                changed = true;
            }
        }
        changed
    }

    fn ops_of(&self, part: &Part) -> Vec<(u32, Operation<M::Op>)> {
        let kept = part.rows.iter().filter_map(|row| {
            let operation = &self.ops[*row as usize];
            let op = self.model.restrict(&operation.op, &part.groups)?;
            Some((*row, Operation { op, ..operation.clone() }))
        });
        kept.collect()
    }

    fn illegal(&mut self, part: &Part) -> bool {
        self.work += part.rows.len();
        if self.budget.spent(0).is_some() {
            self.over_budget += part.rows.len() as u64;
        }
        if self.work > WORK_MAX || self.over_budget > WORK_OVER_BUDGET {
            self.gave_up = true;
            return false;
        }
        let ops: Vec<Operation<M::Op>> = self.ops_of(part).into_iter().map(|(_, op)| op).collect();
        match self.model.shortcut(&ops) {
            Shortcut::Legal => return false,
            Shortcut::Illegal(_) => return true,
            Shortcut::NotApplicable => {}
        }
        let (answer, _) = self.search(&ops, false);
        self.gave_up |= matches!(answer, Answer::Stopped(_));
        answer == Answer::Illegal
    }

    fn search(&mut self, ops: &[Operation<M::Op>], record: bool) -> (Answer, Reached) {
        let steps_max = TRIAL_STEPS + 4 * ops.len() as u64;
        let mut trial = Trial { steps_max, budget: self.budget, over_budget: self.over_budget };
        let found = Problem::new(self.model, ops).search(record, &mut trial);
        self.over_budget = trial.over_budget;
        found
    }
}
