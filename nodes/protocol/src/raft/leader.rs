//! What a replica holds while it leads, and loses when it stops.

use std::collections::{BTreeMap, VecDeque};

use super::config::Config;
use super::progress::Progress;
use super::read::Reads;
use crate::api::{LogIndex, Nanos, NodeId};

/// A leader's state.
#[derive(Debug)]
pub(super) struct Leader {
    /// The first entry of its own term. Until that is committed the leader does not know which entries
    /// before it are.
    pub(super) first: LogIndex,
    /// Its followers.
    pub(super) progress: BTreeMap<NodeId, Progress>,
    /// Clients that wait for a read.
    pub(super) reads: Reads,
    /// The last round of heartbeats sent.
    pub(super) round: u64,
    /// When each round was sent that may still begin a lease, oldest first.
    pub(super) sent: VecDeque<(u64, Nanos)>,
    /// Until when it may answer reads alone.
    pub(super) lease_until: Nanos,
    /// When the next regular one is due, and what was lost is sent again.
    pub(super) heartbeat_due: Nanos,
    /// When the leader checks next whether a quorum answers.
    pub(super) quorum_due: Nanos,
}

impl Leader {
    /// Of a term whose first entry is `first`.
    pub(super) fn new(config: &Config, first: LogIndex) -> Leader {
        Leader {
            first,
            progress: config.peers().map(|peer| (peer, Progress::new(first))).collect(),
            reads: Reads::default(),
            round: 0,
            sent: VecDeque::new(),
            lease_until: Nanos(0),
            heartbeat_due: Nanos(0),
            quorum_due: Nanos(0),
        }
    }
}

/// The largest value that a quorum reaches; `own` is this node's.
pub(super) fn reached_by<T: Ord + Copy>(
    quorum: usize,
    own: T,
    others: impl Iterator<Item = T>,
) -> T {
    let mut values: Vec<T> = others.chain([own]).collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    values[quorum - 1]
}
