//! Stops every process of the store, by the freezer or by SIGSTOP, as the agent can, and lets them go on.

use keelhaul_cluster::DaemonState;
use keelhaul_history::NodeId;

use crate::env::{Env, FaultError, Injected, names};
use crate::target::Target;

/// Pauses the daemon on the target nodes, one right after the other.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    target: Target,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    for &id in &nodes {
        env.node(id)?.pause(env.store.daemon()).await?;
    }
    Ok(Injected { label: format!("pause: {}", names(&nodes)), nodes })
}

/// The kernel must show every process of the daemon as stopped.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
    let odd = env.odd_one(fault, |state| matches!(state, DaemonState::Paused { .. })).await?;
    odd.map_or(Ok(()), |sentence| Err(FaultError::NotInEffect(sentence)))
}

/// Lets the daemon go on.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    let nodes = env.struck(fault);
    for id in nodes {
        env.node(id)?.resume(env.store.daemon()).await?;
    }
    Ok(())
}

/// The kernel must show it running.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    env.verify_running(fault).await
}
