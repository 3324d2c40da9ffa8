//! Histories in a short notation, judged through the one entry.

use std::fmt::Write as _;

use keelhaul_history::{Reader, Value};

use crate::budget::Unlimited;
use crate::judge::{JudgeError, JudgeRequest, Judgement, judge};
use crate::models::Model;
use crate::subject::Settings;
use crate::verdict::Verdict;

/// A history of ours. A line is `process type f value`, or `process type f/key value`; an event takes a second.
pub(crate) fn history(events: &str) -> String {
    let mut out = String::from("{\"keelhaul\":1}\n");
    let events = events.lines().map(str::trim).filter(|line| !line.is_empty());
    for (index, line) in events.enumerate() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let [process, kind, f, value] = words[..] else { panic!("no event: {line}") };
        let (f, key) = f.split_once('/').unwrap_or((f, ""));
        let key = if key.is_empty() { String::new() } else { format!(",\"key\":{key}") };
        let time_ns = index * 1_000_000_000;
        writeln!(
            out,
            "{{\"index\":{index},\"time\":{time_ns},\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\"{key},\"value\":{value}}}"
        )
        .unwrap();
    }
    out
}

/// Judges a history in the notation of [`history`]; options are named values in JSON.
pub(crate) fn judged_or(
    workload: &str,
    options: &[(&str, &str)],
    events: &str,
) -> Result<Judgement, JudgeError> {
    let options = options.iter().map(|(k, v)| ((*k).into(), Value::from_json(v).unwrap()));
    let settings = Settings { options: options.collect(), ..Settings::default() };
    let request = JudgeRequest { workload: workload.into(), settings, ..JudgeRequest::default() };
    judge(Reader::new(history(events).as_bytes()).unwrap(), &request, &Unlimited)
}

/// As [`judged_or`], of a history that is one.
pub(crate) fn judged(workload: &str, options: &[(&str, &str)], events: &str) -> Judgement {
    judged_or(workload, options, events).unwrap()
}

/// What a judgement says of a model.
pub(crate) fn verdict_of(model: Model, judgement: &Judgement) -> Verdict {
    let standing = judgement.standing.iter().find(|standing| standing.model == model.name());
    standing.map(|standing| standing.verdict).unwrap_or_else(|| {
        let mut checks = judgement.checks.iter();
        checks.find(|c| c.name == model.name()).map_or(Verdict::Unknown, |c| c.verdict)
    })
}
