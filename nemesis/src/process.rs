//! Faults of processes beyond the plain kill and pause: restarts and pressure, which files of their own carry out.

use keelhaul_history::NodeId;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected};
use crate::named::named;
use crate::target::{Target, weighted};
use crate::{pressure, restart, upgrade};

/// What happens to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// Asked to end, and started, at once on all targets.
    Restart,
    /// Asked to end, and started, one node after the other.
    RollingRestart,
    /// Killed and started again and again.
    RestartStorm,
    /// Killed all at once, and started one after the other.
    StaggeredRestart,
    /// Started with another release of the program on a minority, one node after the other, and then with the first one again.
    Upgrade,
    /// Started with another release on all nodes, one after the other, for good.
    RollingUpgrade,
    /// Too little processor time.
    Cpu,
    /// Too little memory.
    Memory,
    /// Stopped for most of every tenth of a second.
    Stutter,
}

/// What happens, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// What happens.
    #[serde(rename = "kind")]
    pub process: Process,
    /// Where.
    pub target: Target,
}

impl Process {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::RollingRestart => "rolling-restart",
            Self::RestartStorm => "restart-storm",
            Self::StaggeredRestart => "staggered-restart",
            Self::Upgrade => "upgrade",
            Self::RollingUpgrade => "rolling-upgrade",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Stutter => "stutter",
        }
    }

    const fn is_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::RollingUpgrade)
    }

    const fn is_restart(self) -> bool {
        matches!(
            self,
            Self::Restart | Self::RollingRestart | Self::RestartStorm | Self::StaggeredRestart
        )
    }
}

impl ProcessSpec {
    /// The fault with this name.
    pub(crate) fn named(kind: &str, target: Target) -> Option<Self> {
        Some(Self { process: named(kind)?, target })
    }

    /// A fault that a majority does not notice; a restart that goes round does so one node at a time.
    pub(crate) fn survivable(kind: &str) -> Option<Self> {
        let found = Self::named(kind, Target::Followers)?;
        match found.process {
            Process::RollingRestart | Process::RollingUpgrade => Self::named(kind, Target::All),
            Process::Upgrade => Self::named(kind, Target::One),
            _ => Some(found),
        }
    }

    /// The fault with this name, on a target as suits it.
    pub(crate) fn draw(kind: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        let target = match Self::named(kind, Target::All)?.process {
            Process::RollingRestart | Process::RollingUpgrade => Target::All,
            Process::Upgrade => weighted(&[(Target::One, 1), (Target::Some, 1)], rng),
            Process::StaggeredRestart => weighted(&[(Target::Majority, 2), (Target::All, 3)], rng),
            _ => weighted(&Target::WEIGHTED, rng),
        };
        Self::named(kind, target)
    }
}

/// Lets it happen.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    spec: ProcessSpec,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let ProcessSpec { process, target } = spec;
    if process.is_upgrade() {
        upgrade::inject(env, fault, process, target, order).await
    } else if process.is_restart() {
        restart::inject(env, fault, process, target, order).await
    } else {
        pressure::inject(env, fault, process, target, order).await
    }
}

/// It must be seen.
pub(crate) async fn verify(env: &Env, fault: u64, spec: ProcessSpec) -> Result<(), FaultError> {
    if spec.process.is_upgrade() {
        upgrade::verify(env, fault).await
    } else if spec.process.is_restart() {
        restart::verify(env, fault, spec.process).await
    } else {
        pressure::verify(env, fault, spec.process).await
    }
}

/// Ends it.
pub(crate) async fn heal(env: &Env, fault: u64, spec: ProcessSpec) -> Result<(), FaultError> {
    if spec.process.is_upgrade() {
        upgrade::heal(env, fault, spec.process).await
    } else if spec.process.is_restart() {
        restart::heal(env, fault, spec.process).await
    } else {
        pressure::heal(env, fault).await
    }
}

/// It must be over.
pub(crate) async fn verify_healed(
    env: &Env,
    fault: u64,
    spec: ProcessSpec,
) -> Result<(), FaultError> {
    if spec.process.is_upgrade() {
        upgrade::verify_healed(env, fault, spec.process).await
    } else if spec.process.is_restart() {
        restart::verify_healed(env, fault).await
    } else {
        pressure::verify_healed(env, fault).await
    }
}
