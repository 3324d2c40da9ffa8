//! etcd, from Debian's package `etcd-server`: a static cluster of one member a node.
//!
//! # What is promised, and what is tested
//!
//! etcd's `Documentation/learning/api_guarantees.md` promises that all operations but watches are linearizable, and
//! that a read may ask for less: a *serializable* read is answered by the member from its own copy, without a word to
//! the others, and may be stale with regard to the quorum. ("Serializable" is etcd's word for it; as a consistency
//! model of single-key reads it is no more than sequential consistency of what one member has applied.) A linearizable
//! read asks the leader for the commit index, the leader confirms by a round of heartbeats that it still leads, and the
//! member waits until it has applied that far (Raft's ReadIndex, §6.4 of Ongaro's thesis).
//!
//! So [`Reads::Linearizable`], the default, must give linearizable histories under every fault, and
//! [`Reads::Serializable`] gives a violation, by design, as soon as a client reads from a member that lags behind: under
//! a partition soon, and on a busy machine without any fault. The second is how a user sees that the harness sees.
//!
//! The same page says that a request which times out, or whose connection breaks, leaves its client uncertain, and that
//! etcd tells nobody when an election aborts a request. That is why most errors here are of unknown outcome.
//!
//! # How the adapter speaks
//!
//! Through the JSON gateway that every member serves beside gRPC, over one HTTP/1.1 connection a client, pinned to one
//! member. The usual client crate needs the `protoc` program when it is built, which a fresh machine does not have, and
//! balances and re-dials by itself; the gateway needs HTTP, JSON and base64, and leaves sending to us. The gateway calls
//! the member's own gRPC server over a connection of its own, within the member's host; that server, not the gateway,
//! bounds and forwards the request, and gRPC resends by itself only what the server has certainly not processed.
//!
//! A transaction over several keys is two requests: one reads all its keys at one revision, and one writes what follows from that,
//! on condition that none of the keys that count has been modified since; see [`txn`].
//!
//! What an error means is decided in one table: [`errors`].
//!
//! # What it does not do
//!
//! * TLS, authentication, leases, locks, watches, membership changes, and compaction.
//! * Resend, redirect, or choose another member: a member that does not lead forwards a write by itself.
//! * Install the package; it says which one is missing.
//! * Keep data small: a member preallocates its log in segments of 64 MB, two of them from the start, and has no flag for
//!   less.
//! * Start fast: before its first start a member asks each of the others in turn whether it is already known, for up to
//!   a second each, and others that are just starting do not answer. Five members that start together may take that
//!   long. A member that finds its data does not ask.
//! * Bring back a member that was killed in its very first start, after the others got to know it and before its data
//!   was written: etcd refuses it as one that was there already. Faults begin when the cluster is ready, long after.
//! * Turn on pre-vote, which releases before 3.5 leave off: a member that was cut off may depose the leader when it
//!   comes back. That costs availability and is what the release does.
//!
//! Reading order: [`deploy`], [`members`], [`http`], `api`, [`errors`], [`client`].

mod api;
mod base64;
pub mod client;
pub mod deploy;
pub mod errors;
pub mod http;
pub mod members;
mod membership;
mod store;
#[cfg(test)]
mod tests;
pub mod txn;

pub use deploy::UNSAFE_NO_FSYNC;
pub use store::{Etcd, Reads};

/// What it can serve.
pub const FAMILIES: &[crate::Family] = &[crate::Family::Register, crate::Family::Txn];
