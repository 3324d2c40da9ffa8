//! Names and attributes, as programs see and change them.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag};

use super::{State, Volume, errno, refused};
use crate::disk::fault::DiskOp;
use crate::disk::model::{Ino, Kind, Refusal};

/// Attributes of an inode: its number, and what the backing file has.
pub(in crate::disk) type Attributes = (Ino, Metadata);

/// Which attributes to change.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::disk) struct Changes {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub length: Option<u64>,
    /// Times of last access and change: as they are when absent.
    pub times: Option<(nix::sys::time::TimeSpec, nix::sys::time::TimeSpec)>,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(in crate::disk) enum New<'a> {
    File,
    Directory,
    Symlink(&'a Path),
    /// A pipe or a socket.
    Special(SFlag),
}

impl Volume {
    pub fn lookup(&self, dir: Ino, name: &OsStr) -> io::Result<Attributes> {
        let mut state = self.lock();
        let ino = state.model()?.lookup(dir, name).ok_or_else(|| errno(libc::ENOENT))?;
        self.attributes_in(&mut state, ino)
    }

    pub fn attributes(&self, ino: Ino) -> io::Result<Attributes> {
        self.attributes_in(&mut self.lock(), ino)
    }

    fn attributes_in(&self, state: &mut State, ino: Ino) -> io::Result<Attributes> {
        state.model()?;
        let meta = match state.open.get(&ino) {
            Some(open) => open.file.metadata()?,
            None => fs::symlink_metadata(self.backing.at(&state.path(ino)?))?,
        };
        Ok((ino, meta))
    }

    pub fn change(&self, ino: Ino, changes: Changes) -> io::Result<Attributes> {
        if changes.length.is_some() {
            self.strike(DiskOp::Write, ino)?;
        }
        let mut state = self.lock();
        if let Some(length) = changes.length {
            let file = self.file(&mut state, ino)?;
            let content_end = state.content_length(ino);
            state.save(ino, &file, length..content_end.max(length))?;
            // Cut or stretched: whatever lay beyond is nobody's any more.
            state.scars.written(ino, &(length.min(content_end)..u64::MAX));
            file.set_len(length)?;
            state.mark_synced(ino, false);
            if let Some(content) = state.model()?.content(ino) {
                content.resized(length);
            }
        }
        let path = self.reach(&mut state, ino)?;
        if changes.uid.is_some() || changes.gid.is_some() {
            // A link itself is reached by its own path; everything else may be reached through a descriptor's.
            if state.model()?.kind(ino) == Some(Kind::Other) {
                std::os::unix::fs::lchown(&path, changes.uid, changes.gid)?;
            } else {
                std::os::unix::fs::chown(&path, changes.uid, changes.gid)?;
            }
        }
        if let Some(mode) = changes.mode {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
        }
        if let Some((atime, mtime)) = changes.times {
            let follow = nix::sys::stat::UtimensatFlags::FollowSymlink;
            nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &path, &atime, &mtime, follow)?;
        }
        self.attributes_in(&mut state, ino)
    }

    pub fn read_link(&self, ino: Ino) -> io::Result<PathBuf> {
        fs::read_link(self.backing.at(&self.lock().path(ino)?))
    }

    /// Makes something, owned by who asks.
    pub fn make(
        &self,
        (dir, name): (Ino, &OsStr),
        new: New<'_>,
        mode: u32,
        owner: (u32, u32),
    ) -> io::Result<Attributes> {
        self.strike_at(DiskOp::Write, dir, name)?;
        let mut state = self.lock();
        let path = self.backing.at(&state.model()?.free_path(dir, name).map_err(refused)?);
        let kind = match new {
            New::File => {
                fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
                Kind::File
            }
            New::Directory => {
                fs::DirBuilder::new().mode(mode).create(&path)?;
                Kind::Directory
            }
            New::Symlink(target) => {
                std::os::unix::fs::symlink(target, &path)?;
                Kind::Other
            }
            New::Special(what) => {
                nix::sys::stat::mknod(&path, what, Mode::from_bits_truncate(mode), 0)?;
                Kind::Other
            }
        };
        if !matches!(new, New::Symlink(_)) {
            // The asker's umask was applied by the kernel; ours must not be.
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
        }
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        if owner != own {
            std::os::unix::fs::lchown(&path, Some(owner.0), Some(owner.1))?;
        }
        let ino = state.model()?.created(dir, name, kind);
        self.attributes_in(&mut state, ino)
    }

    pub fn remove(&self, dir: Ino, name: &OsStr) -> io::Result<()> {
        self.with_effects(|model| model.remove(dir, name))
    }

    pub fn rename(&self, from: (Ino, &OsStr), to: (Ino, &OsStr), replace: bool) -> io::Result<()> {
        self.with_effects(|model| {
            if !replace && model.lookup(to.0, to.1).is_some() {
                return Err(Refusal::Exists);
            }
            model.rename(from, to)
        })
    }

    pub fn link(&self, ino: Ino, dir: Ino, name: &OsStr) -> io::Result<Attributes> {
        self.with_effects(|model| model.link(ino, dir, name))?;
        self.attributes(ino)
    }

    /// A path by which an inode's attributes can be changed, even one without a name.
    fn reach(&self, state: &mut State, ino: Ino) -> io::Result<PathBuf> {
        match state.open.get(&ino) {
            Some(open) => Ok(PathBuf::from(format!("/proc/self/fd/{}", open.file.as_raw_fd()))),
            None => Ok(self.backing.at(&state.path(ino)?)),
        }
    }
}
