//! Probes: single packets between agents, by which a cut is seen from outside of whatever made it.
//!
//! A probe is a UDP packet of 16 bytes: eight that mark it, and a number that the control node chose.
//! Nothing is ever answered, so that a one-way cut is seen as one.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Where every agent listens, unless somebody else does; below the ports that systems hand out to clients.
pub const PROBE_PORT: u16 = 27_077;
const MARK: [u8; 8] = *b"kh-probe";
/// How many probes are remembered; a control node asks within a second or so.
const SEEN_MAX: usize = 4096;

/// The probe port of this agent.
#[derive(Debug)]
pub(crate) struct Probes {
    /// None where the system gives no socket, which is told when a probe is asked for: all else works without.
    socket: Option<UdpSocket>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    nonces: Mutex<VecDeque<u64>>,
    arrived: Condvar,
}

impl Probes {
    /// Begins to listen.
    pub fn listen() -> Self {
        let seen = Arc::<Seen>::default();
        let bind = |port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        let socket = bind(PROBE_PORT).or_else(|_| bind(0)).ok();
        if let Some(Ok(receiver)) = socket.as_ref().map(UdpSocket::try_clone) {
            let seen = Arc::clone(&seen);
            thread::spawn(move || receive(&receiver, &seen));
        }
        Self { socket, seen }
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

fn receive(socket: &UdpSocket, seen: &Seen) {
    let mut packet = [0; 32];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut packet) else { continue };
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
