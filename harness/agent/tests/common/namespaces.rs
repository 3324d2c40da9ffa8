//! Namespaces of a process' own, in which it may mount.

use std::fs::{self, OpenOptions};
use std::io;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// User and mount namespaces of our own, with a trial whether FUSE can be used in them.
pub fn enter() -> io::Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1\n"))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let dir = tempfile::tempdir()?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&fuse);
    let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0");
    mount(Some("none"), dir.path(), Some("fuse"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(umount2(dir.path(), MntFlags::MNT_DETACH)?)
}
