//! What a replica holds while it leads, and loses when it stops.

use std::collections::{BTreeMap, VecDeque};

use super::progress::Progress;
use super::read::Reads;
use super::transfer::Transfer;
use crate::api::{LogIndex, Nanos, NodeId, RequestId};

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
    /// Who asked for the joint membership in force; answered when it is left.
    pub(super) joint_request: Option<RequestId>,
    /// It told another to campaign: no lease any more in this term.
    pub(super) renounced: bool,
    /// A transfer under way.
    pub(super) transfer: Option<Transfer>,
    /// When the next regular one is due, and what was lost is sent again.
    pub(super) heartbeat_due: Nanos,
    /// When the leader checks next whether a quorum answers.
    pub(super) quorum_due: Nanos,
}

impl Leader {
    /// Of a term whose first entry is `first`.
    pub(super) fn new(peers: impl Iterator<Item = NodeId>, first: LogIndex) -> Leader {
        Leader {
            first,
            progress: peers.map(|peer| (peer, Progress::new(first))).collect(),
            reads: Reads::default(),
            round: 0,
            sent: VecDeque::new(),
            lease_until: Nanos(0),
            joint_request: None,
            renounced: false,
            transfer: None,
            heartbeat_due: Nanos(0),
            quorum_due: Nanos(0),
        }
    }
}
