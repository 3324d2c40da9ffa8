//! Per key: which read found a value that its past had replaced, and which write must come before which because a read
//! that knew both found the latter.
//!
//! For a read `r` of key `x` that found `w`, only the last write to `x` of each chain in the past of `r` matters: the earlier
//! ones come before it. While a session is walked, these move forward only.

use rayon::prelude::*;

use super::clocks::Clocks;
use super::writes::Writes;
use crate::budget::{Budget, Exhausted, Sparing};
use crate::sessions::order::{INIT, NONE, OPEN};
use crate::sessions::violation::Known;

/// A read that found `old` although `new` came after that and before the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The write whose value was found, or [`INIT`].
    pub old: u32,
    /// The newer write.
    pub new: u32,
    /// Who found it.
    pub read: u32,
}

/// What the reads of one key say.
#[derive(Default)]
pub struct Conflicts {
    /// The first read that is stale.
    pub stale: Option<Stale>,
    /// Writes and the writes that they must come before, where that is not so anyway.
    pub edges: Edges,
}

/// Walks the reads of one key.
struct Reader<'a> {
    known: Known<'a>,
    clocks: &'a Clocks,
    writes: &'a Writes,
    key: u32,
    edges: bool,
    /// How many writes of each group lie in the past.
    passed: Vec<u32>,
    found: Conflicts,
}

/// Pairs of writes, the first of which must come before the second.
pub type Edges = Vec<(u32, u32)>;

/// What all keys say, the edges by key; the stale read is the first of all to return.
///
/// # Errors
/// If the budget ends.
pub fn conflicts(
    known: Known<'_>,
    clocks: &Clocks,
    writes: &Writes,
    edges: bool,
    budget: &dyn Budget,
) -> Result<(Option<Stale>, Vec<Edges>), Exhausted> {
    let keys = 0..known.sessions.registers().keys.len() as u32;
    let sparing = Sparing::new(budget);
    let of_key = |key: u32| {
        let reader = Reader {
            known,
            clocks,
            writes,
            key,
            edges,
            passed: Vec::new(),
            found: Conflicts::default(),
        };
        reader.walk(&sparing)
    };
    let all: Vec<Conflicts> = keys.into_par_iter().map(of_key).collect::<Result<_, _>>()?;
    let ret = |stale: &Stale| known.sessions.row(stale.read).ret;
    let stale = all.iter().filter_map(|key| key.stale).min_by_key(ret);
    Ok((stale, all.into_iter().map(|key| key.edges).collect()))
}

impl Reader<'_> {
    fn walk(mut self, budget: &Sparing<'_>) -> Result<Conflicts, Exhausted> {
        let sessions = self.known.sessions;
        let ops = sessions.of_key(self.key);
        for chain in ops.chunk_by(|a, b| sessions.chain(*a) == sessions.chain(*b)) {
            budget.step(chain.len() + self.writes.of_key(self.key).len(), 0)?;
            self.passed.clear();
            self.passed.resize(self.writes.of_key(self.key).len(), 0);
            let mut last = (NONE, NONE);
            for op in chain {
                let source = self.known.sources[*op as usize];
                if source == NONE || source == OPEN {
                    continue;
                }
                let again = last.0 == source && last.1 == self.clocks.row_id(*op);
                self.read(*op, source, again);
                last = (source, self.clocks.row_id(*op));
            }
        }
        Ok(self.found)
    }

    /// Looks at the last write of each group before `read`; `again` if only its own chain's can have changed.
    fn read(&mut self, read: u32, source: u32, again: bool) {
        let sessions = self.known.sessions;
        let own = sessions.chain(read);
        for (at, number) in self.writes.of_key(self.key).enumerate() {
            let group = self.writes.group(number);
            if again && group.chain != own {
                continue;
            }
            let count = self.clocks.count(sessions, read, group.chain);
            let ops = self.writes.ops(group);
            let start = sessions.chains()[group.chain as usize].start;
            let passed = &mut self.passed[at];
            while ops.get(*passed as usize).is_some_and(|op| op - start < count) {
                *passed += 1;
            }
            if let Some(last) = passed.checked_sub(1) {
                self.compare(ops[last as usize], source, read);
            }
        }
    }

    /// `last` is a write before `read`, which found `source`.
    fn compare(&mut self, last: u32, source: u32, read: u32) {
        let sessions = self.known.sessions;
        if last == source || (source != INIT && self.clocks.before(sessions, last, source)) {
            return;
        }
        if source == INIT || self.clocks.before(sessions, source, last) {
            let stale = Stale { old: source, new: last, read };
            let ret = |stale: Stale| sessions.row(stale.read).ret;
            if self.found.stale.is_none_or(|other| ret(stale) < ret(other)) {
                self.found.stale = Some(stale);
            }
        } else if self.edges {
            self.found.edges.push((last, source));
        }
    }
}
