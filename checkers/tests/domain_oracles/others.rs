//! Counters, ids, locks and banks.

use std::collections::{BTreeMap, BTreeSet};

use keelhaul_checkers::Verdict;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::simulated::{Object, Run, Shape, once_in, play};
use crate::{Seen, evidence_holds, judged, number};

struct Counter {
    sum: i64,
    least: i64,
    lies: u32,
}

impl Object for Counter {
    fn call(&mut self, rng: &mut ChaCha8Rng, _holds: bool) -> (&'static str, String) {
        if rng.random_bool(0.5) {
            ("read", "null".into())
        } else {
            ("add", rng.random_range(self.least..5).to_string())
        }
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng, f: &str, value: &str) -> Option<String> {
        if f == "add" {
            self.sum += value.parse::<i64>().unwrap();
            return Some(value.into());
        }
        let wrong = self.lies > 0 && once_in(rng, self.lies);
        Some((self.sum + if wrong { rng.random_range(-4..5) } else { 0 }).to_string())
    }
}

fn counter(seed: u64) -> Run {
    let shape = Shape { ops: 4 + seed as usize % 12, threads: 3, fail: 10, info: 10 };
    let (least, lies) = ([0, -3][seed as usize % 2], [0, 5][seed as usize / 2 % 2]);
    play(seed, shape, &mut Counter { sum: 0, least, lies })
}

#[test]
fn bounds_are_what_the_definitions_say() {
    let mut seen = Seen::default();
    for seed in 0..1500 {
        let run = counter(seed);
        let adds: Vec<_> = run.ops.iter().filter(|op| op.f == "add").collect();
        let amount = |op: &crate::simulated::Op| op.value.parse::<i64>().unwrap();
        let stray = run.done("read").filter(|(read, found)| {
            let (mut lower, mut upper) = (0, 0);
            for add in &adds {
                let n = amount(add);
                let certain = add.ok().is_some() && add.ret < read.call;
                let possible = !add.failed() && add.call < read.ret;
                if if n < 0 { possible } else { certain } {
                    lower += n;
                }
                if if n < 0 { certain } else { possible } {
                    upper += n;
                }
            }
            !(lower..=upper).contains(&found.parse().unwrap())
        });
        let check = judged("counter-bounds", "", &run.jsonl());
        assert_eq!(number(&check, "error-count"), stray.count(), "seed {seed}: {}", run.jsonl());
        seen.note(check.verdict);
        if judged("counter", "", &run.jsonl()).verdict == Verdict::Valid {
            assert_ne!(check.verdict, Verdict::Invalid, "seed {seed}: {}", run.jsonl());
        }
    }
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
}

struct Ids(u32);

impl Object for Ids {
    fn call(&mut self, _rng: &mut ChaCha8Rng, _holds: bool) -> (&'static str, String) {
        ("generate", "null".into())
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng, _f: &str, _value: &str) -> Option<String> {
        Some(rng.random_range(0..self.0).to_string())
    }
}

#[test]
fn ids_are_counted() {
    let mut seen = Seen::default();
    for seed in 0..1000 {
        let shape = Shape { ops: 1 + seed as usize % 12, threads: 3, fail: 10, info: 10 };
        let run = play(seed, shape, &mut Ids(200));
        let check = judged("unique-ids", "", &run.jsonl());
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, id) in run.done("generate") {
            *times.entry(id).or_default() += 1;
        }
        let twice = times.values().filter(|n| **n > 1).count();
        assert_eq!(number(&check, "duplicated-count"), twice, "seed {seed}: {}", run.jsonl());
        assert_eq!(check.verdict == Verdict::Invalid, twice > 0);
        seen.note(check.verdict);
        if twice > 0 {
            assert!(evidence_holds("unique-ids", "", &run, &check));
        }
    }
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
}

/// A lock that clients use as they should.
struct Lock {
    held: bool,
    token: i64,
    fenced: bool,
    lies: u32,
}

impl Object for Lock {
    fn call(&mut self, _rng: &mut ChaCha8Rng, holds: bool) -> (&'static str, String) {
        (if holds { "release" } else { "acquire" }, "null".into())
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng, f: &str, _value: &str) -> Option<String> {
        let lie = self.lies > 0 && once_in(rng, self.lies);
        if f == "release" {
            let was = std::mem::replace(&mut self.held, false);
            return (was || lie).then(|| "null".into());
        }
        if std::mem::replace(&mut self.held, true) && !lie {
            return None;
        }
        self.token += if lie { -1 } else { rng.random_range(1..3) };
        Some(if self.fenced { self.token.to_string() } else { "null".into() })
    }
}

fn lock(seed: u64, fenced: bool) -> Run {
    let shape = Shape { ops: 4 + seed as usize % 12, threads: 3, fail: 10, info: 10 };
    let lies = [0, 4][seed as usize % 2];
    play(seed, shape, &mut Lock { held: false, token: 0, fenced, lies })
}

#[test]
fn a_linearizable_lock_is_safe() {
    let mut linearizable = 0;
    for seed in 0..1500 {
        for (workload, fenced) in [("mutex", false), ("fenced-mutex", true)] {
            let history = lock(seed, fenced).jsonl();
            if judged(workload, "", &history).verdict == Verdict::Valid {
                linearizable += 1;
                let check = judged("lock", "", &history);
                assert_ne!(check.verdict, Verdict::Invalid, "seed {seed}: {check:?}\n{history}");
            }
        }
    }
    assert!(linearizable > 400, "{linearizable}");
}

#[test]
fn where_clients_release_what_they_hold_safe_is_linearizable() {
    let mut seen = Seen::default();
    for seed in 0..1500 {
        let run = lock(seed, false);
        let check = judged("lock", "", &run.jsonl());
        let linearizable = judged("mutex", "", &run.jsonl());
        let broken = linearizable.verdict == Verdict::Invalid;
        assert_eq!(
            check.verdict == Verdict::Invalid,
            broken,
            "seed {seed}: {check:?} {linearizable:?}\n{}",
            run.jsonl()
        );
        seen.note(check.verdict);
    }
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
}

#[test]
fn tokens_that_do_not_rise_are_counted() {
    let mut wrong = 0;
    for seed in 0..800 {
        let run = lock(seed, true);
        let mut acquired: Vec<_> =
            run.done("acquire").map(|(op, token)| (op, token.parse::<i64>().unwrap())).collect();
        acquired.sort_by_key(|(op, _)| op.ret);
        let unrisen = |at: &usize| {
            let (op, token) = acquired[*at];
            let before = &acquired[..*at];
            before.iter().any(|(other, t)| *t == token || (other.ret < op.call && *t > token))
        };
        let unrisen = (0..acquired.len()).filter(unrisen).count();
        let check = judged("lock", "", &run.jsonl());
        assert_eq!(
            number(&check, "token-not-rising-count"),
            unrisen,
            "seed {seed}: {}",
            run.jsonl()
        );
        wrong += usize::from(unrisen > 0);
    }
    assert!(wrong > 100, "{wrong}");
}

struct Bank {
    balances: [i64; 3],
    lies: u32,
}

impl Object for Bank {
    fn call(&mut self, rng: &mut ChaCha8Rng, _holds: bool) -> (&'static str, String) {
        if rng.random_bool(0.6) { ("read", "null".into()) } else { ("transfer", "{}".into()) }
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng, f: &str, _value: &str) -> Option<String> {
        let (from, to) = (rng.random_range(0..3), rng.random_range(0..3));
        if f == "transfer" {
            let overdraft = i64::from(once_in(rng, 20));
            let amount = rng.random_range(0..=(self.balances[from] + overdraft).max(0));
            self.balances[from] -= amount;
            self.balances[to] += amount;
            return Some("{}".into());
        }
        let mut texts: Vec<String> = self.balances.iter().map(ToString::to_string).collect();
        if self.lies > 0 && once_in(rng, self.lies) {
            texts[to] = if rng.random_bool(0.5) { "null".into() } else { "3".into() };
        }
        let last = if self.lies > 0 && once_in(rng, 20) { "z" } else { "2" };
        Some(format!("{{\"0\":{},\"1\":{},\"{last}\":{}}}", texts[0], texts[1], texts[2]))
    }
}

#[test]
fn reads_of_a_bank_are_classified() {
    let mut seen = Seen::default();
    let mut names = BTreeSet::new();
    let mut minimal = 0;
    for seed in 0..1200 {
        let shape = Shape { ops: 1 + seed as usize % 12, threads: 3, fail: 10, info: 10 };
        let lies = [0, 6][seed as usize % 2];
        let run = play(seed, shape, &mut Bank { balances: [10, 0, 0], lies });
        let known = seed % 3 == 0;
        let options = if known { "total=10 accounts=[0,1,2]" } else { "" };
        let check = judged("bank", options, &run.jsonl());
        let mut reads: Vec<_> = run.done("read").collect();
        reads.sort_by_key(|(op, _)| op.ret);
        let mut total = known.then_some(10);
        let mut wrong: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, found) in reads {
            let found: BTreeMap<String, Option<i64>> = serde_json::from_str(found).unwrap();
            let sum: i64 = found.values().flatten().sum();
            let nil = found.values().any(Option::is_none);
            if !nil {
                total.get_or_insert(sum);
            }
            let fault = if known && found.contains_key("z") {
                "unexpected-key"
            } else if nil {
                "nil-balance"
            } else if total != Some(sum) {
                "wrong-total"
            } else if found.values().flatten().any(|balance| *balance < 0) {
                "negative-value"
            } else {
                continue;
            };
            *wrong.entry(fault).or_default() += 1;
            names.insert(fault);
        }
        assert_eq!(
            number(&check, "error-count"),
            wrong.values().sum::<usize>(),
            "seed {seed}: {}",
            run.jsonl()
        );
        for (name, n) in &wrong {
            assert_eq!(
                number(&check, &format!("{name}-count")),
                *n,
                "seed {seed}: {}",
                run.jsonl()
            );
        }
        seen.note(check.verdict);
        if check.verdict == Verdict::Invalid {
            minimal += usize::from(evidence_holds("bank", options, &run, &check));
        }
    }
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(minimal > 100, "{minimal}");
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
}
