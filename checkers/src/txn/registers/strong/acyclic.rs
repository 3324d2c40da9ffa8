//! A graph without cycles that grows edge by edge, and shrinks in the opposite order.
//!
//! D. Pearce & P. Kelly, *A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs* (ACM JEA 11, 2006): nodes have an
//! order into which all edges fit. An edge that fits costs nothing; for another one, what lies between its ends is searched,
//! and either moved or found to lead in a circle. Edges have tags, which a circle is told by.

/// The tag of an edge that holds in any case.
pub(super) const ALWAYS: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Edge {
    node: u32,
    tag: u32,
}

/// An edge of a path, by where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub node: u32,
    pub tag: u32,
}

pub(super) struct Acyclic {
    /// By node: its place in the order.
    places: Vec<u32>,
    out: Vec<Vec<Edge>>,
    into: Vec<Vec<Edge>>,
    /// Edges in the order in which they came.
    added: Vec<(u32, u32)>,
    /// By node: the round of the search that came to it, and the edge by which it did.
    seen: Vec<(u32, Edge)>,
    round: u32,
    /// Edges that were looked at.
    pub work: u64,
}

impl Acyclic {
    /// No edges; nodes in this order.
    pub fn in_order(order: &[u32]) -> Self {
        let none = (0, Edge { node: 0, tag: ALWAYS });
        let mut places = vec![0; order.len()];
        (0..).zip(order).for_each(|(place, node)| places[*node as usize] = place);
        Self {
            places,
            out: vec![Vec::new(); order.len()],
            into: vec![Vec::new(); order.len()],
            added: Vec::new(),
            seen: vec![none; order.len()],
            round: 0,
            work: 0,
        }
    }

    /// The place of a node in an order that fits.
    pub fn place(&self, node: u32) -> u32 {
        self.places[node as usize]
    }

    /// How many edges there are.
    pub fn len(&self) -> usize {
        self.added.len()
    }

    /// Takes away the latest edges until so many are left.
    pub fn shrink(&mut self, len: usize) {
        for (from, to) in self.added.drain(len..).rev() {
            self.out[from as usize].pop();
            self.into[to as usize].pop();
        }
    }

    /// Adds an edge.
    ///
    /// # Errors
    /// If it closes a circle: the circle's other edges, the last one first. Nothing was added then.
    pub fn add(&mut self, from: u32, to: u32, tag: u32) -> Result<(), Vec<Hop>> {
        if from == to {
            return Err(Vec::new());
        }
        if self.place(from) > self.place(to) {
            let ahead = self.ahead(from, to)?;
            let behind = self.behind(from, to);
            self.reorder(ahead, behind);
        }
        self.out[from as usize].push(Edge { node: to, tag });
        self.into[to as usize].push(Edge { node: from, tag });
        self.added.push((from, to));
        Ok(())
    }

    /// A path from one node to another, the last edge first, if there is one.
    pub fn path(&mut self, from: u32, to: u32) -> Option<Vec<Hop>> {
        if from == to {
            return Some(Vec::new());
        }
        let apart = self.place(from) > self.place(to);
        if apart { None } else { self.ahead(to, from).err() }
    }

    fn visit(&mut self, node: u32, by: Edge) -> bool {
        let seen = &mut self.seen[node as usize];
        let new = seen.0 != self.round;
        if new {
            *seen = (self.round, by);
        }
        new
    }

    /// What `to` leads to, up to the place of `from`.
    fn ahead(&mut self, from: u32, to: u32) -> Result<Vec<u32>, Vec<Hop>> {
        self.round += 1;
        let end = self.place(from);
        self.visit(to, Edge { node: to, tag: ALWAYS });
        let mut found = vec![to];
        let mut at = 0;
        while let Some(node) = found.get(at).copied() {
            at += 1;
            self.work += self.out[node as usize].len() as u64 + 1;
            for next in 0..self.out[node as usize].len() {
                let Edge { node: target, tag } = self.out[node as usize][next];
                if self.place(target) <= end && self.visit(target, Edge { node, tag }) {
                    if target == from {
                        return Err(self.way_to(from, to));
                    }
                    found.push(target);
                }
            }
        }
        Ok(found)
    }

    /// The path from `to` by which the search came to `from`.
    fn way_to(&self, from: u32, to: u32) -> Vec<Hop> {
        let mut hops = Vec::new();
        let mut node = from;
        while node != to {
            let Edge { node: before, tag } = self.seen[node as usize].1;
            hops.push(Hop { node: before, tag });
            node = before;
        }
        hops
    }

    /// What leads to `from`, down to the place of `to`.
    fn behind(&mut self, from: u32, to: u32) -> Vec<u32> {
        self.round += 1;
        let end = self.place(to);
        self.visit(from, Edge { node: from, tag: ALWAYS });
        let mut found = vec![from];
        let mut at = 0;
        while let Some(node) = found.get(at).copied() {
            at += 1;
            self.work += self.into[node as usize].len() as u64 + 1;
            for next in 0..self.into[node as usize].len() {
                let Edge { node: source, tag } = self.into[node as usize][next];
                if self.place(source) >= end && self.visit(source, Edge { node, tag }) {
                    found.push(source);
                }
            }
        }
        found
    }

    /// Puts what is behind before what is ahead, in the places that they have together.
    fn reorder(&mut self, mut ahead: Vec<u32>, mut behind: Vec<u32>) {
        ahead.sort_unstable_by_key(|node| self.place(*node));
        behind.sort_unstable_by_key(|node| self.place(*node));
        let nodes: Vec<u32> = behind.into_iter().chain(ahead).collect();
        let mut places: Vec<u32> = nodes.iter().map(|node| self.place(*node)).collect();
        places.sort_unstable();
        for (node, place) in nodes.into_iter().zip(places) {
            self.places[node as usize] = place;
        }
    }
}
