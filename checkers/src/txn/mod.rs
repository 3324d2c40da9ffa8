//! Histories of transactions: what isolation did a database give?
//!
//! # Terms
//! A *transaction* is a list of operations on *keys* that take effect together, or fail together. A *version* is a value of
//! a key; written values of a key are all different, so a read names the write that it saw. Processes are *sessions*.
//!
//! # Events
//! A `txn` carries a list of `["append", key, value]` and `["r", key, list]` (workload `list-append`), or of
//! `["w", key, value]` and `["r", key, value]`; on completion reads have what they returned. `read`, `write` and `append`
//! are other names of `txn`. Reads of transactions that failed, or whose outcome is unknown, promise nothing.
//!
//! # Columns
//! [`Txns`] has rows of transactions in order of invocation, operations in one flat array, and numbers in place of keys,
//! values and processes. Lists are stored as lengths of a key's *spine*, the longest list that was read of it: this is what
//! makes millions of reads of growing lists small. [`Reading`] decodes events into these without building a tree.

mod answer;
mod columns;
mod cursor;
mod cycles;
mod deps;
mod fractured;
mod list_append;
mod names;
mod narrow;
mod orders;
mod predicates;
mod read;
mod registers;
mod singles;
mod tell;

use crate::models::Model;
use crate::workload::Workload;

/// The workloads of this module.
pub(crate) const WORKLOADS: &[Workload] = &[
    list_append::WORKLOAD,
    registers::WORKLOAD,
    predicates::WORKLOAD,
    narrow::LOST_UPDATE,
    narrow::WRITE_SKEW,
];

/// What is usually asked, and everything else that transactions can promise.
pub(crate) const MODELS: &[&str] = &[
    Model::StrictSerializable.name(),
    Model::StrongSessionSerializable.name(),
    Model::Serializable.name(),
    Model::StrongSnapshotIsolation.name(),
    Model::StrongSessionSnapshotIsolation.name(),
    Model::RepeatableRead.name(),
    Model::UpdateSerializable.name(),
    Model::SnapshotIsolation.name(),
    Model::ForwardConsistentView.name(),
    Model::MonotonicSnapshotReads.name(),
    Model::ParallelSnapshotIsolation.name(),
    Model::Prefix.name(),
    Model::ConsistentView.name(),
    Model::TransactionalCausal.name(),
    Model::UpdateAtomic.name(),
    Model::ReadAtomic.name(),
    Model::MonotonicView.name(),
    Model::MonotonicAtomicView.name(),
    Model::CursorStability.name(),
    Model::StrongReadCommitted.name(),
    Model::StrongSessionReadCommitted.name(),
    Model::ReadCommitted.name(),
    Model::StrongReadUncommitted.name(),
    Model::StrongSessionReadUncommitted.name(),
    Model::ReadUncommitted.name(),
];
