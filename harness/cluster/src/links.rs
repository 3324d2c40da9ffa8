//! Links between nodes that are shaped: made so, and measured from outside of whatever shapes them.

use std::collections::BTreeMap;
use std::time::Duration;

use keelhaul_agent::{Reply, Request, Shaping, Train, TrainReport};
use keelhaul_history::NodeId;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::node::{Node, NodeError};

/// Packets of an echo, and microseconds between two.
const ECHOES: u32 = 9;
const ECHO_INTERVAL_US: u32 = 10_000;

impl Cluster {
    /// Shapes exactly these links, by sender and receiver, on all nodes that have power.
    pub async fn shape(
        &self,
        links: &BTreeMap<(NodeId, NodeId), Shaping>,
    ) -> Result<(), NodeError> {
        let mut shaping = JoinSet::new();
        for node in self.nodes().iter().filter(|node| node.is_powered()) {
            let here = links.iter().filter(|((_, to), _)| *to == node.id());
            let here = here.map(|(&(from, _), shaping)| (self.node(from).address(), *shaping));
            let (node, request) = (node.clone(), Request::Shape { links: here.collect() });
            shaping.spawn(async move { node.ask_done(request).await });
        }
        shaping.join_all().await.into_iter().collect()
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

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
