//! A disk that fails on request: a FUSE file system over a directory.
//!
//! It passes everything through to the directory that it covers (`backing`) and knows what of it would survive a power cut
//! (`model`, pure, where the policy stands). A power cut takes the directory back to that, and mounts anew, so that nothing of
//! the kernel's caches survives either. Faults (`fault`) make single operations fail, wait, or lie.
//!
//! A real sync is passed on to the real file, so it takes the time that it takes. When the agent is killed the mount is
//! dead and the directory holds everything that was written.
//!
//! The kernel's protocol is spoken by the crate `fuser`, on a descriptor that we mount ourselves. `FUSE_PASSTHROUGH` would
//! be faster, but needs `CAP_SYS_ADMIN` outside of any user namespace, and would hide writes from us.
//!
//! Limits: extended attributes, `O_TMPFILE` and `RENAME_EXCHANGE` are refused; what a program syncs by `sync(2)` or
//! `syncfs(2)` does not count; the whole tree is looked at when it is mounted; overwritten bytes are kept in memory until they are
//! synced.

mod backing;
mod damage;
mod fault;
mod faults;
pub(crate) mod log;
mod model;
mod mounted;
mod scars;
mod server;
mod volume;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use fault::{
    Damaged, DiskDamage, DiskEffect, DiskFault, DiskOp, DiskReport, LostData, LostName, NameLoss,
    Naming, PowerLoss,
};
use mounted::Disk;
pub use mounted::detach_dead_disks;

/// The disks of a node, by the directory that each covers.
#[derive(Debug, Default)]
pub(crate) struct Disks(Mutex<BTreeMap<PathBuf, Disk>>);

impl Disks {
    /// Mounts a disk over a directory, which is made if need be.
    pub fn mount(&self, dir: &str, naming: Naming) -> io::Result<()> {
        let mut disks = self.lock();
        if disks.contains_key(Path::new(dir)) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is mounted already"));
        }
        disks.insert(PathBuf::from(dir), Disk::mount(Path::new(dir), naming)?);
        Ok(())
    }

    /// Replaces the faults of a disk.
    pub fn set_faults(
        &self,
        dir: &str,
        faults: Vec<DiskFault>,
        seed: u64,
    ) -> io::Result<DiskReport> {
        self.with(dir, |disk| disk.set_faults(faults, seed).map(|()| disk.report()))
    }

    /// Damages what a disk has stored.
    pub fn damage(
        &self,
        dir: &str,
        damage: &DiskDamage,
        path_contains: &str,
        seed: u64,
    ) -> io::Result<Vec<Damaged>> {
        self.with(dir, |disk| disk.damage(damage, path_contains, seed))
    }

    /// Mends what was damaged and not written since.
    pub fn mend(&self, dir: &str) -> io::Result<Vec<Damaged>> {
        self.with(dir, |disk| disk.mend())
    }

    /// Cuts and restores a disk's power.
    pub fn power_cut(&self, dir: &str, torn: Option<u64>) -> io::Result<PowerLoss> {
        self.with(dir, |disk| disk.power_cut(torn))
    }

    /// What a disk says of itself.
    pub fn report(&self, dir: &str) -> io::Result<DiskReport> {
        self.with(dir, |disk| Ok(disk.report()))
    }

    /// Takes a disk away; the directory holds everything that was ever written.
    pub fn unmount(&self, dir: &str) -> io::Result<()> {
        self.with(dir, Disk::unmount)?;
        self.lock().remove(Path::new(dir));
        Ok(())
    }

    /// Ends all faults.
    pub fn heal_all(&self) -> io::Result<()> {
        self.lock().values().try_for_each(|disk| disk.set_faults(Vec::new(), 0))
    }

    /// Takes all disks away; the first error is told after trying all.
    pub fn unmount_all(&self) -> io::Result<()> {
        let mut result = Ok(());
        for (_, mut disk) in std::mem::take(&mut *self.lock()) {
            result = result.and(disk.unmount());
        }
        result
    }

    fn with<T>(&self, dir: &str, act: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disks = self.lock();
        let disk = disks.get_mut(Path::new(dir));
        act(disk
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no disk is mounted there"))?)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Disk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
