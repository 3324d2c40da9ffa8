//! Ends the store's process with SIGKILL, and starts it again.

use keelhaul_cluster::DaemonState;
use keelhaul_history::NodeId;

use crate::env::{Env, FaultError, Injected, describe, names};
use crate::target::Target;

/// Kills the daemon on the target nodes, one right after the other.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    target: Target,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    for &id in &nodes {
        env.node(id)?.kill(env.store.daemon()).await?;
    }
    Ok(Injected { label: format!("kill: {}", names(&nodes)), nodes })
}

/// The daemon must be gone on every node struck.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
    for (node, state) in env.states(&env.struck(fault)).await? {
        if !matches!(state, DaemonState::Exited { .. }) {
            return Err(FaultError::NotInEffect(format!(
                "the daemon on {node} is {}",
                describe(state)
            )));
        }
    }
    Ok(())
}

/// Starts the daemon again where it was killed.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        env.start(id).await?;
    }
    Ok(())
}

/// The daemon must run on every node struck, and still do so a moment later: one that dies of its own data at once
/// is not healed.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    let nodes = env.struck(fault);
    for _ in 0..2 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for (node, state) in env.states(&nodes).await? {
            if !matches!(state, DaemonState::Running { .. }) {
                return Err(FaultError::NotHealed(format!(
                    "the daemon on {node} is {}",
                    describe(state)
                )));
            }
        }
    }
    env.release(fault);
    Ok(())
}
