//! The links that faults have cut, several faults at once.

use std::collections::{BTreeMap, BTreeSet};

use keelhaul_history::NodeId;

/// A link in one direction: packets from the first node to the second.
pub type Link = (NodeId, NodeId);

/// How a fault cuts its links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Packets meet silence.
    #[default]
    Drop,
    /// Packets are answered by a reset or an error.
    Refuse,
    /// Packets meet silence now and then.
    Flap,
}

#[derive(Debug)]
struct Cut {
    links: BTreeSet<Link>,
    manner: Manner,
    /// Whether it lets packets through for now.
    open: bool,
}

/// Which fault cut which links. A link is open again when no fault holds it any more.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    by_fault: BTreeMap<u64, Cut>,
}

impl Cuts {
    pub(crate) fn insert(&mut self, fault: u64, links: BTreeSet<Link>, manner: Manner) {
        self.by_fault.insert(fault, Cut { links, manner, open: false });
    }

    /// Forgets a fault.
    pub(crate) fn remove(&mut self, fault: u64) {
        self.by_fault.remove(&fault);
    }

    /// Lets the packets of a fault's links through, or not.
    pub(crate) fn set_open(&mut self, fault: u64, open: bool) {
        if let Some(cut) = self.by_fault.get_mut(&fault) {
            cut.open = open;
        }
    }

    pub(crate) fn of(&self, fault: u64) -> BTreeSet<Link> {
        self.by_fault.get(&fault).map(|cut| cut.links.clone()).unwrap_or_default()
    }

    /// Whether no packet gets through.
    pub(crate) fn is_cut(&self, link: Link) -> bool {
        self.by_fault.values().any(|cut| cut.manner != Manner::Flap && cut.links.contains(&link))
    }

    /// Whether it may be that no packet gets through.
    pub(crate) fn may_be_cut(&self, link: Link) -> bool {
        self.by_fault.values().any(|cut| cut.links.contains(&link))
    }

    /// Everyone whose packets `to` must drop, and everyone whose packets it must refuse.
    pub(crate) fn senders_cut_at(&self, to: NodeId) -> (Vec<NodeId>, Vec<NodeId>) {
        let senders = |refuse: bool| -> BTreeSet<NodeId> {
            let cuts = self.by_fault.values().filter(|cut| !cut.open);
            let links = cuts.filter(|cut| (cut.manner == Manner::Refuse) == refuse);
            links
                .flat_map(|cut| &cut.links)
                .filter(|link| link.1 == to)
                .map(|link| link.0)
                .collect()
        };
        let (dropped, refused) = (senders(false), senders(true));
        // Silence is what is left when one fault answers and another does not.
        let refused = refused.difference(&dropped).copied().collect();
        (dropped.into_iter().collect(), refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = (NodeId(1), NodeId(2));

    #[test]
    fn a_link_stays_cut_until_the_last_fault_lets_go() {
        let mut cuts = Cuts::default();
        cuts.insert(0, BTreeSet::from([LINK]), Manner::Drop);
        cuts.insert(1, BTreeSet::from([LINK, (NodeId(3), NodeId(2))]), Manner::Drop);
        assert_eq!(cuts.senders_cut_at(NodeId(2)), (vec![NodeId(1), NodeId(3)], vec![]));
        cuts.remove(0);
        assert!(cuts.is_cut(LINK));
        assert!(!cuts.is_cut((NodeId(2), NodeId(1))), "cuts have a direction");
        cuts.remove(1);
        assert!(!cuts.is_cut(LINK));
        assert_eq!(cuts.senders_cut_at(NodeId(2)), (vec![], vec![]));
    }

    #[test]
    fn silence_wins_over_an_answer_and_a_flapping_link_is_unsure() {
        let mut cuts = Cuts::default();
        cuts.insert(0, BTreeSet::from([LINK]), Manner::Refuse);
        assert_eq!(cuts.senders_cut_at(NodeId(2)), (vec![], vec![NodeId(1)]));
        cuts.insert(1, BTreeSet::from([LINK]), Manner::Flap);
        assert_eq!(cuts.senders_cut_at(NodeId(2)), (vec![NodeId(1)], vec![]));
        cuts.set_open(1, true);
        assert_eq!(cuts.senders_cut_at(NodeId(2)), (vec![], vec![NodeId(1)]));
        cuts.remove(0);
        assert!(cuts.may_be_cut(LINK) && !cuts.is_cut(LINK));
        assert_eq!(cuts.senders_cut_at(NodeId(2)), (vec![], vec![]));
    }
}
