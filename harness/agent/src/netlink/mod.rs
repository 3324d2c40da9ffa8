//! Netlink, as far as networks of nodes and their faults need it: messages, sockets, interfaces, packet filters and queues.
//!
//! A node need not have `ip` or `nft`; the kernel's own interface is always there. A *message* is a header, a fixed part, and
//! *attributes*, which may nest. A *request* is answered by an acknowledgement, a *dump* by many messages, and an
//! nf_tables *batch* is one transaction.
//!
//! Source: RFC 3549, `linux/netlink.h`, `linux/rtnetlink.h`.

mod message;
pub mod queue;
pub mod route;
mod socket;
pub mod tables;

pub use message::{Attributes, Message};
pub use socket::Socket;
