//! Every decision procedure against a slow obvious one, on many small random histories.

use keelhaul_history::Value;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::decide::{by_search, by_versions, phantom};
use super::order::{Answer, Scheduler};
use super::problem::{NONE, Problem};
use super::shrink::{Part, Shrinker};
use super::*;
use crate::budget::Unlimited;
use crate::columns::{Function, INITIAL, NEVER, RegisterKey};

/// Tries every interleaving.
pub fn oracle(registers: &Registers) -> bool {
    let mut ops: Vec<(usize, RegisterOp)> = Vec::new();
    for (key, register) in registers.keys.iter().enumerate() {
        ops.extend(register.ops.iter().map(|op| (key, *op)));
    }
    ops.sort_by_key(|(_, op)| op.call);
    go(&ops, 0, &vec![INITIAL; registers.keys.len()])
}

fn go(ops: &[(usize, RegisterOp)], placed: u32, state: &[u32]) -> bool {
    let open = |at: usize| placed >> at & 1 == 0;
    if ops.iter().enumerate().all(|(at, (_, op))| !open(at) || !op.completed()) {
        return true;
    }
    (0..ops.len()).any(|at| {
        let (key, op) = ops[at];
        let blocked =
            (0..at).any(|i| open(i) && ops[i].1.completed() && ops[i].1.process == op.process);
        if !open(at) || blocked {
            return false;
        }
        let next = match op.f {
            Function::Read if op.a == state[key] => state[key],
            Function::Miss if op.a != state[key] => state[key],
            Function::Write => op.a,
            Function::Cas if op.a == state[key] => op.b,
            _ => return false,
        };
        let mut state = state.to_vec();
        state[key] = next;
        go(ops, placed | 1 << at, &state)
    })
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    ops: u32,
    processes: u32,
    keys: u32,
    /// Values besides the initial one; 0 for a new one at every write.
    values: u32,
    cas: bool,
    misses: bool,
    crash_percent: u32,
    /// A process goes from key to key.
    zigzag: bool,
}

const fn shape(ops: u32, processes: u32, keys: u32, values: u32) -> Shape {
    Shape {
        ops,
        processes,
        keys,
        values,
        cas: false,
        misses: false,
        crash_percent: 0,
        zigzag: false,
    }
}

const SHAPES: &[Shape] = &[
    shape(8, 2, 2, 0),
    shape(9, 3, 2, 0),
    shape(9, 3, 1, 0),
    shape(9, 4, 3, 0),
    Shape { cas: true, ..shape(8, 3, 2, 0) },
    Shape { cas: true, crash_percent: 25, ..shape(8, 3, 2, 0) },
    Shape { crash_percent: 25, ..shape(9, 4, 2, 0) },
    shape(8, 3, 2, 2),
    Shape { cas: true, misses: true, crash_percent: 15, ..shape(8, 3, 1, 2) },
    Shape { cas: true, misses: true, ..shape(8, 3, 2, 3) },
];

/// A store that answers at once, and what was written to it.
struct Store {
    state: Vec<u32>,
    written: Vec<u32>,
}

impl Store {
    /// A random operation on the key. Its result is what the store answered, except that `wild` per cent are made up; of one
    /// that crashed nobody knows whether it happened.
    fn run(&mut self, rng: &mut ChaCha8Rng, shape: Shape, key: usize, wild: u32) -> RegisterOp {
        let f = match rng.random_range(0..if shape.cas { 5 } else { 4 }) {
            0 | 1 => Function::Read,
            4 => Function::Cas,
            _ => Function::Write,
        };
        let mut new = 0;
        if f != Function::Read {
            self.written[key] += 1;
            let any = |rng: &mut ChaCha8Rng| rng.random_range(0..=shape.values);
            new = if shape.values > 0 { any(rng) } else { self.written[key] };
        }
        let crashed = rng.random_range(0..100) < shape.crash_percent;
        let mut found = self.state[key];
        if rng.random_range(0..100) < wild {
            found = rng.random_range(0..=shape.values.max(self.written[key]));
        }
        let misses = f == Function::Cas && found != self.state[key];
        if f != Function::Read && !misses && !(crashed && rng.random_range(0..2) == 0) {
            self.state[key] = new;
        }
        let (f, a, b) = match f {
            Function::Cas if misses && shape.misses && !crashed => (Function::Miss, found, 0),
            Function::Cas => (f, found, new),
            Function::Write => (f, new, 0),
            _ => (f, found, 0),
        };
        let ret = if crashed { NEVER } else { 0 };
        RegisterOp { start_ns: 0, end_ns: 0, call: 0, ret, process: 0, a, b, f }
    }
}

/// A random history of processes that take turns with one store; when they did so is random too, but for each process' order.
fn history(rng: &mut ChaCha8Rng, shape: Shape, wild: u32) -> Registers {
    let keys = shape.keys as usize;
    let register = |key| RegisterKey {
        key: Some(Value::Int(i64::from(key))),
        ops: Vec::new(),
        values: (0..=i64::from(shape.values.max(shape.ops))).map(Value::Int).collect(),
    };
    let mut registers = Registers { keys: (0..shape.keys).map(register).collect() };
    let mut store = Store { state: vec![INITIAL; keys], written: vec![0; keys] };
    let mut lanes: Vec<Vec<(usize, RegisterOp)>> = vec![Vec::new(); shape.processes as usize];
    let mut processes: Vec<u32> = (0..shape.processes).collect();
    for _ in 0..shape.ops {
        let lane = rng.random_range(0..lanes.len());
        let any = rng.random_range(0..keys);
        let key = if shape.zigzag { (lane + lanes[lane].len()) % keys } else { any };
        let op = RegisterOp { process: processes[lane], ..store.run(rng, shape, key, wild) };
        if op.completed() || op.produces().is_some() {
            lanes[lane].push((key, op));
        }
        if !op.completed() {
            processes[lane] += shape.processes;
        }
    }
    lanes.iter_mut().for_each(|lane| lane.reverse());
    let mut at = 0;
    while lanes.iter().any(|lane| !lane.is_empty()) {
        let lane = rng.random_range(0..lanes.len());
        let Some((key, mut op)) = lanes[lane].pop() else { continue };
        op.call = at;
        if op.completed() {
            op.ret = at + 1;
        }
        at += 2;
        registers.keys[key].ops.push(op);
    }
    registers
}

/// Runs `test` on many histories with the oracle's answer; a failure names the seed.
fn for_each_history(seeds: std::ops::Range<u64>, mut test: impl FnMut(u64, &Registers, bool)) {
    let mut seen = [0_u64; 2];
    let many = (seeds.end - seeds.start) / 5;
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = SHAPES[rng.random_range(0..SHAPES.len())];
        let wild = 50 * rng.random_range(0..4_u32).min(1);
        let registers = history(&mut rng, shape, wild);
        let legal = oracle(&registers);
        assert!(legal || wild > 0, "seed {seed}: {shape:?} {registers:?}");
        seen[usize::from(legal)] += 1;
        test(seed, &registers, legal);
    }
    assert!(seen.iter().all(|n| *n > many), "both answers must be common: {seen:?}");
}

#[test]
fn the_checker_agrees_with_the_oracle_and_shows_why() {
    for_each_history(0..4_000, |seed, registers, legal| {
        let check = check(registers, &Unlimited);
        assert_eq!(check.verdict == Verdict::Valid, legal, "seed {seed}: {check:?} {registers:?}");
        if let Some(evidence) = check.evidence {
            assert!(evidence.minimal, "seed {seed}: {evidence:#?} {registers:?}");
            assert!(!evidence.ops.is_empty() && !evidence.explanation.is_empty());
        }
    });
}

#[test]
fn the_scheduler_agrees_with_the_oracle() {
    for_each_history(10_000..18_000, |seed, registers, legal| {
        if phantom(registers).is_some() {
            assert!(!legal, "seed {seed}");
            return;
        }
        let problem = Problem::new(registers);
        match Scheduler::new(&problem).run(&mut Watched(&Unlimited)) {
            Answer::Order(order) => {
                assert!(legal || !problem.exact, "seed {seed}: {registers:?}");
                replay(seed, &problem, &order);
            }
            Answer::None(circles) => assert!(!legal, "seed {seed}: {circles:?} {registers:?}"),
            Answer::Stopped(_) => unreachable!("there is no limit"),
        }
    });
}

/// Small histories seldom lead into a dead end; here it takes more than the oracle can do, and the search is asked.
#[test]
fn what_is_learned_from_dead_ends_is_right() {
    let (mut orders, mut proofs) = (0, 0);
    for seed in 0..4_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = Shape { zigzag: true, ..shape(24, 12, 2 + seed as u32 % 2, 0) };
        let registers = history(&mut rng, shape, 30);
        if phantom(&registers).is_some() {
            continue;
        }
        let problem = Problem::new(&registers);
        let mut scheduler = Scheduler::new(&problem);
        match scheduler.run(&mut Watched(&Unlimited)) {
            Answer::Order(order) => {
                replay(seed, &problem, &order);
                orders += usize::from(scheduler.learned() > 0);
            }
            Answer::None(circles) if circles.len() > 1 => {
                let decided = by_search(&registers, &mut Watched(&Unlimited));
                assert_eq!(decided.legal, Ok(false), "seed {seed}: {circles:?} {registers:?}");
                proofs += 1;
            }
            Answer::None(_) => {}
            Answer::Stopped(_) => unreachable!("there is no limit"),
        }
    }
    assert!(orders > 500 && proofs > 5, "{orders} {proofs}");
}

/// The order has every item once, in each process' order, and every item finds what it found.
fn replay(seed: u64, problem: &Problem, order: &[u32]) {
    let mut held: Vec<u32> = (0..problem.keys as u32).collect();
    let mut place = vec![0; problem.processes.len()];
    let mut seen = vec![false; problem.items.len()];
    for id in order {
        let item = &problem.items[*id as usize];
        assert!(!std::mem::replace(&mut seen[*id as usize], true), "seed {seed}: twice");
        assert!(place[item.process as usize] >= item.place, "seed {seed}: process order");
        place[item.process as usize] += u32::from(!item.last);
        let key = item.key as usize;
        assert!(item.found == NONE || item.found == held[key], "seed {seed}: {id} of {order:?}");
        if !item.is_read() {
            held[key] = item.left;
        }
    }
    assert!(seen.iter().all(|seen| *seen), "seed {seed}: all");
}

#[test]
fn the_search_agrees_with_the_oracle() {
    for_each_history(30_000..35_000, |seed, registers, legal| {
        let decided = by_search(registers, &mut Watched(&Unlimited));
        assert_eq!(decided.legal, Ok(legal), "seed {seed}: {registers:?}");
    });
}

#[test]
fn what_is_left_out_never_refutes_a_legal_history() {
    let mut refuted = 0;
    for_each_history(40_000..45_000, |seed, registers, legal| {
        if phantom(registers).is_none()
            && let Some(decided) = by_versions(registers, true, &mut Watched(&Unlimited))
        {
            assert_eq!(decided.legal, Ok(legal), "seed {seed}: {registers:?}");
            refuted += usize::from(!legal);
        }
    });
    assert!(refuted > 300, "{refuted}");
}

#[test]
fn shrunk_parts_are_minimal() {
    for_each_history(50_000..51_500, |seed, registers, legal| {
        let rows = |registers: &Registers| -> Vec<Row> {
            let keys = registers.keys.iter().enumerate();
            keys.flat_map(|(key, register)| {
                (0..register.ops.len()).map(move |row| (key as u32, row as u32))
            })
            .collect()
        };
        let mut shrinker = Shrinker::new(registers, &Unlimited);
        let shrunk = shrinker.shrink(&rows(registers));
        assert_eq!(shrunk.is_none(), legal, "seed {seed}: {registers:?}");
        let Some(shrunk) = shrunk else { return };
        let has_order = |part: &Part, shrinker: &Shrinker<'_>| oracle(&shrinker.history_of(part).0);
        assert!(shrunk.minimal && !has_order(&shrunk.part, &shrinker), "seed {seed}: {shrunk:?}");
        for row in shrunk.part.keys() {
            let rest = shrinker.without(&shrunk.part, &[*row]);
            assert!(has_order(&rest, &shrinker), "seed {seed}: {row:?} of {shrunk:?}");
        }
    });
}
