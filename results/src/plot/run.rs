//! The whole run at a glance: a lane for each kind of fault and one for the leader.

use super::frame::{CHAR, Frame, LEFT, Sample};
use super::{FAULTS_MAX, kind_class, kinds, span};
use crate::stats::Summary;
use crate::svg::Svg;
use crate::text::{duration, moment};

const LANE: f64 = 24.0;
/// Leaders drawn at most: more changes than this are finer than a pixel.
const LEADERS_MAX: usize = 1_000;

/// Nothing where there was neither a fault nor a leader.
pub(crate) fn run(summary: &Summary, evidence: Option<(u64, u64)>) -> Option<Svg> {
    let kinds = kinds(summary);
    let lanes = kinds.len() + usize::from(!summary.leaders.is_empty());
    if lanes == 0 {
        return None;
    }
    let height = 30.0 + LANE * lanes as f64 + 6.0 + 26.0;
    let mut frame = Frame::new(summary, height, "Faults and leaders over time", evidence);
    for (lane, kind) in kinds.iter().enumerate() {
        let y = frame.top + LANE * lane as f64 + 4.0;
        frame.svg.text("soft end", (LEFT - 8.0, y + 13.0), kind);
        faults(&mut frame, summary, &kinds, kind, y);
    }
    if !summary.leaders.is_empty() {
        let y = frame.top + LANE * kinds.len() as f64 + 4.0;
        frame.svg.text("soft end", (LEFT - 8.0, y + 13.0), "leader");
        leaders(&mut frame, summary, y);
    }
    let tried = summary.faults.iter().any(|fault| !fault.window.effective);
    if summary.faults.iter().any(|fault| fault.window.effective) {
        frame.legend("lane k0", Sample::Box, "verified in effect");
    }
    if tried {
        frame.legend("idle", Sample::Box, "not verified, does not count");
    }
    if summary.faults.len() > FAULTS_MAX {
        frame.note(&format!("the first {FAULTS_MAX} of {} faults drawn", summary.faults.len()));
    }
    Some(frame.svg)
}

fn faults(frame: &mut Frame, summary: &Summary, kinds: &[&str], kind: &str, y: f64) {
    let of_kind = summary.faults.iter().take(FAULTS_MAX).filter(|fault| fault.window.kind == *kind);
    for fault in of_kind {
        let window = &fault.window;
        let (from, to) = span(fault, summary.end_ns);
        let (x0, x1) = (frame.x(from), frame.x(to));
        let paint = if window.effective {
            format!("lane {}", kind_class(kinds, kind))
        } else {
            "idle".into()
        };
        let title = format!("{}, from {} for {}", window.label, moment(from), duration(to - from));
        frame.svg.titled_rect(&paint, [x0, y, (x1 - x0).max(1.5), LANE - 6.0], &title);
        // The lane says the kind already.
        let label = window.label.strip_prefix(&format!("{kind}: ")).unwrap_or(&window.label);
        if CHAR * label.chars().count() as f64 + 8.0 < x1 - x0 {
            let class = if window.effective { "inlane mid" } else { "soft small mid" };
            frame.svg.text(class, (f64::midpoint(x0, x1), y + 13.0), label);
        }
    }
}

fn leaders(frame: &mut Frame, summary: &Summary, y: f64) {
    for span in summary.leaders.iter().take(LEADERS_MAX) {
        let (x0, x1) = (frame.x(span.from_ns), frame.x(span.to_ns));
        let term = span.term.map_or(String::new(), |term| format!(" · {term}"));
        let (class, label) = match span.leader {
            Some(node) => ("leader", format!("{node}{term}")),
            None => ("idle", "none".into()),
        };
        let title = format!(
            "leader {label}, seen from {} for {}",
            moment(span.from_ns),
            duration(span.to_ns - span.from_ns)
        );
        frame.svg.titled_rect(class, [x0, y, (x1 - x0).max(0.5), LANE - 6.0], &title);
        // Without the term where there is no room for it.
        let short = span.leader.map_or_else(|| label.clone(), |node| node.to_string());
        let fits = |text: &&String| CHAR * text.chars().count() as f64 + 8.0 < x1 - x0;
        if let Some(label) = [&label, &short].into_iter().find(fits) {
            frame.svg.text("small mid", (f64::midpoint(x0, x1), y + 13.0), label);
        }
    }
}
