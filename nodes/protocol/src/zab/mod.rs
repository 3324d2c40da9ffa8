//! Zab, the atomic broadcast of ZooKeeper, as a replica that is given inputs and wants effects carried out.
//!
//! # Terms
//!
//! * **Transaction**: what is proposed, committed and applied; a client's write, or the opening of its session.
//! * **Epoch**: a period with at most one established leader; numbered, growing. A node has *accepted* an epoch (f.p) when it will listen to no
//!   leader of an earlier one, and made it its *current* one (f.a) when it holds the epoch's initial history.
//! * **Zxid**: a transaction's name: the epoch of its leader, and a counter. The counter goes on from one epoch to the next, so that it is also the
//!   transaction's position in the history.
//! * **History**: the transactions that a node has stored, in order. A leader's, when a quorum has accepted its epoch, is the epoch's
//!   **initial history**.
//! * **Quorum**: a majority of the members.
//!
//! # Phases
//!
//! 0. *Election*: nodes vote for the newest history they hear of, by (current epoch, last zxid, number).
//! 1. *Discovery*: the elected one opens an epoch later than any that a quorum has accepted (CEPOCH, NEWEPOCH, ACKEPOCH), and gives up if one
//!    of that quorum is ahead of it.
//! 2. *Synchronisation*: each follower's history is made the leader's by DIFF, TRUNC or SNAP. NEWLEADER ends it; when a quorum has acknowledged
//!    that, the initial history is committed, and UPTODATE says so.
//! 3. *Broadcast*: PROPOSE, ACK, COMMIT. A leader that hears no quorum, and a follower that does not hear its leader, looks for one again.
//!
//! # Invariants
//!
//! * At most one leader is established in an epoch: a node accepts an epoch from one leader only, durably before anybody hears of it.
//! * Histories that hold a transaction of one name are the same up to there: proposals are taken only where they continue what is there.
//! * What is committed is in the initial history of every later epoch, and so is never cut: a quorum has it, one of which accepts that epoch and says what it has.
//! * A current epoch is durable only after its initial history is; both are before NEWLEADER is acknowledged, and a transaction is before it is.
//! * A write is answered by the node that took it when that node has applied it. A *synced* read includes every write acknowledged before the read
//!   arrived, anywhere; a *local* one every write that its own node has answered.
//! * A command is applied once, however often it is sent, as long as its session lives.
//!
//! # Sources
//!
//! * "the paper": F. Junqueira, B. Reed, M. Serafini, *Zab: High-performance broadcast for primary-backup systems*, DSN 2011. Properties §III, phases §V.
//! * A. Medeiros, *ZooKeeper's atomic broadcast protocol: Theory and practice*, 2012. Phases §3, fast leader election §4.1, recovery by DIFF, TRUNC and SNAP §4.2.
//! * *Zab 1.0*, in ZooKeeper's wiki: that the follower's current epoch is written after its history, and when a leader gives up.
//! * P. Hunt et al., *ZooKeeper: Wait-free coordination for Internet-scale systems*, USENIX ATC 2010. Sync and local reads §2.3, §4.4.
//! * Sessions, snapshots and confirmed reads: D. Ongaro, *Consensus: Bridging Theory and Practice*, 2014, §6.3, §5, §6.4.
//!
//! # Where things are
//!
//! [`Config`] and [`Message`] are the vocabulary; [`History`] is the history in memory; `crate::outbox` holds back what must wait for the disk; `node`
//! takes inputs apart and applies what is committed. `election`, `leader` and `follower` are phases 0 to 2, `broadcast` is phase 3; `learner` is what a leader
//! knows of one follower; `snapshot`, `clients` and `read` are the conversations around them; [`Mutant`] lists the seeded mistakes.
//!
//! # Other than in ZooKeeper
//!
//! * Messages may be lost, doubled or late. A follower that finds a gap says what it has, and is brought up to date within the epoch; ZooKeeper closes the connection.
//! * A leader that hears of a later epoch than its own looks again, so that the node that accepted that one can join.
//! * A sync is confirmed by a quorum.
//!
//! # Left out
//!
//! Observers, and changes of the members. Watches, ephemeral nodes and the rest of ZooKeeper's data model: the state machine is that of [`crate::kv`]. A client that
//! moves to another node must not expect to read what it saw at the first; ours stay. A snapshot is taken in one step, in memory.

mod broadcast;
mod clients;
mod config;
mod election;
mod follower;
mod history;
mod leader;
mod learner;
mod message;
mod mutant;
mod node;
mod read;
#[cfg(test)]
mod scripts;
mod snapshot;

pub use config::Config;
pub use history::History;
pub use message::{Entry, Epoch, HardState, Message, Stance, Vote, Zxid};
pub use mutant::Mutant;
pub use node::{Replica, Role, Status};
