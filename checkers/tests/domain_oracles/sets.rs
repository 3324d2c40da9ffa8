//! Sets: `set-full` and `set-final`.

use std::collections::BTreeSet;

use keelhaul_checkers::Verdict;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::simulated::{Object, Run, Shape, numbers, once_in, play};
use crate::{Seen, evidence_holds, judged, number};

/// A set of small numbers; `lies` is how seldom a read is wrong, 0 for never.
struct Set {
    elements: BTreeSet<i64>,
    values: i64,
    lies: u32,
}

impl Object for Set {
    fn call(&mut self, rng: &mut ChaCha8Rng, _holds: bool) -> (&'static str, String) {
        if rng.random_bool(0.5) {
            ("read", "null".into())
        } else {
            ("add", rng.random_range(0..self.values).to_string())
        }
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng, f: &str, value: &str) -> Option<String> {
        if f == "add" {
            self.elements.insert(value.parse().unwrap());
            return Some(value.into());
        }
        let mut found: Vec<i64> = self.elements.iter().copied().collect();
        if self.lies > 0 && once_in(rng, self.lies) {
            match rng.random_range(0..3) {
                0 => found.truncate(found.len() / 2),
                1 => found.push(rng.random_range(0..self.values)),
                _ => {
                    self.elements.pop_last();
                    found.reverse();
                }
            }
        }
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        Some(format!("[{}]", texts.join(",")))
    }
}

fn run(seed: u64, values: i64) -> Run {
    let lies = [0, 3, 8][seed as usize % 3];
    let shape = Shape { ops: 4 + seed as usize % 14, threads: 3, fail: 8, info: 12 };
    play(seed, shape, &mut Set { elements: BTreeSet::new(), values, lies })
}

/// What the definitions say of one element.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fates {
    stable: usize,
    stale: usize,
    lost: usize,
    never_read: usize,
    unexpected: usize,
    aborted: usize,
    duplicated: usize,
}

fn fates(run: &Run) -> Fates {
    let mut fates = Fates::default();
    let reads: Vec<_> = run.done("read").map(|(op, found)| (op, numbers(found))).collect();
    let adds = run.ops.iter().filter(|op| op.f == "add");
    let mut elements: BTreeSet<i64> = adds.map(|add| add.value.parse().unwrap()).collect();
    elements.extend(reads.iter().flat_map(|(_, found)| found.iter().copied()));
    for element in elements {
        let adds: Vec<_> =
            run.ops.iter().filter(|op| op.f == "add" && op.value == element.to_string()).collect();
        let (with, without): (Vec<_>, Vec<_>) =
            reads.iter().partition(|(_, found)| found.contains(&element));
        let twice = |found: &[i64]| found.iter().filter(|e| **e == element).count() > 1;
        fates.duplicated += usize::from(with.iter().any(|(_, found)| twice(found)));
        let begun = |ret: usize| adds.iter().any(|add| !add.failed() && add.call < ret);
        let tried = |ret: usize| adds.iter().any(|add| add.call < ret);
        let only_failed = adds.iter().all(|add| add.failed());
        if let Some((first, _)) = with.iter().min_by_key(|(op, _)| op.ret)
            && !begun(first.ret)
        {
            let aborted = only_failed && tried(first.ret);
            *(if aborted { &mut fates.aborted } else { &mut fates.unexpected }) += 1;
        }
        if adds.is_empty() {
            continue;
        }
        let acked = adds.iter().filter(|add| add.ok().is_some()).map(|add| add.ret);
        let known = acked.chain(with.iter().map(|(op, _)| op.ret)).min();
        // Reads from before the element was heard of say nothing of it.
        let heard = adds.iter().map(|add| add.call).chain(with.iter().map(|(op, _)| op.ret)).min();
        let last_with = with.iter().map(|(op, _)| op.call).max();
        let without = without.iter().filter(|(op, _)| Some(op.ret) > heard);
        let last_without = without.map(|(op, _)| op.call).max();
        let violated = known.is_some_and(|known| last_without.is_some_and(|call| call > known));
        if last_with.is_some() && last_with > last_without {
            fates.stable += 1;
            fates.stale += usize::from(violated);
        } else if violated {
            fates.lost += 1;
        } else {
            fates.never_read += 1;
        }
    }
    fates
}

#[test]
fn each_element_is_what_the_definitions_say() {
    let mut seen = Seen::default();
    for seed in 0..1500 {
        let run = run(seed, 4);
        let expected = fates(&run);
        let check = judged("set-full", "", &run.jsonl());
        let found = Fates {
            stable: number(&check, "stable-count"),
            stale: number(&check, "stale-count"),
            lost: number(&check, "lost-count"),
            never_read: number(&check, "never-read-count"),
            unexpected: number(&check, "unexpected-count"),
            aborted: number(&check, "aborted-count"),
            duplicated: number(&check, "duplicated-count"),
        };
        assert_eq!(found, expected, "seed {seed}: {}", run.jsonl());
        let broken = expected.lost + expected.unexpected + expected.aborted + expected.duplicated;
        let verdict = match (broken, expected.stable) {
            (0, 0) => Verdict::Vacuous,
            (0, _) => Verdict::Valid,
            _ => Verdict::Invalid,
        };
        assert_eq!(check.verdict, verdict, "seed {seed}: {check:?}");
        seen.note(verdict);
        let strict = judged("set-full", "linearizable=true", &run.jsonl()).verdict;
        let verdict = if expected.stale > 0 { Verdict::Invalid } else { verdict };
        assert_eq!(strict, verdict, "seed {seed}: {}", run.jsonl());
    }
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
}

#[test]
fn the_last_read_is_what_the_definitions_say() {
    let mut seen = Seen::default();
    for seed in 0..1200 {
        let run = run(seed, 4);
        let check = judged("set-final", "", &run.jsonl());
        seen.note(check.verdict);
        let Some((read, found)) = run.done("read").max_by_key(|(op, _)| op.ret) else {
            assert_eq!(check.verdict, Verdict::Vacuous, "seed {seed}");
            continue;
        };
        let found: BTreeSet<i64> = numbers(found).into_iter().collect();
        let element = |op: &crate::simulated::Op| op.value.parse::<i64>().unwrap();
        let acked = run.done("add").filter(|(op, _)| op.ret < read.call);
        let acked: BTreeSet<i64> = acked.map(|(op, _)| element(op)).collect();
        let begun = run.ops.iter().filter(|op| op.f == "add" && !op.failed() && op.call < read.ret);
        let begun: BTreeSet<i64> = begun.map(element).collect();
        let ever: BTreeSet<i64> = run.done("add").map(|(op, _)| element(op)).collect();
        assert_eq!(number(&check, "lost-count"), acked.difference(&found).count(), "seed {seed}");
        assert_eq!(number(&check, "ok-count"), found.intersection(&begun).count(), "seed {seed}");
        let recovered = found.intersection(&begun).filter(|e| !ever.contains(e)).count();
        assert_eq!(number(&check, "recovered-count"), recovered, "seed {seed}: {}", run.jsonl());
        let wrong = number(&check, "unexpected-count") + number(&check, "aborted-count");
        assert_eq!(wrong, found.difference(&begun).count(), "seed {seed}: {}", run.jsonl());
    }
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
}

#[test]
fn a_linearizable_set_has_no_fault() {
    let mut linearizable = 0;
    for seed in 0..1200 {
        let history = run(seed, 4).jsonl();
        if judged("set", "", &history).verdict == Verdict::Valid {
            linearizable += 1;
            let full = judged("set-full", "linearizable=true", &history);
            assert_ne!(full.verdict, Verdict::Invalid, "seed {seed}: {full:?}\n{history}");
            let last = judged("set-final", "", &history);
            assert_ne!(last.verdict, Verdict::Invalid, "seed {seed}: {last:?}\n{history}");
        }
    }
    assert!(linearizable > 200, "{linearizable}");
}

#[test]
fn minimal_evidence_of_sets_is() {
    let mut minimal = 0;
    for seed in 0..600 {
        let run = run(seed, 1);
        for (workload, options) in [("set-full", "linearizable=true"), ("set-final", "")] {
            let check = judged(workload, options, &run.jsonl());
            minimal += usize::from(evidence_holds(workload, options, &run, &check));
        }
    }
    assert!(minimal > 50, "{minimal}");
}
