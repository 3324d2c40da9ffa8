//! Every decision procedure against a slow obvious one, on many small random histories of every model.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::check::check;
use super::model::{Model, Next, Operation, Shortcut};
use super::search::Problem;
use super::shrink::Shrinker;
use super::vocabulary::Object;
use crate::budget::Unlimited;
use crate::columns::{NEVER, RegisterOp};
use crate::linearizable::search::{Answer, Stop, Watch};
use crate::verdict::Verdict;

mod containers;
mod others;

struct Free;

impl Watch for Free {
    fn look(&mut self, _bytes: usize, _steps: u64) -> Option<Stop> {
        None
    }
}

/// A model with random operations.
trait Player: Model<Op: Debug, State: Debug> + Send + Sized {
    /// The object for a history of a few operations, and whatever the generator wants to know.
    fn new(rng: &mut ChaCha8Rng) -> Self;
    /// A random operation without a result; `fresh` counts what was made so far.
    fn invoke(&self, rng: &mut ChaCha8Rng, fresh: &mut u32) -> Self::Op;
    /// The result that it has in this state, if it can take effect.
    fn resolve(&self, state: &Self::State, op: &Self::Op, rng: &mut ChaCha8Rng)
    -> Option<Self::Op>;
    /// The operation with any result.
    fn guess(&self, op: &Self::Op, rng: &mut ChaCha8Rng, fresh: u32) -> Self::Op;
}

/// Tries every order.
fn oracle<M: Model>(model: &M, ops: &[Operation<M::Op>]) -> bool {
    fn go<M: Model>(model: &M, ops: &[Operation<M::Op>], placed: u32, state: &M::State) -> bool {
        let open = |row: &usize| placed >> row & 1 == 0;
        if (0..ops.len()).filter(open).all(|row| !ops[row].completed()) {
            return true;
        }
        let first_ret = (0..ops.len()).filter(open).map(|row| ops[row].ret).min();
        (0..ops.len()).filter(open).any(|row| {
            if first_ret.is_some_and(|ret| ret < ops[row].call) {
                return false;
            }
            let placed = placed | 1 << row;
            match model.step(state, &ops[row].op) {
                Next::Impossible => false,
                Next::Same => go(model, ops, placed, state),
                Next::To(next) => go(model, ops, placed, &next),
                Next::OneOf(all) => all.iter().any(|next| go(model, ops, placed, next)),
            }
        })
    }
    go(model, ops, 0, &model.initial())
}

/// What a random history looks like.
#[derive(Clone, Copy, Debug)]
struct Shape {
    ops: usize,
    processes: usize,
    crash_percent: u32,
}

const SHAPES: &[Shape] = &[
    Shape { ops: 6, processes: 2, crash_percent: 0 },
    Shape { ops: 8, processes: 3, crash_percent: 0 },
    Shape { ops: 9, processes: 4, crash_percent: 0 },
    Shape { ops: 8, processes: 3, crash_percent: 15 },
    Shape { ops: 7, processes: 5, crash_percent: 40 },
];

fn operation<O>(op: O, call: u32, ret: u32) -> Operation<O> {
    Operation { op, start_ns: 0, end_ns: 0, call, ret, process: call }
}

/// A history that a real object produced: every operation takes effect once inside its interval; one that crashes takes
/// effect, or not. An operation that can take no effect now waits.
fn simulate<P: Player>(model: &P, rng: &mut ChaCha8Rng, shape: Shape) -> Vec<Operation<P::Op>> {
    let mut ops: Vec<Operation<P::Op>> = Vec::new();
    let mut flying: Vec<(usize, bool)> = Vec::new();
    let (mut state, mut fresh, mut clock) = (model.initial(), 0, 0);
    for _ in 0..20 * shape.ops {
        clock += 1;
        let may_begin = ops.len() < shape.ops && flying.len() < shape.processes;
        if may_begin && (flying.is_empty() || rng.random_range(0..2) == 0) {
            flying.push((ops.len(), false));
            ops.push(operation(model.invoke(rng, &mut fresh), clock, NEVER));
            continue;
        }
        if flying.is_empty() {
            break;
        }
        let at = rng.random_range(0..flying.len());
        let (row, effected) = flying[at];
        if effected {
            ops[row].ret = clock;
            flying.swap_remove(at);
        } else if let Some(known) = model.resolve(&state, &ops[row].op, rng) {
            match model.step(&state, &known) {
                Next::To(next) => state = next,
                Next::Same => {}
                other => panic!("{known:?} in {state:?}: {other:?}"),
            }
            let crashes = rng.random_range(0..100) < shape.crash_percent;
            if crashes {
                flying.swap_remove(at);
            } else {
                ops[row].op = known;
                flying[at].1 = true;
            }
        }
    }
    for (row, _) in flying {
        ops[row].op = model.forget(&ops[row].op);
    }
    ops
}

/// Any operations at any times.
fn arbitrary<P: Player>(model: &P, rng: &mut ChaCha8Rng, shape: Shape) -> Vec<Operation<P::Op>> {
    let mut ends: Vec<u32> = (1..=2 * shape.ops as u32).collect();
    for i in (1..ends.len()).rev() {
        // Not far from where it was, so that not everything overlaps.
        let from = i.saturating_sub(shape.processes * 2);
        ends.swap(i, rng.random_range(from..=i));
    }
    let mut fresh = 0;
    let ops = ends.chunks(2).map(|pair| {
        let (call, ret) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
        let invoked = model.invoke(rng, &mut fresh);
        if rng.random_range(0..100) < shape.crash_percent {
            operation(invoked, call, NEVER)
        } else {
            operation(model.guess(&invoked, rng, fresh), call, ret)
        }
    });
    let mut ops: Vec<Operation<P::Op>> = ops.collect();
    ops.sort_by_key(|op| op.call);
    ops
}

/// Breaks a history a little: another result, two results exchanged, or an outcome forgotten.
fn mutate<P: Player>(model: &P, rng: &mut ChaCha8Rng, ops: &mut [Operation<P::Op>]) {
    if ops.is_empty() {
        return;
    }
    let (at, other) = (rng.random_range(0..ops.len()), rng.random_range(0..ops.len()));
    match rng.random_range(0..4) {
        0 if ops[at].completed() => {
            ops[at].op = model.guess(&model.forget(&ops[at].op), rng, ops.len() as u32);
        }
        1 => {
            ops[at].op = model.forget(&ops[at].op);
            ops[at].ret = NEVER;
        }
        _ if ops[at].completed() && ops[other].completed() => {
            let (a, b) = (ops[at].op.clone(), ops[other].op.clone());
            (ops[at].op, ops[other].op) = (b, a);
        }
        _ => {}
    }
}

/// A random history, and whether it is legal by construction.
fn history<P: Player>(model: &P, rng: &mut ChaCha8Rng) -> (Vec<Operation<P::Op>>, bool) {
    let shape = SHAPES[rng.random_range(0..SHAPES.len())];
    let (mut ops, legal) = match rng.random_range(0..4) {
        0 => (simulate(model, rng, shape), true),
        1 | 2 => {
            let mut ops = simulate(model, rng, shape);
            mutate(model, rng, &mut ops);
            (ops, false)
        }
        _ => (arbitrary(model, rng, shape), false),
    };
    ops.retain(|op| op.completed() || !model.is_pure(&op.op));
    (ops, legal)
}

/// What a run over many histories saw.
#[derive(Debug, Default)]
struct Seen {
    legal: u32,
    illegal: u32,
    shortcut_legal: u32,
    shortcut_illegal: u32,
}

/// Tests the search, the shortcut and the whole check of a model.
fn play<P: Player>(seeds: Range<u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let model = P::new(&mut rng);
        let (ops, built_legal) = history(&model, &mut rng);
        let legal = oracle(&model, &ops);
        assert!(legal || !built_legal, "seed {seed}: {ops:?}");
        *(if legal { &mut seen.legal } else { &mut seen.illegal }) += 1;
        let expected = if legal { Answer::Legal } else { Answer::Illegal };
        let problem = Problem::new(&model, &ops);
        for record in [false, true] {
            let (answer, reached) = problem.search(record, &mut Free);
            assert_eq!(answer, expected, "seed {seed}: {ops:?}");
            if record {
                replay(&model, &ops, &reached.order, legal, seed);
            }
        }
        drop(problem);
        match model.shortcut(&ops) {
            Shortcut::NotApplicable if legal => {}
            Shortcut::NotApplicable => {
                shrunk(&model, &ops, &super::check::all_of(&model, &ops), seed);
            }
            Shortcut::Legal => {
                assert!(legal, "seed {seed}: {ops:?}");
                seen.shortcut_legal += 1;
            }
            Shortcut::Illegal(witness) => {
                assert!(!legal, "seed {seed}: {witness:?} {ops:?}");
                seen.shortcut_illegal += 1;
                shrunk(&model, &ops, &witness, seed);
            }
        }
        whole_check(model, ops, legal, seed);
    }
    seen
}

/// What the witness names shrinks to something that is illegal, and as small as it says.
fn shrunk<M: Model<Op: Debug>>(
    model: &M,
    ops: &[Operation<M::Op>],
    witness: &super::model::Witness,
    seed: u64,
) {
    let shrunk = Shrinker::new(model, ops, &Unlimited).shrink(witness);
    let shrunk = shrunk.unwrap_or_else(|| panic!("seed {seed}: {witness:?} {ops:?}"));
    let part: Vec<_> = shrunk.part.into_iter().map(|(_, op)| op).collect();
    assert!(!oracle(model, &part), "seed {seed}: {part:?} of {ops:?}");
    if shrunk.minimal {
        minimal(model, &part, seed);
    }
}

/// Without any one group, or any one pure operation, there is an order.
fn minimal<M: Model<Op: Debug>>(model: &M, part: &[Operation<M::Op>], seed: u64) {
    let groups: BTreeSet<u64> = part.iter().filter_map(|op| model.group(&op.op)).collect();
    for group in &groups {
        let mut fewer = groups.clone();
        fewer.remove(group);
        let rest = part.iter().filter_map(|operation| {
            let op = model.restrict(&operation.op, &fewer)?;
            Some(Operation { op, ..operation.clone() })
        });
        let rest: Vec<Operation<M::Op>> = rest.collect();
        assert!(oracle(model, &rest), "seed {seed}: without {group} of {part:?}");
    }
    for at in (0..part.len()).filter(|at| model.is_pure(&part[*at].op)) {
        let mut rest = part.to_vec();
        rest.remove(at);
        assert!(oracle(model, &rest), "seed {seed}: without {at} of {part:?}");
    }
}

/// An order respects real time, and replays; it is complete for a legal history.
fn replay<M: Model<Op: Debug>>(
    model: &M,
    ops: &[Operation<M::Op>],
    order: &[u32],
    legal: bool,
    seed: u64,
) {
    let mut states = vec![model.initial()];
    for (at, row) in order.iter().enumerate() {
        let op = &ops[*row as usize];
        for later in &order[at + 1..] {
            assert!(ops[*later as usize].ret > op.call, "seed {seed}: order against real time");
        }
        let mut after = Vec::new();
        for state in states {
            match model.step(&state, &op.op) {
                Next::Impossible => {}
                Next::Same => after.push(state),
                Next::To(next) => after.push(next),
                Next::OneOf(all) => after.extend(all),
            }
        }
        states = after;
        assert!(!states.is_empty(), "seed {seed}: {order:?} {ops:?}");
    }
    let mut completed = (0..ops.len()).filter(|row| ops[*row].completed());
    assert!(!legal || completed.all(|row| order.contains(&(row as u32))), "seed {seed}");
}

/// The check as users meet it: verdict, evidence, and that evidence called minimal is.
fn whole_check<P: Player>(model: P, ops: Vec<Operation<P::Op>>, legal: bool, seed: u64) {
    let object = Object { key: None, model, ops };
    let objects = [object];
    let check = check(&objects, &Unlimited);
    assert_eq!(
        check.verdict == Verdict::Valid,
        legal,
        "seed {seed}: {check:?} {:?}",
        objects[0].ops
    );
    let Some(evidence) = check.evidence else { return };
    assert!(!evidence.ops.is_empty() && !evidence.explanation.is_empty(), "seed {seed}");
}

#[test]
fn a_register_as_a_model_agrees_with_the_register_checker() {
    use super::models::register::{Register, RegisterCall};
    use crate::linearizable::{oracle_tests, prepare, search};
    let mut seen = [0_u32; 2];
    for seed in 0..4_000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ops: Vec<RegisterOp> = oracle_tests::history(&mut rng).0;
        let values = oracle_tests::values_of(&ops);
        let problem = prepare::Problem::new(&ops, values);
        let (expected, _) = search::search(&problem, false, &mut Free);
        let general: Vec<Operation<RegisterCall>> =
            ops.iter().map(|op| operation(op.into(), op.call, op.ret)).collect();
        let (answer, _) = Problem::new(&Register, &general).search(false, &mut Free);
        assert_eq!(answer, expected, "seed {seed}: {ops:?}");
        seen[usize::from(answer == Answer::Legal)] += 1;
    }
    assert!(seen.iter().all(|n| *n > 800), "both answers must be common: {seen:?}");
}
