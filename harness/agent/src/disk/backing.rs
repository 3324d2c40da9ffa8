//! The backing directory: what is really on the disk, below the mount.
//!
//! It is reached through a descriptor that was opened before the mount covered it, so it needs no other place and no second
//! mount, and what is in it is where the user looks once the mount is gone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use std::collections::BTreeMap;

use super::fault::Naming;
use super::model::{Effect, GRAVE, Ino, Kind, Model, ROOT, Restore, index};

/// Zeros are written in pieces of so many bytes.
const ZEROS: [u8; 4096] = [0; 4096];

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Backing {
    _root: File,
    /// The same, as a path that no mount covers.
    base: PathBuf,
}

impl Backing {
    /// Takes a directory as it is before something is mounted on it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let root = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(dir)?;
        let base = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
        Ok(Self { _root: root, base })
    }

    /// A path in it, for the functions of the standard library.
    pub fn at(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Opens a file for all that may be done with it.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        let path = self.at(path);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Err(e)
                if matches!(e.raw_os_error(), Some(libc::EACCES | libc::EROFS | libc::ETXTBSY)) =>
            {
                File::open(&path)
            }
            other => other,
        }
    }

    /// The model of what is there now, all of it durable. What an earlier mount left buried is removed.
    pub fn model(&self, naming: Naming) -> io::Result<Model> {
        self.clear_grave()?;
        let mut model = Model::new(naming);
        let mut known: BTreeMap<(u64, u64), Ino> = BTreeMap::new();
        let mut open = vec![(ROOT, PathBuf::new())];
        while let Some((dir, path)) = open.pop() {
            let mut names: Vec<OsString> = fs::read_dir(self.at(&path))?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<_>>()?;
            names.sort_unstable();
            for name in names {
                let path = path.join(&name);
                let meta = fs::symlink_metadata(self.at(&path))?;
                if let Some(&ino) = known.get(&(meta.dev(), meta.ino())) {
                    model.adopt_link(dir, &name, ino);
                    continue;
                }
                let kind = match meta.file_type() {
                    kind if kind.is_dir() => Kind::Directory,
                    kind if kind.is_file() => Kind::File,
                    _ => Kind::Other,
                };
                let length = if kind == Kind::File { meta.len() } else { 0 };
                let ino = model.adopt(dir, &name, kind, length);
                known.insert((meta.dev(), meta.ino()), ino);
                if kind == Kind::Directory {
                    open.push((ino, path));
                }
            }
        }
        fs::DirBuilder::new().mode(0o700).create(self.at(Path::new(GRAVE)))?;
        Ok(model)
    }

    /// Carries out changes, in order.
    pub fn perform(&self, effects: Vec<Effect>) -> io::Result<()> {
        for effect in effects {
            match effect {
                Effect::Rename { from, to } => fs::rename(self.at(&from), self.at(&to))?,
                Effect::Link { from, to } => fs::hard_link(self.at(&from), self.at(&to))?,
                Effect::Unlink(path) => fs::remove_file(self.at(&path))?,
                Effect::Rmdir(path) => fs::remove_dir(self.at(&path))?,
                Effect::Restore(path, restore) => restore_file(&self.file(&path)?, &restore)?,
            }
        }
        Ok(())
    }

    /// Removes everything that is buried, and the directory that it is in.
    pub fn clear_grave(&self) -> io::Result<()> {
        clear_grave_in(&self.base)
    }
}

/// As [`Backing::clear_grave`], where nothing is mounted.
pub(super) fn clear_grave_in(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir.join(GRAVE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn restore_file(file: &File, restore: &Restore) -> io::Result<()> {
    file.set_len(restore.length)?;
    for (offset, bytes) in &restore.chunks {
        file.write_all_at(bytes, *offset)?;
    }
    for range in &restore.zeros {
        let mut at = range.start;
        while at < range.end {
            let length = ZEROS.len().min(index(range.end - at));
            file.write_all_at(&ZEROS[..length], at)?;
            at += length as u64;
        }
    }
    Ok(())
}
