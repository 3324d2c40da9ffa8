//! Damages what one of the store's disks has stored, behind everybody's back, and lets the store meet it.
//!
//! The store is killed, its files are damaged, the damage is read back through the disk, and the store is started. One that notices will
//! not start, or mends itself from the others; one that does not will believe what it reads. When the fault is healed and the store does
//! not run, what nobody has written since is given back, as by a medium whose sectors are readable again, and it is started once more. Where
//! that does not help either, the node is taken out of the cluster, wiped, and let in as a new one.
//!
//! This is more than the failures that consensus is made for: a node that forgets, or misremembers, what it had synced. So the same
//! minority is damaged throughout a run, which leaves an undamaged majority, and what is asked of a store stands in [`asks`](crate::asks).

use std::time::Duration;

use keelhaul_cluster::{Command, DaemonState, Damaged, DiskDamage, Node, NodeError};
use keelhaul_history::NodeId;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected, names};
use crate::named::named;
use crate::target::Target;
use crate::{kill, member};

/// How what is stored is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// Bits are not what they were.
    DiskFlip,
    /// Files lose their end.
    DiskTruncate,
    /// A part of each file is found at another place of it too.
    DiskCopy,
    /// Parts of files are as they were some time ago.
    DiskRewind,
    /// Nothing is there any more.
    Wipe,
}

/// A damage, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageSpec {
    /// What is done.
    #[serde(rename = "kind")]
    pub damage: Damage,
    /// Where, within the one minority that is ever damaged.
    pub target: Target,
}

/// Targets with their weights; all of them are within the one minority that is ever damaged.
pub(crate) const TARGETS: [(Target, u32); 2] = [(Target::One, 3), (Target::Some, 1)];
/// Bits that are flipped at once: enough that some strike what is read again.
const FLIPS: u32 = 16;
/// Bytes that a file loses: more than a record of any store here, less than a segment of its log.
const CUT_BYTES: u64 = 3_000;
/// Bytes of a part that is found elsewhere: a sector, since files that are not longer are left alone.
const COPY_BYTES: u64 = 512;
/// Bytes of a part that goes back in time.
const REWIND_BYTES: u64 = 256 << 10;
/// How far it goes back: long enough that something was written and synced.
const REWIND_BY: Duration = Duration::from_secs(1);
/// Time in which a store that was started reads what it has, and ends if it does not like it.
const SETTLE: Duration = Duration::from_millis(500);

impl DamageSpec {
    /// The damage with this name.
    pub(crate) fn named(kind: &str, target: Target) -> Option<Self> {
        Some(Self { damage: named(kind)?, target })
    }
}

impl Damage {
    /// Its name.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::DiskFlip => "disk-flip",
            Self::DiskTruncate => "disk-truncate",
            Self::DiskCopy => "disk-copy",
            Self::DiskRewind => "disk-rewind",
            Self::Wipe => "wipe",
        }
    }

    /// How the disk is told; a wipe is done by a program on the node.
    const fn on_disk(self) -> Option<DiskDamage> {
        Some(match self {
            Self::DiskFlip => DiskDamage::FlipBits { count: FLIPS },
            Self::DiskTruncate => DiskDamage::Truncate { bytes: CUT_BYTES },
            Self::DiskCopy => DiskDamage::CopyWithin { bytes: COPY_BYTES },
            Self::DiskRewind => DiskDamage::RestoreChunks,
            Self::Wipe => return None,
        })
    }
}

/// Kills the store on the target nodes and damages what it has stored.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    spec: DamageSpec,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let DamageSpec { damage, target } = spec;
    let nodes = env.strike_minority(fault, target, order)?;
    let dir = env.store.data_dir();
    if damage == Damage::DiskRewind {
        for &id in &nodes {
            let remember = DiskDamage::CopyChunk { bytes: REWIND_BYTES };
            env.node(id)?.damage_disk(dir, remember, "", fault).await?;
        }
        tokio::time::sleep(env.patience(REWIND_BY)).await;
    }
    let mut told = Vec::new();
    for &id in &nodes {
        let node = env.node(id)?;
        node.kill(env.store.daemon()).await?;
        if let Some(damage) = damage.on_disk() {
            let places = node.damage_disk(dir, damage, "", fault).await?;
            told.push(format!("; {}", describe(id, &places)));
            env.damaged.borrow_mut().insert((fault, id), places);
        } else {
            member::wipe(env, id).await?;
        }
    }
    let label = format!("{}: {}{}", damage.kind(), names(&nodes), told.concat());
    Ok(Injected { label, nodes })
}

/// What was there must not be read back any more, on any node struck. Then the store may meet it.
pub(crate) async fn verify(env: &Env, fault: u64, damage: Damage) -> Result<(), FaultError> {
    let mut unharmed = None;
    for id in env.struck(fault) {
        let node = env.node(id)?;
        let places = env.damaged.borrow_mut().remove(&(fault, id)).unwrap_or_default();
        let mut differs = false;
        for Damaged { path, offset, was, .. } in &places {
            let path = format!("{}/{path}", env.store.data_dir());
            differs |= node.read_part(&path, *offset, was.len() as u64).await? != *was;
        }
        if damage == Damage::Wipe {
            differs = is_empty(node, env.store.data_dir()).await?;
        }
        if !differs {
            unharmed.get_or_insert(id);
        }
        env.start(id).await?;
    }
    unharmed.map_or(Ok(()), |id| {
        Err(FaultError::NotInEffect(format!("what {id} has stored reads as before")))
    })
}

/// Gives back what was damaged where the store does not run with it, and starts it there.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        env.damaged.borrow_mut().remove(&(fault, id));
        mend_if_ended(env, id).await?;
    }
    Ok(())
}

async fn is_empty(node: &Node, dir: &str) -> Result<bool, FaultError> {
    let output = node.run(Command::new(["find", dir, "-mindepth", "1", "-print", "-quit"])).await?;
    Ok(output.success() && output.stdout.is_empty())
}

/// Starts a store that has ended, with what its disk can give back; if that does not help, the node is replaced, as an operator would do.
async fn mend_if_ended(env: &Env, id: NodeId) -> Result<(), FaultError> {
    let (node, daemon) = (env.node(id)?, env.store.daemon());
    let has_ended = async || {
        let state = node.status(daemon).await?;
        Ok::<_, FaultError>(matches!(state, DaemonState::Exited { .. }))
    };
    if !has_ended().await? {
        return Ok(());
    }
    if is_on_disk_of_ours(env, id).await? {
        node.mend_disk(env.store.data_dir()).await?;
    }
    env.start(id).await?;
    tokio::time::sleep(env.patience(SETTLE)).await;
    if has_ended().await? && env.store.membership().is_some() {
        member::replace(env, id).await?;
    }
    Ok(())
}

/// Whether what is stored can be mended at all; a disk is wiped wherever it is.
async fn is_on_disk_of_ours(env: &Env, id: NodeId) -> Result<bool, FaultError> {
    match env.node(id)?.disk_state(env.store.data_dir()).await {
        Ok(_) => Ok(true),
        Err(NodeError::Failed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes go where they belong again. The store is started anew, so that it reads what went astray, before anything is given back.
pub(crate) async fn heal_misdirected(env: &Env, fault: u64) -> Result<(), FaultError> {
    let (struck, dir) = (env.struck(fault), env.store.data_dir());
    for &id in &struck {
        let node = env.node(id)?;
        node.kill(env.store.daemon()).await?;
        node.disk_faults(dir, Vec::new(), fault).await?;
        env.start(id).await?;
    }
    tokio::time::sleep(env.patience(SETTLE)).await;
    for id in struck {
        mend_if_ended(env, id).await?;
    }
    Ok(())
}

/// The store must run on every node struck.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    kill::verify_healed(env, fault).await
}

/// For people: `n2: 3 places, the first at byte 812 of log/1.wal`.
fn describe(id: NodeId, places: &[Damaged]) -> String {
    match places {
        [] => format!("{id}: nothing"),
        [first, ..] => {
            let plural = if places.len() == 1 { "" } else { "s" };
            let Damaged { offset, path, .. } = first;
            format!("{id}: {} place{plural}, the first at byte {offset} of {path}", places.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_by_the_first() {
        let place =
            |offset| Damaged { path: "log".into(), offset, bytes: 1, was: vec![offset as u8] };
        let check = |places: &[Damaged], expected: &str| {
            assert_eq!(describe(NodeId(2), places), expected);
        };
        check(&[], "n2: nothing");
        check(&[place(7)], "n2: 1 place, the first at byte 7 of log");
        check(&[place(7), place(1)], "n2: 2 places, the first at byte 7 of log");
    }
}
