//! Did the system work while it was broken?
//!
//! A fault tests something only if it was seen in effect and clients got answers meanwhile. For every kind of fault that
//! was asked for, some window of that kind must have been verified in effect, and enough operations must have
//! succeeded inside such windows, begun and completed there; otherwise the history is vacuous for that kind. And when all
//! faults are healed the store must come back, or nobody knows what became of what it had acknowledged.

use std::collections::BTreeMap;

use keelhaul_history::{Kind, Process, RawOp, faults::FaultWindow};
use serde::Serialize;

use crate::verdict::{Check, Verdict};

/// The checker's name in reports.
pub const NAME: &str = "progress";

/// The name of the check that the store came back.
pub const RECOVERY: &str = "recovery";

/// What the nemesis does at the end: it waits until the store is well.
const AWAIT_HEALTHY: &str = "await-healthy";

/// Operations that must succeed inside the windows of a fault's kind. Fewer could be leftovers of a moment before the
/// fault took hold everywhere.
pub const OK_OPS_MIN: u64 = 10;

/// What was seen of one kind of fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultSummary {
    /// The kind, as in the history.
    pub kind: String,
    /// How often it was injected.
    pub injected: u64,
    /// How often it was verified in effect.
    pub effective: u64,
    /// Operations that began and succeeded inside verified windows of this kind.
    pub ok_ops: u64,
}

/// Collects the times of successful operations in one pass; the windows are known only at the end.
#[derive(Debug, Default)]
pub struct Progress {
    /// Invocation and completion times of client operations that succeeded once there were faults, in nanoseconds, in order
    /// of completion.
    ok: Vec<(u64, u64)>,
    end_ns: u64,
    /// Whether the nemesis has done anything: what succeeded before that was not meanwhile.
    faults: bool,
    /// Whether the store was well again at the end, if the nemesis waited for that.
    recovered: Option<bool>,
}

impl Progress {
    /// Takes the next event.
    pub fn observe(&mut self, op: &RawOp<'_>) {
        self.end_ns = op.time_ns;
        if op.process == Process::Nemesis {
            self.faults = true;
            if op.f == AWAIT_HEALTHY {
                self.recovered = match op.kind {
                    Kind::Invoke => Some(false),
                    kind => Some(kind == Kind::Ok),
                };
            }
        } else if self.faults && op.kind == Kind::Ok {
            let begun = op.invoked.map_or(op.time_ns, |invoked| invoked.time_ns);
            self.ok.push((begun, op.time_ns));
        }
    }

    /// Whether the store came back, if the nemesis waited for it.
    #[must_use]
    pub fn recovery(&self) -> Option<Check> {
        let (verdict, reason) = if self.recovered? {
            (Verdict::Valid, "the store was well again when all faults were healed")
        } else {
            let reason = "the store did not become well again when all faults were healed, so what it had acknowledged \
                          could not be read";
            (Verdict::Unknown, reason)
        };
        Some(Check::new(RECOVERY, verdict, reason))
    }

    /// Time of the last event, nanoseconds since the run began.
    #[must_use]
    pub const fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// By kind, in alphabetical order; kinds of `requested` that never came up included.
    #[must_use]
    pub fn summarize(&self, windows: &[FaultWindow], requested: &[String]) -> Vec<FaultSummary> {
        let mut by_kind: BTreeMap<&str, FaultSummary> = BTreeMap::new();
        let mut spans: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for kind in requested {
            by_kind.entry(kind).or_default();
        }
        for window in windows {
            let summary = by_kind.entry(&window.kind).or_default();
            summary.injected += 1;
            if window.effective {
                summary.effective += 1;
                let end = window.healed_ns.unwrap_or(self.end_ns);
                spans.entry(&window.kind).or_default().push((window.injected_ns, end));
            }
        }
        for (kind, mut spans) in spans {
            merge(&mut spans);
            let ok_ops = spans.iter().map(|span| self.inside(*span)).sum();
            by_kind.entry(kind).or_default().ok_ops = ok_ops;
        }
        let named =
            |(kind, summary): (&str, FaultSummary)| FaultSummary { kind: kind.into(), ..summary };
        by_kind.into_iter().map(named).collect()
    }

    /// The answer, for the kinds that were asked for.
    #[must_use]
    pub fn check(summaries: &[FaultSummary], requested: &[String]) -> Check {
        let mut lacking = Vec::new();
        let mut seen = Vec::new();
        for summary in summaries.iter().filter(|s| requested.contains(&s.kind)) {
            let FaultSummary { kind, injected, effective, ok_ops } = summary;
            if *injected == 0 {
                lacking.push(format!("{kind} was asked for but never injected"));
            } else if *effective == 0 {
                lacking.push(format!(
                    "{kind} was injected {injected} times but never verified in effect"
                ));
            } else if *ok_ops < OK_OPS_MIN {
                lacking.push(format!(
                    "only {ok_ops} operations succeeded while {kind} was in effect, {OK_OPS_MIN} are the least"
                ));
            } else {
                seen.push(format!("{ok_ops} under {kind}"));
            }
        }
        let (verdict, reason) = if !lacking.is_empty() {
            (Verdict::Vacuous, lacking.join("; "))
        } else if seen.is_empty() {
            (Verdict::Valid, "no faults were asked for".into())
        } else {
            (
                Verdict::Valid,
                format!("operations succeeded during every kind of fault: {}", seen.join(", ")),
            )
        };
        Check::new(NAME, verdict, reason)
    }

    /// Operations inside `span`; `self.ok` is in order of completion.
    fn inside(&self, (begin, end): (u64, u64)) -> u64 {
        let from = self.ok.partition_point(|(_, done)| *done < begin);
        let to = self.ok.partition_point(|(_, done)| *done <= end);
        let range = self.ok.get(from..to).unwrap_or(&[]);
        range.iter().filter(|(begun, _)| *begun >= begin).count() as u64
    }
}

/// Joins spans that overlap, so that no operation counts twice.
fn merge(spans: &mut Vec<(u64, u64)>) {
    spans.sort_unstable();
    spans.dedup_by(|next, previous| {
        let overlap = next.0 <= previous.1;
        if overlap {
            previous.1 = previous.1.max(next.1);
        }
        overlap
    });
}
