//! Whether the operations on one register can be put in an order: the search of Wing and Gong, with a memory of
//! the states it has been in.

use std::collections::HashSet;

/// A value; 0 is "absent".
pub type Value = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read(Value),
    Write(Value),
    Cas(Value, Value),
}

/// An operation that happened, or one without an end of which nobody knows.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub kind: Kind,
    pub start: u64,
    pub end: Option<u64>,
}

/// `None`: too much to search.
pub fn is_linearizable(ops: &[Op]) -> Option<bool> {
    const STATES_MAX: usize = 300_000;
    let ops = relevant(ops);
    let words = ops.len().div_ceil(64);
    let done: Vec<u64> = vec![0; words];
    let mut seen: HashSet<(Vec<u64>, Value)> = HashSet::new();
    let mut stack = vec![(done, 0)];
    while let Some((done, value)) = stack.pop() {
        let open = |at: &usize| done[at / 64] >> (at % 64) & 1 == 0;
        let first_end = (0..ops.len()).filter(open).filter_map(|at| ops[at].end).min();
        let Some(first_end) = first_end else { return Some(true) };
        for at in (0..ops.len()).filter(open).filter(|at| ops[*at].start <= first_end) {
            let Some(next) = apply(ops[at].kind, value) else { continue };
            let mut after = done.clone();
            after[at / 64] |= 1 << (at % 64);
            if seen.len() > STATES_MAX {
                return None;
            }
            if seen.insert((after.clone(), next)) {
                stack.push((after, next));
            }
        }
    }
    Some(false)
}

fn apply(kind: Kind, value: Value) -> Option<Value> {
    match kind {
        Kind::Read(read) => (read == value).then_some(value),
        Kind::Write(new) => Some(new),
        Kind::Cas(expected, new) => (expected == value).then_some(new),
    }
}

/// Values are written once each, so an operation of unknown fate whose value nobody met need not have happened.
fn relevant(ops: &[Op]) -> Vec<Op> {
    let mut met: HashSet<Value> = HashSet::new();
    for op in ops {
        if let Kind::Read(value) | Kind::Cas(value, _) = op.kind {
            met.insert(value);
        }
    }
    let written = |kind: Kind| match kind {
        Kind::Read(_) => None,
        Kind::Write(value) | Kind::Cas(_, value) => Some(value),
    };
    let unmet = |op: &Op| op.end.is_none() && written(op.kind).is_none_or(|v| !met.contains(&v));
    ops.iter().filter(|op| !unmet(op)).copied().collect()
}

#[test]
fn a_stale_read_is_not_linearizable() {
    let op = |kind, start, end| Op { kind, start, end: Some(end) };
    let fresh = [op(Kind::Write(1), 0, 5), op(Kind::Read(0), 1, 2), op(Kind::Read(1), 3, 9)];
    assert_eq!(is_linearizable(&fresh), Some(true));
    let stale = [op(Kind::Write(1), 0, 1), op(Kind::Read(0), 2, 3)];
    assert_eq!(is_linearizable(&stale), Some(false));
}

#[test]
fn an_operation_of_unknown_fate_may_happen_late_or_never() {
    let lost = Op { kind: Kind::Write(1), start: 0, end: None };
    let read = |value, start| Op { kind: Kind::Read(value), start, end: Some(start + 1) };
    assert_eq!(is_linearizable(&[lost, read(0, 5), read(1, 9)]), Some(true));
    assert_eq!(is_linearizable(&[lost, read(0, 5)]), Some(true));
    assert_eq!(is_linearizable(&[lost, read(1, 5), read(0, 9)]), Some(false));
}
