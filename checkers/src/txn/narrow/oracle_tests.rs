//! Small random histories against the definitions, pair by pair.

use proptest::prelude::*;

use crate::testing::judged;
use crate::verdict::Verdict;

/// A transaction: what it reads of each key that it reads, and the key that it writes, all in one.
#[derive(Clone, Debug)]
struct Txn {
    ok: bool,
    /// By key: the transaction whose write it read.
    reads: Vec<Option<Option<usize>>>,
    writes: Option<usize>,
}

const KEYS: usize = 3;

fn txns() -> impl Strategy<Value = Vec<Txn>> {
    let read = prop::option::of(prop::option::of(0..5_usize));
    let txn = (any::<bool>(), prop::collection::vec(read, KEYS), prop::option::of(0..KEYS));
    let txn = txn.prop_map(|(ok, reads, writes)| Txn { ok, reads, writes });
    prop::collection::vec(txn, 1..=5)
}

/// Reads of what the transaction they name did not write are of nothing.
fn source(txns: &[Txn], key: usize, reader: usize) -> Option<Option<usize>> {
    let read = txns[reader].reads[key]?;
    Some(read.filter(|w| *w != reader && txns.get(*w).is_some_and(|w| w.writes == Some(key))))
}

fn events(txns: &[Txn]) -> String {
    let mut out = String::new();
    for (at, txn) in txns.iter().enumerate() {
        let reads = (0..KEYS).filter_map(|key| {
            let value = source(txns, key, at)?.map_or("null".into(), |writer| writer.to_string());
            Some(format!("[\"r\",{key},{value}]"))
        });
        let writes = txn.writes.map(|key| format!("[\"w\",{key},{at}]"));
        let micros = reads.chain(writes).collect::<Vec<_>>().join(",");
        let kind = if txn.ok { "ok" } else { "info" };
        out += &format!("{at} invoke txn [{micros}]\n{at} {kind} txn [{micros}]\n");
    }
    out
}

/// Whether some two transactions that committed are as the predicate says.
fn some_pair(txns: &[Txn], is: impl Fn(usize, usize) -> bool) -> bool {
    let committed = || (0..txns.len()).filter(|at| txns[*at].ok);
    committed().any(|a| committed().any(|b| a < b && is(a, b)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn updates_of_one_version(txns in txns()) {
        let both = |a: usize, b: usize| {
            txns[a].writes.is_some_and(|key| {
                let (one, other) = (source(&txns, key, a), source(&txns, key, b));
                txns[b].writes == Some(key) && one.is_some() && one == other
            })
        };
        let verdict = judged("lost-update", &[], &events(&txns)).checks[0].verdict;
        prop_assert_eq!(verdict == Verdict::Invalid, some_pair(&txns, both), "{}", events(&txns));
    }

    #[test]
    fn writes_that_miss_each_other(txns in txns()) {
        let written = |key| txns.iter().filter(|txn| txn.writes == Some(key)).count();
        let missed = |reader: usize, writer: usize| {
            let once = txns[writer].writes.filter(|key| written(*key) == 1);
            once.is_some_and(|key| source(&txns, key, reader) == Some(None))
        };
        let both = |a: usize, b: usize| missed(a, b) && missed(b, a);
        let verdict = judged("write-skew", &[], &events(&txns)).checks[0].verdict;
        prop_assert_eq!(verdict == Verdict::Invalid, some_pair(&txns, both), "{}", events(&txns));
    }
}
