//! The adapter proper: nodes in, a running cluster and clients out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

use keelhaul_cluster::{Command, Daemon, Node, SELF_EXE};
use keelhaul_engine::{Client, Connect, LocalFuture};
use keelhaul_history::{NodeId, Process};
use keelhaul_protocol::coordinator::Isolation;
use keelhaul_protocol::placement::{GroupId, Placement};
use keelhaul_protocol::{Mutant, api};
use keelhaul_server::{CLOCK_FILE_VARIABLE, ProtocolKind, Reads, ServerArgs, Timing};

use super::client::RaftClient;
use super::lock::{LockClient, Locking};
use super::members::{self, Member};
use super::txn::{Transacting, TxnClient};
use crate::{
    Family, Leadership, Membership, Releases, Sharding, Store, StoreClock, StoreError, node,
};

/// What the nodes' clock is told: in memory, since it is read often.
const CLOCK_FILE: &str = "/run/keelhaul/node-clock";

/// The times of the nodes. Half of what the protocol takes for a rack: a failover fits into the time of an
/// operation then, so that operations live through it and are tried again at the new leader.
const TIMING: Timing = Timing { election_ms: Some((250, 500)), heartbeat_ms: Some(50) };

/// A cluster of our own nodes, one replica each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    protocol: ProtocolKind,
    seed: u64,
    reads: Reads,
    mutant: Option<Mutant>,
    snapshot_entries: Option<u64>,
    timeout_factor: u32,
    locking: Option<Locking>,
    groups: u16,
    spare_groups: u16,
    isolation: Option<Isolation>,
    releases: Releases,
    /// Nodes that are not among the first voters, since they joined later.
    joined: RefCell<BTreeSet<NodeId>>,
}

impl Own {
    /// Replicas that speak a protocol and whose random choices follow from `seed`, all with the same mistake of that protocol, if any.
    #[must_use]
    pub fn new(protocol: ProtocolKind, seed: u64, mutant: Option<Mutant>) -> Self {
        Self {
            protocol,
            seed,
            reads: Reads::default(),
            mutant,
            snapshot_entries: None,
            timeout_factor: 1,
            locking: None,
            groups: 1,
            spare_groups: 0,
            isolation: None,
            releases: Releases::default(),
            joined: RefCell::default(),
        }
    }

    /// With clients of transactions over so many groups of replicas, each on all nodes.
    #[must_use]
    pub fn with_transactions(mut self, groups: u16, isolation: Option<Isolation>) -> Self {
        (self.groups, self.isolation) = (groups.max(1), isolation);
        self
    }

    /// With so many more groups, which have no keys until they are given some.
    #[must_use]
    pub fn with_spare_groups(mut self, groups: u16) -> Self {
        self.spare_groups = groups;
        self
    }

    /// All that run.
    pub(super) fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (0..self.groups + self.spare_groups).map(GroupId)
    }

    /// Which groups have the keys at first.
    pub(super) fn first(&self) -> Placement {
        Placement::first((0..self.groups).map(GroupId))
    }

    /// Whether it has several groups, each with files of its own.
    fn is_sharded(&self) -> bool {
        self.groups + self.spare_groups > 1
    }

    /// With clients that acquire and release locks.
    #[must_use]
    pub fn with_locking(mut self, locking: Option<Locking>) -> Self {
        self.locking = locking;
        self
    }

    /// With another build of this program, at a path of the nodes.
    #[must_use]
    pub fn with_releases(mut self, releases: Releases) -> Self {
        self.releases = releases;
        self
    }

    /// With a snapshot after this many entries, if not as the protocol chooses.
    #[must_use]
    pub fn with_snapshot_entries(mut self, entries: Option<u64>) -> Self {
        self.snapshot_entries = entries;
        self
    }

    /// Which answers reads in this one of the protocol's ways.
    #[must_use]
    pub fn with_reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// On nodes that are slow: all times of the protocol are multiplied.
    #[must_use]
    pub fn with_timeout_factor(mut self, factor: u32) -> Self {
        self.timeout_factor = factor;
        self
    }

    pub(super) fn timeout_factor(&self) -> u32 {
        self.timeout_factor
    }

    /// The node starts with nothing, and is none of the first voters.
    pub(super) fn note_joined(&self, id: NodeId) {
        self.joined.borrow_mut().insert(id);
    }

    /// Whom a node takes for the first voters; all, if it is one of them.
    fn voters(&self, id: NodeId, nodes: &[Node]) -> Option<Vec<api::NodeId>> {
        let others = || nodes.iter().map(Node::id).filter(|other| *other != id);
        let joined = self.joined.borrow().contains(&id);
        joined.then(|| others().map(|other| api::NodeId(other.0)).collect())
    }

    fn timing(&self) -> Timing {
        let times = |ms: u64| ms * u64::from(self.timeout_factor);
        let Timing { election_ms, heartbeat_ms } = TIMING;
        Timing {
            election_ms: election_ms.map(|(low, high)| (times(low), times(high))),
            heartbeat_ms: heartbeat_ms.map(times),
        }
    }

    /// What the replica of a group on a node is told. Groups are clusters of their own: what is of one is turned away by another.
    fn args(&self, node: &Node, nodes: &[Node], group: GroupId) -> ServerArgs {
        let peer =
            |node: &Node| (api::NodeId(node.id().0), members::peer_address(node.address(), group));
        let mut data_dir = PathBuf::from(self.data_dir());
        if self.is_sharded() {
            data_dir.push(format!("group-{}", group.0));
        }
        let seed = self.seed.wrapping_add(u64::from(group.0) << 48);
        ServerArgs {
            protocol: self.protocol,
            id: api::NodeId(node.id().0),
            peers: nodes.iter().map(peer).collect(),
            listen_peer: members::peer_address(node.address(), group),
            listen_client: members::client_address(node.address(), group),
            data_dir,
            // Nodes of a run that was left behind on shared hosts must not take part in this one.
            cluster: seed,
            seed,
            reads: self.reads,
            mutant: self.mutant,
            timing: self.timing(),
            snapshot_entries: self.snapshot_entries,
            voters: self.voters(node.id(), nodes),
        }
    }
}

impl Store for Own {
    fn name(&self) -> &'static str {
        self.protocol.as_str()
    }

    fn daemon(&self) -> &'static str {
        self.protocol.as_str()
    }

    fn data_dir(&self) -> &'static str {
        match self.protocol {
            ProtocolKind::Raft => "/var/lib/keelhaul/raft",
            ProtocolKind::Paxos => "/var/lib/keelhaul/paxos",
            ProtocolKind::Zab => "/var/lib/keelhaul/zab",
        }
    }

    fn families(&self) -> &'static [Family] {
        super::FAMILIES
    }

    fn setup<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            for node in nodes {
                node::fresh_data_dir(node, self.data_dir()).await?;
                let seen = format!("{CLOCK_FILE}.seen");
                node::run(node, &["rm", "-f", CLOCK_FILE, &seen]).await?;
            }
            let mutant =
                self.mutant.map_or(String::new(), |mutant| format!(" with mutant {mutant}"));
            let this = env!("CARGO_PKG_VERSION");
            let releases = node::releases(nodes, &self.releases, async |node, other| match other {
                Some(other) => other_build(node, other).await,
                None => Ok(this.to_owned()),
            });
            Ok(format!("{}{mutant}", releases.await?))
        })
    }

    fn start<'a>(
        &'a self,
        node: &'a Node,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let program = self.releases.of(node.id()).unwrap_or(SELF_EXE);
            let program = [program, "node", self.protocol.as_str()].map(str::to_owned);
            let groups = self.groups().map(|group| self.args(node, nodes, group).to_flags());
            let flags: Vec<Vec<String>> = groups.collect();
            let argv = program.into_iter().chain(flags.join(&"--".to_owned())).collect();
            let env = vec![(CLOCK_FILE_VARIABLE.into(), CLOCK_FILE.into())];
            let daemon = Daemon { name: self.daemon().into(), argv, env, cwd: None };
            node::start(node, daemon).await
        })
    }

    fn ready<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            node::none_ended(nodes, self.daemon(), last_words).await?;
            for group in self.groups() {
                if let Some(reason) = members::unready(&members_of(nodes, group)).await {
                    return Err(StoreError::NotReady(reason));
                }
            }
            if self.is_sharded() { self.complete_moves(nodes).await } else { Ok(()) }
        })
    }

    fn leadership<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Leadership> {
        // Of several groups the first one's leader counts as the leader.
        let members = members_of(nodes, GroupId(0));
        Box::pin(async move { members::leadership(&members::status(&members).await) })
    }

    fn clock(&self) -> StoreClock {
        StoreClock::File(CLOCK_FILE)
    }

    fn releases(&self) -> &Releases {
        &self.releases
    }

    fn membership(&self) -> Option<&dyn Membership> {
        // Several groups would have to agree on their members; the other protocols have a fixed one.
        let changes = self.protocol == ProtocolKind::Raft && !self.is_sharded();
        changes.then_some(self as &dyn Membership)
    }

    fn sharding(&self) -> Option<&dyn Sharding> {
        self.is_sharded().then_some(self as &dyn Sharding)
    }

    fn connect(&self, nodes: &[Node]) -> Rc<dyn Connect> {
        let nodes: BTreeMap<_, _> = nodes.iter().map(|node| (node.id(), node.address())).collect();
        if let Some(isolation) = self.isolation {
            let (groups, placement) = (self.groups().collect(), self.first());
            let transacting = Transacting { groups, placement, isolation };
            return Rc::new(TxnConnect { nodes, transacting });
        }
        let nodes = members::addresses(&nodes, GroupId(0));
        Rc::new(RaftConnect { nodes, locking: self.locking, stay: self.reads == Reads::Local })
    }
}

/// Opens clients.
#[derive(Debug)]
struct RaftConnect {
    nodes: BTreeMap<NodeId, SocketAddr>,
    locking: Option<Locking>,
    /// Whether a client knows no node but its own: it must read nothing older than it has read before, and that only the order in which one node
    /// applies what is committed promises.
    stay: bool,
}

impl Connect for RaftConnect {
    fn open<'a>(
        &'a self,
        _process: Process,
        node: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>> {
        Box::pin(async move {
            let mut nodes = self.nodes.clone();
            if self.stay {
                nodes.retain(|known, _| *known == node);
            }
            let client = match self.locking {
                None => RaftClient::open(node, nodes).await.map(|c| Box::new(c) as Box<dyn Client>),
                Some(locking) => LockClient::open(node, nodes, locking)
                    .await
                    .map(|c| Box::new(c) as Box<dyn Client>),
            };
            client.map_err(|trouble| trouble.to_string().into_boxed_str())
        })
    }
}

/// Opens clients of transactions.
#[derive(Debug)]
struct TxnConnect {
    nodes: BTreeMap<NodeId, Ipv4Addr>,
    transacting: Transacting,
}

impl Connect for TxnConnect {
    fn open<'a>(
        &'a self,
        _process: Process,
        node: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>> {
        Box::pin(async move {
            let client = TxnClient::open(node, &self.nodes, self.transacting.clone()).await;
            let client = client.map_err(|trouble| trouble.to_string().into_boxed_str())?;
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }
}

/// The version of another build of this program.
async fn other_build(node: &Node, at: &str) -> Result<String, StoreError> {
    let output = node.run(Command::new([at, "--version"])).await;
    let output = output.map_err(|_| node::no_release(node, at))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = printed.trim().strip_prefix("keelhaul ").map(str::to_owned);
    version.ok_or_else(|| node::no_release(node, at))
}

pub(super) fn members_of(nodes: &[Node], group: GroupId) -> Vec<Member> {
    nodes.iter().map(|node| Member::new(node.id(), node.address(), group)).collect()
}

/// The last line of a log that says anything.
fn last_words(log: &str) -> Option<String> {
    log.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}
