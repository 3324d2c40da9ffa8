//! Small random histories against the axioms themselves: is there an order of the transactions in which nobody missed what it
//! had seen? All orders are tried.

use proptest::prelude::*;

use super::tests::is_vacuous;
use crate::models::Model;
use crate::testing::{judged, verdict_of};
use crate::verdict::Verdict;

/// A write, or a read and which of the key's versions it returns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Micro {
    pub write: bool,
    pub key: usize,
    pub choice: usize,
}

/// Transactions with their sessions, in the order in which they are performed.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub txns: Vec<(usize, Vec<Micro>)>,
}

pub(super) const KEYS: usize = 2;
const SESSIONS: usize = 3;

pub(super) fn case(count: usize) -> impl Strategy<Value = Case> {
    let micro = (any::<bool>(), 0..KEYS, 0..8_usize);
    let micro = micro.prop_map(|(write, key, choice)| Micro { write, key, choice });
    let txn = (0..SESSIONS, prop::collection::vec(micro, 1..=4));
    prop::collection::vec(txn, 2..=count).prop_map(|txns| Case { txns })
}

/// A transaction as it went: external reads in order, by key and writer, and keys it wrote.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub session: usize,
    /// The writer is nothing for the initial version.
    pub reads: Vec<(usize, Option<usize>)>,
    pub writes: Vec<usize>,
}

impl Case {
    /// What transactions read: of a key the final version of any other transaction that writes it, or the initial one, but
    /// each key alike within a transaction; and what they wrote themselves.
    pub fn run(&self) -> (Vec<Ran>, String) {
        let writers = |key: usize, but: usize| -> Vec<usize> {
            let wrote =
                |(_, ops): &(usize, Vec<Micro>)| ops.iter().any(|op| op.write && op.key == key);
            (0..self.txns.len()).filter(|txn| *txn != but && wrote(&self.txns[*txn])).collect()
        };
        let mut text = String::new();
        let mut ran = Vec::new();
        for (txn, (session, ops)) in self.txns.iter().enumerate() {
            let mut known: Vec<Option<String>> = vec![None; KEYS];
            let mut from: Vec<Option<Option<usize>>> = vec![None; KEYS];
            let (mut reads, mut writes, mut shown) = (Vec::new(), Vec::new(), Vec::new());
            for (at, op) in ops.iter().enumerate() {
                if op.write {
                    let value = value(txn, at);
                    shown.push(format!("[\"w\",{},{value}]", op.key));
                    known[op.key] = Some(value.to_string());
                    from[op.key] = None;
                    writes.push(op.key);
                    continue;
                }
                // What was read before is read again, and by then more may have been seen.
                reads.extend(from[op.key].map(|writer| (op.key, writer)));
                let value = known[op.key].get_or_insert_with(|| {
                    let writers = writers(op.key, txn);
                    let writer = writers.get(op.choice % (writers.len() + 1)).copied();
                    reads.push((op.key, writer));
                    from[op.key] = Some(writer);
                    let version = |writer: usize| {
                        let ops = &self.txns[writer].1;
                        let last = ops.iter().rposition(|o| o.write && o.key == op.key).unwrap();
                        value(writer, last).to_string()
                    };
                    writer.map_or("null".into(), version)
                });
                shown.push(format!("[\"r\",{},{value}]", op.key));
            }
            let shown = shown.join(",");
            text += &format!("{session} invoke txn []\n{session} ok txn [{shown}]\n");
            ran.push(Ran { session: *session, reads, writes });
        }
        (ran, text)
    }
}

const fn value(txn: usize, at: usize) -> usize {
    txn * 10 + at + 1
}

/// Calls `each` for orders of so many transactions until it returns true, and says whether it did.
pub(super) fn any_order(count: usize, each: &mut impl FnMut(&[usize]) -> bool) -> bool {
    fn go(rest: &mut Vec<usize>, at: usize, each: &mut impl FnMut(&[usize]) -> bool) -> bool {
        if at == rest.len() {
            return each(rest);
        }
        for next in at..rest.len() {
            rest.swap(at, next);
            if go(rest, at + 1, each) {
                return true;
            }
            rest.swap(at, next);
        }
        false
    }
    go(&mut (0..count).collect(), 0, each)
}

/// What precedes what, by sessions if they count, and reads; and all that follows.
pub(super) fn happens_before(ran: &[Ran], sessions: bool) -> Vec<Vec<bool>> {
    let count = ran.len();
    let mut before = vec![vec![false; count]; count];
    for (txn, of) in ran.iter().enumerate() {
        for (_, writer) in &of.reads {
            if let Some(writer) = writer {
                before[*writer][txn] = true;
            }
        }
        for earlier in 0..txn {
            before[earlier][txn] |= sessions && ran[earlier].session == of.session;
        }
    }
    close(&mut before);
    before
}

/// Adds what follows.
pub(super) fn close(before: &mut [Vec<bool>]) {
    let all = 0..before.len();
    for via in all.clone() {
        for a in all.clone() {
            for b in all.clone() {
                before[a][b] |= before[a][via] && before[via][b];
            }
        }
    }
}

/// Whether some order of all transactions, with sessions if they count, explains all reads: of every transaction that
/// `seen` says a read had seen and that wrote its key, the one it read from comes later.
fn explained(ran: &[Ran], sessions: bool, seen: impl Fn(usize, usize, usize) -> bool) -> bool {
    let before = happens_before(ran, sessions);
    any_order(ran.len(), &mut |order| {
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, txn)| place[*txn] = at);
        let fits =
            |(a, row): (usize, &Vec<bool>)| (0..row.len()).all(|b| !row[b] || place[a] < place[b]);
        before.iter().enumerate().all(fits)
            && ran.iter().enumerate().all(|(txn, of)| {
                of.reads.iter().enumerate().all(|(at, (key, writer))| {
                    let mut missed = (0..ran.len()).filter(|other| {
                        Some(*other) != *writer
                            && ran[*other].writes.contains(key)
                            && seen(*other, txn, at)
                    });
                    missed.all(|other| writer.is_some_and(|writer| place[other] < place[writer]))
                })
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn levels_are_orders_in_which_nothing_seen_is_missed(case in case(6)) {
        let (ran, history) = case.run();
        let judgement = judged("rw-register", &[], &history);
        if is_vacuous(&judgement) {
            return Ok(());
        }
        let before = happens_before(&ran, true);
        let read_before = |other: usize, txn: usize, at: usize| {
            ran[txn].reads[..at].iter().any(|(_, writer)| *writer == Some(other))
        };
        let in_session = |other: usize, txn: usize| ran[other].session == ran[txn].session && other < txn;
        let levels = [
            (Model::ReadCommitted, explained(&ran, false, |_, _, _| false)),
            (Model::StrongSessionReadCommitted, explained(&ran, true, |_, _, _| false)),
            (Model::MonotonicAtomicView, explained(&ran, false, read_before)),
            (Model::ReadAtomic, explained(&ran, true, |other, txn, _| {
                in_session(other, txn) || read_before(other, txn, ran[txn].reads.len())
            })),
            (Model::TransactionalCausal, explained(&ran, true, |other, txn, _| before[other][txn])),
        ];
        for (model, expected) in levels {
            let found = verdict_of(model, &judgement);
            let expected = if expected { Verdict::Valid } else { Verdict::Invalid };
            prop_assert!(found == expected, "{model} is {found:?}, not {expected:?}:\n{history}");
        }
    }
}
