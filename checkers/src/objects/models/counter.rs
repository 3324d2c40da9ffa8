//! A counter that begins at 0: `add n`, `read`.

use keelhaul_history::RawValue;

use crate::objects::model::{Model, Next, Operation};
use crate::objects::vocabulary::{Misfit, Vocabulary};

/// A counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

/// An operation on a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterOp {
    /// Adds a number, which may be negative.
    Add(i64),
    /// Returned the sum, if the outcome is known.
    Read(Option<i64>),
}

impl Model for Counter {
    /// Wide enough for any sum of numbers that a history can hold.
    type State = i128;
    type Op = CounterOp;

    fn initial(&self) -> i128 {
        0
    }

    fn step(&self, state: &i128, op: &CounterOp) -> Next<i128> {
        match *op {
            CounterOp::Add(0) => Next::Same,
            CounterOp::Add(n) => Next::To(state + i128::from(n)),
            CounterOp::Read(found) => {
                Next::same_if(found.is_none_or(|found| i128::from(found) == *state))
            }
        }
    }

    fn forget(&self, op: &CounterOp) -> CounterOp {
        match op {
            CounterOp::Add(n) => CounterOp::Add(*n),
            CounterOp::Read(_) => CounterOp::Read(None),
        }
    }

    fn is_pure(&self, op: &CounterOp) -> bool {
        matches!(op, CounterOp::Read(_) | CounterOp::Add(0))
    }

    fn describe(&self, op: &CounterOp) -> String {
        match op {
            CounterOp::Add(n) => format!("add {n}"),
            CounterOp::Read(Some(n)) => format!("read -> {n}"),
            CounterOp::Read(None) => "read".into(),
        }
    }
}

/// The words for a counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

const NUMBER: Misfit = Misfit::Value("a whole number");

impl Vocabulary for Words {
    type Model = Counter;
    const KNOWN: &'static str = "a counter has add and read";

    fn invoke(&mut self, f: &str, value: RawValue<'_>) -> Result<CounterOp, Misfit> {
        match f {
            "add" => Ok(CounterOp::Add(value.as_int().ok_or(NUMBER)?)),
            "read" => Ok(CounterOp::Read(None)),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, op: CounterOp, value: RawValue<'_>) -> Result<CounterOp, Misfit> {
        match op {
            CounterOp::Add(_) => Ok(op),
            CounterOp::Read(_) => Ok(CounterOp::Read(Some(value.as_int().ok_or(NUMBER)?))),
        }
    }

    fn finish(self, _ops: &mut [Operation<CounterOp>]) -> Counter {
        Counter
    }
}
