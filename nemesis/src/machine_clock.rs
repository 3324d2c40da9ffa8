//! The clocks of nodes that are machines of their own: told by their agents, and seen from here.
//!
//! A node is asked for its clock, and ours is looked at before and after: somewhere between these two the node answered. How far apart they are is
//! how little is known, and is reckoned with.

use std::time::Duration;

use keelhaul_cluster::{ClockReading, ClockWish};
use keelhaul_history::NodeId;
use tokio::time::Instant;

use super::clock::Told;
use crate::env::{Env, FaultError};

/// How often a clock is asked to be seen once: the quickest answer tells most.
const LOOKS: u32 = 5;
/// The pace is known well enough once it is known to a part of what was asked.
const PACE_PARTS: i128 = 10;
/// Pause between two looks, and how many of them there may be.
const WATCH: Duration = Duration::from_millis(500);
const WATCH_TURNS: u32 = 40;
/// What clocks drift apart by themselves during a fault: 200 parts in a million of 20 s.
const DRIFT_NS: i128 = 4_000_000;
const MILLION: i128 = 1_000_000;

/// A clock as it was seen, by ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    clock: ClockReading,
    /// The middle of the time in which the node answered, and how far its ends are from it.
    at: Instant,
    unsure: Duration,
}

impl Sight {
    fn between(before: Instant, after: Instant, clock: ClockReading) -> Self {
        let unsure = (after - before) / 2;
        Self { clock, at: before + unsure, unsure }
    }

    /// By how many nanoseconds the wall clock has jumped between two sights, and how unsure that is.
    fn jumped(self, later: Self) -> (i128, i128) {
        let shown = i128::from(later.clock.wall_ns) - i128::from(self.clock.wall_ns);
        (shown - nanos(later.at - self.at), nanos(self.unsure + later.unsure))
    }

    /// By how many parts in a million the clock has run fast between two sights, and how unsure that is.
    fn pace(self, later: Self) -> (i128, i128) {
        let passed = nanos(later.at - self.at).max(1);
        let shown = i128::from(later.clock.steady_ns) - i128::from(self.clock.steady_ns);
        let unsure = nanos(self.unsure + later.unsure);
        ((shown - passed) * MILLION / passed, unsure * MILLION / passed)
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

/// A look at a node's clock.
pub(crate) async fn look(env: &Env, id: NodeId) -> Result<Sight, FaultError> {
    let node = env.node(id)?;
    let mut best: Option<Sight> = None;
    for _ in 0..LOOKS {
        let before = Instant::now();
        let clock = node.clock().await?;
        let sight = Sight::between(before, Instant::now(), clock);
        if best.is_none_or(|best| sight.unsure < best.unsure) {
            best = Some(sight);
        }
    }
    best.ok_or_else(|| FaultError::NotInEffect(format!("the clock of {id} is not seen")))
}

/// Makes a node's clock what it is told.
pub(crate) async fn tell(env: &Env, id: NodeId, told: Told) -> Result<(), FaultError> {
    let ahead_ms = i64::try_from(told.jumped_ms).unwrap_or(i64::MAX);
    Ok(env.node(id)?.set_clock(ClockWish { ppm: told.ppm, ahead_ms }).await?)
}

/// Whether a node's clock has jumped by so many milliseconds since it was seen, give or take what clocks drift by themselves.
pub(crate) async fn has_jumped(
    env: &Env,
    id: NodeId,
    since: Sight,
    by_ms: u32,
) -> Result<bool, FaultError> {
    let (found, unsure) = since.jumped(look(env, id).await?);
    let wanted = i128::from(by_ms) * MILLION;
    Ok((found - wanted).abs() <= unsure + (wanted / 100).max(DRIFT_NS))
}

/// Whether a node's clock is seen to run so many parts in a million fast, rather than as it would if it was told otherwise by `apart`.
pub(crate) async fn runs_at(
    env: &Env,
    id: NodeId,
    ppm: i64,
    apart: u32,
) -> Result<bool, FaultError> {
    let first = look(env, id).await?;
    let near = i128::from(apart) / PACE_PARTS;
    for _ in 0..WATCH_TURNS {
        tokio::time::sleep(WATCH).await;
        let (found, unsure) = first.pace(look(env, id).await?);
        if unsure <= near {
            return Ok((found - i128::from(ppm)).abs() <= unsure + near);
        }
    }
    Err(FaultError::NotInEffect(format!("{id} answers too slowly for its clock to be seen")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_as_sure_as_the_answers_are_quick() {
        let origin = Instant::now();
        let at = |ms: u64| origin + Duration::from_millis(ms);
        let clock = |wall_ms: u64, steady_ms: u64| ClockReading {
            wall_ns: wall_ms * 1_000_000,
            steady_ns: steady_ms * 1_000_000,
        };
        let first = Sight::between(at(0), at(2), clock(5_000, 70));
        let later = Sight::between(at(1_000), at(1_004), clock(8_001, 1_116));
        // A thousand and one milliseconds later by ours, three thousand and one by the wall clock, 1046 by the other.
        assert_eq!(first.jumped(later), (2_000_000_000, 3_000_000));
        assert_eq!(first.pace(later), (44_955, 2_997));
    }
}
