//! Every kind of error against its definition, taken literally, on thousands of histories of a simulated log of which many are
//! then changed.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use self::oracle::Oracle;
use self::simulation::{Act, Run, mutate, simulate};
use super::NAME;
use crate::testing::judged;
use crate::verdict::Check;

mod oracle;
mod simulation;

fn check(run: &Run, ww_deps: bool) -> Check {
    let options = [("ww-deps", if ww_deps { "true" } else { "false" })];
    judged(NAME, &options, &run.text()).checks.into_iter().next().unwrap()
}

/// How often each kind was found.
fn counts(check: &Check) -> BTreeMap<String, u64> {
    let errors = check.details["errors"].as_object().unwrap().iter();
    errors.map(|(kind, error)| (kind.clone(), error["count"].as_u64().unwrap())).collect()
}

fn deltas(check: &Check) -> BTreeMap<String, Vec<i64>> {
    let mut all = BTreeMap::new();
    for (kind, error) in check.details["errors"].as_object().unwrap() {
        let cases = error["cases"].as_array().unwrap().iter();
        let mut deltas: Vec<i64> = cases.filter_map(|case| case["delta"].as_i64()).collect();
        deltas.sort_unstable();
        if !deltas.is_empty() {
            all.insert(kind.clone(), deltas);
        }
    }
    all
}

fn lags(check: &Check) -> BTreeMap<String, i64> {
    let lags = check.details["worst-lags"].as_array().unwrap().iter();
    lags.map(|lag| (lag["key"].to_string(), lag["lag-ns"].as_i64().unwrap())).collect()
}

#[test]
fn what_is_found_is_what_the_definitions_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x000c_afca);
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for case in 0..1500 {
        let unruly = rng.random_bool(0.7);
        let mut run = simulate(unruly, &mut rng);
        for _ in 0..rng.random_range(0..3) {
            mutate(&mut run, &mut rng);
        }
        let ww_deps = rng.random_bool(0.5);
        let check = check(&run, ww_deps);
        let oracle = Oracle::new(&run, ww_deps);
        let told = || format!("case {case}, ww {ww_deps}:\n{}{check:#?}", run.text());
        assert_eq!(counts(&check), oracle.counts(), "{}", told());
        assert_eq!(deltas(&check), oracle.deltas(), "{}", told());
        assert_eq!(lags(&check), oracle.lags(), "{}", told());
        assert_eq!(
            check.details["unseen"]["at-the-end"],
            Value::from(oracle.unseen()),
            "{}",
            told()
        );
        counts(&check).into_iter().for_each(|(kind, _)| *seen.entry(kind).or_default() += 1);
        if let Some(evidence) = &check.evidence {
            assert!(!evidence.ops.is_empty() && !evidence.explanation.is_empty(), "{}", told());
        }
    }
    let rare: Vec<_> = super::cases::Kind::ALL
        .iter()
        .filter(|kind| seen.get(kind.name()).is_none_or(|seen| *seen < 20))
        .map(|kind| kind.name())
        .collect();
    assert!(rare.is_empty(), "too seldom to mean anything: {rare:?} of {seen:?}");
}

#[test]
fn a_log_that_keeps_its_promises_shows_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x00_600d);
    for case in 0..500 {
        let run = simulate(false, &mut rng);
        let check = check(&run, false);
        // A process of the simulation polls on where it left off, and nothing more is promised at the end.
        let allowed = ["unseen", "int-send-skip", "lost-write"];
        let found: Vec<String> = counts(&check).into_keys().collect();
        assert!(
            found.iter().all(|kind| allowed.contains(&kind.as_str())),
            "case {case}: {found:?}\n{}",
            run.text()
        );
        // What is lost was behind everybody who polled later: nobody was there to poll it.
        let assigned = run.acts.iter().any(|act| !matches!(act.what, simulation::What::Txn));
        assert!(assigned || !found.contains(&"lost-write".into()), "case {case}\n{}", run.text());
    }
}

#[test]
fn evidence_is_minimal_where_it_says_so() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x0e71de);
    let (mut minimal, mut all) = (0, 0);
    for case in 0..400 {
        let mut run = simulate(case % 2 == 0, &mut rng);
        (0..2).for_each(|_| mutate(&mut run, &mut rng));
        let whole = check(&run, false);
        let (Some(evidence), Some(kind)) = (&whole.evidence, whole.anomalies.first()) else {
            continue;
        };
        all += 1;
        if !evidence.minimal {
            continue;
        }
        minimal += 1;
        let shown: Vec<u64> = evidence.ops.iter().map(|op| op.index).collect();
        let without = |spared: Option<u64>| {
            let keep = |act: &Act| {
                let at = act.call as u64;
                shown.contains(&at) && Some(at) != spared
            };
            let part = run.only(keep);
            counts(&check(&part, false)).contains_key(kind)
        };
        assert!(without(None), "case {case}: {kind}\n{}{evidence:#?}", run.text());
        for spared in &shown {
            assert!(!without(Some(*spared)), "case {case}: {kind}\n{}{evidence:#?}", run.text());
        }
    }
    assert!(minimal * 10 > all * 9, "{minimal} of {all}");
}
