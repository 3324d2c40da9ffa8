//! Why one transaction must come before another, in words.

use super::columns::{F, NONE, Outcome, Txns};
use super::deps::{Dependencies, External, Next, externals_in};
use crate::graph::{Classes, Step};
use crate::verdict::{Evidence, EvidenceEdge, EvidenceOp};

impl Dependencies<'_> {
    /// Evidence that is a cycle.
    pub fn cycle(&self, steps: &[Step]) -> Evidence {
        circle(self.txns, steps, |step, from, to| self.why(step, from, to))
    }

    fn why(&self, step: Step, from: &str, to: &str) -> String {
        let found = match step.class {
            Classes::WW => self.overwrote(step, from, to),
            Classes::WR => self.read(step, from, to),
            Classes::RW => self.missed(step, from, to),
            _ => Some(in_time(self.txns, step, from, to)),
        };
        found.unwrap_or_else(|| OTHERWISE.into())
    }

    fn overwrote(&self, Step { from: a, to: b, .. }: Step, from: &str, to: &str) -> Option<String> {
        for op in self.txns.ops(b).iter().filter(|op| matches!(op.f, F::Append | F::Write)) {
            let (key, name) = (op.key, self.txns.key_name(op.key));
            let did = if op.f == F::Append { ("appended", "to") } else { ("wrote", "to") };
            let order = &self.orders.by_key[key as usize];
            let place = self.orders.places[op.value as usize];
            let end = if place == NONE { order.len() } else { place as usize };
            let mut before = order[..end].iter().rev();
            let known = before
                .find_map(|v| Some((*v, self.orders.writer(self.writers, *v)?)))
                .filter(|(_, writer)| *writer == a);
            let Some((version, _)) = known else { continue };
            let (earlier, later) = (self.txns.value(version), self.txns.value(op.value));
            let since = if place == NONE {
                "which nobody who read the former saw".into()
            } else {
                self.witness(key, place)
            };
            return Some(format!(
                "{from} {} {earlier} {} {name} before {to} {} {later}, {since}",
                did.0, did.1, did.0
            ));
        }
        None
    }

    /// Who saw the order of versions up to a place.
    fn witness(&self, key: u32, place: u32) -> String {
        let version = self.orders.by_key[key as usize].get(place as usize).copied();
        let reads = |row: &u32| {
            let mut ops = self.txns.ops(*row).iter().filter(|op| op.key == key);
            ops.any(|op| {
                let list = self.txns.list(*op).unwrap_or_default();
                version.is_some() && list.get(place as usize).copied() == version
            })
        };
        let Some(row) = (0..self.txns.txns.len() as u32).find(reads) else {
            return "as the order of versions says".into();
        };
        let list = self.txns.ops(row).iter().filter(|op| op.key == key);
        let list = list.filter_map(|op| self.txns.list(*op)).max_by_key(|list| list.len());
        let list = self.txns.list_label(&list.unwrap_or_default()[..=place as usize]);
        let list = list.trim_end_matches(']');
        format!("since the read that began at event {} saw {list}, …]", index(self.txns, row))
    }

    fn read(&self, Step { from: a, to: b, .. }: Step, from: &str, to: &str) -> Option<String> {
        let wrote = |read: &External| {
            read.version != NONE && self.orders.writer(self.writers, read.version) == Some(a)
        };
        let read = externals_in(self.txns, b).into_iter().find(wrote)?;
        let (name, value) = (self.txns.key_name(read.key), self.txns.value(read.version));
        Some(format!("{to} read {name} with {value} as its latest value, which {from} wrote"))
    }

    fn missed(&self, Step { from: a, to: b, .. }: Step, from: &str, to: &str) -> Option<String> {
        for read in externals_in(self.txns, a) {
            let follows = match self.next_writers(read) {
                Next::One(writer) => writer == b,
                Next::Tail => self.orders.tails[read.key as usize].contains(&b),
                Next::Nobody => false,
            };
            if !follows {
                continue;
            }
            let name = self.txns.key_name(read.key);
            let saw = match read.version {
                NONE => format!("{name} before anything was written to it"),
                version => format!("{name} with {} as its latest value", self.txns.value(version)),
            };
            let mut ops = self.txns.ops(b).iter().filter(|op| op.key == read.key);
            let wrote = ops.find(|op| {
                let write = matches!(op.f, F::Append | F::Write);
                let place = self.orders.places.get(op.value as usize).copied();
                write && (place >= self.orders.after(read.version) || place == Some(NONE))
            })?;
            let next = self.txns.value(wrote.value);
            return Some(format!(
                "{from} read {saw}, and so without {next}, which {to} wrote there"
            ));
        }
        None
    }
}

/// Why one transaction precedes another, where no better reason is at hand.
pub(crate) const OTHERWISE: &str = "of what they read and wrote";

/// Evidence that is a cycle: its transactions, and a reason for every step. A step says `T1` of the first of its rows.
pub(crate) fn circle(
    txns: &Txns,
    steps: &[Step],
    why: impl Fn(Step, &str, &str) -> String,
) -> Evidence {
    let rows: Vec<u32> = steps.iter().map(|step| step.from).collect();
    let name = |row: u32| {
        let at = rows.iter().position(|known| *known == row).unwrap_or_default();
        format!("T{}", at + 1)
    };
    let edges: Vec<EvidenceEdge> = steps
        .iter()
        .map(|step| {
            let (from, to) = (name(step.from), name(step.to));
            EvidenceEdge {
                from: index(txns, step.from),
                to: index(txns, step.to),
                kind: kind(step.class).into(),
                why: format!("{from} came before {to}: {}", why(*step, &from, &to)),
            }
        })
        .collect();
    let mut explanation: Vec<String> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let (process, label) = (txns.txns[*row as usize].span.process, txns.label(*row));
        explanation.push(format!("T{} is process {process}'s `{label}`.", at + 1));
    }
    explanation.extend(edges.iter().map(|edge| format!("{}.", edge.why)));
    explanation.push("So each of them came before itself, which cannot be.".into());
    Evidence { edges, ..evidence(txns, &rows, explanation) }
}

/// Evidence that is transactions.
pub(crate) fn evidence(txns: &Txns, rows: &[u32], explanation: Vec<String>) -> Evidence {
    let mut ops: Vec<EvidenceOp> = rows.iter().map(|row| shown(txns, *row)).collect();
    ops.sort_by_key(|op| op.index);
    ops.dedup();
    Evidence {
        key: None,
        ops,
        longest_order: Vec::new(),
        stuck: Vec::new(),
        minimal: false,
        edges: Vec::new(),
        explanation,
    }
}

fn index(txns: &Txns, row: u32) -> u64 {
    u64::from(txns.txns[row as usize].span.call)
}

fn shown(txns: &Txns, row: u32) -> EvidenceOp {
    let txn = &txns.txns[row as usize];
    let label = txns.label(row);
    match txn.outcome {
        Outcome::Fail => txn.span.shown(format!("{label} (failed)")),
        Outcome::Ok | Outcome::Info => txn.span.shown(label),
    }
}

/// Why a process' order, or real time, has one transaction before another.
pub(crate) fn in_time(txns: &Txns, step: Step, from: &str, to: &str) -> String {
    let (a, b) = (&txns.txns[step.from as usize].span, &txns.txns[step.to as usize].span);
    match step.class {
        Classes::PROCESS => format!("process {} did them in this order", a.process),
        _ => format!(
            "{from} had completed (event {}) before {to} was invoked (event {})",
            a.ret, b.call
        ),
    }
}

/// What a class of edges is called.
const fn kind(class: Classes) -> &'static str {
    match class {
        Classes::WW => "ww",
        Classes::WR => "wr",
        Classes::RW => "rw",
        Classes::WRP => "wrp",
        Classes::RWP => "rwp",
        Classes::PROCESS => "process",
        _ => "realtime",
    }
}
