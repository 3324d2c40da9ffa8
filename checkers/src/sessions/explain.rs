//! Evidence in words: what each process did, and why that cannot be.

use std::collections::BTreeSet;

use super::order::{INIT, NONE, Sessions, Sources};
use super::shrink::{Keep, Shrunk};
use super::violation::{Link, Step, Violation};
use crate::columns::{Function, RegisterKey, RegisterOp, Registers};
use crate::verdict::{Evidence, EvidenceOp};

/// Renders the part of a history that breaks the promise.
#[must_use]
pub fn evidence(registers: &Registers, shrunk: &Shrunk) -> Evidence {
    let keys: BTreeSet<u32> = shrunk.part.keys().map(|(key, _)| *key).collect();
    let name = |key: u32| registers.keys[key as usize].key.as_ref().map(ToString::to_string);
    let several = keys.len() > 1;
    let of = |key: u32| name(key).filter(|_| several).map_or_else(String::new, |name| name + " ");
    let op = |(key, row): &(u32, u32)| shown(&registers.keys[*key as usize], *row, &of(*key));
    let mut shown: Vec<EvidenceOp> = shrunk.part.keys().map(op).collect();
    shown.sort_by_key(|op| op.index);
    Evidence {
        key: if several { None } else { keys.first().copied().and_then(name) },
        ops: shown,
        longest_order: Vec::new(),
        stuck: Vec::new(),
        minimal: shrunk.minimal,
        edges: Vec::new(),
        explanation: explanation(registers, shrunk, several),
    }
}

/// A sentence as part of a longer one.
#[must_use]
pub fn clause(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// An operation as evidence shows it; `of` names its key, followed by a space, where keys must be told apart.
#[must_use]
pub fn shown(register: &RegisterKey, row: u32, of: &str) -> EvidenceOp {
    let op = &register.ops[row as usize];
    let value = |id: u32| &register.values[id as usize];
    let label = match op.f {
        Function::Read => format!("read {of}-> {}", value(op.a)),
        Function::Write => format!("write {of}{}", value(op.a)),
        Function::Cas => format!("cas {of}{} -> {}", value(op.a), value(op.b)),
        Function::Miss => format!("cas {of}found no {}", value(op.a)),
    };
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

fn explanation(registers: &Registers, shrunk: &Shrunk, several: bool) -> Vec<String> {
    let sessions = Sessions::new(&shrunk.registers);
    let sources = sessions.sources();
    let teller = Teller { sessions: &sessions, sources: &sources, several };
    let mut lines = teller.deeds();
    match &shrunk.violation {
        Some(violation) => lines.extend(teller.conclusion(violation)),
        None => lines.push(
            "Together with the rest of the history this breaks the promise; no part was found that shows it alone."
                .into(),
        ),
    }
    let effect = |(at, keep): (&(u32, u32), &Keep)| {
        let op = &registers.keys[at.0 as usize].ops[at.1 as usize];
        *keep == Keep::Effect && op.f == Function::Cas
    };
    if shrunk.part.iter().any(effect) {
        lines.push(
            "Of a cas whose expected value is not mentioned, only the value it leaves matters here.".into(),
        );
    }
    if !shrunk.minimal {
        lines.push("A smaller part of the history may show the same: not proved minimal.".into());
    }
    lines
}

struct Teller<'a> {
    sessions: &'a Sessions<'a>,
    sources: &'a Sources,
    several: bool,
}

impl Teller<'_> {
    fn row(&self, op: u32) -> &RegisterOp {
        self.sessions.row(op)
    }

    fn value(&self, op: u32, id: u32) -> String {
        let key = self.sessions.key(op);
        self.sessions.registers().keys[key as usize].values[id as usize].to_string()
    }

    /// What an operation leaves, or the initial value.
    fn left(&self, op: u32, read: u32) -> String {
        let op = if op == INIT || op == NONE { read } else { op };
        let row = self.row(op);
        self.value(op, row.produces().unwrap_or(row.a))
    }

    /// ` of "x"` where keys must be told apart.
    fn key(&self, op: u32, word: &str) -> String {
        let key = &self.sessions.registers().keys[self.sessions.key(op) as usize].key;
        match key {
            Some(name) if self.several => format!(" {word} {name}"),
            _ => String::new(),
        }
    }

    /// `wrote 4`.
    fn deed(&self, op: u32) -> String {
        let row = self.row(op);
        let a = self.value(op, row.a);
        match row.f {
            Function::Read => format!("read {a}{}", self.key(op, "from")),
            Function::Write => format!("wrote {a}{}", self.key(op, "to")),
            Function::Cas => {
                format!("replaced {a} by {}{}", self.value(op, row.b), self.key(op, "in"))
            }
            Function::Miss => format!("found no {a}{}", self.key(op, "in")),
        }
    }

    /// `process 5's write of 9`.
    fn name(&self, op: u32) -> String {
        let row = self.row(op);
        let (process, a) = (row.process, self.value(op, row.a));
        let what = match row.f {
            Function::Read => format!("read of {a}"),
            Function::Write => format!("write of {a}"),
            Function::Cas => format!("cas from {a} to {}", self.value(op, row.b)),
            Function::Miss => format!("cas that found no {a}"),
        };
        format!("process {process}'s {what}{}", self.key(op, "in"))
    }

    /// A sentence a process: what it did, in its order; those first whom others have read from.
    fn deeds(&self) -> Vec<String> {
        let mut processes: Vec<(u32, Vec<u32>)> = Vec::new();
        for op in 0..self.sessions.len() {
            let process = self.row(op).process;
            match processes.iter_mut().find(|(other, _)| *other == process) {
                Some((_, ops)) => ops.push(op),
                None => processes.push((process, vec![op])),
            }
        }
        for (_, ops) in &mut processes {
            ops.sort_by_key(|op| self.row(*op).call);
        }
        processes.sort_by_key(|(_, ops)| ops.last().map(|op| self.row(*op).call));
        let mut lines: Vec<String> = Vec::new();
        for (process, ops) in &processes {
            let deeds: Vec<String> = ops.iter().map(|op| self.deed(*op)).collect();
            lines.push(format!("Process {process} {}.", deeds.join(", and then ")));
            lines.extend(ops.iter().filter_map(|op| self.unknown(*op)));
        }
        lines
    }

    fn unknown(&self, op: u32) -> Option<String> {
        let read = self.sources.contains(&op);
        (!self.row(op).completed() && read).then(|| {
            let name = capital(&self.name(op));
            format!("{name} had an unknown outcome; it took effect, for its value was found.")
        })
    }

    fn conclusion(&self, violation: &Violation) -> Vec<String> {
        match violation {
            Violation::NotWritten { read } => {
                let value = self.value(*read, self.row(*read).a);
                let miss = self.row(*read).f == Function::Miss;
                vec![if miss {
                    format!("{value} is the initial value, and nobody ever wrote another one to this key.")
                } else {
                    format!("Nobody ever wrote {value} to this key, and it is not the initial value.")
                }]
            }
            Violation::Stale { old, replaced, new, known, read, .. } => {
                let mut lines = Vec::new();
                self.reasons(*old, replaced, &mut lines);
                self.reasons(*new, known, &mut lines);
                let inferred = known.iter().any(|step| matches!(step.link, Link::Replaced { .. }));
                lines.push(self.stale(*old, *new, *read, inferred));
                lines
            }
            Violation::Cycle { steps, .. } => self.circle(steps),
            Violation::NoChoice => vec![
                "Values repeat, so that it is not known which write each read found; whichever it was, the promise is \
                 broken."
                    .into(),
            ],
        }
    }

    /// Why `read` should not have found `old`; `inferred` if it could not see `new` but what it read places it before.
    fn stale(&self, old: u32, new: u32, read: u32, inferred: bool) -> String {
        let process = self.row(read).process;
        let (was, is) = (self.left(old, read), self.left(new, read));
        let verb = if self.row(read).f == Function::Read { "read" } else { "found" };
        let found = if old == INIT {
            format!("{was}, the initial value{}", self.key(read, "of"))
        } else {
            format!("{was}{}", self.key(read, "from"))
        };
        if inferred {
            return format!(
                "So {is} had come before process {process} {verb} {found}, and had replaced it."
            );
        }
        let knew = if self.row(new).process == process {
            format!("had written {is} itself")
        } else {
            format!("knew of {is}")
        };
        format!("When process {process} {verb} {found}, it {knew}, which had replaced it.")
    }

    /// The orders that reads imply.
    fn reasons(&self, from: u32, steps: &[Step], lines: &mut Vec<String>) {
        let mut before = from;
        for Step { to, link } in steps {
            if let Link::Replaced { reader, seen } = link {
                self.reasons(before, seen, lines);
                let process = self.row(*reader).process;
                let (first, second) = (self.left(before, *to), self.left(*to, *to));
                let key = self.key(*to, "in");
                lines.push(format!(
                    "Process {process} knew of {first} when it found {second}{key}: {first} had come before {second}."
                ));
            }
            before = *to;
        }
    }

    fn circle(&self, steps: &[Step]) -> Vec<String> {
        let plain = |steps: &[Step]| !steps.iter().any(|s| matches!(s.link, Link::Replaced { .. }));
        let Some((last, rest)) = steps.split_last() else { return Vec::new() };
        if let Link::Replaced { reader, seen } = &last.link
            && let Some(new) = rest.last()
            && plain(rest)
            && plain(seen)
        {
            return vec![self.stale(last.to, new.to, *reader, false)];
        }
        let mut lines = Vec::new();
        self.reasons(last.to, steps, &mut lines);
        lines.dedup();
        let names: Vec<String> = steps.iter().map(|step| self.name(step.to)).collect();
        lines.push(format!(
            "So each of these would come before the next, and the last before the first: {}.",
            names.join(", ")
        ));
        lines
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
