//! Evidence in words.

use super::necessary::effect;
use super::shrink::{Keep, Shrunk};
use crate::columns::{Function, INITIAL, RegisterKey, RegisterOp};
use crate::verdict::{Evidence, EvidenceOp};

/// The name of the only anomaly that this checker knows.
pub const ANOMALY: &str = "nonlinearizable";

/// What reading and writing are called.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    read: &'static str,
    /// The past tense.
    found: &'static str,
    write: &'static str,
    wrote: &'static str,
}

impl Wording {
    /// As registers have it.
    pub const REGISTERS: Self =
        Self { read: "read", found: "read", write: "write", wrote: "wrote" };
    /// As keys of a store have it.
    pub const KEYS: Self = Self { read: "get", found: "got", write: "put", wrote: "put" };
}

/// Renders the part of `register` that cannot be ordered.
pub fn evidence(register: &RegisterKey, shrunk: &Shrunk, wording: Wording) -> Evidence {
    let teller = Teller::new(register, shrunk, wording);
    let ops = shrunk.part.keys().map(|row| teller.shown(*row)).collect();
    let index = |row: &u32| u64::from(register.ops[*row as usize].call);
    Evidence {
        key: register.key.as_ref().map(ToString::to_string),
        ops,
        longest_order: shrunk.order.iter().map(index).collect(),
        stuck: teller.stuck().iter().map(index).collect(),
        minimal: shrunk.minimal,
        edges: Vec::new(),
        explanation: teller.explain(),
    }
}

struct Teller<'a> {
    register: &'a RegisterKey,
    shrunk: &'a Shrunk,
    wording: Wording,
    /// Digits after the point of a second that tell the shown times apart.
    digits: usize,
}

impl<'a> Teller<'a> {
    fn new(register: &'a RegisterKey, shrunk: &'a Shrunk, wording: Wording) -> Self {
        let mut times: Vec<u64> = Vec::new();
        for row in shrunk.part.keys() {
            let op = &register.ops[*row as usize];
            times.push(op.start_ns);
            if op.completed() {
                times.push(op.end_ns);
            }
        }
        times.sort_unstable();
        times.dedup();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(u64::MAX);
        let digits = match gap {
            0..1_000 => 9,
            1_000..1_000_000 => 6,
            _ => 3,
        };
        Self { register, shrunk, wording, digits }
    }

    fn op(&self, row: u32) -> &'a RegisterOp {
        &self.register.ops[row as usize]
    }

    fn value(&self, id: u32) -> String {
        self.register.values[id as usize].to_string()
    }

    fn seconds(&self, ns: u64) -> String {
        let whole = ns / 1_000_000_000;
        let fraction = format!("{:09}", ns % 1_000_000_000);
        format!("{whole}.{} s", &fraction[..self.digits])
    }

    fn shown(&self, row: u32) -> EvidenceOp {
        let op = self.op(row);
        let Wording { read, write, .. } = self.wording;
        let label = match op.f {
            Function::Read => format!("{read} -> {}", self.value(op.a)),
            Function::Write => format!("{write} {}", self.value(op.a)),
            // What it found does not count.
            Function::Cas if self.shrunk.part[&row] == Keep::Effect => {
                format!("cas ? -> {}", self.value(op.b))
            }
            Function::Cas => format!("cas {} -> {}", self.value(op.a), self.value(op.b)),
            Function::Miss => format!("cas found no {}", self.value(op.a)),
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

    /// `process 5's write of 9`.
    fn name(&self, row: u32) -> String {
        let op = self.op(row);
        let process = op.process;
        let Wording { read, write, .. } = self.wording;
        match op.f {
            Function::Read => format!("process {process}'s {read} of {}", self.value(op.a)),
            Function::Write => format!("process {process}'s {write} of {}", self.value(op.a)),
            Function::Cas => {
                format!("process {process}'s cas from {} to {}", self.value(op.a), self.value(op.b))
            }
            Function::Miss => {
                format!("process {process}'s cas that found no {}", self.value(op.a))
            }
        }
    }

    /// `(11.900 s to 11.980 s)`.
    fn span(&self, row: u32) -> String {
        let op = self.op(row);
        if op.completed() {
            format!("({} to {})", self.seconds(op.start_ns), self.seconds(op.end_ns))
        } else {
            format!("(begun at {}, outcome unknown)", self.seconds(op.start_ns))
        }
    }

    /// `process 3 read 7`.
    fn found(&self, row: u32) -> String {
        let op = self.op(row);
        let verb = if op.f == Function::Read { self.wording.found } else { "found" };
        format!("process {} {verb} {}", op.process, self.value(op.a))
    }

    fn explain(&self) -> Vec<String> {
        let mut lines =
            self.one_reader().or_else(|| self.new_then_old()).unwrap_or_else(|| self.general());
        if self.shrunk.part.values().any(|keep| *keep == Keep::Effect)
            && self
                .shrunk
                .part
                .iter()
                .any(|(row, keep)| *keep == Keep::Effect && self.op(*row).f == Function::Cas)
        {
            lines.push(
                "Of a cas that is shown with a question mark only the value that it leaves matters here."
                    .into(),
            );
        }
        if !self.shrunk.minimal {
            lines.push(
                "A smaller part of the history may show the same: not proved minimal.".into(),
            );
        }
        lines
    }

    /// Completed operations of the part that count for what they found.
    fn readers(&self) -> Vec<u32> {
        let counts = |(row, keep): (&u32, &Keep)| {
            let op = self.op(*row);
            let found = *keep == Keep::Whole && op.completed() && op.consumes().is_some();
            found.then_some(*row)
        };
        self.shrunk.part.iter().filter_map(counts).collect()
    }

    fn writers(&self, value: u32) -> Vec<u32> {
        let rows = self.shrunk.part.keys().copied();
        rows.filter(|row| effect(self.op(*row)) == Some(value)).collect()
    }

    fn before(&self, first: u32, second: u32) -> bool {
        self.op(first).ret < self.op(second).call
    }

    /// A value that nobody wrote, was written only later, or had certainly been overwritten.
    fn one_reader(&self) -> Option<Vec<String>> {
        let [reader] = self.readers()[..] else { return None };
        let value = self.op(reader).a;
        let writers = self.writers(value);
        let found = self.found(reader);
        let read_span = self.span(reader);
        let shown = self.value(value);
        if writers.is_empty() && value != INITIAL && self.shrunk.part.len() == 1 {
            return Some(vec![
                format!("{} {read_span}.", capital(&found)),
                format!(
                    "Nobody ever {} {shown} to this key, and it is not the initial value.",
                    self.wording.wrote
                ),
            ]);
        }
        if let [writer] = writers[..]
            && self.before(reader, writer)
            && self.shrunk.part.len() == 2
        {
            return Some(vec![
                format!("{} {read_span}.", capital(&found)),
                format!(
                    "{} began only at {}: no earlier operation could have left {shown}.",
                    capital(&self.name(writer)),
                    self.seconds(self.op(writer).start_ns)
                ),
            ]);
        }
        self.stale(reader, &writers)
    }

    fn stale(&self, reader: u32, writers: &[u32]) -> Option<Vec<String>> {
        let value = self.op(reader).a;
        let rows = || self.shrunk.part.keys().copied();
        let hides = |row: &u32| {
            *row != reader
                && effect(self.op(*row)).is_some()
                && self.before(*row, reader)
                && writers.iter().all(|w| w != row && self.before(*w, *row))
        };
        let hider = rows().find(hides)?;
        if rows().count() > writers.len() + 2 || writers.len() > 1 {
            return None;
        }
        let shown = self.value(value);
        let mut lines = vec![format!(
            "{} at {}, after {} had completed at {}.",
            capital(&self.found(reader)),
            self.seconds(self.op(reader).start_ns),
            self.name(hider),
            self.seconds(self.op(hider).end_ns)
        )];
        lines.push(match writers {
            [writer] => format!(
                "{shown} had been overwritten by then: {} completed at {}, before that began at {}.",
                self.name(*writer),
                self.seconds(self.op(*writer).end_ns),
                self.seconds(self.op(hider).start_ns)
            ),
            _ => format!("{shown} is the initial value, and it had been overwritten by then."),
        });
        Some(lines)
    }

    /// Two readers, one after the other, that saw two values in the wrong order.
    fn new_then_old(&self) -> Option<Vec<String>> {
        let mut readers = self.readers();
        readers.sort_unstable_by_key(|row| self.op(*row).ret);
        let [first, second] = readers[..] else { return None };
        let (new, old) = (self.op(first).a, self.op(second).a);
        let (writers_new, writers_old) = (self.writers(new), self.writers(old));
        let [writer_new] = writers_new[..] else { return None };
        let plain = new != old
            && self.before(first, second)
            && writers_old.len() <= 1
            && writers_old.iter().all(|w| self.before(*w, writer_new))
            && self.shrunk.part.len() == 3 + writers_old.len();
        if !plain || (writers_old.is_empty() && old != INITIAL) {
            return None;
        }
        let mut lines = vec![
            format!(
                "{} {}: {} had taken effect by {}.",
                capital(&self.found(first)),
                self.span(first),
                self.name(writer_new),
                self.seconds(self.op(first).end_ns)
            ),
            format!(
                "After that, from {} on, {}, which is older.",
                self.seconds(self.op(second).start_ns),
                self.found(second)
            ),
        ];
        lines.push(match writers_old[..] {
            [writer] => format!(
                "{} completed at {}, before {} began at {}.",
                capital(&self.name(writer)),
                self.seconds(self.op(writer).end_ns),
                self.name(writer_new),
                self.seconds(self.op(writer_new).start_ns)
            ),
            _ => format!("{} is the initial value.", self.value(old)),
        });
        Some(lines)
    }

    fn general(&self) -> Vec<String> {
        let part = &self.shrunk.part;
        let mut lines = vec![format!(
            "No order of these {} operations explains what they returned.",
            part.len()
        )];
        let order: Vec<String> = self.shrunk.order.iter().map(|row| self.name(*row)).collect();
        if !order.is_empty() {
            lines.push(format!("The longest order is: {}.", order.join(", then ")));
        }
        let state = self.shrunk.order.iter().rev().find_map(|row| effect(self.op(*row)));
        let state = self.value(state.unwrap_or(INITIAL));
        for row in self.stuck() {
            let op = self.op(row);
            let why = match op.consumes() {
                Some(value) if part[&row] == Keep::Whole => {
                    format!("it found {}, but the value is {state} then", self.value(value))
                }
                _ => "what was read before or after it leaves no room for it".into(),
            };
            lines.push(format!(
                "{} {} fits nowhere: {why}.",
                capital(&self.name(row)),
                self.span(row)
            ));
        }
        lines
    }

    /// Completed operations that the longest order leaves out.
    fn stuck(&self) -> Vec<u32> {
        let rows = self.shrunk.part.keys().copied();
        rows.filter(|row| self.op(*row).completed() && !self.shrunk.order.contains(row)).collect()
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
