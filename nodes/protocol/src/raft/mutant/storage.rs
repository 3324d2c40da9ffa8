//! What is below the protocol.

use super::Mutant;
use crate::mutant::{BUSY, Info};

pub(super) const TABLE: &[Info<Mutant>] = &[
    Info::mistake(Mutant::ForgetDirectory, "forget-directory", "R21", 2)
        .breaks("syncs files and never the directory that a new or renamed one is in; POSIX makes a name durable by a sync of its directory only")
        .met_in("fsync(2); fluree#1459, marble#12")
        .shows("a node comes back from a loss of power with its log gone; an acknowledged write is lost")
        .reached_by("power", "--disk strict --nemesis-interval 2 --concurrency 10n --op-timeout 0.3")
        .in_storage(),
    Info::mistake(Mutant::IgnoreSyncError, "ignore-sync-error", "R24", 2)
        .breaks("goes on when a sync of the log fails; nobody knows then what the disk holds, and a later sync that succeeds says nothing of it")
        .met_in("fjall#304, etcd#13527; Rebello et al., ATC '20")
        .shows("after a loss of power the log has holes: a node does not start, or an acknowledged write is lost")
        .reached_by("disk-error,power", BUSY)
        .in_storage(),
    Info::mistake(Mutant::CompactUnsynced, "compact-unsynced", "R49", 2)
        .breaks("lets go of the log that a snapshot replaces before the snapshot is durable; its file and its name must be synced first")
        .met_in("fluree#1459")
        .shows("a node comes back from a loss of power with a log that names a snapshot it does not have; it does not start again")
        .reached_by("power", BUSY)
        .in_storage(),
];
