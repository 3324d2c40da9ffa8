//! Small random histories against the definitions themselves: all orders are tried.

use proptest::prelude::*;

use super::super::tests::is_vacuous;
use super::super::weak_oracle_tests::{Case, KEYS, Ran, any_order, case, close, happens_before};
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

/// Whether it explains what everybody read that they saw whatever they depend on: what they read, what it overwrote in this order, and
/// sessions, and what these depend on.
fn is_parallel(ran: &[Ran], order: &[usize], sessions: bool) -> bool {
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, txn)| place[*txn] = at);
    let conflict = |a: usize, b: usize| ran[a].writes.iter().any(|key| ran[b].writes.contains(key));
    let mut seen = happens_before(ran, sessions);
    let fits =
        |(a, row): (usize, &Vec<bool>)| (0..row.len()).all(|b| !row[b] || place[a] < place[b]);
    if !seen.iter().enumerate().all(fits) {
        return false;
    }
    for (a, row) in seen.iter_mut().enumerate() {
        row.iter_mut()
            .enumerate()
            .for_each(|(b, seen)| *seen |= place[a] < place[b] && conflict(a, b));
    }
    close(&mut seen);
    ran.iter().enumerate().all(|(txn, of)| {
        of.reads.iter().all(|(key, writer)| {
            let mut missed = (0..ran.len()).filter(|other| {
                Some(*other) != *writer && ran[*other].writes.contains(key) && seen[*other][txn]
            });
            missed.all(|other| writer.is_some_and(|writer| place[other] < place[writer]))
        })
    })
}

/// Whether the updates in this order are a serial run, and with each of the others there is one, too, in which keys are written in
/// the order of this one.
fn is_of_updates(ran: &[Ran], order: &[usize]) -> bool {
    let updates: Vec<usize> =
        order.iter().copied().filter(|txn| !ran[*txn].writes.is_empty()).collect();
    let written = |order: &[usize], key: usize| -> Vec<usize> {
        order.iter().copied().filter(|txn| ran[*txn].writes.contains(&key)).collect()
    };
    let alike = |other: &[usize]| (0..KEYS).all(|key| written(other, key) == written(order, key));
    let mut readers = order.iter().filter(|txn| ran[**txn].writes.is_empty());
    is_serial(ran, &updates, false)
        && readers.all(|reader| {
            let with = [&updates[..], &[*reader]].concat();
            any_order(with.len(), &mut |places| {
                let run: Vec<usize> = places.iter().map(|at| with[*at]).collect();
                alike(&run) && is_serial(ran, &run, false)
            })
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
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn weaker_levels_are_orders_of_writes(case in case(5)) {
        let (ran, _) = case.run();
        let parallel = |sessions: bool| any_order(ran.len(), &mut |order| is_parallel(&ran, order, sessions));
        check(&case, &[
            (Model::ParallelSnapshotIsolation, parallel(true)),
            (Model::ConsistentView, parallel(false)),
            (Model::UpdateSerializable, any_order(ran.len(), &mut |order| is_of_updates(&ran, order))),
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
