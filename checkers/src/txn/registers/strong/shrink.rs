//! Which transactions suffice to break a level.
//!
//! A part of a history has every level that the whole has: reads of what is left out are left out too. So what is broken stays
//! broken while transactions are taken away that are not needed, many at a time and then fewer (A. Zeller & R. Hildebrandt,
//! *Simplifying and Isolating Failure-Inducing Input*, IEEE TSE 28(2), 2002).

use super::problem::{Answer, Ask, Txn, decide};
use crate::budget::Budget;

/// What decisions may cost together, in decisions of the whole: about as long as the first one took, a few times over.
const WHOLES_MAX: u64 = 8;

/// What they may cost in any case, in squares of transactions: some thousands of decisions of a hundred.
const COST_MAX: u64 = 1 << 25;

/// So many transactions are looked at first.
const FIRST: usize = 32;

/// Transactions that break it, by number: as few as could be found within the budget.
pub(super) fn shrink(txns: &[Txn], ask: Ask, budget: &dyn Budget) -> Vec<u32> {
    // A decision costs about the square of its transactions.
    let cost = |count: usize| (count as u64).pow(2);
    let mut left = COST_MAX.max(WHOLES_MAX * cost(txns.len()));
    // Whether some of them break it; nothing if no more decisions can be made.
    let mut broken = |some: &[u32]| {
        left = left.checked_sub(cost(some.len()))?;
        let may_go_on = budget.spent(0).is_none();
        may_go_on.then(|| decide(&part(txns, some), ask, budget) == Answer::Broken)
    };
    let mut kept: Vec<u32> = (0..txns.len() as u32).collect();
    // Where much is wrong, something is wrong early on.
    let early = std::iter::successors(Some(FIRST), |count| Some(2 * count));
    let mut decided =
        early.take_while(|count| *count < txns.len()).map(|count| (count, broken(&kept[..count])));
    if let Some((count, Some(true))) = decided.find(|(_, broken)| *broken != Some(false)) {
        kept.truncate(count);
    }
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < kept.len() {
            let end = (at + size).min(kept.len());
            let rest = [&kept[..at], &kept[end..]].concat();
            match broken(&rest) {
                Some(true) => kept = rest,
                Some(false) => at = end,
                None => return kept,
            }
        }
        size /= 2;
    }
    kept
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
