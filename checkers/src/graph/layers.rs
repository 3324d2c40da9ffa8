//! Cycles in which no two restricted edges are adjacent, found in linear time.
//!
//! Every node is taken twice: as reached by a restricted edge, and otherwise. A restricted edge leads from the second kind to
//! the first only, all others from both to the second. So a closed walk in which no two restricted edges follow each other is
//! a cycle of this graph of twice the size, and the other way round. Snapshot isolation is the absence of such cycles (Cerone &
//! Gotsman 2018, theorem 10).

use super::csr::{Classes, Graph, GraphBuilder};
use super::tarjan::components;

/// The nodes of each component of such walks, rising: components that have one with or without restricted edges. They may
/// share nodes.
#[must_use]
pub fn without_adjacent(graph: &Graph, free: Classes, restricted: Classes) -> Vec<Vec<u32>> {
    let nodes = graph.nodes();
    let mut doubled = GraphBuilder::new(2 * nodes);
    for node in 0..nodes {
        let (plain, reached) = (2 * node, 2 * node + 1);
        for (target, classes) in graph.edges_of(node) {
            if !graph.is_real(node) {
                // A relay passes on how it was reached.
                if classes.meets(free) {
                    doubled.edge(plain, 2 * target, free);
                }
                if classes.meets(restricted) {
                    doubled.edge(reached, 2 * target + 1, free);
                }
                continue;
            }
            if classes.meets(free) {
                doubled.edge(plain, 2 * target, free);
                doubled.edge(reached, 2 * target, free);
            }
            if classes.meets(restricted) {
                doubled.edge(plain, 2 * target + 1, free);
            }
        }
    }
    let found = components(&doubled.build(), free).into_iter().map(|component| {
        let mut members: Vec<u32> = component.into_iter().map(|node| node / 2).collect();
        members.dedup();
        members
    });
    found.collect()
}
