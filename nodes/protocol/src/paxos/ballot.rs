//! Ballots, and the promise that survives a restart.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::{Era, NodeId};

/// What a proposer proposes under. The order of the fields is the order of comparison: the round first, the proposer only between equal rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ballot {
    /// Counts the proposer's attempts; above every round that it has heard of.
    pub round: u64,
    /// The proposer.
    pub node: NodeId,
}

impl Default for Ballot {
    /// Below every ballot that is used.
    fn default() -> Self {
        Self { round: 0, node: NodeId(0) }
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ballot {}.{}", self.round, self.node.0)
    }
}

impl Era for Ballot {
    fn number(self) -> u64 {
        self.round << u16::BITS | u64::from(self.node.0)
    }
}

/// What must survive a restart beside what was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The highest ballot in which this node has promised to take part.
    pub promised: Ballot,
}

impl fmt::Display for HardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.promised.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_round_outweighs_a_larger_node_and_numbers_keep_the_order() {
        let ballot = |round, node| Ballot { round, node: NodeId(node) };
        let rising = [Ballot::default(), ballot(1, 0), ballot(1, 9), ballot(2, 1), ballot(2, 2)];
        assert!(rising.is_sorted());
        assert!(rising.map(Era::number).is_sorted_by(|a, b| a < b));
    }
}
