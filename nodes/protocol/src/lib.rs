//! Consensus protocols as pure state machines: input in, effects out.
//!
//! No I/O, no clock, no threads; randomness is a seeded generator passed in. The same code runs in a server
//! process on real sockets and a real disk, and under a simulator.

pub mod api;
pub mod coordinator;
#[cfg(test)]
mod golden;
pub mod kv;
pub mod membership;
pub mod mover;
pub mod mutant;
mod outbox;
pub mod paxos;
pub mod placement;
pub mod raft;
pub mod zab;

pub use mutant::Mutant;
