//! ZooKeeper, from Debian's package `libzookeeper-java`: a static ensemble of one server a node.
//!
//! # What is promised, and what is tested
//!
//! ZooKeeper's *Consistency Guarantees* (`zookeeperInternals`, `zookeeperProgrammers`) promise that updates are linearizable, that a
//! client's own requests take effect in the order in which it sent them, and that a read is answered by the server at hand from what it has, which may be
//! old. Before a read that must not be old a client says `sync`: the server then catches up with its leader first.
//!
//! So [`Reads::Synced`], the default, is `sync` and a read, and should be linearizable; [`Reads::Local`] is a read alone, and is
//! sequentially consistent at most. `sync` goes to the leader and not to a quorum, so a leader that was deposed and does not know may answer it; the pages above say so.
//!
//! # How the adapter speaks
//!
//! In ZooKeeper's own protocol, [`jute`] records in frames over one TCP connection a client, pinned to one server; one request is under way at a time. A session goes with
//! the connection and is never taken to another one: nothing here is ephemeral.
//!
//! A register is a node of the tree. `write` is `setData` where the node is known to be there, and `create` where it is not; if that turns out to be wrong, which is
//! definite, the other one. `cas` is `getData`, and `setData` on condition of the version that was read; of a key that is not set it is `create`.
//!
//! What an error means is decided in one table: [`errors`].
//!
//! # What it does not do
//!
//! * Watches, ephemeral and sequential nodes, `multi`, access control, reconfiguration.
//! * Keep an idle session alive: one that expired is noticed before the next request, and replaced.
//! * Install the package; it says which one is missing.
//!
//! Reading order: [`deploy`], [`words`], [`jute`], [`connection`], [`errors`], [`client`].

pub mod client;
pub mod connection;
pub mod deploy;
pub mod errors;
pub mod jute;
mod store;
pub mod words;

pub use store::{Reads, ZooKeeper};

/// What it can serve.
pub const FAMILIES: &[crate::Family] = &[crate::Family::Register];
