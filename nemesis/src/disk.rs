//! Makes disks slow, failing or full, and well again.
//!
//! Seen in effect, and healed, by a program on the node that writes and syncs a file of its own beside the store's. A store that has ended because
//! of an error is started again when its disk is well.

use std::time::{Duration, Instant};

use keelhaul_cluster::{Command, DaemonState, DiskEffect, DiskFault, DiskOp};
use keelhaul_history::NodeId;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected, names};
use crate::target::Target;
use crate::{damage, kill};

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
    /// Every sync waits until the disk is well.
    Stall,
    /// Every read that the system's cache cannot answer fails with EIO.
    ReadError,
    /// Every write fails with EIO when half of it is done.
    TornWrite,
    /// Every write goes a sector too far, and nothing is said.
    Misdirect,
}

/// A disk's trouble that needs no further word than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plight {
    /// See [`Trouble::Stall`].
    DiskStall,
    /// See [`Trouble::ReadError`].
    DiskRead,
    /// See [`Trouble::TornWrite`].
    DiskTorn,
    /// See [`Trouble::Misdirect`].
    DiskMisdirect,
}

/// A plight, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlightSpec {
    /// What it is.
    #[serde(rename = "kind")]
    pub plight: Plight,
    /// Where.
    pub target: Target,
}

impl Plight {
    /// Its name.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::DiskStall => "disk-stall",
            Self::DiskRead => "disk-read",
            Self::DiskTorn => "disk-torn",
            Self::DiskMisdirect => "disk-misdirect",
        }
    }

    pub(crate) const fn trouble(self) -> Trouble {
        match self {
            Self::DiskStall => Trouble::Stall,
            Self::DiskRead => Trouble::ReadError,
            Self::DiskTorn => Trouble::TornWrite,
            Self::DiskMisdirect => Trouble::Misdirect,
        }
    }
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
            Self::Stall => DiskFault::always(DiskOp::Sync, DiskEffect::Stall),
            Self::ReadError => DiskFault::always(DiskOp::Read, DiskEffect::IoError),
            Self::TornWrite => DiskFault::always(DiskOp::Write, DiskEffect::Tear),
            Self::Misdirect => DiskFault::always(DiskOp::Write, DiskEffect::Misdirect),
        }
    }

    /// For people.
    pub fn in_words(self) -> String {
        match self {
            Self::SlowSync(ms) => format!("syncs {ms} ms slower"),
            Self::SyncError => "syncs fail".into(),
            Self::WriteError => "writes fail".into(),
            Self::Full => "full".into(),
            Self::Stall => "syncs do not end".into(),
            Self::ReadError => "reads fail".into(),
            Self::TornWrite => "writes stop half-way".into(),
            Self::Misdirect => "writes go a sector too far".into(),
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
    let nodes = match trouble {
        Trouble::Misdirect => env.strike_minority(fault, target, order)?,
        _ => env.strike(fault, target, order).await?,
    };
    for &id in &nodes {
        env.node(id)?.disk_faults(env.store.data_dir(), vec![trouble.fault()], fault).await?;
    }
    Ok(Injected { label: format!("disk: {}: {}", trouble.in_words(), names(&nodes)), nodes })
}

/// A program on every node struck must meet the trouble.
pub(crate) async fn verify(env: &Env, fault: u64, trouble: Trouble) -> Result<(), FaultError> {
    for id in env.struck(fault) {
        let seen = probe(env, id, probe_of(trouble)).await?;
        let in_effect = match trouble {
            Trouble::SlowSync(ms) => seen.ended_well && seen.took >= Duration::from_millis(ms),
            Trouble::SyncError | Trouble::WriteError | Trouble::ReadError => {
                seen.says("Input/output error")
            }
            Trouble::Full => seen.says("No space left on device"),
            Trouble::Stall => seen.printed == "it waits",
            Trouble::TornWrite => seen.says("Input/output error") && seen.printed == "256",
            Trouble::Misdirect => seen.ended_well && seen.printed == "1024",
        };
        if !in_effect {
            return Err(FaultError::NotInEffect(format!("on {id} {}", seen.in_words())));
        }
    }
    Ok(())
}

/// Lets the disks be well, and starts the store where it has ended.
pub(crate) async fn heal(env: &Env, fault: u64, trouble: Trouble) -> Result<(), FaultError> {
    if trouble == Trouble::Misdirect {
        return damage::heal_misdirected(env, fault).await;
    }
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
        let seen = probe(env, id, PROBE).await?;
        if !seen.ended_well || seen.printed != "512" {
            return Err(FaultError::NotHealed(format!("on {id} {}", seen.in_words())));
        }
    }
    kill::verify_healed(env, fault).await
}

/// Writes a sector and syncs it, says how long the file is then, and takes it away again.
const PROBE: &str = "LC_ALL=C dd if=/dev/zero of=\"$1\" bs=512 count=1 conv=fsync; code=$?; stat -c %s \"$1\"; rm -f \"$1\"; exit $code";
/// The same in the background, which goes on when the disk does; says after a while whether it has ended. It writes a file of its own: the one
/// that it takes away when the disk is well is not the one by which that is seen.
const PROBE_WAITING: &str = "(dd if=/dev/zero of=\"$1-waiting\" bs=512 count=1 conv=fsync; rm -f \"$1-waiting\") >/dev/null 2>&1 & \
     sleep 0.3; kill -0 $! && printf 'it waits'";
/// Writes a sector and reads it back past the system's cache.
const PROBE_READING: &str = "LC_ALL=C dd if=/dev/zero of=\"$1\" bs=512 count=1 2>/dev/null; \
     dd if=\"$1\" of=/dev/null bs=512 count=1 iflag=direct; code=$?; rm -f \"$1\"; exit $code";
const PROBE_FILE: &str = ".keelhaul-probe";

const fn probe_of(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Stall => PROBE_WAITING,
        Trouble::ReadError => PROBE_READING,
        _ => PROBE,
    }
}

/// What a program on a node met.
struct Seen {
    ended_well: bool,
    took: Duration,
    printed: String,
    said: String,
}

impl Seen {
    fn says(&self, words: &str) -> bool {
        !self.ended_well && self.said.contains(words)
    }

    fn in_words(&self) -> String {
        let how = if self.ended_well { "succeeds" } else { "fails" };
        let said = self.said.lines().next().unwrap_or_default();
        let printed = &self.printed;
        format!("a probe of the disk {how} after {} ms: {printed} {said}", self.took.as_millis())
    }
}

async fn probe(env: &Env, id: NodeId, script: &str) -> Result<Seen, FaultError> {
    let file = format!("{}/{PROBE_FILE}", env.store.data_dir());
    let started = Instant::now();
    let output = env.node(id)?.run(Command::new(["sh", "-c", script, "sh", &file])).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Seen {
        ended_well: output.success(),
        took: started.elapsed(),
        printed: text(&output.stdout),
        said: text(&output.stderr),
    })
}
