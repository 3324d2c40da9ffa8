//! Who belongs to the cluster, and what its changes are.
//!
//! # Terms
//!
//! * **Voter**: a member that is counted in elections, in commits and in the confirmation of reads.
//! * **Learner**: a member that is sent the log and is not counted: it catches up before it votes (dissertation §4.2.1).
//! * **Joint**: while a cluster goes from some voters to any others, a quorum is a majority of the old ones *and* a
//!   majority of the new ones (dissertation §4.3). A change of one voter needs no such step, since any majority before and any
//!   after share a member (§4.1).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::api::NodeId;

/// The members of a cluster, as an entry of the log or a snapshot has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Membership {
    /// The voters; in a joint one, those of the future.
    pub voters: BTreeSet<NodeId>,
    /// In a joint one, the voters of the past; otherwise empty.
    pub outgoing: BTreeSet<NodeId>,
    /// Members that do not vote.
    pub learners: BTreeSet<NodeId>,
}

/// What can be asked for. A leader carries out one change at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// A node that is no member becomes a learner.
    AddLearner(NodeId),
    /// A learner that has caught up becomes a voter.
    Promote(NodeId),
    /// A member is one no longer.
    Remove(NodeId),
    /// The voters become these, by way of a joint membership; voters that are left out go, further learners stay.
    /// Every one of them is a member already, and has caught up.
    Voters(BTreeSet<NodeId>),
}

/// Why nothing was done. Definite: nothing will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// Another change, or a transfer, is under way.
    Pending,
    /// The leader has not committed an entry of its own term yet.
    TooEarly,
    /// It is so already, or the node is no member or is not what it would have to be.
    Void,
    /// Nobody would be left to vote.
    NoVoters,
    /// The leader has no address of that node.
    UnknownNode,
    /// The learner lacks entries that are committed.
    Behind,
    /// The chosen successor did not take over in time; the leader goes on.
    NoSuccessor,
    /// The protocol has fixed members, and its leaders do not hand over.
    Unsupported,
}

impl Membership {
    /// These voters, and nobody else.
    #[must_use]
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Membership {
        Membership { voters: voters.into_iter().collect(), ..Membership::default() }
    }

    /// Whether it lies between two others.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the node votes, for the future or the past.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Everybody, each once.
    pub fn members(&self) -> impl Iterator<Item = NodeId> {
        let all: BTreeSet<NodeId> =
            self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect();
        all.into_iter()
    }

    /// The groups of which each must have a majority.
    fn groups(&self) -> impl Iterator<Item = &BTreeSet<NodeId>> {
        [&self.voters, &self.outgoing].into_iter().filter(|group| !group.is_empty())
    }

    /// Whether the nodes for which `is` holds are a quorum. `size` says how many of so many are a majority.
    pub fn has_quorum(&self, is: impl Fn(NodeId) -> bool, size: impl Fn(usize) -> usize) -> bool {
        self.groups().next().is_some()
            && self
                .groups()
                .all(|group| group.iter().filter(|node| is(**node)).count() >= size(group.len()))
    }

    /// The largest value that a quorum reaches; none without voters.
    pub fn reached_by<T: Ord>(
        &self,
        value: impl Fn(NodeId) -> T,
        size: impl Fn(usize) -> usize,
    ) -> Option<T> {
        let reached = |group: &BTreeSet<NodeId>| {
            let mut values: Vec<T> = group.iter().map(|node| value(*node)).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            values.into_iter().nth(size(group.len()) - 1)
        };
        self.groups().filter_map(reached).min()
    }

    /// What it is after a change.
    ///
    /// # Errors
    /// Why there can be no such change.
    pub fn after(&self, change: &Change) -> Result<Membership, Refusal> {
        let mut next = self.clone();
        match change {
            Change::AddLearner(node) => {
                if self.is_voter(*node) || !next.learners.insert(*node) {
                    return Err(Refusal::Void);
                }
            }
            Change::Promote(node) => {
                if !next.learners.remove(node) || !next.voters.insert(*node) {
                    return Err(Refusal::Void);
                }
            }
            Change::Remove(node) => {
                if !next.learners.remove(node) && !next.voters.remove(node) {
                    return Err(Refusal::Void);
                }
            }
            Change::Voters(voters) => {
                if *voters == self.voters || !voters.iter().all(|n| self.members().any(|m| m == *n))
                {
                    return Err(Refusal::Void);
                }
                next.outgoing = std::mem::replace(&mut next.voters, voters.clone());
                next.learners.retain(|node| !voters.contains(node));
            }
        }
        if next.voters.is_empty() { Err(Refusal::NoVoters) } else { Ok(next) }
    }

    /// The one that a joint one leads to.
    #[must_use]
    pub fn settled(&self) -> Membership {
        Membership { outgoing: BTreeSet::new(), ..self.clone() }
    }
}

/// How many of so many are a majority.
#[must_use]
pub fn majority(of: usize) -> usize {
    of / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: impl IntoIterator<Item = u16>) -> BTreeSet<NodeId> {
        nodes.into_iter().map(NodeId).collect()
    }

    fn subsets(of: u16) -> impl Iterator<Item = BTreeSet<NodeId>> {
        (0..1_u32 << of).map(move |bits| set((0..of).filter(|n| bits >> n & 1 == 1)))
    }

    fn quorums(membership: &Membership) -> Vec<BTreeSet<NodeId>> {
        subsets(5).filter(|s| membership.has_quorum(|n| s.contains(&n), majority)).collect()
    }

    /// The reason why changes are safe, over all memberships of five nodes: two quorums share a member, of one membership or of two that a
    /// single step leads to.
    #[test]
    fn quorums_of_neighbours_meet() {
        for voters in subsets(5).filter(|voters| !voters.is_empty()) {
            let before = Membership { learners: set(0..5), ..Membership::of(voters.clone()) };
            let before = Membership {
                learners: before.learners.difference(&voters).copied().collect(),
                ..before
            };
            let steps = (0..5)
                .flat_map(|n| [Change::Promote(NodeId(n)), Change::Remove(NodeId(n))])
                .chain(subsets(5).map(Change::Voters));
            for after in steps.filter_map(|change| before.after(&change).ok()) {
                let pairs = [(&before, &before), (&before, &after), (&after, &after.settled())];
                for (one, other) in pairs {
                    for quorum in quorums(one) {
                        let meet = |other: &BTreeSet<_>| !quorum.is_disjoint(other);
                        assert!(quorums(other).iter().all(meet), "{one:?} and {other:?}");
                    }
                }
            }
        }
    }

    /// The value that a quorum reaches, by its definition.
    #[test]
    fn what_a_quorum_reaches_is_the_largest_value_that_a_quorum_has() {
        let values = [4_u64, 9, 2, 7, 5];
        for voters in subsets(5) {
            for outgoing in subsets(5) {
                let membership =
                    Membership { voters: voters.clone(), outgoing, ..Membership::default() };
                let value = |node: NodeId| values[usize::from(node.0)];
                let slow = (0..10)
                    .filter(|v| membership.has_quorum(|node| value(node) >= *v, majority))
                    .max();
                assert_eq!(membership.reached_by(value, majority), slow, "{membership:?}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let one = Membership { learners: set([2]), ..Membership::of([NodeId(1)]) };
        let refusal = |change| one.after(&change).err();
        assert_eq!(refusal(Change::AddLearner(NodeId(1))), Some(Refusal::Void));
        assert_eq!(refusal(Change::AddLearner(NodeId(2))), Some(Refusal::Void));
        assert_eq!(refusal(Change::Promote(NodeId(3))), Some(Refusal::Void));
        assert_eq!(refusal(Change::Remove(NodeId(3))), Some(Refusal::Void));
        assert_eq!(refusal(Change::Remove(NodeId(1))), Some(Refusal::NoVoters));
        assert_eq!(refusal(Change::Voters(set([1]))), Some(Refusal::Void));
        assert_eq!(refusal(Change::Voters(set([1, 3]))), Some(Refusal::Void));
        assert_eq!(refusal(Change::Voters(set([]))), Some(Refusal::NoVoters));
        let two = one.after(&Change::Voters(set([2]))).unwrap();
        assert!(two.is_joint() && two.learners.is_empty());
        assert_eq!(two.settled(), Membership::of([NodeId(2)]));
    }
}
