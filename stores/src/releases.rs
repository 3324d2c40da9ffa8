//! Two releases of a store's program on one cluster.

use std::cell::RefCell;
use std::collections::BTreeSet;

use keelhaul_history::NodeId;

/// Which release runs where: the one that is installed, or another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Releases {
    /// Where the other one is, the same on all nodes, as the store understands it.
    other: Option<String>,
    /// The nodes whose next start is of that one.
    upgraded: RefCell<BTreeSet<NodeId>>,
}

impl Releases {
    /// All nodes run what is installed, and may come to run what is there.
    #[must_use]
    pub fn new(other: Option<String>) -> Self {
        Self { other, upgraded: RefCell::default() }
    }

    /// Where the other release is, if there is one.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        self.other.as_deref()
    }

    /// From its next start on a node runs the other release, or the installed one again.
    pub fn upgrade(&self, node: NodeId, other: bool) {
        let mut upgraded = self.upgraded.borrow_mut();
        if other {
            upgraded.insert(node);
        } else {
            upgraded.remove(&node);
        }
    }

    /// Whether a node runs the other release from its next start on.
    #[must_use]
    pub fn is_upgraded(&self, node: NodeId) -> bool {
        self.upgraded.borrow().contains(&node)
    }

    /// Where the other release is, if a node is to run that one.
    pub(crate) fn of(&self, node: NodeId) -> Option<&str> {
        self.other().filter(|_| self.is_upgraded(node))
    }
}
