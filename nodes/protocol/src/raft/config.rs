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
    /// The voters that the cluster begins with; the log says who follows. A node that is none of them waits until a leader
    /// makes it a member.
    pub members: Vec<NodeId>,
    /// Nodes that could become members: those that the driver can send to. The first members are, in any case.
    pub reachable: Vec<NodeId>,
    /// How long a node waits for a leader before it campaigns: drawn from this range for each wait.
    /// The lower end is also how long a node that hears a leader refuses pre-votes, and the upper end how
    /// long a leader goes on without hearing from a quorum.
    pub election_timeout: RangeInclusive<Nanos>,
    /// How often a leader tells followers that it is alive.
    pub heartbeat_interval: Nanos,
    /// Applied entries since the last snapshot at which the next one is taken.
    pub snapshot_entries: u64,
    /// Bytes of keys and values in such entries at which one is taken, even if they are few.
    pub snapshot_bytes: u64,
    /// Applied entries kept in the log behind a snapshot, so that a follower that is only a little behind needs
    /// no snapshot.
    pub keep_entries: u64,
    /// Entries in one append message at most.
    pub append_entries_max: usize,
    /// Bytes of keys and values in one append message, and of data in one piece of a snapshot, at most. An
    /// entry larger than that travels alone.
    pub append_bytes_max: usize,
    /// Append messages on their way to one follower at most. While that many are, new entries gather for the
    /// next one: the slower the network, the larger the batches.
    pub appends_in_flight_max: usize,
    /// Whether a leader answers reads without asking anybody, as long as its lease lasts (see [`super`]).
    pub lease_reads: bool,
    /// The seeded mistake, if any.
    pub mutant: Option<Mutant>,
    /// A mistake of the state machine.
    pub mistake: Option<kv::Mutant>,
}

/// How much of the time for which followers vote for nobody else a leader counts on, in per cent. Clocks of any two members may
/// then run apart by five per cent each way: 0.9 · 1.05 < 1 · 0.95.
const LEASE_PERCENT: u64 = 90;

impl Config {
    /// Settings for nodes on one machine or in one rack.
    #[must_use]
    pub fn new(id: NodeId, members: Vec<NodeId>) -> Config {
        Config {
            id,
            reachable: members.clone(),
            members,
            election_timeout: Nanos(500 * MILLISECOND)..=Nanos(1000 * MILLISECOND),
            heartbeat_interval: Nanos(100 * MILLISECOND),
            snapshot_entries: 5_000,
            snapshot_bytes: 16 << 20,
            keep_entries: 500,
            append_entries_max: 1_024,
            append_bytes_max: 1 << 20,
            appends_in_flight_max: 16,
            lease_reads: false,
            mutant: None,
            mistake: None,
        }
    }

    /// How long a leader may count on its followers, from when it sent what they answered.
    pub(super) fn lease(&self) -> Nanos {
        let patience = self.election_timeout.start().0;
        let percent = if self.is(Mutant::LeaseFromReceipt) { 100 } else { LEASE_PERCENT };
        Nanos(patience * percent / 100)
    }

    /// As it is, but for what the settings of a change that breaks no rule are.
    pub(super) fn changed(mut self) -> Config {
        let doubled = |time: Nanos| Nanos(time.0 * 2);
        match self.mutant {
            Some(Mutant::SlowHeartbeats) => {
                self.heartbeat_interval = doubled(self.heartbeat_interval);
            }
            Some(Mutant::LongElections) => {
                let range = &self.election_timeout;
                self.election_timeout = doubled(*range.start())..=doubled(*range.end());
            }
            // What makes messages smaller must leave room for enough of them: too slow a cluster is another change.
            Some(Mutant::LeaseFromReceipt) => self.lease_reads = true,
            Some(Mutant::SingleEntries) => {
                self.append_entries_max = 1;
                self.appends_in_flight_max = self.appends_in_flight_max.max(64);
            }
            Some(Mutant::LargeAppends) => {
                self.append_entries_max *= 16;
                self.append_bytes_max *= 16;
            }
            Some(Mutant::NoPipeline) => {
                self.appends_in_flight_max = 1;
                self.append_entries_max = self.append_entries_max.max(64);
                self.append_bytes_max *= 16;
            }
            Some(Mutant::FrequentSnapshots) => (self.snapshot_entries, self.keep_entries) = (20, 0),
            _ => {}
        }
        self
    }

    /// How many bytes of a snapshot travel in one piece at most.
    pub(super) fn piece_bytes_max(&self) -> usize {
        if self.is(Mutant::SmallPieces) { 64 } else { self.append_bytes_max }
    }

    /// How many of so many voters decide.
    pub(super) fn majority(&self, of: usize) -> usize {
        if self.is(Mutant::QuorumOffByOne) { (of / 2).max(1) } else { majority(of) }
    }

    /// Whether this mistake is switched on.
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// How many entries an append carries at most.
    pub(super) fn entries_max(&self) -> usize {
        if self.is(Mutant::KeepTail) { 1 } else { self.append_entries_max }
    }

    /// Whether a node asks around before it raises its term.
    pub(super) fn pre_vote(&self) -> bool {
        self.mutant.is_none_or(|mutant| !mutant.info().without_pre_vote)
    }

    /// Whether a leader that hears no quorum steps down.
    pub(super) fn check_quorum(&self) -> bool {
        self.mutant.is_none_or(|mutant| !mutant.info().without_check_quorum)
    }

    /// After how many entries the log is compacted, and how many it keeps; never, for some mutants.
    pub(super) fn compaction(&self) -> Option<(u64, u64)> {
        /// So that between two nodes one has compacted more often than the other after any fault.
        const OFTEN: (u64, u64) = (200, 20);
        match self.mutant {
            Some(mutant) if mutant.info().without_snapshots => None,
            Some(Mutant::CompareLength) => {
                Some((self.snapshot_entries.min(OFTEN.0), self.keep_entries.min(OFTEN.1)))
            }
            _ => Some((self.snapshot_entries.max(1), self.keep_entries)),
        }
    }
}
