//! Strongly connected components.
//!
//! R. Tarjan, *Depth-first search and linear graph algorithms* (SIAM J. Comput. 1(2), 1972), with a stack of its own in
//! place of recursion: a chain of a million transactions is usual.

use super::csr::{Classes, Graph};

const UNSEEN: u32 = u32::MAX;

/// The components of more than one node of the graph that has only the edges of `classes`, each with its nodes in rising
/// order, by their first nodes.
#[must_use]
pub fn components(graph: &Graph, classes: Classes) -> Vec<Vec<u32>> {
    let nodes = graph.nodes() as usize;
    let mut search = Search {
        graph,
        classes,
        low: vec![UNSEEN; nodes],
        open: vec![false; nodes],
        path: Vec::new(),
        stack: Vec::new(),
        seen: 0,
        found: Vec::new(),
    };
    for node in 0..graph.nodes() {
        if search.low[node as usize] == UNSEEN {
            search.run(node);
        }
    }
    let mut found = search.found;
    found.sort_unstable_by_key(|component| component[0]);
    found
}

struct Search<'a> {
    graph: &'a Graph,
    classes: Classes,
    /// By node: the earliest open node it is known to reach, by the order in which they were met.
    low: Vec<u32>,
    /// By node: whether its component is not yet known.
    open: Vec<bool>,
    /// Open nodes in the order in which they were met.
    path: Vec<u32>,
    /// Nodes on the way down: when each was met, and its next edge.
    stack: Vec<Frame>,
    seen: u32,
    found: Vec<Vec<u32>>,
}

struct Frame {
    node: u32,
    met: u32,
    next: usize,
}

impl Search<'_> {
    fn run(&mut self, root: u32) {
        self.enter(root);
        while let Some(Frame { node, met, next }) = self.stack.last_mut() {
            let node = *node as usize;
            if *next < self.graph.range(node as u32).end {
                let (target, classes) = self.graph.edge(*next);
                *next += 1;
                if !classes.meets(self.classes) {
                    continue;
                }
                if self.low[target as usize] == UNSEEN {
                    self.enter(target);
                } else if self.open[target as usize] {
                    self.low[node] = self.low[node].min(self.low[target as usize]);
                }
                continue;
            }
            let met = *met;
            self.stack.pop();
            if let Some(parent) = self.stack.last() {
                let parent = parent.node as usize;
                self.low[parent] = self.low[parent].min(self.low[node]);
            }
            if self.low[node] == met {
                self.close(node as u32);
            }
        }
    }

    fn enter(&mut self, node: u32) {
        self.low[node as usize] = self.seen;
        self.open[node as usize] = true;
        self.path.push(node);
        self.stack.push(Frame { node, met: self.seen, next: self.graph.range(node).start });
        self.seen += 1;
    }

    /// All that was met since `root`, and is open, is its component.
    fn close(&mut self, root: u32) {
        let from =
            self.path.iter().rposition(|node| *node == root).expect("open nodes are on the path");
        for node in &self.path[from..] {
            self.open[*node as usize] = false;
        }
        if self.path.len() - from > 1 {
            let mut component = self.path[from..].to_vec();
            component.sort_unstable();
            self.found.push(component);
        }
        self.path.truncate(from);
    }
}
