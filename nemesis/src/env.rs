//! What faults act on, and what they share: the nodes, the store, and who is struck already.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use keelhaul_cluster::{Cluster, DaemonState, Damaged, Node, NodeError};
use keelhaul_history::NodeId;
use keelhaul_stores::{Store, StoreError};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::clock::{Shown, Told};
use crate::cuts::{Cuts, Link};
use crate::flap::Flaps;
use crate::group::Change;
use crate::shapes::Shapes;
use crate::target::{Target, minority};

/// How often a leader is looked for, and the pause in between.
const LEADER_TRIES: u32 = 10;
const LEADER_PAUSE: Duration = Duration::from_millis(150);

/// The nodes and the store, with the faults in effect on them.
pub struct Env {
    pub(crate) cluster: Rc<Cluster>,
    pub(crate) store: Rc<dyn Store>,
    pub(crate) cuts: RefCell<Cuts>,
    pub(crate) shapes: RefCell<Shapes>,
    pub(crate) flaps: RefCell<Flaps>,
    applying: tokio::sync::Mutex<()>,
    /// What was damaged on which node, until it was looked at.
    pub(crate) damaged: RefCell<BTreeMap<(u64, NodeId), Vec<Damaged>>>,
    /// The first process of the daemon before a restart, until it was looked at.
    pub(crate) pids: RefCell<BTreeMap<(u64, NodeId), Option<u32>>>,
    /// What each clock was told last.
    pub(crate) clocks: RefCell<BTreeMap<NodeId, Told>>,
    /// What clocks showed before they jumped, until it was looked at.
    pub(crate) shown: RefCell<BTreeMap<(u64, NodeId), Shown>>,
    /// Whether every node has a clock of its own that can be set, once somebody has tried.
    pub(crate) machine_clocks: OnceCell<bool>,
    /// The fault that has the clocks.
    pub(crate) clock_fault: Cell<Option<u64>>,
    /// The boot of a machine before it was reset, until it was looked at.
    pub(crate) boots: RefCell<BTreeMap<(u64, NodeId), Vec<u8>>>,
    /// What became of which group, until it is undone.
    pub(crate) changes: RefCell<BTreeMap<u64, Change>>,
    struck: RefCell<BTreeMap<u64, Vec<NodeId>>>,
    timeout_factor: u32,
}

/// What a fault did.
pub(crate) struct Injected {
    /// For people, e.g. `pause: n1 n4`.
    pub(crate) label: String,
    /// The nodes affected.
    pub(crate) nodes: Vec<NodeId>,
}

/// Why a fault's operation did not succeed.
#[derive(Debug, Error)]
pub(crate) enum FaultError {
    #[error("not in effect: {0}")]
    NotInEffect(String),
    #[error("not healed: {0}")]
    NotHealed(String),
    #[error("all that it could strike is struck by another fault already")]
    NothingToStrike,
    #[error("there is no node {0}")]
    NoSuchNode(NodeId),
    #[error("{0}")]
    Node(#[from] NodeError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Env {
    /// No fault in effect yet.
    #[must_use]
    pub fn new(cluster: Rc<Cluster>, store: Rc<dyn Store>) -> Self {
        let (cuts, shapes, flaps, struck, applying) = Default::default();
        Self {
            cluster,
            store,
            cuts,
            shapes,
            damaged: RefCell::default(),
            pids: RefCell::default(),
            clocks: RefCell::default(),
            shown: RefCell::default(),
            machine_clocks: OnceCell::default(),
            clock_fault: Cell::default(),
            boots: RefCell::default(),
            changes: RefCell::default(),
            flaps,
            applying,
            struck,
            timeout_factor: 1,
        }
    }

    /// With nodes that need so many times the usual patience.
    #[must_use]
    pub fn with_timeout_factor(self, timeout_factor: u32) -> Self {
        Self { timeout_factor, ..self }
    }

    /// What a node's clock was told last.
    pub(crate) fn clock_of(&self, id: NodeId) -> Told {
        self.clocks.borrow().get(&id).copied().unwrap_or_default()
    }

    /// A usual time, as long as it is here.
    pub(crate) fn patience(&self, usual: Duration) -> Duration {
        usual * self.timeout_factor
    }

    pub(crate) fn node(&self, id: NodeId) -> Result<&Node, FaultError> {
        self.cluster.nodes().iter().find(|node| node.id() == id).ok_or(FaultError::NoSuchNode(id))
    }

    pub(crate) async fn leader(&self) -> Option<NodeId> {
        self.store.leadership(self.cluster.nodes()).await.leader
    }

    /// Who leads, once somebody does: a fault that is to leave the leader alone has to know it. Gives up after a while.
    pub(crate) async fn leader_soon(&self) -> Option<NodeId> {
        for _ in 0..LEADER_TRIES {
            if let Some(leader) = self.leader().await {
                return Some(leader);
            }
            tokio::time::sleep(LEADER_PAUSE).await;
        }
        None
    }

    /// Chooses the nodes for a process fault and marks them as struck.
    pub(crate) async fn strike(
        &self,
        fault: u64,
        target: Target,
        order: &[NodeId],
    ) -> Result<Vec<NodeId>, FaultError> {
        let leader = match target {
            Target::Leader => self.leader().await,
            Target::Followers => self.leader_soon().await,
            Target::One | Target::Some | Target::Majority | Target::All => None,
        };
        self.strike_first(fault, target, order, leader)
    }

    /// The same within the largest minority that `order` begins with.
    pub(crate) fn strike_minority(
        &self,
        fault: u64,
        target: Target,
        order: &[NodeId],
    ) -> Result<Vec<NodeId>, FaultError> {
        self.strike_first(fault, target, &order[..minority(order.len())], None)
    }

    fn strike_first(
        &self,
        fault: u64,
        target: Target,
        order: &[NodeId],
        leader: Option<NodeId>,
    ) -> Result<Vec<NodeId>, FaultError> {
        let busy: Vec<NodeId> = self.struck.borrow().values().flatten().copied().collect();
        let nodes = target.pick(order, leader, &busy);
        if nodes.is_empty() {
            return Err(FaultError::NothingToStrike);
        }
        self.struck.borrow_mut().insert(fault, nodes.clone());
        Ok(nodes)
    }

    /// The nodes that a process fault struck and that are not known to be healed.
    pub(crate) fn struck(&self, fault: u64) -> Vec<NodeId> {
        self.struck.borrow().get(&fault).cloned().unwrap_or_default()
    }

    pub(crate) async fn start(&self, id: NodeId) -> Result<(), FaultError> {
        Ok(self.store.start(self.node(id)?, self.cluster.nodes()).await?)
    }

    /// Looks at the daemon on every node that a fault struck. A sentence on the first that is not as wanted.
    pub(crate) async fn odd_one(
        &self,
        fault: u64,
        wanted: fn(&DaemonState) -> bool,
    ) -> Result<Option<String>, FaultError> {
        for id in self.struck(fault) {
            let state = self.node(id)?.status(self.store.daemon()).await?;
            if !wanted(&state) {
                return Ok(Some(format!("the daemon on {id} is {}", describe(state))));
            }
        }
        Ok(None)
    }

    /// Every daemon that a fault struck must run; then other faults may strike its node again.
    pub(crate) async fn verify_running(&self, fault: u64) -> Result<(), FaultError> {
        match self.odd_one(fault, |state| matches!(state, DaemonState::Running { .. })).await? {
            Some(sentence) => Err(FaultError::NotHealed(sentence)),
            None => {
                self.struck.borrow_mut().remove(&fault);
                Ok(())
            }
        }
    }

    /// Makes every node that has power drop exactly the packets that the faults in effect say.
    pub(crate) async fn apply_cuts(&self) -> Result<(), FaultError> {
        // One after the other, or an older word could reach a node after a newer one.
        let _one = self.applying.lock().await;
        for node in self.cluster.nodes().iter().filter(|node| node.is_powered()) {
            let (dropped, refused) = self.cuts.borrow().senders_cut_at(node.id());
            let addresses = |senders: Vec<NodeId>| -> Result<Vec<Ipv4Addr>, FaultError> {
                senders.into_iter().map(|id| Ok(self.node(id)?.address())).collect()
            };
            node.cut_and_refuse(&addresses(dropped)?, &addresses(refused)?).await?;
        }
        Ok(())
    }

    /// Makes every node that has power do to packets exactly what the faults in effect say.
    pub(crate) async fn apply_shapes(&self) -> Result<(), FaultError> {
        let links = self.shapes.borrow().all();
        Ok(self.cluster.shape(&links).await?)
    }

    /// For every link between two nodes, whether it carries packets.
    pub(crate) async fn reachability(&self) -> Result<Vec<(Link, bool)>, FaultError> {
        let shaped = self.shapes.borrow().all();
        let patience = |from, to| {
            let shaping = shaped.get(&(from, to)).filter(|shaping| !shaping.is_none())?;
            Some(Duration::from_micros((shaping.delay_us + shaping.jitter_us).into()))
        };
        let reachability = self.cluster.reachability_when_shaped(patience).await?;
        Ok(reachability.pairs.into_iter().map(|(from, to, seen)| ((from, to), seen)).collect())
    }
}

/// `n1 n2 n3`.
pub fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A daemon's state as it reads after "the daemon on n1 is".
const fn describe(state: DaemonState) -> &'static str {
    match state {
        DaemonState::NotStarted => "not started",
        DaemonState::Running { .. } => "running",
        DaemonState::Paused { .. } => "paused",
        DaemonState::Exited { .. } => "gone",
    }
}
