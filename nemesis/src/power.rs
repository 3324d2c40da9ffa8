//! Cuts the power of a node's disk: the store is killed, what it had not synced is lost, and it is started again.
//!
//! The store's data directory is on a disk of ours, which knows what was synced (`keelhaul_agent`). The nodes that are struck die one
//! right after the other, then their disks lose what they lose. A *torn* cut keeps some of the rest, as chance has it.
//!
//! A node that is a machine of its own is switched off instead, and boots when the fault is healed; what it had in memory is lost by itself. What is
//! torn then is chance's own, not a seed's. Two files show it: one that was synced before the cut must be there after the boot, and what was
//! written to the other one must not.

use std::time::Duration;

use keelhaul_cluster::{
    Command, DaemonState, DiskEffect, DiskFault, DiskOp, Node, NodeError, PowerLoss,
};
use keelhaul_history::NodeId;
use tokio::task::JoinSet;

use crate::env::{Env, FaultError, Injected, names};
use crate::target::Target;
use crate::{clock, kill};

/// A file that is written and not synced right before the cut, while the store is dead: it must not be there afterwards.
const CANARY: &str = ".keelhaul-unsynced-file";
/// On a machine of its own: the same, written and synced before the cut, which must be there afterwards.
const SYNCED: &str = ".keelhaul-synced-file";
/// What both hold.
const CONTENT: &[u8] = b"written before the power failed";
/// How long before the power a process that is killed is sent the signal.
const KILL_LEAD: Duration = Duration::from_millis(50);
/// The system's error number for a file that does not exist.
const ENOENT: i32 = 2;

/// Kills the daemon on the target nodes and takes their disks back to what was synced.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    target: Target,
    torn: Option<u64>,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    if are_machines(env, fault)? {
        return switch_off(env, nodes).await;
    }
    for &id in &nodes {
        env.node(id)?.kill(env.store.daemon()).await?;
    }
    let mut losses = Vec::new();
    for &id in &nodes {
        let loss = match torn {
            Some(seed) => {
                let node = env.node(id)?;
                let seed = seed.wrapping_add(u64::from(id.0));
                let loss = node.power_cut(env.store.data_dir(), Some(seed)).await?;
                lose_canary(env, id).await?;
                loss
            }
            None => lose_canary(env, id).await?,
        };
        losses.push(describe(id, &loss));
    }
    let torn = if torn.is_some() { " (torn)" } else { "" };
    let label = format!("power{torn}: {}; {}", names(&nodes), losses.join("; "));
    Ok(Injected { label, nodes })
}

/// The same when no sync has ended for a while: between an answer and the sync that it should have waited for there is so much time. The disk alone loses its power, also that
/// of a machine.
pub(crate) async fn inject_stalled(
    env: &Env,
    fault: u64,
    target: Target,
    stall: Duration,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    let dir = env.store.data_dir();
    for &id in &nodes {
        let never = DiskFault::always(DiskOp::Sync, DiskEffect::Stall);
        env.node(id)?.disk_faults(dir, vec![never], fault).await?;
    }
    tokio::time::sleep(stall).await;
    let mut losses = Vec::new();
    for &id in &nodes {
        let node = env.node(id)?;
        let dying = tokio::spawn({
            let (node, daemon) = (node.clone(), env.store.daemon());
            async move { node.kill(daemon).await }
        });
        // It takes the signal at once, but cannot end while it waits for the disk.
        tokio::time::sleep(KILL_LEAD).await;
        let loss = node.power_cut(dir, None).await?;
        // Whoever waits is told that the disk is gone.
        node.disk_faults(dir, Vec::new(), fault).await?;
        dying.await.map_err(|error| FaultError::NotInEffect(error.to_string()))??;
        losses.push(describe(id, &loss));
        lose_canary(env, id).await?;
    }
    let ms = stall.as_millis();
    let label = format!("power, {ms} ms stalled: {}; {}", names(&nodes), losses.join("; "));
    Ok(Injected { label, nodes })
}

/// Cuts a disk's power when nobody uses it, and what is not synced is the canary at least; answers what else was lost.
async fn lose_canary(env: &Env, id: NodeId) -> Result<PowerLoss, FaultError> {
    let node = env.node(id)?;
    node.write_file(&canary(env), b"not synced", 0o600).await?;
    Ok(without_canary(node.power_cut(env.store.data_dir(), None).await?))
}

/// Whether the nodes struck are machines of their own; all nodes of an environment are alike.
pub(crate) fn are_machines(env: &Env, fault: u64) -> Result<bool, FaultError> {
    for id in env.struck(fault) {
        if !env.node(id)?.has_power_switch() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Cuts the power of machines, all at once, each in the middle of whatever it does.
async fn switch_off(env: &Env, nodes: Vec<NodeId>) -> Result<Injected, FaultError> {
    for &id in &nodes {
        let node = env.node(id)?;
        node.write_file(&file(env, SYNCED), CONTENT, 0o600).await?;
        let sync =
            node.run(Command::new(["sync", &file(env, SYNCED), env.store.data_dir()])).await?;
        if !sync.success() {
            return Err(FaultError::NotInEffect(format!("a file cannot be synced on {id}")));
        }
        // Gone, if an earlier cut's is still there: then this one's content proves nothing.
        node.run(Command::new(["rm", "-f", &canary(env)])).await?;
    }
    for &id in &nodes {
        env.node(id)?.write_file(&canary(env), CONTENT, 0o600).await?;
    }
    on_all(env, &nodes, |node| async move { node.power_off().await }).await?;
    Ok(Injected { label: format!("power off: {}", names(&nodes)), nodes })
}

/// Does something on several nodes at once; the first error is told after all are done.
async fn on_all<Done>(
    env: &Env,
    nodes: &[NodeId],
    act: impl Fn(Node) -> Done,
) -> Result<(), FaultError>
where
    Done: Future<Output = Result<(), NodeError>> + Send + 'static,
{
    let mut acting = JoinSet::new();
    for &id in nodes {
        acting.spawn(act(env.node(id)?.clone()));
    }
    Ok(acting.join_all().await.into_iter().collect::<Result<(), _>>()?)
}

/// Every machine must be off: whoever runs it says so, and nobody answers at its address.
async fn verify_off(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        if !env.node(id)?.is_off().await? {
            return Err(FaultError::NotInEffect(format!("the machine {id} is still on")));
        }
    }
    Ok(())
}

/// Lets all machines boot at once, and each do again to packets and to its clock what other faults say.
pub(crate) async fn switch_on(env: &Env, fault: u64) -> Result<(), FaultError> {
    on_all(env, &env.struck(fault), |node| async move { node.power_on().await }).await?;
    env.apply_cuts().await?;
    env.apply_shapes().await?;
    for id in env.struck(fault) {
        clock::tell_again(env, id).await?;
    }
    Ok(())
}

/// What was synced must have survived, and what was not must be gone: the content, since a name may become durable with another file's sync.
async fn verify_lost(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let node = env.node(id)?;
        if node.read_file(&file(env, SYNCED), u64::MAX).await? != CONTENT {
            let sentence = format!("a file that was synced on {id} has not survived");
            return Err(FaultError::NotHealed(sentence));
        }
        match node.read_file(&canary(env), u64::MAX).await {
            Ok(content) if content != CONTENT => {}
            Err(NodeError::Failed { errno: Some(ENOENT), .. }) => {}
            Ok(_) => {
                let sentence = format!("what was not synced on {id} is still there");
                return Err(FaultError::NotInEffect(sentence));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The daemon must be gone on every node struck, and so must the file that was not synced.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
    if are_machines(env, fault)? {
        return verify_off(env, fault).await;
    }
    verify_disk(env, fault).await
}

/// The same where the disk alone has lost its power.
pub(crate) async fn verify_disk(env: &Env, fault: u64) -> Result<(), FaultError> {
    let odd = env.odd_one(fault, |state| matches!(state, DaemonState::Exited { .. })).await?;
    if let Some(sentence) = odd {
        return Err(FaultError::NotInEffect(sentence));
    }
    for id in env.struck(fault) {
        match env.node(id)?.read_file(&canary(env), 1).await {
            Err(NodeError::Failed { errno: Some(ENOENT), .. }) => {}
            Ok(_) => {
                let sentence = format!("a file that was not synced is still there on {id}");
                return Err(FaultError::NotInEffect(sentence));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Starts the daemon again, with what its disk still has.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    if are_machines(env, fault)? {
        switch_on(env, fault).await?;
    }
    kill::heal(env, fault).await
}

/// The daemon must run on every node struck: one that cannot recover from a power cut is not healed.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    if are_machines(env, fault)? {
        verify_lost(env, fault).await?;
    }
    kill::verify_healed(env, fault).await
}

fn canary(env: &Env) -> String {
    file(env, CANARY)
}

fn file(env: &Env, name: &str) -> String {
    format!("{}/{name}", env.store.data_dir())
}

/// What the store lost.
fn without_canary(mut loss: PowerLoss) -> PowerLoss {
    let before = loss.names.len();
    loss.names.retain(|name| name.path != CANARY);
    loss.names_total -= (before - loss.names.len()) as u64;
    loss
}

/// For people: `n1 lost 2 names, 812 bytes of 1 file`.
fn describe(id: NodeId, loss: &PowerLoss) -> String {
    if loss.is_empty() {
        return format!("{id} lost nothing");
    }
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let PowerLoss { names_total: names, files_total: files, bytes_total: bytes, .. } = *loss;
    format!(
        "{id} lost {names} name{}, {bytes} byte{} of {files} file{}",
        plural(names),
        plural(bytes),
        plural(files)
    )
}

#[cfg(test)]
mod tests {
    use keelhaul_cluster::{LostName, NameLoss};

    use super::*;

    #[test]
    fn losses_are_told_without_our_own_file() {
        let check = |paths: &[&str], bytes: u64, expected: &str| {
            let names: Vec<LostName> = paths
                .iter()
                .map(|path| LostName { path: (*path).into(), what: NameLoss::Gone })
                .collect();
            let (names_total, files_total) = (names.len() as u64, u64::from(bytes > 0));
            let loss =
                PowerLoss { names_total, files_total, bytes_total: bytes, names, data: Vec::new() };
            assert_eq!(describe(NodeId(2), &without_canary(loss)), expected);
        };
        check(&[CANARY], 0, "n2 lost nothing");
        check(&[CANARY, "log"], 1, "n2 lost 1 name, 1 byte of 1 file");
        check(&["a", CANARY, "b"], 0, "n2 lost 2 names, 0 bytes of 0 files");
    }
}
