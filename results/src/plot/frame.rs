//! What the drawings over the whole run share: a time axis, bands of faults, a legend.

use super::{FAULTS_MAX, kind_class, kinds, span};
use crate::stats::Summary;
use crate::svg::Svg;

pub(super) const WIDTH: f64 = 1080.0;
/// Room for the longest name of a fault.
pub(super) const LEFT: f64 = 124.0;
const RIGHT: f64 = 22.0;
/// Room for the legend above and the axis below.
const TOP: f64 = 30.0;
const BOTTOM: f64 = 26.0;
/// An average character of the sans-serif face at 12 pixels; generous, so that texts do not touch.
pub(super) const CHAR: f64 = 6.7;

/// A plot with time from left to right.
pub(super) struct Frame {
    pub svg: Svg,
    pub top: f64,
    pub bottom: f64,
    end_ns: u64,
    legend_x: f64,
}

impl Frame {
    /// An empty plot with fault bands and the time axis.
    pub fn with_bands(
        summary: &Summary,
        height: f64,
        label: &str,
        evidence: Option<(u64, u64)>,
    ) -> Self {
        let mut frame = Self::new(summary, height, label, evidence);
        frame.bands(summary);
        frame
    }

    /// An empty plot with the time axis.
    pub fn new(summary: &Summary, height: f64, label: &str, evidence: Option<(u64, u64)>) -> Self {
        let mut frame = Self {
            svg: Svg::new(WIDTH, height, label),
            top: TOP,
            bottom: height - BOTTOM,
            end_ns: summary.end_ns.max(1),
            legend_x: LEFT,
        };
        frame.time_axis();
        if let Some((from, to)) = evidence {
            let (x0, x1) = (frame.x(from), frame.x(to));
            let top = frame.top;
            frame.svg.rect("here", x0, top, x1 - x0, 3.0);
            frame.svg.line("mark", (x0, top), (x0, frame.bottom));
            frame.svg.line("mark", (x1, top), (x1, frame.bottom));
        }
        frame
    }

    /// Where a moment stands.
    pub fn x(&self, time_ns: u64) -> f64 {
        let share = time_ns.min(self.end_ns) as f64 / self.end_ns as f64;
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    pub const fn right(&self) -> f64 {
        WIDTH - RIGHT
    }

    /// Adds a word to the legend, after a sample of `class`.
    pub fn legend(&mut self, class: &str, sample: Sample, text: &str) {
        let (x, y) = (self.legend_x, 14.0);
        match sample {
            Sample::Dot => self.svg.circle(class, (x + 7.0, y), 4.0),
            Sample::Line => self.svg.line(class, (x, y), (x + 15.0, y)),
            Sample::Box => self.svg.rect(class, x, y - 6.0, 15.0, 12.0),
        }
        self.svg.text("soft", (x + 21.0, y + 4.0), text);
        self.legend_x += 21.0 + CHAR * text.chars().count() as f64 + 16.0;
    }

    /// A note at the right of the legend.
    pub fn note(&mut self, text: &str) {
        self.svg.text("soft small end", (self.right(), 18.0), text);
    }

    /// A line across with its value at the left.
    pub fn level(&mut self, y: f64, text: &str) {
        self.svg.line("grid", (LEFT, y), (self.right(), y));
        self.svg.text("soft end", (LEFT - 8.0, y + 4.0), text);
    }

    fn bands(&mut self, summary: &Summary) {
        let kinds = kinds(summary);
        let effective = summary.faults.iter().filter(|fault| fault.window.effective);
        for fault in effective.take(FAULTS_MAX) {
            let (from, to) = span(fault, self.end_ns);
            let (x0, x1) = (self.x(from), self.x(to));
            let class = format!("band {}", kind_class(&kinds, &fault.window.kind));
            let place = [x0, self.top, (x1 - x0).max(1.0), self.bottom - self.top];
            self.svg.titled_rect(&class, place, &fault.window.label);
        }
    }

    fn time_axis(&mut self) {
        let seconds = self.end_ns as f64 / 1e9;
        let step = nice_step(seconds / 10.0);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let ticks = (seconds / step).floor() as u32;
        for i in 0..=ticks.min(20) {
            let at = f64::from(i) * step;
            let x = self.x((at * 1e9) as u64);
            self.svg.line("axis", (x, self.bottom), (x, self.bottom + 4.0));
            self.svg.text("soft mid", (x, self.bottom + 18.0), &format!("{at:.decimals$} s"));
        }
        self.svg.line("axis", (LEFT, self.bottom), (self.right(), self.bottom));
    }
}

/// How a legend shows a class.
#[derive(Clone, Copy)]
pub(super) enum Sample {
    Dot,
    Line,
    Box,
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below `at_least`.
pub(super) fn nice_step(at_least: f64) -> f64 {
    let at_least = at_least.max(1e-9);
    let power = 10f64.powf(at_least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let found = factors.iter().map(|f| f * power).find(|step| *step >= at_least * (1.0 - 1e-9));
    found.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * b;
        for (at_least, step) in
            [(0.03, 0.05), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (120.0, 200.0)]
        {
            assert!(close(nice_step(at_least), step), "{at_least}: {}", nice_step(at_least));
        }
        assert!(nice_step(0.0) > 0.0);
    }
}
