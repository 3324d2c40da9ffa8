//! Small random histories against the definitions themselves: all orders are tried.

use proptest::prelude::*;

use super::super::tests::is_vacuous;
use super::super::weak_oracle_tests::{Case, KEYS, Ran, any_order, case};
use crate::models::Model;
use crate::testing::{judged, verdict_of};
use crate::verdict::Verdict;

/// Whether a serial run in this order reads what was read; sessions may count.
fn is_serial(ran: &[Ran], order: &[usize], sessions: bool) -> bool {
    let mut held: Vec<Option<usize>> = vec![None; KEYS];
    let mut last = [None; 8];
    order.iter().all(|txn| {
        let of = &ran[*txn];
        let in_turn = !sessions || last[of.session].replace(*txn).is_none_or(|last| last < *txn);
        let finds = of.reads.iter().all(|(key, writer)| held[*key] == *writer);
        of.writes.iter().for_each(|key| held[*key] = Some(*txn));
        in_turn && finds
    })
}

/// Whether an order of snapshots (even) and commits (odd) explains all reads, and writers of a key do not overlap if that
/// `conflict`s.
fn is_snapshots(ran: &[Ran], order: &[usize], sessions: bool, conflict: bool) -> bool {
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, point)| place[*point] = at);
    let (snapshot, commit) = (|txn: usize| place[2 * txn], |txn: usize| place[2 * txn + 1]);
    let all = || 0..ran.len();
    all().all(|txn| {
        let of = &ran[txn];
        let writers = |key: usize| {
            all().filter(move |other| *other != txn && ran[*other].writes.contains(&key))
        };
        let finds = |(key, writer): &(usize, Option<usize>)| {
            let latest =
                writers(*key).filter(|w| commit(*w) < snapshot(txn)).max_by_key(|w| commit(*w));
            latest == *writer
        };
        let apart = |key: &usize| {
            writers(*key)
                .all(|other| commit(other) < snapshot(txn) || commit(txn) < snapshot(other))
        };
        let in_turn =
            |other: usize| ran[other].session != of.session || commit(other) < snapshot(txn);
        snapshot(txn) < commit(txn)
            && of.reads.iter().all(finds)
            && (!conflict || of.writes.iter().all(apart))
            && (!sessions || (0..txn).all(in_turn))
    })
}

/// Whether, in this order, nobody wrote a key between whom a transaction read it from and what that wrote there itself.
fn is_stable(ran: &[Ran], order: &[usize]) -> bool {
    let mut held: Vec<Option<usize>> = vec![None; KEYS];
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, txn)| place[*txn] = at);
    order.iter().all(|txn| {
        let of = &ran[*txn];
        let seen = of.reads.iter().all(|(_, w)| w.is_none_or(|w| place[w] < place[*txn]));
        let stable = of.writes.iter().all(|key| {
            let read = of.reads.iter().find(|(read, _)| read == key);
            read.is_none_or(|(_, writer)| held[*key] == *writer)
        });
        of.writes.iter().for_each(|key| held[*key] = Some(*txn));
        seen && stable
    })
}

#[track_caller]
fn check(case: &Case, levels: &[(Model, bool)]) -> Result<(), TestCaseError> {
    let (_, history) = case.run();
    let judgement = judged("rw-register", &[], &history);
    if is_vacuous(&judgement) {
        return Ok(());
    }
    for (model, expected) in levels {
        let found = verdict_of(*model, &judgement);
        let expected = if *expected { Verdict::Valid } else { Verdict::Invalid };
        prop_assert!(found == expected, "{model} is {found:?}, not {expected:?}:\n{history}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn serializability_is_a_serial_run(case in case(6)) {
        let (ran, _) = case.run();
        let exists = |sessions: bool| any_order(ran.len(), &mut |order| is_serial(&ran, order, sessions));
        // Transactions come one after the other here, so real time is one order alone.
        let order: Vec<usize> = (0..ran.len()).collect();
        check(&case, &[
            (Model::StrictSerializable, is_serial(&ran, &order, true)),
            (Model::StrongSessionSerializable, exists(true)),
            (Model::Serializable, exists(false)),
            (Model::RepeatableRead, exists(false)),
            (Model::CursorStability, any_order(ran.len(), &mut |order| is_stable(&ran, order))),
        ])?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn snapshot_isolation_is_an_order_of_snapshots_and_commits(case in case(4)) {
        let (ran, _) = case.run();
        let exists = |sessions: bool, conflict: bool| {
            any_order(2 * ran.len(), &mut |order| is_snapshots(&ran, order, sessions, conflict))
        };
        check(&case, &[
            (Model::StrongSessionSnapshotIsolation, exists(true, true)),
            (Model::SnapshotIsolation, exists(false, true)),
            (Model::Prefix, exists(true, false)),
        ])?;
    }
}
