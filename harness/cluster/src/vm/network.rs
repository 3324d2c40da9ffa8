//! The machines' network: the same bridge as that of local nodes, and a tap a machine, which QEMU makes.

use std::io;

use keelhaul_agent::netlink::{Socket, route};
use keelhaul_history::NodeId;

use crate::local::{BRIDGE, PREFIX};
pub(super) use crate::local::{address_of, make_bridge};

/// What this end of a machine's cable is called.
pub(super) fn tap_of(node: NodeId) -> String {
    format!("kh-{node}")
}

/// A node's address with the length of the network's prefix.
pub(super) fn interface_of(node: NodeId) -> String {
    format!("{}/{PREFIX}", address_of(node))
}

/// The hardware address of a machine's interface: administered locally, and the same at every boot.
pub(super) fn hardware_address_of(node: NodeId) -> String {
    format!("52:54:00:77:00:{:02x}", node.0)
}

/// Makes a tap a port of the bridge, and switches it on.
pub(super) fn plug(node: NodeId) -> io::Result<()> {
    route::attach(&mut Socket::route()?, &tap_of(node), BRIDGE)
}
