//! What a replica is told when it starts.

use std::ops::RangeInclusive;

use super::mutant::Mutant;
use crate::api::{Nanos, NodeId};
use crate::kv;
use crate::membership::majority;

const MILLISECOND: u64 = 1_000_000;

/// The settings of one replica. All replicas of a cluster are given the same ones, but for `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// All members; they do not change.
    pub members: Vec<NodeId>,
    /// How long a follower goes on without hearing from its leader, and a leader without hearing from a quorum, before it
    /// looks for a leader: drawn from this range for each wait. Also how long discovery may take.
    pub election_timeout: RangeInclusive<Nanos>,
    /// How often a leader pings its followers, and what may have been lost is sent again.
    pub heartbeat_interval: Nanos,
    /// How long a node that has a quorum for its vote waits for a better one, unless all members voted.
    pub settle_time: Nanos,
    /// Applied transactions since the last snapshot at which the next one is taken.
    pub snapshot_entries: u64,
    /// Bytes of keys and values in such transactions at which one is taken, even if they are few.
    pub snapshot_bytes: u64,
    /// Applied transactions kept behind a snapshot, so that a follower that is only a little behind is sent a DIFF.
    pub keep_entries: u64,
    /// Transactions in one proposal message at most.
    pub propose_entries_max: usize,
    /// Bytes of keys and values in one proposal message, and of data in one piece of a snapshot, at most. A
    /// transaction larger than that travels alone.
    pub propose_bytes_max: usize,
    /// Proposal messages on their way to one follower at most. While that many are, new transactions gather for the
    /// next one: the slower the network, the larger the batches.
    pub proposals_in_flight_max: usize,
    /// Whether a replica answers reads from its own state at once, which is sequentially consistent, and not linearizable.
    pub local_reads: bool,
    /// The seeded mistake, if any.
    pub mutant: Option<Mutant>,
    /// A mistake of the state machine.
    pub mistake: Option<kv::Mutant>,
}

impl Config {
    /// Settings for nodes on one machine or in one rack.
    #[must_use]
    pub fn new(id: NodeId, members: Vec<NodeId>) -> Config {
        Config {
            id,
            members,
            election_timeout: Nanos(500 * MILLISECOND)..=Nanos(1000 * MILLISECOND),
            heartbeat_interval: Nanos(100 * MILLISECOND),
            settle_time: Nanos(50 * MILLISECOND),
            snapshot_entries: 5_000,
            snapshot_bytes: 16 << 20,
            keep_entries: 500,
            propose_entries_max: 1_024,
            propose_bytes_max: 1 << 20,
            proposals_in_flight_max: 16,
            local_reads: false,
            mutant: None,
            mistake: None,
        }
    }

    /// As it is, but for what the settings of a change are.
    pub(super) fn changed(mut self) -> Config {
        let doubled = |time: Nanos| Nanos(time.0 * 2);
        match self.mutant {
            Some(Mutant::SlowPings) => self.heartbeat_interval = doubled(self.heartbeat_interval),
            Some(Mutant::LongElections) => {
                let range = &self.election_timeout;
                self.election_timeout = doubled(*range.start())..=doubled(*range.end());
            }
            Some(Mutant::LongSettle) => self.settle_time = doubled(self.settle_time),
            // What makes messages smaller must leave room for enough of them: too slow a cluster is another change.
            Some(Mutant::SingleEntries) => {
                self.propose_entries_max = 1;
                self.proposals_in_flight_max = self.proposals_in_flight_max.max(64);
            }
            Some(Mutant::NoPipeline) => {
                self.proposals_in_flight_max = 1;
                self.propose_entries_max = self.propose_entries_max.max(64);
                self.propose_bytes_max *= 16;
            }
            Some(Mutant::FrequentSnapshots) => (self.snapshot_entries, self.keep_entries) = (20, 0),
            Some(Mutant::PartialSnapshot) => {
                self.snapshot_entries = self.snapshot_entries.min(100);
                self.keep_entries = self.keep_entries.min(10);
            }
            _ => {}
        }
        self
    }

    /// How many bytes of a snapshot travel in one piece at most.
    pub(super) fn piece_bytes_max(&self) -> usize {
        match self.mutant {
            Some(Mutant::PartialSnapshot | Mutant::SmallPieces) => 64,
            _ => self.propose_bytes_max.max(1),
        }
    }

    /// How many members decide.
    pub(super) fn quorum(&self) -> usize {
        let members = self.members.len();
        if self.is(Mutant::QuorumOffByOne) { (members / 2).max(1) } else { majority(members) }
    }

    /// The other members.
    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().copied().filter(|member| *member != self.id)
    }

    /// Whether this mistake is switched on.
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether a leader that hears no quorum steps down.
    pub(super) fn check_quorum(&self) -> bool {
        self.mutant.is_none_or(|mutant| !mutant.info().without_check_quorum)
    }

    /// After how many transactions the history is compacted, and how many it keeps; never, for some mutants.
    pub(super) fn compaction(&self) -> Option<(u64, u64)> {
        match self.mutant {
            Some(mutant) if mutant.info().without_snapshots => None,
            _ => Some((self.snapshot_entries.max(1), self.keep_entries)),
        }
    }
}
