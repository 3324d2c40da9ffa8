//! A disk: a volume, mounted, with what happened to it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{BackgroundSession, Config, INodeNo, Session, SessionACL};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::backing::{self, Backing};
use super::damage::OldChunk;
use super::fault::{DiskFault, DiskReport, Naming, PowerLoss};
use super::faults::Faults;
use super::server::Server;
use super::volume::{Counters, Volume};

/// Threads that answer the kernel: more than one, so that a sync that takes its time holds nobody else up.
const THREADS: usize = 8;
/// The type of our mounts, by which they are known.
const TYPE: &str = "fuse.keelhaul";
/// How many power losses are remembered.
const LOSSES_MAX: usize = 8;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    naming: Naming,
    pub(super) volume: Arc<Volume>,
    session: Option<BackgroundSession>,
    losses: Vec<PowerLoss>,
    /// Chunks that were copied, to be put back some time.
    pub(super) chunks: Vec<OldChunk>,
}

impl Disk {
    /// Mounts a disk over a directory; what is in the directory is on the disk.
    pub fn mount(dir: &Path, naming: Naming) -> io::Result<Self> {
        // What an agent that was killed left behind.
        if is_dead(dir) {
            detach(dir)?;
        }
        std::fs::create_dir_all(dir)?;
        let backing = Arc::new(Backing::open(dir)?);
        let (faults, counters) = (Arc::new(Faults::new()), Arc::new(Counters::default()));
        let volume = Arc::new(Volume::open(backing, faults, counters, naming)?);
        let session = serve(dir, &volume)?;
        let dir = dir.to_owned();
        Ok(Self {
            dir,
            naming,
            volume,
            session: Some(session),
            losses: Vec::new(),
            chunks: Vec::new(),
        })
    }

    /// Replaces all faults.
    pub fn set_faults(&self, faults: Vec<DiskFault>, seed: u64) -> io::Result<()> {
        // Whoever is held up goes on first: the kernel waits for its reads before it forgets what it has in memory.
        self.volume.faults.replace(Vec::new(), seed);
        // Else reads would be answered from memory.
        self.volume.inodes().into_iter().try_for_each(|ino| self.forget(ino.0))?;
        self.volume.faults.replace(faults, seed);
        Ok(())
    }

    /// Cuts the power and restores it: everything that was not synced is gone, and the mount is a new one. With a seed some of it
    /// stays, as chance has it. Who still has something open gets EIO from then on. Faults stay as they are.
    pub fn power_cut(&mut self, torn: Option<u64>) -> io::Result<PowerLoss> {
        let model = self.volume.switch_off().ok_or_else(|| io::Error::other("the disk is off"))?;
        detach(&self.dir)?;
        let mut dice = torn.map(ChaCha8Rng::seed_from_u64);
        let cut = model.cut(dice.as_mut());
        let loss = PowerLoss::new(cut.names, cut.data);
        self.volume.backing.perform(cut.effects)?;
        let (backing, faults, counters) = (
            Arc::clone(&self.volume.backing),
            Arc::clone(&self.volume.faults),
            Arc::clone(&self.volume.counters),
        );
        self.volume = Arc::new(Volume::open(backing, faults, counters, self.naming)?);
        // The old session ends by itself, as soon as nobody has anything open on the old mount.
        self.session = Some(serve(&self.dir, &self.volume)?);
        self.losses.push(loss.clone());
        if self.losses.len() > LOSSES_MAX {
            self.losses.remove(0);
        }
        Ok(loss)
    }

    /// What it has done, and what it would lose now.
    pub fn report(&self) -> DiskReport {
        DiskReport { losses: self.losses.clone(), ..self.volume.report() }
    }

    /// Lets the directory be seen again, with everything that was ever written.
    pub fn unmount(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        self.volume.faults.replace(Vec::new(), 0);
        let idle = umount2(&self.dir, MntFlags::empty()).is_ok();
        if !idle {
            detach(&self.dir)?;
        }
        self.volume.switch_off();
        if idle {
            // Nobody has anything open, so the kernel has ended the session.
            session.join()?;
        }
        self.volume.backing.clear_grave()
    }

    /// The kernel is to ask again for a file's content and attributes.
    pub(super) fn forget(&self, ino: u64) -> io::Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        session.notifier().inval_inode(INodeNo(ino), 0, 0)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.unmount();
    }
}

/// Takes away every disk that nobody serves any more, because its agent was killed; answers how many there were. The directories then
/// hold everything that was ever written. The disks of a living agent are left alone, and so are mounts of others.
///
/// # Errors
/// If the mounts cannot be listed, or one of ours cannot be taken away.
pub fn detach_dead_disks() -> io::Result<usize> {
    let mut count = 0;
    for dir in mounted_disks(&std::fs::read_to_string("/proc/self/mountinfo")?) {
        if is_dead(&dir) {
            detach(&dir)?;
            backing::clear_grave_in(&dir)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Where our file systems are mounted, from the kernel's list.
fn mounted_disks(mountinfo: &str) -> Vec<PathBuf> {
    let dir_of = |line: &str| {
        let (place, file_system) = line.split_once(" - ")?;
        let is_ours = file_system.split(' ').next() == Some(TYPE);
        is_ours.then(|| place.split(' ').nth(4).map(unescaped)).flatten()
    };
    mountinfo.lines().filter_map(dir_of).collect()
}

/// The kernel writes blanks and backslashes as a backslash and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| first == b'\\').and_then(|d| str::from_utf8(d).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Whether the mount at a directory is that of an agent that is gone.
fn is_dead(dir: &Path) -> bool {
    std::fs::metadata(dir).is_err_and(|e| e.raw_os_error() == Some(libc::ENOTCONN))
}

/// Mounts a volume, by our own mount(2): neither libfuse nor fusermount need be there, and it works wherever this process may mount,
/// which is also as root of a user namespace.
fn serve(dir: &Path, volume: &Arc<Volume>) -> io::Result<BackgroundSession> {
    let fuse: OwnedFd = OpenOptions::new().read(true).write(true).open("/dev/fuse")?.into();
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let options = format!(
        "fd={},rootmode=40000,user_id={user},group_id={group},default_permissions,allow_other",
        fuse.as_raw_fd()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("keelhaul"), dir, Some(TYPE), flags, Some(options.as_str()))?;
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    let session = Session::from_fd(Server(Arc::clone(volume)), fuse, SessionACL::All, config)
        .and_then(Session::spawn);
    session.inspect_err(|_| {
        // What was tried is already an error.
        let _ = detach(dir);
    })
}

/// Takes the mount out of sight at once; it ends when nobody has anything open on it.
fn detach(dir: &Path) -> io::Result<()> {
    Ok(umount2(dir, MntFlags::MNT_DETACH)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn only_our_mounts_are_found() {
        let mountinfo = r"29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
41 29 0:40 / /var/lib/a\040b\134 rw,nosuid,nodev - fuse.keelhaul keelhaul rw,user_id=0
42 29 0:41 / /mnt/other rw - fuse.sshfs host: rw
43 29 0:42 / /mnt/fuse.keelhaul rw - tmpfs keelhaul rw
";
        assert_eq!(super::mounted_disks(mountinfo), [Path::new(r"/var/lib/a b\")]);
    }
}
