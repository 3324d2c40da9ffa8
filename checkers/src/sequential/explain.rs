//! Evidence in words.

use std::collections::BTreeSet;

use super::decide::{Proof, Row};
use super::order::{Wait, Why};
use super::problem::NONE;
use super::shrink::Shrunk;
use crate::columns::{Function, RegisterOp, Registers};
use crate::verdict::{Evidence, EvidenceOp};

/// The name of the only anomaly that this checker knows.
pub const ANOMALY: &str = "nonsequential";

/// Sentences that a proof may take; a longer one is left out.
const SENTENCES_MAX: usize = 16;

/// Operations that evidence shows at most, the last ones.
const SHOWN_MAX: usize = 60;

/// Renders the part that has no order.
pub fn evidence(registers: &Registers, shrunk: &Shrunk) -> Evidence {
    let keys: BTreeSet<u32> = shrunk.part.keys().map(|row| row.0).collect();
    let named = registers.keys.len() > 1 && keys.len() > 1;
    let teller = Teller { registers, shrunk, named };
    let mut rows: Vec<Row> = shrunk.part.keys().copied().collect();
    rows.sort_unstable_by_key(|row| teller.op(*row).call);
    let first = rows.len().saturating_sub(SHOWN_MAX);
    let shown = &rows[first..];
    let index = |row: &Row| u64::from(teller.op(*row).call);
    let stuck = shown.iter().filter(|row| teller.op(**row).completed());
    let stuck = stuck.filter(|row| !shrunk.order.contains(row));
    let order = shrunk.order.iter().filter(|row| shown.contains(row));
    let mut explanation = teller.explain(&rows);
    if first > 0 {
        explanation.push(format!("Only the last {SHOWN_MAX} of these operations are shown."));
    }
    let key = keys.first().filter(|_| keys.len() == 1);
    let key = key.and_then(|key| registers.keys[*key as usize].key.as_ref());
    Evidence {
        key: key.map(ToString::to_string),
        ops: shown.iter().map(|row| teller.shown(*row)).collect(),
        longest_order: order.map(index).collect(),
        stuck: stuck.map(index).collect(),
        minimal: shrunk.minimal && first == 0,
        edges: Vec::new(),
        explanation,
    }
}

struct Teller<'a> {
    registers: &'a Registers,
    shrunk: &'a Shrunk,
    /// Whether keys must be told apart.
    named: bool,
}

impl Teller<'_> {
    fn op(&self, (key, row): Row) -> &RegisterOp {
        &self.registers.keys[key as usize].ops[row as usize]
    }

    fn key(&self, row: Row) -> String {
        let key = &self.registers.keys[row.0 as usize].key;
        key.as_ref().map_or_else(String::new, ToString::to_string)
    }

    fn value(&self, row: Row, id: u32) -> String {
        self.registers.keys[row.0 as usize].values[id as usize].to_string()
    }

    fn shown(&self, row: Row) -> EvidenceOp {
        let op = self.op(row);
        let (a, b) = (self.value(row, op.a), self.value(row, op.b));
        let what = match op.f {
            Function::Read => format!("read -> {a}"),
            Function::Write => format!("write {a}"),
            Function::Cas => format!("cas {a} -> {b}"),
            Function::Miss => format!("cas found no {a}"),
        };
        let label = if self.named { format!("{}: {what}", self.key(row)) } else { what };
        EvidenceOp {
            index: u64::from(op.call),
            completion: op.completed().then_some(u64::from(op.ret)),
            process: op.process.to_string(),
            node: None,
            label,
            start_ns: op.start_ns,
            end_ns: op.completed().then_some(op.end_ns),
        }
    }

    /// `process 5's write of 9 to key 3`.
    fn name(&self, row: Row) -> String {
        let op = self.op(row);
        let (a, b) = (self.value(row, op.a), self.value(row, op.b));
        let (what, place) = match op.f {
            Function::Read => (format!("read of {a}"), "from"),
            Function::Write => (format!("write of {a}"), "to"),
            Function::Cas => (format!("cas from {a} to {b}"), "at"),
            Function::Miss => (format!("cas that found no {a}"), "at"),
        };
        let key =
            if self.named { format!(" {place} key {}", self.key(row)) } else { String::new() };
        format!("process {}'s {what}{key}", op.process)
    }

    fn explain(&self, rows: &[Row]) -> Vec<String> {
        let mut lines = match &self.shrunk.proof {
            _ if rows.len() == 1 => {
                vec![format!(
                    "{} found a value that nobody ever wrote.",
                    capital(&self.name(rows[0]))
                )]
            }
            Some(proof) if sentences(proof) <= SENTENCES_MAX => self.tell(proof),
            _ => vec![format!(
                "Each process' own order of these {} operations leaves no order of them all that explains what was \
                 found.",
                rows.len()
            )],
        };
        if self.shrunk.part.values().any(|effect| *effect) {
            lines.push("Of some cas only the value that they left matters here.".into());
        }
        if !self.shrunk.minimal {
            lines.push(
                "A smaller part of the history may show the same: not proved minimal.".into(),
            );
        }
        lines
    }

    /// The circles in words, those first on which others rest.
    fn tell(&self, proof: &Proof) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, circle) in proof.circles.iter().enumerate().rev() {
            let supposed = circle.iter().find_map(|wait| match wait.why {
                Why::Decided(decision) => Some(decision),
                _ => None,
            });
            if let Some(decision) = supposed {
                let first = |chain: u32| self.of(proof, proof.problem.producer[chain as usize]);
                let (before, after) = (first(decision.before), first(decision.after));
                lines.push(format!("Suppose that {before} comes before {after}."));
            }
            lines.extend(self.tell_circle(proof, circle));
            let end = match (supposed, at) {
                (Some(_), _) => "That is a circle, so it is the other way round.",
                (None, _) => {
                    "So each of these comes before itself: no order of all operations keeps each process' own order and \
                     explains what was found."
                }
            };
            lines.push(end.into());
        }
        lines
    }

    fn tell_circle(&self, proof: &Proof, circle: &[Wait]) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, wait) in circle.iter().enumerate().rev() {
            // What the process of the awaited operation has to do first is the next one that waits.
            let next = circle[(at + 1) % circle.len()].item;
            let (item, other) = (self.of(proof, wait.item), self.of(proof, wait.other));
            if next != wait.other {
                let next = self.of(proof, next);
                lines.push(format!("{} comes before {other} in its process.", capital(&next)));
            }
            let why = match wait.why {
                Why::Found => "which found its value".to_string(),
                Why::Overwrites | Why::Decided(_) => {
                    let found = proof.problem.items[wait.other as usize].found;
                    if found == NONE {
                        "which comes later"
                    } else {
                        "which overwrites what that found"
                    }
                    .into()
                }
                Why::Met(met) => {
                    let [first, then] = proof.problem.meeting(&met);
                    let process = self.op(self.row(proof, then)).process;
                    format!(
                        "for process {process} met them in this order: {}, then {}",
                        self.of(proof, first),
                        self.of(proof, then)
                    )
                }
                Why::Edge(_) => "as shown above".into(),
            };
            lines.push(format!("{} comes before {item}, {why}.", capital(&other)));
        }
        lines
    }

    fn row(&self, proof: &Proof, item: u32) -> Row {
        let item = &proof.problem.items[item as usize];
        self.shrunk.rows[item.key as usize][item.row as usize]
    }

    fn of(&self, proof: &Proof, item: u32) -> String {
        self.name(self.row(proof, item))
    }
}

fn sentences(proof: &Proof) -> usize {
    proof.circles.iter().map(|circle| 2 * circle.len() + 2).sum()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
