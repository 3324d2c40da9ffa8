//! What a node keeps on its disk: a write-ahead log, a snapshot, and whose they are.
//!
//! ```text
//! DATA/lock        held while a process uses the directory
//! DATA/identity    protocol, node and cluster, in words; written last when the directory is made
//! DATA/log/        segments of the log
//! DATA/snapshots/  the snapshot in force
//! ```
//! Every failure is final: after a write or a sync that failed nobody knows what the disk holds, so the process stops and
//! what is there is looked at again from the start. A directory that was complete once and now
//! lacks its log is refused rather than taken for a new one: a node that comes back with amnesia would vote and acknowledge
//! as if it had forgotten nothing.
//!
//! Limits: no clock and no thread here but the worker's; all file operations are in `files`, on whichever [`Disk`] it is; what deleting the whole directory loses cannot be
//! noticed.

mod disk;
mod error;
mod files;
mod segment;
mod snapshot;
mod wal;
mod worker;

use std::path::{Path, PathBuf};

use keelhaul_protocol::Mutant;
use keelhaul_protocol::api::{LogIndex, Snapshot, Stored, SyncTicket, Vocabulary};

pub use disk::{Disk, RealDisk};
pub use error::StorageError;
pub(crate) use worker::{Report, Worker};

use files::Files;
use segment::Marker;
use wal::Wal;

/// Whose data a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The protocol's name.
    pub protocol: &'static str,
    /// The node's number.
    pub node: u16,
    /// The cluster's number.
    pub cluster: u64,
}

impl Identity {
    fn to_line(&self) -> String {
        let Self { protocol, node, cluster } = self;
        format!("keelhaul data, format 1, {protocol} node {node} of cluster {cluster}")
    }
}

/// A change to what is stored, in the order in which the protocol asked for it.
#[derive(Debug)]
pub enum Command<M: Vocabulary> {
    /// What must survive beside the log.
    HardState(M::HardState),
    /// Entries, in place of what was stored at and after the first.
    Append(Vec<M::Entry>),
    /// Entries, each in place of what was stored at its own index.
    Put(Vec<M::Entry>),
    /// Nothing, in place of what was stored at and after this index.
    Truncate(LogIndex),
    /// A snapshot.
    Snapshot {
        /// Itself.
        snapshot: Snapshot<M::Era>,
        /// First entry to keep.
        log_from: LogIndex,
        /// Whether to keep any.
        keep_log: bool,
    },
    /// Make it all durable, and say so.
    Sync(SyncTicket),
}

/// Figures of a recovery, for the node's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments of the log that were read.
    pub segments: usize,
    /// Entries in the log.
    pub entries: usize,
    /// The last entry of the snapshot, 0 without one.
    pub snapshot_index: u64,
    /// Bytes of a torn write that were cut off.
    pub torn_bytes: u64,
}

/// An open data directory.
#[derive(Debug)]
pub struct Storage<M: Vocabulary, D: Disk = RealDisk> {
    files: Files<D>,
    wal: Wal<M, D>,
    snapshots: PathBuf,
    /// A snapshot came into force whose marker is not durable yet; afterwards, older data can go.
    release_due: bool,
    marker: Option<Marker<M::Era>>,
    _lock: D::Lock,
}

impl<M: Vocabulary, D: Disk> Storage<M, D> {
    /// Opens a data directory, or makes it. `segment_bytes` is the size at which a log segment is full.
    pub fn open(
        disk: D,
        mutant: Option<Mutant>,
        directory: &Path,
        identity: &Identity,
        segment_bytes: u64,
    ) -> Result<(Self, Stored<M>, Recovery), StorageError> {
        let (log, snapshots) = (directory.join("log"), directory.join("snapshots"));
        let files = Files::new(disk, mutant);
        files.create_directory(directory)?;
        let lock = files.lock(directory)?;
        files.create_directory(&log)?;
        files.create_directory(&snapshots)?;
        identify::<M, D>(&files, directory, &log, &identity.to_line())?;
        // An earlier start may have failed right here, with names made that were not durable.
        files.sync_directory(directory)?;
        let (wal, replay) = Wal::open(&files, &log, segment_bytes)?;
        let snapshot = replay
            .marker
            .as_ref()
            .map(|marker| snapshot::read(&files, &snapshots, marker))
            .transpose()?;
        snapshot::release(&files, &snapshots, replay.marker.as_ref())?;
        let recovery = Recovery {
            segments: replay.segments,
            entries: replay.entries.len(),
            snapshot_index: replay.marker.map_or(0, |marker| marker.last_index.0),
            torn_bytes: replay.torn_bytes,
        };
        let stored = Stored { hard_state: replay.hard_state, snapshot, entries: replay.entries };
        let marker = replay.marker;
        Ok((
            Self { files, wal, snapshots, release_due: marker.is_some(), marker, _lock: lock },
            stored,
            recovery,
        ))
    }

    /// Carries out a change; durable after the next [`Storage::sync`]. [`Command::Sync`] is the caller's to batch.
    fn apply(&mut self, command: Command<M>) -> Result<(), StorageError> {
        match command {
            Command::HardState(hard_state) => self.wal.save_hard_state(hard_state),
            Command::Append(entries) => self.wal.append(entries),
            Command::Put(entries) => self.wal.put(entries),
            Command::Truncate(from) => self.wal.truncate(from),
            Command::Snapshot { snapshot, log_from, keep_log } => {
                snapshot::write(&self.files, &self.snapshots, &snapshot)?;
                let (last_index, last_era) = (snapshot.last_index, snapshot.last_era);
                let marker = Marker { last_index, last_era, log_from };
                self.wal.save_marker(marker, keep_log)?;
                self.marker = Some(marker);
                self.release_due = true;
                Ok(())
            }
            Command::Sync(_) => Ok(()),
        }
    }

    /// Carries out a batch of changes; the last ticket among them, if there is one. [`Storage::settle`] must follow, which takes the time
    /// that a sync takes.
    pub fn write(
        &mut self,
        commands: impl IntoIterator<Item = Command<M>>,
    ) -> Result<Option<SyncTicket>, StorageError> {
        let mut ticket = None;
        for command in commands {
            match command {
                Command::Sync(number) => ticket = Some(number),
                other => self.apply(other)?,
            }
        }
        Ok(ticket)
    }

    /// Ends a batch: makes it durable if that was asked for. What nobody waits for need not be durable, but a process that ends must not
    /// take it along.
    pub fn settle(&mut self, ticket: Option<SyncTicket>) -> Result<(), StorageError> {
        if ticket.is_some() { self.sync() } else { self.flush() }
    }

    /// Hands everything to the operating system, which outlives this process.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        self.wal.flush()
    }

    /// Makes everything durable, and then, not before, drops what a snapshot has replaced.
    fn sync(&mut self) -> Result<(), StorageError> {
        self.wal.sync()?;
        if std::mem::take(&mut self.release_due) {
            self.wal.release()?;
            snapshot::release(&self.files, &self.snapshots, self.marker.as_ref())?;
        }
        Ok(())
    }
}

/// Checks whose directory this is; makes a new one this identity's. The identity is written after the log exists,
/// so that a directory with an identity and no log is known to have lost it.
fn identify<M: Vocabulary, D: Disk>(
    files: &Files<D>,
    directory: &Path,
    log: &Path,
    expected: &str,
) -> Result<(), StorageError> {
    let name = "identity";
    let path = directory.join(name);
    let has_log = Wal::<M, D>::exists(files, log)?;
    match files.read(&path)? {
        Some(found) if found == expected.as_bytes() => Ok(()),
        Some(found) => Err(StorageError::Foreign {
            path: directory.to_path_buf(),
            found: String::from_utf8_lossy(&found).chars().take(120).collect(),
            expected: expected.to_owned(),
        }),
        None if has_log && !Wal::<M, D>::open(files, log, u64::MAX)?.1.is_blank() => {
            Err(StorageError::Missing { path, what: "the log is not empty" })
        }
        None => {
            if !has_log {
                Wal::<M, D>::create(files, log)?;
            }
            files.write_whole(directory, name, &[expected.as_bytes()])
        }
    }
}

#[cfg(test)]
mod tests;
