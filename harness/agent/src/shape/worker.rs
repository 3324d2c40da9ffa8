//! The thread that holds packets back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use nix::sys::time::TimeSpec;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Shaping;
use super::line::{Fate, Line};
use crate::netlink::queue::{Packet, Queue, Verdict};

/// Packets that are read before those that are due are looked at again.
const BATCH: usize = 64;
/// Where an IPv4 header has its length, in words, and the addresses.
const LENGTH_MASK: u8 = 0x0f;
const SOURCE: std::ops::Range<usize> = 12..16;
const DESTINATION: std::ops::Range<usize> = 16..20;

type Lines = Arc<Mutex<BTreeMap<Ipv4Addr, Line>>>;

/// A running thread. When this is dropped, the thread lets go what it holds, and ends.
#[derive(Debug)]
pub(super) struct Worker {
    lines: Lines,
    queue_number: u16,
    /// A byte wakes the thread, and its end ends it.
    waker: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Begins to listen to a queue of its own. Nothing comes there yet.
    pub fn start() -> io::Result<Self> {
        let queue = Queue::open()?;
        let queue_number = queue.number();
        let (waker, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let copies =
            socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
        let lines = Lines::default();
        let holder = Holder {
            queue,
            lines: Arc::clone(&lines),
            copies,
            held: BinaryHeap::new(),
            count: 0,
            origin: Instant::now(),
            rng: ChaCha8Rng::seed_from_u64(u64::from(queue_number)),
        };
        let thread = thread::Builder::new().name("shape".into()).spawn(move || {
            if let Err(error) = holder.serve(woken) {
                eprintln!("packets are not shaped any more: {error}");
            }
        })?;
        Ok(Self { lines, queue_number, waker: Some(waker), thread: Some(thread) })
    }

    pub fn queue_number(&self) -> u16 {
        self.queue_number
    }

    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Shapes exactly these links. One that stays as it was goes on where it is; what is held back for one that is gone is let go.
    pub fn set(&mut self, links: &[(Ipv4Addr, Shaping)]) {
        let mut lines = locked(&self.lines);
        let wanted: BTreeMap<Ipv4Addr, Shaping> = links.iter().copied().collect();
        lines.retain(|source, line| wanted.get(source) == Some(&line.shaping));
        for (source, shaping) in wanted {
            lines.entry(source).or_insert_with(|| Line::new(shaping));
        }
        drop(lines);
        if let Some(waker) = &mut self.waker {
            // A full pipe wakes as well.
            let _ = waker.write(&[1]);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.waker = None;
        if let Some(thread) = self.thread.take() {
            // It has told why it ended.
            let _ = thread.join();
        }
    }
}

fn locked(lines: &Lines) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be done at a time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    at_ns: u64,
    /// What came first goes first.
    count: u64,
    source: Ipv4Addr,
    doing: Doing,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doing {
    /// Let the packet of this id go, with other bytes if there are any.
    Release(u32, Option<Vec<u8>>),
    /// Send a second one.
    Copy(Vec<u8>),
}

/// What the thread has.
struct Holder {
    queue: Queue,
    lines: Lines,
    copies: OwnedFd,
    held: BinaryHeap<Reverse<Held>>,
    count: u64,
    origin: Instant,
    rng: ChaCha8Rng,
}

impl Holder {
    fn serve(mut self, mut woken: UnixStream) -> io::Result<()> {
        loop {
            self.wait(&woken)?;
            let mut bytes = [0; 64];
            match woken.read(&mut bytes) {
                Ok(0) => return self.release(|_| true),
                Ok(_) => {
                    let sources: Vec<Ipv4Addr> = locked(&self.lines).keys().copied().collect();
                    self.release(|held| !sources.contains(&held.source))?;
                }
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(e),
            }
            self.take_batch()?;
            let now_ns = self.now_ns();
            while self.held.peek().is_some_and(|Reverse(held)| held.at_ns <= now_ns) {
                if let Some(Reverse(held)) = self.held.pop() {
                    self.do_it(held.doing);
                }
            }
            self.queue.flush()?;
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Until a packet comes, or one is due, or somebody wakes us.
    fn wait(&self, woken: &UnixStream) -> io::Result<()> {
        let due = self.held.peek().map(|Reverse(held)| {
            TimeSpec::from(Duration::from_nanos(held.at_ns.saturating_sub(self.now_ns())))
        });
        let mut fds = [
            PollFd::new(self.queue.as_fd(), PollFlags::POLLIN),
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
        ];
        match ppoll(&mut fds, due, None) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn take_batch(&mut self) -> io::Result<()> {
        let now_ns = self.now_ns();
        let Self { queue, lines, held, count, rng, .. } = self;
        let mut decided = Vec::new();
        let mut lines = locked(lines);
        for _ in 0..BATCH {
            let more = queue.receive(|packet| {
                let line = source_of(packet.bytes)
                    .and_then(|source| Some((source, lines.get_mut(&source)?)));
                let Some((source, line)) = line else {
                    // Healed while it was on its way to us.
                    decided.push((packet.id, Verdict::Accept));
                    return;
                };
                let fate = line.fate(now_ns, packet.bytes.len(), rng);
                if fate.at_ns.is_none() {
                    decided.push((packet.id, Verdict::Drop));
                }
                for (at_ns, doing) in doings(&packet, fate) {
                    *count += 1;
                    held.push(Reverse(Held { at_ns, count: *count, source, doing }));
                }
            })?;
            if !more {
                break;
            }
        }
        drop(lines);
        decided.into_iter().for_each(|(id, verdict)| self.queue.decide(id, verdict));
        Ok(())
    }

    fn do_it(&mut self, doing: Doing) {
        match doing {
            Doing::Release(id, None) => self.queue.decide(id, Verdict::Accept),
            Doing::Release(id, Some(bytes)) => self.queue.decide(id, Verdict::AcceptAs(bytes)),
            Doing::Copy(bytes) => {
                // What was let go before it is not to be overtaken. An error is met again by the next flush.
                let _ = self.queue.flush();
                let Some(destination) = address_at(&bytes, DESTINATION) else { return };
                let [a, b, c, d] = destination.octets();
                // A double that cannot be sent is one that got lost.
                let _ = sendto(
                    self.copies.as_raw_fd(),
                    &bytes,
                    &SockaddrIn::new(a, b, c, d, 0),
                    MsgFlags::MSG_DONTWAIT,
                );
            }
        }
    }

    /// Lets go at once, in order, what is held and fits.
    fn release(&mut self, fits: impl Fn(&Held) -> bool) -> io::Result<()> {
        let mut kept = BinaryHeap::new();
        while let Some(Reverse(held)) = self.held.pop() {
            if fits(&held) {
                self.do_it(held.doing);
            } else {
                kept.push(Reverse(held));
            }
        }
        self.held = kept;
        self.queue.flush()
    }
}

/// What a fate means for a packet, and when.
fn doings(packet: &Packet<'_>, fate: Fate) -> impl Iterator<Item = (u64, Doing)> {
    let flipped = fate.flip.map(|bit| flipped(packet.bytes, bit));
    let arrives = fate.at_ns.map(|at| (at, Doing::Release(packet.id, flipped)));
    let again = fate.copy_at_ns.map(|at| (at, Doing::Copy(packet.bytes.to_vec())));
    arrives.into_iter().chain(again)
}

/// The packet with one bit flipped behind its IP header, which would not reach us if it were wrong.
fn flipped(packet: &[u8], bit: u32) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let header = usize::from(packet.first().copied().unwrap_or_default() & LENGTH_MASK) * 4;
    let bits = packet.len().saturating_sub(header) * 8;
    if bits > 0 {
        let at = bit as usize % bits;
        bytes[header + at / 8] ^= 1 << (at % 8);
    }
    bytes
}

fn source_of(packet: &[u8]) -> Option<Ipv4Addr> {
    address_at(packet, SOURCE)
}

fn address_at(packet: &[u8], range: std::ops::Range<usize>) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(range)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_is_flipped_and_never_in_the_header() {
        let mut packet = vec![0x45];
        packet.resize(40, 0);
        for bit in 0..1000 {
            let bytes = flipped(&packet, bit);
            let changed: Vec<usize> = (0..40).filter(|at| bytes[*at] != packet[*at]).collect();
            let [at] = changed[..] else { panic!("{changed:?}") };
            assert!(at >= 20, "{at}");
            assert_eq!((bytes[at] ^ packet[at]).count_ones(), 1);
        }
        assert_eq!(flipped(&packet[..20], 7), packet[..20]);
    }
}
