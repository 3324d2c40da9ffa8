//! Latency over time: a dot an operation, lines for the quantiles, on a logarithmic scale.

use super::frame::{Frame, Sample};
use crate::stats::{Bin, Point, Summary};
use crate::svg::{Path, Svg};
use crate::text::{duration, grouped};

const HEIGHT: f64 = 330.0;
/// Bins of the quantile lines: each holds enough operations to have a 99th percentile.
const BINS: usize = 120;
const OUTCOMES: [&str; 3] = ["ok", "fail", "info"];

pub(crate) fn latency(summary: &Summary, evidence: Option<(u64, u64)>) -> Svg {
    let mut frame = Frame::with_bands(summary, HEIGHT, "Latency over time", evidence);
    let points = points(summary);
    let shown: usize = points.iter().map(Vec::len).sum();
    if shown == 0 {
        frame.note("no operation completed");
        return frame.svg;
    }
    let scale = Scale::new(&frame, points.iter().flatten().map(|point| point.latency_ns));
    scale.levels(&mut frame);
    // The rarest last, so that it lies on top.
    for at in [1, 0, 2] {
        let mut path = Path::default();
        for point in &points[at] {
            path.dot(frame.x(point.time_ns), scale.y(point.latency_ns as f64));
        }
        frame.svg.path(&format!("dots s{at}"), &path);
    }
    for (at, outcome) in OUTCOMES.iter().enumerate().filter(|(at, _)| !points[*at].is_empty()) {
        frame.legend(&format!("d{at}"), Sample::Dot, outcome);
    }
    let series = summary.series.coarse(BINS);
    for (share, class, name) in
        [(0.5, "curve quantile", "median of ok"), (0.99, "curve tail", "99th percentile of ok")]
    {
        let value = |bin: &Bin| bin.quantile_ns(share);
        let path = curve(&frame, &scale, &series.bins, series.width_ns, value);
        if !path.is_empty() {
            frame.svg.path(class, &path);
            frame.legend(class, Sample::Line, name);
        }
    }
    let total = summary.counts.total();
    if (shown as u64) < total {
        let (shown, total) = (grouped(shown as u64), grouped(total));
        frame.note(&format!("{shown} of {total} drawn: a sample of each outcome, and the slowest"));
    }
    frame.svg
}

/// The sample of each outcome, with the slowest of every bin.
fn points(summary: &Summary) -> [Vec<Point>; 3] {
    std::array::from_fn(|at| {
        let mut points = summary.points[at].sample().to_vec();
        if summary.points[at].seen() > points.len() as u64 {
            let slowest = summary.series.bins.iter().filter_map(|bin| bin.slowest[at]);
            points.extend(slowest.map(|(latency_ns, time_ns)| Point {
                time_ns,
                latency_ns,
                index: 0,
            }));
        }
        points
    })
}

/// A line through the middle of each bin, broken where a bin has no value.
fn curve(
    frame: &Frame,
    scale: &Scale,
    bins: &[Bin],
    width_ns: u64,
    value: impl Fn(&Bin) -> Option<f64>,
) -> Path {
    let mut path = Path::default();
    let mut broken = true;
    for (i, bin) in bins.iter().enumerate() {
        let Some(value) = value(bin) else {
            broken = true;
            continue;
        };
        let (x, y) = (
            frame.x(width_ns.saturating_mul(i as u64).saturating_add(width_ns / 2)),
            scale.y(value),
        );
        if broken {
            path.move_to(x, y);
        }
        // Also after a move, so that a lone bin is seen.
        path.line_to(x, y);
        broken = false;
    }
    path
}

/// A logarithmic scale from one power of ten to another.
struct Scale {
    low: i32,
    high: i32,
    top: f64,
    bottom: f64,
}

impl Scale {
    fn new(frame: &Frame, values: impl Iterator<Item = u64> + Clone) -> Self {
        let decade = |ns: u64| (ns.max(1_000) as f64).log10();
        let low = values.clone().min().map_or(3.0, decade).floor() as i32;
        let high = values.max().map_or(9.0, decade).ceil() as i32;
        Self { low, high: high.max(low + 1), top: frame.top + 6.0, bottom: frame.bottom }
    }

    fn y(&self, ns: f64) -> f64 {
        let share = (ns.max(1.0).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        self.bottom - share.clamp(0.0, 1.0) * (self.bottom - self.top)
    }

    fn levels(&self, frame: &mut Frame) {
        for decade in self.low..=self.high {
            let ns = 10f64.powi(decade);
            frame.level(self.y(ns), &whole(ns));
            if decade < self.high {
                for factor in 2..10 {
                    let y = self.y(ns * f64::from(factor));
                    let right = frame.right();
                    frame.svg.line("faint", (super::frame::LEFT, y), (right, y));
                }
            }
        }
    }
}

/// A power of ten without decimals: `10 ms`.
fn whole(ns: f64) -> String {
    let text = duration(ns as u64);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn levels_are_whole() {
        let texts = ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"];
        for (decade, text) in (3..).zip(texts) {
            assert_eq!(whole(10f64.powi(decade)), text);
        }
    }
}
