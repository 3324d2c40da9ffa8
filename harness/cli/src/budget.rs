//! The clock and the memory limit that checkers are given.
//!
//! Memory is what the kernel says that the whole process holds: the history, what checkers make of it, and their caches.
//! Where it does not say, what the checkers count themselves must do.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use keelhaul_checkers::{Budget, Exhausted};

/// Ends a check at a time, or when memory runs out. What has ended stays ended.
pub struct Limits {
    deadline: Instant,
    /// For the whole process.
    bytes: usize,
    /// For this check alone, by its own count.
    share: usize,
    /// The kernel's account of the process.
    account: Option<Mutex<File>>,
    ended: AtomicU8,
}

const NO: u8 = 0;
const TIME: u8 = 1;
const MEMORY: u8 = 2;

/// One part in so many of the time is kept back: what a search holds in millions of pieces takes as long to let go.
const KEPT_BACK: u32 = 10;

/// The kernel counts in pages of this size.
const PAGE_BYTES: usize = 4096;

impl Limits {
    /// From now on; so many checks are made at a time, and share the memory.
    pub fn new(time: Duration, bytes: usize, at_a_time: usize) -> Self {
        Self {
            deadline: Instant::now() + (time - time / KEPT_BACK),
            bytes,
            share: bytes / at_a_time,
            account: File::open("/proc/self/statm").ok().map(Mutex::new),
            ended: AtomicU8::new(NO),
        }
    }

    /// Bytes that the process holds, if the kernel says so.
    fn resident(&self) -> Option<usize> {
        let mut account = self.account.as_ref()?.lock().ok()?;
        let mut text = [0; 128];
        account.rewind().ok()?;
        let len = account.read(&mut text).ok()?;
        let pages = std::str::from_utf8(&text[..len]).ok()?.split(' ').nth(1)?;
        Some(pages.parse::<usize>().ok()? * PAGE_BYTES)
    }

    fn is_full(&self, own: usize, more: usize) -> bool {
        own + more > self.share || self.resident().is_some_and(|held| held + more > self.bytes)
    }
}

impl Budget for Limits {
    fn spent(&self, bytes: usize) -> Option<Exhausted> {
        let now = if self.is_full(bytes, 0) {
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

    fn room(&self, bytes: usize) -> Option<Exhausted> {
        self.is_full(0, bytes).then_some(Exhausted::Memory)
    }

    fn share(&self, parts: u32) -> Option<Box<dyn Budget + '_>> {
        Some(Box::new(Share::of(self, self.deadline, parts)))
    }
}

/// A part of the time of a budget, which ends with it at the latest.
struct Share<'a> {
    whole: &'a Limits,
    deadline: Instant,
}

impl<'a> Share<'a> {
    /// One part in so many of the time until `deadline`.
    fn of(whole: &'a Limits, deadline: Instant, parts: u32) -> Self {
        let now = Instant::now();
        Self { whole, deadline: now + deadline.saturating_duration_since(now) / parts.max(1) }
    }
}

impl Budget for Share<'_> {
    fn spent(&self, bytes: usize) -> Option<Exhausted> {
        let ended = self.whole.spent(bytes);
        ended.or_else(|| (Instant::now() >= self.deadline).then_some(Exhausted::Time))
    }

    fn room(&self, bytes: usize) -> Option<Exhausted> {
        self.whole.room(bytes)
    }

    fn share(&self, parts: u32) -> Option<Box<dyn Budget + '_>> {
        Some(Box::new(Share::of(self.whole, self.deadline, parts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_whole_process_holds_counts() {
        let limits = |bytes| Limits::new(Duration::from_secs(600), bytes, 1);
        let held = limits(usize::MAX).resident().unwrap();
        assert!(held > 1 << 20, "{held}");
        assert_eq!(limits(held / 2).spent(0), Some(Exhausted::Memory));
        let roomy = limits(held + (1 << 30));
        assert_eq!(roomy.room(2 << 30), Some(Exhausted::Memory));
        assert_eq!(roomy.spent(0), None, "what was only asked for ends nothing");
        assert_eq!(roomy.spent(2 << 30), Some(Exhausted::Memory));
        assert_eq!(roomy.spent(0), Some(Exhausted::Memory), "what has ended stays ended");
    }

    #[test]
    fn a_share_ends_before_the_whole() {
        let limits = Limits::new(Duration::from_secs(3600), usize::MAX, 1);
        let half = limits.share(2).unwrap();
        assert_eq!(half.spent(0), None);
        let none = half.share(u32::MAX).unwrap();
        while none.spent(0).is_none() {}
        assert_eq!(none.spent(0), Some(Exhausted::Time));
        assert_eq!((half.spent(0), limits.spent(0)), (None, None));
    }
}
