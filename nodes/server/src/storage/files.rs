//! Every file operation of the storage, in one place: what the storage does with a [`Disk`], and the words for what fails.
//!
//! Nothing else in this crate opens, writes, renames or deletes a file, so the points at which something becomes durable are the
//! same on every disk. Each error names what was tried and on which path.

use std::io;
use std::path::{Path, PathBuf};

use keelhaul_protocol::Mutant;
use keelhaul_protocol::mutant::StorageMistake;

use super::StorageError;
use super::disk::{Disk, RealDisk};

/// Ending of a file that is being written and does not count yet.
pub(super) const TEMPORARY: &str = ".tmp";

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_path_buf();
    move |source| StorageError::Io { action, path, source }
}

/// A disk, and the mistake that is made on it, if one is.
#[derive(Clone, Debug)]
pub(super) struct Files<D> {
    disk: D,
    mistake: Option<StorageMistake>,
}

impl<D: Disk> Files<D> {
    pub(super) fn new(disk: D, mutant: Option<Mutant>) -> Self {
        Self { disk, mistake: mutant.and_then(Mutant::in_storage) }
    }

    /// Makes a directory and what is above it, with its name durable in its parent.
    pub(super) fn create_directory(&self, path: &Path) -> Result<(), StorageError> {
        if self.disk.is_directory(path) {
            return Ok(());
        }
        self.disk.create_directories(path).map_err(failed("create directory", path))?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_directory(parent),
            _ => Ok(()),
        }
    }

    /// Makes the names in a directory durable. The mutant R21 does not.
    pub(super) fn sync_directory(&self, path: &Path) -> Result<(), StorageError> {
        if self.mistake == Some(StorageMistake::ForgetDirectory) {
            return Ok(());
        }
        self.disk.sync_directory(path).map_err(failed("sync directory", path))
    }

    /// The names in a directory, in order.
    pub(super) fn names(&self, path: &Path) -> Result<Vec<String>, StorageError> {
        let mut names = self.disk.names(path).map_err(failed("list", path))?;
        names.sort_unstable();
        Ok(names)
    }

    /// A whole file, or `None` if there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
        match self.disk.read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", path)(error)),
        }
    }

    /// Writes a file whole or not at all: under another name first, synced, renamed, and the directory synced.
    pub(super) fn write_whole(
        &self,
        directory: &Path,
        name: &str,
        parts: &[&[u8]],
    ) -> Result<(), StorageError> {
        let temporary = directory.join(format!("{name}{TEMPORARY}"));
        let path = directory.join(name);
        let write = || -> io::Result<()> {
            let mut file = self.disk.create(&temporary)?;
            for part in parts {
                self.disk.append(&mut file, part)?;
            }
            self.disk.sync(&file)
        };
        write().map_err(failed("write", &temporary))?;
        self.disk.rename(&temporary, &path).map_err(failed("rename a new file to", &path))?;
        self.sync_directory(directory)
    }

    /// The same for a snapshot. The mutant R49 syncs neither the file nor its name.
    pub(super) fn write_snapshot(
        &self,
        directory: &Path,
        name: &str,
        parts: &[&[u8]],
    ) -> Result<(), StorageError> {
        if self.mistake != Some(StorageMistake::CompactUnsynced) {
            return self.write_whole(directory, name, parts);
        }
        let path = directory.join(name);
        let write = || -> io::Result<()> {
            let mut file = self.disk.create(&path)?;
            parts.iter().try_for_each(|part| self.disk.append(&mut file, part))
        };
        write().map_err(failed("write", &path))
    }

    /// Deletes a file. The deletion is durable after the next [`Files::sync_directory`].
    pub(super) fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.disk.remove(path).map_err(failed("remove", path))
    }

    /// Opens an existing file and cuts it to `length` bytes.
    pub(super) fn appender(&self, path: PathBuf, length: u64) -> Result<Appender<D>, StorageError> {
        let file = self.disk.open(&path, length).map_err(failed("open", &path))?;
        Ok(Appender { files: self.clone(), file, path })
    }

    /// Takes the lock of a directory, or says that someone else has it.
    pub(super) fn lock(&self, directory: &Path) -> Result<D::Lock, StorageError> {
        let path = directory.join("lock");
        let lock = self.disk.lock(&path).map_err(failed("lock", &path))?;
        lock.ok_or_else(|| StorageError::Locked { path: directory.to_path_buf() })
    }
}

/// A file that only grows.
#[derive(Debug)]
pub(super) struct Appender<D: Disk = RealDisk> {
    files: Files<D>,
    file: D::File,
    path: PathBuf,
}

impl<D: Disk> Appender<D> {
    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.files.disk.append(&mut self.file, bytes).map_err(failed("append to", &self.path))
    }

    /// Makes everything appended durable. The mutant R24 takes a failure for success.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        match self.files.disk.sync(&self.file) {
            Err(_) if self.files.mistake == Some(StorageMistake::IgnoreSyncError) => Ok(()),
            synced => synced.map_err(failed("sync", &self.path)),
        }
    }
}

#[cfg(test)]
impl Files<RealDisk> {
    /// This machine's files, without a mistake.
    pub(super) fn real() -> Self {
        Self::new(RealDisk, None)
    }
}

#[cfg(test)]
impl Appender<RealDisk> {
    /// Swaps in a handle that cannot be written to, as a disk that fails would behave.
    pub(super) fn break_for_test(&mut self) {
        self.file = std::fs::File::open(&self.path).expect("the file is there");
    }
}
