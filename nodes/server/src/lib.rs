//! The process around a protocol: sockets, log file, clock.
//!
//! One thread runs the protocol and all sockets; a second one writes and syncs, so that a slow disk does not stop heartbeats.
//! The protocol itself never sees either: it is given inputs and returns effects, which are carried out in order.
//!
//! ```text
//! peers ──frames──▶ inbound ─┐                    ┌─▶ outboxes ──frames──▶ peers
//! clients ─frames─▶ inbound ─┼─▶ node ▶ protocol ─┼─▶ replies ───frames──▶ clients
//! storage ─tickets─▶ reports ┘         (effects)  └─▶ commands ──────────▶ storage thread
//! ```
//!
//! What does not depend on sockets, threads and the files of a machine is public, and driven by a simulator as well: the [`core`] of a
//! node, and its [`storage`] on whatever disk.
//!
//! What always holds:
//! * A sync is reported only after everything before it, directory entries included, is durable.
//! * A data directory that is damaged where a crash cannot have damaged it is refused, in one sentence; so is one of
//!   another node or cluster, and one that lost its log.
//! * After an error of the disk nothing is acknowledged any more: the process ends.
//! * No peer and no client can make the protocol wait.
//!
//! Limits: membership is fixed; connections are neither encrypted nor authenticated, since a test's nodes live on a network
//! of their own.

mod args;
mod clients;
mod clock;
pub mod core;
mod error;
mod inbound;
mod log;
mod node;
mod paxos;
mod peers;
mod protocol;
mod raft;
mod run;
pub mod storage;
#[cfg(test)]
mod tests;
pub mod wire;
mod zab;

pub use args::{ProtocolKind, Reads, ServerArgs, Timing};
pub use clock::FILE_VARIABLE as CLOCK_FILE_VARIABLE;
pub use error::{ArgsError, ServerError};
pub use protocol::Protocol;
pub use run::{run, run_all, run_until};
pub use storage::StorageError;
