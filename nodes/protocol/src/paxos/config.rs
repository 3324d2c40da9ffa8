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
    /// All replicas, this one included.
    pub members: Vec<NodeId>,
    /// How long a node waits for a leader before it takes a ballot: drawn from this range for each wait, and from a longer one after
    /// attempts that failed. The lower end is also how long a node that hears a leader promises nothing to others, and the
    /// upper end how long a leader goes on without hearing from a quorum.
    pub election_timeout: RangeInclusive<Nanos>,
    /// How often a leader tells the others that it is alive, and how soon what was lost is sent again.
    pub heartbeat_interval: Nanos,
    /// Executed slots since the last snapshot at which the next one is taken.
    pub snapshot_entries: u64,
    /// Bytes of keys and values in such slots at which one is taken, even if they are few.
    pub snapshot_bytes: u64,
    /// Executed slots kept in the log behind a snapshot, so that a node that is only a little behind needs no snapshot.
    pub keep_entries: u64,
    /// Entries in one message at most.
    pub accept_entries_max: usize,
    /// Bytes of keys and values in one message, and of data in one piece of a snapshot, at most. An entry larger than that travels alone.
    pub accept_bytes_max: usize,
    /// Messages with proposals on their way to one acceptor at most. While that many are, proposals gather for the next one.
    pub accepts_in_flight_max: usize,
    /// Slots that a leader has open at most. More requests wait.
    pub open_slots_max: u64,
    /// Whether a leader answers reads without asking anybody, as long as its lease lasts (see [`super`]).
    pub lease_reads: bool,
    /// The seeded mistake, if any.
    pub mutant: Option<Mutant>,
    /// A mistake of the state machine.
    pub mistake: Option<kv::Mutant>,
}

/// How much of the time for which acceptors promise nothing to others a leader counts on, in per cent. Clocks of any two nodes may
/// then run apart by five per cent each way: 0.9 · 1.05 < 1 · 0.95.
const LEASE_PERCENT: u64 = 90;

/// After so many attempts that failed the wait for the next one grows no longer: eight times the usual.
const DOUBLINGS_MAX: u32 = 3;

impl Config {
    /// Settings for nodes on one machine or in one rack.
    #[must_use]
    pub fn new(id: NodeId, members: Vec<NodeId>) -> Self {
        Self {
            id,
            members,
            election_timeout: Nanos(500 * MILLISECOND)..=Nanos(1000 * MILLISECOND),
            heartbeat_interval: Nanos(100 * MILLISECOND),
            snapshot_entries: 5_000,
            snapshot_bytes: 16 << 20,
            keep_entries: 500,
            accept_entries_max: 1_024,
            accept_bytes_max: 1 << 20,
            accepts_in_flight_max: 16,
            open_slots_max: 4_096,
            lease_reads: false,
            mutant: None,
            mistake: None,
        }
    }

    /// As it is, but for what the settings of a mistake, or of a change that breaks no rule, are.
    pub(super) fn changed(mut self) -> Self {
        let doubled = |time: Nanos| Nanos(time.0 * 2);
        match self.mutant {
            Some(Mutant::SlowHeartbeats) => {
                self.heartbeat_interval = doubled(self.heartbeat_interval);
            }
            Some(Mutant::LongElections) => {
                let range = &self.election_timeout;
                self.election_timeout = doubled(*range.start())..=doubled(*range.end());
            }
            Some(Mutant::LeaseFromReceipt) => self.lease_reads = true,
            // What makes messages smaller must leave room for enough of them: too slow a cluster is another change.
            Some(Mutant::SingleEntries) => {
                self.accept_entries_max = 1;
                self.accepts_in_flight_max = self.accepts_in_flight_max.max(64);
            }
            Some(Mutant::NoPipeline) => {
                self.accepts_in_flight_max = 1;
                self.accept_entries_max = self.accept_entries_max.max(64);
                self.accept_bytes_max *= 16;
            }
            Some(Mutant::FrequentSnapshots) => (self.snapshot_entries, self.keep_entries) = (20, 0),
            Some(Mutant::FewOpenSlots) => self.open_slots_max = 8,
            _ => {}
        }
        self
    }

    /// How long a leader may count on its acceptors, from when it sent what they answered.
    pub(super) fn lease(&self) -> Nanos {
        let patience = self.election_timeout.start().0;
        let percent = if self.is(Mutant::LeaseFromReceipt) { 100 } else { LEASE_PERCENT };
        Nanos(patience * percent / 100)
    }

    /// From what the next wait is drawn, after so many attempts that failed.
    pub(super) fn patience(&self, failures: u32) -> RangeInclusive<u64> {
        let (low, high) = (self.election_timeout.start().0, self.election_timeout.end().0);
        let doublings = if self.is(Mutant::NoBackOff) { 0 } else { failures.min(DOUBLINGS_MAX) };
        low..=high << doublings
    }

    /// How many nodes decide.
    pub(super) fn quorum(&self) -> usize {
        let of = self.members.len();
        if self.is(Mutant::HalfIsQuorum) { (of / 2).max(1) } else { majority(of) }
    }

    /// The others.
    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> + use<> {
        let (own, members) = (self.id, self.members.clone());
        members.into_iter().filter(move |member| *member != own)
    }

    /// Whether this mistake is switched on.
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// How many bytes of a snapshot travel in one piece at most.
    pub(super) fn piece_bytes_max(&self) -> usize {
        if self.is(Mutant::SmallPieces) { 64 } else { self.accept_bytes_max.max(1) }
    }

    /// Whether a leader that hears no quorum steps down.
    pub(super) fn check_quorum(&self) -> bool {
        self.mutant.is_none_or(|mutant| !mutant.info().without_check_quorum)
    }

    /// After how many slots the log is compacted, and how many it keeps; never, for some mutants.
    pub(super) fn compaction(&self) -> Option<(u64, u64)> {
        match self.mutant {
            Some(mutant) if mutant.info().without_snapshots => None,
            _ => Some((self.snapshot_entries.max(1), self.keep_entries)),
        }
    }
}
