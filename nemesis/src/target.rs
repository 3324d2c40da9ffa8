//! Which nodes a process fault strikes.

use keelhaul_history::NodeId;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// A role or a share of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Any one node.
    One,
    /// Fewer than half of the nodes, but more than one where there are enough.
    Some,
    /// The smallest majority.
    Majority,
    /// Every node.
    All,
    /// Whoever leads when the fault is injected; any one node if nobody does.
    Leader,
    /// As many as [`Target::Some`], but not the leader while there is anyone else.
    Followers,
}

impl Target {
    /// Every target with its weight in a random schedule: faults that leave a working majority come more often, since
    /// most mistakes show only while operations succeed.
    pub(crate) const WEIGHTED: [(Self, u32); 5] =
        [(Self::One, 4), (Self::Some, 3), (Self::Leader, 5), (Self::Majority, 2), (Self::All, 1)];

    /// The weights for a loss of power: what one node loses the others still have, so most strike enough to make it show.
    pub(crate) const WEIGHTED_POWER: [(Self, u32); 5] =
        [(Self::One, 2), (Self::Some, 2), (Self::Leader, 2), (Self::Majority, 4), (Self::All, 4)];

    /// The nodes struck: the first of `order` (a permutation of the cluster that the schedule drew) as the target
    /// says, leaving out those in `busy`, which another fault already struck.
    pub fn pick(self, order: &[NodeId], leader: Option<NodeId>, busy: &[NodeId]) -> Vec<NodeId> {
        let count = match self {
            Self::One | Self::Leader => 1,
            Self::Some | Self::Followers => minority(order.len()).max(1),
            Self::Majority => order.len() / 2 + 1,
            Self::All => order.len(),
        };
        let first = leader.filter(|_| self == Self::Leader);
        let last = leader.filter(|_| self == Self::Followers);
        let others =
            order.iter().copied().filter(|&node| Some(node) != first && Some(node) != last);
        let preference = first.into_iter().chain(others).chain(last);
        preference.filter(|node| !busy.contains(node)).take(count).collect()
    }
}

/// How many nodes the largest minority has.
#[must_use]
pub const fn minority(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 2
}

/// One of the choices, by weight.
pub(crate) fn weighted<T: Copy>(choices: &[(T, u32)], rng: &mut ChaCha8Rng) -> T {
    let total: u32 = choices.iter().map(|choice| choice.1).sum();
    let mut at = rng.random_range(0..total);
    for &(choice, weight) in choices {
        if at < weight {
            return choice;
        }
        at -= weight;
    }
    unreachable!("the weights sum up to the bound of the draw")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u16]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn targets_take_their_share_of_the_order() {
        let order = nodes(&[3, 1, 5, 2, 4]);
        let check = |target: Target, leader: Option<u16>, busy: &[u16], expected: &[u16]| {
            let picked = target.pick(&order, leader.map(NodeId), &nodes(busy));
            assert_eq!(picked, nodes(expected), "{target:?}");
        };
        check(Target::One, Some(2), &[], &[3]);
        check(Target::Some, None, &[], &[3, 1]);
        check(Target::Majority, None, &[], &[3, 1, 5]);
        check(Target::All, None, &[], &[3, 1, 5, 2, 4]);
        check(Target::Leader, Some(2), &[], &[2]);
        check(Target::Leader, None, &[], &[3]);
        check(Target::Leader, Some(2), &[2], &[3]);
        check(Target::Followers, Some(3), &[], &[1, 5]);
        check(Target::Followers, None, &[], &[3, 1]);
        check(Target::Followers, Some(3), &[1, 2, 4, 5], &[3]);
        check(Target::All, None, &[1, 4], &[3, 5, 2]);
    }
}
