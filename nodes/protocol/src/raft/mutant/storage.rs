//! What is below the protocol.

use super::Mutant;
use crate::mutant::Info;
use crate::mutant::storage::{compact_unsynced, forget_directory, ignore_sync_error};

pub(super) const TABLE: &[Info<Mutant>] = &[
    forget_directory(Mutant::ForgetDirectory, "forget-directory"),
    ignore_sync_error(Mutant::IgnoreSyncError, "ignore-sync-error"),
    compact_unsynced(Mutant::CompactUnsynced, "compact-unsynced"),
];
