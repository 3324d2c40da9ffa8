//! The adapter proper: nodes in, a running cluster and clients out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use keelhaul_cluster::{Daemon, Node, SELF_EXE};
use keelhaul_engine::{Client, Connect, LocalFuture};
use keelhaul_history::{NodeId, Process};
use keelhaul_protocol::raft::Mutant;
use keelhaul_protocol::{self as protocol, api};
use keelhaul_server::{ProtocolKind, Reads, ServerArgs, Timing};

use super::client::RaftClient;
use super::members::{self, CLIENT_PORT, Member, PEER_PORT};
use crate::{Family, Leadership, Store, StoreError, node};

/// The daemon's name on a node.
const DAEMON: &str = "raft";
/// Where a node keeps its data.
const DATA_DIR: &str = "/var/lib/keelhaul/raft";

/// The times of the nodes. Half of what the protocol takes for a rack: a failover fits into the time of an
/// operation then, so that operations live through it and are tried again at the new leader.
const TIMING: Timing = Timing { election_ms: Some((250, 500)), heartbeat_ms: Some(50) };

/// A cluster of our own Raft, one replica a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raft {
    seed: u64,
    lease_reads: bool,
    mutant: Option<Mutant>,
    snapshot_entries: Option<u64>,
    timeout_factor: u32,
}

impl Raft {
    /// Replicas whose random choices follow from `seed`, all with the same mistake, if any.
    #[must_use]
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        Self { seed, lease_reads: false, mutant, snapshot_entries: None, timeout_factor: 1 }
    }

    /// With a snapshot after this many entries.
    #[must_use]
    pub fn with_snapshot_entries(mut self, entries: u64) -> Self {
        self.snapshot_entries = Some(entries);
        self
    }

    /// Whether a leader answers reads alone while it holds a lease, rather than ask a quorum each time.
    #[must_use]
    pub fn with_lease_reads(mut self, lease_reads: bool) -> Self {
        self.lease_reads = lease_reads;
        self
    }

    /// On nodes that are slow: all times of the protocol are multiplied.
    #[must_use]
    pub fn with_timeout_factor(mut self, factor: u32) -> Self {
        self.timeout_factor = factor;
        self
    }

    fn timing(&self) -> Timing {
        let times = |ms: u64| ms * u64::from(self.timeout_factor);
        let Timing { election_ms, heartbeat_ms } = TIMING;
        Timing {
            election_ms: election_ms.map(|(low, high)| (times(low), times(high))),
            heartbeat_ms: heartbeat_ms.map(times),
        }
    }

    fn args(&self, node: &Node, nodes: &[Node]) -> ServerArgs {
        let peer = |node: &Node| (api::NodeId(node.id().0), (node.address(), PEER_PORT).into());
        ServerArgs {
            protocol: ProtocolKind::Raft,
            id: api::NodeId(node.id().0),
            peers: nodes.iter().map(peer).collect(),
            listen_peer: (node.address(), PEER_PORT).into(),
            listen_client: (node.address(), CLIENT_PORT).into(),
            data_dir: PathBuf::from(DATA_DIR),
            // Nodes of a run that was left behind on shared hosts must not take part in this one.
            cluster: self.seed,
            seed: self.seed,
            reads: if self.lease_reads { Reads::Lease } else { Reads::Quorum },
            mutant: self.mutant.map(protocol::Mutant::Raft),
            timing: self.timing(),
            snapshot_entries: self.snapshot_entries,
            voters: None,
        }
    }
}

impl Store for Raft {
    fn name(&self) -> &'static str {
        "raft"
    }

    fn daemon(&self) -> &'static str {
        DAEMON
    }

    fn data_dir(&self) -> &'static str {
        DATA_DIR
    }

    fn families(&self) -> &'static [Family] {
        super::FAMILIES
    }

    fn setup<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            for node in nodes {
                node::fresh_data_dir(node, DATA_DIR).await?;
            }
            let mutant =
                self.mutant.map_or(String::new(), |mutant| format!(" with mutant {mutant}"));
            Ok(format!("{}{mutant}", env!("CARGO_PKG_VERSION")))
        })
    }

    fn start<'a>(
        &'a self,
        node: &'a Node,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let program = [SELF_EXE, "node", ProtocolKind::Raft.as_str()].map(str::to_owned);
            let argv = program.into_iter().chain(self.args(node, nodes).to_flags()).collect();
            let daemon = Daemon { name: DAEMON.into(), argv, env: Vec::new(), cwd: None };
            node::start(node, daemon).await
        })
    }

    fn ready<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            node::none_ended(nodes, DAEMON, last_words).await?;
            members::unready(&members_of(nodes))
                .await
                .map_or(Ok(()), |reason| Err(StoreError::NotReady(reason)))
        })
    }

    fn leadership<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Leadership> {
        Box::pin(async move { members::leadership(&members::status(&members_of(nodes)).await) })
    }

    fn connect(&self, nodes: &[Node]) -> Rc<dyn Connect> {
        let nodes =
            members_of(nodes).into_iter().map(|member| (member.id, member.address)).collect();
        Rc::new(RaftConnect { nodes })
    }
}

/// Opens clients.
#[derive(Debug)]
struct RaftConnect {
    nodes: BTreeMap<NodeId, SocketAddr>,
}

impl Connect for RaftConnect {
    fn open<'a>(
        &'a self,
        _process: Process,
        node: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>> {
        Box::pin(async move {
            let client = RaftClient::open(node, self.nodes.clone()).await;
            let client = client.map_err(|trouble| trouble.to_string().into_boxed_str())?;
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }
}

fn members_of(nodes: &[Node]) -> Vec<Member> {
    nodes.iter().map(|node| Member::new(node.id(), node.address())).collect()
}

/// The last line of a log that says anything.
fn last_words(log: &str) -> Option<String> {
    log.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}
