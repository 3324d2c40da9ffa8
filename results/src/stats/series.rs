//! Counts and latencies over time, in a bounded number of bins of equal width.
//!
//! How long a run lasts is known only at its end, so bins begin narrow, and each time they run out neighbours are
//! merged and all are twice as wide.

use keelhaul_history::Kind;

use super::outcome;

/// Bins at most; an even number, since neighbours are merged.
const BINS_MAX: usize = 480;
/// Width of a bin at first.
const WIDTH_NS_MIN: u64 = 1_000_000;
/// Latency classes: eight to an octave of 2 from 1 µs on, which spans to beyond an hour and errs by 9 % at most.
const CLASSES: usize = 8 * 32;

/// What completed in a span of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bin {
    /// Completions by outcome: ok, fail, info.
    pub counts: [u32; 3],
    /// The slowest of each outcome: its latency and when it completed.
    pub slowest: [Option<(u64, u64)>; 3],
    /// Completions that were ok, by latency class; empty until there is one.
    classes: Vec<u32>,
}

impl Bin {
    fn add(&mut self, time_ns: u64, at: usize, latency_ns: u64) {
        self.counts[at] += 1;
        self.slowest[at] = self.slowest[at].max(Some((latency_ns, time_ns)));
        if at == 0 {
            self.classes.resize(CLASSES, 0);
            self.classes[class(latency_ns)] += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        for at in 0..3 {
            self.counts[at] += other.counts[at];
            self.slowest[at] = self.slowest[at].max(other.slowest[at]);
        }
        if self.classes.is_empty() {
            self.classes.clone_from(&other.classes);
        } else {
            for (mine, others) in self.classes.iter_mut().zip(&other.classes) {
                *mine += others;
            }
        }
    }

    /// The latency that this share of ok completions stayed within, in nanoseconds.
    pub fn quantile_ns(&self, share: f64) -> Option<f64> {
        let total: u64 = self.classes.iter().map(|n| u64::from(*n)).sum();
        let wanted = (share * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let class = self.classes.iter().position(|n| {
            seen += u64::from(*n);
            seen >= wanted
        })?;
        // The middle of the class.
        Some(1e3 * ((class as f64 + 0.5) / 8.0).exp2())
    }
}

fn class(latency_ns: u64) -> usize {
    let class = 8.0 * (latency_ns.max(1_000) as f64 / 1e3).log2();
    (class as usize).min(CLASSES - 1)
}

/// The bins of a history, the first beginning at zero.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub bins: Vec<Bin>,
    pub width_ns: u64,
}

impl Default for Series {
    fn default() -> Self {
        Self { bins: Vec::new(), width_ns: WIDTH_NS_MIN }
    }
}

impl Series {
    pub fn add(&mut self, time_ns: u64, kind: Kind, latency_ns: u64) {
        while time_ns / self.width_ns >= BINS_MAX as u64 {
            self.widen();
        }
        let bin = (time_ns / self.width_ns) as usize;
        if bin >= self.bins.len() {
            self.bins.resize_with(bin + 1, Bin::default);
        }
        if kind != Kind::Invoke {
            self.bins[bin].add(time_ns, outcome(kind), latency_ns);
        }
    }

    /// The same with at most `bins` bins.
    pub fn coarse(&self, bins: usize) -> Self {
        let mut coarse = self.clone();
        while coarse.bins.len() > bins.max(1) {
            coarse.widen();
        }
        coarse
    }

    fn widen(&mut self) {
        self.width_ns = self.width_ns.saturating_mul(2);
        for at in 0..self.bins.len().div_ceil(2) {
            let mut merged = std::mem::take(&mut self.bins[2 * at]);
            if let Some(second) = self.bins.get(2 * at + 1) {
                merged.merge(second);
            }
            self.bins[at] = merged;
        }
        self.bins.truncate(self.bins.len().div_ceil(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_widen_and_lose_nothing() {
        let mut series = Series::default();
        for i in 0..100_000u64 {
            let kind = if i % 10 == 0 { Kind::Fail } else { Kind::Ok };
            series.add(i * 1_000_000, kind, 1_000 * (1 + i % 100));
        }
        assert!(series.bins.len() <= BINS_MAX && series.bins.len() > BINS_MAX / 2);
        let ok: u32 = series.bins.iter().map(|bin| bin.counts[0]).sum();
        let fail: u32 = series.bins.iter().map(|bin| bin.counts[1]).sum();
        assert_eq!((ok, fail), (90_000, 10_000));
        let coarse = series.coarse(50);
        assert!(coarse.bins.len() <= 50);
        assert_eq!(coarse.bins.iter().map(|bin| bin.counts[0]).sum::<u32>(), 90_000);
        let median = coarse.bins[3].quantile_ns(0.5).unwrap();
        assert!((46_000.0..56_000.0).contains(&median), "{median}");
        assert_eq!(coarse.bins[3].slowest[0].unwrap().0, 100_000);
    }

    #[test]
    fn extremes() {
        let mut series = Series::default();
        series.add(u64::MAX, Kind::Ok, u64::MAX);
        series.add(0, Kind::Ok, 0);
        assert!(series.bins.len() <= BINS_MAX);
        assert!(Bin::default().quantile_ns(0.5).is_none());
        assert!(series.bins[0].quantile_ns(0.99).unwrap() >= 1_000.0);
    }
}
