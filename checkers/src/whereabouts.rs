//! Which node each operation that is shown spoke to.
//!
//! Checkers keep what they need to judge; nodes are not among it. A second look at the history names them for the few
//! operations that are evidence.

use std::collections::BTreeMap;

use keelhaul_history::import::OpSource;
use keelhaul_history::{Kind, NodeId, ReadError};

use crate::verdict::{Check, EvidenceOp};

/// Fills in [`EvidenceOp::node`] from the history that was judged, read anew, as far as it says.
///
/// # Errors
/// If it cannot be read.
pub fn name_nodes<S: OpSource>(checks: &mut [Check], mut history: S) -> Result<(), ReadError> {
    let mut nodes: BTreeMap<u64, Option<NodeId>> = ops(checks).map(|op| (op.index, None)).collect();
    let mut open = nodes.len();
    while open > 0
        && let Some(op) = history.next_op()?
    {
        if op.kind == Kind::Invoke
            && let Some(node) = nodes.get_mut(&op.index)
        {
            *node = op.node;
            open -= 1;
        }
    }
    for op in ops(checks) {
        op.node = nodes.get(&op.index).copied().flatten().map(|node| node.to_string());
    }
    Ok(())
}

fn ops(checks: &mut [Check]) -> impl Iterator<Item = &mut EvidenceOp> {
    checks.iter_mut().filter_map(|check| check.evidence.as_mut()).flat_map(|e| &mut e.ops)
}
