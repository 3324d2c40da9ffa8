//! Critical sections, against all pairs and triples of the journal.

use keelhaul_checkers::Verdict;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::simulated::{Object, Op, Run, Shape, numbers, once_in, play};
use super::{Seen, judged, number};

/// A lock that may be given twice, and what it guards, which may refuse old tokens.
struct Guarded {
    held: bool,
    token: i64,
    fenced: bool,
    next: i64,
    journal: Vec<i64>,
    lies: u32,
}

impl Object for Guarded {
    fn call(&mut self, rng: &mut ChaCha8Rng, holds: bool) -> (&'static str, String) {
        match rng.random_range(0..10) {
            0 => ("read", "null".into()),
            1..7 if holds => {
                self.next += 1;
                ("append", self.next.to_string())
            }
            _ if holds => ("release", "null".into()),
            _ => ("acquire", "null".into()),
        }
    }

    fn apply(&mut self, rng: &mut ChaCha8Rng, f: &str, value: &str) -> Option<String> {
        let lie = self.lies > 0 && once_in(rng, self.lies);
        match f {
            "acquire" if self.held && !lie => None,
            "acquire" => {
                self.held = true;
                self.token += 1;
                Some(if self.fenced { self.token.to_string() } else { "null".into() })
            }
            "release" => {
                self.held = false;
                Some("null".into())
            }
            "append" => {
                let at =
                    if lie { rng.random_range(0..=self.journal.len()) } else { self.journal.len() };
                if !(lie && once_in(rng, 2)) {
                    self.journal.insert(at, value.parse().unwrap());
                }
                Some(value.into())
            }
            _ => Some(format!("{:?}", self.journal)),
        }
    }
}

fn run(seed: u64) -> Run {
    let shape = Shape { ops: 8 + seed as usize % 25, threads: 3, fail: 5, info: 5 };
    let (lies, fenced) = ([0, 9, 4][seed as usize % 3], seed.is_multiple_of(2));
    let mut object = Guarded { held: false, token: 0, fenced, next: 0, journal: Vec::new(), lies };
    play(seed, shape, &mut object)
}

/// The acquisition that an append goes with: the latest of its process, unless it was released since.
fn section<'a>(run: &'a Run, append: &Op) -> Option<&'a Op> {
    let own = |op: &&Op| op.process == append.process && op.call < append.call;
    let last = run.ops.iter().filter(own).filter(|op| match op.f {
        "acquire" => op.ok().is_some(),
        "release" => true,
        _ => false,
    });
    last.max_by_key(|op| op.call).filter(|op| op.f == "acquire")
}

/// Whether one section was entered before another.
fn older(one: &Op, other: &Op) -> bool {
    let token = |op: &Op| op.ok().and_then(|token| token.parse::<i64>().ok());
    let by_token = token(one).zip(token(other)).is_some_and(|(one, other)| one < other);
    by_token || one.ret < other.call
}

/// Items of the journal that are a stale holder's, and others that go on with an interrupted section.
fn late(run: &Run, journal: &[i64]) -> (usize, usize) {
    let of = |item: &i64| {
        let append = run.ops.iter().find(|op| op.f == "append" && op.value == item.to_string());
        append.filter(|op| !op.failed()).and_then(|op| section(run, op))
    };
    let sections: Vec<&Op> = journal.iter().filter_map(of).collect();
    let stale = |at: &usize| sections[..*at].iter().any(|before| older(sections[*at], before));
    let interrupted = |at: &usize| {
        let same = |op: &&&Op| op.call == sections[*at].call;
        sections[..*at].iter().any(|op| same(&op)) && !same(&&sections[*at - 1])
    };
    let all = 0..sections.len();
    (all.clone().filter(stale).count(), all.filter(|at| !stale(at) && interrupted(at)).count())
}

#[test]
fn sections_are_kept_apart_if_all_pairs_and_triples_are() {
    let mut seen = Seen::default();
    let (mut stale_runs, mut interleaved_runs) = (0, 0);
    for seed in 0..2500 {
        let run = run(seed);
        let reads: Vec<(&Op, Vec<i64>)> =
            run.done("read").map(|(op, list)| (op, numbers(&list.replace(' ', "")))).collect();
        let Some((_, journal)) = reads.iter().max_by_key(|(_, list)| list.len()) else { continue };
        let check = judged("lock", "", &run.jsonl());
        assert_eq!(check.name, "critical-sections");
        let torn = reads.iter().any(|(_, list)| !journal.starts_with(list));
        let failed = |item: &i64| {
            run.ops.iter().any(|op| op.f == "append" && op.failed() && op.value == item.to_string())
        };
        let wrong = torn || journal.iter().any(failed);
        let lost = run.done("append").any(|(append, item)| {
            let item: i64 = item.parse().unwrap();
            reads.iter().any(|(read, list)| read.call > append.ret && !list.contains(&item))
        });
        let told = |name: &str| check.anomalies.iter().any(|anomaly| anomaly == name);
        let context = || format!("seed {seed}: {check:?}\n{}", run.jsonl());
        assert_eq!(told("wrong-journal"), wrong, "{}", context());
        seen.note(check.verdict);
        if wrong {
            continue;
        }
        assert_eq!(told("lost-append"), lost, "{}", context());
        let (stale, interleaved) = late(&run, journal);
        assert_eq!(number(&check, "stale-holder-count"), stale, "{}", context());
        assert_eq!(number(&check, "interleaved-count"), interleaved, "{}", context());
        assert_eq!(check.verdict == Verdict::Invalid, lost || stale + interleaved > 0);
        stale_runs += usize::from(stale > 0);
        interleaved_runs += usize::from(interleaved > 0);
    }
    seen.often(&[Verdict::Valid, Verdict::Vacuous, Verdict::Invalid]);
    assert!(stale_runs > 50 && interleaved_runs > 10, "{stale_runs} {interleaved_runs}");
}
