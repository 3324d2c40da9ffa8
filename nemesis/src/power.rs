//! Cuts the power of a node's disk: the store is killed, what it had not synced is lost, and it is started again.
//!
//! The store's data directory is on a disk of ours, which knows what was synced (`keelhaul_agent`). The nodes that are struck die one
//! right after the other, then their disks lose what they lose. A *torn* cut keeps some of the rest, as chance has it.

use keelhaul_cluster::{DaemonState, NodeError, PowerLoss};
use keelhaul_history::NodeId;

use crate::env::{Env, FaultError, Injected, names};
use crate::kill;
use crate::target::Target;

/// A file that is written and not synced right before the cut, while the store is dead: it must not be there afterwards.
const CANARY: &str = ".keelhaul-unsynced-file";
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
    for &id in &nodes {
        env.node(id)?.kill(env.store.daemon()).await?;
    }
    let dir = env.store.data_dir();
    let mut losses = Vec::new();
    for &id in &nodes {
        let node = env.node(id)?;
        if let Some(seed) = torn {
            let seed = seed.wrapping_add(u64::from(id.0));
            losses.push(describe(id, &node.power_cut(dir, Some(seed)).await?));
        }
        // After a torn cut everything that is left is durable: this one takes the canary alone.
        node.write_file(&canary(env), b"not synced", 0o600).await?;
        let loss = node.power_cut(dir, None).await?;
        if torn.is_none() {
            losses.push(describe(id, &without_canary(loss)));
        }
    }
    let torn = if torn.is_some() { " (torn)" } else { "" };
    let label = format!("power{torn}: {}; {}", names(&nodes), losses.join("; "));
    Ok(Injected { label, nodes })
}

/// The daemon must be gone on every node struck, and so must the file that was not synced.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
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
    kill::heal(env, fault).await
}

/// The daemon must run on every node struck: one that cannot recover from a power cut is not healed.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    kill::verify_healed(env, fault).await
}

fn canary(env: &Env) -> String {
    format!("{}/{CANARY}", env.store.data_dir())
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
