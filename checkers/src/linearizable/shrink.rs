//! The smallest part of an illegal history that is still illegal, for an honest reason.
//!
//! Leaving out a write makes every read of its value look like garbage, which proves nothing. So a *part* of a
//! history keeps, for each operation whose found value counts, every operation that could have left that value for
//! it ([`Producers::possible`]). Then illegality carries over to the whole: take an order of the whole, drop what is
//! not in the part; each reader still finds what it found, since its writer is kept and nothing was put in between.
//! A producer is kept for its *effect*: a cas kept only so counts as a plain write, which asks for less.
//!
//! Minimal means: leave out any one operation, along with what found its value, and an order exists.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::necessary::{Producers, effect};
use super::prepare::Problem;
use super::search::{Answer, Reached, STEPS_PER_LOOK, Stop, Watch, search};
use crate::budget::Budget;
use crate::columns::{Function, INITIAL, RegisterOp};

/// Steps that one trial may take; parts are small, and one that takes longer counts as legal.
const TRIAL_STEPS: u64 = 64 * STEPS_PER_LOOK;

/// Trials that one shrinking may take.
const TRIALS_MAX: usize = 5_000;

/// Steps made, and operations looked at, even when the budget has ended: they cost some tens of milliseconds, and a violation
/// without evidence is worth little.
const WORK_OVER_BUDGET: u64 = 200_000;

/// How much of an operation a part keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// The value it leaves.
    Effect,
    /// Also the value it found.
    Whole,
}

/// Rows of the key's history with how much of each is kept.
pub type Part = BTreeMap<u32, Keep>;

/// A part that is illegal.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The operations.
    pub part: Part,
    /// Whether leaving out any one was shown to make the rest legal.
    pub minimal: bool,
    /// The longest order, as rows.
    pub order: Vec<u32>,
}

/// Shrinks parts of one key's history.
pub struct Shrinker<'a> {
    ops: &'a [RegisterOp],
    producers: Producers,
    budget: &'a dyn Budget,
    trials: usize,
    /// What was done since the budget ended.
    over_budget: u64,
    needs: RefCell<HashMap<u32, Rc<[u32]>>>,
    /// Set once a trial had to be given up: what follows is no proof of minimality.
    gave_up: bool,
}

struct Trial<'a> {
    budget: &'a dyn Budget,
    over_budget: u64,
}

impl Watch for Trial<'_> {
    fn look(&mut self, bytes: usize, steps: u64) -> Option<Stop> {
        let spent = self.budget.spent(bytes);
        self.over_budget += spent.map_or(0, |_| STEPS_PER_LOOK);
        match spent {
            Some(why) if self.over_budget > WORK_OVER_BUDGET => Some(Stop::Budget(why)),
            _ => (steps >= TRIAL_STEPS).then_some(Stop::Share),
        }
    }
}

impl<'a> Shrinker<'a> {
    /// For the history `ops` with value ids below `values`.
    pub fn new(ops: &'a [RegisterOp], values: usize, budget: &'a dyn Budget) -> Self {
        Self {
            ops,
            producers: Producers::new(ops, values),
            budget,
            trials: 0,
            over_budget: 0,
            needs: RefCell::default(),
            gave_up: false,
        }
    }

    /// Shrinks the part that `seed` and what it depends on make up; `None` if that part is legal.
    pub fn shrink(&mut self, seed: &[u32]) -> Option<Shrunk> {
        let mut part = self.close(seed);
        if !self.illegal(&part) {
            return None;
        }
        let mut chunk = part.len() / 2;
        while chunk > 1 {
            self.drop_chunks(&mut part, chunk);
            chunk /= 2;
        }
        loop {
            // What an earlier trial left open does not matter if the last round answers all its own.
            self.gave_up = false;
            if !self.drop_chunks(&mut part, 1) && !self.weaken(&mut part) {
                break;
            }
        }
        let order = self.longest_order(&part);
        Some(Shrunk { part, minimal: !self.gave_up, order })
    }

    /// Shrinks what happened before position `last_ret`, given that this is illegal: first the last few operations,
    /// then ever more of them.
    pub fn shrink_prefix(&mut self, last_ret: u32) -> Option<Shrunk> {
        let mut by_ret: Vec<u32> = (0..self.ops.len() as u32)
            .filter(|row| {
                let op = &self.ops[*row as usize];
                op.call < last_ret && (op.ret <= last_ret || effect(op).is_some())
            })
            .collect();
        by_ret.sort_unstable_by_key(|row| std::cmp::Reverse(self.ops[*row as usize].ret));
        let pending = by_ret.partition_point(|row| self.ops[*row as usize].ret > last_ret);
        let live =
            by_ret[..pending].iter().filter(|row| self.ops[**row as usize].completed()).count();
        let crashed = pending - live;
        let mut window = 8;
        loop {
            let end = (crashed + live + window).min(by_ret.len());
            // Crashed operations come in when somebody kept could have found their values.
            let seed = if end == by_ret.len() { &by_ret[..] } else { &by_ret[crashed..end] };
            if let Some(shrunk) = self.shrink(seed) {
                return Some(shrunk);
            }
            if end == by_ret.len() {
                return None;
            }
            window *= 2;
        }
    }

    /// Adds what must be there for honesty.
    fn close(&self, seed: &[u32]) -> Part {
        let mut part: Part = seed.iter().map(|row| (*row, Keep::Whole)).collect();
        for row in seed {
            for needed in self.needs(*row).iter() {
                part.entry(*needed).or_insert(Keep::Effect);
            }
        }
        part
    }

    /// [`Self::depends_on`], remembered.
    fn needs(&self, row: u32) -> Rc<[u32]> {
        let mut needs = self.needs.borrow_mut();
        needs.entry(row).or_insert_with(|| self.depends_on(row).into()).clone()
    }

    /// What a part must hold if it counts the value that `row` found. Where nobody could have left the value, the
    /// most plausible writer is named so that the reader can see why not.
    fn depends_on(&self, row: u32) -> Vec<u32> {
        let op = &self.ops[row as usize];
        let Some(value) = op.consumes() else {
            if op.f != Function::Miss {
                return Vec::new();
            }
            let others = (0..self.producers.values()).filter(|value| *value != op.a);
            return others.flat_map(|v| self.producers.possible(op, v, self.ops)).collect();
        };
        let possible: Vec<u32> = self.producers.possible(op, value, self.ops).collect();
        if !possible.is_empty() || value == INITIAL {
            return possible;
        }
        let all = self.producers.of(value).iter().copied();
        let begun = all.clone().filter(|row| self.ops[*row as usize].call < op.ret);
        let plausible = begun.max_by_key(|row| self.ops[*row as usize].ret);
        let earliest = || all.min_by_key(|row| self.ops[*row as usize].call);
        plausible.or_else(earliest).filter(|other| *other != row).into_iter().collect()
    }

    /// The part without `rows`, and without what found their values.
    pub fn without(&self, part: &Part, rows: &[u32]) -> Part {
        let mut rest = part.clone();
        for row in rows {
            rest.remove(row);
        }
        let mut unfounded: Vec<u32> = Vec::new();
        for (row, keep) in &rest {
            if *keep == Keep::Whole && self.needs(*row).iter().any(|d| !rest.contains_key(d)) {
                unfounded.push(*row);
            }
        }
        for row in unfounded {
            self.reduce(&mut rest, row);
        }
        rest
    }

    /// Keeps of `row` only its effect, or nothing if it has none.
    fn reduce(&self, part: &mut Part, row: u32) {
        if effect(&self.ops[row as usize]).is_some() {
            part.insert(row, Keep::Effect);
        } else {
            part.remove(&row);
        }
    }

    /// Tries to leave out every run of `size` operations; true if any could go.
    fn drop_chunks(&mut self, part: &mut Part, size: usize) -> bool {
        let rows: Vec<u32> = part.keys().copied().collect();
        let mut changed = false;
        for chunk in rows.chunks(size) {
            if !chunk.iter().any(|row| part.contains_key(row)) {
                continue;
            }
            let rest = self.without(part, chunk);
            if self.illegal(&rest) {
                *part = rest;
                changed = true;
            }
        }
        changed
    }

    /// Tries to keep only the effect of each cas; true if any could be reduced.
    fn weaken(&mut self, part: &mut Part) -> bool {
        let rows: Vec<u32> = part.keys().copied().collect();
        let mut changed = false;
        for row in rows {
            let op = &self.ops[row as usize];
            if op.f != Function::Cas || part[&row] == Keep::Effect {
                continue;
            }
            let mut rest = part.clone();
            self.reduce(&mut rest, row);
            if self.illegal(&rest) {
                *part = rest;
                changed = true;
            }
        }
        changed
    }

    fn illegal(&mut self, part: &Part) -> bool {
        self.trials += 1;
        if self.budget.spent(0).is_some() {
            self.over_budget += part.len() as u64;
        }
        if self.trials > TRIALS_MAX || self.over_budget > WORK_OVER_BUDGET {
            self.gave_up = true;
            return false;
        }
        let (answer, _) = self.search_part(part, false);
        self.gave_up |= matches!(answer, Answer::Stopped(_));
        answer == Answer::Illegal
    }

    fn longest_order(&mut self, part: &Part) -> Vec<u32> {
        let rows: Vec<u32> = part.keys().copied().collect();
        let (_, reached) = self.search_part(part, true);
        reached.order.iter().map(|at| rows[*at as usize]).collect()
    }

    fn search_part(&mut self, part: &Part, record: bool) -> (Answer, Reached) {
        let (ops, values) = self.rows_of(part);
        let problem = Problem::new(&ops, values);
        let mut trial = Trial { budget: self.budget, over_budget: self.over_budget };
        let found = search(&problem, record, &mut trial);
        self.over_budget = trial.over_budget;
        found
    }

    /// The part as a history of its own, with value ids that leave no gaps.
    fn rows_of(&self, part: &Part) -> (Vec<RegisterOp>, usize) {
        let mut ids: HashMap<u32, u32> = HashMap::from([(INITIAL, INITIAL)]);
        let mut dense = |value: u32| {
            let next = ids.len() as u32;
            *ids.entry(value).or_insert(next)
        };
        let mut ops = Vec::with_capacity(part.len());
        for (row, keep) in part {
            let mut op = self.ops[*row as usize];
            if *keep == Keep::Effect && op.f == Function::Cas {
                op.f = Function::Write;
                op.a = op.b;
                op.b = INITIAL;
            }
            op.a = dense(op.a);
            op.b = dense(op.b);
            ops.push(op);
        }
        let values = ids.len();
        (ops, values)
    }
}
