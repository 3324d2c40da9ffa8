//! Shaping: packets between chosen nodes are late, lost, doubled, out of order, damaged, or let through slowly.
//!
//! The receiver's packet filter hands what arrives from chosen sources to a *queue*, and a thread of ours says what becomes of each packet and
//! when (`worker`); what it decides is pure (`line`). It needs nothing of the kernel but packet queues. It costs a wake-up a packet: delays are
//! exact to about a millisecond on a machine that is not overloaded, and a link carries some tens of megabytes a second. A
//! link has at most half a second's worth of packets waiting for its bandwidth; more are lost, as at a real one.
//!
//! Damage is one flipped bit behind the IP header, which checksums of TCP and UDP find: to a store it is a loss, but for what the kernel
//! counts. A double arrives over the loopback interface.
//!
//! Limits: IPv4 only; the kernel's own `netem` is not used where there is one.

mod filter;
mod line;
mod worker;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use line::{Fate, Line};
use worker::Worker;

use crate::netlink::queue::Queue;
use crate::trial;

/// What happens to the packets of a link, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shaping {
    /// How much later each packet arrives, in microseconds.
    pub delay_us: u32,
    /// By how much a single one's delay may be shorter or longer, evenly spread, in microseconds. Packets may overtake each other.
    pub jitter_us: u32,
    /// How many of a million packets are lost.
    pub loss_ppm: u32,
    /// How many of a million packets arrive twice.
    pub duplicate_ppm: u32,
    /// How many of a million packets are not delayed, and so overtake those that are.
    pub reorder_ppm: u32,
    /// How many of a million packets have a bit flipped.
    pub corrupt_ppm: u32,
    /// Kilobits (thousands) a second; 0 is as fast as it goes.
    pub rate_kbit: u32,
}

/// All of them, or certainty, in parts of a million.
pub const MILLION: u32 = 1_000_000;

impl Shaping {
    /// Whether anything happens at all.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Both at once, as if one link followed the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let either = |a: u32, b: u32| {
            let (a, b, all) = (u64::from(a), u64::from(b), u64::from(MILLION));
            (a + b - a * b / all) as u32
        };
        let slower = match (self.rate_kbit, other.rate_kbit) {
            (0, rate) | (rate, 0) => rate,
            (a, b) => a.min(b),
        };
        Self {
            delay_us: self.delay_us.saturating_add(other.delay_us),
            jitter_us: self.jitter_us.saturating_add(other.jitter_us),
            loss_ppm: either(self.loss_ppm, other.loss_ppm),
            duplicate_ppm: either(self.duplicate_ppm, other.duplicate_ppm),
            reorder_ppm: either(self.reorder_ppm, other.reorder_ppm),
            corrupt_ppm: either(self.corrupt_ppm, other.corrupt_ppm),
            rate_kbit: slower,
        }
    }
}

/// What is shaped on a node.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Mutex<Option<Worker>>);

impl Shapes {
    /// From now on exactly these links are shaped, each named by its source.
    pub fn replace(&self, links: &[(Ipv4Addr, Shaping)]) -> io::Result<()> {
        let mut worker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let links: Vec<_> =
            links.iter().filter(|(_, shaping)| !shaping.is_none()).copied().collect();
        if links.is_empty() {
            // The rules first: packets that are held are let go by the worker as it ends.
            let removed = if worker.is_some() { filter::remove() } else { Ok(()) };
            *worker = None;
            return removed;
        }
        let running = match &mut *worker {
            Some(running) if running.is_alive() => running,
            none => none.insert(Worker::start()?),
        };
        running.set(&links);
        let sources: Vec<Ipv4Addr> = links.iter().map(|link| link.0).collect();
        filter::replace(&sources, running.queue_number())
    }

    /// Nothing is shaped any more.
    pub fn clear(&self) -> io::Result<()> {
        self.replace(&[])
    }
}

/// Why no link can be shaped here, if so.
pub(crate) fn try_shaping() -> io::Result<()> {
    trial::in_own_network(|| {
        let queue = Queue::open()?;
        filter::replace(&[Ipv4Addr::new(10, 77, 0, 1)], queue.number())
    })
}

/// Removes what an agent that is gone may have left.
pub(crate) fn remove_leftovers() -> io::Result<()> {
    filter::remove()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_faults_on_a_link_are_both_there() {
        let slow = Shaping { delay_us: 1000, jitter_us: 10, rate_kbit: 800, ..Shaping::default() };
        let lossy = Shaping { delay_us: 5, loss_ppm: 500_000, ..Shaping::default() };
        let both = slow.and(lossy).and(lossy);
        let expected = Shaping {
            delay_us: 1010,
            jitter_us: 10,
            loss_ppm: 750_000,
            rate_kbit: 800,
            ..Shaping::default()
        };
        assert_eq!(both, expected);
        assert_eq!(lossy.and(slow).and(lossy), both);
        let slower = Shaping { rate_kbit: 100, ..Shaping::default() };
        assert_eq!(slow.and(slower).rate_kbit, 100);
        assert!(Shaping::default().and(Shaping::default()).is_none());
    }
}
