//! One file a workload: what the clients do, what they read at the end, and by which promise the history is judged.
//!
//! A workload speaks the vocabulary of operations and knows no store, no fault and no environment.

mod bank;
mod begun;
mod keys;
mod list_append;
mod lock;
mod long_fork;
mod lost_update;
mod register;
mod rw_register;
mod txns;
mod write_skew;

use keelhaul_engine::generator::Boxed;

pub use bank::bank;
pub use list_append::list_append;
pub use lock::{LockOptions, lock};
pub use long_fork::long_fork;
pub use lost_update::lost_update;
pub use register::{RegisterOptions, register};
pub use rw_register::rw_register;
pub use txns::{MakeTxns, TxnOptions};
pub use write_skew::write_skew;

/// The generators of a run; the checker is chosen by the workload's name, which the history's header carries.
pub struct Workload {
    /// What the clients do while faults come and go. Ends by itself, if only by its time limit.
    pub main: Boxed,
    /// What they do once everything is healed and the store is well.
    pub last: Boxed,
}
