//! What every system under test must offer.

use std::rc::Rc;

use keelhaul_cluster::{Node, NodeError};
use keelhaul_engine::{Connect, LocalFuture};
use keelhaul_history::NodeId;
use thiserror::Error;

use crate::{Membership, Releases, Sharding};

/// A group of operations that a store can serve; a workload runs on every store that has its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `read`, `write` and `cas` on many keys.
    Register,
    /// Several keys at once: `txn`, and the operations of a bank. See [`crate::txn`].
    Txn,
    /// `acquire` and `release` of a lock a key, `append` to the resource that it guards, and `read` of that.
    Lock,
}

/// Who leads, as far as the nodes that answered know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The node that believes it leads in the highest term seen.
    pub leader: Option<NodeId>,
    /// That term, ballot or epoch.
    pub term: u64,
}

/// Where a store's daemon has the time from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreClock {
    /// From a clock of its own, which obeys this file on its node (see the crate of our own nodes).
    File(&'static str),
    /// From the machine, as every program.
    Program {
        /// Whether its monotonic clock may run at another pace than the kernel's timers do: whoever says how long it waits does not mind, whoever
        /// says until when does.
        steady: bool,
    },
}

/// Why a store could not be brought up or looked at.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The system's software is missing.
    #[error("{what} is not installed: {remedy}")]
    NotInstalled {
        /// Which program.
        what: String,
        /// What the user can do.
        remedy: String,
    },
    /// A daemon ended by itself or never came up.
    #[error("{node} did not come up: {detail}")]
    Unhealthy {
        /// Where.
        node: NodeId,
        /// The last thing its log said, or what was observed.
        detail: String,
    },
    /// The cluster as a whole is not ready yet.
    #[error("the cluster is not ready: {0}")]
    NotReady(String),
    /// The node itself could not be spoken to.
    #[error("failed to reach {node}")]
    Node {
        /// Which node.
        node: NodeId,
        /// What went wrong.
        #[source]
        source: NodeError,
    },
}

/// One system under test, configured for one run.
///
/// Every method is given the nodes; a store keeps no handle of its own and may be asked for any node at any time,
/// also while others are dead, paused or cut off: each must then answer within a bound of its own.
pub trait Store {
    /// The name a user types, e.g. `etcd`.
    fn name(&self) -> &'static str;

    /// The name of its daemon on a node, for [`Node::kill`], [`Node::pause`] and the like.
    fn daemon(&self) -> &'static str;

    /// The directory that holds all that it must not forget, on every node; there once [`Store::setup`] is done.
    fn data_dir(&self) -> &'static str;

    /// What it can serve.
    fn families(&self) -> &'static [Family];

    /// Prepares the nodes, all at once: checks that the software is there, writes configuration, makes directories.
    /// Starts nothing. Returns the version of what is installed.
    fn setup<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<String, StoreError>>;

    /// Starts the daemon on a node, the first time or after a kill. Does not wait for health.
    fn start<'a>(
        &'a self,
        node: &'a Node,
        nodes: &'a [Node],
    ) -> LocalFuture<'a, Result<(), StoreError>>;

    /// One look at whether the cluster serves requests on every node. The caller repeats it until a deadline:
    /// [`StoreError::NotReady`] means try again, any other error is final.
    fn ready<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Result<(), StoreError>>;

    /// Who leads now; answers within about a second whatever state the nodes are in.
    fn leadership<'a>(&'a self, nodes: &'a [Node]) -> LocalFuture<'a, Leadership>;

    /// Where its daemon has the time from.
    fn clock(&self) -> StoreClock {
        StoreClock::Program { steady: false }
    }

    /// Which release of its program runs on which node.
    fn releases(&self) -> &Releases;

    /// How its members are changed, where they can be.
    fn membership(&self) -> Option<&dyn Membership> {
        None
    }

    /// How keys are moved from group to group of its replicas, where there are several.
    fn sharding(&self) -> Option<&dyn Sharding> {
        None
    }

    /// Opens clients for workers.
    fn connect(&self, nodes: &[Node]) -> Rc<dyn Connect>;
}
