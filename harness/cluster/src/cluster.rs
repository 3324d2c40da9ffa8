//! All nodes of a run, and who reaches whom.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelhaul_agent::Train;
use keelhaul_history::NodeId;
use tokio::task::JoinSet;

use crate::links;
use crate::node::{Node, NodeError};

/// Probes of one question: more than one, since a single packet may get lost on a real network.
const PROBES: u32 = 3;
/// How long the receiver watches for each probe; the sum is what a negative answer costs. Far longer than a packet between
/// local nodes takes, even on a machine that is busy with their work.
const PROBE_WAIT_MS: u64 = 120;
/// What is sent instead where packets are lost on purpose: half of them may be, and that all are is beyond chance.
const PROBE_TRAIN: Train = Train { name: 0, count: 40, bytes: 0, interval_us: 2_000 };

/// The end of an environment.
pub(crate) type Closing = Pin<Box<dyn Future<Output = Result<(), CloseError>>>>;

/// What an environment does at the end.
pub(crate) trait Environment: std::fmt::Debug {
    /// Ends the nodes' streams, waits (bounded) until the agents are gone, and takes down what is left. Dropping it does the
    /// same at once.
    fn close(self: Box<Self>, nodes: Vec<Node>) -> Closing;
}

/// What could not be taken down at the end.
#[derive(Debug, thiserror::Error)]
#[error("take down {what}")]
pub struct CloseError {
    /// Which part.
    pub what: String,
    /// What the system said.
    pub source: std::io::Error,
}

/// The nodes of a run, and what must be taken down at its end. Dropping it takes everything down at once.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    environment: Box<dyn Environment>,
    nonce_next: Arc<AtomicU64>,
}

/// Which node's packets reach which: one entry an ordered pair of different nodes, both with power.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// `(from, to, whether a probe arrived)`, by from, then to.
    pub pairs: Vec<(NodeId, NodeId, bool)>,
}

impl Reachability {
    /// Whether packets of `from` arrive at `to`; a node reaches itself.
    #[must_use]
    pub fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        from == to || self.pairs.iter().any(|&(f, t, seen)| f == from && t == to && seen)
    }
}

impl Cluster {
    pub(crate) fn new(nodes: Vec<Node>, environment: Box<dyn Environment>) -> Self {
        // Probes of an earlier run on the same hosts must not be taken for ours.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nonce_next = Arc::new(AtomicU64::new(
            u64::from(since_epoch.subsec_nanos()) << 32 | since_epoch.as_secs() << 12,
        ));
        Self { nodes, environment, nonce_next }
    }

    /// With something more to do at its end.
    pub(crate) fn within(
        self,
        wrap: impl FnOnce(Box<dyn Environment>) -> Box<dyn Environment>,
    ) -> Self {
        Self { environment: wrap(self.environment), ..self }
    }

    /// All nodes, by id.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of this id.
    ///
    /// # Panics
    ///
    /// When there is no such node: ids come from [`Cluster::nodes`].
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes
            .iter()
            .find(|n| n.id() == id)
            .unwrap_or_else(|| panic!("no node {id} in this cluster"))
    }

    /// Whether each node that has power has a clock of its own that is ours to change; an error says where not.
    pub async fn try_clocks(&self) -> Result<(), NodeError> {
        let mut boots = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| node.is_powered()) {
            node.try_clock().await?;
            if let Some(other) = boots.insert(node.boot_id().await?, node.id()) {
                let (node, errno) = (node.id(), None);
                let message = format!("set the machine's clock: it is {other}'s clock, too");
                return Err(NodeError::Failed { node, message, errno });
            }
        }
        Ok(())
    }

    /// Whether packets that `from` sends now arrive at `to`, seen by probes of the agents and not by asking the
    /// injector. Yes comes at once, no after about a third of a second.
    pub async fn reaches(&self, from: NodeId, to: NodeId) -> Result<bool, NodeError> {
        reaches(self.node(from).clone(), self.node(to).clone(), None, &self.nonce_next).await
    }

    /// Numbers that no probe and no train has had: the first of so many.
    pub(crate) fn nonces(&self, count: u32) -> u64 {
        self.nonce_next.fetch_add(count.into(), Ordering::Relaxed)
    }

    /// [`Cluster::reaches`] for all ordered pairs of nodes whose power is on, at once.
    pub async fn reachability(&self) -> Result<Reachability, NodeError> {
        self.reachability_when_shaped(|_, _| None).await
    }

    /// [`Cluster::reachability`] where packets of some links, by sender and receiver, may be lost or take so long; these are sent
    /// more packets.
    pub async fn reachability_when_shaped(
        &self,
        patience: impl Fn(NodeId, NodeId) -> Option<Duration>,
    ) -> Result<Reachability, NodeError> {
        let mut questions = JoinSet::new();
        let powered = || self.nodes.iter().filter(|node| node.is_powered());
        for from in powered() {
            for to in powered().filter(|to| to.id() != from.id()) {
                let (from, to, nonces) = (from.clone(), to.clone(), Arc::clone(&self.nonce_next));
                let patience = patience(from.id(), to.id());
                questions.spawn(async move {
                    let ids = (from.id(), to.id());
                    reaches(from, to, patience, &nonces).await.map(|seen| (ids.0, ids.1, seen))
                });
            }
        }
        let mut pairs = Vec::new();
        for answer in questions.join_all().await {
            pairs.push(answer?);
        }
        pairs.sort_unstable();
        Ok(Reachability { pairs })
    }

    /// Ends every daemon and agent, and waits (bounded) until they are gone. Handles on nodes that are still held are then
    /// [lost](NodeError::Lost).
    pub async fn close(self) -> Result<(), CloseError> {
        self.environment.close(self.nodes).await
    }
}

async fn reaches(
    from: Node,
    to: Node,
    patience: Option<Duration>,
    nonces: &AtomicU64,
) -> Result<bool, NodeError> {
    if from.id() == to.id() {
        return Ok(true);
    }
    if let Some(patience) = patience {
        let name = nonces.fetch_add(1, Ordering::Relaxed);
        let quiet = patience + Duration::from_millis(PROBE_WAIT_MS);
        let train = Train { name, ..PROBE_TRAIN };
        return Ok(links::train(&from, &to, train, 1, quiet).await?.arrived > 0);
    }
    let address = to.probe_address().await?;
    for _ in 0..PROBES {
        let nonce = nonces.fetch_add(1, Ordering::Relaxed);
        from.probe_send(address, nonce).await?;
        if to.probe_seen(nonce, PROBE_WAIT_MS).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
