//! Every value that comes out of a queue must have gone in, and no more often: `enqueue`, `dequeue`, `drain`.
//!
//! Nothing is said of order, nor of values that never come out; see [`super::flow`] for what is matched. Every part of a history
//! of a correct queue has this property, of whatever kind it is, so it holds even if the end was never recorded. Without a
//! value that came out the history is vacuous.
//!
//! Source: the checker `queue` of Jepsen (`jepsen.checker`) with a model of an unordered queue. It takes failed enqueues for
//! sources too.

use keelhaul_history::RawValue;

use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::verdict::{Check, Verdict};
use crate::words::count;
use crate::workload::Workload;

use super::calls::{Checker, End, Keyed};
use super::flow::{self, Call, Flow, Matched};

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: QueueSources::NAME,
    what: "enqueue, dequeue and drain: what comes out went in",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Keyed::<QueueSources>::new(()))),
};

/// A queue that makes nothing up.
#[derive(Debug)]
pub struct QueueSources {
    flow: Flow,
}

impl Checker for QueueSources {
    const NAME: &'static str = "queue-sources";
    const KNOWN: &'static str = flow::KNOWN;
    type Options = ();
    type Call = Call;

    fn new((): &()) -> Self {
        Self { flow: Flow::default() }
    }

    fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        self.flow.invoke(span, f, value)
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        self.flow.complete(call, span, end)
    }

    fn finish(self) -> Check {
        let Self { flow } = self;
        let matched = Matched::new(&flow);
        let faults = matched.faults();
        let broken: Vec<_> = faults.iter().filter(|(_, takes)| !takes.is_empty()).collect();
        let dequeued = count(flow.takes.len(), "dequeued value");
        let mut check = Check::new(Self::NAME, Verdict::Valid, String::new());
        check.details = matched.details(&flow);
        if let Some((fault, takes)) = broken.first() {
            let told: Vec<String> =
                broken.iter().map(|(fault, all)| fault.tell(all.len())).collect();
            check.verdict = Verdict::Invalid;
            check.reason = format!("{}, of {dequeued}", told.join(", "));
            check.anomalies = broken.iter().map(|(fault, _)| fault.name().into()).collect();
            check.evidence = Some(fault.evidence(&flow, takes[0]));
        } else if flow.takes.is_empty() {
            check.verdict = Verdict::Vacuous;
            check.reason = "no value was dequeued".into();
        } else {
            check.reason = format!("each of {dequeued} had been enqueued");
        }
        check
    }
}
