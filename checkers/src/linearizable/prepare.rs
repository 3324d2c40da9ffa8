//! From the rows of one key to the events that the search walks along.
//!
//! An operation whose outcome is unknown (here: *crashed*) may take effect at any later time or never, so it would
//! stay pending to the end of the history. It is worth remembering only while somebody could still need the value
//! that it leaves: after the last return of an operation that needs the value, it *expires* and its slot is free.
//! One whose value nobody ever needs is left out altogether.

use std::collections::HashMap;

use crate::columns::{Function, RegisterOp};

/// No operation.
pub const NONE: u32 = u32::MAX;

/// An operation as the search sees it.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// What it does; a cas to the value it expects has become a read.
    pub f: Function,
    /// As in the row.
    pub a: u32,
    /// As in the row.
    pub b: u32,
    /// The outcome is unknown.
    pub crashed: bool,
    /// Where its bit lives while it is pending.
    pub slot: u32,
    /// The crashed operation with the same effect called before this one, or [`NONE`]. Twins are
    /// interchangeable, so they are used in order of invocation only.
    pub twin: u32,
    /// Index of the row.
    pub row: u32,
    /// The step at which it begins.
    pub call_step: u32,
    /// The last step before it returns at which an operation that leaves the value it needs begins; 0 if none.
    pub last_supply: u32,
}

impl Item {
    /// The value left behind.
    pub const fn produces(&self) -> Option<u32> {
        match self.f {
            Function::Write => Some(self.a),
            Function::Cas => Some(self.b),
            Function::Read | Function::Miss => None,
        }
    }

    /// The value that must be found.
    pub const fn consumes(&self) -> Option<u32> {
        match self.f {
            Function::Read | Function::Cas => Some(self.a),
            Function::Write | Function::Miss => None,
        }
    }
}

/// A step along the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The operation begins.
    Call(u32),
    /// The operation ends and must have taken effect.
    Return(u32),
    /// The crashed operation can help nobody any more.
    Expire(u32),
}

/// One key's history, ready to be searched.
#[derive(Debug)]
pub struct Problem {
    /// Operations in order of invocation.
    pub items: Vec<Item>,
    /// Events in order.
    pub steps: Vec<Step>,
    /// How many slots are needed.
    pub slots: usize,
    /// For each value: the last step at which a completed operation that needs it begins; 0 if none.
    pub last_need: Vec<u32>,
    /// For each value: the steps at which completed operations that need it begin, rising.
    pub needs: Vec<Vec<u32>>,
    /// For each value: as `last_need`, crashed operations included.
    pub last_take: Vec<u32>,
    /// For each value: the last step at which an operation that leaves it begins; 0 if none.
    pub last_supply: Vec<u32>,
    /// Whether there are operations that need the value to be another one.
    pub has_miss: bool,
    /// How many of the operations completed.
    pub completed: usize,
}

impl Problem {
    /// Prepares `ops`, which are in order of invocation and use value ids below `values`.
    pub fn new(ops: &[RegisterOp], values: usize) -> Self {
        let need_end = need_ends(ops, values);
        let mut items = Vec::with_capacity(ops.len());
        let mut keyed: Vec<(u64, Step)> = Vec::with_capacity(ops.len() * 2);
        let mut twins: HashMap<(Function, u32, u32), u32> = HashMap::new();
        for (row, op) in ops.iter().enumerate() {
            let mut item = Item {
                f: op.f,
                a: op.a,
                b: op.b,
                crashed: !op.completed(),
                slot: 0,
                twin: NONE,
                row: row as u32,
                call_step: 0,
                last_supply: 0,
            };
            if op.f == Function::Cas && op.a == op.b {
                item.f = Function::Read;
            }
            let id = items.len() as u32;
            let call = u64::from(op.call) * 2;
            if item.crashed {
                let Some(left) = item.produces() else { continue };
                let end = need_end[left as usize];
                if end <= op.call {
                    continue;
                }
                item.twin = twins.insert((op.f, op.a, op.b), id).unwrap_or(NONE);
                keyed.push((u64::from(end) * 2 + 1, Step::Expire(id)));
            } else {
                keyed.push((u64::from(op.ret) * 2, Step::Return(id)));
            }
            keyed.push((call, Step::Call(id)));
            items.push(item);
        }
        keyed.sort_unstable_by_key(|(key, step)| (*key, step.op()));
        let steps: Vec<Step> = keyed.into_iter().map(|(_, step)| step).collect();
        let slots = assign_slots(&mut items, &steps);
        let has_miss = items.iter().any(|item| item.f == Function::Miss);
        let completed = items.iter().filter(|item| !item.crashed).count();
        let mut problem = Self {
            items,
            steps,
            slots,
            last_need: vec![0; values],
            needs: vec![Vec::new(); values],
            last_take: vec![0; values],
            last_supply: vec![0; values],
            has_miss,
            completed,
        };
        problem.index_values();
        problem
    }

    /// What the step's operation is.
    pub fn item(&self, id: u32) -> &Item {
        &self.items[id as usize]
    }

    fn index_values(&mut self) {
        for (at, step) in self.steps.iter().enumerate() {
            let id = step.op() as usize;
            if let (Step::Return(_), Some(value)) = (step, self.items[id].consumes()) {
                self.items[id].last_supply = self.last_supply[value as usize];
            }
            let Step::Call(_) = step else { continue };
            self.items[id].call_step = at as u32;
            let item = &self.items[id];
            // The first step is never looked at from before, so 0 can mean none.
            let at = at as u32;
            if let Some(value) = item.consumes() {
                self.last_take[value as usize] = at;
                if !item.crashed {
                    self.last_need[value as usize] = at;
                    self.needs[value as usize].push(at);
                }
            }
            if let Some(value) = item.produces() {
                self.last_supply[value as usize] = at;
            }
        }
    }
}

impl Step {
    const fn op(self) -> u32 {
        match self {
            Self::Call(id) | Self::Return(id) | Self::Expire(id) => id,
        }
    }
}

/// For each value the last position at which somebody who needs it returns; 0 if nobody does. A crashed cas needs
/// its value for as long as the value that it leaves is needed.
fn need_ends(ops: &[RegisterOp], values: usize) -> Vec<u32> {
    let mut ends = vec![0; values];
    let mut misses_end = 0;
    for op in ops.iter().filter(|op| op.completed()) {
        if let Some(value) = op.consumes() {
            let end: &mut u32 = &mut ends[value as usize];
            *end = op.ret.max(*end);
        } else if op.f == Function::Miss {
            misses_end = op.ret.max(misses_end);
        }
    }
    // Any value but one lets a miss succeed.
    ends.iter_mut().for_each(|end| *end = misses_end.max(*end));
    let chain: Vec<&RegisterOp> =
        ops.iter().filter(|op| !op.completed() && op.f == Function::Cas).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for op in &chain {
            let end = ends[op.b as usize];
            if end > ends[op.a as usize] && end > op.call {
                ends[op.a as usize] = end;
                changed = true;
            }
        }
    }
    ends
}

/// Gives every operation a slot that no operation pending at the same time holds; returns how many there are.
fn assign_slots(items: &mut [Item], steps: &[Step]) -> usize {
    let mut free: Vec<u32> = Vec::new();
    let mut slots = 0;
    for step in steps {
        match *step {
            Step::Call(id) => {
                items[id as usize].slot = free.pop().unwrap_or_else(|| {
                    slots += 1;
                    slots - 1
                });
            }
            Step::Return(id) | Step::Expire(id) => free.push(items[id as usize].slot),
        }
    }
    slots as usize
}
