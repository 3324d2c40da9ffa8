//! How stale each read was, where it can be told.

use crate::columns::{INITIAL, NEVER, RegisterKey, RegisterOp, Registers};
use crate::sessions::explain::shown;
use crate::times::{ms, seconds};
use crate::verdict::Evidence;

/// No row.
const NONE: u32 = u32::MAX;

/// The staleness of all reads.
#[derive(Default)]
pub struct Measured {
    /// Nanoseconds, of reads of keys whose writes are all ordered.
    pub exact: Vec<u64>,
    /// Of reads of other keys: they were at least so stale.
    pub at_least: Vec<u64>,
    /// Reads of keys in which a value was written more than once.
    pub repeated: usize,
    /// The read that was stale for longest.
    pub worst: Option<StaleRead>,
}

impl Measured {
    /// How many reads there are.
    pub const fn reads(&self) -> usize {
        self.exact.len() + self.at_least.len() + self.repeated
    }

    /// All that were measured, the freshest first.
    pub fn sorted(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.exact.iter().chain(&self.at_least).copied().collect();
        all.sort_unstable();
        all
    }

    /// The most that was measured, as part of a sentence.
    pub fn words(&self) -> String {
        let Some(max) = self.exact.iter().chain(&self.at_least).max() else {
            return "values repeat, so that nothing was measured".into();
        };
        let words = match (self.at_least.is_empty(), self.repeated) {
            (true, 0) => "reads were at most",
            (true, _) => "reads that could be measured were at most",
            _ => "as far as the order of writes can be told, reads were at most",
        };
        format!("{words} {} stale", ms(*max))
    }
}

/// A read and what shows that it was stale.
#[derive(Clone, Copy, Debug)]
pub struct StaleRead {
    /// By how much, nanoseconds.
    pub stale_ns: u64,
    key: u32,
    read: u32,
    /// The write that it found, or [`NONE`] for the initial value, and the operation at whose end that had certainly taken effect.
    old: u32,
    old_seen: u32,
    /// A newer write, and the operation at whose end that had certainly taken effect: itself, or one that found its value.
    new: u32,
    seen: u32,
}

/// A written value: when it was written, and when that had certainly happened.
#[derive(Clone, Copy, Debug)]
struct Written {
    row: u32,
    begun: u32,
    /// Position and row of the first operation to end that wrote or found it.
    seen: (u32, u32),
}

/// Measures all reads.
pub fn measure(registers: &Registers) -> Measured {
    let mut measured = Measured::default();
    for (key, register) in registers.keys.iter().enumerate() {
        let reads = register.ops.iter().filter(|op| op.completed() && op.consumes().is_some());
        match written(register) {
            None => measured.repeated += reads.count(),
            Some(written) => measure_key(&mut measured, key as u32, register, &written),
        }
    }
    measured
}

/// For each value id the write of it, if somebody knows that it happened; `None` if a value was written twice. That of the initial
/// value was seen before anything began.
fn written(register: &RegisterKey) -> Option<Vec<Option<Written>>> {
    let mut written: Vec<Option<Written>> = vec![None; register.values.len()];
    for (row, op) in register.ops.iter().enumerate() {
        if let Some(value) = op.produces() {
            let (row, begun) = (row as u32, op.call);
            let entry = Written { row, begun, seen: (op.ret, row) };
            if value == INITIAL || written[value as usize].replace(entry).is_some() {
                return None;
            }
        }
    }
    for (row, op) in register.ops.iter().enumerate().filter(|(_, op)| op.completed()) {
        if let Some(entry) = op.consumes().and_then(|value| written[value as usize].as_mut()) {
            entry.seen = entry.seen.min((op.ret, row as u32));
        }
    }
    for entry in &mut written {
        // One that was found before it began is wrong whatever the bound, and says nothing of time.
        *entry = entry.filter(|written| (written.begun..NEVER).contains(&written.seen.0));
    }
    Some(written)
}

fn measure_key(
    measured: &mut Measured,
    key: u32,
    register: &RegisterKey,
    written: &[Option<Written>],
) {
    let mut writes: Vec<Written> = written.iter().flatten().copied().collect();
    writes.sort_unstable_by_key(|written| written.begun);
    let ordered = writes.windows(2).all(|pair| pair[0].seen.0 < pair[1].begun);
    // Of each write and those that began after it, the first to be seen.
    let mut first_seen = writes.clone();
    for at in (1..first_seen.len()).rev() {
        if first_seen[at].seen < first_seen[at - 1].seen {
            first_seen[at - 1] = first_seen[at];
        }
    }
    let into = if ordered { &mut measured.exact } else { &mut measured.at_least };
    for (row, op) in register.ops.iter().enumerate().filter(|(_, op)| op.completed()) {
        let Some(value) = op.consumes() else { continue };
        let (old, old_seen, after) = match written[value as usize] {
            Some(old) => {
                (old.row, old.seen.1, writes.partition_point(|new| new.begun < old.seen.0))
            }
            // A value that nobody wrote is another matter.
            None if value != INITIAL => continue,
            None => (NONE, NONE, 0),
        };
        let newer = first_seen.get(after).filter(|new| new.seen.0 < op.call);
        let Some(newer) = newer else {
            into.push(0);
            continue;
        };
        let (new, seen) = (newer.row, newer.seen.1);
        let stale_ns = op.start_ns.saturating_sub(register.ops[seen as usize].end_ns);
        into.push(stale_ns);
        if measured.worst.is_none_or(|worst| worst.stale_ns < stale_ns) {
            measured.worst =
                Some(StaleRead { stale_ns, key, read: row as u32, old, old_seen, new, seen });
        }
    }
}

impl StaleRead {
    /// The operations that show it.
    pub fn evidence(&self, registers: &Registers, bound_ns: u64) -> Evidence {
        let register = &registers.keys[self.key as usize];
        let op = |row: u32| &register.ops[row as usize];
        let (read, new) = (op(self.read), op(self.new));
        let limit_ns = read.start_ns.saturating_sub(bound_ns);
        // The newer write's own end will do, if that is early enough.
        let seen = if new.completed() && new.end_ns < limit_ns { self.new } else { self.seen };
        let ended = self.old != NONE && op(self.old).ret < new.call;
        let old_seen = if ended { self.old } else { self.old_seen };
        let mut rows: Vec<u32> = [self.old, old_seen, self.new, seen, self.read].into();
        rows.retain(|row| *row != NONE);
        rows.sort_unstable();
        rows.dedup();
        let value = |id: u32| &register.values[id as usize];
        let left = |op: &RegisterOp| op.produces().unwrap_or(INITIAL);
        let (was, is) = (value(read.a), value(left(new)));
        let mut lines = vec![format!(
            "Process {} read {was}, beginning at {}.",
            read.process,
            seconds(read.start_ns)
        )];
        let end = seconds(op(seen).end_ns);
        lines.push(if seen == self.new {
            format!("Process {} had written {is} by {end}.", new.process)
        } else {
            format!(
                "Process {} had begun to write {is} at {}, and process {} had found it by {end}.",
                new.process,
                seconds(new.start_ns),
                op(seen).process
            )
        });
        lines.push(if self.old == NONE {
            format!("{was} is the initial value.")
        } else if ended {
            format!("That write began only after {was} had been written.")
        } else {
            let first = op(old_seen).process;
            format!("That write began only after process {first} had found {was}.")
        });
        let stale_ns = read.start_ns - op(seen).end_ns;
        lines.push(format!(
            "So {was} was stale by {}, and {} are allowed.",
            ms(stale_ns),
            ms(bound_ns)
        ));
        Evidence {
            key: register.key.as_ref().map(ToString::to_string),
            ops: rows.iter().map(|row| shown(register, *row, "")).collect(),
            longest_order: Vec::new(),
            stuck: vec![u64::from(read.call)],
            minimal: true,
            edges: Vec::new(),
            explanation: lines,
        }
    }
}
