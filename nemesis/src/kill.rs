//! Ends the store's process with SIGKILL, and starts it again.

use std::time::Duration;

use keelhaul_cluster::DaemonState;
use keelhaul_history::NodeId;

use crate::env::{Env, FaultError, Injected, names};
use crate::target::Target;

/// Time in which a daemon that cannot run with its own data ends by itself.
const SETTLE: Duration = Duration::from_millis(200);

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
    let odd = env.odd_one(fault, |state| matches!(state, DaemonState::Exited { .. })).await?;
    odd.map_or(Ok(()), |sentence| Err(FaultError::NotInEffect(sentence)))
}

/// Starts the daemon again where it was killed.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        env.start(id).await?;
    }
    Ok(())
}

/// The daemon must run on every node struck a moment after it was started: one that dies of its own data at once is not
/// healed.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    tokio::time::sleep(env.patience(SETTLE)).await;
    env.verify_running(fault).await
}
