//! Any operations: how they ended, and that some of each kind succeeded.
//!
//! The check [`stats`](crate::stats) is part of every judgement; this workload leaves it at that, for histories of
//! operations that nothing else understands.

use keelhaul_history::RawOp;

use crate::columns::ColumnError;
use crate::subject::{Asked, Judged, Subject};
use crate::workload::Workload;

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: crate::stats::NAME,
    what: "any operations: how they ended, and that some of each kind succeeded",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Anything)),
};

struct Anything;

impl Subject for Anything {
    fn observe(&mut self, _op: &RawOp<'_>) -> Result<(), ColumnError> {
        Ok(())
    }

    fn finish(self: Box<Self>, _asked: &Asked<'_>) -> Judged {
        Judged { keys: 0, operations: 0, checks: Vec::new(), standing: Vec::new() }
    }
}
