//! What queues, stacks and priority queues have in common: values go in, and come out in some order.
//!
//! Values are interned per object, so that a procedure can keep what it knows of a value in an array.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use keelhaul_history::{RawValue, Value};

use crate::interner::Interner;
use crate::objects::model::{Guide, Model, Next, Operation, Shortcut};
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{self, Unique};
use crate::objects::vocabulary::{Misfit, Vocabulary};

/// An operation on a container; values are ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerOp {
    /// Puts the value in.
    Put(u32),
    /// Took the value out.
    Take(u32),
    /// Found nothing to take.
    TakeNone,
    /// Took out what there was, if there was anything; nobody knows.
    TakeUnknown,
}

/// In which order values come out of a container, and by which names.
pub trait Discipline: Sync + Send + 'static {
    /// What is in the container. The default is the empty one.
    type State: Clone + Eq + std::hash::Hash + Default;
    /// The function that puts in, the one that takes out, and a sentence that says so.
    const NAMES: (&'static str, &'static str, &'static str);

    /// How many values there are.
    fn len(state: &Self::State) -> usize;
    /// Bytes that a state holds which one operation made of another.
    fn version_bytes(state: &Self::State) -> usize;
    /// Puts the value in.
    fn put(state: &mut Self::State, value: u32);
    /// Takes this value out, if it may be next.
    fn take(state: &mut Self::State, value: u32) -> bool;
    /// The values that may be next.
    fn ready(state: &Self::State) -> Vec<u32>;
    /// Whether values that are all different come out in a possible order; if not, values that show it.
    fn decide(unique: &Unique) -> Result<(), unique::Conflict>;
    /// When a value that nobody is known to have taken must be gone all the same.
    fn deadlines(unique: &Unique) -> Deadlines;
    /// What looks ahead while a search goes through `ops`.
    fn guide(_ops: &[Operation<ContainerOp>]) -> Option<Box<dyn Guide<Self::State>>> {
        None
    }
    /// Puts ids in the order that the discipline needs; `values` holds what they stand for.
    fn rank(_values: &[Value]) -> Option<Vec<u32>> {
        None
    }
}

/// A container whose values come out as `D` says.
#[derive(Debug)]
pub struct Container<D> {
    values: Vec<Value>,
    discipline: PhantomData<D>,
}

impl<D> Container<D> {
    /// A container for values that these ids stand for.
    #[must_use]
    pub const fn new(values: Vec<Value>) -> Self {
        Self { values, discipline: PhantomData }
    }
}

impl<D: Discipline> Model for Container<D> {
    type State = D::State;
    type Op = ContainerOp;

    fn initial(&self) -> D::State {
        D::State::default()
    }

    fn step(&self, state: &D::State, op: &ContainerOp) -> Next<D::State> {
        match *op {
            ContainerOp::Put(value) => {
                let mut next = state.clone();
                D::put(&mut next, value);
                Next::To(next)
            }
            ContainerOp::Take(value) => {
                let mut next = state.clone();
                Next::to_if(D::take(&mut next, value), || next)
            }
            ContainerOp::TakeNone => Next::same_if(D::len(state) == 0),
            ContainerOp::TakeUnknown => {
                let all = D::ready(state).into_iter().map(|value| {
                    let mut next = state.clone();
                    D::take(&mut next, value);
                    next
                });
                let mut all: Vec<D::State> = all.collect();
                match all.len() {
                    0 => Next::Same,
                    1 => Next::To(all.remove(0)),
                    _ => Next::OneOf(all),
                }
            }
        }
    }

    fn forget(&self, op: &ContainerOp) -> ContainerOp {
        match op {
            ContainerOp::Put(value) => ContainerOp::Put(*value),
            _ => ContainerOp::TakeUnknown,
        }
    }

    fn is_pure(&self, op: &ContainerOp) -> bool {
        *op == ContainerOp::TakeNone
    }

    fn group(&self, op: &ContainerOp) -> Option<u64> {
        match op {
            ContainerOp::Put(value) | ContainerOp::Take(value) => Some(u64::from(*value)),
            ContainerOp::TakeNone | ContainerOp::TakeUnknown => None,
        }
    }

    /// What happens to one value alone can be left out of any legal order: the others keep theirs.
    fn restrict(&self, op: &ContainerOp, groups: &BTreeSet<u64>) -> Option<ContainerOp> {
        let stays = self.group(op).is_none_or(|value| groups.contains(&value));
        stays.then_some(*op)
    }

    fn heap_bytes(&self, state: &D::State) -> usize {
        D::version_bytes(state)
    }

    fn describe(&self, op: &ContainerOp) -> String {
        let (put, take, _) = D::NAMES;
        match op {
            ContainerOp::Put(value) => format!("{put} {}", self.values[*value as usize]),
            ContainerOp::Take(value) => format!("{take} -> {}", self.values[*value as usize]),
            ContainerOp::TakeNone => format!("{take} -> nothing"),
            ContainerOp::TakeUnknown => take.into(),
        }
    }

    fn guide<'a>(
        &'a self,
        ops: &'a [Operation<ContainerOp>],
    ) -> Option<Box<dyn Guide<D::State> + 'a>> {
        D::guide(ops)
    }

    fn shortcut(&self, ops: &[Operation<ContainerOp>]) -> Shortcut {
        unique::shortcut(ops, self.values.len(), D::decide, D::deadlines, |op| self.describe(op))
    }
}

/// The words for a container: `NAMES.0` with a value, `NAMES.1` whose result is the value or null.
#[derive(Debug)]
pub struct Words<D> {
    values: Vec<Value>,
    interner: Interner,
    discipline: PhantomData<D>,
}

impl<D> Default for Words<D> {
    fn default() -> Self {
        Self { values: Vec::new(), interner: Interner::default(), discipline: PhantomData }
    }
}

impl<D: Discipline> Vocabulary for Words<D> {
    type Model = Container<D>;
    const KNOWN: &'static str = D::NAMES.2;

    fn invoke(&mut self, f: &str, value: RawValue<'_>) -> Result<ContainerOp, Misfit> {
        if f == D::NAMES.0 {
            if value.is_null() {
                return Err(Misfit::Value("the element, which null is not"));
            }
            Ok(ContainerOp::Put(self.interner.intern_raw(value, &mut self.values)))
        } else if f == D::NAMES.1 {
            Ok(ContainerOp::TakeUnknown)
        } else {
            Err(Misfit::Function)
        }
    }

    fn complete(&mut self, op: ContainerOp, value: RawValue<'_>) -> Result<ContainerOp, Misfit> {
        Ok(match op {
            ContainerOp::Put(_) => op,
            _ if value.is_null() => ContainerOp::TakeNone,
            _ => ContainerOp::Take(self.interner.intern_raw(value, &mut self.values)),
        })
    }

    fn finish(self, ops: &mut [Operation<ContainerOp>]) -> Container<D> {
        let Some(ranks) = D::rank(&self.values) else { return Container::new(self.values) };
        let mut values = vec![Value::Null; self.values.len()];
        for (value, rank) in self.values.into_iter().zip(&ranks) {
            values[*rank as usize] = value;
        }
        for operation in ops {
            if let ContainerOp::Put(value) | ContainerOp::Take(value) = &mut operation.op {
                *value = ranks[*value as usize];
            }
        }
        Container::new(values)
    }
}
