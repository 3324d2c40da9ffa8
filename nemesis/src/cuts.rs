//! The links that faults have cut, several faults at once.

use std::collections::{BTreeMap, BTreeSet};

use keelhaul_history::NodeId;

/// A link in one direction: packets from the first node to the second.
pub type Link = (NodeId, NodeId);

/// Which fault cut which links. A link is open again when no fault holds it any more.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    by_fault: BTreeMap<u64, BTreeSet<Link>>,
}

impl Cuts {
    pub(crate) fn insert(&mut self, fault: u64, links: BTreeSet<Link>) {
        self.by_fault.insert(fault, links);
    }

    /// Forgets a fault and returns the links it had cut.
    pub(crate) fn remove(&mut self, fault: u64) -> BTreeSet<Link> {
        self.by_fault.remove(&fault).unwrap_or_default()
    }

    pub(crate) fn of(&self, fault: u64) -> BTreeSet<Link> {
        self.by_fault.get(&fault).cloned().unwrap_or_default()
    }

    pub(crate) fn is_cut(&self, link: Link) -> bool {
        self.by_fault.values().any(|links| links.contains(&link))
    }

    /// Everyone whose packets `to` must drop.
    pub(crate) fn senders_cut_at(&self, to: NodeId) -> Vec<NodeId> {
        let senders: BTreeSet<NodeId> = self
            .by_fault
            .values()
            .flatten()
            .filter(|link| link.1 == to)
            .map(|link| link.0)
            .collect();
        senders.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_cut_until_the_last_fault_lets_go() {
        let link = (NodeId(1), NodeId(2));
        let mut cuts = Cuts::default();
        cuts.insert(0, BTreeSet::from([link]));
        cuts.insert(1, BTreeSet::from([link, (NodeId(3), NodeId(2))]));
        assert_eq!(cuts.senders_cut_at(NodeId(2)), [NodeId(1), NodeId(3)]);
        cuts.remove(0);
        assert!(cuts.is_cut(link));
        assert!(!cuts.is_cut((NodeId(2), NodeId(1))), "cuts have a direction");
        cuts.remove(1);
        assert!(!cuts.is_cut(link));
        assert!(cuts.senders_cut_at(NodeId(2)).is_empty());
    }
}
