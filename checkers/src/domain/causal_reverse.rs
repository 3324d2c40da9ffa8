//! Is a write visible without one that was complete before it began?
//!
//! Each key holds values that are only ever added, each once, and a read returns all that are there. Under strict
//! serializability a read that returns *w* also returns every write that was acknowledged before *w* was invoked; where it
//! does not, the effect is there without its possible cause (*causal reverse*). Serializable stores on loosely synchronized
//! clocks allow it (Jepsen, *CockroachDB beta-20160829*, section "Strict serializability").
//!
//! Of the writes that a read returned, the one invoked last decides: every write that was acknowledged before that must
//! be there too. Acknowledgements are ordered, so counting those that are there suffices.
//!
//! Limits: it is not asked whether a read returns what was acknowledged before the read began; workload `set` asks that. Keys
//! of which a value was written twice are not judged. Evidence is minimal for this anomaly: without the later write, the
//! read would have returned what nobody wrote.

use std::collections::HashMap;

use keelhaul_history::{Kind, Process, RawOp, RawValue, Value};

use crate::columns::{ColumnError, NEVER};
use crate::in_flight::{InFlight, Span};
use crate::interner::Interner;
use crate::judge::guard;
use crate::subject::{Asked, Judged, OptionError, Settings, Subject};
use crate::verdict::{Check, Evidence, Verdict};
use crate::workload::Workload;

/// The workload and its check.
pub(crate) const NAME: &str = "causal-reverse";

pub(super) const WORKLOAD: Workload = Workload {
    name: NAME,
    what: "write a new value, read all values of a key: is a write visible without one complete before it began",
    models: &[],
    options: &[],
    subject,
};

#[expect(clippy::unnecessary_wraps, reason = "the shape that all workloads share")]
fn subject(_: &Settings) -> Result<Box<dyn Subject>, OptionError> {
    Ok(Box::new(CausalReverse::default()))
}

/// Values that a read shows at most.
const SHOWN_MAX: usize = 12;

/// A history of writes and reads, by key.
#[derive(Default)]
struct CausalReverse {
    in_flight: InFlight<Begun>,
    key_ids: HashMap<Option<Value>, u32>,
    keys: Vec<Key>,
}

struct Begun {
    key: u32,
    span: Span,
    /// The value; of a read there is none.
    write: Option<u32>,
}

#[derive(Default)]
struct Key {
    name: Option<Value>,
    ids: Interner,
    values: Vec<Value>,
    /// By value id.
    writes: Vec<Option<Write>>,
    twice: Option<u32>,
    reads: Vec<(Span, Vec<u32>)>,
}

#[derive(Clone, Copy)]
struct Write {
    span: Span,
    failed: bool,
}

impl Subject for CausalReverse {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        let Process::Client(process) = op.process else { return Ok(()) };
        if op.kind == Kind::Invoke {
            return self.invoke(op, process);
        }
        let (Begun { key, span, write }, ret) = self.in_flight.end(op.index, process)?;
        let key = &mut self.keys[key as usize];
        let ended = Span { ret, end_ns: op.time_ns, ..span };
        match (write, op.kind) {
            (Some(value), Kind::Ok) => key.wrote(value, Write { span: ended, failed: false }),
            (Some(value), Kind::Fail) => key.wrote(value, Write { span, failed: true }),
            (Some(value), _) => key.wrote(value, Write { span, failed: false }),
            (None, Kind::Ok) => {
                let saw = key.values_of(op.value.json()).ok_or_else(|| ColumnError::Value {
                    index: op.index,
                    f: op.f.into(),
                    expected: "the list of all values of the key",
                })?;
                key.reads.push((ended, saw));
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _asked: &Asked<'_>) -> Judged {
        for Begun { key, span, write } in self.in_flight.rest() {
            if let Some(value) = write {
                self.keys[key as usize].wrote(value, Write { span, failed: false });
            }
        }
        let count = |key: &Key| key.reads.len() + key.writes.iter().flatten().count();
        let operations = self.keys.iter().map(count).sum();
        Judged {
            keys: self.keys.len(),
            operations,
            checks: vec![guard(NAME, || self.check())],
            standing: Vec::new(),
        }
    }
}

impl CausalReverse {
    fn invoke(&mut self, op: &RawOp<'_>, process: u32) -> Result<(), ColumnError> {
        let name = op.key.map(RawValue::to_value);
        let next = self.keys.len() as u32;
        let key = *self.key_ids.entry(name.clone()).or_insert(next);
        if key == next {
            self.keys.push(Key { name, ..Key::default() });
        }
        let Key { ids, values, .. } = &mut self.keys[key as usize];
        let write = match op.f {
            "write" => Some(ids.intern_raw(op.value.json(), values)),
            "read" => None,
            f => {
                let known = "causal-reverse has read and write";
                return Err(ColumnError::OtherFunction { index: op.index, f: f.into(), known });
            }
        };
        let who = (op.index, op.time_ns, process);
        self.in_flight.begin(who, |span| Begun { key, span, write })
    }

    fn check(&self) -> Check {
        let mut found = Found::default();
        self.keys.iter().for_each(|key| key.judge(&mut found));
        let mut details = serde_json::Map::new();
        let reads: usize = self.keys.iter().map(|key| key.reads.len()).sum();
        for (name, count) in [("reads", reads), ("reads-in-error", found.reads)] {
            details.insert(name.into(), count.into());
        }
        let (verdict, reason) = found.verdict(self.keys.len());
        let anomalies = found.anomalies;
        Check { anomalies, evidence: found.evidence, details, ..Check::new(NAME, verdict, reason) }
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    anomalies: Vec<String>,
    reason: String,
    evidence: Option<Evidence>,
    /// Reads that returned a write without one before it.
    reads: usize,
    /// Why a key could not be judged.
    problem: Option<String>,
    /// Whether some read returned a write that had one before it.
    telling: bool,
}

impl Found {
    fn anomaly(&mut self, name: &str, tell: impl FnOnce() -> (String, Evidence)) {
        if !self.anomalies.iter().any(|known| known == name) {
            self.anomalies.push(name.into());
        }
        if self.evidence.is_none() {
            let (reason, evidence) = tell();
            self.reason = reason;
            self.evidence = Some(evidence);
        }
    }

    fn verdict(&self, keys: usize) -> (Verdict, String) {
        if self.evidence.is_some() {
            return (Verdict::Invalid, self.reason.clone());
        }
        if let Some(problem) = &self.problem {
            return (Verdict::Unknown, problem.clone());
        }
        if !self.telling {
            let reason = "no read returned a write that another had completed before";
            return (Verdict::Vacuous, reason.into());
        }
        let reason = format!("of {keys} keys, no read returned a write without those before it");
        (Verdict::Valid, reason)
    }
}

impl Key {
    /// The ids of a list of values, each once; null is the empty list.
    fn values_of(&mut self, value: RawValue<'_>) -> Option<Vec<u32>> {
        if value.is_null() {
            return Some(Vec::new());
        }
        let Self { ids, values, .. } = self;
        let mut list: Vec<u32> = value.items()?.map(|v| ids.intern_raw(v, values)).collect();
        list.sort_unstable();
        list.dedup();
        Some(list)
    }

    fn wrote(&mut self, value: u32, write: Write) {
        if self.writes.len() <= value as usize {
            self.writes.resize(value as usize + 1, None);
        }
        let known = &mut self.writes[value as usize];
        match known {
            Some(Write { failed: false, .. }) if !write.failed => self.twice = Some(value),
            Some(Write { failed: false, .. }) => {}
            _ => *known = Some(write),
        }
    }

    fn write_of(&self, value: u32) -> Option<Write> {
        self.writes.get(value as usize).copied().flatten()
    }

    fn judge(&self, found: &mut Found) {
        if let Some(value) = self.twice {
            let problem = format!(
                "{} was written twice, so reads of it cannot tell by which",
                self.values[value as usize]
            );
            found.problem.get_or_insert(problem);
            return;
        }
        let acknowledged =
            self.writes.iter().flatten().filter(|w| w.span.ret != NEVER && !w.failed);
        let mut rets: Vec<u32> = acknowledged.map(|write| write.span.ret).collect();
        rets.sort_unstable();
        for (read, saw) in &self.reads {
            if let Some(value) = saw.iter().find(|v| self.write_of(**v).is_none_or(|w| w.failed)) {
                self.never_happened(*read, saw, *value, found);
                continue;
            }
            let writes =
                saw.iter().map(|value| (self.write_of(*value).expect("just seen"), *value));
            let Some((last, value)) = writes.clone().max_by_key(|(write, _)| write.span.call)
            else {
                continue;
            };
            let before = rets.partition_point(|ret| *ret < last.span.call);
            let there = writes.filter(|(write, _)| write.span.ret < last.span.call).count();
            found.telling |= before > 0;
            if there < before {
                found.reads += 1;
                found.anomaly(NAME, || self.reverse((*read, saw), (last.span, value)));
            }
        }
    }

    /// The read returned the later write, but not all that were complete before it.
    fn reverse(
        &self,
        (read, saw): (Span, &[u32]),
        (last, value): (Span, u32),
    ) -> (String, Evidence) {
        let missing = self.writes.iter().enumerate().filter_map(|(id, write)| {
            let Write { span, failed } = (*write)?;
            let missing =
                !failed && span.ret < last.call && saw.binary_search(&(id as u32)).is_err();
            missing.then_some((span, id as u32))
        });
        let (first, absent) = missing.min_by_key(|(span, _)| span.ret).expect("one is missing");
        let (seen, absent) = (&self.values[value as usize], &self.values[absent as usize]);
        let explanation = vec![
            format!("The write of {absent} completed before that of {seen} began."),
            format!("Process {} read {seen}, but not {absent}.", read.process),
        ];
        let reason =
            format!("a read returned {seen} without {absent}, which was complete before it");
        let ops = vec![
            first.shown(format!("write {absent}")),
            last.shown(format!("write {seen}")),
            read.shown(self.label(saw)),
        ];
        (reason, self.evidence(ops, explanation))
    }

    fn never_happened(&self, read: Span, saw: &[u32], value: u32, found: &mut Found) {
        let name = &self.values[value as usize];
        let reads = read.shown(self.label(saw));
        let process = read.process;
        match self.write_of(value) {
            Some(write) => found.anomaly("G1a", || {
                let explanation = vec![
                    format!("The write of {name} failed, so it certainly did not happen."),
                    format!("Process {process} saw it."),
                ];
                let ops = vec![write.span.shown(format!("write {name}")), reads];
                (
                    format!("a read returned {name}, whose write failed"),
                    self.evidence(ops, explanation),
                )
            }),
            None => found.anomaly("garbage-read", || {
                let explanation = vec![
                    format!("Process {process} read {name}."),
                    "Nobody ever wrote that to this key.".into(),
                ];
                let reason = format!("a read returned {name}, which nobody wrote");
                (reason, self.evidence(vec![reads], explanation))
            }),
        }
    }

    fn label(&self, saw: &[u32]) -> String {
        let shown = saw.iter().take(SHOWN_MAX).map(|v| self.values[*v as usize].to_string());
        let shown = shown.collect::<Vec<_>>().join(", ");
        let more = saw.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            format!("read -> {shown} and {more} more")
        } else {
            format!("read -> {shown}")
        }
    }

    fn evidence(&self, mut ops: Vec<crate::EvidenceOp>, explanation: Vec<String>) -> Evidence {
        ops.sort_by_key(|op| op.index);
        let key = self.name.as_ref().map(ToString::to_string);
        let (longest_order, stuck) = (Vec::new(), Vec::new());
        Evidence { key, ops, longest_order, stuck, minimal: true, edges: Vec::new(), explanation }
    }
}

#[cfg(test)]
#[path = "causal_reverse_tests.rs"]
mod tests;
