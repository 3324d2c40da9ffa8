//! Mistakes below the protocol, in the storage that all of them share: each protocol names them for itself.

use super::{BUSY, Info};

/// A mistake of the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageMistake {
    /// R21.
    ForgetDirectory,
    /// R24.
    IgnoreSyncError,
    /// R49.
    CompactUnsynced,
}

pub(crate) const fn forget_directory<M: Copy>(mutant: M, name: &'static str) -> Info<M> {
    Info::mistake(mutant, name, "R21", 2)
        .breaks("syncs files and never the directory that a new or renamed one is in; POSIX makes a name durable by a sync of its directory only")
        .met_in("fsync(2); fluree#1459, marble#12")
        .shows("a node comes back from a loss of power with its log gone; an acknowledged write is lost")
        .reached_by("power", "--disk strict --nemesis-interval 2 --concurrency 10n --op-timeout 0.3")
        .in_storage()
}

pub(crate) const fn ignore_sync_error<M: Copy>(mutant: M, name: &'static str) -> Info<M> {
    Info::mistake(mutant, name, "R24", 2)
        .breaks("goes on when a sync of the log fails; nobody knows then what the disk holds, and a later sync that succeeds says nothing of it")
        .met_in("fjall#304, etcd#13527; Rebello et al., ATC '20")
        .shows("after a loss of power the log has holes: a node does not start, or an acknowledged write is lost")
        .reached_by("disk-error,power", BUSY)
        .in_storage()
}

pub(crate) const fn compact_unsynced<M: Copy>(mutant: M, name: &'static str) -> Info<M> {
    Info::mistake(mutant, name, "R49", 2)
        .breaks("lets go of the log that a snapshot replaces before the snapshot is durable; its file and its name must be synced first")
        .met_in("fluree#1459")
        .shows("a node comes back from a loss of power with a log that names a snapshot it does not have; it does not start again")
        .reached_by("power", BUSY)
        .in_storage()
}
