//! Workloads with a promise of their own: what is specific to a domain rather than a consistency model.
//!
//! Jepsen's users know them: sets that lose nothing, counters within bounds, ids that differ, queues that give back what
//! they got, locks that keep clients apart, banks in which no money is made. They promise less than linearizability, hold for
//! stores that promise less, and cost one pass, whatever crashes. Their counters are in a check's `details` under Jepsen's
//! names.
//!
//! Most share [`calls`], which pairs events, keeps keys apart and makes one answer of all, and [`tell`], which makes evidence.
//! An operation that failed did not happen; one of unknown outcome may happen at any later time, or never. What too little
//! happened to decide is vacuous, also where Jepsen says true (an empty history) or unknown (a set that was never read).

mod calls;
mod tell;

pub(crate) mod bank;
pub(crate) mod causal_reverse;
pub(crate) mod counter_bounds;
pub(crate) mod critical_sections;
pub(crate) mod exceptions;
pub(crate) mod lock_safety;
pub(crate) mod long_fork;
mod stats_only;
pub(crate) mod unique_ids;

mod elements;
pub(crate) mod set_final;
pub(crate) mod set_full;
mod set_tale;

mod flow;
pub(crate) mod queue_sources;
pub(crate) mod total_queue;

mod log_lines;

pub use lock_safety::LEASE_MS;
pub use log_lines::LogLines;

use crate::workload::Workload;

/// The workloads of this module.
pub(crate) const WORKLOADS: &[Workload] = &[
    set_final::WORKLOAD,
    set_full::WORKLOAD,
    counter_bounds::WORKLOAD,
    unique_ids::WORKLOAD,
    queue_sources::WORKLOAD,
    total_queue::WORKLOAD,
    lock_safety::WORKLOAD,
    bank::WORKLOAD,
    long_fork::WORKLOAD,
    causal_reverse::WORKLOAD,
    stats_only::WORKLOAD,
    exceptions::WORKLOAD,
];
