//! Graphs as compressed sparse rows.

use std::ops::BitOr;

/// A set of edge classes, of which there may be sixteen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Classes(u16);

impl Classes {
    /// No class.
    pub const NONE: Self = Self(0);
    /// Write–write: the target's write follows the source's in the order of versions.
    pub const WW: Self = Self(1);
    /// Write–read: the target read what the source wrote.
    pub const WR: Self = Self(2);
    /// Read–write, or anti-dependency: the target's write follows what the source read.
    pub const RW: Self = Self(4);
    /// The same process did the source before the target.
    pub const PROCESS: Self = Self(8);
    /// The source completed before the target was invoked.
    pub const REALTIME: Self = Self(16);
    /// Write–read by a predicate: what the target's predicate matched, or did not, is as the source left it.
    pub const WRP: Self = Self(32);
    /// Read–write by a predicate: the target's write changes what the source's predicate matches.
    pub const RWP: Self = Self(64);

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the sets have a class in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no class in it.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The classes one by one, each as a set.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = rest & rest.wrapping_neg();
            rest ^= lowest;
            (lowest != 0).then_some(Self(lowest))
        })
    }
}

impl BitOr for Classes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

/// A directed graph whose edges have classes. There is one edge from a node to another at most, with all its classes.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Where the edges of each node begin, and where those of the last end.
    starts: Vec<u32>,
    targets: Vec<u32>,
    classes: Vec<Classes>,
    /// Nodes below this are transactions; the rest are relays.
    real: u32,
}

impl Graph {
    /// How many nodes there are, relays included.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.starts.len().saturating_sub(1) as u32
    }

    /// How many edges there are.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.targets.len()
    }

    /// The classes that some edge has.
    #[must_use]
    pub fn all_classes(&self) -> Classes {
        self.classes.iter().fold(Classes::NONE, |all, classes| all | *classes)
    }

    /// Whether a node is a transaction.
    #[must_use]
    pub const fn is_real(&self, node: u32) -> bool {
        node < self.real
    }

    /// The edges of a node in order of their targets, by number in the graph.
    pub(super) fn range(&self, node: u32) -> std::ops::Range<usize> {
        self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize
    }

    /// Target and classes of an edge.
    pub(super) fn edge(&self, edge: usize) -> (u32, Classes) {
        (self.targets[edge], self.classes[edge])
    }

    /// Targets and classes of a node's edges, in order of the targets.
    pub fn edges_of(&self, node: u32) -> impl Iterator<Item = (u32, Classes)> + '_ {
        self.range(node).map(|edge| self.edge(edge))
    }

    /// The part of the graph that these nodes are, in which they are numbered in order; `members` must rise.
    #[must_use]
    pub fn induced(&self, members: Vec<u32>) -> Induced {
        debug_assert!(members.is_sorted(), "members rise");
        let real = members.partition_point(|node| self.is_real(*node)) as u32;
        let mut graph = Self { starts: vec![0], real, ..Self::default() };
        for node in &members {
            // Both lists rise, but members may be many more than targets.
            for (target, classes) in self.edges_of(*node) {
                if let Ok(local) = members.binary_search(&target) {
                    graph.targets.push(local as u32);
                    graph.classes.push(classes);
                }
            }
            graph.starts.push(graph.targets.len() as u32);
        }
        Induced { graph, members }
    }
}

/// A part of a graph.
#[derive(Clone, Debug)]
pub struct Induced {
    /// The part.
    pub graph: Graph,
    /// By node of the part: which node of the whole it is.
    pub members: Vec<u32>,
}

/// Collects edges in any order.
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    real: u32,
    nodes: u32,
    edges: Vec<(u32, u32, Classes)>,
}

impl GraphBuilder {
    /// A graph of so many transactions.
    #[must_use]
    pub const fn new(transactions: u32) -> Self {
        Self { real: transactions, nodes: transactions, edges: Vec::new() }
    }

    /// How many edges were put in, some of them perhaps twice.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.edges.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// A new node that is no transaction.
    pub const fn relay(&mut self) -> u32 {
        self.nodes += 1;
        self.nodes - 1
    }

    /// An edge; from a node to itself there is none.
    pub fn edge(&mut self, from: u32, to: u32, classes: Classes) {
        if from != to {
            self.edges.push((from, to, classes));
        }
    }

    /// The graph.
    #[must_use]
    pub fn build(self) -> Graph {
        let Self { real, nodes, edges } = self;
        // Sorted by target, then by source, in place of a comparison sort of pairs.
        let edges = sorted_by(&edges, nodes, |edge| edge.1);
        let edges = sorted_by(&edges, nodes, |edge| edge.0);
        let mut graph = Graph { real, ..Graph::default() };
        graph.targets.reserve_exact(edges.len());
        graph.classes.reserve_exact(edges.len());
        graph.starts.reserve_exact(nodes as usize + 1);
        graph.starts.push(0);
        let mut rest = edges.iter().peekable();
        for node in 0..nodes {
            let first = graph.targets.len();
            while let Some((_, to, classes)) = rest.next_if(|edge| edge.0 == node) {
                let last = graph.targets.len();
                if last > first && graph.targets[last - 1] == *to {
                    graph.classes[last - 1] = graph.classes[last - 1] | *classes;
                } else {
                    graph.targets.push(*to);
                    graph.classes.push(*classes);
                }
            }
            let end = u32::try_from(graph.targets.len()).expect("fewer edges than 2^32");
            graph.starts.push(end);
        }
        graph
    }
}

/// The edges by rising key, which is below `keys`; equals stay in order.
fn sorted_by(
    edges: &[(u32, u32, Classes)],
    keys: u32,
    key: impl Fn(&(u32, u32, Classes)) -> u32,
) -> Vec<(u32, u32, Classes)> {
    let mut next = vec![0usize; keys as usize + 1];
    for edge in edges {
        next[key(edge) as usize + 1] += 1;
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut sorted = vec![(0, 0, Classes::NONE); edges.len()];
    for edge in edges {
        let at = &mut next[key(edge) as usize];
        sorted[*at] = *edge;
        *at += 1;
    }
    sorted
}
