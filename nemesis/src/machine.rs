//! Stops a machine as it is, with everything in it, or presses its reset button.
//!
//! A *stopped* machine is a paused process and more: its kernel answers nothing either, no timer of it runs, and its clock shows afterwards what
//! it showed before. So may a hypervisor treat any guest that it moves or saves. When the fault is healed the clock is set right. A machine
//! that is *reset* loses what was in its memory, as without power, and begins to boot at once.
//!
//! Both are seen from outside: whoever runs the machine says that it is stopped and nobody answers at its address; and a machine that has
//! booted anew says so itself.

use std::time::{SystemTime, UNIX_EPOCH};

use keelhaul_cluster::Command;
use keelhaul_history::NodeId;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected, names};
use crate::named::named;
use crate::target::{Target, weighted};
use crate::{clock, kill, power};

/// What happens to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// It is stopped.
    MachineStop,
    /// It is reset.
    MachineReset,
}

/// What, and to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// What.
    #[serde(rename = "kind")]
    pub machine: Machine,
    /// Which machines.
    pub target: Target,
}

/// Where a kernel tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Machine {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MachineStop => "machine-stop",
            Self::MachineReset => "machine-reset",
        }
    }
}

impl MachineSpec {
    /// The fault with this name.
    pub(crate) fn named(kind: &str, target: Target) -> Option<Self> {
        Some(Self { machine: named(kind)?, target })
    }

    pub(crate) fn draw(kind: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        Self::named(kind, Target::One)?;
        Self::named(kind, weighted(&Target::WEIGHTED_POWER, rng))
    }
}

/// Strikes the target machines, one right after the other.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    MachineSpec { machine, target }: MachineSpec,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    if !power::are_machines(env, fault)? {
        return Err(FaultError::NotInEffect("the nodes are no machines of their own".into()));
    }
    for &id in &nodes {
        match machine {
            Machine::MachineStop => env.node(id)?.stop_machine().await?,
            Machine::MachineReset => {
                let boot = boot_id(env, id).await?;
                env.boots.borrow_mut().insert((fault, id), boot);
                env.node(id)?.reset().await?;
            }
        }
    }
    Ok(Injected { label: format!("{}: {}", machine.name(), names(&nodes)), nodes })
}

async fn boot_id(env: &Env, id: NodeId) -> Result<Vec<u8>, FaultError> {
    Ok(env.node(id)?.read_file(BOOT_ID, u64::MAX).await?)
}

/// A machine must be stopped; of one that was reset, whoever runs it has said so, and what it says itself is heard when it has booted.
pub(crate) async fn verify(env: &Env, fault: u64, machine: Machine) -> Result<(), FaultError> {
    if machine == Machine::MachineReset {
        return Ok(());
    }
    for id in env.struck(fault) {
        if !env.node(id)?.is_stopped().await? {
            return Err(FaultError::NotInEffect(format!("the machine {id} goes on")));
        }
    }
    Ok(())
}

/// Lets machines go on with a clock that is right, or waits until they have booted and starts the store.
pub(crate) async fn heal(env: &Env, fault: u64, machine: Machine) -> Result<(), FaultError> {
    if machine == Machine::MachineReset {
        power::switch_on(env, fault).await?;
        return kill::heal(env, fault).await;
    }
    for id in env.struck(fault) {
        env.node(id)?.go_on().await?;
        set_clock(env, id).await?;
    }
    // What other faults have said meanwhile.
    env.apply_cuts().await?;
    env.apply_shapes().await
}

/// Makes the clock of a machine show the time again, or what faults of clocks have told it to.
async fn set_clock(env: &Env, id: NodeId) -> Result<(), FaultError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = format!("@{}.{:09}", now.as_secs(), now.subsec_nanos());
    let set = env.node(id)?.run(Command::new(["date", "--set", &now])).await?;
    if !set.success() {
        return Err(FaultError::NotHealed(format!("the clock of {id} cannot be set")));
    }
    clock::tell_again(env, id).await
}

/// The store must run on every machine struck, and one that was reset must have booted anew.
pub(crate) async fn verify_healed(
    env: &Env,
    fault: u64,
    machine: Machine,
) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let before = env.boots.borrow_mut().remove(&(fault, id));
        if machine == Machine::MachineReset && before == Some(boot_id(env, id).await?) {
            return Err(FaultError::NotInEffect(format!("the machine {id} has not booted anew")));
        }
    }
    kill::verify_healed(env, fault).await
}
