//! Files as programs see them: each operation on the backing directory and on the model, under one lock.
//!
//! Only waiting happens outside the lock: for the disk in a sync, and for a fault that delays. What programs do to names, files and
//! directories is apart from what is done to the disk itself (`medium`), which no program sees coming.

mod files;
mod listing;
mod medium;
mod names;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use listing::Listings;
pub(super) use names::{Attributes, Changes, New};

use super::backing::Backing;
use super::fault::{DiskOp, DiskReport, Naming};
use super::faults::{Faults, Strike};
use super::model::{Effect, Ino, Model, Refusal, index};
use super::scars::Scars;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Volume {
    pub backing: Arc<Backing>,
    pub faults: Arc<Faults>,
    pub counters: Arc<Counters>,
    state: Mutex<State>,
    /// Directories that are being listed.
    listings: Mutex<Listings>,
}

/// What a disk did since it was mounted first.
#[derive(Debug, Default)]
pub(super) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    sync_us: AtomicU64,
    slowest_sync_us: AtomicU64,
    bytes_written: AtomicU64,
}

impl Counters {
    /// Counts a sync, and how long it takes, whatever comes of it.
    fn sync<T>(&self, sync: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let begun = Instant::now();
        let end = sync();
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us.fetch_add(took, Ordering::Relaxed);
        self.slowest_sync_us.fetch_max(took, Ordering::Relaxed);
        end
    }
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

    /// All inodes that the kernel may have something of in memory.
    pub fn inodes(&self) -> Vec<Ino> {
        self.lock().model.iter().flat_map(Model::inodes).collect()
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
            sync_us: count(&self.counters.sync_us),
            slowest_sync_us: self.counters.slowest_sync_us.swap(0, Ordering::Relaxed),
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
