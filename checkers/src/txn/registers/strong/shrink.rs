//! Which transactions suffice to break a level.
//!
//! A part of a history has every level that the whole has: reads of what is left out are left out too. So what is broken stays
//! broken while transactions are taken away that are not needed: all at once those that had no part in finding it out, then
//! many of the others at a time and then fewer (A. Zeller & R. Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*,
//! IEEE TSE 28(2), 2002).

use super::problem::{Answer, Ask, Txn, core, decide};
use crate::budget::Budget;

/// What decisions may cost together, in decisions of the whole: about as long as the first one took, a few times over.
const WHOLES_MAX: u64 = 8;

/// What they may cost in any case, in squares of transactions: some thousands of decisions of a hundred.
const COST_MAX: u64 = 1 << 25;

/// So many transactions are looked at first.
const FIRST: usize = 32;

/// Transactions that break it, by number: as few as could be found within the budget.
pub(super) fn shrink(txns: &[Txn], ask: Ask, budget: &dyn Budget) -> Vec<u32> {
    let left = COST_MAX.max(WHOLES_MAX * cost(txns.len()));
    let mut cutting = Cutting { txns, ask, budget, left };
    let all = (0..txns.len() as u32).collect();
    let early = cutting.early(all);
    let core = cutting.core(early);
    cutting.without_parts(core)
}

/// A decision costs about the square of its transactions.
const fn cost(count: usize) -> u64 {
    (count as u64).pow(2)
}

struct Cutting<'a> {
    txns: &'a [Txn],
    ask: Ask,
    budget: &'a dyn Budget,
    /// What decisions may cost yet.
    left: u64,
}

impl Cutting<'_> {
    /// Whether another decision on so many may be made, which is paid for then.
    fn pays(&mut self, count: usize) -> bool {
        let left = self.left.checked_sub(cost(count));
        self.left = left.unwrap_or(self.left);
        left.is_some() && self.budget.spent(0).is_none()
    }

    /// Whether some of them break it; nothing if no more decisions can be made.
    fn broken(&mut self, some: &[u32]) -> Option<bool> {
        let may = self.pays(some.len());
        may.then(|| decide(&part(self.txns, some), self.ask, self.budget) == Answer::Broken)
    }

    /// The first of them that break it: where much is wrong, something is wrong early on.
    fn early(&mut self, mut kept: Vec<u32>) -> Vec<u32> {
        let early = std::iter::successors(Some(FIRST), |count| Some(2 * count));
        for count in early.take_while(|count| *count < kept.len()) {
            match self.broken(&kept[..count]) {
                Some(false) => {}
                Some(true) => {
                    kept.truncate(count);
                    break;
                }
                None => break,
            }
        }
        kept
    }

    /// Those of them that had a part in finding that they break it, and of these again.
    fn core(&mut self, mut kept: Vec<u32>) -> Vec<u32> {
        while self.pays(kept.len()) {
            match core(&part(self.txns, &kept), self.ask, self.budget) {
                Some(core) if core.len() < kept.len() => {
                    kept = core.iter().map(|at| kept[*at as usize]).collect();
                }
                _ => break,
            }
        }
        kept
    }

    /// What is left when many are taken away at a time, and then fewer.
    fn without_parts(&mut self, mut kept: Vec<u32>) -> Vec<u32> {
        let mut size = kept.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < kept.len() {
                let end = (at + size).min(kept.len());
                let rest = [&kept[..at], &kept[end..]].concat();
                match self.broken(&rest) {
                    // What was needed before is still.
                    Some(true) => kept = self.core(rest),
                    Some(false) => at = end,
                    None => return kept,
                }
            }
            size /= 2;
        }
        kept
    }
}

/// Some of the transactions, with reads of each other and of the initial versions alone.
fn part(txns: &[Txn], kept: &[u32]) -> Vec<Txn> {
    let number = |txn: u32| kept.binary_search(&txn).ok().map(|at| at as u32);
    let read = |(key, writer): &(u32, Option<u32>)| match writer {
        None => Some((*key, None)),
        Some(writer) => number(*writer).map(|writer| (*key, Some(writer))),
    };
    let part = kept.iter().map(|at| {
        let txn = &txns[*at as usize];
        Txn { reads: txn.reads.iter().filter_map(read).collect(), ..txn.clone() }
    });
    part.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::problem::{Axiom, Time};
    use super::*;
    use crate::budget::Unlimited;
    use crate::graph::Times;

    const KEYS: u32 = 5;

    /// Transactions one after the other. Each is of a session, writes some keys, and reads others as of so many transactions ago, which is
    /// wrong in few places only, and seldom at one look.
    fn txns() -> impl Strategy<Value = Vec<Txn>> {
        let keys = 0..1u32 << KEYS;
        let txn = (0..3u32, keys.clone(), keys, 0..6u32);
        proptest::collection::vec(txn, 2..20).prop_map(|drawn| {
            let has = |keys: u32, key: u32| keys >> key & 1 == 1;
            let txn = |(at, (session, reads, writes, ago)): (u32, &(u32, u32, u32, u32))| {
                let seen = &drawn[..at.saturating_sub(*ago) as usize];
                let read =
                    |key| (key, seen.iter().rposition(|txn| has(txn.2, key)).map(|of| of as u32));
                Txn {
                    session: *session,
                    times: Times { call: 2 * at, ret: Some(2 * at + 1) },
                    reads: (0..KEYS).filter(|key| has(*reads, *key)).map(read).collect(),
                    writes: (0..KEYS).filter(|key| has(*writes, *key)).collect(),
                }
            };
            (0..).zip(&drawn).map(txn).collect()
        })
    }

    const AXIOMS: [Axiom; 6] = [
        Axiom::Serializable,
        Axiom::Snapshot,
        Axiom::Prefix,
        Axiom::ParallelSnapshot,
        Axiom::Update,
        Axiom::Cursor,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn what_is_left_is_broken_and_nothing_of_it_can_go(txns in txns()) {
            let is_broken = |some: &[u32], ask: Ask| decide(&part(&txns, some), ask, &Unlimited) == Answer::Broken;
            let all: Vec<u32> = (0..txns.len() as u32).collect();
            for (axiom, time) in AXIOMS.iter().flat_map(|a| [Time::None, Time::Sessions, Time::Real].map(|t| (*a, t))) {
                let ask = Ask { axiom, time };
                let found = core(&txns, ask, &Unlimited);
                if !is_broken(&all, ask) {
                    prop_assert!(found.is_none(), "{ask:?} holds, and {found:?} broke it");
                    continue;
                }
                prop_assert!(found.is_some() || axiom == Axiom::Cursor, "{ask:?}");
                if let Some(found) = found {
                    prop_assert!(is_broken(&found, ask), "{found:?} do not break {ask:?}");
                }
                let kept = shrink(&txns, ask, &Unlimited);
                prop_assert!(is_broken(&kept, ask), "{kept:?} do not break {ask:?}");
                for at in 0..kept.len() {
                    let rest = [&kept[..at], &kept[at + 1..]].concat();
                    prop_assert!(!is_broken(&rest, ask), "{rest:?} of {kept:?} break {ask:?}");
                }
            }
        }
    }
}
