//! What an object promises when nothing happens at the same time.

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
