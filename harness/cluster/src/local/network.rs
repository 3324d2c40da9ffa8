//! The network of a run: one bridge, one virtual cable a node.
//!
//! Addresses are private to the run's network namespace, so they are the same in every run and collide with nothing.

use std::io;
use std::net::Ipv4Addr;

use keelhaul_agent::netlink::{Socket, route};
use keelhaul_history::NodeId;
use nix::unistd::Pid;

pub(crate) const BRIDGE: &str = "kh0";
/// What a node calls its end.
const NODE_INTERFACE: &str = "eth0";
pub(crate) const PREFIX: u8 = 24;
/// The control node's own address.
pub(super) const CONTROL_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// Where a node is reached.
pub(crate) fn address_of(node: NodeId) -> Ipv4Addr {
    Ipv4Addr::new(
        10,
        77,
        0,
        u8::try_from(node.0).expect("the local environment has at most nine nodes"),
    )
}

/// What the control node calls its end of a node's cable.
fn cable_of(node: NodeId) -> String {
    format!("kh-{node}")
}

/// Switches loopback on and makes the bridge, in this network namespace.
pub(crate) fn make_bridge() -> io::Result<()> {
    let mut socket = Socket::route()?;
    route::set_up(&mut socket, "lo")?;
    route::add_bridge(&mut socket, BRIDGE)?;
    route::add_address(&mut socket, BRIDGE, CONTROL_ADDRESS, PREFIX)
}

/// Lays a node's cable from the bridge into the network namespace of process `init`.
pub(super) fn lay_cable(node: NodeId, init: Pid) -> io::Result<()> {
    route::add_veth(
        &mut Socket::route()?,
        &cable_of(node),
        BRIDGE,
        NODE_INTERFACE,
        init.as_raw().unsigned_abs(),
    )
}

/// In the node: switches its interfaces on.
pub(super) fn join(node: NodeId) -> io::Result<()> {
    let mut socket = Socket::route()?;
    route::set_up(&mut socket, "lo")?;
    route::add_address(&mut socket, NODE_INTERFACE, address_of(node), PREFIX)?;
    route::set_up(&mut socket, NODE_INTERFACE)
}

/// Removes cables and bridge, so that a second cluster can be started at once. They would vanish with the namespaces anyway.
pub(crate) fn remove(nodes: impl IntoIterator<Item = NodeId>) -> io::Result<()> {
    let mut socket = Socket::route()?;
    let gone = |result: io::Result<()>| match result {
        // A cable goes with the node's end of it.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => Ok(()),
        other => other,
    };
    for node in nodes {
        gone(route::delete(&mut socket, &cable_of(node)))?;
    }
    gone(route::delete(&mut socket, BRIDGE))
}
