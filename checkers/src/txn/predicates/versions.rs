//! In what order the versions of a key followed each other, and which of them a read may have seen.

use crate::columns::WordMap;
use crate::txn::columns::{F, NONE, Outcome, Txns, Writers};

/// What is known of the versions of every key.
pub(super) struct Versions {
    /// By transaction: whether it certainly took effect.
    pub committed: Vec<bool>,
    keys: Vec<Key>,
    /// A key whose versions' order is not known, if there is one.
    pub unordered: Option<u32>,
}

#[derive(Debug, Default)]
struct Key {
    /// What `init` put there.
    initial: Option<u32>,
    /// Final versions of transactions that took effect, without the initial one; in their order, if that is known.
    line: Vec<u32>,
    ordered: bool,
    /// Versions of transactions of which nobody knows whether they took effect.
    maybe: Vec<u32>,
}

/// Where a read stands among the versions of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// It follows this one; [`NONE`] if it may have seen the key before it was written at all.
    pub from: u32,
    /// It precedes this one, if any.
    pub to: To,
    /// Whether just one version fits.
    pub exact: bool,
    /// Whether versions that do not fit lie between those that do, or nobody knows.
    pub ambiguous: bool,
}

/// What a read precedes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Nothing,
    Version(u32),
    /// Every version of the key.
    All,
}

impl Versions {
    pub fn new(txns: &Txns, writers: &Writers) -> Self {
        let committed = writers.took_effect(txns);
        let mut keys: Vec<Key> = txns.keys.iter().map(|_| Key::default()).collect();
        for row in 0..txns.txns.len() as u32 {
            let took_effect = committed[row as usize];
            if !took_effect && txns.txns[row as usize].outcome == Outcome::Fail {
                continue;
            }
            for (key, version) in finals(txns, row) {
                let of = &mut keys[key as usize];
                if took_effect && txns.is_initial(row) {
                    of.initial = Some(version);
                } else if took_effect {
                    of.line.push(version);
                } else {
                    of.maybe.push(version);
                }
            }
        }
        let before = read_before(txns, &committed);
        let mut unordered = None;
        for (key, of) in (0..).zip(&mut keys) {
            of.ordered = of.put_in_order(txns, writers, &before);
            if !of.ordered {
                unordered.get_or_insert(key);
            }
        }
        Self { committed, keys, unordered }
    }

    /// The versions of a key in their order, if that is known.
    pub fn line(&self, key: u32) -> impl Iterator<Item = u32> + '_ {
        let of = &self.keys[key as usize];
        let line = if of.ordered { &of.line[..] } else { &[] };
        of.initial.iter().chain(line).copied()
    }

    /// All versions of a key that took effect.
    pub fn all(&self, key: u32) -> impl Iterator<Item = u32> + '_ {
        let of = &self.keys[key as usize];
        of.initial.iter().chain(&of.line).copied()
    }

    /// Where a read stands that saw a version that `fits`, of which [`NONE`] stands for the key that is not there yet; nothing if
    /// none fits. What the reader writes itself, it does later, and that `is_own`.
    pub fn seen(
        &self,
        key: u32,
        is_own: impl Fn(u32) -> bool,
        fits: impl Fn(u32) -> bool,
    ) -> Option<Seen> {
        let of = &self.keys[key as usize];
        let first = of.initial.unwrap_or(NONE);
        let line = std::iter::once(first).chain(of.line.iter().copied());
        let line: Vec<u32> = line.filter(|version| !is_own(*version)).collect();
        let fitting: Vec<usize> = (0..line.len()).filter(|at| fits(line[*at])).collect();
        let maybe = of.maybe.iter().any(|version| fits(*version));
        let (Some(low), Some(high)) = (fitting.first().copied(), fitting.last().copied()) else {
            let anywhere = Seen { from: NONE, to: To::Nothing, exact: false, ambiguous: true };
            return maybe.then_some(anywhere);
        };
        let exact = fitting.len() == 1 && !maybe;
        let from = if maybe || !of.ordered && !exact { NONE } else { line[low] };
        let known = of.ordered || exact && high == 0;
        let to = match line.get(high + 1).filter(|_| known && !maybe) {
            None => To::Nothing,
            Some(_) if !of.ordered => To::All,
            Some(next) => To::Version(*next),
        };
        let gap = fitting.len() < high - low + 1;
        Some(Seen { from, to, exact, ambiguous: maybe || gap || !of.ordered && !exact })
    }
}

impl Key {
    /// Puts the versions in their order; false if it is not known.
    fn put_in_order(&mut self, txns: &Txns, writers: &Writers, before: &WordMap<u32, u32>) -> bool {
        if self.line.len() < 2 {
            return true;
        }
        let number = |version: &u32| txns.number(writers.of(*version)?, *version);
        if self.line.iter().all(|version| number(version).is_some()) {
            self.line.sort_by_key(number);
            return true;
        }
        // By version: who read it and wrote the next.
        let mut next: WordMap<u32, u32> = WordMap::default();
        let mut at = self.initial.unwrap_or(NONE);
        for version in &self.line {
            let earlier = before.get(version).copied().unwrap_or(NONE);
            if next.insert(earlier, *version).is_some() {
                return false;
            }
        }
        let mut line = Vec::with_capacity(self.line.len());
        while let Some(version) = next.remove(&at) {
            line.push(version);
            at = version;
        }
        let whole = line.len() == self.line.len();
        if whole {
            self.line = line;
        }
        whole
    }
}

/// What a transaction leaves behind: keys and versions.
pub(super) fn finals(txns: &Txns, row: u32) -> Vec<(u32, u32)> {
    let writes = txns.ops(row).iter().filter(|op| op.f == F::Write);
    let mut writes: Vec<(u32, u32)> = writes.map(|op| (op.key, op.value)).collect();
    // Of several writes of a key the last counts.
    writes.reverse();
    writes.sort_by_key(|(key, _)| *key);
    writes.dedup_by_key(|(key, _)| *key);
    writes
}

/// By version: the one that its transaction had read of the key before it wrote it; of a key that was not there nothing.
fn read_before(txns: &Txns, committed: &[bool]) -> WordMap<u32, u32> {
    let mut before = WordMap::default();
    for row in (0..txns.txns.len() as u32).filter(|row| committed[*row as usize]) {
        for (key, version) in finals(txns, row) {
            let ops = txns.ops(row).iter();
            let ops = ops.take_while(|op| !(op.f == F::Write && op.key == key));
            let saw = ops.filter_map(|op| match op.f {
                F::Read if op.key == key => Some(op.value),
                F::Match => txns.matched[op.value as usize].version(key),
                _ => None,
            });
            if let Some(saw) = saw.last().filter(|saw| *saw != NONE) {
                before.insert(version, saw);
            }
        }
    }
    before
}
