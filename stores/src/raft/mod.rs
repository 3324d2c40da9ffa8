//! Our own nodes, one replica each: Raft, Multi-Paxos or Zab, whose clients need not know which.
//!
//! # What is promised, and what is tested
//!
//! Reads, writes and compare-and-sets on many keys are linearizable, and a command is applied exactly once however
//! often it is sent, as long as its session lives (Ongaro's dissertation, §6.3 and §6.4). The second promise is put to use: a
//! command that is not answered soon is sent again, to another node, under the same session and sequence number. So
//! a replica that forgets what it has applied shows in the history, and an operation that the harness would have to call
//! unknown is often known after all.
//!
//! # How the adapter speaks
//!
//! In frames over TCP, see `keelhaul_server::wire`. A client begins every operation at its own node. A node that does
//! not lead says so and names the leader it knows, and the client goes there: nothing was sent twice then, for the
//! answer is definite. Sending again, by contrast, happens only when an attempt may have been accepted.
//!
//! A follower of Zab takes requests itself. Its local reads are no more than sequentially consistent, and that for clients that stay with their
//! nodes: ours do then.
//!
//! What an ending means is decided in one table: [`errors`].
//!
//! # What it does not do
//!
//! * Read at nodes that do not lead.
//! * Install anything: the program that controls the run is the program that runs the nodes.
//!
//! Reading order: [`errors`], [`values`], [`net`], [`link`], [`call`], [`client`], [`lock`], [`txn`], [`members`], [`operator`].

pub mod call;
pub mod client;
pub mod errors;
pub mod link;
pub mod lock;
pub mod members;
mod membership;
pub mod net;
pub mod operator;
mod sharding;
mod store;
#[cfg(test)]
mod tests;
pub mod txn;
pub mod values;

pub use store::Own;

/// What it can serve.
pub const FAMILIES: &[crate::Family] =
    &[crate::Family::Register, crate::Family::Txn, crate::Family::Lock];
