//! Every file operation of the storage, in one place.
//!
//! Nothing else in this crate opens, writes, renames or deletes a file, so that a disk that lies, fills or fails
//! can later be put behind these functions. Each error names what was tried and on which path. Durability follows
//! the rules of POSIX as Linux keeps them: a file's data is durable after `fdatasync`, its name after an `fsync` of
//! the directory that holds it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use keelhaul_protocol::raft::Mutant;

use super::StorageError;

/// Ending of a file that is being written and does not count yet.
pub(super) const TEMPORARY: &str = ".tmp";

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    let path = path.to_path_buf();
    move |source| StorageError::Io { action, path, source }
}

/// Makes a directory and what is above it, with its name durable in its parent.
pub(super) fn create_directory(path: &Path) -> Result<(), StorageError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(failed("create directory", path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => Ok(()),
    }
}

/// Whether this process makes the mistake R21.
static FORGETS_DIRECTORIES: AtomicBool = AtomicBool::new(false);
/// Whether it makes the mistake R24.
static IGNORES_SYNC_ERRORS: AtomicBool = AtomicBool::new(false);

/// From now on this process makes this mistake, if it is one about files. A process is one node, and a node is a mutant for life.
pub(crate) fn make_mistake(mutant: Mutant) {
    match mutant {
        Mutant::ForgetDirectory => FORGETS_DIRECTORIES.store(true, Ordering::Relaxed),
        Mutant::IgnoreSyncError => IGNORES_SYNC_ERRORS.store(true, Ordering::Relaxed),
        _ => {}
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), StorageError> {
    if FORGETS_DIRECTORIES.load(Ordering::Relaxed) {
        return Ok(());
    }
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync directory", path))
}

/// The names in a directory, in order.
pub(super) fn names(path: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    for item in fs::read_dir(path).map_err(failed("list", path))? {
        let item = item.map_err(failed("list", path))?;
        names.push(item.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// A whole file, or `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Writes a file whole or not at all: under another name first, synced, renamed, and the directory synced.
pub(super) fn write_whole(
    directory: &Path,
    name: &str,
    parts: &[&[u8]],
) -> Result<(), StorageError> {
    let temporary = directory.join(format!("{name}{TEMPORARY}"));
    let path = directory.join(name);
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()
    };
    write().map_err(failed("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("rename a new file to", &path))?;
    sync_directory(directory)
}

/// Deletes a file. The deletion is durable after the next [`sync_directory`].
pub(super) fn remove(path: &Path) -> Result<(), StorageError> {
    fs::remove_file(path).map_err(failed("remove", path))
}

/// A file that only grows.
#[derive(Debug)]
pub(super) struct Appender {
    file: File,
    path: PathBuf,
}

impl Appender {
    /// Opens an existing file and cuts it to `length` bytes.
    pub(super) fn open(path: PathBuf, length: u64) -> Result<Self, StorageError> {
        let mut file = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
        let cut = |file: &mut File| -> io::Result<()> {
            if file.metadata()?.len() != length {
                file.set_len(length)?;
            }
            file.seek(SeekFrom::Start(length))?;
            Ok(())
        };
        cut(&mut file).map_err(failed("truncate", &path))?;
        Ok(Self { file, path })
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(bytes).map_err(failed("append to", &self.path))
    }

    /// Makes everything appended durable.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        match self.file.sync_data() {
            Err(_) if IGNORES_SYNC_ERRORS.load(Ordering::Relaxed) => Ok(()),
            synced => synced.map_err(failed("sync", &self.path)),
        }
    }

    /// Swaps in a handle that cannot be written to, as a disk that fails would behave.
    #[cfg(test)]
    pub(super) fn break_for_test(&mut self) {
        self.file = File::open(&self.path).expect("the file is there");
    }
}

/// Keeps other processes out of a directory for as long as it lives, by a lock that the kernel drops with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says that someone else has it.
    pub(super) fn take(directory: &Path) -> Result<Self, StorageError> {
        let path = directory.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(fs::TryLockError::WouldBlock) => {
                Err(StorageError::Locked { path: directory.to_path_buf() })
            }
            Err(fs::TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }
}
