//! Multi-Paxos, as a replica that is given inputs and wants effects carried out.
//!
//! Every replica is acceptor, learner and, when it comes to that, proposer.
//!
//! # Terms
//!
//! * **Slot**: a position in the sequence of commands. Each slot is decided by an instance of Paxos of its own, so acceptances come in
//!   any order and leave holes.
//! * **Ballot**: what a proposer proposes under; a round and the proposer's number, so that no two proposers share one (Paxos Made
//!   Simple §2.2). One proposer proposes at most one value for a slot under one ballot.
//! * **Promise**: an acceptor's word to take part in no ballot below this one. It is what survives a restart, together with what was
//!   **accepted**: for each slot the value of the highest ballot in which the acceptor accepted one.
//! * **Chosen**: accepted for one slot, under *one* ballot, by a quorum. Only then is a value executed, and in the order of slots.
//! * **Committed**: how far a replica knows all slots to be chosen, without a gap. What lies beyond is **open**.
//! * **Leader**: the distinguished proposer (§2.4, §3): a quorum has promised it its ballot, for all open slots at once, so that from then on
//!   one round of acceptances decides a slot.
//! * **Round** of heartbeats: a quorum that answers one proves that when it began no later ballot had a quorum's promises.
//!
//! # Invariants
//!
//! * A ballot is never used by two proposers, nor by one before and after a restart: a proposer makes the promise itself, and that is durable, before
//!   anybody hears of the ballot.
//! * An acceptor accepts nothing under a ballot below its promise, and accepting is promising (P1a, §2.2).
//! * What is proposed for a slot under a ballot is the value accepted there under the highest ballot that any of a quorum of promises
//!   tells of; only if none tells of one is it the proposer's choice (P2c, §2.2). A slot that nobody tells of and that lies before one that somebody does is
//!   filled with a no-op (§3).
//! * So once a value is chosen every later ballot proposes that value, and no two replicas execute different commands in one slot.
//! * Promises and acceptances are durable before another node hears of them, and before this node counts its own.
//! * A replica never lowers the ballot of what it has accepted, nor replaces what it knows to be chosen.
//! * A read returns a state that includes every write acknowledged before the read arrived.
//! * A command is executed once, however often it is sent, as long as its session lives.
//! * Every request is answered: at once by a node that does not lead; when chosen, confirmed or given up by a leader.
//!
//! # How it goes
//!
//! A node that has not heard a leader for a while takes a ballot above all it has heard of and asks for promises. Each names how far its sender knows
//! slots to be chosen and what it has accepted beyond. The new leader proposes for all open slots, in one pass; slots that somebody knows to be chosen
//! it fetches from there. A leader batches proposals while messages are under way and keeps several messages on their way to each
//! acceptor; it never has more than a bounded number of slots open, which bounds what a promise must tell. Others learn what is chosen from how
//! far the leader has committed: a slot up to there is chosen as this node has it if it accepted it *under the leader's ballot*. All else it fetches, in
//! order, or as a snapshot.
//!
//! Two proposers can outbid each other forever (§2.4). A node therefore does not promise while it hears a leader, and waits for longer, by chance, after every attempt that
//! failed. A leader that hears that an acceptor has promised a higher ballot, and is followed by a quorum still, takes a higher one itself.
//!
//! # Reads
//!
//! By quorum: a leader answers a read when a round of heartbeats that began after the read came is answered by a quorum, and everything that was open when it took
//! office is executed. By lease, if that is switched on: an acceptor that hears a leader promises nothing to anybody else for the
//! shortest election timeout, by its own clock, and nothing at all for so long after a restart; a leader counts on nine tenths of that from when it
//! *sent* what a quorum answered. So clocks of any two nodes may run apart by five per cent each way.
//!
//! # Sources
//!
//! * L. Lamport, *Paxos Made Simple*, 2001 (§2 the protocol, §3 the sequence of instances); *The Part-Time Parliament*, TOCS 1998.
//! * T. Chandra, R. Griesemer, J. Redstone, *Paxos Made Live*, PODC 2007: §4 Multi-Paxos and catch-up, §5.2 master leases, §5.5 snapshots.
//! * R. van Renesse, D. Altinbuken, *Paxos Made Moderately Complex*, ACM Computing Surveys 2015: the window of open slots.
//! * D. Ongaro, *Consensus: Bridging Theory and Practice*, 2014, for sessions (§6.3) and for reads (§6.4).
//!
//! # Where things are
//!
//! [`Config`], [`Ballot`] and [`Message`] are the vocabulary; [`Log`] is what was accepted; `crate::outbox` holds back what must wait for the disk;
//! `node` takes inputs apart and executes what is chosen; `acceptor`, `campaign` (phase 1), `proposer` (phase 2), `learner`, `snapshot` and `read` are the
//! conversations; `leader` is what a leader knows; [`Mutant`] lists the seeded mistakes.
//!
//! # Left out
//!
//! Changes of the members. Fast, flexible and egalitarian variants. Recovery without a disk. Reads at other nodes than the leader. Handing over leadership:
//! another node may take it at any time. A snapshot is taken in one step, in memory.

mod acceptor;
mod ballot;
mod campaign;
mod config;
mod leader;
mod learner;
mod log;
mod message;
mod mutant;
mod node;
mod proposer;
mod read;
#[cfg(test)]
mod scripts;
mod snapshot;

pub use ballot::{Ballot, HardState};
pub use config::Config;
pub use log::{Entry, Log};
pub use message::Message;
pub use mutant::Mutant;
pub use node::{Replica, Role, Status};
