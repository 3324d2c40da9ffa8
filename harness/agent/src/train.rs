//! Trains: numbered packets by which it is seen, from outside of whatever shapes a link, what the link does to packets.
//!
//! A train goes one way: its receiver counts what arrives, what arrives twice or in another order, and what its kernel found damaged.
//! An *echo* goes there and back, and takes the time of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

const TRAIN_MARK: [u8; 8] = *b"kh-train";
const ECHO_MARK: [u8; 8] = *b"kh-echo?";
const ANSWER_MARK: [u8; 8] = *b"kh-echo!";
const MARK_BYTES: usize = 8;
/// Mark, name of the train, number in it.
const HEADER_BYTES: usize = MARK_BYTES + 8 + 4;
/// Fits every network's packets.
const PACKET_BYTES_MAX: usize = 1400;
/// How many packets a train or a series of echoes may have.
const COUNT_MAX: u32 = 10_000;
/// How many trains are remembered: a control node asks for one of each link.
const TRAINS_MAX: usize = 64;
/// A train whose end is lost is over when nothing has come for so long as was asked; and in any case after this time.
const TRAIN_LIMIT: Duration = Duration::from_secs(20);

/// What arrived of a train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Different packets.
    pub arrived: u32,
    /// Packets that had arrived before.
    pub doubled: u32,
    /// Packets that arrived before one that was sent earlier.
    pub early: u32,
    /// UDP packets that this node's kernel found damaged meanwhile.
    pub damaged: u32,
    /// Bytes with all headers of IP and UDP, without those of the first packet.
    pub bytes: u64,
    /// Microseconds from the first packet to the last.
    pub span_us: u64,
}

/// What a train is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Train {
    /// Names it; chosen by the control node, never used twice.
    pub name: u64,
    /// How many packets.
    pub count: u32,
    /// Bytes of each, without headers.
    pub bytes: u32,
    /// Microseconds between two.
    pub interval_us: u32,
}

/// Length of the headers of IP and UDP.
const UNDER_BYTES: u64 = 28;

#[derive(Debug)]
struct Arrivals {
    numbers: Vec<u32>,
    bytes: u64,
    first: Option<Instant>,
    last: Instant,
    damaged_before: u32,
}

/// What arrived, by train; and answers to echoes.
#[derive(Debug, Default)]
pub(crate) struct Trains {
    arrivals: Mutex<BTreeMap<u64, Arrivals>>,
    answers: Mutex<BTreeMap<u64, Instant>>,
    changed: Condvar,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trains {
    /// Takes a packet that arrived; false if it is none of ours.
    pub fn take(&self, socket: &UdpSocket, packet: &[u8], from: std::net::SocketAddr) -> bool {
        let Some(mark) = packet.first_chunk::<MARK_BYTES>() else { return false };
        let name = packet
            .get(MARK_BYTES..)
            .and_then(|rest| rest.first_chunk())
            .map(|b| u64::from_le_bytes(*b));
        match (*mark, name) {
            (TRAIN_MARK, Some(name)) => self.arrive(name, packet),
            (ECHO_MARK, Some(name)) => {
                let mut answer = ANSWER_MARK.to_vec();
                answer.extend(name.to_le_bytes());
                // An answer that cannot be sent is one that got lost.
                let _ = socket.send_to(&answer, from);
            }
            (ANSWER_MARK, Some(name)) => {
                locked(&self.answers).entry(name).or_insert_with(Instant::now);
                self.changed.notify_all();
            }
            _ => return false,
        }
        true
    }

    fn arrive(&self, name: u64, packet: &[u8]) {
        let number = packet.get(MARK_BYTES + 8..).and_then(|rest| rest.first_chunk());
        let mut arrivals = locked(&self.arrivals);
        // Of a train that nobody awaits nothing is kept.
        let (Some(number), Some(train)) = (number, arrivals.get_mut(&name)) else { return };
        let now = Instant::now();
        if train.first.is_some() {
            train.bytes += packet.len() as u64 + UNDER_BYTES;
        }
        train.first.get_or_insert(now);
        train.last = now;
        if train.numbers.len() < 2 * COUNT_MAX as usize {
            train.numbers.push(u32::from_le_bytes(*number));
        }
        self.changed.notify_all();
    }

    /// Awaits a train from now on.
    pub fn listen(&self, name: u64) -> io::Result<()> {
        let damaged_before = damaged_datagrams()?;
        let mut arrivals = locked(&self.arrivals);
        while arrivals.len() >= TRAINS_MAX {
            arrivals.pop_first();
        }
        let last = Instant::now();
        let numbers = Vec::new();
        arrivals.insert(name, Arrivals { numbers, bytes: 0, first: None, last, damaged_before });
        Ok(())
    }

    /// What arrived of a train, once enough has, or nothing has come for this time.
    pub fn seen(&self, name: u64, enough: u32, quiet: Duration) -> io::Result<TrainReport> {
        let limit = Instant::now() + TRAIN_LIMIT;
        // Whoever asks has just let the train go.
        let asked = Instant::now();
        let mut arrivals = locked(&self.arrivals);
        loop {
            let train = arrivals.get(&name).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "nobody listened for this train")
            })?;
            let until = (train.last.max(asked) + quiet).min(limit);
            let left = until.saturating_duration_since(Instant::now());
            let complete = enough > 0 && train.numbers.len() >= enough as usize;
            if left.is_zero() || complete {
                break;
            }
            arrivals =
                self.changed.wait_timeout(arrivals, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let train = arrivals.remove(&name).ok_or(io::ErrorKind::NotFound)?;
        drop(arrivals);
        let damaged = damaged_datagrams()?.saturating_sub(train.damaged_before);
        Ok(report(&train, damaged))
    }

    /// Sends echoes, and waits for their answers; the time that each took, in microseconds, without those that were lost.
    pub fn echo(
        &self,
        socket: &UdpSocket,
        to: SocketAddrV4,
        train: &Train,
        wait: Duration,
    ) -> io::Result<Vec<u32>> {
        let mut sent = BTreeMap::new();
        for number in 0..train.count.min(COUNT_MAX) {
            let name = train.name.wrapping_add(u64::from(number));
            let mut packet = ECHO_MARK.to_vec();
            packet.extend(name.to_le_bytes());
            sent.insert(name, Instant::now());
            socket.send_to(&packet, to)?;
            thread::sleep(Duration::from_micros(train.interval_us.into()));
        }
        let deadline = Instant::now() + wait;
        let mut answers = locked(&self.answers);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || sent.keys().all(|name| answers.contains_key(name)) {
                break;
            }
            answers =
                self.changed.wait_timeout(answers, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let took = |(name, sent): (u64, Instant)| {
            let took = answers.remove(&name)?.saturating_duration_since(sent);
            Some(u32::try_from(took.as_micros()).unwrap_or(u32::MAX))
        };
        let times = sent.into_iter().filter_map(took).collect();
        // Answers that come too late would stay for ever.
        if answers.len() > COUNT_MAX as usize {
            answers.clear();
        }
        Ok(times)
    }
}

/// Sends a train.
pub(crate) fn send(socket: &UdpSocket, to: SocketAddrV4, train: &Train) -> io::Result<()> {
    let length = (train.bytes as usize).clamp(HEADER_BYTES, PACKET_BYTES_MAX);
    let begun = Instant::now();
    for number in 0..train.count.min(COUNT_MAX) {
        let due = begun + Duration::from_micros(u64::from(train.interval_us) * u64::from(number));
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut packet = TRAIN_MARK.to_vec();
        packet.extend(train.name.to_le_bytes());
        packet.extend(number.to_le_bytes());
        packet.resize(length, 0x5a);
        socket.send_to(&packet, to)?;
    }
    Ok(())
}

fn report(train: &Arrivals, damaged: u32) -> TrainReport {
    let different: BTreeSet<u32> = train.numbers.iter().copied().collect();
    let span = train.first.map_or(Duration::ZERO, |first| train.last - first);
    TrainReport {
        arrived: different.len() as u32,
        doubled: (train.numbers.len() - different.len()) as u32,
        early: early(&train.numbers),
        damaged,
        bytes: train.bytes,
        span_us: u64::try_from(span.as_micros()).unwrap_or(u64::MAX),
    }
}

/// How many numbers stand before a smaller one that had not been there before.
fn early(numbers: &[u32]) -> u32 {
    let mut seen = BTreeSet::new();
    let firsts: Vec<u32> = numbers.iter().copied().filter(|number| seen.insert(*number)).collect();
    let mut smallest_after = u32::MAX;
    let mut count = 0;
    for number in firsts.into_iter().rev() {
        count += u32::from(number > smallest_after);
        smallest_after = smallest_after.min(number);
    }
    count
}

/// How many UDP packets with a wrong checksum this network namespace has seen.
fn damaged_datagrams() -> io::Result<u32> {
    let text = fs::read_to_string("/proc/net/snmp")?;
    let mut udp = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (udp.next().unwrap_or_default(), udp.next().unwrap_or_default());
    let position = names.split(' ').position(|name| name == "InCsumErrors");
    let value =
        position.and_then(|at| values.split(' ').nth(at)).and_then(|text| text.parse::<u64>().ok());
    // A counter that has gone round is as good as another.
    value.map(|value| value as u32).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::early;

    #[test]
    fn only_who_overtakes_is_early() {
        assert_eq!(early(&[0, 1, 2, 3]), 0);
        assert_eq!(early(&[3, 0, 1, 2]), 1);
        assert_eq!(early(&[1, 0, 3, 2]), 2);
        assert_eq!(early(&[0, 1, 2, 1, 0, 3]), 0, "doubles overtake nobody");
        assert_eq!(early(&[]), 0);
    }
}
