//! Every decision procedure against a slow obvious one, on many small random histories.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::necessary::{Producers, impossible_reader};
use super::prepare::Problem;
use super::search::{Answer, Stop, Watch, search, search_wide};
use super::shrink::{Keep, Shrinker};
use super::zones::{self, Zones};
use super::*;
use crate::budget::Unlimited;
use crate::columns::{Function, INITIAL, NEVER, RegisterOp};

struct Free;

impl Watch for Free {
    fn look(&mut self, _bytes: usize, _steps: u64) -> Option<Stop> {
        None
    }
}

/// Tries every order.
fn oracle(ops: &[RegisterOp]) -> bool {
    fn go(ops: &[RegisterOp], placed: u32, state: u32) -> bool {
        let open = |row: usize| placed >> row & 1 == 0;
        if ops.iter().enumerate().all(|(row, op)| !open(row) || !op.completed()) {
            return true;
        }
        let first_ret = (0..ops.len()).filter(|row| open(*row)).map(|row| ops[row].ret).min();
        (0..ops.len()).any(|row| {
            let op = ops[row];
            if !open(row) || first_ret.is_some_and(|ret| ret < op.call) {
                return false;
            }
            let next = match op.f {
                Function::Read if op.a == state => state,
                Function::Write => op.a,
                Function::Cas if op.a == state => op.b,
                Function::Miss if op.a != state => state,
                _ => return false,
            };
            go(ops, placed | 1 << row, next)
        })
    }
    go(ops, 0, INITIAL)
}

/// What a random history is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    ops: u32,
    processes: u32,
    /// Values besides the initial one; 0 for a new one at every write.
    values: u32,
    cas: bool,
    misses: bool,
    crash_percent: u32,
}

const SHAPES: &[Shape] = &[
    Shape { ops: 7, processes: 3, values: 0, cas: false, misses: false, crash_percent: 0 },
    Shape { ops: 8, processes: 4, values: 0, cas: false, misses: false, crash_percent: 30 },
    Shape { ops: 7, processes: 3, values: 2, cas: false, misses: false, crash_percent: 20 },
    Shape { ops: 8, processes: 4, values: 2, cas: true, misses: false, crash_percent: 0 },
    Shape { ops: 8, processes: 5, values: 2, cas: true, misses: false, crash_percent: 40 },
    Shape { ops: 7, processes: 4, values: 3, cas: true, misses: true, crash_percent: 30 },
    Shape { ops: 7, processes: 4, values: 0, cas: true, misses: false, crash_percent: 30 },
    Shape { ops: 8, processes: 8, values: 1, cas: true, misses: true, crash_percent: 20 },
];

/// A value to write, and how many values there are then.
fn fresh(rng: &mut ChaCha8Rng, shape: Shape, written: &mut u32) -> u32 {
    if shape.values == 0 {
        *written += 1;
        *written
    } else {
        rng.random_range(0..=shape.values)
    }
}

/// A history that a real register produced: every operation takes effect once inside its interval; one that crashes
/// takes effect, or not.
fn simulate(rng: &mut ChaCha8Rng, shape: Shape) -> Vec<RegisterOp> {
    struct InFlight {
        row: usize,
        effected: bool,
    }
    let mut ops: Vec<RegisterOp> = Vec::new();
    let mut flying: Vec<InFlight> = Vec::new();
    let (mut state, mut written, mut clock) = (INITIAL, 0, 0);
    while (ops.len() as u32) < shape.ops || !flying.is_empty() {
        clock += 1;
        let may_begin = (ops.len() as u32) < shape.ops && (flying.len() as u32) < shape.processes;
        if may_begin && (flying.is_empty() || rng.random_range(0..2) == 0) {
            let f = match rng.random_range(0..if shape.cas { 3 } else { 2 }) {
                0 => Function::Read,
                1 => Function::Write,
                _ => Function::Cas,
            };
            let mut op = row(clock, NEVER, f, 0, 0);
            match f {
                Function::Write => op.a = fresh(rng, shape, &mut written),
                Function::Cas => {
                    op.a = rng.random_range(0..=written.max(shape.values));
                    op.b = fresh(rng, shape, &mut written);
                }
                _ => {}
            }
            flying.push(InFlight { row: ops.len(), effected: false });
            ops.push(op);
            continue;
        }
        let at = rng.random_range(0..flying.len());
        let op = &mut ops[flying[at].row];
        if !flying[at].effected {
            flying[at].effected = true;
            match op.f {
                Function::Read => op.a = state,
                Function::Write => state = op.a,
                Function::Cas if op.a == state => state = op.b,
                _ => op.f = Function::Miss,
            }
            if rng.random_range(0..100) < shape.crash_percent {
                flying.swap_remove(at);
            }
        } else {
            op.ret = clock;
            flying.swap_remove(at);
        }
    }
    // A crashed cas that found another value has no row to speak of; nor has a crashed read.
    ops.retain(|op| op.completed() || op.produces().is_some());
    if !shape.misses {
        ops.retain(|op| op.f != Function::Miss);
    }
    ops
}

/// Any operations at any times.
fn arbitrary(rng: &mut ChaCha8Rng, shape: Shape) -> Vec<RegisterOp> {
    let mut ends: Vec<u32> = (1..=2 * shape.ops).collect();
    for i in (1..ends.len()).rev() {
        ends.swap(i, rng.random_range(0..=i));
    }
    let mut written = 0;
    let mut ops: Vec<RegisterOp> = ends
        .chunks(2)
        .map(|pair| {
            let (call, ret) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            let crashed = rng.random_range(0..100) < shape.crash_percent;
            let f = match rng.random_range(0..4) {
                0 | 1 => Function::Read,
                3 if shape.cas => Function::Cas,
                _ => Function::Write,
            };
            let b = if f == Function::Cas { fresh(rng, shape, &mut written) } else { 0 };
            let a = match f {
                Function::Write => fresh(rng, shape, &mut written),
                _ => rng.random_range(0..=shape.values.max(written)),
            };
            row(call, if crashed { NEVER } else { ret }, f, a, b)
        })
        .collect();
    ops.sort_by_key(|op| op.call);
    ops.retain(|op| op.completed() || op.produces().is_some());
    ops
}

/// Breaks a history a little: another value found, or an interval cut short.
fn mutate(rng: &mut ChaCha8Rng, shape: Shape, ops: &mut [RegisterOp]) {
    if ops.is_empty() {
        return;
    }
    let at = rng.random_range(0..ops.len());
    let values = values_of(ops).max(shape.values as usize + 1) as u32;
    let op = &mut ops[at];
    if op.consumes().is_some() && rng.random_range(0..3) > 0 {
        op.a = rng.random_range(0..values);
    } else if op.completed() {
        op.ret = rng.random_range(op.call..=op.ret);
        // Positions must stay different: the cut interval ends just after it began.
        if ops
            .iter()
            .enumerate()
            .any(|(i, o)| i != at && (o.call == ops[at].ret || o.ret == ops[at].ret))
            || ops[at].ret == ops[at].call
        {
            ops[at].ret = NEVER;
            if ops[at].produces().is_none() {
                ops[at].f = Function::Write;
            }
        }
    }
}

fn row(call: u32, ret: u32, f: Function, a: u32, b: u32) -> RegisterOp {
    RegisterOp { start_ns: 0, end_ns: 0, call, ret, process: call, a, b, f }
}

pub fn values_of(ops: &[RegisterOp]) -> usize {
    ops.iter().map(|op| op.a.max(op.b)).max().unwrap_or(0) as usize + 1
}

/// A random history, legal by construction if the flag says so.
pub fn history(rng: &mut ChaCha8Rng) -> (Vec<RegisterOp>, bool, Shape) {
    let shape = SHAPES[rng.random_range(0..SHAPES.len())];
    match rng.random_range(0..4) {
        0 => (simulate(rng, shape), true, shape),
        1 | 2 => {
            let mut ops = simulate(rng, shape);
            mutate(rng, shape, &mut ops);
            (ops, false, shape)
        }
        _ => (arbitrary(rng, shape), false, shape),
    }
}

/// Runs `test` on many histories with the oracle's answer; a failure names the seed.
fn for_each_history(seeds: std::ops::Range<u64>, test: impl Fn(u64, &[RegisterOp], bool)) {
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (ops, built_legal, shape) = history(&mut rng);
        let legal = oracle(&ops);
        assert!(legal || !built_legal, "seed {seed}: {shape:?} {ops:?}");
        test(seed, &ops, legal);
    }
}

#[test]
fn search_agrees_with_the_oracle() {
    let legal_seen = std::cell::Cell::new([0_u32; 2]);
    for_each_history(0..20_000, |seed, ops, legal| {
        let problem = Problem::new(ops, values_of(ops));
        let expected = if legal { Answer::Legal } else { Answer::Illegal };
        for record in [false, true] {
            let (answer, reached) = search(&problem, record, &mut Free);
            assert_eq!(answer, expected, "seed {seed} record {record}: {ops:?}");
            if record {
                check_order(seed, ops, &reached.order, legal);
            }
        }
        let (wide, _) = search_wide(&problem, &mut Free);
        assert_eq!(wide, expected, "seed {seed} wide: {ops:?}");
        let mut seen = legal_seen.get();
        seen[usize::from(legal)] += 1;
        legal_seen.set(seen);
    });
    let seen = legal_seen.get();
    assert!(seen.iter().all(|n| *n > 4_000), "both answers must be common: {seen:?}");
}

/// A recorded order replays, respects real time, and is complete for a legal history.
fn check_order(seed: u64, ops: &[RegisterOp], order: &[u32], legal: bool) {
    let mut state = INITIAL;
    for (at, row) in order.iter().enumerate() {
        let op = ops[*row as usize];
        for later in &order[at + 1..] {
            assert!(ops[*later as usize].ret > op.call, "seed {seed}: order against real time");
        }
        match op.f {
            Function::Read => assert_eq!(op.a, state, "seed {seed}: {order:?} {ops:?}"),
            Function::Miss => assert_ne!(op.a, state, "seed {seed}"),
            Function::Write => state = op.a,
            Function::Cas => {
                assert_eq!(op.a, state, "seed {seed}: {order:?} {ops:?}");
                state = op.b;
            }
        }
    }
    let completed = (0..ops.len() as u32).filter(|row| ops[*row as usize].completed());
    if legal {
        assert!(completed.into_iter().all(|row| order.contains(&row)), "seed {seed}");
    }
}

#[test]
fn a_crashed_write_of_the_present_value_can_hide_another() {
    let ops = [
        row(4, NEVER, Function::Write, 0, 0),
        row(6, 11, Function::Cas, 0, 2),
        row(9, 13, Function::Write, 1, 0),
        row(14, 25, Function::Read, 2, 0),
    ];
    assert!(oracle(&ops));
    assert_eq!(search(&Problem::new(&ops, 3), false, &mut Free).0, Answer::Legal);
}

#[test]
fn zones_agree_with_the_oracle() {
    let applied = std::cell::Cell::new([0_u32; 2]);
    for_each_history(100_000..130_000, |seed, ops, legal| {
        let answer = zones::decide(ops, values_of(ops));
        match &answer {
            Zones::NotApplicable => return,
            Zones::Legal => assert!(legal, "seed {seed}: {ops:?}"),
            Zones::Illegal(rows) => {
                assert!(!legal, "seed {seed}: {ops:?}");
                let mut shrinker = Shrinker::new(ops, values_of(ops), &Unlimited);
                assert!(
                    shrinker.shrink(rows).is_some(),
                    "seed {seed}: {rows:?} show nothing {ops:?}"
                );
            }
        }
        let mut seen = applied.get();
        seen[usize::from(legal)] += 1;
        applied.set(seen);
    });
    let seen = applied.get();
    assert!(seen.iter().all(|n| *n > 1_000), "both answers must be common: {seen:?}");
}

#[test]
fn necessary_conditions_never_refuse_a_legal_history() {
    let refused = std::cell::Cell::new(0);
    for_each_history(200_000..215_000, |seed, ops, legal| {
        let producers = Producers::new(ops, values_of(ops));
        if let Some(row) = impossible_reader(ops, &producers) {
            assert!(!legal, "seed {seed}: row {row} of {ops:?}");
            refused.set(refused.get() + 1);
        }
    });
    assert!(refused.get() > 1_000);
}

#[test]
fn parts_of_legal_histories_are_legal() {
    for_each_history(300_000..310_000, |seed, ops, legal| {
        if !legal || ops.is_empty() {
            return;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut shrinker = Shrinker::new(ops, values_of(ops), &Unlimited);
        for _ in 0..4 {
            let rows: Vec<u32> =
                (0..ops.len() as u32).filter(|_| rng.random_range(0..2) == 0).collect();
            assert!(shrinker.shrink(&rows).is_none(), "seed {seed}: {rows:?} of {ops:?}");
        }
    });
}

#[test]
fn evidence_is_illegal_minimal_and_explained() {
    let shown = std::cell::Cell::new(0);
    for_each_history(400_000..406_000, |seed, ops, legal| {
        let values = values_of(ops);
        let register = RegisterKey {
            key: None,
            ops: ops.to_vec(),
            values: (0..values as i64).map(keelhaul_history::Value::Int).collect(),
        };
        let registers = Registers { keys: vec![register] };
        let check = check(&registers, &Unlimited);
        assert_eq!(check.verdict == Verdict::Valid, legal, "seed {seed}: {check:?} {ops:?}");
        let Some(evidence) = check.evidence else { return };
        assert!(evidence.minimal && !evidence.ops.is_empty(), "seed {seed}: {evidence:?}");
        assert!(!evidence.explanation.is_empty());
        shown.set(shown.get() + 1);
    });
    assert!(shown.get() > 1_200, "{}", shown.get());
}

#[test]
fn shrunk_parts_are_minimal() {
    for_each_history(500_000..506_000, |seed, ops, legal| {
        if legal {
            return;
        }
        let mut shrinker = Shrinker::new(ops, values_of(ops), &Unlimited);
        let all: Vec<u32> = (0..ops.len() as u32).collect();
        let shrunk = shrinker.shrink(&all).expect("the whole is illegal");
        let rows: Vec<u32> = shrunk.part.keys().copied().collect();
        let kept = |without: Option<u32>| -> Vec<RegisterOp> {
            let mut part = shrunk.part.clone();
            if let Some(row) = without {
                part = shrinker.without(&part, &[row]);
            }
            let rows = part.iter().map(|(row, keep)| {
                let op = ops[*row as usize];
                let only_effect = *keep == Keep::Effect && op.f == Function::Cas;
                if only_effect { RegisterOp { f: Function::Write, a: op.b, ..op } } else { op }
            });
            rows.collect()
        };
        assert!(!oracle(&kept(None)), "seed {seed}: {shrunk:?} {ops:?}");
        for row in &rows {
            assert!(oracle(&kept(Some(*row))), "seed {seed}: {row} of {shrunk:?} {ops:?}");
        }
    });
}
