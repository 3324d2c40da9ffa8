//! One node: a process that may run, stand still or be gone, its disk, and its clock.

use std::collections::VecDeque;
use std::path::Path;

use keelhaul_protocol::api::{Nanos, NodeId, Stored, SyncTicket};
use keelhaul_protocol::kv::Request;
use keelhaul_server::StorageError;
use keelhaul_server::core::Core;
use keelhaul_server::storage::{Command, Identity, Storage};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::client::LineId;
use crate::disk::SimDisk;
use crate::plan::SimPlan;
use crate::system::Simulated;

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
pub(crate) enum Arrival<M> {
    Message { from: usize, message: M },
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
    /// Its pace when nobody tells it another one, and what it is told beside that: parts in a million too fast.
    own_ppm: i64,
    told_ppm: i64,
}

impl Clock {
    pub(crate) const fn new(own_ppm: i64) -> Self {
        Self { at: 0, local: 0, own_ppm, told_ppm: 0 }
    }

    /// What it is told beside its own pace.
    pub(crate) const fn told_ppm(self) -> i64 {
        self.told_ppm
    }

    fn ppm(self) -> i64 {
        self.own_ppm + self.told_ppm
    }

    /// What it shows at a virtual time.
    pub(crate) fn local(self, now: u64) -> u64 {
        let elapsed = now - self.at;
        let drift = (elapsed / 1_000_000).cast_signed() * self.ppm();
        self.local + elapsed.saturating_add_signed(drift)
    }

    /// The first virtual time at which it shows `local` or more, to within its drift in a microsecond.
    pub(crate) fn when(self, local: u64, now: u64) -> u64 {
        let wait = local.saturating_sub(self.local(now));
        let drift = (wait / 1_000_000).cast_signed() * self.ppm();
        now.saturating_add(wait.saturating_add_signed(-drift).max(1))
    }

    /// It goes forward by so much at once.
    pub(crate) fn jump(&mut self, now: u64, by: u64) {
        *self = Self { at: now, local: self.local(now) + by, ..*self };
    }

    /// From now on it runs so much faster or slower than by itself.
    pub(crate) fn tell(&mut self, now: u64, told_ppm: i64) {
        *self = Self { at: now, local: self.local(now), told_ppm, ..*self };
    }
}

/// A process at work.
pub(crate) struct Process<P: Simulated> {
    pub(crate) core: Core<P, Caller>,
    pub(crate) storage: Storage<P::Message, SimDisk>,
    /// For the disk, not written yet.
    pub(crate) commands: Vec<Command<P::Message>>,
    /// The sync under way, and how much the oracle saw asked for before it.
    pub(crate) syncing: Option<(SyncTicket, usize)>,
    /// When the earliest timer event of this life comes; the end of time if none does.
    pub(crate) armed_at: u64,
}

/// See the module's documentation.
pub(crate) struct Node<P: Simulated> {
    pub(crate) process: Option<Process<P>>,
    pub(crate) disk: SimDisk,
    pub(crate) clock: Clock,
    /// Grows with every start and end, so that what was meant for an earlier life is known.
    pub(crate) life: u32,
    /// What waits for a process that stands still.
    pub(crate) paused: Option<VecDeque<Arrival<P::Message>>>,
    /// It came to a cluster that was there already, and waits until that makes it a member.
    pub(crate) newcomer: bool,
}

impl<P: Simulated> Node<P> {
    pub(crate) const fn new(disk: SimDisk, clock: Clock) -> Self {
        Self { process: None, disk, clock, life: 0, paused: None, newcomer: false }
    }

    /// A process from what the disk holds, not running yet, and what it held.
    pub(crate) fn boot(
        &self,
        id: u16,
        plan: &SimPlan,
        mutant: Option<P::Mutant>,
        now: u64,
        seed: u64,
    ) -> Result<(Process<P>, Stored<P::Message>), StorageError> {
        let identity = Identity { protocol: P::NAME, node: id, cluster: plan.seed };
        let (disk, directory) = (self.disk.clone(), Path::new(DATA_DIR));
        let mistake = mutant.and_then(P::in_storage);
        let (storage, stored, _) =
            Storage::open(disk, mistake, directory, &identity, SEGMENT_BYTES)?;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let mut effects = Vec::new();
        let now = Nanos(self.clock.local(now));
        let members = (1..=plan.nodes).filter(|member| !(self.newcomer && *member == id));
        let config = P::config(NodeId(id), members.map(NodeId).collect(), plan, mutant);
        let protocol = P::NEW(config, stored.clone(), now, rng, &mut effects);
        let process = Process {
            core: Core::new(protocol, effects),
            storage,
            commands: Vec::new(),
            syncing: None,
            armed_at: u64::MAX,
        };
        Ok((process, stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::MS;

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
            let (before, own) = (clock.local(now), clock.local(now + 1_000 * MS));
            clock.tell(now, 10_000);
            assert_eq!(clock.local(now), before);
            assert_eq!(clock.local(now + 1_000 * MS), own + 10 * MS);
            clock.tell(now + 1_000 * MS, 0);
            assert_eq!(clock.local(now + 2_000 * MS), 2 * own - before + 10 * MS);
        }
    }
}
