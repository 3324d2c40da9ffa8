//! Packets on their way up, handed to us one by one, until we say what becomes of each (`nfnetlink_queue`).
//!
//! Large packets that the network card or its like would cut up later are handed over in pieces, with their checksums filled in: what
//! is seen is what a wire would carry.
//!
//! Source: `linux/netfilter/nfnetlink_queue.h`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use super::message::Messages;
use super::tables::{FAMILY_BYTES, NF_ACCEPT, NF_DROP};
use super::{Attributes, Message, Socket};

const SUBSYSTEM: u16 = 3 << 8;
const PACKET: u16 = SUBSYSTEM;
const VERDICT: u16 = SUBSYSTEM | 1;
const CONFIG: u16 = SUBSYSTEM | 2;
/// Attributes of packets and verdicts.
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;
const PAYLOAD: u16 = 10;
/// Attributes of the configuration.
const COMMAND: u16 = 1;
const PARAMETERS: u16 = 2;
const LENGTH_MAX: u16 = 3;
const COMMAND_BIND: u8 = 1;
const COPY_PACKETS: u8 = 2;
/// As much of a packet as there can be.
const COPIED_BYTES: u32 = 0xffff;
/// Packets that wait for our word; what comes while there are as many is lost. A delay of a second at 20 MB/s.
const WAITING_MAX: u32 = 16_384;
/// The kernel's buffer for packets that we have not read yet.
const RECEIVE_BYTES: usize = 16 << 20;
/// One packet with everything the kernel says of it.
const MESSAGE_BYTES_MAX: usize = 0xffff + 4096;
/// Numbers that are tried, one after the other, until one is free: others on a host may use queues too.
const NUMBERS: std::ops::Range<u16> = 27_077..27_093;

/// A packet that waits.
#[derive(Debug)]
pub struct Packet<'a> {
    /// Names it in a [`Verdict`].
    pub id: u32,
    /// From its IP header on.
    pub bytes: &'a [u8],
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It goes on with other bytes.
    AcceptAs(Vec<u8>),
    /// It is gone.
    Drop,
}

/// A queue of ours. When it is dropped, packets that wait are dropped, and those that come go on.
#[derive(Debug)]
pub struct Queue {
    socket: Socket,
    number: u16,
    buffer: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Queue {
    /// Takes the first free number.
    pub fn open() -> io::Result<Self> {
        let mut result = Err(io::ErrorKind::AddrInUse.into());
        for number in NUMBERS {
            result = Self::bind(number);
            let taken = |e: &io::Error| matches!(e.raw_os_error(), Some(libc::EBUSY | libc::EPERM));
            if !result.as_ref().is_err_and(taken) {
                break;
            }
        }
        result
    }

    fn bind(number: u16) -> io::Result<Self> {
        let mut socket = Socket::netfilter()?;
        let config = || {
            let [high, low] = number.to_be_bytes();
            Message::new(CONFIG, 0).fixed(&[libc::AF_UNSPEC as u8, 0, high, low])
        };
        socket.request(config().with(COMMAND, &[COMMAND_BIND, 0, 0, 0]))?;
        let mut parameters = COPIED_BYTES.to_be_bytes().to_vec();
        parameters.push(COPY_PACKETS);
        socket
            .request(config().with(PARAMETERS, &parameters).with_be32(LENGTH_MAX, WAITING_MAX))?;
        // Whoever may not have that much gets what there is.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BYTES);
        Ok(Self { socket, number, buffer: vec![0; MESSAGE_BYTES_MAX], outgoing: Vec::new() })
    }

    /// For rules that send packets here.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Hands over what is there without waiting; false if there was nothing.
    pub fn receive(&mut self, take: impl FnMut(Packet<'_>)) -> io::Result<bool> {
        let length =
            match recv(self.socket.as_fd().as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(false),
                // The buffer was full: those packets are lost, as on any wire that is too busy.
                Err(nix::Error::ENOBUFS) => return Ok(true),
                Err(e) => return Err(e.into()),
            };
        let messages = Messages(&self.buffer[..length]);
        let packets = messages.filter(|message| message.kind == PACKET);
        packets.filter_map(|message| packet(message.payload)).for_each(take);
        Ok(true)
    }

    /// Says what becomes of a packet; told to the kernel by [`Queue::flush`].
    pub fn decide(&mut self, id: u32, verdict: Verdict) {
        let [high, low] = self.number.to_be_bytes();
        let code = if verdict == Verdict::Drop { NF_DROP } else { NF_ACCEPT };
        let mut header = code.to_be_bytes().to_vec();
        header.extend(id.to_be_bytes());
        let message = Message::new(VERDICT, 0)
            .fixed(&[libc::AF_UNSPEC as u8, 0, high, low])
            .with(VERDICT_HEADER, &header);
        let message = match verdict {
            Verdict::AcceptAs(bytes) => message.with(PAYLOAD, &bytes),
            Verdict::Accept | Verdict::Drop => message,
        };
        self.outgoing.extend(message.finish(0, 0));
    }

    /// Tells the kernel what was decided.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let sent = self.socket.send(&self.outgoing);
        self.outgoing.clear();
        sent
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn packet(payload: &[u8]) -> Option<Packet<'_>> {
    let attributes = Attributes(payload.get(FAMILY_BYTES..)?);
    let header = attributes.get(PACKET_HEADER)?;
    let id = u32::from_be_bytes(*header.first_chunk()?);
    Some(Packet { id, bytes: attributes.get(PAYLOAD).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::super::message::Incoming;
    use super::*;

    #[test]
    fn a_packet_is_read_as_the_kernel_writes_it() {
        let bytes = Message::new(PACKET, 0)
            .fixed(&[2, 0, 0, 7])
            .with(PACKET_HEADER, &[0, 0, 1, 2, 8, 0, 1])
            .with(PAYLOAD, b"IP")
            .finish(0, 0);
        let mut messages = Messages(&bytes);
        let Incoming { kind, payload, .. } = messages.next().unwrap();
        let found = packet(payload).unwrap();
        assert_eq!((kind, found.id, found.bytes), (PACKET, 258, &b"IP"[..]));
        assert!(messages.next().is_none() && Messages(&bytes[..20]).next().is_none());
        assert!(packet(&payload[..8]).is_none());
    }
}
