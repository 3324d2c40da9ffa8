//! One key's end.

use std::collections::BTreeMap;

use super::{Quiet, at};
use crate::columns::{Function, INITIAL, RegisterKey, RegisterOp};
use crate::models::Model;
use crate::sessions::explain::shown;
use crate::verdict::{Check, Evidence, Verdict};

/// How a key ended.
pub enum End {
    /// Several processes read the same, after so many nanoseconds.
    Agreed(u64),
    /// Only one process read it in the quiet time.
    ByOne,
    /// Nobody did.
    Unread,
    /// They did not agree, but one of the values may have been written late.
    Unclear,
    /// They did not agree, or on what nobody wrote.
    Broken(Box<Check>),
}

/// Looks at the reads of the quiet time.
pub fn judge_key(register: &RegisterKey, quiet: &Quiet) -> End {
    let writes = Writes::new(register);
    if let Some(row) = writes.garbage {
        return End::Broken(Box::new(garbage(register, row)));
    }
    if quiet.unhealed {
        return End::Unread;
    }
    let start_ns = writes.end_ns.max(quiet.healed_ns);
    let counts = |op: &&RegisterOp| {
        op.f == Function::Read && op.completed() && op.call > writes.end && op.start_ns >= start_ns
    };
    let reads = register.ops.iter().filter(counts);
    // In order of invocation, so that each process' last read remains.
    let mut last: BTreeMap<u32, &RegisterOp> = BTreeMap::new();
    for read in
        reads.clone().filter(|read| read.start_ns >= start_ns.saturating_add(quiet.allowed_ns))
    {
        last.insert(read.process, read);
    }
    let Some(newest) = last.values().copied().max_by_key(|read| read.ret) else {
        return End::Unread;
    };
    let others = last.values().copied().filter(|read| read.a != newest.a);
    let other = others.max_by_key(|read| read.ret);
    if other.is_some() && writes.unclear {
        return End::Unclear;
    }
    let unwritten = last.values().copied().find(|read| read.a == INITIAL && !writes.initial);
    if let (Some(read), Some(write)) = (unwritten, writes.certain) {
        return End::Broken(Box::new(lost_write(register, write, read, other.is_none())));
    }
    if let Some(other) = other {
        return End::Broken(Box::new(disagreement(register, &writes, start_ns, other, newest)));
    }
    if last.len() == 1 {
        return End::ByOne;
    }
    let others = reads.filter(|read| read.a != newest.a).map(|read| read.end_ns);
    End::Agreed(others.max().map_or(0, |end_ns| end_ns - start_ns))
}

/// What is known of the writes to a key.
struct Writes {
    /// Position and time at which the last one had ended.
    end: u32,
    end_ns: u64,
    /// The row of the last one that certainly happened.
    certain: Option<u32>,
    /// Somebody wrote the initial value.
    initial: bool,
    /// A value was written several times, and not always with a known outcome.
    unclear: bool,
    /// A read of a value that nobody wrote.
    garbage: Option<u32>,
}

impl Writes {
    fn new(register: &RegisterKey) -> Self {
        let values = register.values.len();
        let (mut producers, mut open) = (vec![0_u32; values], vec![false; values]);
        let mut writes = Self {
            end: 0,
            end_ns: 0,
            certain: None,
            initial: false,
            unclear: false,
            garbage: None,
        };
        for (row, op) in register.ops.iter().enumerate() {
            let Some(value) = op.produces() else { continue };
            producers[value as usize] += 1;
            writes.initial |= value == INITIAL;
            if op.completed() {
                writes.ended(op);
                writes.certain = Some(row as u32);
            } else {
                open[value as usize] = true;
                // One of the initial value is found where nothing was written, too.
                writes.unclear |= value == INITIAL;
            }
        }
        let repeated = |value: usize| open[value] && producers[value] > 1;
        writes.unclear |= (0..values).any(repeated);
        let mut found: Vec<Option<&RegisterOp>> = vec![None; values];
        for (row, op) in register.ops.iter().enumerate().filter(|(_, op)| op.completed()) {
            let Some(value) = op.consumes() else { continue };
            if value != INITIAL && producers[value as usize] == 0 {
                writes.garbage.get_or_insert(row as u32);
            }
            let first = &mut found[value as usize];
            if open[value as usize] && first.is_none_or(|other| op.ret < other.ret) {
                *first = Some(op);
            }
        }
        found.into_iter().flatten().for_each(|op| writes.ended(op));
        writes
    }

    fn ended(&mut self, op: &RegisterOp) {
        self.end = self.end.max(op.ret);
        self.end_ns = self.end_ns.max(op.end_ns);
    }
}

/// The operations show it, and none of them can be left out if each value was written once.
fn broken(register: &RegisterKey, anomaly: &str, ops: &[&RegisterOp], lines: &[String]) -> Check {
    let written: Vec<u32> = ops.iter().filter_map(|op| op.produces()).collect();
    let minimal = (1..written.len()).all(|at| !written[..at].contains(&written[at]));
    let mut rows: Vec<u32> = ops
        .iter()
        .filter_map(|op| register.ops.iter().position(|other| other.call == op.call))
        .map(|row| row as u32)
        .collect();
    rows.sort_unstable();
    rows.dedup();
    let reason = lines.last().map_or("", |line| line.trim_end_matches('.'));
    Check {
        anomalies: vec![anomaly.into()],
        evidence: Some(Evidence {
            key: register.key.as_ref().map(ToString::to_string),
            ops: rows.iter().map(|row| shown(register, *row, "")).collect(),
            longest_order: Vec::new(),
            stuck: Vec::new(),
            minimal,
            edges: Vec::new(),
            explanation: lines.to_vec(),
        }),
        ..Check::new(Model::Eventual.name(), Verdict::Invalid, reason)
    }
}

fn key_name(register: &RegisterKey) -> String {
    register.key.as_ref().map_or_else(|| "the register".into(), |name| format!("key {name}"))
}

fn garbage(register: &RegisterKey, row: u32) -> Check {
    let op = &register.ops[row as usize];
    let value = &register.values[op.a as usize];
    let lines = [format!(
        "Process {} found {value} in {}, which nobody ever wrote to it.",
        op.process,
        key_name(register)
    )];
    broken(register, "thin-air-read", &[op], &lines)
}

fn disagreement(
    register: &RegisterKey,
    writes: &Writes,
    start_ns: u64,
    one: &RegisterOp,
    other: &RegisterOp,
) -> Check {
    let value = |op: &RegisterOp| &register.values[op.a as usize];
    let last = |op: &RegisterOp| {
        format!("Process {} last read {}, {}.", op.process, value(op), at(op.start_ns))
    };
    let wrote =
        register.ops.iter().filter(|op| op.produces().is_some_and(|v| v == one.a || v == other.a));
    let ops: Vec<&RegisterOp> = wrote.chain([one, other]).collect();
    let lines = [
        format!(
            "The writes to {} had stopped {}, and nothing was broken from {} on.",
            key_name(register),
            at(writes.end_ns),
            crate::times::seconds(start_ns)
        ),
        last(one),
        last(other),
        format!(
            "To the end of the history, processes {} and {} did not come to read the same from {}.",
            one.process,
            other.process,
            key_name(register)
        ),
    ];
    broken(register, "not-converged", &ops, &lines)
}

fn lost_write(register: &RegisterKey, lost: u32, read: &RegisterOp, everywhere: bool) -> Check {
    let write = &register.ops[lost as usize];
    let value = write.produces().unwrap_or(INITIAL);
    let lines = [
        format!(
            "Process {} had written {} by {}.",
            write.process,
            register.values[value as usize],
            crate::times::seconds(write.end_ns)
        ),
        format!(
            "When all was quiet, {}, process {} last read {} from {}, the initial value: no write has reached it.",
            at(read.start_ns),
            read.process,
            register.values[INITIAL as usize],
            key_name(register)
        ),
    ];
    let anomaly = if everywhere { "lost-write" } else { "not-converged" };
    broken(register, anomaly, &[write, read], &lines)
}
