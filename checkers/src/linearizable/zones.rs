//! Registers whose written values are all different, decided in near-linear time.
//!
//! Gibbons & Korach, *Testing shared memories* (SIAM J. Comput. 26(4), 1997), section 4: a write and the reads of its
//! value form a *cluster*. All of a cluster takes effect without interruption. With `f` the first return and `s` the last
//! invocation in it, its *zone* is the interval between them: *forward* if `f < s` (the register must have held the
//! value all along), otherwise *backward* (there is a moment when all of the cluster is pending). An order exists
//! exactly if no read returns before its write begins, no two forward zones overlap, and no backward zone lies
//! within a forward one.
//!
//! The initial value is written by an operation that ends before the history begins. A write with unknown outcome
//! never returns; unread, it can be left out. Keys with cas operations are not for this module.

use super::prepare::NONE;
use crate::columns::{Function, INITIAL, NEVER, RegisterOp};

/// What the zones say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zones {
    /// Not a history of plain reads and writes of different values.
    NotApplicable,
    /// There is an order.
    Legal,
    /// There is none; the rows suffice to show it.
    Illegal(Vec<u32>),
}

/// A write and the reads of its value. Positions are shifted by one, so that 0 is before the history.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    write: u32,
    write_call: u32,
    /// First return, and whose.
    first_ret: u32,
    first_row: u32,
    /// Last invocation, and whose.
    last_call: u32,
    last_row: u32,
    read: bool,
}

const EMPTY: Cluster = Cluster {
    write: NONE,
    write_call: NEVER,
    first_ret: NEVER,
    first_row: NONE,
    last_call: 0,
    last_row: NONE,
    read: false,
};

impl Cluster {
    /// The rows that fix the zone, and the write.
    fn rows(&self) -> impl Iterator<Item = u32> {
        [self.write, self.first_row, self.last_row].into_iter().filter(|row| *row != NONE)
    }
}

/// Decides the history of one key.
pub fn decide(ops: &[RegisterOp], values: usize) -> Zones {
    let Some(clusters) = clusters(ops, values) else { return Zones::NotApplicable };
    let mut forward: Vec<(u32, u32, u32)> = Vec::new();
    for (value, cluster) in clusters.iter().enumerate() {
        if !cluster.read && ops.get(cluster.write as usize).is_none_or(|w| !w.completed()) {
            continue;
        }
        if cluster.write == NONE && value != INITIAL as usize {
            return Zones::Illegal(vec![cluster.first_row]);
        }
        if cluster.first_ret < cluster.write_call {
            return Zones::Illegal(vec![cluster.write, cluster.first_row]);
        }
        if cluster.first_ret < cluster.last_call {
            forward.push((cluster.first_ret, cluster.last_call, value as u32));
        }
    }
    forward.sort_unstable();
    for pair in forward.windows(2) {
        if pair[1].0 < pair[0].1 {
            return conflict(&clusters, pair[0].2, pair[1].2);
        }
    }
    for (value, cluster) in clusters.iter().enumerate() {
        let live = cluster.read || ops.get(cluster.write as usize).is_some_and(|w| w.completed());
        if !live || cluster.first_ret < cluster.last_call {
            continue;
        }
        // The backward zone runs from the last invocation to the first return.
        let after = forward.partition_point(|(begin, _, _)| *begin < cluster.last_call);
        if let Some((_, end, other)) = after.checked_sub(1).map(|before| forward[before])
            && cluster.first_ret < end
        {
            return conflict(&clusters, other, value as u32);
        }
    }
    Zones::Legal
}

fn conflict(clusters: &[Cluster], one: u32, other: u32) -> Zones {
    let pair = [clusters[one as usize], clusters[other as usize]];
    let mut rows: Vec<u32> = pair.iter().flat_map(Cluster::rows).collect();
    rows.sort_unstable();
    rows.dedup();
    Zones::Illegal(rows)
}

/// One cluster a value; `None` if a value is written twice, or there is anything but reads and writes.
fn clusters(ops: &[RegisterOp], values: usize) -> Option<Vec<Cluster>> {
    let mut clusters = vec![EMPTY; values];
    clusters[INITIAL as usize] = Cluster { write_call: 0, first_ret: 0, ..EMPTY };
    for (row, op) in ops.iter().enumerate() {
        let cluster = &mut clusters[op.a as usize];
        match op.f {
            Function::Read => cluster.read = true,
            Function::Write => {
                if cluster.write_call != NEVER {
                    return None;
                }
                cluster.write = row as u32;
                cluster.write_call = op.call + 1;
            }
            Function::Cas | Function::Miss => return None,
        }
        let ret = op.ret.saturating_add(1);
        if ret < cluster.first_ret {
            cluster.first_ret = ret;
            cluster.first_row = row as u32;
        }
        // In order of invocation, so this one is the last so far.
        cluster.last_call = op.call + 1;
        cluster.last_row = row as u32;
    }
    Some(clusters)
}
