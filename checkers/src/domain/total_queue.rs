//! What goes into a queue must come out: `enqueue`, `dequeue`, `drain`.
//!
//! What came out is matched with what went in as [`super::flow`] says. A value is *missing* if it was acknowledged and never came
//! out; that proves a loss only if the queue was empty afterwards:
//! * Some drain, or a dequeue that found nothing, began after it was acknowledged. The option `drained` says so of the end of the
//!   history, e.g. because the harness dequeued until nothing came. Otherwise it may still be there, and the answer is unknown.
//! * Each dequeue of unknown outcome may have taken one of the missing values: only what exceeds their number is *lost*. A drain of
//!   unknown outcome may have taken all.
//!
//! Values may come out more often than they went in, as they do where messages are delivered at least once; the option
//! `exactly-once` forbids it. If nothing went in and nothing came out, the history is vacuous.
//!
//! Source: the checker `total-queue` of Jepsen (`jepsen.checker`). It calls every missing value lost, refuses drains of unknown
//! outcome, and does not ask whether a value came out before it went in.

use keelhaul_history::{RawValue, Value};
use serde_json::Map;

use crate::columns::NEVER;
use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::subject::{OptionError, Settings};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use crate::workload::{Setting, Workload};

use super::calls::{Checker, End, Keyed};
use super::flow::{self, Call, Fate, Fault, Flow, Matched, SHOWN_MAX, Take, Taker};
use super::tell::{self, LISTED_MAX};

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: TotalQueue::NAME,
    what: "enqueue, dequeue and drain: what goes in comes out",
    models: &[],
    options: &[
        Setting {
            name: "drained",
            what: "whether the queue was empty at the end; if absent, drains and empty dequeues show it",
        },
        Setting {
            name: "exactly-once",
            what: "whether duplicates are a violation; false if absent",
        },
    ],
    subject: |settings| Ok(Box::new(Keyed::<TotalQueue>::new(Options::new(settings)?))),
};

/// The anomaly's name.
pub const LOST: &str = "lost";

/// What holds of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    drained: bool,
    exactly_once: bool,
}

impl Options {
    /// What the user says.
    ///
    /// # Errors
    /// If an option has the wrong kind of value.
    pub fn new(settings: &Settings) -> Result<Self, OptionError> {
        Ok(Self {
            drained: settings.flag("drained", false)?,
            exactly_once: settings.flag("exactly-once", false)?,
        })
    }
}

/// A queue that loses nothing.
#[derive(Debug)]
pub struct TotalQueue {
    options: Options,
    flow: Flow,
}

impl Checker for TotalQueue {
    const NAME: &'static str = "total-queue";
    const KNOWN: &'static str = flow::KNOWN;
    type Options = Options;
    type Call = Call;

    fn new(options: &Options) -> Self {
        Self { options: *options, flow: Flow::default() }
    }

    fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        self.flow.invoke(span, f, value)
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        self.flow.complete(call, span, end)
    }

    fn finish(self) -> Check {
        let Self { options, flow } = self;
        let matched = Matched::new(&flow);
        let losses = Losses::new(&flow, &matched, options.drained);
        let mut check = Check::new(Self::NAME, Verdict::Valid, String::new());
        check.details = matched.details(&flow);
        losses.tell(&mut check.details);
        let faults = matched.faults();
        let counts = |fault: Fault| options.exactly_once || fault != Fault::Duplicate;
        let broken: Vec<_> =
            faults.iter().filter(|(fault, takes)| !takes.is_empty() && counts(*fault)).collect();
        let mut told: Vec<String> =
            broken.iter().map(|(fault, all)| fault.tell(all.len())).collect();
        check.anomalies = broken.iter().map(|(fault, _)| fault.name().into()).collect();
        check.evidence = broken.first().map(|(fault, takes)| fault.evidence(&flow, takes[0]));
        if losses.lost > 0 {
            told.insert(0, format!("{} lost", losses.lost));
            check.anomalies.insert(0, LOST.into());
            check.evidence = Some(losses.evidence());
        }
        if told.is_empty() {
            (check.verdict, check.reason) = losses.verdict(&matched);
        } else {
            check.verdict = Verdict::Invalid;
            check.reason = format!("{}, of {}", told.join(", "), count(flow.puts.len(), "enqueue"));
        }
        check
    }
}

/// Acknowledged values that never came out.
#[derive(Debug)]
struct Losses<'a> {
    flow: &'a Flow,
    /// Numbers of their enqueues, in order of completion.
    missing: &'a [u32],
    /// Dequeues of unknown outcome, in order of invocation.
    dequeues: Vec<Span>,
    /// When the first drain of unknown outcome began; [`NEVER`] without any.
    crashed_drain: u32,
    /// Whether the queue was empty at the end.
    drained: bool,
    /// How many of the missing the queue no longer held when it was last empty.
    gone: usize,
    /// How many were lost at least, and the proof.
    lost: usize,
    proof: Proof,
}

/// A moment when the queue was empty.
#[derive(Clone, Copy, Debug, Default)]
struct Proof {
    /// What found it so; the end of the history if there is none.
    by: Option<Taker>,
    /// How many of the missing had been acknowledged.
    gone: usize,
    /// How many dequeues of unknown outcome can have taken one of them.
    takers: usize,
}

impl<'a> Losses<'a> {
    fn new(flow: &'a Flow, matched: &'a Matched, drained: bool) -> Self {
        let mut dequeues = flow.crashed_dequeues.clone();
        dequeues.sort_unstable_by_key(|span| span.call);
        let drains = flow.crashed_drains.iter().map(|span| span.call);
        let mut losses = Self {
            flow,
            missing: &matched.missing,
            dequeues,
            crashed_drain: drains.min().unwrap_or(NEVER),
            drained,
            gone: 0,
            lost: 0,
            proof: Proof::default(),
        };
        for by in flow.empties.iter().copied().map(Some).chain(drained.then_some(None)) {
            losses.weigh(by);
        }
        losses
    }

    fn weigh(&mut self, by: Option<Taker>) {
        let (call, ret) = by.map_or((NEVER, NEVER), |by| (by.span.call, by.span.ret));
        let acked = |at: &u32| self.flow.puts[*at as usize].span.ret < call;
        let gone = self.missing.partition_point(acked);
        let takers = self.dequeues.partition_point(|span| span.call < ret);
        self.gone = self.gone.max(gone);
        let lost = if self.crashed_drain < ret { 0 } else { gone.saturating_sub(takers) };
        if lost > self.lost {
            (self.lost, self.proof) = (lost, Proof { by, gone, takers });
        }
    }

    fn tell(&self, details: &mut Map<String, serde_json::Value>) {
        details.insert("missing-count".into(), self.missing.len().into());
        details.insert("lost-count".into(), self.lost.into());
        details.insert("crashed-dequeue-count".into(), self.dequeues.len().into());
        if !self.missing.is_empty() {
            let values = self.missing.iter().map(|at| self.name(*at));
            details.insert("missing".into(), tell::listed(values, LISTED_MAX));
        }
    }

    fn name(&self, at: u32) -> &'a Value {
        &self.flow.values[self.flow.puts[at as usize].value as usize]
    }

    /// If nothing is proved to be wrong.
    fn verdict(&self, matched: &Matched) -> (Verdict, String) {
        let missing = count(self.missing.len(), "value");
        let missing = format!("{missing} acknowledged and never dequeued");
        if self.gone < self.missing.len() {
            let why = "nothing shows that the queue was empty after that; the option `drained` says that it was at the end";
            return (Verdict::Unknown, format!("{missing}: {why}"));
        }
        if self.gone > 0 && self.crashed_drain != NEVER {
            let why = "a drain of unknown outcome may have taken them";
            return (Verdict::Unknown, format!("{missing}: {why}"));
        }
        let acked = self.flow.puts.iter().any(|put| put.fate == Fate::Acked);
        if self.flow.takes.is_empty() && !acked {
            let reason = "no enqueue was acknowledged, and nothing was dequeued";
            return (Verdict::Vacuous, reason.into());
        }
        let mut reason = if self.gone > 0 {
            let takers = count(self.dequeues.len(), "dequeue");
            format!("{missing}, but {takers} of unknown outcome may have taken them")
        } else {
            let recovered = matched.recovered;
            format!("every acknowledged value came out, and {recovered} of unknown outcome")
        };
        if !matched.duplicated.is_empty() {
            reason += &format!("; {} came out more than once", matched.duplicated.len());
        }
        (Verdict::Valid, reason)
    }

    /// When a value came out.
    fn takes(&self, put: u32) -> Vec<Take> {
        let value = self.flow.puts[put as usize].value;
        self.flow.takes.iter().filter(|take| take.value == value).copied().collect()
    }

    fn evidence(&self) -> Evidence {
        let Proof { by, gone, takers } = self.proof;
        let lost = &self.missing[..gone];
        // One that never came out at all is told more easily.
        let whole = lost.iter().copied().find(|at| self.takes(*at).is_empty());
        let first = if takers > 0 { None } else { whole };
        let shown: Vec<u32> = match first {
            Some(at) => vec![at],
            None => lost.iter().take((takers + 1).min(SHOWN_MAX)).copied().collect(),
        };
        let mut ops = Vec::new();
        let mut words = Vec::new();
        for at in &shown {
            let (put, takes) = (&self.flow.puts[*at as usize], self.takes(*at));
            words.push(self.tell_missing(*at, takes.len(), by));
            let puts = self.flow.puts.iter().filter(|other| other.value == put.value);
            let acked = puts.filter(|other| other.fate == Fate::Acked);
            let label = format!("enqueue {}", self.name(*at));
            ops.extend(acked.take(SHOWN_MAX).map(|other| other.span.shown(label.clone())));
            let takes = takes.into_iter().take(SHOWN_MAX);
            ops.extend(takes.map(|take| self.flow.span(take).shown(flow::label(self.flow, take))));
        }
        let mut stuck: Vec<u32> =
            shown.iter().map(|at| self.flow.puts[*at as usize].span.call).collect();
        if let Some(Taker { span, drained }) = by {
            let label = drained.map_or_else(
                || "dequeue -> null".into(),
                |n| format!("drain -> {}", count(n as usize, "value")),
            );
            ops.push(span.shown(label));
            stuck = vec![span.call];
        }
        if takers > 0 {
            words.push(format!(
                "So it is with {}, and only {} of unknown outcome can have taken one each.",
                count(gone, "value"),
                count(takers, "dequeue"),
            ));
            let takers = self.dequeues[..takers].iter().take(SHOWN_MAX);
            ops.extend(takers.map(|span| span.shown("dequeue")));
        }
        // If it was empty at the end, nobody need have seen it; and what was enqueued again needs no dequeue.
        let minimal = ops.len() == 1 + usize::from(by.is_some()) && (by.is_none() || !self.drained);
        tell::evidence(ops, stuck, minimal, words)
    }

    /// That a value is missing which came out so often.
    fn tell_missing(&self, at: u32, takes: usize, by: Option<Taker>) -> String {
        let name = self.name(at);
        let empty = by.map_or_else(
            || "the queue was empty in the end".into(),
            |by| format!("process {} found the queue empty", by.span.process),
        );
        match takes {
            0 => format!("{name} was acknowledged before {empty}, and never came out."),
            n => format!(
                "{name} was acknowledged more than {n} times before {empty}, and came out so often."
            ),
        }
    }
}
