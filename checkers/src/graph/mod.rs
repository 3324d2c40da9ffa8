//! Which transactions must come before which, and where that goes in a circle.
//!
//! A dependency graph has an edge where one transaction must precede another, with the *classes* of reasons why: it wrote
//! what the other overwrote, wrote what the other read, completed before the other began. An anomaly of isolation is a
//! cycle of certain classes (Adya, *Weak Consistency*, MIT 1999, chapter 4). All cycles are inside strongly connected
//! components, so a search goes in three steps:
//! 1. [`Graph`]: compressed sparse rows, built in linear time; real-time order by [`realtime`], in linear size;
//! 2. [`components`]: Tarjan's algorithm, without recursion, on the edges of some classes;
//! 3. [`Graph::induced`]: each component for itself, in which [`shortest`] looks for the shortest cycle of a [`Pattern`].
//!
//! # Terms
//! A *cycle* here is a closed walk: it may come through a node twice. Snapshot isolation is about these (Cerone & Gotsman,
//! *Analysing Snapshot Isolation*, JACM 65(2), 2018, theorem 10); and where no stronger pattern matches, the shortest
//! walk of a pattern without [`Anti::Apart`] has no node twice, because it would fall into two cycles of which one is
//! stronger. So ask for strong patterns first.
//!
//! *Relays* are nodes that are no transactions. They stand between transactions so that few edges say what many pairs do, and
//! count for nothing in a cycle's length. An edge into a relay says why; those out of it say the same again.
//!
//! # Limits
//! Nodes and edges are numbered with 32 bits. A search for a shortest cycle costs up to nodes × edges of a component;
//! what it may cost is the caller's to say.

mod csr;
mod cycle;
mod kahn;
mod layers;
#[cfg(test)]
mod oracle_tests;
mod realtime;
mod tarjan;

pub use csr::{Classes, Graph, GraphBuilder, Induced};
pub use cycle::{Anti, Cycle, Pattern, Step, shortest, shortest_simple};
pub use kahn::acyclic;
pub use layers::without_adjacent;
pub use realtime::{Times, realtime};
pub use tarjan::components;
