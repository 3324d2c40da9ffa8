//! A sample of operations for a scatter plot.
//!
//! Which operations are kept depends on a hash of their index alone, so that the same history gives the same picture
//! and no rhythm of the workload can hide behind a stride. The slowest of every moment are kept in any case: an
//! outlier is what one looks for.

/// Operations kept by chance for one outcome.
const SAMPLE_MAX: usize = 3_000;

/// An operation in a scatter plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// When it completed.
    pub time_ns: u64,
    /// How long it took.
    pub latency_ns: u64,
    /// Index of the completion.
    pub index: u64,
}

/// The sample of one outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    sample: Vec<Point>,
    /// Each step halves the share of operations that are kept.
    halvings: u32,
    seen: u64,
}

impl Points {
    pub fn add(&mut self, point: Point) {
        self.seen += 1;
        if !keeps(point.index, self.halvings) {
            return;
        }
        self.sample.push(point);
        while self.sample.len() > SAMPLE_MAX {
            self.halvings += 1;
            let halvings = self.halvings;
            self.sample.retain(|point| keeps(point.index, halvings));
        }
    }

    /// Operations of this outcome.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Those kept.
    pub fn sample(&self) -> &[Point] {
        &self.sample
    }
}

fn keeps(index: u64, halvings: u32) -> bool {
    // Fibonacci hashing spreads consecutive numbers over the high bits.
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15).leading_zeros() >= halvings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_even_sample() {
        let mut points = Points::default();
        for index in 0..1_000_000 {
            points.add(Point { time_ns: index, latency_ns: 1, index });
        }
        let sample = points.sample();
        assert_eq!(points.seen(), 1_000_000);
        assert!((SAMPLE_MAX / 3..=SAMPLE_MAX).contains(&sample.len()), "{}", sample.len());
        let first_half = sample.iter().filter(|p| p.time_ns < 500_000).count();
        let share = first_half as f64 / sample.len() as f64;
        assert!((0.45..0.55).contains(&share), "{share}");
    }

    #[test]
    fn few_are_all_kept() {
        let mut points = Points::default();
        for index in 0..1_000 {
            points.add(Point { time_ns: index, latency_ns: 1, index });
        }
        assert_eq!(points.sample().len(), 1_000);
    }
}
