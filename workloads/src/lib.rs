//! One file a workload: what the clients do, what they read at the end, and by which promise the history is judged.
//!
//! A workload speaks the vocabulary of operations and knows no store, no fault and no environment.

mod list_append;
mod register;

use keelhaul_engine::generator::Boxed;

pub use list_append::{ListAppendOptions, list_append};
pub use register::{RegisterOptions, register};

/// The generators of a run; the checker is chosen by the workload's name, which the history's header carries.
pub struct Workload {
    /// What the clients do while faults come and go. Ends by itself, if only by its time limit.
    pub main: Boxed,
    /// What they do once everything is healed and the store is well.
    pub last: Boxed,
}
