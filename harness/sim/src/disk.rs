//! A disk in memory that knows what a loss of power would leave.
//!
//! A file's content is durable up to its last sync, a name up to the last sync of its directory; on a *journaled* disk any sync makes all
//! names durable, as on ext4 (`keelhaul list disks`). A loss of power takes the rest; a *torn* one keeps a part of it, as chance has it.
//! The disk can be told to fail, and to lose power at its next sync or in the middle of a snapshot.
//!
//! The agent's model of a mounted disk (`keelhaul_agent`) is not used here: it follows every operation of a file system byte by byte, where the
//! storage of a node only appends, renames and removes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use keelhaul_nemesis::Trouble;
use keelhaul_server::storage::Disk;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// When names become durable, and whether syncs do anything; see `keelhaul list disks`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// With any sync.
    #[default]
    Journaled,
    /// With a sync of their directory only.
    Strict,
    /// Never, and content neither.
    Volatile,
}

/// Where in its work a disk is to lose power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trip {
    /// When it is about to sync a file.
    Sync,
    /// When a snapshot is written and does not have its name yet.
    Snapshot,
}

/// A file's content.
#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// How much of it is durable.
    durable: usize,
}

#[derive(Debug, Default)]
struct State {
    medium: Medium,
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Directories in which names changed since their last sync.
    changed: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
    durable_directories: BTreeSet<PathBuf>,
    trouble: Option<Trouble>,
    trip: Option<Trip>,
    /// Power is gone: nothing works until [`SimDisk::lose_power`].
    dark: bool,
}

/// A handle on a disk.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Rc<RefCell<State>>);

impl SimDisk {
    pub(crate) fn new(medium: Medium) -> Self {
        Self(Rc::new(RefCell::new(State { medium, ..State::default() })))
    }

    /// There is nothing on it any more.
    pub(crate) fn wipe(&self) {
        let state = &mut *self.0.borrow_mut();
        let State { medium, trouble, .. } = *state;
        *state = State { medium, trouble, ..State::default() };
    }

    /// From now on something goes wrong, or nothing.
    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.0.borrow_mut().trouble = trouble;
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.0.borrow().trouble
    }

    /// Loses power at a point of its work to come, or not.
    pub(crate) fn set_trip(&self, trip: Option<Trip>) {
        self.0.borrow_mut().trip = trip;
    }

    /// Whether it came to that point.
    pub(crate) fn is_dark(&self) -> bool {
        self.0.borrow().dark
    }

    /// Goes back to what is durable, or to something between that and what there was if `torn`. How many bytes and names are lost.
    pub(crate) fn lose_power(&self, torn: Option<&mut ChaCha8Rng>) -> (usize, usize) {
        let state = &mut *self.0.borrow_mut();
        (state.dark, state.trip) = (false, None);
        state.lose(torn)
    }
}

impl State {
    fn lose(&mut self, mut torn: Option<&mut ChaCha8Rng>) -> (usize, usize) {
        let mut kept = self.durable_names.clone();
        if let Some(rng) = &mut torn {
            // A file system writes a directory back as a whole.
            for directory in &self.changed {
                if rng.random_bool(0.5) {
                    kept.retain(|path, _| path.parent() != Some(directory));
                    let live =
                        self.names.iter().filter(|(path, _)| path.parent() == Some(directory));
                    kept.extend(live.map(|(path, content)| (path.clone(), *content)));
                }
            }
            self.durable_directories.clone_from(&self.directories);
        }
        let lost_names =
            self.names.iter().filter(|(path, at)| kept.get(*path) != Some(*at)).count();
        let mut lost_bytes = 0;
        for content in &mut self.contents {
            let unsynced = content.bytes.len() - content.durable;
            let keep = torn.as_mut().map_or(0, |rng| rng.random_range(0..=unsynced));
            content.bytes.truncate(content.durable + keep);
            content.durable += keep;
            lost_bytes += unsynced - keep;
        }
        self.durable_names.clone_from(&kept);
        self.names = kept;
        self.directories.clone_from(&self.durable_directories);
        self.changed.clear();
        (lost_bytes, lost_names)
    }

    /// A name changed.
    fn touch(&mut self, path: &Path) {
        if let Some(directory) = path.parent()
            && !self.changed.contains(directory)
        {
            self.changed.insert(directory.to_path_buf());
        }
    }

    fn sync_names(&mut self, directory: Option<&Path>) {
        if self.medium == Medium::Volatile || self.changed.is_empty() {
            return;
        }
        match directory {
            Some(directory) if self.medium == Medium::Strict => {
                if self.changed.remove(directory) {
                    let inside = |path: &Path| path.parent() == Some(directory);
                    self.durable_names.retain(|path, _| !inside(path));
                    let live = self.names.iter().filter(|(path, _)| inside(path));
                    self.durable_names.extend(live.map(|(path, at)| (path.clone(), *at)));
                    let live = self.directories.iter().filter(|path| inside(path)).cloned();
                    self.durable_directories.extend(live);
                }
            }
            None if self.medium == Medium::Strict => {}
            _ => {
                self.durable_names.clone_from(&self.names);
                self.durable_directories.clone_from(&self.directories);
                self.changed.clear();
            }
        }
    }

    fn works(&self) -> io::Result<()> {
        if self.dark { Err(broken()) } else { Ok(()) }
    }

    fn can_write(&self) -> io::Result<()> {
        self.works()?;
        match self.trouble {
            Some(Trouble::WriteError | Trouble::TornWrite) => Err(broken()),
            Some(Trouble::Full) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn can_sync(&mut self) -> io::Result<()> {
        if self.trip == Some(Trip::Sync) {
            self.dark = true;
        }
        self.works()?;
        if self.trouble == Some(Trouble::SyncError) { Err(broken()) } else { Ok(()) }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// EIO.
fn broken() -> io::Error {
    io::Error::other("input/output error")
}

impl Disk for SimDisk {
    type File = usize;
    type Lock = ();

    fn is_directory(&self, path: &Path) -> bool {
        self.0.borrow().directories.contains(path)
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        state.can_write()?;
        for directory in path.ancestors() {
            if state.directories.insert(directory.to_path_buf()) {
                state.touch(directory);
            }
        }
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        state.can_sync()?;
        state.sync_names(Some(path));
        Ok(())
    }

    fn names(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.0.borrow();
        state.works()?;
        let inside = state.names.keys().filter(|name| name.parent() == Some(path));
        Ok(inside.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.0.borrow();
        state.works()?;
        // What a process has just written it need not read from the disk; what it finds at its start it must.
        if state.trouble == Some(Trouble::ReadError) {
            return Err(broken());
        }
        Ok(state.contents[state.find(path)?].bytes.clone())
    }

    fn create(&self, path: &Path) -> io::Result<usize> {
        let state = &mut *self.0.borrow_mut();
        state.can_write()?;
        let at = state.contents.len();
        state.contents.push(Content::default());
        state.names.insert(path.to_path_buf(), at);
        state.touch(path);
        Ok(at)
    }

    fn open(&self, path: &Path, length: u64) -> io::Result<usize> {
        let state = &mut *self.0.borrow_mut();
        state.works()?;
        let at = state.find(path)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let content = &mut state.contents[at];
        if content.bytes.len() != length {
            content.bytes.resize(length, 0);
            // What was cut off may come back only where nothing relies on it: the storage rewrites a torn file rather than cut it.
            content.durable = content.durable.min(length);
        }
        Ok(at)
    }

    fn append(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        if state.trouble == Some(Trouble::TornWrite) {
            state.works()?;
            state.contents[*file].bytes.extend_from_slice(&bytes[..bytes.len() / 2]);
        }
        state.can_write()?;
        state.contents[*file].bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        state.can_sync()?;
        if state.medium != Medium::Volatile {
            let content = &mut state.contents[*file];
            content.durable = content.bytes.len();
        }
        state.sync_names(None);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        if state.trip == Some(Trip::Snapshot) && to.extension().is_some_and(|e| e == "snapshot") {
            state.dark = true;
        }
        state.works()?;
        let at = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_path_buf(), at);
        state.touch(to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        state.works()?;
        state.find(path)?;
        state.names.remove(path);
        state.touch(path);
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<()>> {
        // One process a disk is the simulator's own doing.
        self.0.borrow().works().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn written(disk: &SimDisk, path: &str, bytes: &[u8]) -> usize {
        let mut file = disk.create(Path::new(path)).unwrap();
        disk.append(&mut file, bytes).unwrap();
        file
    }

    fn at(medium: Medium) -> SimDisk {
        let disk = SimDisk::new(medium);
        disk.create_directories(Path::new("/d")).unwrap();
        disk.sync_directory(Path::new("/")).unwrap();
        disk
    }

    #[test]
    fn what_was_not_synced_is_lost_and_names_are_as_the_medium_says() {
        for (medium, stays) in
            [(Medium::Journaled, true), (Medium::Strict, false), (Medium::Volatile, false)]
        {
            let disk = at(medium);
            let mut file = written(&disk, "/d/a", b"durable");
            disk.sync(&file).unwrap();
            disk.append(&mut file, b" and not").unwrap();
            disk.lose_power(None);
            let content = disk.read(Path::new("/d/a")).ok();
            assert_eq!(content.as_deref(), stays.then_some(b"durable".as_slice()), "{medium:?}");
        }
    }

    #[test]
    fn a_synced_directory_keeps_a_rename_and_an_unsynced_one_does_not() {
        for synced in [true, false] {
            let disk = at(Medium::Strict);
            let file = written(&disk, "/d/a", b"1");
            disk.sync(&file).unwrap();
            disk.sync_directory(Path::new("/d")).unwrap();
            disk.rename(Path::new("/d/a"), Path::new("/d/b")).unwrap();
            if synced {
                disk.sync_directory(Path::new("/d")).unwrap();
            }
            disk.lose_power(None);
            assert_eq!(disk.names(Path::new("/d")).unwrap(), [if synced { "b" } else { "a" }]);
        }
    }

    #[test]
    fn a_torn_loss_keeps_a_prefix() {
        let disk = at(Medium::Journaled);
        let file = written(&disk, "/d/a", b"");
        disk.sync(&file).unwrap();
        let (mut lengths, mut rng) = (BTreeSet::new(), ChaCha8Rng::seed_from_u64(1));
        for _ in 0..50 {
            let mut file = disk.open(Path::new("/d/a"), 0).unwrap();
            disk.append(&mut file, b"0123456789").unwrap();
            disk.lose_power(Some(&mut rng));
            let bytes = disk.read(Path::new("/d/a")).unwrap();
            assert!(b"0123456789".starts_with(&bytes));
            lengths.insert(bytes.len());
        }
        assert!(lengths.len() > 5, "{lengths:?}");
    }

    #[test]
    fn a_disk_fails_as_it_is_told_and_goes_dark_where_it_is_told() {
        let disk = at(Medium::Journaled);
        let mut file = written(&disk, "/d/a", b"1");
        disk.set_trouble(Some(Trouble::Full));
        let kind = disk.append(&mut file, b"2").unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::StorageFull);
        disk.set_trouble(Some(Trouble::SyncError));
        disk.append(&mut file, b"2").unwrap();
        disk.sync(&file).unwrap_err();
        disk.set_trouble(Some(Trouble::TornWrite));
        disk.append(&mut file, b"3456").unwrap_err();
        disk.set_trouble(Some(Trouble::ReadError));
        disk.read(Path::new("/d/a")).unwrap_err();
        disk.set_trouble(None);
        assert_eq!(disk.read(Path::new("/d/a")).unwrap(), b"1234", "half of it was written");
        disk.set_trip(Some(Trip::Sync));
        disk.sync(&file).unwrap_err();
        assert!(disk.is_dark());
        disk.lose_power(None);
        assert!(!disk.is_dark() && disk.read(Path::new("/d/a")).is_err());
    }
}
