//! Raft, as a replica that is given inputs and wants effects carried out.
//!
//! # Terms
//!
//! * **Term**: a period with at most one leader; numbered, growing.
//! * **Log**: the entries every replica applies in the same order. An entry is **committed** when no later
//!   leader can lack it: it is stored by a quorum *and* it, or a later one, is of the term of the leader
//!   that counts.
//! * **Quorum**: a majority of the voters; while the membership is joint, of the old ones and of the new ones each.
//! * **Verified**: how far a follower knows its log to be the current leader's: not at all when a term begins. Beyond that it may hold entries of
//!   deposed leaders, which must not be committed.
//! * **Round**: one broadcast of heartbeats. A quorum that answers a round proves that the leader led when the
//!   round began.
//!
//! # Invariants
//!
//! * At most one leader a term (election safety); a leader never changes its own log but at the end.
//! * Two logs with an entry of the same index and term are the same up to there (log matching).
//! * A committed entry is in the log of every later leader (leader completeness), so no two replicas apply
//!   different entries at one index (state-machine safety).
//! * Term, vote and entries are durable before another node hears of them, and before this node counts itself.
//! * A read returns a state that includes every write acknowledged before the read arrived.
//! * A command is applied once, however often it is sent, as long as its session lives.
//! * Every request is answered: at once by a node that does not lead; when committed, confirmed or given up by a
//!   leader. Check-quorum bounds how long a leader that is cut off keeps a client waiting.
//!
//! # Sources
//!
//! * "the paper": D. Ongaro, J. Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended
//!   Version)*, 2014.
//! * "the dissertation": D. Ongaro, *Consensus: Bridging Theory and Practice*, 2014. Sessions §6.3, reads §6.4, leases §6.4.1, check-quorum
//!   §6.2, pre-vote §9.6, membership §4.1 to §4.3, transfer §3.10, pipelined and batched appends §10.2.
//!
//! # Where things are
//!
//! [`Config`] and [`Message`] are the vocabulary; [`Log`] is the log in memory; `crate::outbox` holds back what must wait
//! for the disk; `node` takes inputs apart and applies what is committed; `election`, `replication`, `snapshot`, `read`, `members` and
//! `transfer` are the conversations; `leader` and `progress` are what a
//! leader knows of itself and of each follower; [`Mutant`] lists the seeded mistakes.
//!
//! # Left out
//!
//! Reads at followers. A snapshot is taken in
//! one step, in memory. A leader takes any number of commands that wait for a quorum; check-quorum, not a limit, ends that.

mod config;
mod election;
mod leader;
mod log;
mod members;
mod message;
mod mutant;
mod node;
mod progress;
mod read;
mod replication;
#[cfg(test)]
mod scripts;
mod snapshot;
mod transfer;

pub use config::Config;
pub use log::Log;
pub use message::{AppendOutcome, HardState, Message, Position};
pub use mutant::Mutant;
pub use node::{Replica, Role, Status};
