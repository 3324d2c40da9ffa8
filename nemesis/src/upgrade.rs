//! Another release of the store's program: on a minority for a while, or on all nodes for good.
//!
//! One node after the other is asked to end and started with the other release, as an operator does it. On a minority the cluster as a whole stays what it
//! was, so that the way back is open; once all nodes are upgraded, many stores write what only the new release reads, and nobody goes back. What
//! runs is seen by the process' own command line.

use std::time::Duration;

use keelhaul_cluster::Command;
use keelhaul_history::NodeId;

use crate::env::{Env, FaultError, Injected, names};
use crate::kill;
use crate::process::Process;
use crate::restart::{pid_of, stop};
use crate::target::Target;

/// How long a node is given before the next one's turn: elections take less.
const PAUSE: Duration = Duration::from_millis(800);

/// Starts the other release on the target nodes.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    kind: Process,
    target: Target,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    // One upgrade at a time, or two minorities would be none.
    if order.iter().any(|id| env.store.releases().is_upgraded(*id)) {
        return Err(FaultError::NothingToStrike);
    }
    let nodes = match kind {
        Process::Upgrade => env.strike_minority(fault, target, order)?,
        _ => env.strike(fault, target, order).await?,
    };
    for &id in &nodes {
        change(env, id, true).await?;
        tokio::time::sleep(env.patience(PAUSE)).await;
    }
    Ok(Injected { label: format!("{}: {}", kind.name(), names(&nodes)), nodes })
}

/// The other release must run on all of them.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
    match odd_one(env, fault, true).await? {
        Some(id) => Err(FaultError::NotInEffect(format!("{id} does not run the other release"))),
        None => Ok(()),
    }
}

/// Goes back on a minority; where all were upgraded, starts what does not run.
pub(crate) async fn heal(env: &Env, fault: u64, kind: Process) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        if kind == Process::Upgrade {
            change(env, id, false).await?;
        } else if pid_of(env, id).await?.is_none() {
            env.start(id).await?;
        }
    }
    Ok(())
}

/// The release that is to run must run.
pub(crate) async fn verify_healed(env: &Env, fault: u64, kind: Process) -> Result<(), FaultError> {
    if let Some(id) = odd_one(env, fault, kind == Process::RollingUpgrade).await? {
        return Err(FaultError::NotHealed(format!("{id} does not run the release that it should")));
    }
    kill::verify_healed(env, fault).await
}

async fn change(env: &Env, id: NodeId, other: bool) -> Result<(), FaultError> {
    stop(env, id).await?;
    env.store.releases().upgrade(id, other);
    env.start(id).await
}

/// A node on which the other release runs, or does not, although it should not, or should.
async fn odd_one(env: &Env, fault: u64, other: bool) -> Result<Option<NodeId>, FaultError> {
    for id in env.struck(fault) {
        if runs_other(env, id).await? != Some(other) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Whether it is the other release that runs on a node; nothing if none does.
async fn runs_other(env: &Env, id: NodeId) -> Result<Option<bool>, FaultError> {
    let (Some(pid), Some(other)) = (pid_of(env, id).await?, env.store.releases().other()) else {
        return Ok(None);
    };
    let file = format!("/proc/{pid}/cmdline");
    let output = env.node(id)?.run(Command::new(["cat", &file])).await?;
    let mut words = output.stdout.split(|byte| *byte == 0);
    Ok(output.success().then(|| words.any(|word| word == other.as_bytes())))
}
