//! Links between nodes that are shaped: made so, and measured from outside of whatever shapes them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use keelhaul_agent::{Reply, Request, ShapeWay, Shaping, Train, TrainReport};
use keelhaul_history::NodeId;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::node::{Node, NodeError};

/// Packets of an echo, and microseconds between two.
const ECHOES: u32 = 9;
const ECHO_INTERVAL_US: u32 = 10_000;

/// Why links cannot be shaped.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// A node did not answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// There is a node where it does not work.
    #[error(
        "shape links: {node} has no packet queues ({queue}); load the kernel's modules nf_tables and nfnetlink_queue"
    )]
    NoWay {
        /// The first such node.
        node: NodeId,
        /// What the kernel said.
        queue: String,
    },
}

impl Node {
    /// Why each way to shape links does not work here; nothing where it does.
    pub async fn shape_ways(&self) -> Result<Vec<(ShapeWay, Option<String>)>, NodeError> {
        match self.ask(Request::ShapeWays).await? {
            Reply::ShapeWays(ways) => Ok(ways),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Shapes exactly these links of this node from now on, each by the address that the way names it by.
    pub async fn shape(
        &self,
        way: ShapeWay,
        links: Vec<(Ipv4Addr, Shaping)>,
    ) -> Result<(), NodeError> {
        self.ask_done(Request::Shape { way, links }).await
    }
}

impl Cluster {
    fn powered(&self) -> Vec<Node> {
        self.nodes().iter().filter(|node| node.is_powered()).cloned().collect()
    }

    /// How links can be shaped on all nodes. Tried once.
    pub async fn shape_way(&self) -> Result<ShapeWay, ShapeError> {
        if let Some(way) = self.shape_way.get() {
            return Ok(*way);
        }
        let mut asked = JoinSet::new();
        for node in self.powered() {
            asked.spawn(async move { node.shape_ways().await.map(|ways| (node.id(), ways)) });
        }
        let mut answers = BTreeMap::new();
        for answer in asked.join_all().await {
            let (id, ways) = answer?;
            answers.insert(id, ways);
        }
        let way = ShapeWay::Queue;
        if answers.values().all(|ways| ways.contains(&(way, None))) {
            return Ok(*self.shape_way.get_or_init(|| way));
        }
        Err(no_way(&answers))
    }

    /// Shapes exactly these links, by sender and receiver, on all nodes that have power.
    pub async fn shape(
        &self,
        links: &BTreeMap<(NodeId, NodeId), Shaping>,
    ) -> Result<(), ShapeError> {
        let way = self.shape_way().await?;
        let mut shaping = JoinSet::new();
        for node in self.powered() {
            let here = links.iter().filter_map(|(&(from, to), shaping)| {
                let (at, other) = match way {
                    ShapeWay::Queue => (to, from),
                };
                (at == node.id()).then(|| (self.node(other).address(), *shaping))
            });
            let here = here.collect();
            shaping.spawn(async move { node.shape(way, here).await });
        }
        shaping.join_all().await.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(())
    }

    /// Whether TCP connections from one node to another are refused, rather than accepted or left without an answer.
    pub async fn refuses(
        &self,
        from: NodeId,
        to: NodeId,
        wait: Duration,
    ) -> Result<bool, NodeError> {
        let address = self.node(to).probe_address().await?;
        self.node(from).is_refused(address, millis(wait)).await
    }

    /// How long packets from one node to another and back were under way, in microseconds, in rising order, without those that were
    /// lost or took longer than `wait`.
    pub async fn round_trips(
        &self,
        from: NodeId,
        to: NodeId,
        wait: Duration,
    ) -> Result<Vec<u32>, NodeError> {
        let name = self.nonces(ECHOES);
        let train = Train { name, count: ECHOES, bytes: 0, interval_us: ECHO_INTERVAL_US };
        let to = self.node(to).probe_address().await?;
        let from = self.node(from);
        match from.ask(Request::Echo { to, train, wait_ms: millis(wait) }).await? {
            Reply::Echoes(mut times) => {
                times.sort_unstable();
                Ok(times)
            }
            other => Err(from.unexpected(&other)),
        }
    }

    /// Sends numbered packets from one node to another; what arrived, once nothing has for as long as `quiet`. The name of `train` is
    /// chosen here.
    pub async fn train(
        &self,
        from: NodeId,
        to: NodeId,
        train: Train,
        quiet: Duration,
    ) -> Result<TrainReport, NodeError> {
        let train = Train { name: self.nonces(1), ..train };
        self::train(self.node(from), self.node(to), train, 0, quiet).await
    }
}

/// Sends a train; what arrived of it, once that is enough, or nothing has come for as long as `quiet`.
pub(crate) async fn train(
    from: &Node,
    to: &Node,
    train: Train,
    enough: u32,
    quiet: Duration,
) -> Result<TrainReport, NodeError> {
    let address = to.probe_address().await?;
    to.ask_done(Request::TrainListen { name: train.name }).await?;
    from.ask_done(Request::TrainSend { to: address, train }).await?;
    let request = Request::TrainSeen { name: train.name, enough, quiet_ms: millis(quiet) };
    match to.ask(request).await? {
        Reply::Train(report) => Ok(report),
        other => Err(to.unexpected(&other)),
    }
}

fn no_way(answers: &BTreeMap<NodeId, Vec<(ShapeWay, Option<String>)>>) -> ShapeError {
    let works: BTreeSet<NodeId> = answers
        .iter()
        .filter(|(_, ways)| ways.iter().any(|way| way.1.is_none()))
        .map(|(id, _)| *id)
        .collect();
    // If each has some way, but not all the same, it is the first that is told of.
    let node = answers.keys().find(|id| !works.contains(id)).or(answers.keys().next());
    let node = node.copied().unwrap_or(NodeId(1));
    let why = |way: ShapeWay| {
        let ways = answers.get(&node).into_iter().flatten();
        let why = ways.filter(|found| found.0 == way).find_map(|found| found.1.clone());
        why.unwrap_or_else(|| "which others lack".into())
    };
    ShapeError::NoWay { node, queue: why(ShapeWay::Queue) }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
