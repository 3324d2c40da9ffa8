//! What the storage asks of a disk: the one border between it and the files of a machine, or those of a simulator.
//!
//! Durability follows the rules of POSIX as Linux keeps them: what was appended to a file is durable after [`Disk::sync`] of that file,
//! a name (made, moved or removed) after [`Disk::sync_directory`] of the directory that holds it. A crash may lose anything else.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// A disk with directories and files. A clone is another handle on the same disk.
pub trait Disk: Clone + Debug {
    /// A file that is open for appending.
    type File: Debug;
    /// Keeps other processes out of a directory for as long as it lives.
    type Lock: Debug;

    /// Whether a directory is there.
    fn is_directory(&self, path: &Path) -> bool;

    /// Makes a directory and what is above it.
    ///
    /// # Errors
    /// The disk's own, as for all that follows.
    fn create_directories(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Which of the names are durable is then unknown.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// There is none, or the disk's own.
    fn names(&self, path: &Path) -> io::Result<Vec<String>>;

    /// A whole file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Makes an empty file, or empties one.
    ///
    /// # Errors
    /// The disk's own.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file and cuts it, or stretches it, to a length in bytes; appends go behind that.
    ///
    /// # Errors
    /// There is none, or the disk's own.
    fn open(&self, path: &Path, length: u64) -> io::Result<Self::File>;

    /// Adds bytes at a file's end.
    ///
    /// # Errors
    /// Some of the bytes may have been added.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's content durable.
    ///
    /// # Errors
    /// What is durable is then unknown, and a later success says nothing of what was written before.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Gives a file another name in its directory, in place of the file that had it.
    ///
    /// # Errors
    /// Nothing has changed then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Nothing has changed then.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock that a file stands for, unless another process has it.
    ///
    /// # Errors
    /// The disk's own.
    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = File;
    type Lock = File;

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(path)?.map(|item| Ok(item?.file_name().to_string_lossy().into())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        File::create(path)
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<File> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        file.seek(SeekFrom::Start(length))?;
        Ok(file)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<File>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}
