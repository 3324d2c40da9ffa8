//! A netlink socket: one question at a time, each with its own sequence number and a bounded wait.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::{Incoming, Message, Messages};

/// Longest wait for the kernel's answer. It answers at once; a busy machine may need a moment to take a lock.
const ANSWER_SECONDS_MAX: i64 = 5;
/// The kernel puts at most this much into one datagram of a dump.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;
/// Bound on the datagrams of one answer, so that a confused peer cannot keep us.
const DATAGRAMS_MAX: usize = 4096;
/// `linux/netfilter/nfnetlink.h`: begin and end of a transaction, and the subsystem it is for.
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

/// A netlink socket of one family.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

/// One message of an answer.
struct Answer {
    kind: u16,
    sequence: u32,
    payload: Vec<u8>,
}

impl Socket {
    /// For interfaces, addresses and routes.
    pub fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// For packet filters.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_SECONDS_MAX, 0))?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends one message and waits for its acknowledgement.
    pub fn request(&mut self, message: Message) -> io::Result<()> {
        let sequence = self.next_sequence();
        self.send(&message.finish(sequence, libc::NLM_F_ACK as u16))?;
        for _ in 0..DATAGRAMS_MAX {
            for answer in self.receive()? {
                if answer.sequence == sequence && i32::from(answer.kind) == libc::NLMSG_ERROR {
                    return error_of(&answer.payload);
                }
            }
        }
        Err(endless())
    }

    /// Sends one question and collects what follows the headers of the answers of its own kind.
    pub fn dump(&mut self, message: Message) -> io::Result<Vec<Vec<u8>>> {
        let sequence = self.next_sequence();
        self.send(&message.finish(sequence, libc::NLM_F_DUMP as u16))?;
        let mut found = Vec::new();
        for _ in 0..DATAGRAMS_MAX {
            for answer in self.receive()? {
                if answer.sequence != sequence {
                    continue;
                }
                match i32::from(answer.kind) {
                    libc::NLMSG_DONE => return error_of(&answer.payload).map(|()| found),
                    libc::NLMSG_ERROR => error_of(&answer.payload)?,
                    _ => found.push(answer.payload),
                }
            }
        }
        Err(endless())
    }

    /// Sends nf_tables messages as one transaction: all of them take effect, or none.
    pub fn transaction(&mut self, messages: Vec<Message>) -> io::Result<()> {
        let edge = |kind| {
            let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
            Message::new(kind, 0).fixed(&[libc::AF_UNSPEC as u8, 0, high, low])
        };
        let first = self.next_sequence();
        let mut bytes = edge(NFNL_MSG_BATCH_BEGIN).finish(first, 0);
        let mut last = first;
        for message in messages {
            assert_eq!(
                message.kind() >> 8,
                NFNL_SUBSYS_NFTABLES,
                "a transaction is of one subsystem"
            );
            last = self.next_sequence();
            bytes.extend(message.finish(last, libc::NLM_F_ACK as u16));
        }
        let end = self.next_sequence();
        bytes.extend(edge(NFNL_MSG_BATCH_END).finish(end, 0));
        self.send(&bytes)?;
        self.await_transaction(first, last)
    }

    /// Every message is acknowledged, in order, or one of them (or the whole, under the first number) is refused.
    fn await_transaction(&mut self, first: u32, last: u32) -> io::Result<()> {
        for _ in 0..DATAGRAMS_MAX {
            for answer in self.receive()? {
                let ours = (first..=last + 1).contains(&answer.sequence);
                if ours && i32::from(answer.kind) == libc::NLMSG_ERROR {
                    error_of(&answer.payload)?;
                    if answer.sequence == last {
                        return Ok(());
                    }
                }
            }
        }
        Err(endless())
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = sendto(self.fd.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::other("netlink took only a part of a message"))
        }
    }

    fn receive(&self) -> io::Result<Vec<Answer>> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let length = loop {
            match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(nix::Error::EINTR) => {}
                Err(nix::Error::EAGAIN) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "netlink did not answer"));
                }
                other => break other?,
            }
        };
        Ok(split(&buffer[..length]))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Cuts a datagram into its messages; what is malformed ends it.
fn split(bytes: &[u8]) -> Vec<Answer> {
    let answer = |Incoming { kind, sequence, payload }: Incoming<'_>| Answer {
        kind,
        sequence,
        payload: payload.to_vec(),
    };
    Messages(bytes).map(answer).collect()
}

/// The error number that leads an error or done message: zero or a negated errno.
fn error_of(payload: &[u8]) -> io::Result<()> {
    match payload.first_chunk::<4>().map(|b| i32::from_ne_bytes(*b)) {
        Some(0) | None => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

fn endless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "netlink answered without end")
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_short_or_lying_datagram_is_no_message() {
        let mut lying = vec![200, 0, 0, 0];
        lying.resize(16, 0);
        for bytes in [&[][..], &[1, 2, 3], &[0; 16], &lying] {
            assert!(split(bytes).is_empty(), "{bytes:?}");
        }
    }
}
