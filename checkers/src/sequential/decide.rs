//! One history of registers, one answer, by the cheapest procedure that has one.

use super::fronts::{Entry, Fronts};
use super::order::{Answer, Scheduler, Wait, Why};
use super::problem::{Problem, leaves};
use crate::columns::{INITIAL, RegisterOp, Registers};
use crate::linearizable::search::{self, Stop, Watch};
use crate::objects::models::register::{Register, RegisterCall};

/// Key and row of an operation.
pub type Row = (u32, u32);

/// What came of it.
#[derive(Debug)]
pub struct Decided {
    /// Whether there is an order, or why that is not known.
    pub legal: Result<bool, Stop>,
    /// The order if there is one, otherwise the longest one that was found, if that was wanted.
    pub order: Vec<Row>,
    /// Why not, if that was proved by circles of waiting.
    pub proof: Option<Proof>,
}

/// Circles of waiting, each of which rests on those behind it at most.
#[derive(Debug)]
pub struct Proof {
    /// See [`Answer::None`].
    pub circles: Vec<Vec<Wait>>,
    /// What they are about.
    pub problem: Problem,
}

impl Proof {
    /// The operations that are mentioned, each once.
    pub fn rows(&self) -> Vec<Row> {
        let mut items: Vec<u32> = Vec::new();
        for wait in self.circles.iter().flatten() {
            items.extend([wait.item, wait.other]);
            if let Why::Met(met) = wait.why {
                items.extend(self.problem.meeting(&met));
            }
        }
        items.sort_unstable();
        items.dedup();
        rows_of(&self.problem, &items)
    }
}

fn rows_of(problem: &Problem, items: &[u32]) -> Vec<Row> {
    let row = |id: &u32| {
        let item = &problem.items[*id as usize];
        (item.key, item.row)
    };
    items.iter().map(row).collect()
}

/// Decides by whatever works.
pub fn decide(registers: &Registers, record: bool, watch: &mut dyn Watch) -> Decided {
    if phantom(registers).is_some() {
        return Decided { legal: Ok(false), order: Vec::new(), proof: None };
    }
    by_versions(registers, record, watch).unwrap_or_else(|| by_search(registers, watch))
}

/// An operation that found a value which nobody ever wrote.
pub fn phantom(registers: &Registers) -> Option<Row> {
    registers.keys.iter().enumerate().find_map(|(key, register)| {
        let mut written = vec![false; register.values.len()];
        written[INITIAL as usize] = true;
        for value in register.ops.iter().filter_map(leaves) {
            written[value as usize] = true;
        }
        let garbage = |op: &RegisterOp| {
            op.completed() && op.consumes().is_some_and(|value| !written[value as usize])
        };
        let row = register.ops.iter().position(garbage)?;
        Some((key as u32, row as u32))
    })
}

/// Decides by what is plain of the versions that were found; `None` if that is not enough. Values must have been written.
pub fn by_versions(registers: &Registers, record: bool, watch: &mut dyn Watch) -> Option<Decided> {
    let problem = Problem::new(registers);
    let mut scheduler = Scheduler::new(&problem);
    scheduler.longest = record.then(Vec::new);
    let answer = scheduler.run(watch);
    let longest = scheduler.longest.take().unwrap_or_default();
    match answer {
        Answer::Order(_) if !problem.exact => None,
        Answer::Order(items) => {
            let order = rows_of(&problem, &items);
            Some(Decided { legal: Ok(true), order, proof: None })
        }
        Answer::None(circles) => {
            let order = rows_of(&problem, &longest);
            Some(Decided { legal: Ok(false), order, proof: Some(Proof { circles, problem }) })
        }
        Answer::Stopped(stop) => Some(Decided { legal: Err(stop), order: Vec::new(), proof: None }),
    }
}

/// Decides by trying orders.
pub fn by_search(registers: &Registers, watch: &mut dyn Watch) -> Decided {
    let calls: Vec<Vec<RegisterCall>> = registers
        .keys
        .iter()
        .map(|register| register.ops.iter().map(RegisterCall::from).collect())
        .collect();
    let mut rows: Vec<Row> = Vec::new();
    let mut entries: Vec<Entry<'_, RegisterCall>> = Vec::new();
    for (key, register) in registers.keys.iter().enumerate() {
        for (row, op) in register.ops.iter().enumerate() {
            rows.push((key as u32, row as u32));
            entries.push(Entry {
                object: key as u32,
                op: &calls[key][row],
                call: op.call,
                process: op.process,
                completed: op.completed(),
            });
        }
    }
    let mut by_call: Vec<u32> = (0..rows.len() as u32).collect();
    by_call.sort_unstable_by_key(|at| entries[*at as usize].call);
    entries.sort_unstable_by_key(|entry| entry.call);
    let models = vec![&Register; registers.keys.len()];
    let (answer, reached) = Fronts::new(&models, &entries).search(watch);
    let legal = match answer {
        search::Answer::Legal => Ok(true),
        search::Answer::Illegal => Ok(false),
        search::Answer::Stopped(stop) => Err(stop),
    };
    let order = reached.order.iter().map(|at| rows[by_call[*at as usize] as usize]).collect();
    Decided { legal, order, proof: None }
}
