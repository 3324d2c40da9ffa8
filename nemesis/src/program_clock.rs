//! The clocks of a store's programs on nodes that share a machine: told by the agents, and seen beside the machine's.

use std::time::Duration;

use keelhaul_cluster::{ClockWish, NodeError, ProgramWish};
use keelhaul_history::NodeId;

use super::clock::Told;
use crate::env::{Env, FaultError};

/// The pace is that which was asked if it is so to a part of it.
const PACE_PARTS: i128 = 10;
/// How long a pace is watched: what a busy machine puts between two looks at two clocks is little of it.
const WATCH: Duration = Duration::from_secs(1);
/// How often it may be found not to run as told.
const WATCH_TURNS: u32 = 3;
const MILLION: i128 = 1_000_000;

/// Makes the clock of a node's daemon what it is told; `steady` if its monotonic clock may run at another pace, too.
pub(crate) async fn tell(
    env: &Env,
    id: NodeId,
    told: Told,
    steady: bool,
) -> Result<(), FaultError> {
    let ahead_ms = i64::try_from(told.jumped_ms).unwrap_or(i64::MAX);
    let wish = ProgramWish { clock: ClockWish { ppm: told.ppm, ahead_ms }, steady };
    Ok(env.node(id)?.tell_clock(env.store.daemon(), wish).await?)
}

/// What the time of day is to the daemon, and to the machine, in nanoseconds; nothing of one that does not run.
pub(crate) async fn seen(env: &Env, id: NodeId) -> Result<Option<(u64, u64)>, FaultError> {
    match env.node(id)?.ask_clock(env.store.daemon()).await {
        Ok(clock) => Ok(Some((clock.shown.wall_ns, clock.machine.wall_ns))),
        Err(NodeError::Failed { .. }) => Ok(None),
        Err(lost) => Err(lost.into()),
    }
}

/// Whether the daemon's clock is seen to run so many parts in a million fast; the fault lets it be wrong by `apart`.
pub(crate) async fn runs_at(
    env: &Env,
    id: NodeId,
    ppm: i64,
    apart: u32,
) -> Result<bool, FaultError> {
    for _ in 0..WATCH_TURNS {
        let first = seen(env, id).await?;
        tokio::time::sleep(WATCH).await;
        if let (Some(first), Some(later)) = (first, seen(env, id).await?) {
            let passed = i128::from(later.1) - i128::from(first.1);
            let gained = i128::from(later.0) - i128::from(first.0) - passed;
            let pace = gained * MILLION / passed.max(1);
            if (pace - i128::from(ppm)).abs() <= i128::from(apart) / PACE_PARTS {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
