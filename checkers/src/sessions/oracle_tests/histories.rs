//! Small random histories.

use keelhaul_history::Value;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::world::Op;
use crate::columns::{Function, INITIAL, NEVER, RegisterKey, RegisterOp, Registers};

/// The history as the checkers get it.
pub fn registers(ops: &[Op]) -> Registers {
    let keys = (0..2_u32).map(|key| {
        let rows = ops.iter().enumerate().filter(|(_, op)| op.key == key).map(|(at, op)| {
            let call = 2 * at as u32;
            let ret = if op.known { call + 1 } else { NEVER };
            let Op { process, a, b, f, .. } = *op;
            RegisterOp { start_ns: 0, end_ns: 0, call, ret, process, a, b, f }
        });
        let values = (0..64).map(Value::Int).collect();
        RegisterKey { key: Some(Value::Int(i64::from(key))), ops: rows.collect(), values }
    });
    Registers { keys: keys.collect() }
}

/// What a random history is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub ops: u32,
    pub processes: u32,
    pub keys: u32,
    /// Values besides the initial one; 0 for a new one at every write.
    pub values: u32,
    pub cas_percent: u32,
    pub miss_percent: u32,
    pub unknown_percent: u32,
}

pub const SHAPES: &[Shape] = &[
    Shape {
        ops: 5,
        processes: 2,
        keys: 1,
        values: 0,
        cas_percent: 0,
        miss_percent: 0,
        unknown_percent: 0,
    },
    Shape {
        ops: 6,
        processes: 2,
        keys: 2,
        values: 0,
        cas_percent: 0,
        miss_percent: 0,
        unknown_percent: 0,
    },
    Shape {
        ops: 6,
        processes: 3,
        keys: 2,
        values: 0,
        cas_percent: 20,
        miss_percent: 0,
        unknown_percent: 0,
    },
    Shape {
        ops: 5,
        processes: 3,
        keys: 1,
        values: 0,
        cas_percent: 40,
        miss_percent: 0,
        unknown_percent: 0,
    },
    Shape {
        ops: 6,
        processes: 2,
        keys: 2,
        values: 0,
        cas_percent: 20,
        miss_percent: 0,
        unknown_percent: 30,
    },
    Shape {
        ops: 5,
        processes: 2,
        keys: 1,
        values: 2,
        cas_percent: 20,
        miss_percent: 0,
        unknown_percent: 20,
    },
    Shape {
        ops: 5,
        processes: 3,
        keys: 2,
        values: 1,
        cas_percent: 0,
        miss_percent: 20,
        unknown_percent: 10,
    },
];

/// Any operations with any results; half of the reads find a value that somebody writes to the key at some time.
pub fn arbitrary(rng: &mut ChaCha8Rng, shape: Shape) -> Vec<Op> {
    let mut written = [0; 2];
    let mut fresh = |rng: &mut ChaCha8Rng, key: usize| {
        written[key] += 1;
        if shape.values == 0 { written[key] } else { rng.random_range(0..=shape.values) }
    };
    let mut ops: Vec<Op> = Vec::new();
    for _ in 0..shape.ops {
        let key = rng.random_range(0..shape.keys);
        let mut op = Op {
            process: rng.random_range(0..shape.processes),
            key,
            f: Function::Read,
            a: 0,
            b: 0,
            known: rng.random_range(0..100) >= shape.unknown_percent,
        };
        let kind = rng.random_range(0..100);
        if kind < shape.cas_percent {
            op.f = Function::Cas;
            op.b = fresh(rng, key as usize);
        } else if kind < shape.cas_percent + shape.miss_percent {
            op.f = Function::Miss;
        } else if rng.random_range(0..5) < 2 {
            op.f = Function::Write;
            op.a = fresh(rng, key as usize);
        }
        ops.push(op);
    }
    for op in &mut ops {
        if op.f != Function::Write {
            let most = if shape.values == 0 { written[op.key as usize] } else { shape.values };
            let garbage = rng.random_range(0..20) == 0;
            op.a = if garbage { 9 } else { rng.random_range(0..=most) };
        }
    }
    ops.retain(|op| op.known || op.leaves().is_some());
    ops
}

/// Replicas, one a process, that get each other's writes late: in any order, in each one's order, or causes first.
pub fn replicated(rng: &mut ChaCha8Rng, shape: Shape) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    let order = rng.random_range(0..3);
    let processes = shape.processes as usize;
    let mut states = vec![[INITIAL; 2]; processes];
    // Of each process the writes that it holds, and what it had held when it wrote.
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); processes];
    let mut needs: Vec<Vec<usize>> = Vec::new();
    let mut written = 0;
    while (ops.len() as u32) < shape.ops {
        let process = rng.random_range(0..processes);
        for at in 0..ops.len() {
            let Op { key, .. } = ops[at];
            let Some(value) = ops[at].leaves() else { continue };
            let ready = order == 0
                || needs[at].iter().all(|need| {
                    let other = |op: &Op| op.process != ops[at].process;
                    held[process].contains(need)
                        || (order == 1 && ops.get(*need).is_some_and(other))
                });
            if !held[process].contains(&at) && ready && rng.random_range(0..2) == 0 {
                held[process].push(at);
                states[process][key as usize] = value;
            }
        }
        let key = rng.random_range(0..shape.keys);
        let state = &mut states[process][key as usize];
        let mut op =
            Op { process: process as u32, key, f: Function::Read, a: *state, b: 0, known: true };
        if rng.random_range(0..2) == 0 {
            written += 1;
            let value =
                if shape.values == 0 { written } else { rng.random_range(0..=shape.values) };
            let cas = rng.random_range(0..100) < shape.cas_percent;
            op.known = rng.random_range(0..100) >= shape.unknown_percent;
            (op.f, op.a, op.b) =
                if cas { (Function::Cas, *state, value) } else { (Function::Write, value, 0) };
            needs.push(held[process].clone());
            if op.known || rng.random_range(0..2) == 0 {
                *state = value;
                held[process].push(ops.len());
            } else {
                // It never happens.
                needs.last_mut().unwrap().push(usize::MAX);
            }
        } else {
            needs.push(Vec::new());
        }
        ops.push(op);
    }
    ops
}

pub fn history(rng: &mut ChaCha8Rng) -> Vec<Op> {
    let shape = SHAPES[rng.random_range(0..SHAPES.len())];
    if rng.random_range(0..2) == 0 {
        return arbitrary(rng, shape);
    }
    let mut ops = replicated(rng, shape);
    if rng.random_range(0..3) == 0 {
        let at = rng.random_range(0..ops.len());
        if ops[at].f == Function::Read {
            ops[at].a = rng.random_range(0..4);
        }
    }
    ops
}
