//! The search for any objects against trying every interleaving.

use keelhaul_history::Value;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::objects::check;
use crate::budget::Unlimited;
use crate::columns::NEVER;
use crate::objects::models::container::{Container, ContainerOp};
use crate::objects::models::fifo::Fifo;
use crate::objects::{Model, Next, Object, Operation};
use crate::verdict::Verdict;

type Queue = Container<Fifo>;

fn oracle(objects: &[Object<Queue>]) -> bool {
    let mut ops: Vec<(usize, &Operation<ContainerOp>)> = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        ops.extend(object.ops.iter().map(|op| (at, op)));
    }
    ops.sort_by_key(|(_, op)| op.call);
    let states: Vec<_> = objects.iter().map(|object| object.model.initial()).collect();
    go(objects, &ops, 0, &states)
}

fn go(
    objects: &[Object<Queue>],
    ops: &[(usize, &Operation<ContainerOp>)],
    placed: u32,
    states: &[<Queue as Model>::State],
) -> bool {
    let open = |at: &usize| placed >> at & 1 == 0;
    if (0..ops.len()).filter(open).all(|at| !ops[at].1.completed()) {
        return true;
    }
    (0..ops.len()).filter(open).any(|at| {
        let (object, op) = ops[at];
        if (0..at).filter(open).any(|i| ops[i].1.completed() && ops[i].1.process == op.process) {
            return false;
        }
        let with = |state| {
            let mut states = states.to_vec();
            states[object] = state;
            go(objects, ops, placed | 1 << at, &states)
        };
        match objects[object].model.step(&states[object], &op.op) {
            Next::Impossible => false,
            Next::Same => with(states[object].clone()),
            Next::To(next) => with(next),
            Next::OneOf(all) => all.into_iter().any(with),
        }
    })
}

/// Processes that put in rising values and take out any.
fn history(rng: &mut ChaCha8Rng) -> Vec<Object<Queue>> {
    let queue = |key| Object {
        key: Some(Value::Int(key)),
        model: Container::new((0..8).map(Value::Int).collect()),
        ops: Vec::new(),
    };
    let mut objects: Vec<Object<Queue>> = (0..2).map(queue).collect();
    let mut put = [0; 2];
    let mut processes = [0, 1, 2];
    for i in 0..8 {
        let at = rng.random_range(0..2);
        let lane = rng.random_range(0..3);
        let process = processes[lane];
        let crashed = rng.random_range(0..100) < 15;
        let op = match rng.random_range(0..9) {
            0..4 => {
                put[at] += 1;
                ContainerOp::Put(put[at] - 1)
            }
            4 if !crashed => ContainerOp::TakeNone,
            _ if crashed => ContainerOp::TakeUnknown,
            _ => ContainerOp::Take(rng.random_range(0..=put[at])),
        };
        if crashed {
            processes[lane] += 3;
        }
        let ret = if crashed { NEVER } else { 2 * i + 1 };
        let op = Operation { op, start_ns: 0, end_ns: 0, call: 2 * i, ret, process };
        objects[at].ops.push(op);
    }
    objects
}

#[test]
fn queues_agree_with_the_oracle() {
    let mut seen = [0; 2];
    for seed in 0..4_000 {
        let objects = history(&mut ChaCha8Rng::seed_from_u64(seed));
        let legal = oracle(&objects);
        let check = check(&objects, &Unlimited);
        assert_eq!(check.verdict == Verdict::Valid, legal, "seed {seed}: {check:?} {objects:?}");
        if let Some(evidence) = check.evidence {
            assert!(!evidence.ops.is_empty() && !evidence.stuck.is_empty(), "seed {seed}");
        }
        seen[usize::from(legal)] += 1;
    }
    assert!(seen.iter().all(|n| *n > 500), "both answers must be common: {seen:?}");
}
