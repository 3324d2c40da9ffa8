//! What reaches the protocol's loop from the network.

use keelhaul_protocol::api::NodeId;
use keelhaul_protocol::kv;
use tokio::sync::mpsc;

/// How many events wait for the loop before the connections that bring them are no longer read.
pub(crate) const INBOUND_MAX: usize = 4096;

/// Numbers the client connections of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// An event.
#[derive(Debug)]
pub(crate) enum Inbound<M> {
    /// Another node said something.
    Message {
        /// Which one.
        from: NodeId,
        /// What.
        message: M,
    },
    /// A client asks something.
    Request {
        /// Its connection.
        connection: ConnectionId,
        /// Where its replies go, as frames.
        replies: mpsc::Sender<Vec<u8>>,
        /// Its own number for the request.
        correlation: u64,
        /// The request.
        request: kv::Request,
    },
    /// A client's connection ended: replies to it are forgotten.
    Closed(ConnectionId),
}
