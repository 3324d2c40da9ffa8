//! Snapshot files: one a snapshot, written whole or not at all.
//!
//! ```text
//! magic 8 | last index u64 | last term u64 | length u64 | data | crc32 of everything before
//! ```
//! A file alone means nothing: a snapshot is in force when the log says so. Files that the log does not name are
//! what a crash left behind, and go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keelhaul_protocol::api::Snapshot;

use super::StorageError;
use super::disk::Disk;
use super::files::{Files, TEMPORARY};
use super::segment::Marker;

const MAGIC: [u8; 8] = *b"khsnp\0\0\x01";
const SUFFIX: &str = ".snapshot";
const HEAD_BYTES: usize = 32;

fn file_name(index: u64, term: u64) -> String {
    format!("{index:016}-{term:016}{SUFFIX}")
}

fn head(index: u64, term: u64, length: usize) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&index.to_le_bytes());
    head[16..24].copy_from_slice(&term.to_le_bytes());
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
pub(super) fn write<D: Disk>(
    files: &Files<D>,
    directory: &Path,
    snapshot: &Snapshot,
) -> Result<(), StorageError> {
    let (index, term) = (snapshot.last_index.0, snapshot.last_term.0);
    let head = head(index, term, snapshot.data.len());
    let crc = checksum(&head, &snapshot.data);
    files.write_whole(directory, &file_name(index, term), &[&head, &snapshot.data, &crc])
}

/// Reads the snapshot that the log names.
pub(super) fn read<D: Disk>(
    files: &Files<D>,
    directory: &Path,
    marker: &Marker,
) -> Result<Snapshot, StorageError> {
    let (index, term) = (marker.last_index.0, marker.last_term.0);
    let path = directory.join(file_name(index, term));
    let Some(bytes) = files.read(&path)? else {
        return Err(StorageError::Missing { path, what: "the log names this snapshot" });
    };
    let Some(data) = data(&bytes, index, term) else { return Err(corrupt(path)) };
    Ok(Snapshot {
        last_index: marker.last_index,
        last_term: marker.last_term,
        data: Arc::from(data),
    })
}

fn data(bytes: &[u8], index: u64, term: u64) -> Option<&[u8]> {
    let length = bytes.len().checked_sub(HEAD_BYTES + 4)?;
    let (front, crc) = bytes.split_at(HEAD_BYTES + length);
    let (found, data) = front.split_at(HEAD_BYTES);
    (found == head(index, term, length) && crc == checksum(found, data)).then_some(data)
}

fn corrupt(path: PathBuf) -> StorageError {
    StorageError::Corrupt { path, offset: 0, what: "the snapshot's length or checksum is wrong" }
}

/// Deletes every snapshot file but the one in force.
pub(super) fn release<D: Disk>(
    files: &Files<D>,
    directory: &Path,
    marker: Option<&Marker>,
) -> Result<(), StorageError> {
    let keep = marker.map(|marker| file_name(marker.last_index.0, marker.last_term.0));
    let mut removed = false;
    for name in files.names(directory)? {
        if Some(&name) != keep.as_ref() && (name.ends_with(SUFFIX) || name.ends_with(TEMPORARY)) {
            files.remove(&directory.join(name))?;
            removed = true;
        }
    }
    if removed { files.sync_directory(directory) } else { Ok(()) }
}
