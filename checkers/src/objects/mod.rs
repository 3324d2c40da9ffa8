//! Is every object linearizable? For any object that can be written down as a [`Model`].
//!
//! Herlihy & Wing, *Linearizability* (TOPLAS 12(3), 1990). The property is local, so each key is judged for itself, and so is
//! each part of an object that is independent of the rest ([`components`]), all in parallel:
//! 1. a procedure that knows the type decides if it can ([`Model::shortcut`]): containers whose values are all
//!    different ([`unique`]) and sets that only grow, in near-linear time;
//! 2. otherwise [`search`] decides: all with a share of steps first, so that a hard one does not keep the others from being
//!    settled, then the rest for as long as the budget lasts.
//!
//! A violation is reduced by [`shrink`] and put in words by [`explain`]. [`vocabulary`] reads histories.

mod check;
mod components;
mod explain;
pub mod model;
pub mod models;
#[cfg(test)]
mod oracle_tests;
mod persistent;
mod search;
mod shrink;
pub mod unique;
pub mod vocabulary;

pub use check::check;
pub use model::{Guide, Model, Next, Operation, Shortcut, Taken, Witness};
pub use vocabulary::{Misfit, Object, ObjectsBuilder, Vocabulary};
