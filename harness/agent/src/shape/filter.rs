//! The rules that hand packets of chosen sources to a queue.
//!
//! The table is `ip keelhaul-shape`, with one rule a source: `iif != lo ip saddr A queue num N bypass`. It comes right after the
//! cuts, so what is cut is not shaped; and since rules bypass a queue that nobody listens to, an agent that dies lets everything
//! through at once.

use std::io;
use std::net::Ipv4Addr;

use crate::netlink::tables::{
    NFPROTO_IPV4, Table, from_outside, from_source, queue, queue_by_target,
};
use crate::netlink::{Message, Socket};

const TABLE: Table = Table { family: NFPROTO_IPV4, name: "keelhaul-shape" };
const CHAIN: &str = "shape";
/// After the cuts, and before everything else.
const PRIORITY: i32 = -299;

/// Hands packets of exactly these sources to the queue of this number.
pub(super) fn replace(sources: &[Ipv4Addr], number: u16) -> io::Result<()> {
    match write(sources, |m| queue(m, number)) {
        // A kernel without that expression may have the older one.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => {
            write(sources, |m| queue_by_target(m, number))
        }
        other => other,
    }
}

fn write(sources: &[Ipv4Addr], end: impl Fn(Message) -> Message) -> io::Result<()> {
    let mut batch = TABLE.remove();
    batch.push(TABLE.create());
    batch.push(TABLE.input_chain(CHAIN, PRIORITY));
    batch.extend(sources.iter().map(|source| {
        // A double that we send comes by lo, and is not shaped again.
        TABLE.rule(CHAIN, |m| end(from_source(from_outside(m), *source)))
    }));
    Socket::netfilter()?.transaction(batch)
}

/// Removes the table.
pub(super) fn remove() -> io::Result<()> {
    Socket::netfilter()?.transaction(TABLE.remove())
}
