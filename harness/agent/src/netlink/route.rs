//! Interfaces and addresses of this process' network namespace (`rtnetlink`).

use std::io;
use std::net::Ipv4Addr;

use nix::net::if_::if_nametoindex;

use super::{Message, Socket};

/// `linux/if_link.h` and `linux/veth.h`.
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
/// `linux/if_addr.h`.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

/// `struct ifinfomsg`: which interface, and whether it shall be up.
fn interface(index: u32, up: bool) -> Vec<u8> {
    let flags = if up { libc::IFF_UP as u32 } else { 0 };
    let mut bytes = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    bytes.extend(index.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes
}

fn new_link() -> Message {
    Message::new(libc::RTM_NEWLINK, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16)
}

/// Makes a bridge and switches it on. Spanning tree is off as always with a new bridge, so that its ports forward at once.
pub fn add_bridge(socket: &mut Socket, name: &str) -> io::Result<()> {
    let message = new_link()
        .fixed(&interface(0, true))
        .with_str(IFLA_IFNAME, name)
        .nest(IFLA_LINKINFO, |m| m.with(IFLA_INFO_KIND, b"bridge"));
    socket.request(message)
}

/// Makes a pair of virtual interfaces: `name` here, up and a port of `bridge`; `peer` in the namespace of process
/// `peer_pid`, still down.
pub fn add_veth(
    socket: &mut Socket,
    name: &str,
    bridge: &str,
    peer: &str,
    peer_pid: u32,
) -> io::Result<()> {
    let master = if_nametoindex(bridge)?;
    let message = new_link()
        .fixed(&interface(0, true))
        .with_str(IFLA_IFNAME, name)
        .with_u32(IFLA_MASTER, master)
        .nest(IFLA_LINKINFO, |m| {
            m.with(IFLA_INFO_KIND, b"veth").nest(IFLA_INFO_DATA, |m| {
                m.nest(VETH_INFO_PEER, |m| {
                    m.fixed(&interface(0, false))
                        .with_str(IFLA_IFNAME, peer)
                        .with_u32(IFLA_NET_NS_PID, peer_pid)
                })
            })
        });
    socket.request(message)
}

/// Gives an interface an address.
pub fn add_address(
    socket: &mut Socket,
    name: &str,
    address: Ipv4Addr,
    prefix: u8,
) -> io::Result<()> {
    let index = if_nametoindex(name)?;
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let broadcast = Ipv4Addr::from(u32::from(address) | host_bits);
    let mut fixed = vec![libc::AF_INET as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE];
    fixed.extend(index.to_ne_bytes());
    let message = Message::new(libc::RTM_NEWADDR, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16)
        .fixed(&fixed)
        .with(IFA_LOCAL, &address.octets())
        .with(IFA_ADDRESS, &address.octets())
        .with(IFA_BROADCAST, &broadcast.octets());
    socket.request(message)
}

/// Makes an interface a port of a bridge, and switches it on.
pub fn attach(socket: &mut Socket, name: &str, bridge: &str) -> io::Result<()> {
    let (index, master) = (if_nametoindex(name)?, if_nametoindex(bridge)?);
    let message = Message::new(libc::RTM_NEWLINK, 0);
    socket.request(message.fixed(&interface(index, true)).with_u32(IFLA_MASTER, master))
}

/// Switches an interface on.
pub fn set_up(socket: &mut Socket, name: &str) -> io::Result<()> {
    let index = if_nametoindex(name)?;
    socket.request(Message::new(libc::RTM_NEWLINK, 0).fixed(&interface(index, true)))
}

/// Removes an interface, and with it its peer.
pub fn delete(socket: &mut Socket, name: &str) -> io::Result<()> {
    let index = if_nametoindex(name)?;
    socket.request(Message::new(libc::RTM_DELLINK, 0).fixed(&interface(index, false)))
}
