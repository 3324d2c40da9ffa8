//! The state of a cluster with what does not matter left out, so that a search can tell what it has not seen before.
//!
//! Of a node counts its role, how its term and its log stand to those of the others, and what it waits for; not which number it
//! has, nor how large terms and indices are.

use std::hash::Hasher;

use crate::system::Standing;

/// One node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Abstract {
    term: u64,
    last_term: u64,
    /// The protocol's, and how it stands to what is committed, as bits.
    facts: u32,
}

/// How far apart two numbers are, roughly: 0, 1, few, many.
fn distance(from: u64, to: u64) -> u32 {
    match to.saturating_sub(from) {
        0 => 0,
        1 => 1,
        2..=8 => 2,
        _ => 3,
    }
}

impl Abstract {
    /// A node that runs, as it stands to the entry that is known to be committed.
    pub(crate) fn of(standing: &Standing, committed: u64) -> Self {
        let (last_term, last) = standing.last;
        let facts = u32::from(standing.facts)
            | distance(committed, last) << 16
            | distance(last, committed) << 18
            | distance(standing.committed, committed) << 20;
        Self { term: standing.term, last_term, facts }
    }

    /// The cluster, by hash.
    pub(crate) fn cluster(nodes: &[Self]) -> u64 {
        let mut sorted = [Self::default(); 9];
        let sorted = &mut sorted[..nodes.len()];
        sorted.copy_from_slice(nodes);
        sorted.sort_unstable_by_key(|node| (node.facts, node.term, node.last_term));
        let newest = nodes.iter().map(|node| node.term).max().unwrap_or(0);
        let longest = nodes.iter().map(|node| node.last_term).max().unwrap_or(0);
        sorted.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, node| {
            let behind = distance(node.term, newest) | distance(node.last_term, longest) << 2;
            let word = u64::from(node.facts) << 4 | u64::from(behind);
            (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
        })
    }
}

/// For keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
