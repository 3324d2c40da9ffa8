//! The smallest part of a history without an order that still has none, for an honest reason.
//!
//! As for linearizable registers: a part keeps, for each operation whose found value counts, every operation that ever left that value
//! at its key, at least for its *effect* (a cas kept only so counts as a write). Then an order of the whole, less what is not in the
//! part, is an order of the part; so a part without an order shows that the whole has none.
//!
//! Minimal means: leave out any one operation, along with what found its value, and an order exists.

use std::collections::BTreeMap;

use super::decide::{Proof, Row, decide};
use crate::budget::Budget;
use crate::columns::{Function, INITIAL, RegisterKey, RegisterOp, Registers, WordMap};
use crate::linearizable::search::{STEPS_PER_LOOK, Stop, Watch};

/// Steps that one trial may take; one that takes longer counts as one with an order.
const TRIAL_STEPS: u64 = 64 * STEPS_PER_LOOK;

/// Trials that one shrinking may take.
const TRIALS_MAX: usize = 2_000;

/// Trials made even when the budget has ended: they cost some milliseconds, and a violation without evidence is worth
/// little.
const TRIALS_OVER_BUDGET: usize = 100;

/// Rows, and whether only their effect counts.
pub type Part = BTreeMap<Row, bool>;

/// A part that has no order.
#[derive(Debug)]
pub struct Shrunk {
    /// The operations.
    pub part: Part,
    /// Whether leaving out any one was shown to make the rest legal.
    pub minimal: bool,
    /// The longest order that was found.
    pub order: Vec<Row>,
    /// What proves it, of the part's own history, if it is more than that all orders were tried.
    pub proof: Option<Proof>,
    /// For each key of that history its rows in the whole one.
    pub rows: Vec<Vec<Row>>,
}

/// Shrinks parts of a history.
pub struct Shrinker<'a> {
    registers: &'a Registers,
    budget: &'a dyn Budget,
    /// For each key that was asked for, who leaves which value.
    producers: BTreeMap<u32, WordMap<u32, Vec<u32>>>,
    trials: usize,
    gave_up: bool,
}

struct Trial;

impl Watch for Trial {
    fn look(&mut self, _bytes: usize, steps: u64) -> Option<Stop> {
        (steps >= TRIAL_STEPS).then_some(Stop::Share)
    }
}

impl<'a> Shrinker<'a> {
    /// For the history of `registers`.
    pub fn new(registers: &'a Registers, budget: &'a dyn Budget) -> Self {
        Self { registers, budget, producers: BTreeMap::new(), trials: 0, gave_up: false }
    }

    /// Shrinks what these rows and what they depend on make up; `None` if that has an order, as far as can be seen.
    pub fn shrink(&mut self, seed: &[Row]) -> Option<Shrunk> {
        let mut part = self.close(seed, true);
        if !self.illegal(&part) {
            part = self.close(seed, false);
            if !self.illegal(&part) {
                return None;
            }
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
        let minimal = !self.gave_up;
        let (registers, rows) = self.history_of(&part);
        let decided = decide(&registers, true, &mut Trial);
        let order = decided.order.iter().map(|(key, row)| rows[*key as usize][*row as usize]);
        Some(Shrunk { part, minimal, order: order.collect(), proof: decided.proof, rows })
    }

    fn op(&self, (key, row): Row) -> &'a RegisterOp {
        &self.registers.keys[key as usize].ops[row as usize]
    }

    /// The rows, and all that left the values which they found, and so on; where it is enough, only the effect of these.
    fn close(&mut self, seed: &[Row], effects: bool) -> Part {
        let mut part: Part = seed.iter().map(|row| (*row, false)).collect();
        let mut open: Vec<Row> = seed.to_vec();
        while let Some(row) = open.pop() {
            for needed in self.needs(row) {
                let effect = effects && self.op(needed).f == Function::Cas;
                if part.contains_key(&needed) {
                    continue;
                }
                part.insert(needed, effect);
                if !effect {
                    open.push(needed);
                }
            }
        }
        part
    }

    /// All that left what the row found; for a cas that found no such value, all that left another one.
    fn needs(&mut self, row: Row) -> Vec<Row> {
        let key = row.0;
        let register = &self.registers.keys[key as usize];
        let op = &register.ops[row.1 as usize];
        let producers = self.producers.entry(key).or_insert_with(|| left_by(register));
        let rows: Vec<u32> = match op.consumes() {
            Some(value) => producers.get(&value).cloned().unwrap_or_default(),
            None if op.f == Function::Miss => {
                let others = (0..register.values.len() as u32).filter(|value| *value != op.a);
                others.filter_map(|value| producers.get(&value)).flatten().copied().collect()
            }
            None => Vec::new(),
        };
        rows.into_iter().map(|row| (key, row)).filter(|other| *other != row).collect()
    }

    /// The part without `rows`, and without what found their values.
    pub fn without(&mut self, part: &Part, rows: &[Row]) -> Part {
        let mut rest = part.clone();
        for row in rows {
            rest.remove(row);
        }
        let mut unfounded: Vec<Row> = Vec::new();
        for (row, effect) in &rest {
            if !*effect && self.needs(*row).iter().any(|needed| !rest.contains_key(needed)) {
                unfounded.push(*row);
            }
        }
        for row in unfounded {
            if self.op(row).produces().is_some() {
                rest.insert(row, true);
            } else {
                rest.remove(&row);
            }
        }
        rest
    }

    /// Tries to leave out every run of `size` operations; true if any could go.
    fn drop_chunks(&mut self, part: &mut Part, size: usize) -> bool {
        let rows: Vec<Row> = part.keys().copied().collect();
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
        let mut changed = false;
        for row in part.keys().copied().collect::<Vec<Row>>() {
            if self.op(row).f != Function::Cas || part[&row] {
                continue;
            }
            let mut rest = part.clone();
            rest.insert(row, true);
            if self.illegal(&rest) {
                *part = rest;
                changed = true;
            }
        }
        changed
    }

    fn illegal(&mut self, part: &Part) -> bool {
        self.trials += 1;
        let over = || self.trials > TRIALS_OVER_BUDGET && self.budget.spent(0).is_some();
        if self.trials > TRIALS_MAX || over() {
            self.gave_up = true;
            return false;
        }
        let (registers, _) = self.history_of(part);
        let legal = decide(&registers, false, &mut Trial).legal;
        self.gave_up |= legal.is_err();
        legal == Ok(false)
    }

    /// The part as a history of its own, and for each of its keys the rows that it was made of.
    pub fn history_of(&self, part: &Part) -> (Registers, Vec<Vec<Row>>) {
        let mut registers = Registers::default();
        let mut rows: Vec<Vec<Row>> = Vec::new();
        let mut ids: WordMap<u32, u32> = WordMap::default();
        for (row, effect) in part {
            let whole = &self.registers.keys[row.0 as usize];
            if rows.last().is_none_or(|last| last[0].0 != row.0) {
                let values = vec![whole.values[INITIAL as usize].clone()];
                let key = whole.key.clone();
                registers.keys.push(RegisterKey { key, ops: Vec::new(), values });
                rows.push(Vec::new());
                ids.clear();
                ids.insert(INITIAL, INITIAL);
            }
            let register = registers.keys.last_mut().expect("just made");
            let mut dense = |value: u32| {
                let next = register.values.len() as u32;
                *ids.entry(value).or_insert_with(|| {
                    register.values.push(whole.values[value as usize].clone());
                    next
                })
            };
            let mut op = whole.ops[row.1 as usize];
            if *effect && op.f == Function::Cas {
                op = RegisterOp { f: Function::Write, a: op.b, b: INITIAL, ..op };
            }
            op.a = dense(op.a);
            op.b = dense(op.b);
            register.ops.push(op);
            rows.last_mut().expect("just made").push(*row);
        }
        (registers, rows)
    }
}

fn left_by(register: &RegisterKey) -> WordMap<u32, Vec<u32>> {
    let mut rows: WordMap<u32, Vec<u32>> = WordMap::default();
    for (row, op) in register.ops.iter().enumerate() {
        if let Some(value) = op.produces() {
            rows.entry(value).or_default().push(row as u32);
        }
    }
    rows
}
