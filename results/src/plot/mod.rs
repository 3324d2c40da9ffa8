//! The drawings of a report. Each is a pure function of the summary; none can fail, and none decides anything.

mod circle;
mod evidence;
mod frame;
mod latency;
mod rate;
mod run;

pub(crate) use circle::{circle, dot, line};
pub(crate) use evidence::evidence;
pub(crate) use latency::latency;
pub(crate) use rate::rate;
pub(crate) use run::run;

use keelhaul_checkers::Evidence;

use crate::stats::{Fault, Summary};

/// Fault windows drawn at most.
pub(crate) const FAULTS_MAX: usize = 400;
/// Colours for kinds of faults.
const KIND_COLOURS: usize = 6;

/// The kinds of faults of a run, in order of first appearance, which fixes their colours in every drawing.
pub(crate) fn kinds(summary: &Summary) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for fault in &summary.faults {
        if !kinds.contains(&fault.window.kind.as_str()) {
            kinds.push(&fault.window.kind);
        }
    }
    kinds
}

/// The class that paints a kind.
fn kind_class(kinds: &[&str], kind: &str) -> String {
    let at = kinds.iter().position(|known| *known == kind).unwrap_or(0);
    format!("k{}", at % KIND_COLOURS)
}

/// When a fault was there, to the end of the history if it was never healed.
fn span(fault: &Fault, end_ns: u64) -> (u64, u64) {
    let from = fault.window.injected_ns;
    (from, fault.window.healed_ns.unwrap_or(end_ns).max(from))
}

/// From the first invocation of an evidence to its last event.
pub(crate) fn evidence_span(evidence: &Evidence) -> Option<(u64, u64)> {
    let from = evidence.ops.iter().map(|op| op.start_ns).min()?;
    let to = evidence.ops.iter().map(|op| op.end_ns.unwrap_or(op.start_ns)).max()?;
    Some((from, to.max(from)))
}
