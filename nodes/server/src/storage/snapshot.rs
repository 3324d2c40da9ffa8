//! Snapshot files: one a snapshot, written whole or not at all.
//!
//! ```text
//! magic 8 | last index u64 | last term, ballot or epoch u64 | length u64 | data | crc32 of everything before
//! ```
//! A file alone means nothing: a snapshot is in force when the log says so. Files that the log does not name are
//! what a crash left behind, and go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keelhaul_protocol::api::{Era, Snapshot};

use super::StorageError;
use super::disk::Disk;
use super::files::{Files, TEMPORARY};
use super::segment::Marker;

const MAGIC: [u8; 8] = *b"khsnp\0\0\x01";
const SUFFIX: &str = ".snapshot";
const HEAD_BYTES: usize = 32;

fn file_name(index: u64, era: u64) -> String {
    format!("{index:016}-{era:016}{SUFFIX}")
}

fn head(index: u64, era: u64, length: usize) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&index.to_le_bytes());
    head[16..24].copy_from_slice(&era.to_le_bytes());
    head[24..].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

fn checksum(head: &[u8], data: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(data);
    hasher.finalize().to_le_bytes()
}

/// Writes a snapshot's file, durably.
pub(super) fn write<E: Era, D: Disk>(
    files: &Files<D>,
    directory: &Path,
    snapshot: &Snapshot<E>,
) -> Result<(), StorageError> {
    let (index, era) = (snapshot.last_index.0, snapshot.last_era.number());
    let head = head(index, era, snapshot.data.len());
    let crc = checksum(&head, &snapshot.data);
    files.write_snapshot(directory, &file_name(index, era), &[&head, &snapshot.data, &crc])
}

/// Reads the snapshot that the log names.
pub(super) fn read<E: Era, D: Disk>(
    files: &Files<D>,
    directory: &Path,
    marker: &Marker<E>,
) -> Result<Snapshot<E>, StorageError> {
    let (index, era) = (marker.last_index.0, marker.last_era.number());
    let path = directory.join(file_name(index, era));
    let Some(bytes) = files.read(&path)? else {
        return Err(StorageError::Missing { path, what: "the log names this snapshot" });
    };
    let Some(data) = data(&bytes, index, era) else { return Err(corrupt(path)) };
    Ok(Snapshot { last_index: marker.last_index, last_era: marker.last_era, data: Arc::from(data) })
}

fn data(bytes: &[u8], index: u64, era: u64) -> Option<&[u8]> {
    let length = bytes.len().checked_sub(HEAD_BYTES + 4)?;
    let (front, crc) = bytes.split_at(HEAD_BYTES + length);
    let (found, data) = front.split_at(HEAD_BYTES);
    (found == head(index, era, length) && crc == checksum(found, data)).then_some(data)
}

fn corrupt(path: PathBuf) -> StorageError {
    StorageError::Corrupt { path, offset: 0, what: "the snapshot's length or checksum is wrong" }
}

/// Deletes every snapshot file but the one in force.
pub(super) fn release<E: Era, D: Disk>(
    files: &Files<D>,
    directory: &Path,
    marker: Option<&Marker<E>>,
) -> Result<(), StorageError> {
    let keep = marker.map(|marker| file_name(marker.last_index.0, marker.last_era.number()));
    let mut removed = false;
    for name in files.names(directory)? {
        if Some(&name) != keep.as_ref() && (name.ends_with(SUFFIX) || name.ends_with(TEMPORARY)) {
            files.remove(&directory.join(name))?;
            removed = true;
        }
    }
    if removed { files.sync_directory(directory) } else { Ok(()) }
}
