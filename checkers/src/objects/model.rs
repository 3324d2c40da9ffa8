//! What an object promises when nothing happens at the same time.
//!
//! Whoever has an object of another kind writes it down as a [`Model`]: the state in which it begins, and what each
//! operation does to a state. The rest of the trait has defaults that do for any object, and can make it faster or its
//! evidence smaller. A register that only ever rises:
//!
//! ```
//! use keelhaul_checkers::columns::NEVER;
//! use keelhaul_checkers::objects::{Model, Next, Object, Operation, check};
//! use keelhaul_checkers::{Unlimited, Verdict};
//!
//! struct Highest;
//!
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! enum Op {
//!     Raise(u32),
//!     /// What was returned, if that is known.
//!     Read(Option<u32>),
//! }
//!
//! impl Model for Highest {
//!     type State = u32;
//!     type Op = Op;
//!
//!     fn initial(&self) -> u32 {
//!         0
//!     }
//!
//!     fn step(&self, state: &u32, op: &Op) -> Next<u32> {
//!         match op {
//!             Op::Raise(to) => Next::To(*state.max(to)),
//!             Op::Read(found) => Next::same_if(found.is_none_or(|found| found == *state)),
//!         }
//!     }
//!
//!     fn forget(&self, op: &Op) -> Op {
//!         match op {
//!             Op::Raise(to) => Op::Raise(*to),
//!             Op::Read(_) => Op::Read(None),
//!         }
//!     }
//!
//!     fn describe(&self, op: &Op) -> String {
//!         match op {
//!             Op::Raise(to) => format!("raise to {to}"),
//!             Op::Read(Some(found)) => format!("read -> {found}"),
//!             Op::Read(None) => "read".into(),
//!         }
//!     }
//! }
//!
//! let operation = |op, process, call, ret| {
//!     let end_ns = if ret == NEVER { 0 } else { u64::from(ret) };
//!     Operation { op, process, call, ret, start_ns: u64::from(call), end_ns }
//! };
//! let judge = |ops| check(&[Object { key: None, model: Highest, ops }], &Unlimited).verdict;
//!
//! // Nobody knows whether the value was ever raised to 7, so 7 may be read later.
//! let raise = [operation(Op::Raise(7), 0, 0, NEVER), operation(Op::Raise(3), 1, 1, 2)];
//! let read = |found, call| operation(Op::Read(Some(found)), 2, call, call + 1);
//! let after = |reads: [_; 2]| raise.iter().cloned().chain(reads).collect();
//! assert_eq!(judge(after([read(3, 3), read(7, 5)])), Verdict::Valid);
//! assert_eq!(judge(after([read(7, 3), read(3, 5)])), Verdict::Invalid);
//! ```

use std::collections::BTreeSet;
use std::hash::Hash;

use crate::columns::NEVER;

/// What an operation does to a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<S> {
    /// It cannot take effect here with the result that it had.
    Impossible,
    /// It takes effect, and the state stays as it is.
    Same,
    /// It takes effect and leaves this state.
    To(S),
    /// It takes effect and leaves one of these: its outcome is unknown, and more than one fits.
    OneOf(Vec<S>),
}

impl<S> Next<S> {
    /// `To(state)` if the condition holds, otherwise impossible.
    #[must_use]
    pub fn to_if(condition: bool, state: impl FnOnce() -> S) -> Self {
        if condition { Self::To(state()) } else { Self::Impossible }
    }

    /// `Same` if the condition holds, otherwise impossible.
    #[must_use]
    pub const fn same_if(condition: bool) -> Self {
        if condition { Self::Same } else { Self::Impossible }
    }
}

/// One operation of a history: what it did, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<O> {
    /// What it did, with its result if that is known.
    pub op: O,
    /// Invocation, nanoseconds since the run began.
    pub start_ns: u64,
    /// Completion, nanoseconds since the run began; 0 if `ret` is [`NEVER`].
    pub end_ns: u64,
    /// Index of the invocation in the history.
    pub call: u32,
    /// Index of the completion, or [`NEVER`] if the outcome is unknown.
    pub ret: u32,
    /// The client process.
    pub process: u32,
}

impl<O> Operation<O> {
    /// Whether the outcome is known.
    #[must_use]
    pub const fn completed(&self) -> bool {
        self.ret != NEVER
    }
}

/// Part of a history that shows a violation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// Rows that are kept.
    pub rows: Vec<u32>,
    /// Groups that are kept, see [`Model::group`].
    pub groups: Vec<u64>,
    /// The argument, a sentence a line; empty to have one made.
    pub words: Vec<String>,
}

/// What a procedure that knows the object's type says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// There is an order.
    Legal,
    /// There is none.
    Illegal(Witness),
    /// It cannot tell.
    NotApplicable,
}

/// A sequential object. Pure: what it answers depends on its arguments alone.
pub trait Model: Sync {
    /// The object's state. Two states that no sequence of operations can tell apart should be equal.
    type State: Clone + Eq + Hash;
    /// An operation with its result, or without where that is unknown.
    type Op: Clone + Eq + Hash + Send + Sync;

    /// The state in which every history begins.
    fn initial(&self) -> Self::State;

    /// What `op` does in `state`. An operation without a result takes any effect that some result would go with.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Next<Self::State>;

    /// The operation as it is known before it completes: without its result.
    fn forget(&self, op: &Self::Op) -> Self::Op;

    /// Whether it leaves every state as it is.
    fn is_pure(&self, _op: &Self::Op) -> bool {
        false
    }

    /// Pushes the parts of the object that `op` is about. Operations without a common part, not even by way of others,
    /// must be independent of each other: they are judged apart.
    fn parts(&self, _op: &Self::Op, parts: &mut Vec<u64>) {
        parts.push(0);
    }

    /// What the operation is about, if evidence may leave that out: see [`Model::restrict`].
    fn group(&self, _op: &Self::Op) -> Option<u64> {
        None
    }

    /// Pushes everything that evidence may leave out and that the operation is about: its [`Model::group`], or several.
    fn groups(&self, op: &Self::Op, groups: &mut Vec<u64>) {
        groups.extend(self.group(op));
    }

    /// What is left of `op` when only these groups count. Must turn every legal history into a legal one,
    /// whatever the groups.
    fn restrict(&self, op: &Self::Op, groups: &BTreeSet<u64>) -> Option<Self::Op> {
        let stays = self.group(op).is_none_or(|group| groups.contains(&group));
        stays.then(|| op.clone())
    }

    /// Bytes that a state holds outside itself, for the memory budget.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }

    /// How evidence shows it, e.g. `enqueue 3`, `dequeue -> 3`.
    fn describe(&self, op: &Self::Op) -> String;

    /// What looks ahead while a search goes through a history, if there is such a thing.
    fn guide<'a>(
        &'a self,
        _ops: &'a [Operation<Self::Op>],
    ) -> Option<Box<dyn Guide<Self::State> + 'a>> {
        None
    }

    /// Decides a history, in order of invocation, without a search, if it can.
    fn shortcut(&self, _ops: &[Operation<Self::Op>]) -> Shortcut {
        Shortcut::NotApplicable
    }
}

/// What a search has just let take effect.
#[derive(Debug)]
pub struct Taken<'a, S> {
    /// What the guide made of the state before; 0 for the initial state.
    pub before: u32,
    /// The state after.
    pub state: &'a S,
    /// The row of the operation.
    pub row: u32,
    /// Position of the event that comes next.
    pub now: u32,
    /// Rows that are pending without effect yet, this one among them.
    pub live: &'a [u32],
}

/// Sees early what a search would find out late: a choice may turn out wrong only when a value comes out of a
/// container, thousands of operations after it went in, and all that lies between would be tried again and again.
pub trait Guide<S> {
    /// A note on the state for the steps from there on; none if it is certain that no legal order goes on from here.
    /// States with different notes are different.
    fn follow(&self, taken: &Taken<'_, S>) -> Option<u32>;

    /// Bytes held by what the notes stand for.
    fn bytes(&self) -> usize {
        0
    }
}
