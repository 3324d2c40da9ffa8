//! Files as programs see them: each operation on the backing directory and on the model, under one lock.
//!
//! Only waiting happens outside the lock: for the disk in a sync, and for a fault that delays.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::FallocateFlags;
use nix::sys::stat::{Mode, SFlag};

use super::backing::Backing;
use super::fault::{DiskOp, DiskReport, Naming};
use super::faults::{Faults, Strike};
use super::model::{Effect, Ino, Kind, Model, Refusal, SECTOR_BYTES, index};
use super::scars::{Scar, Scars};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Volume {
    pub backing: Arc<Backing>,
    pub faults: Arc<Faults>,
    pub counters: Arc<Counters>,
    state: Mutex<State>,
    /// Directories that are being listed.
    listings: Mutex<BTreeMap<u64, Arc<Vec<Entry>>>>,
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub ino: Ino,
    pub kind: fs::FileType,
    pub name: OsString,
}

/// What a disk did since it was mounted first.
#[derive(Debug, Default)]
pub(super) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    bytes_written: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// `None` when the power is off.
    model: Option<Model>,
    open: BTreeMap<Ino, Open>,
    /// Damage that can be mended.
    scars: Scars,
}

/// A file that programs have open: one descriptor for all of them.
#[derive(Debug)]
struct Open {
    file: Arc<File>,
    count: u64,
    /// The last write was synced with it, and nothing came after it.
    synced_by_write: bool,
}

/// Attributes of an inode: its number, and what the backing file has.
pub(super) type Attributes = (Ino, Metadata);

/// Which attributes to change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changes {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub length: Option<u64>,
    /// Times of last access and change: as they are when absent.
    pub times: Option<(nix::sys::time::TimeSpec, nix::sys::time::TimeSpec)>,
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(super) enum New<'a> {
    File,
    Directory,
    Symlink(&'a Path),
    /// A pipe or a socket.
    Special(SFlag),
}

impl Volume {
    /// What is in the backing directory now, all of it durable.
    pub fn open(
        backing: Arc<Backing>,
        faults: Arc<Faults>,
        counters: Arc<Counters>,
        naming: Naming,
    ) -> io::Result<Self> {
        let state = State {
            model: Some(backing.model(naming)?),
            open: BTreeMap::new(),
            scars: Scars::default(),
        };
        let (state, listings) = (Mutex::new(state), Mutex::default());
        Ok(Self { backing, faults, counters, state, listings })
    }

    /// Switches the power off: from now on every operation fails. Answers what was known; nothing if it was off.
    pub fn switch_off(&self) -> Option<Model> {
        let mut state = self.lock();
        state.open.clear();
        state.model.take()
    }

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

    pub fn open_file(&self, ino: Ino) -> io::Result<()> {
        let mut state = self.lock();
        state.model()?;
        if let Some(open) = state.open.get_mut(&ino) {
            open.count += 1;
            return Ok(());
        }
        let file = Arc::new(self.backing.file(&state.path(ino)?)?);
        state.open.insert(ino, Open { file, count: 1, synced_by_write: false });
        Ok(())
    }

    pub fn close_file(&self, ino: Ino) {
        let mut state = self.lock();
        if let Some(open) = state.open.get_mut(&ino) {
            open.count -= 1;
            if open.count == 0 {
                state.open.remove(&ino);
            }
        }
    }

    pub fn read(&self, ino: Ino, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        self.counters.reads.fetch_add(1, Ordering::Relaxed);
        self.strike(DiskOp::Read, ino)?;
        self.peek(ino, offset, size)
    }

    /// Reads past all faults.
    pub fn peek(&self, ino: Ino, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        let file = {
            let mut state = self.lock();
            self.file(&mut state, ino)?
        };
        let mut bytes = vec![0; size];
        let mut filled = 0;
        while filled < size {
            match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes; `sync` when the file was opened to be synced by every write.
    pub fn write(&self, ino: Ino, offset: u64, bytes: &[u8], sync: bool) -> io::Result<()> {
        self.counters.writes.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let strike = self.strike(DiskOp::Write, ino)?;
        let bytes = if strike.tear { &bytes[..bytes.len() / 2] } else { bytes };
        let length = bytes.len() as u64;
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        state.scars.written(ino, &(offset..offset + length));
        let offset = if strike.misdirect {
            state.misdirected(ino, &file, offset, bytes)?;
            offset + SECTOR_BYTES
        } else {
            offset
        };
        state.save(ino, &file, offset..offset + length)?;
        let written = file.write_all_at(bytes, offset);
        let end = match &written {
            Ok(()) => offset + length,
            // Some of it, perhaps.
            Err(_) => file.metadata()?.len().max(offset),
        };
        if let Some(content) = state.model()?.content(ino) {
            content.written(offset..end);
        }
        state.mark_synced(ino, false);
        drop(state);
        written?;
        if strike.tear {
            return Err(errno(libc::EIO));
        }
        if sync {
            self.sync_now(ino, true)?;
            self.lock().mark_synced(ino, true);
        }
        Ok(())
    }

    /// Reserves, zeroes or frees a range, as `fallocate(2)`.
    pub fn allocate(&self, ino: Ino, range: Range<u64>, flags: i32) -> io::Result<()> {
        self.strike(DiskOp::Write, ino)?;
        let flags = FallocateFlags::from_bits_truncate(flags);
        let zeroes = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
        let keeps = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if !(zeroes | keeps).contains(flags) {
            return Err(errno(libc::EOPNOTSUPP));
        }
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        if flags.intersects(zeroes) {
            state.save(ino, &file, range.clone())?;
        }
        let signed = |n: u64| i64::try_from(n).map_err(|_| errno(libc::EFBIG));
        let (offset, length) = (signed(range.start)?, signed(range.end - range.start)?);
        nix::fcntl::fallocate(&*file, flags, offset, length)?;
        state.mark_synced(ino, false);
        if let Some(content) = state.model()?.content(ino) {
            let end =
                if flags.contains(keeps) { range.end.min(content.length()) } else { range.end };
            let start = if flags.intersects(zeroes) { range.start.min(end) } else { end };
            content.written(start..end);
        }
        state.scars.written(ino, &range);
        Ok(())
    }

    /// A program syncs a file. After a write that was synced with it the kernel asks for the same again, if it is a recent one.
    pub fn sync_file(&self, ino: Ino, data_only: bool) -> io::Result<()> {
        if self.lock().mark_synced(ino, false) {
            return Ok(());
        }
        self.sync_now(ino, data_only)
    }

    fn sync_now(&self, ino: Ino, data_only: bool) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        let synced = self.strike(DiskOp::Sync, ino).and_then(|strike| {
            if strike.ignore_sync {
                return Ok(false);
            }
            let file = self.file(&mut self.lock(), ino)?;
            // The real disk takes its time; the kernel lets nobody write to this file meanwhile.
            let synced = if data_only { file.sync_data() } else { file.sync_all() };
            synced.map(|()| true)
        });
        match synced {
            Ok(true) => self.with_effects(|model| Ok(model.sync_file(ino))),
            Ok(false) => Ok(()),
            Err(error) => {
                if let Some(content) = self.lock().model()?.content(ino) {
                    content.sync_failed();
                }
                Err(error)
            }
        }
    }

    pub fn sync_directory(&self, ino: Ino) -> io::Result<()> {
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        if self.strike(DiskOp::Sync, ino)?.ignore_sync {
            return Ok(());
        }
        let path = self.backing.at(&self.lock().path(ino)?);
        File::open(path)?.sync_all()?;
        self.with_effects(|model| Ok(model.sync_directory(ino)))
    }

    /// A directory was opened to be listed; answers the listing's number.
    pub fn open_listing(&self) -> u64 {
        let mut listings = self.lock_listings();
        let number = listings.last_key_value().map_or(1, |(number, _)| number + 1);
        listings.insert(number, Arc::default());
        number
    }

    /// What is in a directory, as of when it was `fresh` last: entries that come and go meanwhile move nobody else's place.
    pub fn listing(&self, dir: Ino, number: u64, fresh: bool) -> io::Result<Arc<Vec<Entry>>> {
        if fresh {
            let entries = Arc::new(self.list(dir)?);
            self.lock_listings().insert(number, Arc::clone(&entries));
            return Ok(entries);
        }
        self.lock_listings().get(&number).cloned().ok_or_else(|| errno(libc::EBADF))
    }

    /// The listing is not needed any more.
    pub fn close_listing(&self, number: u64) {
        self.lock_listings().remove(&number);
    }

    fn list(&self, dir: Ino) -> io::Result<Vec<Entry>> {
        let mut state = self.lock();
        let path = self.backing.at(&state.path(dir)?);
        let itself = fs::symlink_metadata(&path)?.file_type();
        let fixed = [".", ".."].map(|name| Entry { ino: dir, kind: itself, name: name.into() });
        let mut listing = Vec::from(fixed);
        for (name, &ino) in state.model()?.entries(dir).ok_or_else(|| errno(libc::ENOTDIR))? {
            let kind = fs::symlink_metadata(path.join(name))?.file_type();
            listing.push(Entry { ino, kind, name: name.clone() });
        }
        Ok(listing)
    }

    fn lock_listings(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Vec<Entry>>>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All files whose path holds a word, by path.
    pub fn files(&self, path_contains: &str) -> io::Result<Vec<(Ino, String)>> {
        let mut state = self.lock();
        let model = state.model()?;
        let mut files: Vec<(Ino, String)> = model
            .inodes()
            .filter(|&ino| model.kind(ino) == Some(Kind::File) && model.has_name(ino))
            .filter_map(|ino| Some((ino, model.path(ino)?.to_string_lossy().into_owned())))
            .filter(|(_, path)| path.contains(path_contains))
            .collect();
        files.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(files)
    }

    /// All inodes that the kernel may have something of in memory.
    pub fn inodes(&self) -> Vec<Ino> {
        self.lock().model.iter().flat_map(Model::inodes).collect()
    }

    /// Overwrites bytes of a file on the disk itself: they count as having been there all along. Answers what they replace; nothing
    /// if they are the same.
    pub fn damage(&self, ino: Ino, offset: u64, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        let mut was = vec![0; bytes.len()];
        file.read_exact_at(&mut was, offset)?;
        if was == bytes {
            return Ok(None);
        }
        state.overwrite(ino, &file, offset, bytes)?;
        state.scars.push(Scar { ino, offset, was: was.clone(), cut: false });
        Ok(Some(was))
    }

    /// Cuts a file short on the disk itself; answers what it loses.
    pub fn cut_short(&self, ino: Ino, length: u64) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let file = self.file(&mut state, ino)?;
        let mut was = vec![0; index(file.metadata()?.len().saturating_sub(length))];
        file.read_exact_at(&mut was, length)?;
        file.set_len(length)?;
        if let Some(content) = state.model()?.content(ino) {
            content.cut_short(length);
        }
        state.scars.push(Scar { ino, offset: length, was: was.clone(), cut: true });
        Ok(was)
    }

    /// From now on nothing that was damaged is mended.
    pub fn forget_damage(&self) {
        self.lock().scars.clear();
    }

    /// Mends all damage where no program has written since; answers what it gave back, and in which files.
    pub fn mend(&self) -> io::Result<Vec<(Scar, String)>> {
        let mut state = self.lock();
        let mut mended = Vec::new();
        for scar in state.scars.take() {
            let Scar { ino, offset, ref was, cut } = scar;
            let gone = state.model()?.kind(ino) != Some(Kind::File) || state.path(ino).is_err();
            if gone {
                continue;
            }
            let file = self.file(&mut state, ino)?;
            let length = file.metadata()?.len();
            let fits = if cut { length == offset } else { offset + was.len() as u64 <= length };
            if fits {
                state.overwrite(ino, &file, offset, was)?;
                let path = state.path(ino)?.to_string_lossy().into_owned();
                mended.push((scar, path));
            }
        }
        Ok(mended)
    }

    /// Space, as `statvfs(2)`.
    pub fn space(&self) -> io::Result<nix::sys::statvfs::Statvfs> {
        Ok(nix::sys::statvfs::statvfs(&self.backing.at(Path::new("")))?)
    }

    /// All but what power cuts took.
    pub fn report(&self) -> DiskReport {
        let (faults, struck) = self.faults.state();
        let (unsynced_files, unsynced_bytes, unsynced_names) =
            self.lock().model.as_ref().map(Model::unsynced).unwrap_or_default();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DiskReport {
            faults,
            struck,
            reads: count(&self.counters.reads),
            writes: count(&self.counters.writes),
            syncs: count(&self.counters.syncs),
            bytes_written: count(&self.counters.bytes_written),
            unsynced_files,
            unsynced_bytes,
            unsynced_names,
            losses: Vec::new(),
        }
    }

    /// A change of names: the model decides, the backing directory follows.
    fn with_effects(
        &self,
        decide: impl FnOnce(&mut Model) -> Result<Vec<Effect>, Refusal>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        let effects = decide(state.model()?).map_err(refused)?;
        self.backing.perform(effects).inspect_err(|e| {
            // The two no longer agree: better no disk than one that tells lies.
            eprintln!("the backing directory failed, the disk is switched off: {e}");
            state.model = None;
        })
    }

    fn strike(&self, on: DiskOp, ino: Ino) -> io::Result<Strike> {
        let path = || self.lock().path(ino).unwrap_or_default().to_string_lossy().into_owned();
        ended(self.faults.strike(on, path))
    }

    fn strike_at(&self, on: DiskOp, dir: Ino, name: &OsStr) -> io::Result<Strike> {
        let path = || {
            let dir = self.lock().path(dir).unwrap_or_default();
            dir.join(name).to_string_lossy().into_owned()
        };
        ended(self.faults.strike(on, path))
    }

    /// The file, open for reading and writing.
    fn file(&self, state: &mut State, ino: Ino) -> io::Result<Arc<File>> {
        state.model()?;
        match state.open.get(&ino) {
            Some(open) => Ok(Arc::clone(&open.file)),
            None => Ok(Arc::new(self.backing.file(&state.path(ino)?)?)),
        }
    }

    /// A path by which an inode's attributes can be changed, even one without a name.
    fn reach(&self, state: &mut State, ino: Ino) -> io::Result<PathBuf> {
        match state.open.get(&ino) {
            Some(open) => Ok(PathBuf::from(format!("/proc/self/fd/{}", open.file.as_raw_fd()))),
            None => Ok(self.backing.at(&state.path(ino)?)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn model(&mut self) -> io::Result<&mut Model> {
        self.model.as_mut().ok_or_else(|| errno(libc::EIO))
    }

    fn path(&mut self, ino: Ino) -> io::Result<PathBuf> {
        self.model()?.path(ino).ok_or_else(|| errno(libc::ESTALE))
    }

    /// Notes whether the last write to an open file was synced with it; answers whether that was so until now.
    fn mark_synced(&mut self, ino: Ino, synced: bool) -> bool {
        let open = self.open.get_mut(&ino);
        open.is_some_and(|open| std::mem::replace(&mut open.synced_by_write, synced))
    }

    fn content_length(&mut self, ino: Ino) -> u64 {
        let content = self.model.as_mut().and_then(|model| model.content(ino));
        content.map_or(0, |content| content.length())
    }

    /// A write goes a sector too far: what it should have changed, and what it should not.
    fn misdirected(&mut self, ino: Ino, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        // Beyond the file's end a hole is as good as nothing.
        let start = end.max(offset + SECTOR_BYTES);
        let mut was = vec![0; index(end + SECTOR_BYTES - start)];
        let mut filled = 0;
        while let count @ 1.. = file.read_at(&mut was[filled..], start + filled as u64)? {
            filled += count;
        }
        self.scars.push(Scar { ino, offset: start, was, cut: false });
        self.scars.push(Scar { ino, offset, was: bytes.to_vec(), cut: false });
        Ok(())
    }

    /// Puts bytes on the disk itself, past everything that programs and the system do.
    fn overwrite(&mut self, ino: Ino, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)?;
        if let Some(content) = self.model()?.content(ino) {
            content.grown_back(offset + bytes.len() as u64);
            content.damaged(offset, bytes);
        }
        Ok(())
    }

    /// Keeps what is durable in a range that is about to change.
    fn save(&mut self, ino: Ino, file: &File, range: Range<u64>) -> io::Result<()> {
        let Some(content) = self.model()?.content(ino) else { return Ok(()) };
        for wanted in content.wanted(range) {
            let mut bytes = vec![0; index(wanted.end - wanted.start)];
            file.read_exact_at(&mut bytes, wanted.start)?;
            content.save(wanted.start, bytes);
        }
        Ok(())
    }
}

fn ended(strike: Strike) -> io::Result<Strike> {
    strike.error.map_or(Ok(strike), |error| Err(errno(error)))
}

pub(super) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn refused(refusal: Refusal) -> io::Error {
    errno(match refusal {
        Refusal::NotFound => libc::ENOENT,
        Refusal::Exists => libc::EEXIST,
        Refusal::NotEmpty => libc::ENOTEMPTY,
        Refusal::NotDirectory => libc::ENOTDIR,
        Refusal::Reserved => libc::EPERM,
    })
}
