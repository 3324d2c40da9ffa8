//! What is below the protocol.

use super::Mutant;
use crate::mutant::Info;
use crate::mutant::storage::{compact_unsynced, forget_directory, ignore_sync_error};

pub(super) const TABLE: &[Info<Mutant>] = &[
    forget_directory(Mutant::ForgetDirectory, "zab-forget-directory"),
    ignore_sync_error(Mutant::IgnoreSyncError, "zab-ignore-sync-error"),
    compact_unsynced(Mutant::CompactUnsynced, "zab-compact-unsynced"),
];
