//! A lock whose every acquisition returns a number larger than all before: a fencing token.

use keelhaul_history::RawValue;

use crate::objects::model::{Model, Next, Operation};
use crate::objects::vocabulary::{Misfit, Vocabulary};

/// A lock with fencing tokens, free at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fenced;

/// An operation on a lock with fencing tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FencedOp {
    /// Takes the lock, which must be free, with this token; nobody knows with which if there is none.
    Acquire(Option<i64>),
    /// Frees the lock, which must be held.
    Release,
}

/// Whether the lock is held, and the last token; that of an acquisition whose outcome is unknown counts as one
/// more than the last, the least that it can have been. No token has been given out at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    held: bool,
    token: Option<i64>,
}

impl Model for Fenced {
    type State = Held;
    type Op = FencedOp;

    fn initial(&self) -> Held {
        Held { held: false, token: None }
    }

    fn step(&self, state: &Held, op: &FencedOp) -> Next<Held> {
        let Held { held, token: last } = *state;
        match *op {
            FencedOp::Acquire(Some(token)) => {
                let larger = last.is_none_or(|last| last < token);
                Next::to_if(!held && larger, || Held { held: true, token: Some(token) })
            }
            FencedOp::Acquire(None) => {
                let least = last.map(|last| last.saturating_add(1));
                Next::to_if(!held, || Held { held: true, token: least })
            }
            FencedOp::Release => Next::to_if(held, || Held { held: false, token: last }),
        }
    }

    fn forget(&self, op: &FencedOp) -> FencedOp {
        match op {
            FencedOp::Acquire(_) => FencedOp::Acquire(None),
            FencedOp::Release => FencedOp::Release,
        }
    }

    fn describe(&self, op: &FencedOp) -> String {
        match op {
            FencedOp::Acquire(Some(token)) => format!("acquire -> {token}"),
            FencedOp::Acquire(None) => "acquire".into(),
            FencedOp::Release => "release".into(),
        }
    }
}

/// The words for a lock with fencing tokens: an acquisition's result is its token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

impl Vocabulary for Words {
    type Model = Fenced;
    const KNOWN: &'static str = "a fenced lock has acquire and release";

    fn invoke(&mut self, f: &str, _value: RawValue<'_>) -> Result<FencedOp, Misfit> {
        match f {
            "acquire" => Ok(FencedOp::Acquire(None)),
            "release" => Ok(FencedOp::Release),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, op: FencedOp, value: RawValue<'_>) -> Result<FencedOp, Misfit> {
        match op {
            FencedOp::Release => Ok(op),
            FencedOp::Acquire(_) => {
                let token = value.as_int().ok_or(Misfit::Value("the token, a whole number"))?;
                Ok(FencedOp::Acquire(Some(token)))
            }
        }
    }

    fn finish(self, _ops: &mut [Operation<FencedOp>]) -> Fenced {
        Fenced
    }
}
