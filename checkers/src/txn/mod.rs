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

mod columns;
mod names;
mod read;

pub(crate) use columns::{F, MicroOp, NONE, Outcome, Txn, Txns, Writers};
pub(crate) use read::{Reading, Shape};

use crate::workload::Workload;

/// The workloads of this module.
pub(crate) const WORKLOADS: &[Workload] = &[];
