//! Writes packets of some ports into a file, as Wireshark and tcpdump read it.
//!
//! It runs as a daemon of the agent (`keelhaul capture …`) and sees what the node's kernel hands to a packet socket: what comes in after nothing but the
//! driver, before cuts drop it, and what goes out after cuts and shaping. A packet that a cut dropped on arrival is so in the file of both ends; what was dropped on
//! its way, in the sender's only.
//!
//! Format: libpcap's, with nanoseconds and Ethernet frames (<https://www.tcpdump.org/manpages/pcap-savefile.5.txt>). Of each packet the first
//! [`SNAP_BYTES`] are kept; when the file has its size, the rest is not.
//!
//! Limits: Ethernet and loopback; IPv4 and IPv6, TCP and UDP without extension headers; of fragments the first. The kernel leaves packets out when they come faster than
//! they are written, and does not say so here.

use std::fs::File;
use std::io::{self, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// The hidden command by which it is started.
pub const CAPTURE: &str = "capture";
/// Of a packet, so many bytes are kept: headers, and the beginning of what an application says.
const SNAP_BYTES: usize = 512;
/// Room for packets that the kernel has ready, as far as it allows so much.
const QUEUE_BYTES: usize = 8 << 20;
/// Packets are written when there are so many bytes of them, or when nothing else is to be done.
const PENDING_BYTES: usize = 64 << 10;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
const LINKTYPE_ETHERNET: u32 = 1;
/// What the kernel calls its interfaces and the direction of a packet (`if_arp.h`, `if_packet.h`).
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const PACKET_OUTGOING: u8 = 4;

/// Which packets, and how many bytes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Of these TCP and UDP ports, on either side.
    pub ports: Vec<u16>,
    /// The file is not to be larger.
    pub bytes_max: u64,
    /// Where it is made.
    pub file: String,
}

impl Capture {
    /// The words after [`CAPTURE`] that start it.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let ports = self.ports.iter().map(u16::to_string);
        [self.file.clone(), self.bytes_max.to_string()].into_iter().chain(ports).collect()
    }

    /// What the words ask for.
    #[must_use]
    pub fn of_words(words: &[String]) -> Option<Self> {
        let [file, bytes_max, ports @ ..] = words else { return None };
        let ports = ports.iter().map(|port| port.parse().ok()).collect::<Option<_>>()?;
        Some(Self { ports, bytes_max: bytes_max.parse().ok()?, file: file.clone() })
    }

    /// Writes packets until the process is ended or the file is full.
    ///
    /// # Errors
    /// If packets may not be seen, or not written.
    pub fn run(&self) -> io::Result<()> {
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RcvBuf, &QUEUE_BYTES)?;
        let mut file = Savefile::create(Path::new(&self.file))?;
        let (mut bytes, mut control) = ([0; SNAP_BYTES], nix::cmsg_space!(TimeSpec));
        while file.written < self.bytes_max {
            // The process ends without a warning: nothing is held back while it waits.
            if poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)? == 0
            {
                file.flush()?;
            }
            let mut parts = [IoSliceMut::new(&mut bytes)];
            // Answers how long the packet is, however much of it there is room for.
            let flags = MsgFlags::MSG_TRUNC;
            let got =
                recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
            let (length, from) = (got.bytes, got.address);
            let time = got.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(time) => Some(time),
                _ => None,
            });
            let kept = &bytes[..length.min(SNAP_BYTES)];
            if from.is_some_and(|from| counts(&from)) && is_of_ports(kept, &self.ports) {
                file.packet(time.unwrap_or(TimeSpec::new(0, 0)), kept, length)?;
            }
        }
        file.flush()
    }
}

/// Whether a packet is one of Ethernet, and not the other sight of one that never left the node.
fn counts(from: &LinkAddr) -> bool {
    match from.hatype() {
        ARPHRD_ETHER => true,
        ARPHRD_LOOPBACK => from.pkttype() != PACKET_OUTGOING,
        _ => false,
    }
}

/// Whether a frame carries TCP or UDP from or to one of these ports.
fn is_of_ports(frame: &[u8], ports: &[u16]) -> bool {
    ports_of(frame).is_some_and(|both| both.iter().any(|port| ports.contains(port)))
}

/// The ports of source and destination.
fn ports_of(frame: &[u8]) -> Option<[u16; 2]> {
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
    const IPV6_HEADER: usize = 40;
    const TCP: u8 = 6;
    const UDP: u8 = 17;

    let u16_at = |bytes: &[u8], at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
    };
    let (kind, packet) = (u16_at(frame, 12)?, frame.get(14..)?);
    let (protocol, header) = match kind {
        // Behind the first part of a packet in several there are no ports.
        IPV4 if u16_at(packet, 6)? & 0x1fff == 0 => {
            (*packet.get(9)?, usize::from(packet.first()? & 0xf) * 4)
        }
        IPV6 => (*packet.get(6)?, IPV6_HEADER),
        _ => return None,
    };
    let segment = packet.get(header..)?;
    let ports = [u16_at(segment, 0)?, u16_at(segment, 2)?];
    matches!(protocol, TCP | UDP).then_some(ports)
}

/// A file of packets, which is written packet by whole packet, however the process ends.
struct Savefile<W = File> {
    out: W,
    pending: Vec<u8>,
    written: u64,
}

impl Savefile {
    fn create(path: &Path) -> io::Result<Self> {
        Savefile::begin(File::create(path)?)
    }
}

impl<W: Write> Savefile<W> {
    fn begin(out: W) -> io::Result<Self> {
        let mut file = Self { out, pending: Vec::new(), written: 0 };
        let versions = VERSION.map(u16::to_le_bytes).concat();
        let words = [0, 0, SNAP_BYTES as u32, LINKTYPE_ETHERNET].map(u32::to_le_bytes).concat();
        file.add(&[&MAGIC_NANOSECONDS.to_le_bytes()[..], &versions, &words].concat());
        file.flush()?;
        Ok(file)
    }

    fn packet(&mut self, time: TimeSpec, kept: &[u8], length: usize) -> io::Result<()> {
        let (seconds, nanoseconds) = (time.tv_sec() as u32, time.tv_nsec() as u32);
        let words = [seconds, nanoseconds, kept.len() as u32, length as u32];
        self.add(&words.map(u32::to_le_bytes).concat());
        self.add(kept);
        if self.pending.len() >= PENDING_BYTES { self.flush() } else { Ok(()) }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame from one port to another.
    fn frame(kind: [u8; 2], header: &[u8], ports: [u16; 2]) -> Vec<u8> {
        let ports = ports.map(u16::to_be_bytes).concat();
        [&[2; 12][..], &kind, header, &ports, b"payload"].concat()
    }

    fn ipv4(options: usize, protocol: u8, offset: u16) -> Vec<u8> {
        let mut header = vec![0; 20 + 4 * options];
        header[0] = 0x45 + options as u8;
        header[6..8].copy_from_slice(&offset.to_be_bytes());
        header[9] = protocol;
        header
    }

    #[test]
    fn ports_are_found_behind_the_headers() {
        let ports = |header: &[u8]| ports_of(&frame([8, 0], header, [7001, 40_000]));
        assert_eq!(ports(&ipv4(0, 6, 0)), Some([7001, 40_000]));
        assert_eq!(ports(&ipv4(3, 17, 0x4000)), Some([7001, 40_000]), "options, not fragmented");
        assert_eq!(ports(&ipv4(0, 1, 0)), None, "ICMP");
        assert_eq!(ports(&ipv4(0, 6, 5)), None, "a later fragment");
        let mut ipv6 = [0; 40];
        ipv6[6] = 6;
        assert_eq!(ports_of(&frame([0x86, 0xdd], &ipv6, [1, 2])), Some([1, 2]));
        assert_eq!(ports_of(&frame([8, 6], &ipv6, [1, 2])), None, "ARP");
        let whole = frame([8, 0], &ipv4(0, 6, 0), [7001, 2]);
        for length in 0..whole.len() {
            let expected = (length >= 38).then_some([7001, 2]);
            assert_eq!(ports_of(&whole[..length]), expected, "{length} bytes");
        }
        assert!(is_of_ports(&whole, &[9, 7001]) && is_of_ports(&whole, &[2]));
        assert!(!is_of_ports(&whole, &[7002]) && !is_of_ports(&whole, &[]));
    }

    /// Byte by byte what the manual page says.
    #[test]
    fn a_file_is_as_others_read_it() {
        let mut file = Savefile::begin(Vec::new()).unwrap();
        file.packet(TimeSpec::new(3, 5), b"abc", 600).unwrap();
        assert_eq!(file.written, 24 + 16 + 3);
        file.flush().unwrap();
        let expected: [&[u8]; 9] = [
            &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0],
            &[0; 8],
            &[0, 2, 0, 0],
            &[1, 0, 0, 0],
            &[3, 0, 0, 0],
            &[5, 0, 0, 0],
            &[3, 0, 0, 0],
            &[0x58, 2, 0, 0],
            b"abc",
        ];
        assert_eq!(file.out, expected.concat());
    }

    #[test]
    fn words_are_what_they_were_made_of() {
        let file = "/var/log/packets.pcap".to_owned();
        let capture = Capture { ports: vec![1, 65_535], bytes_max: 7, file };
        assert_eq!(Capture::of_words(&capture.words()), Some(capture));
        for words in [&["f"][..], &["f", "x"], &["f", "1", "65536"]] {
            let words: Vec<String> = words.iter().copied().map(str::to_owned).collect();
            assert_eq!(Capture::of_words(&words), None, "{words:?}");
        }
    }
}
