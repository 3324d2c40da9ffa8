//! The smallest part of a history that still breaks the promise, for an honest reason.
//!
//! Leaving out a write makes every read of its value look like garbage, which proves nothing. So a part keeps, for each
//! operation whose found value counts, every operation that leaves that value. Then what is wrong with the part is wrong with
//! the whole: whatever explains the whole explains the part, once the other operations are dropped from it. A cas may
//! be kept for what it leaves only: it counts as a plain write then.
//!
//! Minimal means: leave out any one operation, along with what found its value, and the promise is kept.

use std::collections::BTreeMap;

use super::judge::{Answer, Refute, decide};
use super::order::Sessions;
use super::violation::Violation;
use crate::budget::{Budget, Unlimited};
use crate::columns::{Function, INITIAL, RegisterKey, RegisterOp, Registers};

/// Trials that one shrinking may take.
const TRIALS_MAX: usize = 3_000;

/// Trials made even when the budget has ended: parts are small, and a violation without evidence is worth little.
const TRIALS_OVER_BUDGET: usize = 200;

/// Operations of a history that is shrunk as a whole if nothing less is known to break the promise.
const WHOLE_MAX: usize = 300;

/// Operations of a part, at most.
const PART_MAX: usize = 2_000;

/// How much of an operation a part keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// The value it leaves.
    Effect,
    /// Also the value it found.
    Whole,
}

/// Keys and rows with how much of each is kept.
pub type Part = BTreeMap<(u32, u32), Keep>;

/// A part that breaks the promise.
pub struct Shrunk {
    /// What is kept.
    pub part: Part,
    /// As a history of its own; its keys are those of the part in their order, and its rows too.
    pub registers: Registers,
    /// What is wrong with it; absent if the part alone was not shown to be wrong.
    pub violation: Option<Violation>,
    /// Whether leaving out any one was shown to make the rest keep the promise.
    pub minimal: bool,
}

/// Shrinks parts of a history.
pub struct Shrinker<'a> {
    registers: &'a Registers,
    refute: Refute,
    budget: &'a dyn Budget,
    trials: usize,
    gave_up: bool,
}

impl<'a> Shrinker<'a> {
    /// For this history and promise.
    #[must_use]
    pub fn new(registers: &'a Registers, refute: Refute, budget: &'a dyn Budget) -> Self {
        Self { registers, refute, budget, trials: 0, gave_up: false }
    }

    /// Shrinks what `seed` and what it depends on make up, given that the history breaks the promise.
    #[must_use]
    pub fn shrink(&mut self, seed: &[(u32, u32)]) -> Shrunk {
        let mut part = self.close(seed);
        if part.is_empty() || !self.broken(&part) {
            if self.registers.op_count() > WHOLE_MAX {
                let registers = self.rows_of(&part);
                return Shrunk { part, registers, violation: None, minimal: false };
            }
            part = self.close(&self.all());
        }
        let mut chunk = part.len() / 2;
        while chunk > 1 {
            self.drop_chunks(&mut part, chunk);
            chunk /= 2;
        }
        loop {
            self.gave_up = false;
            if !self.drop_chunks(&mut part, 1) && !self.weaken(&mut part) {
                break;
            }
        }
        let registers = self.rows_of(&part);
        let violation = match decide(&Sessions::new(&registers), self.refute, &Unlimited) {
            Answer::Broken(violation) => Some(violation),
            Answer::Kept | Answer::Open(_) => None,
        };
        let minimal = !self.gave_up && violation.is_some();
        Shrunk { part, registers, violation, minimal }
    }

    fn all(&self) -> Vec<(u32, u32)> {
        let keys = self.registers.keys.iter().enumerate();
        keys.flat_map(|(key, register)| {
            (0..register.ops.len() as u32).map(move |row| (key as u32, row))
        })
        .collect()
    }

    fn op(&self, (key, row): (u32, u32)) -> &'a RegisterOp {
        &self.registers.keys[key as usize].ops[row as usize]
    }

    /// Adds what must be there for honesty.
    fn close(&self, seed: &[(u32, u32)]) -> Part {
        let mut part: Part = seed.iter().map(|at| (*at, Keep::Whole)).collect();
        for at in seed {
            for needed in self.needs(*at) {
                part.entry(needed).or_insert(Keep::Effect);
            }
            if part.len() > PART_MAX {
                return Part::new();
            }
        }
        part
    }

    /// What can have left the value that it found.
    fn needs(&self, at: (u32, u32)) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let op = self.op(at);
        let wanted = match op.f {
            Function::Miss => Some((op.a, false)),
            _ => op.consumes().map(|value| (value, true)),
        };
        let ops = self.registers.keys[at.0 as usize].ops.iter().enumerate();
        let fits = move |op: &RegisterOp| {
            let (value, same) = wanted?;
            Some((op.produces()? == value) == same)
        };
        ops.filter(move |(row, op)| *row as u32 != at.1 && fits(op) == Some(true))
            .map(move |(row, _)| (at.0, row as u32))
    }

    /// The part without `rows`, and without what found their values.
    fn without(&self, part: &Part, rows: &[(u32, u32)]) -> Part {
        let mut rest = part.clone();
        for row in rows {
            rest.remove(row);
        }
        let whole = rest.iter().filter(|(_, keep)| **keep == Keep::Whole).map(|(at, _)| *at);
        let unfounded: Vec<(u32, u32)> =
            whole.filter(|at| self.needs(*at).any(|needed| !rest.contains_key(&needed))).collect();
        for at in unfounded {
            self.reduce(&mut rest, at);
        }
        rest
    }

    /// Keeps only its effect, or nothing if it has none.
    fn reduce(&self, part: &mut Part, at: (u32, u32)) {
        if self.op(at).produces().is_some() {
            part.insert(at, Keep::Effect);
        } else {
            part.remove(&at);
        }
    }

    /// Tries to leave out every run of `size` operations; true if any could go.
    fn drop_chunks(&mut self, part: &mut Part, size: usize) -> bool {
        let rows: Vec<(u32, u32)> = part.keys().copied().collect();
        let mut changed = false;
        for chunk in rows.chunks(size) {
            if !chunk.iter().any(|row| part.contains_key(row)) {
                continue;
            }
            let rest = self.without(part, chunk);
            if self.broken(&rest) {
                *part = rest;
                changed = true;
            }
        }
        changed
    }

    /// Tries to keep only the effect of each cas; true if any could be reduced.
    fn weaken(&mut self, part: &mut Part) -> bool {
        let rows: Vec<(u32, u32)> = part.keys().copied().collect();
        let mut changed = false;
        for at in rows {
            if self.op(at).f != Function::Cas || part[&at] == Keep::Effect {
                continue;
            }
            let mut rest = part.clone();
            self.reduce(&mut rest, at);
            if self.broken(&rest) {
                *part = rest;
                changed = true;
            }
        }
        changed
    }

    fn broken(&mut self, part: &Part) -> bool {
        self.trials += 1;
        let over = || self.trials > TRIALS_OVER_BUDGET && self.budget.spent(0).is_some();
        if self.trials > TRIALS_MAX || over() {
            self.gave_up = true;
            return false;
        }
        let registers = self.rows_of(part);
        let answer = decide(&Sessions::new(&registers), self.refute, &Unlimited);
        self.gave_up |= matches!(answer, Answer::Open(_));
        matches!(answer, Answer::Broken(_))
    }

    /// The part as a history of its own, with value ids that leave no gaps.
    fn rows_of(&self, part: &Part) -> Registers {
        let mut keys: Vec<RegisterKey> = Vec::new();
        let rows: Vec<(&(u32, u32), &Keep)> = part.iter().collect();
        for rows in rows.chunk_by(|a, b| a.0.0 == b.0.0) {
            let register = &self.registers.keys[rows[0].0.0 as usize];
            let mut values = vec![register.values[INITIAL as usize].clone()];
            let mut ids = BTreeMap::from([(INITIAL, INITIAL)]);
            let mut dense = |value: u32| {
                *ids.entry(value).or_insert_with(|| {
                    values.push(register.values[value as usize].clone());
                    values.len() as u32 - 1
                })
            };
            let mut ops = Vec::with_capacity(rows.len());
            for (at, keep) in rows {
                let mut op = *self.op(**at);
                if **keep == Keep::Effect && op.f == Function::Cas {
                    op = RegisterOp { f: Function::Write, a: op.b, b: INITIAL, ..op };
                }
                op.a = dense(op.a);
                op.b = dense(op.b);
                ops.push(op);
            }
            keys.push(RegisterKey { key: register.key.clone(), ops, values });
        }
        Registers { keys }
    }
}
