//! Lets the clocks of nodes differ: by a jump, by their pace, or by a pace that changes all the time.
//!
//! A node that is a machine of its own has a clock of its own, which its agent sets ([`machine_clock`]). Nodes that share a kernel share its
//! clock, and so do those whose clock is not ours to set. There the programs of the store alone are told another time ([`program_clock`]). Our own nodes look at a
//! file that tells their clock what to do; nor does the kernel's monotonic clock, by which they go, ever jump: their jumps are told by the file, wherever
//! they are. What a program or a node of ours is told is seen in effect by what its clock shows beside the machine's, both taken at one moment.
//!
//! The pace stays within what leases allow for: a tenth, between the fastest clock and the slowest. Jumps are beyond that; a store that
//! asks a quorum for every read does not mind.

use std::time::Duration;

use keelhaul_history::NodeId;
use keelhaul_stores::StoreClock;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected, names};
use crate::machine_clock::{self, Sight};
use crate::named::named;
use crate::program_clock;
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
/// How far apart two clocks may seem that are looked at one after the other, and how wrong a pace of a watched one.
const AT_ONCE_NS: i128 = 5_000_000;
const PACE_PPM: i128 = 100;

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
    pub ppm: i64,
    pub jumped_ms: u64,
}

/// Whose clocks they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Those of our own nodes, which look at this file.
    Own(&'static str),
    /// Those of the store's programs; the monotonic ones, too, if they bear it.
    Program { steady: bool },
    /// Those of the machines.
    Machine,
}

/// Whose clocks do this here. The answer is the same for a whole run.
async fn whose(env: &Env, clock: Clock) -> Whose {
    let has_machines = async || env.cluster.try_clocks().await.is_ok();
    match env.store.clock() {
        StoreClock::File(file) if clock == Clock::ClockBump => Whose::Own(file),
        _ if *env.machine_clocks.get_or_init(has_machines).await => Whose::Machine,
        StoreClock::File(file) => Whose::Own(file),
        StoreClock::Program { steady } => Whose::Program { steady },
    }
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
    let whose = whose(env, clock).await;
    let pace = i64::from(by);
    match clock {
        Clock::ClockBump => {
            for &id in &nodes {
                let before = sight(env, id, whose).await?;
                let told = env.clock_of(id);
                let ahead = Told { jumped_ms: told.jumped_ms + u64::from(by), ..told };
                tell(env, id, whose, ahead).await?;
                env.shown.borrow_mut().insert((fault, id), before);
            }
        }
        Clock::ClockDrift => {
            for &id in order {
                let ppm = if nodes.contains(&id) { -pace } else { pace };
                tell(env, id, whose, Told { ppm, ..env.clock_of(id) }).await?;
            }
        }
        Clock::ClockStrobe => {
            for turn in 0..STROBE_TURNS {
                let ppm = if turn % 2 == 0 { pace } else { -pace };
                for &id in &nodes {
                    tell(env, id, whose, Told { ppm, ..env.clock_of(id) }).await?;
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

/// What each clock shows must be what it was told, beside the machine's own, or ours.
pub(crate) async fn verify(env: &Env, fault: u64, spec: ClockSpec) -> Result<(), FaultError> {
    let whose = whose(env, spec.clock).await;
    for id in env.struck(fault) {
        let as_told = match spec.clock {
            Clock::ClockBump => jumped(env, fault, id, whose, spec.by).await?,
            _ => runs_at(env, id, whose, env.clock_of(id).ppm, spec.by).await?,
        };
        if !as_told {
            return Err(FaultError::NotInEffect(format!("the clock of {id} is as the others'")));
        }
    }
    Ok(())
}

/// All clocks run as the machine's. What a machine's has jumped is taken back; what our own nodes' have stays, since these never go back.
pub(crate) async fn heal(env: &Env, fault: u64, spec: ClockSpec) -> Result<(), FaultError> {
    env.clock_fault.set(None);
    let whose = whose(env, spec.clock).await;
    let struck = env.struck(fault);
    let all = env.cluster.nodes().iter().map(keelhaul_cluster::Node::id);
    let told: Vec<NodeId> = match spec.clock {
        Clock::ClockDrift => all.collect(),
        Clock::ClockBump | Clock::ClockStrobe => struck,
    };
    for id in told {
        let before = env.clock_of(id);
        let right = match (spec.clock, whose) {
            (Clock::ClockBump, Whose::Own(_)) => continue,
            (Clock::ClockBump, Whose::Machine | Whose::Program { .. }) => {
                Told { jumped_ms: before.jumped_ms.saturating_sub(spec.by.into()), ..before }
            }
            _ => Told { ppm: 0, ..before },
        };
        tell(env, id, whose, right).await?;
    }
    Ok(())
}

/// All clocks must run as the machine's, or ours, and the store must run.
pub(crate) async fn verify_healed(
    env: &Env,
    fault: u64,
    spec: ClockSpec,
) -> Result<(), FaultError> {
    let whose = whose(env, spec.clock).await;
    for id in env.struck(fault) {
        let right = match (spec.clock, whose) {
            (Clock::ClockBump, Whose::Machine | Whose::Program { .. }) => {
                jumped(env, fault, id, whose, 0).await?
            }
            _ => runs_at(env, id, whose, 0, spec.by).await?,
        };
        env.shown.borrow_mut().remove(&(fault, id));
        if !right {
            return Err(FaultError::NotHealed(format!("the clock of {id} is still wrong")));
        }
    }
    env.verify_running(fault).await
}

/// Tells a clock, unless its node is off: then it is told when it is on again.
async fn tell(env: &Env, id: NodeId, whose: Whose, told: Told) -> Result<(), FaultError> {
    env.clocks.borrow_mut().insert(id, told);
    let node = env.node(id)?;
    if !node.is_powered() {
        return Ok(());
    }
    match whose {
        Whose::Machine => machine_clock::tell(env, id, told).await,
        Whose::Program { steady } => program_clock::tell(env, id, told, steady).await,
        Whose::Own(file) => {
            let text = format!("{} {}\n", told.ppm, told.jumped_ms);
            Ok(node.write_file(file, text.as_bytes(), 0o600).await?)
        }
    }
}

/// Tells a node that has booted what the faults in effect say: it has forgotten.
pub(crate) async fn tell_again(env: &Env, id: NodeId) -> Result<(), FaultError> {
    let told = env.clock_of(id);
    if told == Told::default() {
        return Ok(());
    }
    // A pace is whose it would be; jumps of the two kinds of clocks do not occur in one run.
    let clock = if told.ppm == 0 { Clock::ClockBump } else { Clock::ClockDrift };
    tell(env, id, whose(env, clock).await, told).await
}

/// What was seen of a clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// What it shows to the store, and the machine's, in nanoseconds since one moment; nothing if it does not say.
    Store(Option<(u64, u64)>),
    /// The machine's, by ours.
    Machine(Sight),
}

async fn sight(env: &Env, id: NodeId, whose: Whose) -> Result<Shown, FaultError> {
    Ok(match whose {
        Whose::Own(_) | Whose::Program { .. } => Shown::Store(seen(env, id, whose).await?),
        Whose::Machine => Shown::Machine(machine_clock::look(env, id).await?),
    })
}

async fn seen(env: &Env, id: NodeId, whose: Whose) -> Result<Option<(u64, u64)>, FaultError> {
    let file = match whose {
        Whose::Own(file) => file,
        _ => return program_clock::seen(env, id).await,
    };
    let path = format!("{file}.seen");
    let Ok(bytes) = env.node(id)?.read_file(&path, 100).await else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let numbers = text.trim().split_once(' ');
    Ok(numbers.and_then(|(shown, real)| Some((shown.parse().ok()?, real.parse().ok()?))))
}

/// Whether what is shown has come to be ahead by so much more than before the fault.
async fn jumped(
    env: &Env,
    fault: u64,
    id: NodeId,
    whose: Whose,
    by_ms: u32,
) -> Result<bool, FaultError> {
    let before = env.shown.borrow().get(&(fault, id)).copied();
    let before = match before {
        Some(Shown::Machine(before)) => {
            return machine_clock::has_jumped(env, id, before, by_ms).await;
        }
        Some(Shown::Store(before)) => before,
        None => return Err(FaultError::NotInEffect(format!("the clock of {id} was never told"))),
    };
    let ahead = |shown: Option<(u64, u64)>| {
        shown.map_or(0, |(shown, real)| i128::from(shown) - i128::from(real))
    };
    for _ in 0..WATCH_TURNS {
        let now = ahead(seen(env, id, whose).await?);
        if is_near(now - ahead(before), i128::from(by_ms) * 1_000_000, AT_ONCE_NS) {
            return Ok(true);
        }
        tokio::time::sleep(WATCH).await;
    }
    Ok(false)
}

/// Whether a clock is seen to run so many parts in a million fast; the fault lets it be wrong by `by`.
async fn runs_at(
    env: &Env,
    id: NodeId,
    whose: Whose,
    ppm: i64,
    by: u32,
) -> Result<bool, FaultError> {
    match whose {
        Whose::Machine => return machine_clock::runs_at(env, id, ppm, by).await,
        Whose::Program { .. } => return program_clock::runs_at(env, id, ppm, by).await,
        Whose::Own(_) => {}
    }
    let mut before = seen(env, id, whose).await?;
    for _ in 0..WATCH_TURNS {
        tokio::time::sleep(WATCH).await;
        let after = seen(env, id, whose).await?;
        if let (Some(from), Some(to)) = (before, after)
            && to.1 > from.1
        {
            let (shown, real) = (i128::from(to.0) - i128::from(from.0), i128::from(to.1 - from.1));
            if is_near(shown * 1_000_000 / real - 1_000_000, i128::from(ppm), PACE_PPM) {
                return Ok(true);
            }
        }
        before = after;
    }
    Ok(false)
}

/// Within a hundredth, or so much.
fn is_near(found: i128, wanted: i128, within: i128) -> bool {
    (found - wanted).abs() <= (wanted.abs() / 100).max(within)
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
        let jumped = |found| is_near(found, 2_000_000_000, AT_ONCE_NS);
        assert!(jumped(2_010_000_000) && !jumped(2_030_000_000));
        let runs = |found, wanted| is_near(found, wanted, PACE_PPM);
        assert!(runs(-45_080, -45_000) && runs(90, 0) && !runs(45_000, -45_000));
    }
}
