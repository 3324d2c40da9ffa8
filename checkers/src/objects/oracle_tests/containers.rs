//! Queues, stacks and priority queues.

use keelhaul_history::Value;

use super::*;
use crate::objects::model::Guide;
use crate::objects::models::bag::Unordered;
use crate::objects::models::container::{Container, ContainerOp, Discipline};
use crate::objects::models::fifo::Fifo;
use crate::objects::models::priority::SmallestFirst;
use crate::objects::models::stack::Lifo;

/// Values that any history here may hold.
const VALUES: u32 = 64;

/// A container that is given only new values, in an order that its ids do not tell, or a few values again and again.
struct Played<D> {
    container: Container<D>,
    order: Vec<u32>,
    unique: bool,
}

impl<D: Discipline> Model for Played<D> {
    type State = D::State;
    type Op = ContainerOp;

    fn initial(&self) -> D::State {
        self.container.initial()
    }
    fn step(&self, state: &D::State, op: &ContainerOp) -> Next<D::State> {
        self.container.step(state, op)
    }
    fn forget(&self, op: &ContainerOp) -> ContainerOp {
        self.container.forget(op)
    }
    fn is_pure(&self, op: &ContainerOp) -> bool {
        self.container.is_pure(op)
    }
    fn group(&self, op: &ContainerOp) -> Option<u64> {
        self.container.group(op)
    }
    fn describe(&self, op: &ContainerOp) -> String {
        self.container.describe(op)
    }
    fn guide<'a>(
        &'a self,
        ops: &'a [Operation<ContainerOp>],
    ) -> Option<Box<dyn Guide<D::State> + 'a>> {
        self.container.guide(ops)
    }
    fn shortcut(&self, ops: &[Operation<ContainerOp>]) -> Shortcut {
        self.container.shortcut(ops)
    }
}

impl<D: Discipline<State: Debug>> Player for Played<D> {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let values = (0..VALUES).map(|n| Value::Int(i64::from(n))).collect();
        let mut order: Vec<u32> = (0..VALUES).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, rng.random_range(0..=i));
        }
        Self { container: Container::new(values), order, unique: rng.random_range(0..5) > 0 }
    }

    fn invoke(&self, rng: &mut ChaCha8Rng, fresh: &mut u32) -> ContainerOp {
        if rng.random_range(0..2) == 0 {
            return ContainerOp::TakeUnknown;
        }
        *fresh += 1;
        let among = if self.unique { *fresh - 1 } else { rng.random_range(0..2) };
        ContainerOp::Put(self.order[among as usize])
    }

    fn resolve(
        &self,
        state: &D::State,
        op: &ContainerOp,
        rng: &mut ChaCha8Rng,
    ) -> Option<ContainerOp> {
        let ContainerOp::TakeUnknown = op else { return Some(*op) };
        let ready = D::ready(state);
        if ready.is_empty() {
            return Some(ContainerOp::TakeNone);
        }
        Some(ContainerOp::Take(ready[rng.random_range(0..ready.len())]))
    }

    fn guess(&self, op: &ContainerOp, rng: &mut ChaCha8Rng, fresh: u32) -> ContainerOp {
        match op {
            ContainerOp::Put(_) => *op,
            _ if rng.random_range(0..4) == 0 => ContainerOp::TakeNone,
            _ => ContainerOp::Take(self.order[rng.random_range(0..fresh.max(2)) as usize]),
        }
    }
}

fn test<D: Discipline<State: Debug>>(seeds: Range<u64>) {
    let seen = play::<Played<D>>(seeds);
    assert!(seen.legal > 500 && seen.illegal > 500, "both answers must be common: {seen:?}");
    assert!(seen.shortcut_legal > 400 && seen.shortcut_illegal > 400, "{seen:?}");
}

const SEEDS: u64 = 6_000;

/// As [`Played`], with two values again and again: what a guide is for.
struct Repeated<D>(Played<D>);

impl<D: Discipline> Model for Repeated<D> {
    type State = D::State;
    type Op = ContainerOp;

    fn initial(&self) -> D::State {
        self.0.initial()
    }
    fn step(&self, state: &D::State, op: &ContainerOp) -> Next<D::State> {
        self.0.step(state, op)
    }
    fn forget(&self, op: &ContainerOp) -> ContainerOp {
        self.0.forget(op)
    }
    fn is_pure(&self, op: &ContainerOp) -> bool {
        self.0.is_pure(op)
    }
    fn describe(&self, op: &ContainerOp) -> String {
        self.0.describe(op)
    }
    fn guide<'a>(
        &'a self,
        ops: &'a [Operation<ContainerOp>],
    ) -> Option<Box<dyn Guide<D::State> + 'a>> {
        self.0.guide(ops)
    }
}

impl<D: Discipline<State: Debug>> Player for Repeated<D> {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        Self(Played { unique: false, ..Played::new(rng) })
    }
    fn invoke(&self, rng: &mut ChaCha8Rng, fresh: &mut u32) -> ContainerOp {
        self.0.invoke(rng, fresh)
    }
    fn resolve(
        &self,
        state: &D::State,
        op: &ContainerOp,
        rng: &mut ChaCha8Rng,
    ) -> Option<ContainerOp> {
        self.0.resolve(state, op, rng)
    }
    fn guess(&self, op: &ContainerOp, rng: &mut ChaCha8Rng, fresh: u32) -> ContainerOp {
        self.0.guess(op, rng, fresh)
    }
}

#[test]
fn a_queue_of_two_values_agrees_with_the_oracle() {
    let seen = play::<Repeated<Fifo>>(400_000..400_000 + 2 * SEEDS);
    assert!(seen.legal > 1_000 && seen.illegal > 1_000, "both answers must be common: {seen:?}");
}

#[test]
fn queues_agree_with_the_oracle() {
    test::<Fifo>(0..SEEDS);
}

#[test]
fn stacks_agree_with_the_oracle() {
    test::<Lifo>(100_000..100_000 + SEEDS);
}

#[test]
fn priority_queues_agree_with_the_oracle() {
    test::<SmallestFirst>(200_000..200_000 + SEEDS);
}

#[test]
fn unordered_queues_agree_with_the_oracle() {
    test::<Unordered>(300_000..300_000 + SEEDS);
}

/// Whether every value was put in once at most.
fn all_different(ops: &[Operation<ContainerOp>]) -> bool {
    let puts = ops.iter().filter(|op| matches!(op.op, ContainerOp::Put(_)));
    let mut puts: Vec<u32> = puts
        .map(|op| match op.op {
            ContainerOp::Put(value) => value,
            _ => unreachable!("only puts are left"),
        })
        .collect();
    puts.sort_unstable();
    puts.windows(2).all(|pair| pair[0] != pair[1])
}

/// What a search must decide is rare: never where takes all have outcomes, and seldom where not.
fn decides<D: Discipline<State: Debug>>(seeds: Range<u64>) {
    let (mut unknown, mut undecided) = (0, 0);
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let model = Played::<D>::new(&mut rng);
        let ops = history(&model, &mut rng).0;
        if !all_different(&ops) {
            continue;
        }
        let open = model.shortcut(&ops) == Shortcut::NotApplicable;
        if ops.iter().any(|op| op.op == ContainerOp::TakeUnknown) {
            unknown += 1;
            undecided += u32::from(open);
        } else {
            assert!(!open, "seed {seed}: {ops:?}");
        }
    }
    assert!(unknown > 200 && undecided * 3 < unknown, "{undecided} of {unknown} undecided");
}

#[test]
fn different_values_seldom_need_a_search() {
    decides::<Fifo>(0..3_000);
    decides::<Lifo>(0..3_000);
    decides::<SmallestFirst>(0..3_000);
    decides::<Unordered>(0..3_000);
}

/// Histories too long for the oracle, against the search, which the oracle vouches for.
fn longer<D: Discipline<State: Debug>>(seeds: Range<u64>) {
    let mut seen = [0_u32; 2];
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let model = Played::<D>::new(&mut rng);
        let crash_percent = [0, 0, 5][rng.random_range(0..3)];
        let shape = Shape { ops: 40, processes: rng.random_range(2..6), crash_percent };
        let mut ops = simulate(&model, &mut rng, shape);
        if rng.random_range(0..3) > 0 {
            mutate(&model, &mut rng, &mut ops);
        }
        ops.retain(|op| op.completed() || !model.is_pure(&op.op));
        let expected = match model.shortcut(&ops) {
            Shortcut::NotApplicable => continue,
            Shortcut::Legal => Answer::Legal,
            Shortcut::Illegal(_) => Answer::Illegal,
        };
        let (answer, _) = Problem::new(&model, &ops).search(false, &mut Briefly);
        if !matches!(answer, Answer::Stopped(_)) {
            assert_eq!(answer, expected, "seed {seed}: {ops:?}");
            seen[usize::from(answer == Answer::Legal)] += 1;
        }
    }
    assert!(seen.iter().all(|n| *n > 50), "both answers must be common: {seen:?}");
}

struct Briefly;

impl Watch for Briefly {
    fn look(&mut self, _bytes: usize, steps: u64) -> Option<Stop> {
        (steps > 4_000).then_some(Stop::Share)
    }
}

#[test]
fn longer_histories_agree_with_the_search() {
    longer::<Fifo>(0..600);
    longer::<Lifo>(0..600);
    longer::<SmallestFirst>(0..600);
    longer::<Unordered>(0..600);
}
