//! Operations and histories: what every other crate talks about.
//!
//! A *history* is the sequence of [`Op`]s that a run recorded: every operation twice, once when a process
//! invoked it and once when it completed, plus the faults, which travel under the process [`Process::Nemesis`].
//! On disk it is JSON Lines.
//!
//! This crate is pure: it reads and writes through the `Read` and `Write` it is given, owns no clock and no file.

mod op;
mod value;

pub use op::{F, Kind, NodeId, Op, Process};
pub use value::Value;
