//! One node: a process that may run, stand still or be gone, its disk, and its clock.

use std::collections::VecDeque;
use std::path::Path;

use keelhaul_protocol::api::{Nanos, NodeId, SyncTicket};
use keelhaul_protocol::kv::Request;
use keelhaul_protocol::raft::{Config, Message, Replica};
use keelhaul_server::StorageError;
use keelhaul_server::core::Core;
use keelhaul_server::storage::{Command, Identity, Storage};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::client::LineId;
use crate::disk::SimDisk;
use crate::plan::SimPlan;

const MS: u64 = 1_000_000;
/// The times of the nodes, ms: those of live nodes (`keelhaul_stores::raft`).
const ELECTION_MS: (u64, u64) = (250, 500);
const HEARTBEAT_MS: u64 = 50;
/// Small, so that a short life goes through several segments.
const SEGMENT_BYTES: u64 = 16 << 10;
const DATA_DIR: &str = "/data";

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) line: LineId,
    pub(crate) correlation: u64,
}

/// What reaches a process.
#[derive(Debug)]
pub(crate) enum Arrival {
    Message { from: usize, message: Message },
    Request { caller: Caller, request: Request },
    Timer,
    Synced,
}

/// A clock that may run fast or slow, and jump.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// At this virtual time it showed `local`.
    at: u64,
    local: u64,
    ppm: i64,
}

impl Clock {
    pub(crate) const fn new(ppm: i64) -> Self {
        Self { at: 0, local: 0, ppm }
    }

    /// What it shows at a virtual time.
    pub(crate) fn local(self, now: u64) -> u64 {
        let elapsed = now - self.at;
        let drift = (elapsed / 1_000_000).cast_signed() * self.ppm;
        self.local + elapsed.saturating_add_signed(drift)
    }

    /// The first virtual time at which it shows `local` or more, to within its drift in a microsecond.
    pub(crate) fn when(self, local: u64, now: u64) -> u64 {
        let wait = local.saturating_sub(self.local(now));
        let drift = (wait / 1_000_000).cast_signed() * self.ppm;
        now.saturating_add(wait.saturating_add_signed(-drift).max(1))
    }

    /// It goes forward by so much at once.
    pub(crate) fn jump(&mut self, now: u64, by: u64) {
        *self = Self { at: now, local: self.local(now) + by, ppm: self.ppm };
    }
}

/// A process at work.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) core: Core<Replica, Caller>,
    pub(crate) storage: Storage<SimDisk>,
    /// For the disk, not written yet.
    pub(crate) commands: Vec<Command>,
    /// The sync under way, and how much the oracle saw asked for before it.
    pub(crate) syncing: Option<(SyncTicket, usize)>,
    /// When the earliest timer event of this life comes; the end of time if none does.
    pub(crate) armed_at: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) process: Option<Process>,
    pub(crate) disk: SimDisk,
    pub(crate) clock: Clock,
    /// Grows with every start and end, so that what was meant for an earlier life is known.
    pub(crate) life: u32,
    /// What waits for a process that stands still.
    pub(crate) paused: Option<VecDeque<Arrival>>,
}

impl Node {
    pub(crate) const fn new(disk: SimDisk, clock: Clock) -> Self {
        Self { process: None, disk, clock, life: 0, paused: None }
    }

    /// A process from what the disk holds, not running yet, and what it held.
    pub(crate) fn boot(
        &self,
        id: u16,
        plan: &SimPlan,
        now: u64,
        seed: u64,
    ) -> Result<(Process, keelhaul_protocol::api::Stored), StorageError> {
        let identity = Identity { protocol: "raft", node: id, cluster: plan.seed };
        let directory = Path::new(DATA_DIR);
        let (storage, stored, _) =
            Storage::open(self.disk.clone(), plan.mutant, directory, &identity, SEGMENT_BYTES)?;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let mut effects = Vec::new();
        let now = Nanos(self.clock.local(now));
        let replica = Replica::new(config(id, plan), stored.clone(), now, rng, &mut effects);
        let process = Process {
            core: Core::new(replica, effects),
            storage,
            commands: Vec::new(),
            syncing: None,
            armed_at: u64::MAX,
        };
        Ok((process, stored))
    }
}

fn config(id: u16, plan: &SimPlan) -> Config {
    let mut config = Config::new(NodeId(id), (1..=plan.nodes).map(NodeId).collect());
    config.election_timeout = Nanos(ELECTION_MS.0 * MS)..=Nanos(ELECTION_MS.1 * MS);
    config.heartbeat_interval = Nanos(HEARTBEAT_MS * MS);
    config.snapshot_entries = u64::from(plan.weather.snapshot_entries);
    config.keep_entries = config.snapshot_entries / 4;
    // Snapshots and long appends travel in several pieces.
    config.append_bytes_max = 2_000;
    config.append_entries_max = 16;
    config.lease_reads = plan.lease_reads;
    config.mutant = plan.mutant;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_drifts_and_jumps_and_is_read_backwards() {
        for ppm in [-20_000, 0, 300, 20_000] {
            let mut clock = Clock::new(ppm);
            clock.jump(5_000 * MS, 700 * MS);
            let now = 9_000 * MS;
            for wait in [0, 1, 50 * MS, 3_000 * MS] {
                let at = clock.when(clock.local(now) + wait, now);
                let shown = clock.local(at) - clock.local(now);
                // A drift of two per cent is misjudged by two per cent of two per cent.
                assert!(shown.abs_diff(wait) <= wait / 2_000 + 1_000_000, "{ppm} {wait} {shown}");
            }
            assert!(clock.local(now) >= 9_500 * MS);
        }
    }
}
