//! Where the operations of an evidence stand on a compressed time axis.
//!
//! A violation is about order: the operations involved may take microseconds and lie seconds apart, so on a linear
//! axis nothing could be read. Here the axis runs through the invocations and completions in the order of the history,
//! and every step between two of them gets at least some room and never too much.

use std::collections::BTreeMap;

use keelhaul_checkers::EvidenceOp;

/// How much room a step gets, in the unit of the drawing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// At least.
    pub step_min: f64,
    /// At most, however long it took.
    pub step_max: f64,
    /// Between two operations on one lane.
    pub lane_gap: f64,
}

/// An operation's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// Where its invocation stands.
    pub from: f64,
    /// Where its completion stands; the right edge if nobody knows.
    pub to: f64,
}

/// The places of all operations, and the axis they stand on.
#[derive(Debug)]
pub(crate) struct Layout {
    /// One per operation, in the order given.
    pub places: Vec<Place>,
    /// The right edge.
    pub width: f64,
    /// Time and place of every event, both rising.
    stops: Vec<(u64, f64)>,
}

/// One end of an operation.
struct Event {
    index: u64,
    time_ns: u64,
    op: usize,
    start: bool,
}

impl Layout {
    /// Lays out `ops`; `label` is the room that an operation's label needs from its invocation on. Operations of one
    /// process share a lane where `lanes` says so; otherwise each has its own.
    pub fn new(
        ops: &[EvidenceOp],
        room: Room,
        lanes: bool,
        label: impl Fn(&EvidenceOp) -> f64,
    ) -> Self {
        let events = events(ops);
        let shortest = events.windows(2).map(|w| w[1].time_ns.saturating_sub(w[0].time_ns));
        let shortest = shortest.filter(|ns| *ns > 0).min().unwrap_or(1) as f64;
        let mut places = vec![Place { from: 0.0, to: f64::NAN }; ops.len()];
        let mut stops: Vec<(u64, f64)> = Vec::new();
        let mut lane_free: BTreeMap<&str, f64> = BTreeMap::new();
        let mut width = 0.0f64;
        for event in &events {
            let mut at = match stops.last() {
                None => 0.0,
                Some((time, x)) => {
                    let ratio = event.time_ns.saturating_sub(*time) as f64 / shortest;
                    // Longer steps look longer, but by the logarithm.
                    let step = room.step_min * (1.0 + ratio.max(1.0).log2() / 3.0);
                    x + step.clamp(room.step_min, room.step_max)
                }
            };
            let op = &ops[event.op];
            if event.start {
                if lanes {
                    at = at.max(lane_free.get(&*op.process).copied().unwrap_or(0.0));
                    lane_free.insert(&op.process, at + label(op) + room.lane_gap);
                }
                places[event.op].from = at;
                width = width.max(at + label(op));
            } else {
                places[event.op].to = at;
                if let Some(free) = lane_free.get_mut(&*op.process) {
                    *free = free.max(at + room.lane_gap);
                }
            }
            width = width.max(at);
            stops.push((event.time_ns, at));
        }
        let width = width + room.step_min;
        for place in places.iter_mut().filter(|place| place.to.is_nan()) {
            place.to = width;
        }
        Self { places, width, stops }
    }

    /// Makes everything wider by a factor.
    pub fn stretch(&mut self, factor: f64) {
        self.width *= factor;
        for place in &mut self.places {
            place.from *= factor;
            place.to *= factor;
        }
        for (_, x) in &mut self.stops {
            *x *= factor;
        }
    }

    /// Where a moment stands. Before the first event and after the last it is the edge.
    pub fn at(&self, time_ns: u64) -> f64 {
        let next = self.stops.partition_point(|(time, _)| *time <= time_ns);
        match (next.checked_sub(1).map(|i| self.stops[i]), self.stops.get(next)) {
            (Some((t0, x0)), Some((t1, x1))) => {
                x0 + (x1 - x0) * (time_ns - t0) as f64 / (t1 - t0) as f64
            }
            (None, _) => 0.0,
            (_, None) => self.width,
        }
    }

    /// Times and places of the events, for an axis.
    pub fn stops(&self) -> &[(u64, f64)] {
        &self.stops
    }
}

fn events(ops: &[EvidenceOp]) -> Vec<Event> {
    let mut events = Vec::with_capacity(2 * ops.len());
    for (op, shown) in ops.iter().enumerate() {
        events.push(Event { index: shown.index, time_ns: shown.start_ns, op, start: true });
        if let (Some(index), Some(time_ns)) = (shown.completion, shown.end_ns) {
            events.push(Event { index, time_ns, op, start: false });
        }
    }
    // The index, not the time: two events of one nanosecond still have an order.
    events.sort_by_key(|event| (event.index, event.start));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(process: &str, start: u64, end: Option<u64>) -> EvidenceOp {
        EvidenceOp {
            index: start,
            completion: end,
            process: process.into(),
            node: None,
            label: "write 1".into(),
            start_ns: start * 1_000,
            end_ns: end.map(|end| end * 1_000),
        }
    }

    const ROOM: Room = Room { step_min: 10.0, step_max: 50.0, lane_gap: 5.0 };

    #[test]
    fn order_is_kept_and_gaps_are_bounded() {
        let ops = [op("0", 0, Some(3)), op("1", 1, Some(2)), op("0", 1_000_000, None)];
        let layout = Layout::new(&ops, ROOM, true, |_| 0.0);
        let p = &layout.places;
        assert!(p[0].from < p[1].from && p[1].from < p[1].to && p[1].to < p[0].to, "{p:?}");
        assert!(p[2].from - p[0].to <= ROOM.step_max, "{p:?}");
        assert!((p[2].to - layout.width).abs() < 1e-9);
        assert!(layout.at(0) <= layout.at(1_500) && layout.at(1_500) <= layout.at(u64::MAX));
        assert!((layout.at(2_000) - p[1].to).abs() < 1e-9);
    }

    #[test]
    fn labels_on_one_lane_do_not_overlap() {
        let ops = [op("0", 0, Some(1)), op("0", 2, Some(3)), op("1", 4, Some(5))];
        let layout = Layout::new(&ops, ROOM, true, |_| 80.0);
        let p = &layout.places;
        assert!(p[1].from >= p[0].from + 85.0, "{p:?}");
        assert!(p[2].from < p[1].from + 80.0, "another lane need not wait: {p:?}");
        assert!(layout.width >= p[2].from + 80.0);
    }

    #[test]
    fn nothing_to_lay_out() {
        let layout = Layout::new(&[], ROOM, true, |_| 0.0);
        assert!(layout.places.is_empty() && layout.width > 0.0 && layout.stops().is_empty());
        assert!((layout.at(5)).abs() < 1e-9 || (layout.at(5) - layout.width).abs() < 1e-9);
    }
}
