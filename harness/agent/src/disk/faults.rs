//! Which operations go wrong: the faults in effect, and the dice that decide.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fault::{DiskEffect, DiskFault, DiskOp};

/// The faults of one disk.
#[derive(Debug)]
pub(super) struct Faults {
    /// Whether there are any: on a healthy disk nothing else is looked at.
    any: AtomicBool,
    inner: Mutex<Inner>,
    /// The faults were replaced, or the disk was switched off.
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    faults: Vec<DiskFault>,
    struck: Vec<u64>,
    dice: ChaCha8Rng,
    /// Counts replacements, so that who waits can see one.
    generation: u64,
}

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strike {
    /// It fails with this error number.
    pub error: Option<i32>,
    /// It fails when half of it is done.
    pub tear: bool,
    /// It writes elsewhere.
    pub misdirect: bool,
    /// It makes nothing durable.
    pub ignore_sync: bool,
}

impl Faults {
    /// None.
    pub fn new() -> Self {
        let dice = ChaCha8Rng::seed_from_u64(0);
        let inner = Inner { faults: Vec::new(), struck: Vec::new(), dice, generation: 0 };
        Self { any: AtomicBool::new(false), inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// Replaces all faults; what an earlier one holds up goes on.
    pub fn replace(&self, faults: Vec<DiskFault>, seed: u64) {
        let mut inner = self.lock();
        self.any.store(!faults.is_empty(), Ordering::Release);
        inner.struck = vec![0; faults.len()];
        inner.faults = faults;
        inner.dice = ChaCha8Rng::seed_from_u64(seed);
        inner.generation += 1;
        self.changed.notify_all();
    }

    /// The faults, and how often each struck.
    pub fn state(&self) -> (Vec<DiskFault>, Vec<u64>) {
        let inner = self.lock();
        (inner.faults.clone(), inner.struck.clone())
    }

    /// Decides on one operation, and holds it up as long as it is to be.
    pub fn strike(&self, on: DiskOp, path: impl FnOnce() -> String) -> Strike {
        if !self.any.load(Ordering::Acquire) {
            return Strike::default();
        }
        let path = path();
        let mut inner = self.lock();
        let generation = inner.generation;
        let (mut strike, mut delay, mut stalls) = (Strike::default(), Duration::ZERO, false);
        for at in 0..inner.faults.len() {
            let fault = &inner.faults[at];
            if !fault.on.contains(&on) || !path.contains(&fault.path_contains) {
                continue;
            }
            let (effect, chance) = (fault.effect, fault.per_million);
            if inner.dice.random_range(0..1_000_000) >= chance {
                continue;
            }
            inner.struck[at] += 1;
            match effect {
                DiskEffect::IoError => strike.error = Some(libc::EIO),
                DiskEffect::NoSpace => strike.error = Some(libc::ENOSPC),
                DiskEffect::Delay { ms } => delay += Duration::from_millis(ms),
                DiskEffect::Stall => stalls = true,
                DiskEffect::Tear => strike.tear = on == DiskOp::Write,
                DiskEffect::Misdirect => strike.misdirect = on == DiskOp::Write,
                DiskEffect::IgnoreSync => strike.ignore_sync = on == DiskOp::Sync,
            }
        }
        let end = Instant::now() + delay;
        while inner.generation == generation && (stalls || Instant::now() < end) {
            inner = if stalls {
                self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
            } else {
                let left = end.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        strike
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
