//! States that share what they have in common with the states they came from.
//!
//! A search keeps every state that it has met. Where a state is a container that may hold thousands of values, each is
//! kept as the difference to another: a [`Chain`] is a list whose every version is one link on top of an older one, a
//! [`Table`] is a tree of which an update copies one path. Both carry a hash that each update adjusts, so that states
//! are told apart without looking at all of them, and both compare exactly, stopping where two versions share
//! what follows. The jumps along a chain are those of Myers, *An applicative random-access stack* (Information
//! Processing Letters 17, 1983).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// A number that looks random, different for every other one; nothing for nothing.
const fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n ^ n >> 32
}

/// One value of a [`Chain`].
struct Link {
    value: u32,
    /// How many links lie below.
    depth: u32,
    below: Option<Rc<Self>>,
    /// A link further down, so that every one is a few steps away.
    jump: Option<Rc<Self>>,
}

impl Drop for Link {
    /// One link after the other: a long chain must not be dropped by recursion.
    fn drop(&mut self) {
        // What a jump leads to is held by the links below as well.
        self.jump = None;
        let mut next = self.below.take();
        while let Some(Ok(mut link)) = next.map(Rc::try_unwrap) {
            link.jump = None;
            next = link.below.take();
        }
    }
}

/// A list that grows at its end and shrinks at both ends.
#[derive(Clone, Default)]
pub struct Chain {
    last: Option<Rc<Link>>,
    len: u32,
    hash: u64,
}

/// What a place in a list weighs more than the one before it; odd, so that it can be undone.
const WEIGHT: u64 = 0x2545_f491_4f6c_dd1d;
const WEIGHT_INVERSE: u64 = inverse(WEIGHT);

/// The number that undoes multiplication by an odd one.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut bits = 3;
    while bits < 64 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

impl Chain {
    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Puts the value at the end.
    pub fn push(&mut self, value: u32) {
        let below = self.last.take().filter(|_| self.len > 0);
        let jump = below.as_ref().map(|below| match &below.jump {
            Some(jump) => match &jump.jump {
                Some(far) if below.depth - jump.depth == jump.depth - far.depth => Rc::clone(far),
                _ => Rc::clone(below),
            },
            None => Rc::clone(below),
        });
        let depth = below.as_ref().map_or(0, |below| below.depth + 1);
        self.last = Some(Rc::new(Link { value, depth, below, jump }));
        self.len += 1;
        self.hash = self.hash.wrapping_mul(WEIGHT).wrapping_add(mixed(u64::from(value) + 1));
    }

    /// The value at the end.
    pub fn last(&self) -> Option<u32> {
        self.last.as_ref().filter(|_| self.len > 0).map(|link| link.value)
    }

    /// Takes the value at the end away.
    pub fn pop_last(&mut self) -> Option<u32> {
        let value = self.last()?;
        let below = self.last.as_ref()?.below.clone();
        self.last = below;
        self.len -= 1;
        let rest = self.hash.wrapping_sub(mixed(u64::from(value) + 1));
        self.hash = rest.wrapping_mul(WEIGHT_INVERSE);
        self.forget_if_empty();
        Some(value)
    }

    /// The value at the front.
    pub fn first(&self) -> Option<u32> {
        let mut link = self.last.as_ref().filter(|_| self.len > 0)?;
        let wanted = link.depth + 1 - self.len;
        while link.depth > wanted {
            link = match &link.jump {
                Some(jump) if jump.depth >= wanted => jump,
                _ => link.below.as_ref()?,
            };
        }
        Some(link.value)
    }

    /// Takes the value at the front away. The links below stay for as long as one above does.
    pub fn pop_first(&mut self) -> Option<u32> {
        let value = self.first()?;
        self.len -= 1;
        let weight = WEIGHT.wrapping_pow(self.len);
        self.hash = self.hash.wrapping_sub(mixed(u64::from(value) + 1).wrapping_mul(weight));
        self.forget_if_empty();
        Some(value)
    }

    fn forget_if_empty(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
    }

    /// The values, from the end.
    fn iter(&self) -> impl Iterator<Item = u32> {
        let links = std::iter::successors(self.last.as_ref(), |link| link.below.as_ref());
        links.take(self.len()).map(|link| link.value)
    }

    /// Bytes that one more version holds.
    pub const LINK_BYTES: usize = size_of::<Link>() + 2 * size_of::<usize>();
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        if self.len != other.len || self.hash != other.hash {
            return false;
        }
        let (mut one, mut two) = (self.last.as_ref(), other.last.as_ref());
        for _ in 0..self.len {
            match (one, two) {
                (Some(a), Some(b)) if Rc::ptr_eq(a, b) => return true,
                (Some(a), Some(b)) if a.value == b.value => {
                    (one, two) = (a.below.as_ref(), b.below.as_ref());
                }
                _ => return false,
            }
        }
        true
    }
}

impl Eq for Chain {}

impl Hash for Chain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash ^ u64::from(self.len));
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values: Vec<u32> = self.iter().collect();
        values.reverse();
        f.debug_list().entries(values).finish()
    }
}

/// Numbers of a leaf, and nodes of an inner node.
const WIDTH: usize = 8;
const WIDTH_BITS: u32 = WIDTH.trailing_zeros();

/// Part of a [`Table`] in which some number is not 0.
#[derive(Clone)]
enum Node {
    Leaf([u32; WIDTH]),
    Inner([Option<Rc<Self>>; WIDTH]),
}

/// Numbers by index, 0 unless set.
#[derive(Clone, Default)]
pub struct Table {
    root: Option<Rc<Node>>,
    /// Levels of inner nodes.
    height: u32,
    hash: u64,
}

const fn weighed(index: u32, number: u32) -> u64 {
    if number == 0 { 0 } else { mixed((index as u64 + 1) << 32 | number as u64) }
}

impl Table {
    /// The number at the index.
    pub fn get(&self, index: u32) -> u32 {
        if !self.reaches(index) {
            return 0;
        }
        let mut node = self.root.as_deref();
        let mut level = self.height;
        loop {
            let at = (index >> (level * WIDTH_BITS)) as usize % WIDTH;
            match node {
                None => return 0,
                Some(Node::Leaf(numbers)) => return numbers[at],
                Some(Node::Inner(nodes)) => node = nodes[at].as_deref(),
            }
            level -= 1;
        }
    }

    /// Sets the number at the index.
    pub fn set(&mut self, index: u32, number: u32) {
        while !self.reaches(index) {
            if let Some(root) = self.root.take() {
                let mut nodes: [Option<Rc<Node>>; WIDTH] = Default::default();
                nodes[0] = Some(root);
                self.root = Some(Rc::new(Node::Inner(nodes)));
            }
            self.height += 1;
        }
        let mut before = 0;
        self.root = replaced(self.root.as_deref(), self.height, index, number, &mut before);
        let change = weighed(index, number).wrapping_sub(weighed(index, before));
        self.hash = self.hash.wrapping_add(change);
    }

    /// The first index whose number is not 0.
    pub fn first(&self) -> Option<u32> {
        let mut node = self.root.as_deref()?;
        let mut index = 0;
        loop {
            index <<= WIDTH_BITS;
            match node {
                Node::Leaf(numbers) => {
                    return Some(index | numbers.iter().position(|n| *n != 0)? as u32);
                }
                Node::Inner(nodes) => {
                    let at = nodes.iter().position(Option::is_some)?;
                    index |= at as u32;
                    node = nodes[at].as_deref()?;
                }
            }
        }
    }

    /// Every index whose number is not 0, rising, with the number.
    pub fn entries(&self) -> Vec<(u32, u32)> {
        let mut entries = Vec::new();
        if let Some(root) = &self.root {
            collect(root, 0, &mut entries);
        }
        entries
    }

    const fn reaches(&self, index: u32) -> bool {
        let bits = (self.height + 1) * WIDTH_BITS;
        bits >= u32::BITS || index >> bits == 0
    }

    /// Bytes that one more version holds, for the greatest index.
    pub fn version_bytes(&self) -> usize {
        (self.height as usize + 1) * (size_of::<Node>() + 2 * size_of::<usize>())
    }
}

/// The node with another number; none if nothing is left in it.
fn replaced(
    node: Option<&Node>,
    level: u32,
    index: u32,
    number: u32,
    before: &mut u32,
) -> Option<Rc<Node>> {
    let at = (index >> (level * WIDTH_BITS)) as usize % WIDTH;
    if level == 0 {
        let mut numbers = match node {
            Some(Node::Leaf(numbers)) => *numbers,
            _ => [0; WIDTH],
        };
        *before = std::mem::replace(&mut numbers[at], number);
        return numbers.iter().any(|n| *n != 0).then(|| Rc::new(Node::Leaf(numbers)));
    }
    let mut nodes = match node {
        Some(Node::Inner(nodes)) => nodes.clone(),
        _ => Default::default(),
    };
    nodes[at] = replaced(nodes[at].as_deref(), level - 1, index, number, before);
    nodes.iter().any(Option::is_some).then(|| Rc::new(Node::Inner(nodes)))
}

fn collect(node: &Node, base: u32, entries: &mut Vec<(u32, u32)>) {
    for at in 0..WIDTH as u32 {
        let index = base << WIDTH_BITS | at;
        match node {
            Node::Leaf(numbers) if numbers[at as usize] != 0 => {
                entries.push((index, numbers[at as usize]));
            }
            Node::Leaf(_) => {}
            Node::Inner(nodes) => {
                if let Some(node) = &nodes[at as usize] {
                    collect(node, index, entries);
                }
            }
        }
    }
}

/// Whether two nodes of the same level hold the same.
fn same(one: Option<&Rc<Node>>, two: Option<&Rc<Node>>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) if Rc::ptr_eq(one, two) => true,
        (Some(one), Some(two)) => match (&**one, &**two) {
            (Node::Leaf(one), Node::Leaf(two)) => one == two,
            (Node::Inner(one), Node::Inner(two)) => {
                one.iter().zip(two).all(|(one, two)| same(one.as_ref(), two.as_ref()))
            }
            _ => false,
        },
        _ => false,
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        if self.hash != other.hash {
            return false;
        }
        if self.height == other.height {
            return same(self.root.as_ref(), other.root.as_ref());
        }
        self.entries() == other.entries()
    }
}

impl Eq for Table {}

impl Hash for Table {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn hash_of(what: &impl Hash) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        what.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn a_chain_is_a_list() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut versions: Vec<(Chain, VecDeque<u32>)> = vec![Default::default()];
        for _ in 0..3_000 {
            let (mut chain, mut list) = versions[rng.random_range(0..versions.len())].clone();
            for _ in 0..rng.random_range(1..6) {
                match rng.random_range(0..5) {
                    0 => assert_eq!(chain.pop_first(), list.pop_front()),
                    1 => assert_eq!(chain.pop_last(), list.pop_back()),
                    _ => {
                        let value = rng.random_range(0..2);
                        chain.push(value);
                        list.push_back(value);
                    }
                }
            }
            assert_eq!(chain.first(), list.front().copied());
            assert_eq!(chain.last(), list.back().copied());
            let (other, others) = &versions[rng.random_range(0..versions.len())];
            assert_eq!(chain == *other, list == *others, "{chain:?} {other:?}");
            assert!(list != *others || hash_of(&chain) == hash_of(other));
            versions.push((chain, list));
        }
    }

    #[test]
    fn a_long_chain_can_be_dropped() {
        let mut chain = Chain::default();
        (0..1_000_000).for_each(|value| chain.push(value));
        let clone = chain.clone();
        drop(chain);
        assert_eq!((clone.first(), clone.last(), clone.len()), (Some(0), Some(999_999), 1_000_000));
    }

    #[test]
    fn a_table_is_a_map() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut versions: Vec<(Table, BTreeMap<u32, u32>)> = vec![Default::default()];
        for _ in 0..3_000 {
            let (mut table, mut map) = versions[rng.random_range(0..versions.len())].clone();
            for _ in 0..rng.random_range(1..4) {
                let index = [3, 9, 70, 5_000, u32::MAX][rng.random_range(0..5)];
                let number = rng.random_range(0..2);
                table.set(index, number);
                map.insert(index, number);
                map.retain(|_, number| *number != 0);
                assert_eq!(table.get(index), number);
            }
            assert_eq!(table.first(), map.keys().next().copied());
            assert_eq!(table.entries(), map.clone().into_iter().collect::<Vec<_>>());
            let (other, others) = &versions[rng.random_range(0..versions.len())];
            assert_eq!(table == *other, map == *others);
            assert!(map != *others || hash_of(&table) == hash_of(other));
            versions.push((table, map));
        }
    }
}
