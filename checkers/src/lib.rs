//! History in, verdict with evidence out.
//!
//! Pure: no clock, no file, no thread but rayon's. Budgets come in as a callback.

mod domain;
mod in_flight;
mod interner;
mod judge;
mod kafka;
mod lattice;
mod registers;
mod subject;
#[cfg(test)]
mod testing;
mod times;
mod txn;
mod verdict;
mod whereabouts;
mod words;
mod workload;

pub mod causal;
pub mod convergence;
pub mod graph;
pub mod linearizable;
pub mod models;
pub mod objects;
pub mod progress;
pub mod sequential;
pub mod sessions;
pub mod staleness;
pub mod stats;

pub mod budget;
pub mod columns;

pub use budget::{Budget, Exhausted, Unlimited};
pub use domain::{LEASE_MS, LogLines};
pub use judge::{JudgeError, JudgeRequest, Judgement, Sealed, judge, judge_ahead};
pub use lattice::Standing;
pub use subject::{OptionError, Settings};
pub use verdict::{Check, Evidence, EvidenceEdge, EvidenceOp, Verdict};
pub use whereabouts::name_nodes;
pub use workload::{Setting, Workload, workload, workloads};
