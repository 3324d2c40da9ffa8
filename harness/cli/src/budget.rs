//! The clock and the memory limit that checkers are given.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use keelhaul_checkers::{Budget, Exhausted};

/// Ends a check at a time, or when its caches outgrow a size. What has ended stays ended.
pub struct Limits {
    deadline: Instant,
    bytes: usize,
    ended: AtomicU8,
}

const NO: u8 = 0;
const TIME: u8 = 1;
const MEMORY: u8 = 2;

impl Limits {
    /// From now on.
    pub fn new(time: Duration, bytes: usize) -> Self {
        Self { deadline: Instant::now() + time, bytes, ended: AtomicU8::new(NO) }
    }
}

impl Budget for Limits {
    fn spent(&self, bytes: usize) -> Option<Exhausted> {
        let now = if bytes > self.bytes {
            MEMORY
        } else if Instant::now() >= self.deadline {
            TIME
        } else {
            NO
        };
        // Whoever was first decides the reason.
        let first = self.ended.compare_exchange(NO, now, Ordering::Relaxed, Ordering::Relaxed);
        match first.map_or_else(|ended| ended, |_| now) {
            NO => None,
            TIME => Some(Exhausted::Time),
            _ => Some(Exhausted::Memory),
        }
    }
}
