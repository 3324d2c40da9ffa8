//! What a disk can be told to do wrong, and what it says of itself: the words shared by the control node, the agent, and whoever
//! simulates a disk.

use serde::{Deserialize, Serialize};

/// What makes a name in a directory durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Naming {
    /// A sync of the directory that holds it, as POSIX has it.
    #[default]
    Strict,
    /// A sync of anything, as journaling file systems do.
    Journaled,
}

/// An operation that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskOp {
    /// Reading a file.
    Read,
    /// Writing to a file, extending it, or making something.
    Write,
    /// Syncing a file or a directory.
    Sync,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskEffect {
    /// The operation fails with EIO and does nothing. After a failed sync of a file the system forgets, as Linux does, what it was to
    /// write: programs go on reading it, a later sync succeeds, and yet it is not durable unless it is written again (Rebello et
    /// al., "Can Applications Recover from fsync Failures?", ATC '20).
    IoError,
    /// The operation fails with ENOSPC and does nothing.
    NoSpace,
    /// The operation takes so many milliseconds longer.
    Delay {
        /// How much longer.
        ms: u64,
    },
    /// The operation waits until the fault is healed.
    Stall,
    /// A write fails with EIO when the first half of its bytes is down.
    Tear,
    /// A write reports success, but its bytes are found one sector further.
    Misdirect,
    /// A sync reports success and makes nothing durable: a disk with a volatile cache, or `--no-fsync`.
    IgnoreSync,
}

/// A fault of the disk, until it is healed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFault {
    /// Which operations.
    pub on: Vec<DiskOp>,
    /// Paths, relative to the mount, that hold this; all when empty.
    pub path_contains: String,
    /// How many in a million of these operations it strikes.
    pub per_million: u32,
    /// What it does to them.
    pub effect: DiskEffect,
}

impl DiskFault {
    /// A fault of every such operation on every path.
    #[must_use]
    pub fn always(on: DiskOp, effect: DiskEffect) -> Self {
        Self { on: vec![on], path_contains: String::new(), per_million: 1_000_000, effect }
    }
}

/// Damage done once, to what is stored. What no program has written since can be mended, until a power cut makes it final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskDamage {
    /// So many bits, anywhere in the chosen files, are flipped.
    FlipBits {
        /// How many.
        count: u32,
    },
    /// Each chosen file loses so many bytes of its end.
    Truncate {
        /// How many.
        bytes: u64,
    },
    /// A chunk of each chosen file is found at another place of it too.
    CopyWithin {
        /// Its length; a file that is not longer than that is left alone.
        bytes: u64,
    },
    /// Remembers a chunk of each chosen file, at a random place.
    CopyChunk {
        /// Its length.
        bytes: u64,
    },
    /// Puts every remembered chunk back where it was, as far as the files still reach; one that held a file's end brings that end back.
    RestoreChunks,
}

/// Something that was damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// Path relative to the mount.
    pub path: String,
    /// From which byte on.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What had been there, at most the first [`Damaged::WAS_BYTES_MAX`] of it.
    pub was: Vec<u8>,
}

impl Damaged {
    /// Enough to see that it is not there any more.
    pub const WAS_BYTES_MAX: usize = 64;

    pub(super) fn new(path: String, offset: u64, was: &[u8]) -> Self {
        let kept = &was[..was.len().min(Self::WAS_BYTES_MAX)];
        Self { path, offset, bytes: was.len() as u64, was: kept.to_vec() }
    }
}

/// How a power cut changed a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameLoss {
    /// It is gone: making it was not durable.
    Gone,
    /// It is back: removing it, or renaming it away, was not durable.
    Back,
    /// It means what it meant before.
    Undone,
}

/// A name that a power cut changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostName {
    /// Path relative to the mount.
    pub path: String,
    /// What became of it.
    pub what: NameLoss,
}

/// A file whose content a power cut changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostData {
    /// Path relative to the mount, afterwards.
    pub path: String,
    /// Its length before.
    pub length_before: u64,
    /// Its length afterwards.
    pub length: u64,
    /// Ranges whose latest content is lost: first byte, and the byte after the last.
    pub ranges: Vec<(u64, u64)>,
}

/// What one power cut took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerLoss {
    /// How many names changed.
    pub names_total: u64,
    /// How many files changed.
    pub files_total: u64,
    /// How many bytes are lost in them.
    pub bytes_total: u64,
    /// The first [`PowerLoss::KEPT_MAX`] of the names, by directory.
    pub names: Vec<LostName>,
    /// The first so many of the files.
    pub data: Vec<LostData>,
}

impl PowerLoss {
    /// How many names, files, and ranges of a file are told one by one: enough to explain a loss, and few enough for a frame.
    pub const KEPT_MAX: usize = 200;

    pub(super) fn new(mut names: Vec<LostName>, mut data: Vec<LostData>) -> Self {
        let bytes = data.iter().flat_map(|file| &file.ranges).map(|(from, to)| to - from).sum();
        let (names_total, files_total) = (names.len() as u64, data.len() as u64);
        names.truncate(Self::KEPT_MAX);
        data.truncate(Self::KEPT_MAX);
        for file in &mut data {
            file.ranges.truncate(Self::KEPT_MAX);
        }
        Self { names_total, files_total, bytes_total: bytes, names, data }
    }

    /// Whether everything was durable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names_total == 0 && self.files_total == 0
    }
}

/// What a disk has done, and what it would lose now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskReport {
    /// The faults in effect.
    pub faults: Vec<DiskFault>,
    /// How many operations the present faults have struck, in the same order.
    pub struck: Vec<u64>,
    /// Reads so far.
    pub reads: u64,
    /// Writes so far.
    pub writes: u64,
    /// Syncs of files and directories so far.
    pub syncs: u64,
    /// What they took together, with what faults added, in microseconds.
    pub sync_us: u64,
    /// The slowest that has ended since the last report, in microseconds.
    pub slowest_sync_us: u64,
    /// Bytes written so far.
    pub bytes_written: u64,
    /// Files with unsynced content now.
    pub unsynced_files: u64,
    /// Bytes that a power cut would change now.
    pub unsynced_bytes: u64,
    /// Changes of names that are not durable now.
    pub unsynced_names: u64,
    /// What each power cut took, the latest last; the oldest are dropped when there are many.
    pub losses: Vec<PowerLoss>,
}
