//! Whether a small history has an order of its operations that explains all results: by trying all of them.

use std::collections::HashSet;

use serde_json::Value;

use crate::events::Op;
use crate::spec::{self, KEYS};

/// Which operations must come before which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Respect {
    /// What returned before the other was called.
    RealTime,
    /// What the same process did before.
    Processes,
}

/// Whether there is such an order of all operations that completed and any of the others.
pub fn has_order(object: &str, ops: &[Op], respect: Respect) -> bool {
    assert!(ops.len() <= 32, "a bit each");
    let before: Vec<u32> = ops.iter().map(|op| earlier(ops, op, respect)).collect();
    let known = ops.iter().enumerate().filter(|(_, op)| op.ret.is_some());
    let needed = known.fold(0u32, |mask, (at, _)| mask | 1 << at);
    let mut seen = HashSet::new();
    let mut stack = vec![(0u32, vec![spec::initial(object); KEYS])];
    while let Some((done, states)) = stack.pop() {
        if done & needed == needed {
            return true;
        }
        if !seen.insert((done, Value::from(states.clone()).to_string())) {
            continue;
        }
        for (at, op) in ops.iter().enumerate() {
            if done & 1 << at != 0 || before[at] & !done != 0 {
                continue;
            }
            let key = op.what.key;
            for (result, next) in spec::outcomes(object, &states[key], op.what.f, &op.what.argument)
            {
                let says = op.ret.is_some() && spec::has_result(object, op.what.f);
                if !says || spec::same(object, &result, &op.result) {
                    let mut states = states.clone();
                    states[key] = next;
                    stack.push((done | 1 << at, states));
                }
            }
        }
    }
    false
}

/// The operations that must come before `op`, if they are known to have happened.
fn earlier(ops: &[Op], op: &Op, respect: Respect) -> u32 {
    let comes_first = |other: &Op| match respect {
        Respect::RealTime => other.ret.is_some_and(|ret| ret < op.call),
        Respect::Processes => other.process == op.process && other.call < op.call,
    };
    let first = ops.iter().enumerate().filter(|(_, other)| comes_first(other));
    first.fold(0, |mask, (at, _)| mask | 1 << at)
}
