//! Stops whole trees of processes where they are, by the kernel's freezer.
//!
//! A stopped process is noticed: by its parent, which is told, and by itself, which gets a signal when it goes on. A frozen one is not, and it can begin no process that is not frozen,
//! too. So on a host the processes of a daemon that is paused are put into a control group of ours, which is frozen, and put back where they were when they go on. That needs
//! version 2 of control groups, and that we may write there. Elsewhere, and in nodes that are namespaces, which would leave their group behind when they are killed, signals must do.
//!
//! Source: the kernel's documentation, *Control Group v2*, on `cgroup.procs`, `cgroup.freeze` and `cgroup.events`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::patience::{PATIENCE, eventually};

const PROCS: &str = "cgroup.procs";
const FREEZE: &str = "cgroup.freeze";
const KILL: &str = "cgroup.kill";
const EVENTS: &str = "cgroup.events";

/// The control groups of one agent.
#[derive(Debug)]
pub(crate) struct Freezer {
    /// Where the file system of control groups is mounted.
    mount: PathBuf,
    /// The group that holds one of each paused daemon, below that.
    own: PathBuf,
    /// Where frozen processes were before, below the mount.
    homes: Mutex<BTreeMap<i32, PathBuf>>,
}

impl Freezer {
    /// Makes the group of the agent with this token, if there is such a thing here and we may.
    pub fn open(token: &str) -> Option<Self> {
        let mount = mounted()?;
        let own = own_group(&mount, token);
        fs::create_dir_all(&own).ok()?;
        let freezer = Self { mount, own, homes: Mutex::default() };
        // Tried for real, on nobody.
        let tried = freezer.freeze("trial", BTreeSet::new).and_then(|()| freezer.thaw("trial"));
        match tried {
            Ok(()) => Some(freezer),
            Err(_) => {
                let _ = freezer.close();
                None
            }
        }
    }

    /// Freezes the processes of a daemon, those that it begins meanwhile included; returns when none can run.
    pub fn freeze(&self, name: &str, members: impl Fn() -> BTreeSet<i32>) -> io::Result<()> {
        let group = self.own.join(name);
        fs::create_dir_all(&group)?;
        fs::write(group.join(FREEZE), "1")?;
        let settled = eventually(|| {
            let inside = processes(&group)?;
            let outside: Vec<i32> = members().difference(&inside).copied().collect();
            for pid in &outside {
                self.take_in(&group, *pid)?;
            }
            Ok(outside.is_empty() && is_frozen(&group)?)
        })?;
        if settled { Ok(()) } else { Err(late(&group, "frozen")) }
    }

    /// Lets the processes of a daemon go on, where they were; nothing is done if they are not frozen.
    pub fn thaw(&self, name: &str) -> io::Result<()> {
        let group = self.own.join(name);
        if !group.exists() {
            return Ok(());
        }
        fs::write(group.join(FREEZE), "0")?;
        let gone = eventually(|| {
            for pid in processes(&group)? {
                let home = self.homes().remove(&pid).unwrap_or_default();
                let back = fs::write(self.mount.join(home).join(PROCS), pid.to_string());
                // Its group may be gone, or it itself.
                if back.is_err() {
                    let _ = fs::write(self.mount.join(PROCS), pid.to_string());
                }
            }
            // One that is about to end holds its group until it has.
            Ok(fs::remove_dir(&group).is_ok())
        })?;
        // Who has ended in the group has not been put back.
        self.homes().retain(|pid, _| Path::new(&format!("/proc/{pid}")).exists());
        if gone { Ok(()) } else { Err(late(&group, "empty")) }
    }

    /// Whether a process stands still in a frozen group of ours.
    pub fn holds(&self, pid: i32) -> bool {
        let group = group_of(pid).map(|group| self.mount.join(group));
        group
            .is_some_and(|group| group.starts_with(&self.own) && is_frozen(&group).unwrap_or(false))
    }

    /// Takes the agent's group away, in which nobody is any more.
    pub fn close(&self) -> io::Result<()> {
        remove(&self.own)
    }

    fn take_in(&self, group: &Path, pid: i32) -> io::Result<()> {
        // Who has ended meanwhile has no group, and needs none.
        let Some(home) = group_of(pid) else { return Ok(()) };
        match fs::write(group.join(PROCS), pid.to_string()) {
            Ok(()) => drop(self.homes().insert(pid, home)),
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn homes(&self) -> MutexGuard<'_, BTreeMap<i32, PathBuf>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes away what the agent with this token left; who is still in a group of it is killed.
pub(crate) fn remove_leftovers(token: &str) -> io::Result<()> {
    let Some(own) = mounted().map(|mount| own_group(&mount, token)) else { return Ok(()) };
    if !own.exists() {
        return Ok(());
    }
    // Since Linux 5.14; before, those that are known by their token have been killed already.
    let _ = fs::write(own.join(KILL), "1");
    for entry in fs::read_dir(&own)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    remove(&own)
}

/// Removes a group once those who were in it have ended.
fn remove(group: &Path) -> io::Result<()> {
    let gone = eventually(|| match fs::remove_dir(group) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(false),
        Err(e) => Err(e),
    })?;
    if gone { Ok(()) } else { Err(late(group, "empty")) }
}

fn own_group(mount: &Path, token: &str) -> PathBuf {
    mount.join(format!("keelhaul-{token}"))
}

/// Where the file system of control groups, version 2, is mounted.
fn mounted() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(at))
    };
    mounts.lines().find_map(fields)
}

/// The group of a process, below the mount.
fn group_of(pid: i32) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from(group))
}

fn processes(group: &Path) -> io::Result<BTreeSet<i32>> {
    let text = fs::read_to_string(group.join(PROCS))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn is_frozen(group: &Path) -> io::Result<bool> {
    Ok(fs::read_to_string(group.join(EVENTS))?.lines().any(|line| line == "frozen 1"))
}

fn late(group: &Path, what: &str) -> io::Error {
    let message = format!("{} is not {what} after {PATIENCE:?}", group.display());
    io::Error::new(io::ErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// A shell that begins process after process, and counts them.
    fn counter(dir: &Path) -> Child {
        let script =
            "i=0; while :; do i=$((i+1)); echo $i > \"$1/now\"; mv \"$1/now\" \"$1/count\"; done";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        shell.spawn().unwrap()
    }

    fn count(dir: &Path) -> u64 {
        let text = fs::read_to_string(dir.join("count")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn state(pid: i32) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat[stat.rfind(") ")? + 2..].chars().next()
    }

    #[test]
    fn a_tree_stands_still_unnoticed_and_goes_on_where_it_was() {
        let token = format!("test-{}", std::process::id());
        let Some(freezer) = Freezer::open(&token) else {
            eprintln!("SKIPPED: no control groups here that we may write to");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let mut shell = counter(dir.path());
        let pid = shell.id().cast_signed();
        let children = || {
            let file = format!("/proc/{pid}/task/{pid}/children");
            let text = fs::read_to_string(file).unwrap_or_default();
            let all = text.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([pid]);
            // One that has ended, which the shell has not asked about, is in no group.
            all.filter(|pid| state(*pid).is_some_and(|state| state != 'Z')).collect()
        };
        assert!(eventually(|| Ok(count(dir.path()) > 3)).unwrap());
        let home = group_of(pid);
        for _ in 0..5 {
            freezer.freeze("daemon", children).unwrap();
            assert!(freezer.holds(pid) && group_of(pid) != home);
            let before = count(dir.path());
            thread::sleep(Duration::from_millis(60));
            assert_eq!(count(dir.path()), before, "nobody of the tree runs");
            assert_ne!(state(pid), Some('T'), "no signal was sent");
            freezer.thaw("daemon").unwrap();
            assert!(!freezer.holds(pid) && group_of(pid) == home);
            assert!(eventually(|| Ok(count(dir.path()) > before)).unwrap());
        }
        // One that is killed while it is frozen leaves nothing behind.
        freezer.freeze("daemon", children).unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        remove_leftovers(&token).unwrap();
        assert!(!freezer.own.exists());
    }
}
