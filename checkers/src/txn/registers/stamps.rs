//! What the store says of its own order: versions with numbers, transactions with timestamps.
//!
//! Numbers order the versions of a key ([`known`](super::known)); that they contradict each other is an anomaly. Timestamps say
//! more: when a transaction took its snapshot and when it committed. A store of snapshot isolation claims that
//!
//! * a transaction reads of each key what the last to commit at or before its snapshot wrote there;
//! * of two that wrote a key one committed at or before the other's snapshot.
//!
//! Both are replayed in the order of the timestamps, in n log n (H. Li et al., *Online Timestamp-based Transactional
//! Isolation Checking of Database Systems*, ICDE 2025). That a claim is broken refutes the store's account of itself; which
//! levels the history has all the same, the order of commits decides as any known order of versions does.

use super::view::View;
use crate::txn::columns::{NONE, Outcome};
use crate::txn::singles::{Case, Cases, Singles};
use crate::verdict::{Check, Verdict};
use crate::words::count;

/// The check's name.
pub(super) const NAME: &str = "timestamps";

/// What may be wrong, worst first.
const KINDS: [&str; 3] = ["commit-before-snapshot", "snapshot-missed", "concurrent-writers"];

/// Versions with two numbers, and numbers with two versions of a key.
pub(super) fn contradictions(view: &View<'_>, singles: &mut Singles) {
    let mut add = |rows: Vec<u32>, words: String| {
        let cases = singles.entry("incompatible-order").or_default();
        cases.add(|| Case { txns: rows, words: vec![words] });
    };
    let txns = view.txns;
    for (version, number) in &txns.stamps.others {
        let (name, value) =
            (txns.key_name(txns.version_keys[*version as usize]), txns.value(*version));
        let other = txns.stamps.versions.get(version).copied().unwrap_or_default();
        let words = format!(
            "{value} of {name} is version {other} to some, and version {number} to others."
        );
        add(mentioned(view, *version), words);
    }
    let mut all: Vec<(u32, i64, u32, u32)> = Vec::new();
    for row in 0..view.rows() {
        let numbered = view.writes(row).iter().filter_map(|write| {
            let number = txns.number(row, write.version)?;
            Some((write.key, number, write.version, row))
        });
        all.extend(numbered);
    }
    all.sort_unstable();
    for pair in all.windows(2).filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
        let [(key, number, a, first), (_, _, b, second)] = pair else { continue };
        let (name, a, b) = (txns.key_name(*key), txns.value(*a), txns.value(*b));
        add(vec![*first, *second], format!("{a} and {b} are both version {number} of {name}."));
    }
}

/// A few transactions that mention a version.
fn mentioned(view: &View<'_>, version: u32) -> Vec<u32> {
    const SHOWN_MAX: usize = 4;

    let mentions = |row: &u32| view.txns.ops(*row).iter().any(|op| op.value == version);
    (0..view.rows()).filter(mentions).take(SHOWN_MAX).collect()
}

/// When a transaction took its snapshot, and when it committed.
#[derive(Clone, Copy)]
struct Stamped {
    row: u32,
    snapshot: i64,
    commit: i64,
}

/// Whether the claims hold; nothing if there are no timestamps.
pub(super) fn check(view: &View<'_>) -> Option<Check> {
    let stamps = &view.txns.stamps.txns;
    if stamps.is_empty() {
        return None;
    }
    let committed = (0..view.rows()).filter(|row| view.committed[*row as usize]);
    let stamped: Vec<Stamped> = committed
        .clone()
        .filter_map(|row| {
            let (snapshot, commit) = stamps.get(&row).copied()?;
            Some(Stamped { row, snapshot, commit })
        })
        .collect();
    let missing = committed.count() - stamped.len();
    let found = replay(view, &stamped);
    let broken: Vec<(&str, &Cases)> =
        KINDS.iter().filter_map(|name| Some((*name, found.get(name)?))).collect();
    let units = count(stamped.len(), "transaction");
    let mut check = Check::new(NAME, Verdict::Valid, String::new());
    check.details.insert("transactions".into(), stamped.len().into());
    check.reason = if let Some((_, worst)) = broken.first() {
        check.verdict = Verdict::Invalid;
        check.anomalies = broken.iter().map(|(name, _)| (*name).into()).collect();
        check.evidence = worst.first.clone().map(|case| case.evidence(view.txns));
        let told = broken.iter().map(|(name, cases)| format!("{} {name}", cases.count));
        format!("{} in {units}", told.collect::<Vec<_>>().join(", "))
    } else if missing > 0 {
        check.verdict = Verdict::Unknown;
        format!("of {} that took effect the timestamps are missing", count(missing, "transaction"))
    } else {
        format!(
            "the snapshots of {units} hold what had committed by then, and writers of a key are apart"
        )
    };
    Some(check)
}

/// Goes through snapshots and commits in the order of their timestamps. Who takes a snapshot at the moment at which somebody
/// commits sees that; only who does both at once does the former first.
fn replay(view: &View<'_>, stamped: &[Stamped]) -> Singles {
    const COMMITS: u8 = 0;
    const AT_ONCE: u8 = 1;
    const SNAPSHOT: u8 = 2;

    let mut found = Singles::new();
    let mut events: Vec<(i64, u8, usize)> = Vec::with_capacity(2 * stamped.len());
    for (at, Stamped { row, snapshot, commit }) in stamped.iter().copied().enumerate() {
        if commit < snapshot {
            found.entry(KINDS[0]).or_default().add(|| Case {
                txns: vec![row],
                words: vec![format!(
                    "It committed at {commit}, before its snapshot at {snapshot}."
                )],
            });
        } else if commit == snapshot {
            events.push((commit, AT_ONCE, at));
        } else {
            events.extend([(snapshot, SNAPSHOT, at), (commit, COMMITS, at)]);
        }
    }
    events.sort_unstable();
    let mut held: Vec<Option<(u32, Stamped)>> = vec![None; view.txns.keys.len()];
    for (_, event, at) in events {
        let txn = stamped[at];
        if event != COMMITS {
            reads(view, txn, &held, &mut found);
        }
        if event != SNAPSHOT {
            commits(view, txn, &mut held, &mut found);
        }
    }
    found
}

fn reads(view: &View<'_>, txn: Stamped, held: &[Option<(u32, Stamped)>], found: &mut Singles) {
    if view.txns.txns[txn.row as usize].outcome != Outcome::Ok {
        return;
    }
    for read in view.reads(txn.row) {
        let holder = held[read.key as usize];
        let version = holder.map_or(NONE, |(version, _)| version);
        if version != read.version {
            found.entry(KINDS[1]).or_default().add(|| {
                let (name, saw) = (view.txns.key_name(read.key), view.txns.value(read.version));
                let had = view.txns.value(version);
                let words = format!(
                    "At {} the key {name} held {had}, and its snapshot of that moment {saw}.",
                    txn.snapshot
                );
                let writer = holder.map(|(_, writer)| writer.row);
                Case { txns: writer.into_iter().chain([txn.row]).collect(), words: vec![words] }
            });
        }
    }
}

fn commits(
    view: &View<'_>,
    txn: Stamped,
    held: &mut [Option<(u32, Stamped)>],
    found: &mut Singles,
) {
    for write in view.writes(txn.row) {
        let before = held[write.key as usize].replace((write.version, txn));
        if let Some((_, other)) = before.filter(|(_, other)| other.commit > txn.snapshot) {
            found.entry(KINDS[2]).or_default().add(|| {
                let name = view.txns.key_name(write.key);
                let words = format!(
                    "Both wrote {name}: one from a snapshot at {}, though the other had only committed at {}.",
                    txn.snapshot, other.commit
                );
                Case { txns: vec![other.row, txn.row], words: vec![words] }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Judgement;
    use crate::models::Model;
    use crate::testing::{judged, verdict_of};
    use crate::verdict::Verdict;

    /// Of a process: its snapshot, its commit, and what it does.
    type Txn<'a> = (u32, (i64, i64), &'a str);

    fn judge(txns: &[Txn<'_>]) -> Judgement {
        let txn = |(process, (snapshot, commit), ops): &Txn<'_>| {
            format!(
                "{process} invoke txn []\n{process} ok txn [[\"ts\",{snapshot},{commit}],{ops}]\n"
            )
        };
        judged("rw-register", &[], &txns.iter().map(txn).collect::<String>())
    }

    fn timestamps(judgement: &Judgement) -> (Verdict, &[String]) {
        let check = judgement.checks.iter().find(|check| check.name == super::NAME).unwrap();
        (check.verdict, &check.anomalies)
    }

    #[test]
    fn claims() {
        let write = (0, (1, 2), r#"["w","x",1]"#);
        let fine = judge(&[
            write,
            (1, (2, 3), r#"["r","x",1],["w","x",2]"#),
            (2, (2, 2), r#"["r","x",1]"#),
        ]);
        assert_eq!(timestamps(&fine), (Verdict::Valid, &[][..]));
        let missed = judge(&[write, (1, (3, 3), r#"["r","x",null]"#)]);
        assert_eq!(timestamps(&missed), (Verdict::Invalid, &["snapshot-missed".to_owned()][..]));
        // Nobody saw the order but the store says it.
        assert_eq!(verdict_of(Model::SnapshotIsolation, &missed), Verdict::Valid);
        let both = judge(&[write, (1, (1, 3), r#"["w","x",2]"#)]);
        assert_eq!(timestamps(&both), (Verdict::Invalid, &["concurrent-writers".to_owned()][..]));
        let back = judge(&[write, (1, (3, 2), r#"["r","x",1]"#)]);
        assert_eq!(timestamps(&back).1, ["commit-before-snapshot"]);
    }

    #[test]
    fn versions_with_numbers_are_in_order() {
        // Without the numbers either write may have come last.
        let events = |first: u32, second: u32| {
            format!(
                "0 invoke txn []\n1 invoke txn []\n0 ok txn [[\"w\",\"x\",1,{first}],[\"w\",\"y\",1,4]]\n\
                 1 ok txn [[\"w\",\"x\",2,{second}],[\"w\",\"y\",2,6]]\n"
            )
        };
        let judge = |first, second| judged("rw-register", &[], &events(first, second));
        assert_eq!(verdict_of(Model::StrictSerializable, &judge(4, 6)), Verdict::Valid);
        assert_eq!(judge(6, 4).anomalies, ["G0"]);
        assert_eq!(judge(4, 4).anomalies, ["incompatible-order"]);
        let twice = format!("{}2 invoke txn []\n2 ok txn [[\"r\",\"x\",1,5]]", events(4, 6));
        assert_eq!(judged("rw-register", &[], &twice).anomalies, ["incompatible-order"]);
    }

    const KEYS: usize = 2;

    /// Whether a transaction writes, which key, and which of its versions a read finds.
    type Micro = (bool, usize, usize);

    /// Transactions with the ranks of their timestamps.
    fn case() -> impl Strategy<Value = Vec<(Vec<Micro>, [u8; 2])>> {
        let micro = (any::<bool>(), 0..KEYS, prop_oneof![4 => Just(0_usize), 1 => 1..4_usize]);
        prop::collection::vec((prop::collection::vec(micro, 1..=2), any::<[u8; 2]>()), 1..=5)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn a_replay_finds_what_looking_at_all_pairs_does(case in case()) {
            // Timestamps differ, and snapshots come before commits.
            let stamp = |at: usize, which: usize| {
                let mut two = case[at].1;
                two.sort_unstable();
                i64::from(two[which]) * 100 + (2 * at + which) as i64
            };
            let (snapshot, commit) = (|at| stamp(at, 0), |at| stamp(at, 1));
            let value = |at: usize, key: usize| (at * 10 + key + 1) as i64;
            let writes = |at: usize, key: usize| case[at].0.iter().any(|(w, k, _)| *w && *k == key);
            let (mut missed, mut overlap, mut told) = (false, false, Vec::new());
            for (at, (ops, _)) in case.iter().enumerate() {
                let mut shown = Vec::new();
                for key in 0..KEYS {
                    let mut others: Vec<usize> = (0..case.len()).filter(|o| *o != at && writes(*o, key)).collect();
                    if let Some((.., choice)) = ops.iter().find(|(w, k, _)| !*w && *k == key) {
                        let visible = others.iter().filter(|o| commit(**o) <= snapshot(at)).max_by_key(|o| commit(**o)).copied();
                        // Mostly what is there.
                        let saw = if *choice == 0 { visible } else { others.get(choice - 1).copied() };
                        missed |= saw != visible;
                        let saw = saw.map_or("null".into(), |writer| value(writer, key).to_string());
                        shown.push(format!("[\"r\",{key},{saw}]"));
                    }
                    if writes(at, key) {
                        others.retain(|o| commit(*o) > snapshot(at) && commit(at) > snapshot(*o));
                        overlap |= !others.is_empty();
                        shown.push(format!("[\"w\",{key},{}]", value(at, key)));
                    }
                }
                told.push((at as u32, (snapshot(at), commit(at)), shown.join(",")));
            }
            let told: Vec<Txn<'_>> = told.iter().map(|(p, ts, ops)| (*p, *ts, ops.as_str())).collect();
            let judgement = judge(&told);
            let names = timestamps(&judgement).1;
            let has = |name: &str| names.iter().any(|found| found == name);
            prop_assert_eq!((has("snapshot-missed"), has("concurrent-writers")), (missed, overlap), "{:?}", told);
            // A store that keeps its claims has snapshot isolation.
            if !missed && !overlap {
                let verdict = verdict_of(Model::SnapshotIsolation, &judgement);
                prop_assert!(verdict != Verdict::Invalid, "{:?}", told);
            }
        }
    }
}
