//! The one-pass checkers against their definitions, read off small random histories as slowly as they are written; and
//! against the linearizability of the same histories, which implies whatever they promise.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

mod others;
mod queues;
mod sections;
mod sets;
mod simulated;

use keelhaul_checkers::{Check, JudgeRequest, Settings, Unlimited, Verdict, judge};
use keelhaul_history::{Reader, Value};

/// The first check of a history; options like `drained=true`.
fn judged(workload: &str, options: &str, history: &str) -> Check {
    let options = options.split_whitespace().map(|option| {
        let (name, value) = option.split_once('=').unwrap();
        (name.to_string(), Value::from_json(value).unwrap())
    });
    let settings = Settings { options: options.collect(), ..Settings::default() };
    let request = JudgeRequest { workload: workload.into(), settings, ..JudgeRequest::default() };
    let judgement = judge(Reader::new(history.as_bytes()).unwrap(), &request, &Unlimited);
    judgement.unwrap().checks.into_iter().next().unwrap()
}

/// A counter of the check.
fn number(check: &Check, name: &str) -> usize {
    let value = check.details.get(name).unwrap_or_else(|| panic!("{name} of {check:?}"));
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// Counts how often each verdict came up, so that a test can say that it saw all of them.
#[derive(Debug, Default)]
struct Seen([usize; 4]);

impl Seen {
    fn note(&mut self, verdict: Verdict) {
        self.0[verdict as usize] += 1;
    }

    /// Each of these came up often.
    #[track_caller]
    fn often(&self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            assert!(self.0[*verdict as usize] > 25, "{verdict:?} is rare: {self:?}");
        }
    }
}

/// What evidence claims to be minimal is: the operations shown are at odds by themselves, and no longer without any one.
/// Only for histories in which everything that an operation returns is about one value.
#[track_caller]
fn evidence_holds(workload: &str, options: &str, run: &simulated::Run, check: &Check) -> bool {
    let Some(evidence) = check.evidence.as_ref().filter(|evidence| evidence.minimal) else {
        return false;
    };
    let calls: Vec<usize> = evidence.ops.iter().map(|op| op.index as usize).collect();
    let among = |calls: &[usize]| judged(workload, options, &run.only(calls).jsonl()).verdict;
    assert_eq!(among(&calls), Verdict::Invalid, "{evidence:?}\n{}", run.jsonl());
    for left_out in &calls {
        let rest: Vec<usize> = calls.iter().copied().filter(|call| call != left_out).collect();
        assert_ne!(among(&rest), Verdict::Invalid, "{left_out} of {evidence:?}\n{}", run.jsonl());
    }
    true
}
