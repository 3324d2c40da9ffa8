//! What an operator asks of a cluster: who belongs to it, and who leads.
//!
//! Nobody plans it: a request is for any node, at any time. Most of what is asked for is refused; enough is not that a run sees memberships of
//! all sizes, changes that are under way when another leader comes, and changes that are taken back. Nothing is to be healed: what comes next
//! is the next request.

use keelhaul_history::NodeId;
use serde::{Deserialize, Serialize};

/// One request. The nodes it is about are the first ones of the fault's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// A node becomes a learner.
    Learner,
    /// A learner becomes a voter.
    Promote,
    /// A member is one no longer.
    Remove,
    /// So many nodes become the voters, by way of a joint membership.
    Voters(u16),
    /// A voter becomes the leader.
    Transfer,
}

impl Ask {
    /// Every request with its weight.
    pub const WEIGHTED: [(Self, u32); 7] = [
        (Self::Learner, 3),
        (Self::Promote, 3),
        (Self::Remove, 3),
        (Self::Voters(2), 1),
        (Self::Voters(3), 1),
        (Self::Voters(4), 1),
        (Self::Transfer, 2),
    ];

    /// The nodes it is about.
    #[must_use]
    pub fn nodes(self, order: &[NodeId]) -> &[NodeId] {
        let count = if let Self::Voters(count) = self { usize::from(count) } else { 1 };
        &order[..count.min(order.len())]
    }

    /// For people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Learner => "to be a learner",
            Self::Promote => "to be a voter",
            Self::Remove => "to go",
            Self::Voters(_) => "to be the voters",
            Self::Transfer => "to lead",
        }
    }
}
