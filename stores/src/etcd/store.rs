//! The adapter proper: nodes in, a running cluster and clients out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use keelhaul_cluster::{Command, Daemon, Node, NodeError};
use keelhaul_engine::{Client, Connect, LocalFuture};
use keelhaul_history::{NodeId, Process};

use super::client::EtcdClient;
use super::deploy::{
    ClusterState, DATA_DIR, PROGRAM, SNAPSHOT_ENTRIES, UNSAFE_NO_FSYNC, argv, env, last_words,
    version,
};
use super::members::{self, Member};
use crate::{Family, Leadership, Membership, Releases, Store, StoreClock, StoreError, node};

/// The daemon's name on a node.
const DAEMON: &str = "etcd";
/// The system's error number for a file that does not exist, a program's included.
const ENOENT: i32 = 2;

/// How reads are performed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// Confirmed with the leader.
    #[default]
    Linearizable,
    /// From the member's own copy, which may be stale.
    Serializable,
}

impl fmt::Display for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linearizable => "linearizable",
            Self::Serializable => "serializable",
        })
    }
}

impl FromStr for Reads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "linearizable" => Ok(Self::Linearizable),
            "serializable" => Ok(Self::Serializable),
            other => {
                Err(format!("etcd has no {other} reads, only linearizable and serializable ones"))
            }
        }
    }
}

/// An etcd cluster, one member a node.
#[derive(Debug, Default)]
pub struct Etcd {
    reads: Reads,
    revisions: bool,
    /// Which member runs where, as far as members have answered: a leader that is paused is known by its followers
    /// only, and only by its member id.
    ids: RefCell<BTreeMap<u64, NodeId>>,
    timeout_factor: Option<u32>,
    unsafe_no_fsync: bool,
    frequent_snapshots: bool,
    releases: Releases,
    /// Members that joined later, each with those that were there then.
    joined: RefCell<BTreeMap<NodeId, BTreeSet<NodeId>>>,
}

impl Etcd {
    /// etcd with reads of this kind.
    #[must_use]
    pub fn new(reads: Reads) -> Self {
        Self { reads, ..Self::default() }
    }

    /// Whether transactions on registers tell the revisions of versions, so that the order of these is known.
    #[must_use]
    pub fn with_revisions(mut self, revisions: bool) -> Self {
        self.revisions = revisions;
        self
    }

    /// On nodes that are slow: heartbeats and elections take so many times as long.
    #[must_use]
    pub fn with_timeout_factor(mut self, factor: u32) -> Self {
        self.timeout_factor = Some(factor);
        self
    }
}

impl Etcd {
    /// Whether members leave out every sync.
    #[must_use]
    pub fn without_fsync(mut self, unsafe_no_fsync: bool) -> Self {
        self.unsafe_no_fsync = unsafe_no_fsync;
        self
    }

    /// Whether members take snapshots more often than they do by themselves.
    #[must_use]
    pub fn with_frequent_snapshots(mut self, frequent: bool) -> Self {
        self.frequent_snapshots = frequent;
        self
    }

    /// With another release of its program, at a path of the nodes.
    #[must_use]
    pub fn with_releases(mut self, releases: Releases) -> Self {
        self.releases = releases;
        self
    }

    pub(super) fn factor(&self) -> u32 {
        self.timeout_factor.unwrap_or(1)
    }

    /// The member starts with nothing, and these are the cluster's, itself included.
    pub(super) fn note_joined(&self, id: NodeId, members: BTreeSet<NodeId>) {
        self.joined.borrow_mut().insert(id, members);
    }

    fn argv(&self, node: &Node, nodes: &[Node]) -> Vec<String> {
        let mut members = members_of(nodes);
        let joined = self.joined.borrow();
        let state = match joined.get(&node.id()) {
            Some(there) => {
                members.retain(|member| there.contains(&member.id));
                ClusterState::Existing
            }
            None => ClusterState::New,
        };
        let mut argv = argv(&member(node), &members, DATA_DIR, self.factor(), state);
        argv.extend(
            self.frequent_snapshots.then(|| format!("--snapshot-count={SNAPSHOT_ENTRIES}")),
        );
        if let Some(other) = self.releases.of(node.id()) {
            other.clone_into(&mut argv[0]);
        }
        argv.extend(self.unsafe_no_fsync.then(|| format!("--{UNSAFE_NO_FSYNC}")));
        argv
    }
}

impl Store for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
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
            let releases = node::releases(nodes, &self.releases, installed).await?;
            for node in nodes {
                node::fresh_data_dir(node, DATA_DIR).await?;
            }
            Ok(releases)
        })
    }

    fn start<'a>(
        &'a self,
        node: &'a Node,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let argv = self.argv(node, nodes);
            let daemon = Daemon { name: DAEMON.into(), argv, env: env(), cwd: None };
            node::start(node, daemon).await
        })
    }

    fn ready<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            node::none_ended(nodes, DAEMON, last_words).await?;
            let members = members_of(nodes);
            let answers = members::status(&members).await;
            members::remember(&mut self.ids.borrow_mut(), &answers);
            members::unready(&members, &answers)
                .await
                .map_or(Ok(()), |reason| Err(StoreError::NotReady(reason)))
        })
    }

    fn leadership<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Leadership> {
        Box::pin(async move {
            let answers = members::status(&members_of(nodes)).await;
            let mut ids = self.ids.borrow_mut();
            members::remember(&mut ids, &answers);
            members::leadership(&ids, &answers)
        })
    }

    fn clock(&self) -> StoreClock {
        // Go's runtime tells the kernel how long it waits.
        StoreClock::Program { steady: true }
    }

    fn releases(&self) -> &Releases {
        &self.releases
    }

    fn membership(&self) -> Option<&dyn Membership> {
        Some(self)
    }

    fn connect(&self, nodes: &[Node]) -> Rc<dyn Connect> {
        let (members, reads) = (members_of(nodes), self.reads);
        Rc::new(EtcdConnect { members, reads, revisions: self.revisions })
    }
}

/// Opens clients.
struct EtcdConnect {
    members: Vec<Member>,
    reads: Reads,
    revisions: bool,
}

impl Connect for EtcdConnect {
    fn open<'a>(
        &'a self,
        _process: Process,
        node: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>> {
        Box::pin(async move {
            let member = self
                .members
                .iter()
                .find(|m| m.id == node)
                .ok_or_else(|| format!("no member on {node}"))?;
            let client =
                EtcdClient::open(member.client(), self.reads).await.map_err(|e| e.in_words())?;
            Ok(Box::new(client.telling_revisions(self.revisions)) as Box<dyn Client>)
        })
    }
}

fn member(node: &Node) -> Member {
    Member { id: node.id(), address: node.address() }
}

pub(super) fn members_of(nodes: &[Node]) -> Vec<Member> {
    nodes.iter().map(member).collect()
}

/// The release that is installed on `node`, or that is elsewhere there.
async fn installed(node: &Node, other: Option<&str>) -> Result<String, StoreError> {
    let program = other.unwrap_or(PROGRAM);
    let output = match node.run(Command::new([program, "--version"])).await {
        Ok(output) => output,
        Err(NodeError::Failed { errno: Some(ENOENT), .. }) => {
            return Err(other.map_or_else(|| missing(node.id()), |at| node::no_release(node, at)));
        }
        Err(source) => return Err(node::unreachable(node, source)),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    match version(&printed) {
        Some(version) if output.success() => Ok(version.to_owned()),
        _ => Err(StoreError::Unhealthy {
            node: node.id(),
            detail: format!(
                "`{program} --version` ended with {:?} and did not name a version",
                output.status
            ),
        }),
    }
}

fn missing(node: NodeId) -> StoreError {
    StoreError::NotInstalled {
        what: format!("the program {PROGRAM} on {node}"),
        remedy: "run `apt-get install etcd-server` there".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_reads_are_parsed_and_printed() {
        for reads in [Reads::Linearizable, Reads::Serializable] {
            assert_eq!(reads.to_string().parse(), Ok(reads));
        }
        assert!("stale".parse::<Reads>().unwrap_err().contains("stale"));
    }

    #[test]
    fn a_missing_program_is_one_sentence_with_its_remedy() {
        let expected =
            "the program etcd on n2 is not installed: run `apt-get install etcd-server` there";
        assert_eq!(missing(NodeId(2)).to_string(), expected);
    }
}
