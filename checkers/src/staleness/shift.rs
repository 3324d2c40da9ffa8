//! The same history, with reads that begin earlier.

use crate::columns::{Function, RegisterKey, RegisterOp, Registers};
use crate::verdict::Evidence;

/// A history whose positions and some of whose times are not those of the original.
pub struct Shifted {
    /// The history.
    pub registers: Registers,
    /// By key, the original of each row.
    originals: Vec<Vec<RegisterOp>>,
}

/// Every read begins by so many nanoseconds earlier.
pub fn begin_earlier(registers: &Registers, by_ns: u64) -> Shifted {
    let (keys, originals) = registers.keys.iter().map(|key| shift(key, by_ns)).unzip();
    Shifted { registers: Registers { keys }, originals }
}

fn shift(key: &RegisterKey, by_ns: u64) -> (RegisterKey, Vec<RegisterOp>) {
    // What begins earlier now does so before all else of that time: so stale, and not more.
    let mut events: Vec<(u64, bool, u32, u32, bool)> = Vec::with_capacity(2 * key.ops.len());
    let mut ops = key.ops.clone();
    for (row, op) in ops.iter_mut().enumerate() {
        let moved = by_ns > 0 && op.f == Function::Read;
        if moved {
            op.start_ns = op.start_ns.saturating_sub(by_ns);
        }
        events.push((op.start_ns, !moved, op.call, row as u32, false));
        if op.completed() {
            events.push((op.end_ns, true, op.ret, row as u32, true));
        }
    }
    events.sort_unstable();
    for (position, (.., row, end)) in events.into_iter().enumerate() {
        let op = &mut ops[row as usize];
        *(if end { &mut op.ret } else { &mut op.call }) = position as u32;
    }
    let mut rows: Vec<(RegisterOp, RegisterOp)> =
        ops.into_iter().zip(key.ops.iter().copied()).collect();
    rows.sort_unstable_by_key(|(op, _)| op.call);
    let (ops, originals) = rows.into_iter().unzip();
    (RegisterKey { key: key.key.clone(), ops, values: key.values.clone() }, originals)
}

impl Shifted {
    /// The evidence with the positions and times of the original.
    pub fn as_it_was(&self, mut evidence: Evidence) -> Evidence {
        let named = |key: &RegisterKey| key.key.as_ref().map(ToString::to_string) == evidence.key;
        let Some(at) = self.registers.keys.iter().position(named) else { return evidence };
        let ops = &self.registers.keys[at].ops;
        let original = |index: u64| {
            let row = ops.partition_point(|op| u64::from(op.call) < index);
            &self.originals[at][row]
        };
        for op in &mut evidence.ops {
            let original = original(op.index);
            op.index = u64::from(original.call);
            op.completion = original.completed().then_some(u64::from(original.ret));
            op.start_ns = original.start_ns;
        }
        for index in evidence.longest_order.iter_mut().chain(&mut evidence.stuck) {
            *index = u64::from(original(*index).call);
        }
        evidence
    }
}
