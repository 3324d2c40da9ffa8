//! What faults do to the packets of links, several faults at once.

use std::collections::BTreeMap;

use keelhaul_cluster::Shaping;

use crate::cuts::Link;

/// Which fault shapes which links, and how. What several do to a link is done by all of them.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    by_fault: BTreeMap<u64, BTreeMap<Link, Shaping>>,
}

impl Shapes {
    pub(crate) fn insert(&mut self, fault: u64, links: BTreeMap<Link, Shaping>) {
        self.by_fault.insert(fault, links);
    }

    pub(crate) fn of(&self, fault: u64) -> BTreeMap<Link, Shaping> {
        self.by_fault.get(&fault).cloned().unwrap_or_default()
    }

    pub(crate) fn remove(&mut self, fault: u64) {
        self.by_fault.remove(&fault);
    }

    /// What happens to a link's packets, all in all.
    pub(crate) fn total(&self, link: Link) -> Shaping {
        self.by_fault
            .values()
            .filter_map(|links| links.get(&link))
            .fold(Shaping::default(), |all, one| all.and(*one))
    }

    /// Every link that is shaped.
    pub(crate) fn all(&self) -> BTreeMap<Link, Shaping> {
        let links = self.by_fault.values().flat_map(BTreeMap::keys);
        links.map(|link| (*link, self.total(*link))).collect()
    }
}

#[cfg(test)]
mod tests {
    use keelhaul_history::NodeId;

    use super::*;

    #[test]
    fn a_link_has_what_all_faults_do_until_each_lets_go() {
        let link = (NodeId(1), NodeId(2));
        let late = Shaping { delay_us: 10, ..Shaping::default() };
        let lossy = Shaping { loss_ppm: 10, ..Shaping::default() };
        let mut shapes = Shapes::default();
        shapes.insert(0, BTreeMap::from([(link, late)]));
        shapes.insert(1, BTreeMap::from([(link, lossy), ((NodeId(3), NodeId(2)), late)]));
        assert_eq!(shapes.total(link), Shaping { delay_us: 10, ..lossy });
        assert_eq!(shapes.all().len(), 2);
        shapes.remove(0);
        assert_eq!(shapes.total(link), lossy);
        shapes.remove(1);
        assert!(shapes.all().is_empty() && shapes.total(link).is_none());
    }
}
