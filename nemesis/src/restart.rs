//! Restarts: in order, one node after the other, again and again, and all at once.
//!
//! What a rolling upgrade, an operator or a supervisor does. That processes were started anew is seen by their numbers, which the node's
//! kernel gives. A restart that is *staggered* is a kill that is healed node by node: those who come first form a quorum of their own,
//! and those who come last have missed it.

use std::time::Duration;

use keelhaul_cluster::DaemonState;
use keelhaul_history::NodeId;

use crate::env::{Env, FaultError, Injected, names};
use crate::kill;
use crate::process::Process;
use crate::target::Target;

/// How long a store may take to end when asked to, before it is killed.
const GRACE_MS: u64 = 2_000;
/// How long a node of a rolling restart is given before the next one's turn: elections take less.
const ROLL_PAUSE: Duration = Duration::from_millis(800);
/// How often a storm restarts, and the time between: shorter than any store needs to settle.
const STORM_TURNS: u32 = 6;
const STORM_PAUSE: Duration = Duration::from_millis(250);
/// Time between two nodes of a staggered start: longer than an election.
const STAGGER: Duration = Duration::from_millis(1_200);

/// Restarts the daemons on the target nodes.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    kind: Process,
    target: Target,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    for &id in &nodes {
        let pid = pid_of(env, id).await?;
        env.pids.borrow_mut().insert((fault, id), pid);
    }
    match kind {
        Process::RollingRestart => {
            for &id in &nodes {
                stop(env, id).await?;
                env.start(id).await?;
                tokio::time::sleep(env.patience(ROLL_PAUSE)).await;
            }
        }
        Process::RestartStorm => {
            for _ in 0..STORM_TURNS {
                for &id in &nodes {
                    env.node(id)?.kill(env.store.daemon()).await?;
                    env.start(id).await?;
                }
                tokio::time::sleep(STORM_PAUSE).await;
            }
        }
        Process::StaggeredRestart => {
            for &id in &nodes {
                env.node(id)?.kill(env.store.daemon()).await?;
            }
        }
        _ => {
            for &id in &nodes {
                stop(env, id).await?;
                env.start(id).await?;
            }
        }
    }
    Ok(Injected { label: format!("{}: {}", kind.name(), names(&nodes)), nodes })
}

/// Every process must be another one than before, or gone where it is started later.
pub(crate) async fn verify(env: &Env, fault: u64, kind: Process) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let before = env.pids.borrow_mut().remove(&(fault, id)).flatten();
        let now = pid_of(env, id).await?;
        let as_wanted = match kind {
            Process::StaggeredRestart => now.is_none(),
            _ => now != before,
        };
        if !as_wanted {
            return Err(FaultError::NotInEffect(format!("the process on {id} is the same still")));
        }
    }
    Ok(())
}

/// Starts what does not run, with time in between if it is to be staggered.
pub(crate) async fn heal(env: &Env, fault: u64, kind: Process) -> Result<(), FaultError> {
    for (turn, id) in (0_u32..).zip(env.struck(fault)) {
        if turn > 0 && kind == Process::StaggeredRestart {
            tokio::time::sleep(env.patience(STAGGER)).await;
        }
        if pid_of(env, id).await?.is_none() {
            env.start(id).await?;
        }
    }
    Ok(())
}

/// All must run.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    kill::verify_healed(env, fault).await
}

pub(crate) async fn stop(env: &Env, id: NodeId) -> Result<(), FaultError> {
    env.node(id)?.stop(env.store.daemon(), GRACE_MS).await?;
    Ok(())
}

/// The first process of the daemon, while it lives.
pub(crate) async fn pid_of(env: &Env, id: NodeId) -> Result<Option<u32>, FaultError> {
    Ok(match env.node(id)?.status(env.store.daemon()).await? {
        DaemonState::Running { pid } | DaemonState::Paused { pid } => Some(pid),
        DaemonState::NotStarted | DaemonState::Exited { .. } => None,
    })
}
