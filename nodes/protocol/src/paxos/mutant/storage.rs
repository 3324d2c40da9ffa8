//! What is below the protocol.

use super::Mutant;
use crate::mutant::Info;
use crate::mutant::storage::{compact_unsynced, forget_directory, ignore_sync_error};

pub(super) const TABLE: &[Info<Mutant>] = &[
    forget_directory(Mutant::ForgetDirectory, "paxos-forget-directory"),
    ignore_sync_error(Mutant::IgnoreSyncError, "paxos-ignore-sync-error"),
    compact_unsynced(Mutant::CompactUnsynced, "paxos-compact-unsynced"),
];
