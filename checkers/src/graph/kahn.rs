//! Whether a graph has no cycle.
//!
//! A. B. Kahn, *Topological sorting of large networks* (CACM 5(11), 1962): nodes that nothing precedes are taken away until
//! none is left, or those that are left are in or behind a cycle.

use super::csr::Graph;

/// Whether there is no cycle, whatever the classes of its edges.
#[must_use]
pub fn acyclic(graph: &Graph) -> bool {
    let mut before = vec![0u32; graph.nodes() as usize];
    for edge in 0..graph.edges() {
        before[graph.edge(edge).0 as usize] += 1;
    }
    let mut free: Vec<u32> =
        (0..graph.nodes()).filter(|node| before[*node as usize] == 0).collect();
    let mut taken = 0;
    while let Some(node) = free.pop() {
        taken += 1;
        for (target, _) in graph.edges_of(node) {
            before[target as usize] -= 1;
            if before[target as usize] == 0 {
                free.push(target);
            }
        }
    }
    taken == graph.nodes()
}
