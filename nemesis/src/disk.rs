//! Makes disks slow, failing or full, and well again.
//!
//! Seen in effect, and healed, by a program on the node that writes and syncs a file of its own beside the store's. A store that has ended because
//! of an error is started again when its disk is well.

use std::time::{Duration, Instant};

use keelhaul_cluster::{Command, DaemonState, DiskEffect, DiskFault, DiskOp};
use keelhaul_history::NodeId;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected, names};
use crate::kill;
use crate::target::Target;

/// What goes wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// Every sync takes so many milliseconds longer.
    SlowSync(u64),
    /// Every sync fails with EIO.
    SyncError,
    /// Every write fails with EIO.
    WriteError,
    /// Every write fails with ENOSPC.
    Full,
}

impl Trouble {
    /// What a slow disk may be told, with weights: a busy one, one about to die.
    pub(crate) const SLOW: [(Self, u32); 3] =
        [(Self::SlowSync(30), 2), (Self::SlowSync(150), 3), (Self::SlowSync(800), 2)];
    /// How a failing disk may fail.
    pub(crate) const ERRORS: [(Self, u32); 2] = [(Self::SyncError, 1), (Self::WriteError, 1)];

    fn fault(self) -> DiskFault {
        match self {
            Self::SlowSync(ms) => DiskFault::always(DiskOp::Sync, DiskEffect::Delay { ms }),
            Self::SyncError => DiskFault::always(DiskOp::Sync, DiskEffect::IoError),
            Self::WriteError => DiskFault::always(DiskOp::Write, DiskEffect::IoError),
            Self::Full => DiskFault::always(DiskOp::Write, DiskEffect::NoSpace),
        }
    }

    /// For people.
    pub fn in_words(self) -> String {
        match self {
            Self::SlowSync(ms) => format!("syncs {ms} ms slower"),
            Self::SyncError => "syncs fail".into(),
            Self::WriteError => "writes fail".into(),
            Self::Full => "full".into(),
        }
    }
}

/// Lets the disks of the target nodes fail.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    target: Target,
    trouble: Trouble,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let nodes = env.strike(fault, target, order).await?;
    for &id in &nodes {
        env.node(id)?.disk_faults(env.store.data_dir(), vec![trouble.fault()], fault).await?;
    }
    Ok(Injected { label: format!("disk: {}: {}", trouble.in_words(), names(&nodes)), nodes })
}

/// A program on every node struck must meet the trouble.
pub(crate) async fn verify(env: &Env, fault: u64, trouble: Trouble) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let seen = probe(env, id).await?;
        let in_effect = match trouble {
            Trouble::SlowSync(ms) => seen.ended_well && seen.took >= Duration::from_millis(ms),
            Trouble::SyncError | Trouble::WriteError => seen.says("Input/output error"),
            Trouble::Full => seen.says("No space left on device"),
        };
        if !in_effect {
            return Err(FaultError::NotInEffect(format!("on {id} {}", seen.in_words())));
        }
    }
    Ok(())
}

/// Lets the disks be well, and starts the store where it has ended.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    let struck = env.struck(fault);
    for &id in &struck {
        env.node(id)?.disk_faults(env.store.data_dir(), Vec::new(), fault).await?;
    }
    for id in struck {
        if let DaemonState::Exited { .. } = env.node(id)?.status(env.store.daemon()).await? {
            env.start(id).await?;
        }
    }
    Ok(())
}

/// A program on every node struck must be able to write and sync, and the store must run.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let seen = probe(env, id).await?;
        if !seen.ended_well {
            return Err(FaultError::NotHealed(format!("on {id} {}", seen.in_words())));
        }
    }
    kill::verify_healed(env, fault).await
}

/// Writes a sector and syncs it, and takes it away again.
const PROBE: &str = "LC_ALL=C dd if=/dev/zero of=\"$1\" bs=512 count=1 conv=fsync; code=$?; rm -f \"$1\"; exit $code";
const PROBE_FILE: &str = ".keelhaul-probe";

/// What a program on a node met.
struct Seen {
    ended_well: bool,
    took: Duration,
    said: String,
}

impl Seen {
    fn says(&self, words: &str) -> bool {
        !self.ended_well && self.said.contains(words)
    }

    fn in_words(&self) -> String {
        let how = if self.ended_well { "succeeds" } else { "fails" };
        let said = self.said.lines().next().unwrap_or_default();
        format!("a write with a sync {how} after {} ms: {said}", self.took.as_millis())
    }
}

async fn probe(env: &Env, id: NodeId) -> Result<Seen, FaultError> {
    let file = format!("{}/{PROBE_FILE}", env.store.data_dir());
    let started = Instant::now();
    let output = env.node(id)?.run(Command::new(["sh", "-c", PROBE, "sh", &file])).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Seen { ended_well: output.success(), took: started.elapsed(), said })
}
