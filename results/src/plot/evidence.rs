//! The operations that break the promise, as a timeline: one lane a process, an interval an operation.
//!
//! Time is compressed where nothing happens, since such operations may take microseconds and lie seconds apart. Dots
//! number the longest legal order, if there is one; what fits nowhere after it is red. Faults and leaders of that time have lanes of
//! their own above.

use std::fmt::Write;

use keelhaul_checkers::{Evidence, EvidenceOp};

use super::{kind_class, kinds};
use crate::layout::{Layout, Room};
use crate::render::shown;
use crate::stats::Summary;
use crate::svg::{Path, Svg};
use crate::text::{cut, duration, moment};

/// Operations drawn at most.
const OPS_MAX: usize = 60;
const LEFT: f64 = 132.0;
const RIGHT: f64 = 24.0;
/// Width of the page; a narrow drawing is stretched towards it, but not so far that two operations look lost.
const PAGE: f64 = 1080.0;
const STRETCH_MAX: f64 = 1.8;
const LANE: f64 = 46.0;
const STRIP: f64 = 22.0;
const BAR: f64 = 16.0;
/// A character of the monospaced face at 12 pixels.
const CHAR: f64 = 7.3;
/// Room for a numbered dot.
const DOT: f64 = 19.0;
const LABEL_MAX: usize = 40;

/// The drawing, and whether operations were left out.
pub(crate) fn evidence(evidence: &Evidence, summary: Option<&Summary>) -> (Svg, usize) {
    let ops = shown(evidence, OPS_MAX);
    let room = Room { step_min: 26.0, step_max: 120.0, lane_gap: 14.0 };
    let mut layout = Layout::new(&ops, room, true, label_width);
    layout.stretch(((PAGE - LEFT - RIGHT) / layout.width).clamp(1.0, STRETCH_MAX));
    let strips = Strips::new(&ops, summary, &layout);
    let lanes = lanes(&ops);
    let top = 10.0 + STRIP * strips.lanes.len() as f64;
    let height = top + LANE * lanes.len() as f64 + 34.0;
    let width = LEFT + layout.width + RIGHT;
    let mut drawing =
        Drawing { svg: Svg::new(width, height, "The operations involved"), layout, top };
    strips.draw(&mut drawing);
    drawing.axis(&ops, height);
    for (lane, (_, actor)) in lanes.iter().enumerate() {
        let y = drawing.lane_y(lane);
        drawing.svg.line("grid", (LEFT - 8.0, y + LANE - 6.0), (width, y + LANE - 6.0));
        drawing.svg.text("soft end", (LEFT - 14.0, y + 30.0), &format!("process {actor}"));
    }
    let lane_of = |op: &EvidenceOp| lane_of(&lanes, op);
    let stuck = |op: &EvidenceOp| evidence.stuck.contains(&op.index);
    for (at, op) in ops.iter().enumerate() {
        drawing.op(op, at, lane_of(op), stuck(op));
    }
    drawing.order(&ops, &lanes, &evidence.longest_order);
    // Last, so that nothing crosses a word.
    for (at, op) in ops.iter().enumerate() {
        drawing.label(op, at, lane_of(op), stuck(op));
    }
    (drawing.svg, evidence.ops.len() - ops.len())
}

/// Processes in order of their first operation, and what they are called.
fn lanes(ops: &[EvidenceOp]) -> Vec<(&str, String)> {
    let mut lanes: Vec<(&str, String)> = Vec::new();
    for op in ops {
        if lanes.iter().all(|(process, _)| *process != op.process) {
            lanes.push((&op.process, op.actor()));
        }
    }
    lanes
}

fn lane_of(lanes: &[(&str, String)], op: &EvidenceOp) -> usize {
    lanes.iter().position(|(process, _)| *process == op.process).unwrap_or(0)
}

fn label(op: &EvidenceOp) -> String {
    cut(&op.label, LABEL_MAX)
}

fn label_width(op: &EvidenceOp) -> f64 {
    CHAR * label(op).chars().count() as f64
}

struct Drawing {
    svg: Svg,
    layout: Layout,
    top: f64,
}

impl Drawing {
    fn lane_y(&self, lane: usize) -> f64 {
        self.top + LANE * lane as f64
    }

    fn op(&mut self, op: &EvidenceOp, at: usize, lane: usize, stuck: bool) {
        let place = self.layout.places[at];
        let (x0, x1) = (LEFT + place.from, LEFT + place.to);
        let y = self.lane_y(lane);
        let (bar, end, open) =
            if stuck { ("stuck", "stuckend", "stuckopen") } else { ("op", "opend", "open") };
        let (from, to) = (y + 20.0, y + 20.0 + BAR);
        let lasted = op.end_ns.map_or("outcome unknown".into(), |end| {
            format!("took {}", duration(end.saturating_sub(op.start_ns)))
        });
        let title = format!("{} at {}, {lasted} (op {})", op.label, moment(op.start_ns), op.index);
        self.svg.titled_rect(bar, [x0, from, (x1 - x0).max(2.0), BAR], &title);
        self.svg.line(end, (x0, from - 2.0), (x0, to + 2.0));
        let end = if op.end_ns.is_some() { end } else { open };
        self.svg.line(end, (x1, from - 2.0), (x1, to + 2.0));
    }

    fn label(&mut self, op: &EvidenceOp, at: usize, lane: usize, stuck: bool) {
        let class = if stuck { "mono halo strong badtext" } else { "mono halo" };
        let place = (LEFT + self.layout.places[at].from, self.lane_y(lane) + 13.0);
        self.svg.text(class, place, &label(op));
    }

    /// Joins the points at which the operations of the longest legal order can take effect.
    fn order(&mut self, ops: &[EvidenceOp], lanes: &[(&str, String)], order: &[u64]) {
        let shown = order.iter().filter_map(|index| ops.iter().position(|op| op.index == *index));
        let mut points: Vec<(f64, f64)> = Vec::new();
        let mut x = 0.0f64;
        for at in shown {
            let place = self.layout.places[at];
            let lane = lane_of(lanes, &ops[at]);
            // After the one before, inside its own interval.
            let middle = DOT / 2.0;
            let latest = (place.to - middle).max(place.from + middle);
            x = (x + DOT).max(place.from + middle).min(latest);
            points.push((LEFT + x, self.lane_y(lane) + 20.0 + BAR / 2.0));
        }
        let mut path = Path::default();
        for (i, (x, y)) in points.iter().enumerate() {
            if i == 0 {
                path.move_to(*x, *y);
            } else {
                path.line_to(*x, *y);
            }
        }
        self.svg.path("order", &path);
        for (i, (x, y)) in points.iter().enumerate() {
            self.svg.circle("badge", (*x, *y), 8.0);
            self.svg.text("rank", (*x, y + 3.6), &(i + 1).to_string());
        }
    }

    /// Times under the drawing, each with the distance from the first in full where there is room.
    fn axis(&mut self, ops: &[EvidenceOp], height: f64) {
        let y = height - 30.0;
        self.svg.line("axis", (LEFT, y), (LEFT + self.layout.width, y));
        let first = ops.iter().map(|op| op.start_ns).min().unwrap_or(0);
        let mut free = f64::NEG_INFINITY;
        let mut before = String::new();
        let stops = self.layout.stops().to_vec();
        for (time, x) in stops {
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _ = if time == first {
                write!(text, "{}", moment(time))
            } else {
                write!(text, "+{}", duration(time - first))
            };
            let x = LEFT + x;
            self.svg.line("axis", (x, y), (x, y + 4.0));
            let half = 3.4 * text.chars().count() as f64;
            if x - half > free && text != before {
                self.svg.text("soft small mid", (x, y + 18.0), &text);
                free = x + half + 8.0;
                before = text;
            }
        }
    }
}

/// Lanes above the operations: for each kind of fault as many as overlap, and one for the leader.
struct Strips {
    lanes: Vec<Strip>,
}

struct Strip {
    name: String,
    spans: Vec<Span>,
}

/// A stretch of a lane, in the drawing's unit.
struct Span {
    from: f64,
    to: f64,
    paint: String,
    label: String,
}

/// Fault lanes drawn at most.
const STRIPS_MAX: usize = 8;

impl Strips {
    fn new(ops: &[EvidenceOp], summary: Option<&Summary>, layout: &Layout) -> Self {
        let mut strips = Self { lanes: Vec::new() };
        let (Some(summary), Some(from)) = (summary, ops.iter().map(|op| op.start_ns).min()) else {
            return strips;
        };
        let to = ops.iter().map(|op| op.end_ns.unwrap_or(op.start_ns)).max().unwrap_or(from);
        let span = |start: u64, end: u64, paint: &str, label: String| {
            // Whatever began before or ended after reaches beyond the edge.
            let x0 = if start <= from { -6.0 } else { layout.at(start) };
            let x1 = if end >= to { layout.width } else { layout.at(end) };
            Span { from: x0, to: x1.max(x0 + 2.0), paint: paint.into(), label }
        };
        let kinds = kinds(summary);
        for kind in &kinds {
            let paint = format!("lane {}", kind_class(&kinds, kind));
            let mut of_kind = Vec::new();
            let effective = summary.faults.iter().filter(|fault| fault.window.effective);
            for fault in effective.filter(|fault| fault.window.kind == *kind) {
                let (start, end) = super::span(fault, summary.end_ns);
                if end >= from && start <= to {
                    let label = fault.window.label.strip_prefix(&format!("{kind}: "));
                    let label = label.unwrap_or(&fault.window.label).to_string();
                    of_kind.push(span(start, end, &paint, label));
                }
            }
            strips.pack(kind, of_kind);
        }
        strips.lanes.truncate(STRIPS_MAX);
        let mut leaders = Vec::new();
        for known in summary.leaders.iter().filter(|s| s.to_ns >= from && s.from_ns <= to) {
            let label = known.leader.map_or("none".into(), |node| node.to_string());
            let term = known.term.map_or(String::new(), |term| format!(", term {term}"));
            leaders.push(span(known.from_ns, known.to_ns, "leader", format!("{label}{term}")));
        }
        if !leaders.is_empty() {
            strips.lanes.push(Strip { name: "leader".into(), spans: leaders });
        }
        strips
    }

    /// Puts spans, in order of their beginning, on as few lanes as will hold them side by side.
    fn pack(&mut self, name: &str, spans: Vec<Span>) {
        let first = self.lanes.len();
        for span in spans {
            let free =
                |lane: &Strip| lane.spans.last().is_none_or(|last| last.to + 1.0 <= span.from);
            match self.lanes[first..].iter_mut().find(|lane| free(lane)) {
                Some(lane) => lane.spans.push(span),
                None => self.lanes.push(Strip { name: name.into(), spans: vec![span] }),
            }
        }
    }

    fn draw(&self, drawing: &mut Drawing) {
        for (i, strip) in self.lanes.iter().enumerate() {
            let y = 4.0 + STRIP * i as f64;
            drawing.svg.text("soft end", (LEFT - 14.0, y + 13.0), &strip.name);
            for Span { from, to, paint, label } in &strip.spans {
                let place = [LEFT + from, y, to - from, STRIP - 5.0];
                drawing.svg.titled_rect(paint, place, label);
                let fits = ((to - from - 14.0) / 6.4).max(0.0) as usize;
                if label.chars().count() <= fits {
                    let class = if strip.name == "leader" { "small" } else { "inlane" };
                    drawing.svg.text(class, (LEFT + from + 10.0, y + 12.5), label);
                }
            }
        }
    }
}
