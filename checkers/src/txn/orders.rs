//! In what order the versions of each key followed each other, as far as that is known.

use super::columns::{F, NONE, Outcome, Txns, Writers};

/// The order of the versions of every key.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// By key: versions, the initial one left out.
    pub by_key: Vec<Vec<u32>>,
    /// By version: its place in the order, or [`NONE`].
    pub places: Vec<u32>,
    /// By key: transactions that committed and wrote versions that stand nowhere in the order: these follow all that do.
    /// Rising.
    pub tails: Vec<Vec<u32>>,
    /// By transaction: whether it certainly took effect.
    pub committed: Vec<bool>,
}

impl Orders {
    /// Of lists: the longest that was read is the order in which its elements were appended.
    pub fn of_lists(txns: &Txns, writers: &Writers) -> Self {
        let keys = txns.keys.len() as u32;
        let mut by_key: Vec<Vec<u32>> = (0..keys).map(|key| txns.spine(key).to_vec()).collect();
        for (row, _) in txns.txns.iter().enumerate() {
            for op in txns.ops(row as u32).iter().filter(|op| op.f == F::Odd) {
                let longest = &mut by_key[op.key as usize];
                let odd = txns.odd(op.value);
                if odd.len() > longest.len() {
                    *longest = odd.to_vec();
                }
            }
        }
        Self::new(txns, writers, by_key)
    }

    fn new(txns: &Txns, writers: &Writers, by_key: Vec<Vec<u32>>) -> Self {
        let mut places = vec![NONE; txns.versions() as usize];
        let mut committed: Vec<bool> =
            txns.txns.iter().map(|txn| txn.outcome == Outcome::Ok).collect();
        for order in &by_key {
            for (place, version) in order.iter().enumerate().rev() {
                places[*version as usize] = place as u32;
                // What was read had happened, whatever became of its client.
                if let Some(writer) = writers.of(*version) {
                    let row = writer as usize;
                    committed[row] |= txns.txns[row].outcome == Outcome::Info;
                }
            }
        }
        let mut tails = vec![Vec::new(); by_key.len()];
        for (row, _) in committed.iter().enumerate().filter(|(_, committed)| **committed) {
            for op in txns.ops(row as u32) {
                let write = matches!(op.f, F::Append | F::Write);
                if write && places[op.value as usize] == NONE {
                    tails[op.key as usize].push(row as u32);
                }
            }
        }
        // A transaction may have several versions in a tail.
        tails.iter_mut().for_each(Vec::dedup);
        Self { by_key, places, tails, committed }
    }

    /// The versions of a key from a place on, each once: what stands in the order again counts where it stands first.
    pub fn from(&self, key: u32, place: u32) -> impl Iterator<Item = u32> + '_ {
        let rest = (place..).zip(&self.by_key[key as usize][place as usize..]);
        rest.filter(|(place, version)| self.places[**version as usize] == *place).map(|(_, v)| *v)
    }

    /// The writer of a version, if it certainly took effect.
    pub fn writer(&self, writers: &Writers, version: u32) -> Option<u32> {
        writers.of(version).filter(|writer| self.committed[*writer as usize])
    }

    /// The place in the order where what follows a version stands; [`NONE`] is the initial version. Nothing if the version
    /// has no place.
    pub fn after(&self, version: u32) -> Option<u32> {
        if version == NONE {
            return Some(0);
        }
        let place = self.places[version as usize];
        (place != NONE).then(|| place + 1)
    }
}
