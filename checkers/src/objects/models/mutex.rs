//! A lock that nobody can hold twice: `acquire`, `release`. Who releases it does not matter, as in Jepsen's model.

use keelhaul_history::RawValue;

use crate::objects::model::{Model, Next, Operation};
use crate::objects::vocabulary::{Misfit, Vocabulary};

/// A lock, free at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutex;

/// An operation on a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MutexOp {
    /// Takes the lock, which must be free.
    Acquire,
    /// Frees the lock, which must be held.
    Release,
}

impl Model for Mutex {
    /// Whether it is held.
    type State = bool;
    type Op = MutexOp;

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, held: &bool, op: &MutexOp) -> Next<bool> {
        match op {
            MutexOp::Acquire => Next::to_if(!held, || true),
            MutexOp::Release => Next::to_if(*held, || false),
        }
    }

    fn forget(&self, op: &MutexOp) -> MutexOp {
        *op
    }

    fn describe(&self, op: &MutexOp) -> String {
        match op {
            MutexOp::Acquire => "acquire".into(),
            MutexOp::Release => "release".into(),
        }
    }
}

/// The words for a lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

impl Vocabulary for Words {
    type Model = Mutex;
    const KNOWN: &'static str = "a mutex has acquire and release";

    fn invoke(&mut self, f: &str, _value: RawValue<'_>) -> Result<MutexOp, Misfit> {
        match f {
            "acquire" => Ok(MutexOp::Acquire),
            "release" => Ok(MutexOp::Release),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, op: MutexOp, _value: RawValue<'_>) -> Result<MutexOp, Misfit> {
        Ok(op)
    }

    fn finish(self, _ops: &mut [Operation<MutexOp>]) -> Mutex {
        Mutex
    }
}
