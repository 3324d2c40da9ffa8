//! Lets the clocks of nodes differ: by a jump, by their pace, or by a pace that changes all the time.
//!
//! Local nodes share one kernel and so one clock. Our own nodes look at a file that tells their clock what to do; that is seen in effect by
//! what the clock shows beside the machine's, both taken at one moment. A program that asks the kernel by itself cannot be told
//! anything: etcd is linked statically and written in Go, so no library comes between the two.
//!
//! The pace stays within what leases allow for: a tenth, between the fastest clock and the slowest. Jumps are beyond that; a store that
//! asks a quorum for every read does not mind.

use std::time::Duration;

use keelhaul_history::NodeId;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected, names};
use crate::named::named;
use crate::target::{Target, weighted};

/// What clocks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Jump ahead.
    ClockBump,
    /// Run slow on the nodes struck, and fast on the others.
    ClockDrift,
    /// Run fast and slow by turns.
    ClockStrobe,
}

/// What they do, where, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSpec {
    /// What they do.
    #[serde(rename = "kind")]
    pub clock: Clock,
    /// Where.
    pub target: Target,
    /// Milliseconds of a jump; parts in a million of a pace.
    pub by: u32,
}

/// Paces with their weights: both together stay within a tenth.
const PACES_PPM: [(u32, u32); 2] = [(20_000, 1), (45_000, 3)];
/// Jumps, from a heartbeat to far beyond every timeout.
const JUMPS_MS: std::ops::RangeInclusive<u32> = 50..=60_000;
/// How long a pace holds in a strobe, and how often it turns while it is injected; heal sets it right.
const STROBE: Duration = Duration::from_millis(60);
const STROBE_TURNS: u32 = 16;
/// How long a clock is watched to see its pace, and how often it may be found not to run as told.
const WATCH: Duration = Duration::from_millis(150);
const WATCH_TURNS: u32 = 12;

impl Clock {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ClockBump => "clock-bump",
            Self::ClockDrift => "clock-drift",
            Self::ClockStrobe => "clock-strobe",
        }
    }
}

impl ClockSpec {
    /// A fault that a majority does not notice.
    pub(crate) fn survivable(kind: &str) -> Option<Self> {
        let clock: Clock = named(kind)?;
        let by = if clock == Clock::ClockBump { 2_000 } else { PACES_PPM[0].0 };
        Some(Self { clock, target: Target::Followers, by })
    }

    /// The fault with this name.
    pub(crate) fn draw(kind: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        let clock: Clock = named(kind)?;
        let by = match clock {
            Clock::ClockBump => rng.random_range(JUMPS_MS),
            _ => weighted(&PACES_PPM, rng),
        };
        Some(Self { clock, target: weighted(&Target::WEIGHTED, rng), by })
    }
}

/// What a clock is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    ppm: i64,
    jumped_ms: u64,
}

/// Tells the clocks of the target nodes, and in a drift those of all others the opposite.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    spec: ClockSpec,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let ClockSpec { clock, target, by } = spec;
    // One fault tells all clocks: two would contradict each other.
    if env.clock_fault.get().is_some() {
        return Err(FaultError::NothingToStrike);
    }
    let nodes = env.strike(fault, target, order).await?;
    env.clock_fault.set(Some(fault));
    let pace = i64::from(by);
    match clock {
        Clock::ClockBump => {
            for &id in &nodes {
                let before = seen(env, id).await?;
                let told = env.clock_of(id);
                tell(env, id, Told { jumped_ms: told.jumped_ms + u64::from(by), ..told }).await?;
                env.shown.borrow_mut().insert((fault, id), before);
            }
        }
        Clock::ClockDrift => {
            for &id in order {
                let ppm = if nodes.contains(&id) { -pace } else { pace };
                tell(env, id, Told { ppm, ..env.clock_of(id) }).await?;
            }
        }
        Clock::ClockStrobe => {
            for turn in 0..STROBE_TURNS {
                let ppm = if turn % 2 == 0 { pace } else { -pace };
                for &id in &nodes {
                    tell(env, id, Told { ppm, ..env.clock_of(id) }).await?;
                }
                tokio::time::sleep(STROBE).await;
            }
        }
    }
    let how = match clock {
        Clock::ClockBump => format!("{by} ms ahead"),
        _ => format!("by {by} ppm"),
    };
    Ok(Injected { label: format!("{}: {}, {how}", clock.name(), names(&nodes)), nodes })
}

/// What each clock shows must be what it was told, beside the machine's own.
pub(crate) async fn verify(env: &Env, fault: u64, spec: ClockSpec) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let as_told = match spec.clock {
            Clock::ClockBump => jumped(env, fault, id, spec.by).await?,
            _ => runs_at(env, id, env.clock_of(id).ppm).await?,
        };
        if !as_told {
            return Err(FaultError::NotInEffect(format!("the clock of {id} is as the others'")));
        }
    }
    Ok(())
}

/// All clocks run as the machine's; what they have jumped stays.
pub(crate) async fn heal(env: &Env, fault: u64, spec: ClockSpec) -> Result<(), FaultError> {
    env.clock_fault.set(None);
    let struck = env.struck(fault);
    let all = env.cluster.nodes().iter().map(keelhaul_cluster::Node::id);
    let told: Vec<NodeId> = match spec.clock {
        Clock::ClockBump => return Ok(()),
        Clock::ClockDrift => all.collect(),
        Clock::ClockStrobe => struck,
    };
    for id in told {
        tell(env, id, Told { ppm: 0, ..env.clock_of(id) }).await?;
    }
    Ok(())
}

/// All clocks must run as the machine's, and the store must run.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        if !runs_at(env, id, 0).await? {
            return Err(FaultError::NotHealed(format!("the clock of {id} still runs wrong")));
        }
    }
    env.verify_running(fault).await
}

fn file(env: &Env) -> Result<&'static str, FaultError> {
    env.store.clock_file().map_err(|why| FaultError::NotInEffect(why.to_owned()))
}

async fn tell(env: &Env, id: NodeId, told: Told) -> Result<(), FaultError> {
    let text = format!("{} {}\n", told.ppm, told.jumped_ms);
    env.node(id)?.write_file(file(env)?, text.as_bytes(), 0o600).await?;
    env.clocks.borrow_mut().insert(id, told);
    Ok(())
}

/// What a clock shows, and the machine's, in nanoseconds since the process began; nothing if it was never told anything.
pub(crate) type Shown = Option<(u64, u64)>;

async fn seen(env: &Env, id: NodeId) -> Result<Shown, FaultError> {
    let path = format!("{}.seen", file(env)?);
    let Ok(bytes) = env.node(id)?.read_file(&path, 100).await else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let numbers = text.trim().split_once(' ');
    Ok(numbers.and_then(|(shown, real)| Some((shown.parse().ok()?, real.parse().ok()?))))
}

/// Whether what is shown has come to be ahead of the machine's clock by so much more.
async fn jumped(env: &Env, fault: u64, id: NodeId, by_ms: u32) -> Result<bool, FaultError> {
    let ahead =
        |shown: Shown| shown.map_or(0, |(shown, real)| i128::from(shown) - i128::from(real));
    let before = ahead(env.shown.borrow_mut().remove(&(fault, id)).flatten());
    for _ in 0..WATCH_TURNS {
        let now = ahead(seen(env, id).await?);
        if is_near(now - before, i128::from(by_ms) * 1_000_000) {
            return Ok(true);
        }
        tokio::time::sleep(WATCH).await;
    }
    Ok(false)
}

/// Whether a clock is seen to run so many parts in a million fast.
async fn runs_at(env: &Env, id: NodeId, ppm: i64) -> Result<bool, FaultError> {
    let mut before = seen(env, id).await?;
    for _ in 0..WATCH_TURNS {
        tokio::time::sleep(WATCH).await;
        let after = seen(env, id).await?;
        if let (Some(from), Some(to)) = (before, after)
            && to.1 > from.1
        {
            let (shown, real) = (i128::from(to.0) - i128::from(from.0), i128::from(to.1 - from.1));
            if is_near(shown * 1_000_000 / real - 1_000_000, i128::from(ppm)) {
                return Ok(true);
            }
        }
        before = after;
    }
    Ok(false)
}

/// Within a hundredth, or a hundred units.
fn is_near(found: i128, wanted: i128) -> bool {
    (found - wanted).abs() <= (wanted.abs() / 100).max(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_a_drift_stay_within_what_leases_allow() {
        for (ppm, _) in PACES_PPM {
            let ratio = f64::from(1_000_000 + ppm) / f64::from(1_000_000 - ppm);
            assert!(ratio < 1.0 / 0.9, "{ppm}: {ratio}");
        }
        assert!(is_near(2_010_000_000, 2_000_000_000) && !is_near(2_030_000_000, 2_000_000_000));
        assert!(is_near(-45_080, -45_000) && is_near(90, 0) && !is_near(45_000, -45_000));
    }
}
