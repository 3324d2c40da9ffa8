//! Probes: single packets between agents, by which a cut is seen from outside of whatever made it.
//!
//! A probe is a UDP packet of 16 bytes: eight that mark it, and a number that the control node chose.
//! It is never answered, so that a one-way cut is seen as one. [Trains](crate::train) come to the same port.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::train::{self, Train, TrainReport, Trains};

/// Where every agent listens, unless somebody else does; below the ports that systems hand out to clients.
pub const PROBE_PORT: u16 = 27_077;
/// Room for a train from every other node at once, even while nobody comes to read.
const RECEIVE_BYTES: usize = 4 << 20;
const MARK: [u8; 8] = *b"kh-probe";
/// How many probes are remembered; a control node asks within a second or so.
const SEEN_MAX: usize = 4096;

/// The probe port of this agent.
#[derive(Debug)]
pub(crate) struct Probes {
    /// None where the system gives no socket, which is told when a probe is asked for: all else works without.
    socket: Option<UdpSocket>,
    seen: Arc<Seen>,
    trains: Arc<Trains>,
}

#[derive(Debug, Default)]
struct Seen {
    nonces: Mutex<VecDeque<u64>>,
    arrived: Condvar,
}

impl Probes {
    /// Begins to listen.
    pub fn listen() -> Self {
        let (seen, trains) = (Arc::<Seen>::default(), Arc::<Trains>::default());
        let bind = |port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        let socket = bind(PROBE_PORT).or_else(|_| bind(0)).ok();
        if let Some(socket) = &socket {
            // Whoever may not have that much gets what there is.
            let _ = setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BYTES);
        }
        if let Some(Ok(receiver)) = socket.as_ref().map(UdpSocket::try_clone) {
            let (seen, trains) = (Arc::clone(&seen), Arc::clone(&trains));
            thread::spawn(move || receive(&receiver, &seen, &trains));
        }
        Self { socket, seen, trains }
    }

    fn socket(&self) -> io::Result<&UdpSocket> {
        let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no UDP socket");
        self.socket.as_ref().ok_or_else(none)
    }

    /// Where this agent listens.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.socket()?.local_addr()?.port())
    }

    pub fn send(&self, to: SocketAddrV4, nonce: u64) -> io::Result<()> {
        let mut packet = MARK.to_vec();
        packet.extend(nonce.to_le_bytes());
        self.socket()?.send_to(&packet, to).map(drop)
    }

    /// Awaits a train.
    pub fn train_listen(&self, name: u64) -> io::Result<()> {
        self.socket()?;
        self.trains.listen(name)
    }

    /// Sends a train.
    pub fn train_send(&self, to: SocketAddrV4, train: &Train) -> io::Result<()> {
        train::send(self.socket()?, to, train)
    }

    /// What arrived of a train.
    pub fn train_seen(&self, name: u64, enough: u32, quiet: Duration) -> io::Result<TrainReport> {
        self.trains.seen(name, enough, quiet)
    }

    /// Sends packets that are answered; how long each was under way.
    pub fn echo(&self, to: SocketAddrV4, train: &Train, wait: Duration) -> io::Result<Vec<u32>> {
        self.trains.echo(self.socket()?, to, train, wait)
    }

    /// Whether the probe arrived, waiting for it at most so long.
    pub fn seen(&self, nonce: u64, patience: Duration) -> io::Result<bool> {
        self.socket()?;
        let deadline = Instant::now() + patience;
        let mut nonces = self.seen.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if nonces.contains(&nonce) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            nonces = self
                .seen
                .arrived
                .wait_timeout(nonces, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Whether a TCP connection is refused, rather than accepted or left without an answer.
pub(crate) fn is_refused(to: SocketAddrV4, patience: Duration) -> bool {
    let refusals = [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset];
    let connected = TcpStream::connect_timeout(&to.into(), patience);
    connected.is_err_and(|error| refusals.contains(&error.kind()))
}

fn receive(socket: &UdpSocket, seen: &Seen, trains: &Trains) {
    let mut packet = [0; 2048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
        if trains.take(socket, &packet[..length], from) {
            continue;
        }
        let nonce =
            packet[..length].strip_prefix(&MARK).and_then(|rest| <[u8; 8]>::try_from(rest).ok());
        if let Some(nonce) = nonce.map(u64::from_le_bytes) {
            let mut nonces = seen.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            if nonces.len() == SEEN_MAX {
                nonces.pop_front();
            }
            nonces.push_back(nonce);
            seen.arrived.notify_all();
        }
    }
}
