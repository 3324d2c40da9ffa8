//! Queues: `queue-sources` and `total-queue`.

use keelhaul_checkers::Verdict;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::simulated::{End, Object, Op, Run, Shape, numbers, once_in, play};
use crate::{Seen, evidence_holds, judged, number};

/// A bag of small numbers.
struct Queue {
    held: Vec<i64>,
    values: i64,
    drains: bool,
    lies: u32,
}

impl Queue {
    fn take(&mut self, rng: &mut ChaCha8Rng) -> Option<i64> {
        if self.lies > 0 && once_in(rng, self.lies) {
            return match rng.random_range(0..3) {
                0 => Some(rng.random_range(0..self.values)),
                1 => self.held.last().copied(),
                _ => {
                    self.held.pop();
                    self.held.pop()
                }
            };
        }
        let at = rng.random_range(0..self.held.len().max(1));
        (at < self.held.len()).then(|| self.held.remove(at))
    }
}

impl Object for Queue {
    fn call(&mut self, rng: &mut ChaCha8Rng, _holds: bool) -> (&'static str, String) {
        match rng.random_range(0..10) {
            0..5 => ("enqueue", rng.random_range(0..self.values).to_string()),
            9 if self.drains => ("drain", "null".into()),
            _ => ("dequeue", "null".into()),
        }
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng, f: &str, value: &str) -> Option<String> {
        Some(match f {
            "enqueue" => {
                self.held.push(value.parse().unwrap());
                value.into()
            }
            "dequeue" => self.take(rng).map_or_else(|| "null".into(), |value| value.to_string()),
            _ => {
                let all: Vec<String> =
                    std::iter::from_fn(|| self.take(rng)).take(20).map(|v| v.to_string()).collect();
                format!("[{}]", all.join(","))
            }
        })
    }
}

fn run(seed: u64, values: i64, drains: bool) -> Run {
    let lies = [0, 4, 10][seed as usize % 3];
    let shape = Shape { ops: 4 + seed as usize % 14, threads: 3, fail: 8, info: 10 };
    play(seed, shape, &mut Queue { held: Vec::new(), values, drains, lies })
}

/// Everything that came out.
fn takes(run: &Run) -> Vec<(&Op, i64)> {
    let one =
        run.done("dequeue").filter(|(_, v)| *v != "null").map(|(op, v)| (op, v.parse().unwrap()));
    let all =
        run.done("drain").flat_map(|(op, all)| numbers(all).into_iter().map(move |v| (op, v)));
    one.chain(all).collect()
}

fn puts(run: &Run, value: i64) -> Vec<&Op> {
    run.ops.iter().filter(|op| op.f == "enqueue" && op.value == value.to_string()).collect()
}

/// The most takes of a value that have an enqueue each, by augmenting paths.
fn matched(run: &Run, value: i64) -> usize {
    let puts: Vec<&Op> = puts(run, value).into_iter().filter(|put| !put.failed()).collect();
    let takes: Vec<&Op> =
        takes(run).into_iter().filter(|(_, v)| *v == value).map(|(op, _)| op).collect();
    let mut of_put: Vec<Option<usize>> = vec![None; puts.len()];
    fn find(
        take: usize,
        puts: &[&Op],
        takes: &[&Op],
        of_put: &mut [Option<usize>],
        tried: &mut [bool],
    ) -> bool {
        for put in 0..puts.len() {
            if puts[put].call > takes[take].ret || std::mem::replace(&mut tried[put], true) {
                continue;
            }
            if of_put[put].is_none_or(|other| find(other, puts, takes, of_put, tried)) {
                of_put[put] = Some(take);
                return true;
            }
        }
        false
    }
    (0..takes.len())
        .filter(|take| find(*take, &puts, &takes, &mut of_put, &mut vec![false; puts.len()]))
        .count()
}

/// How many acknowledged values were lost for certain.
fn lost(run: &Run, values: i64, drained: bool) -> usize {
    let empties = run.done("dequeue").filter(|(_, v)| *v == "null").chain(run.done("drain"));
    let mut moments: Vec<(usize, usize)> = empties.map(|(op, _)| (op.call, op.ret)).collect();
    if drained {
        moments.push((usize::MAX - 1, usize::MAX - 1));
    }
    let unknown = |f: &str, ret: usize| {
        let crashed = |op: &&Op| matches!(op.end, End::Info | End::Open);
        run.ops.iter().filter(|op| op.f == f && op.call < ret).filter(crashed).count()
    };
    let gone = |call: usize| -> usize {
        let of = |value: i64| {
            let put = puts(run, value)
                .into_iter()
                .filter(|put| put.ok().is_some() && put.ret < call)
                .count();
            put.saturating_sub(takes(run).iter().filter(|(_, v)| *v == value).count())
        };
        (0..values).map(of).sum()
    };
    let proved = moments.into_iter().map(|(call, ret)| match unknown("drain", ret) {
        0 => gone(call).saturating_sub(unknown("dequeue", ret)),
        _ => 0,
    });
    proved.max().unwrap_or(0)
}

#[test]
fn what_comes_out_is_matched_as_well_as_can_be() {
    let mut seen = Seen::default();
    for seed in 0..1500 {
        let run = run(seed, 3, true);
        let check = judged("queue-sources", "", &run.jsonl());
        let matched: usize = (0..3).map(|value| matched(&run, value)).sum();
        assert_eq!(number(&check, "ok-count"), matched, "seed {seed}: {}", run.jsonl());
        let takes = takes(&run);
        let baseless = |(op, value): &&(&Op, i64)| {
            !puts(&run, *value).iter().any(|put| !put.failed() && put.call < op.ret)
        };
        let baseless = takes.iter().filter(baseless).count();
        let found = number(&check, "unexpected-count") + number(&check, "aborted-count");
        assert_eq!(found, baseless, "seed {seed}: {}", run.jsonl());
        assert_eq!(
            number(&check, "duplicated-count"),
            takes.len() - matched - baseless,
            "seed {seed}"
        );
        let verdict = match takes.len() {
            0 => Verdict::Vacuous,
            n if n > matched => Verdict::Invalid,
            _ => Verdict::Valid,
        };
        assert_eq!(check.verdict, verdict, "seed {seed}: {check:?}");
        seen.note(verdict);
    }
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
}

#[test]
fn what_is_lost_is_what_nothing_explains() {
    let mut seen = Seen::default();
    for seed in 0..1500 {
        let run = run(seed, 3, true);
        let drained = seed % 4 == 0;
        let options = if drained { "drained=true" } else { "" };
        let check = judged("total-queue", options, &run.jsonl());
        assert_eq!(
            number(&check, "lost-count"),
            lost(&run, 3, drained),
            "seed {seed}: {}",
            run.jsonl()
        );
        seen.note(check.verdict);
    }
    seen.often(&[Verdict::Valid, Verdict::Unknown, Verdict::Invalid]);
}

#[test]
fn a_linearizable_queue_has_no_fault() {
    let mut linearizable = 0;
    for seed in 0..1200 {
        let history = run(seed, 3, false).jsonl();
        if judged("queue", "", &history).verdict == Verdict::Valid {
            linearizable += 1;
            for (workload, options) in [("queue-sources", ""), ("total-queue", "exactly-once=true")]
            {
                let check = judged(workload, options, &history);
                assert_ne!(check.verdict, Verdict::Invalid, "seed {seed}: {check:?}\n{history}");
            }
        }
    }
    assert!(linearizable > 200, "{linearizable}");
}

#[test]
fn minimal_evidence_of_queues_is() {
    let mut minimal = 0;
    for seed in 0..600 {
        let run = run(seed, 1, true);
        for (workload, options) in [("total-queue", ""), ("total-queue", "drained=true")] {
            let check = judged(workload, options, &run.jsonl());
            minimal += usize::from(evidence_holds(workload, options, &run, &check));
        }
    }
    assert!(minimal > 15, "{minimal}");
}
