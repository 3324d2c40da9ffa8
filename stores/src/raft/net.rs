//! What a client needs of the world: connections and time. On machines that is [`Tcp`] and tokio's clock; a simulator has its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use keelhaul_history::NodeId;
use keelhaul_server::wire::{ReplyFrame, RequestFrame};
use tokio::time::Instant;

use super::link::Link;

/// A connection to one node.
pub trait Line {
    /// Hands a request to the connection, whole. After an error the connection is of no use any more, and the node cannot have seen
    /// the whole request.
    ///
    /// # Errors
    /// When it could not be handed over.
    fn send(&mut self, request: RequestFrame) -> impl Future<Output = io::Result<()>>;

    /// The next reply, or an error when the connection has ended.
    ///
    /// # Errors
    /// When the connection broke or ended, or says something that is no reply.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ReplyFrame>>;
}

/// A network with nodes on it, and a clock. A clone is another handle on the same.
pub trait Net: Clone {
    /// Its connections.
    type Line: Line;

    /// The nodes, in order, each once.
    fn nodes(&self) -> &[NodeId];

    /// Connects to a node.
    ///
    /// # Errors
    /// When there is no connection, soon.
    fn open(&self, node: NodeId) -> impl Future<Output = io::Result<Self::Line>>;

    /// The time, since whenever.
    fn now(&self) -> Duration;

    /// Waits until a time.
    fn sleep_until(&self, at: Duration) -> impl Future<Output = ()>;
}

/// What a future comes to, unless it takes longer than `limit`.
pub(super) async fn within<T>(
    net: &impl Net,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(net.sleep_until(net.now() + limit)));
    tokio::select! {
        biased;
        done = &mut work => Some(done),
        () = &mut end => None,
    }
}

/// Nodes at addresses, reached over TCP.
#[derive(Clone, Debug)]
pub struct Tcp {
    nodes: Vec<NodeId>,
    addresses: BTreeMap<NodeId, SocketAddr>,
    origin: Instant,
}

impl Tcp {
    /// The nodes and where their clients connect.
    #[must_use]
    pub fn new(addresses: BTreeMap<NodeId, SocketAddr>) -> Self {
        Self { nodes: addresses.keys().copied().collect(), addresses, origin: Instant::now() }
    }
}

impl Net for Tcp {
    type Line = Link;

    fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    async fn open(&self, node: NodeId) -> io::Result<Link> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such node");
        Link::open(*self.addresses.get(&node).ok_or_else(unknown)?).await
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until(self.origin + at).await;
    }
}
