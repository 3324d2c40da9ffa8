//! Texts that grow, told apart only as far as anybody could.
//!
//! All texts that were read form a tree in which each is the beginning of those below it. What a key holds is a place in that
//! tree, or lost: no text that was read begins with it, so that no reader can ever find it, nor anything that it grows
//! into. A place takes 8 bytes however long the text, and to append costs what is appended.

/// A place in the tree: so many bytes of the text at this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The first node that is at least that long.
    pub node: u32,
    /// How many bytes.
    pub len: u32,
}

/// No text that was read begins with it.
pub const LOST: Place = Place { node: u32::MAX, len: u32::MAX };

const ROOT: usize = 0;

/// The texts that were read.
#[derive(Clone, Debug)]
pub struct Tree {
    texts: Vec<Box<str>>,
    nodes: Vec<Node>,
    /// Where each text is.
    places: Vec<Place>,
}

/// A text that was read, or what several of them begin with.
#[derive(Clone, Debug)]
struct Node {
    /// A text that begins with it.
    text: u32,
    /// How many bytes of that.
    len: u32,
    /// By the first byte after those, rising.
    below: Vec<(u8, u32)>,
}

impl Tree {
    /// The tree of those texts that were `read`; an id is an index.
    pub fn new(texts: Vec<Box<str>>, read: impl Iterator<Item = u32>) -> Self {
        let root = Node { text: 0, len: 0, below: Vec::new() };
        let mut tree = Self { texts, nodes: vec![root], places: Vec::new() };
        let mut known = vec![false; tree.texts.len()];
        for text in read {
            if !std::mem::replace(&mut known[text as usize], true) {
                tree.insert(text);
            }
        }
        let begin = Place { node: ROOT as u32, len: 0 };
        tree.places = (0..tree.texts.len() as u32).map(|text| tree.grown(begin, text)).collect();
        tree
    }

    /// Where the text is.
    pub fn place(&self, text: u32) -> Place {
        self.places[text as usize]
    }

    /// How many nodes there are.
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where one comes to by appending the text `more`.
    pub fn grown(&self, from: Place, more: u32) -> Place {
        if from == LOST {
            return LOST;
        }
        let Place { mut node, mut len } = from;
        let mut more = self.texts[more as usize].as_bytes();
        while let Some(first) = more.first() {
            let mut here = &self.nodes[node as usize];
            if len == here.len {
                let Some(below) = here.below(*first) else { return LOST };
                node = below;
                here = &self.nodes[node as usize];
            }
            let rest = &self.bytes(here)[len as usize..];
            let step = rest.len().min(more.len());
            if rest[..step] != more[..step] {
                return LOST;
            }
            len += step as u32;
            more = &more[step..];
        }
        Place { node, len }
    }

    /// For each node, its number and the greatest below it, counted so that what is below a node follows it.
    pub fn ranges(&self) -> Vec<(u32, u32)> {
        let mut ranges = vec![(0, 0); self.nodes.len()];
        let mut count = 0;
        // A node, and how many of those below it were visited.
        let mut path = vec![(ROOT as u32, 0)];
        while let Some((node, visited)) = path.last_mut() {
            let at = *node as usize;
            if *visited == 0 {
                ranges[at].0 = count;
                count += 1;
            }
            match self.nodes[at].below.get(*visited) {
                Some((_, below)) => {
                    *visited += 1;
                    path.push((*below, 0));
                }
                None => {
                    ranges[at].1 = count - 1;
                    path.pop();
                }
            }
        }
        ranges
    }

    /// For each node the one that it is below.
    pub fn above(&self) -> Vec<Option<u32>> {
        let mut above = vec![None; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            for (_, below) in &node.below {
                above[*below as usize] = Some(at as u32);
            }
        }
        above
    }

    fn bytes(&self, node: &Node) -> &[u8] {
        &self.texts[node.text as usize].as_bytes()[..node.len as usize]
    }

    fn insert(&mut self, text: u32) {
        let bytes = self.texts[text as usize].as_bytes();
        let leaf = Node { text, len: bytes.len() as u32, below: Vec::new() };
        let mut node = ROOT;
        loop {
            let len = self.nodes[node].len as usize;
            let Some(first) = bytes.get(len) else { return };
            let slot = self.nodes[node].below.binary_search_by_key(first, |(byte, _)| *byte);
            let new = self.nodes.len() as u32;
            let at = match slot {
                Ok(at) => at,
                Err(at) => {
                    self.nodes[node].below.insert(at, (*first, new));
                    self.nodes.push(leaf);
                    return;
                }
            };
            let below = self.nodes[node].below[at].1;
            let known = self.bytes(&self.nodes[below as usize]);
            let pairs = known.iter().zip(bytes).skip(len);
            let shared = len + pairs.take_while(|(one, two)| one == two).count();
            if shared == known.len() {
                node = below as usize;
                continue;
            }
            // Both go on from a new node between the two.
            let between = Node { text, len: shared as u32, below: vec![(known[shared], below)] };
            self.nodes[node].below[at].1 = new;
            self.nodes.push(between);
            node = new as usize;
        }
    }
}

impl Node {
    fn below(&self, first: u8) -> Option<u32> {
        let at = self.below.binary_search_by_key(&first, |(byte, _)| *byte).ok()?;
        Some(self.below[at].1)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random_text(rng: &mut ChaCha8Rng) -> Box<str> {
        let letters = (0..rng.random_range(0..6)).map(|_| ["a", "b", "é"][rng.random_range(0..3)]);
        letters.collect::<String>().into()
    }

    /// Two texts have the same place exactly if they are equal, or neither begins anything that was read.
    #[test]
    fn places_tell_apart_what_readers_can() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..400 {
            let mut texts: Vec<Box<str>> = (0..12).map(|_| random_text(&mut rng)).collect();
            texts.sort();
            texts.dedup();
            let read: Vec<u32> = (0..texts.len() as u32).filter(|_| rng.random_bool(0.5)).collect();
            let tree = Tree::new(texts.clone(), read.iter().copied());
            let begins = |text: &str| read.iter().any(|r| texts[*r as usize].starts_with(text));
            let begin = Place { node: 0, len: 0 };
            let ranges = tree.ranges();
            for (one, text) in texts.iter().enumerate() {
                for (two, more) in texts.iter().enumerate() {
                    let whole = format!("{text}{more}");
                    let grown = tree.grown(tree.grown(begin, one as u32), two as u32);
                    assert_eq!(grown != LOST, whole.is_empty() || begins(&whole), "{whole}");
                    if let Some(same) = texts.iter().position(|text| **text == *whole) {
                        assert_eq!(grown, tree.place(same as u32));
                    }
                    let found = tree.place(two as u32);
                    if read.contains(&(two as u32)) && tree.place(one as u32) != LOST {
                        let (from, to) = ranges[tree.place(one as u32).node as usize];
                        let below = (from..=to).contains(&ranges[found.node as usize].0);
                        assert_eq!(below, more.starts_with(&**text), "{text} {more}");
                    }
                }
            }
        }
    }
}
