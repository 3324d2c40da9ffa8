//! Whole cluster lifetimes in virtual time, each decided by one seed.
//!
//! The nodes are those that run on real machines: the protocol, the [core](keelhaul_server::core) around it, and the
//! [storage](keelhaul_server::storage) with its write-ahead log, on a disk in memory that knows what a loss of power leaves. So are the store's
//! client, the interpreter, the workload, the schedule of faults and the checkers. What is the simulator's own is what surrounds them: time,
//! network, disks and clocks.
//!
//! # Terms
//!
//! * **Life**: one run of a cluster from its start to its end, in virtual time.
//! * **Weather**: what goes wrong without a fault: messages that are lost, doubled and late, slow syncs, clocks that drift and jump.
//! * **Moment**: a point in a node's work that a fault can be aimed at.
//! * **State**: the cluster's state with everything left out that does not matter to a search ([`States`]).
//!
//! # Sources
//!
//! W. Wilson, *Testing Distributed Systems w/ Deterministic Simulation* (FoundationDB), Strange Loop 2014; TigerBeetle's VOPR (safety phase, then
//! liveness phase); A. Zeller, R. Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, IEEE TSE 28(2), 2002.
//!
//! # Limits
//!
//! A node takes one input a step, and steps take no time. Connections between nodes do not break: messages on them are lost one by one.

mod acting;
mod around;
mod client;
mod clocks;
mod disk;
mod drawing;
mod hunt;
mod life;
mod members;
mod nemesis;
mod node;
mod operator;
mod oracle;
mod paxos;
mod plan;
mod queue;
mod raft;
mod shrink;
mod sound;
mod states;
mod strikes;
mod succession;
mod system;
mod trace;
mod worker;
mod world;
mod zab;

pub use disk::Medium;
pub use drawing::draw;
pub use hunt::{Found, Guidance, Hunt, Hunted, Tally};
pub use life::{Life, Violation, checks, header, judgement, listed, live, live_as, violation};
pub use oracle::{Broken, Invariant};
pub use plan::{Evidence, PlannedOp, SimPlan, Weather, Work, stream};
pub use shrink::{Shrunk, shrink};
pub use system::System;
pub use trace::{Happening, What};
pub use world::{Figures, States};
