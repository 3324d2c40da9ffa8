//! Completed operations a second over time, by outcome.

use super::frame::{Frame, LEFT, Sample, nice_step};
use crate::stats::Summary;
use crate::svg::{Path, Svg};
use crate::text::{duration, grouped};

const HEIGHT: f64 = 250.0;
const BINS: usize = 240;
const OUTCOMES: [&str; 3] = ["ok", "fail", "info"];

pub(crate) fn rate(summary: &Summary, evidence: Option<(u64, u64)>) -> Svg {
    let mut frame =
        Frame::with_bands(summary, HEIGHT, "Completed operations a second over time", evidence);
    let series = summary.series.coarse(BINS);
    if summary.counts.total() == 0 {
        frame.note("no operation completed");
        return frame.svg;
    }
    let width_ns = series.width_ns;
    // The last bin is cut by the end of the history; a sliver of it would exaggerate.
    let lasts = |i: usize| {
        let left = summary.end_ns.saturating_sub(width_ns.saturating_mul(i as u64));
        left.clamp(width_ns.div_ceil(4), width_ns) as f64 / 1e9
    };
    let rates: Vec<[f64; 3]> = series
        .bins
        .iter()
        .enumerate()
        .map(|(i, bin)| bin.counts.map(|count| f64::from(count) / lasts(i)))
        .collect();
    let most = rates.iter().flatten().copied().fold(1.0, f64::max);
    let step = nice_step(most / 4.0);
    let high = step * (most / step).ceil();
    let (top, bottom) = (frame.top + 6.0, frame.bottom);
    let y = |rate: f64| bottom - rate / high * (bottom - top);
    for i in 0..=(high / step).round() as u32 {
        let level = f64::from(i) * step;
        let text = if step < 1.0 { format!("{level:.1}") } else { grouped(level as u64) };
        frame.level(y(level), &format!("{text}/s"));
    }
    for at in [0, 2, 1] {
        if summary.points[at].seen() == 0 {
            continue;
        }
        let mut path = Path::default();
        steps(&mut path, &frame, rates.iter().map(|rate| y(rate[at])), width_ns);
        if at == 0 {
            let mut area = Path::default();
            area.move_to(LEFT, bottom);
            steps(&mut area, &frame, rates.iter().map(|rate| y(rate[at])), width_ns);
            area.line_to(frame.x(width_ns.saturating_mul(rates.len() as u64)), bottom);
            area.close();
            frame.svg.path("area", &area);
        }
        frame.svg.path(&format!("curve s{at}"), &path);
    }
    for (at, outcome) in
        OUTCOMES.iter().enumerate().filter(|(at, _)| summary.points[*at].seen() > 0)
    {
        frame.legend(&format!("curve s{at}"), Sample::Line, outcome);
    }
    frame.note(&format!("in steps of {}", duration(width_ns)));
    frame.svg
}

/// A level for each bin, joined by verticals.
fn steps(path: &mut Path, frame: &Frame, levels: impl Iterator<Item = f64>, width_ns: u64) {
    for (i, y) in levels.enumerate() {
        let (x0, x1) = (
            frame.x(width_ns.saturating_mul(i as u64)),
            frame.x(width_ns.saturating_mul(i as u64 + 1)),
        );
        if path.is_empty() {
            path.move_to(x0, y);
        } else {
            path.line_to(x0, y);
        }
        path.line_to(x1, y);
    }
}
