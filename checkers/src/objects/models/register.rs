//! A register with compare-and-set, as a plain model.
//!
//! Histories of registers are judged by [`crate::linearizable`], which knows more about them; this is the same object for the
//! general search, which is tested against it.

use crate::columns::{Function, INITIAL, RegisterOp};
use crate::objects::model::{Model, Next};

/// A register; values are ids, and the first is [`INITIAL`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Register;

/// What a register operation does: function and the two values of a [`RegisterOp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterCall {
    /// What it does.
    pub f: Function,
    /// What a read returned, a write wrote, a cas expected.
    pub a: u32,
    /// What a cas wrote.
    pub b: u32,
}

impl From<&RegisterOp> for RegisterCall {
    fn from(op: &RegisterOp) -> Self {
        Self { f: op.f, a: op.a, b: op.b }
    }
}

impl Model for Register {
    type State = u32;
    type Op = RegisterCall;

    fn initial(&self) -> u32 {
        INITIAL
    }

    fn step(&self, state: &u32, op: &RegisterCall) -> Next<u32> {
        match op.f {
            Function::Read => Next::same_if(op.a == *state),
            Function::Miss => Next::same_if(op.a != *state),
            Function::Write => Next::To(op.a),
            Function::Cas => Next::to_if(op.a == *state, || op.b),
        }
    }

    fn forget(&self, op: &RegisterCall) -> RegisterCall {
        *op
    }

    fn is_pure(&self, op: &RegisterCall) -> bool {
        matches!(op.f, Function::Read | Function::Miss)
    }

    fn describe(&self, op: &RegisterCall) -> String {
        match op.f {
            Function::Read => format!("read -> {}", op.a),
            Function::Miss => format!("cas found no {}", op.a),
            Function::Write => format!("write {}", op.a),
            Function::Cas => format!("cas {} -> {}", op.a, op.b),
        }
    }
}
