//! How much slower the nodes are than this machine, so that timeouts fit.
//!
//! The same program does the same work here, alone, and on all nodes at once, as they will work in the run. Stores' and clients' usual timeouts leave room
//! for a step that takes [`SLACK`] times as long as usual; beyond that they are multiplied.

use std::collections::BTreeMap;
use std::process::{Command as Process, ExitCode, Stdio};
use std::time::{Duration, Instant};

use keelhaul_cluster::{Command, Node, NodeError, SELF_EXE};

/// The hidden command that works.
pub const WORD: &str = "pace";
/// A request between nodes takes a millisecond or two here and the shortest timeout is 50 ms.
const SLACK: f64 = 10.0;
/// Beyond this nothing is learnt from waiting longer.
const FACTOR_MAX: u32 = 30;
/// Makes the work take about a tenth of a second in an optimised program.
const ROUNDS: u64 = 400_000;

/// The work: what servers do most, allocate, compare, copy.
pub fn work() -> ExitCode {
    let mut map: BTreeMap<String, u64> = BTreeMap::new();
    let mut state = 1_u64;
    for i in 0..ROUNDS {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *map.entry((state >> 48).to_string()).or_default() += i;
    }
    // Whoever asked looks at the time only, but the work must not be left out.
    println!("{}", map.values().fold(0, |sum: u64, value| sum.wrapping_add(*value)));
    ExitCode::SUCCESS
}

/// How many times as long as here the slowest node takes, and by how much timeouts are multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How many times as long.
    pub slowness: f64,
    /// By how much.
    pub factor: u32,
}

impl Pace {
    fn new(here: Duration, there: Duration) -> Self {
        let slowness = there.as_secs_f64() / here.as_secs_f64().max(1e-6);
        // The whole part of a small positive number fits.
        let factor = (slowness / SLACK).ceil().clamp(1.0, f64::from(FACTOR_MAX)) as u32;
        Self { slowness, factor }
    }

    /// Measures: a first round brings the program into everybody's memory, the second counts.
    pub async fn measure(nodes: &[Node]) -> Result<Self, NodeError> {
        on_all(nodes).await?;
        let there = on_all(nodes).await?;
        Ok(Self::new(here(), there))
    }
}

fn here() -> Duration {
    let once = || {
        let begun = Instant::now();
        let mut program = Process::new("/proc/self/exe");
        // One that cannot be started looks fast, and the factor is as large as can be.
        let _ = program.arg(WORD).stdin(Stdio::null()).stdout(Stdio::null()).status();
        begun.elapsed()
    };
    once().min(once())
}

async fn on_all(nodes: &[Node]) -> Result<Duration, NodeError> {
    let begun = Instant::now();
    let mut working = tokio::task::JoinSet::new();
    for node in nodes {
        let node = node.clone();
        working.spawn(async move { node.run(Command::new([SELF_EXE, WORD])).await });
    }
    for worked in working.join_all().await {
        worked?;
    }
    Ok(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_grow_only_beyond_their_slack() {
        let factor =
            |there: u64| Pace::new(Duration::from_millis(100), Duration::from_millis(there)).factor;
        assert_eq!([90, 100, 1_000, 1_001, 4_000].map(factor), [1, 1, 1, 2, 4]);
        assert_eq!(factor(1_000_000), FACTOR_MAX);
    }
}
