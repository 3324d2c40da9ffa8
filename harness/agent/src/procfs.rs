//! What `/proc` says of processes: who belongs to a daemon, and who is stopped.
//!
//! A process belongs to a daemon when it descends from this agent and carries the daemon's marker variable, is in its process
//! group, or is a child of one that belongs. The marker finds those that left the group and whose parents are gone (the agent
//! adopts them); a program that clears its environment and leaves the group and its parents is lost to us.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The variable that every process of a daemon inherits; its value is the daemon's name.
pub(crate) const MARKER: &str = "KEELHAUL_DAEMON";

/// One process as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub state: u8,
}

impl Stat {
    /// Ended, though its parent has not asked how.
    fn is_dead(self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in brackets and may itself hold brackets and blanks.
    let (head, tail) = (text.split(' ').next()?, &text[text.rfind(')')? + 1..]);
    let mut fields = tail.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let mut number = || fields.next()?.parse().ok();
    Some(Stat { pid: head.parse().ok()?, state, parent: number()?, group: number()? })
}

/// All processes, by pid, dead ones left out.
fn scan() -> BTreeMap<i32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| parse_stat(&fs::read_to_string(entry.path().join("stat")).ok()?))
        .filter(|stat| !stat.is_dead())
        .map(|stat| (stat.pid, stat))
        .collect()
}

/// Every process in `all` that one of `roots` began, directly or not; the roots themselves are in only when their parents are.
fn descendants(all: &BTreeMap<i32, Stat>, roots: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    loop {
        let more: Vec<i32> = all
            .values()
            .filter(|s| {
                (roots.contains(&s.parent) || found.contains(&s.parent)) && !found.contains(&s.pid)
            })
            .map(|s| s.pid)
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Every living process that this one began, directly or not.
pub(crate) fn own_descendants() -> BTreeSet<i32> {
    descendants(&scan(), &BTreeSet::from([own_pid()]))
}

/// Every living process of the daemon of this name whose first process is or was `leader`.
pub(crate) fn members(name: &str, leader: i32) -> BTreeSet<i32> {
    let all = scan();
    let ours = descendants(&all, &BTreeSet::from([own_pid()]));
    let roots: BTreeSet<i32> = ours
        .iter()
        .filter(|pid| match marker_of(**pid) {
            Some(marker) => marker == name.as_bytes(),
            None => all[pid].group == leader,
        })
        .copied()
        .collect();
    let below = descendants(&all, &roots);
    roots.into_iter().chain(below).filter(|pid| ours.contains(pid)).collect()
}

/// Whether a process that this one began, directly or not, is just becoming another program: until it is one, its environment is empty, and nothing
/// says whose it is.
pub(crate) fn someone_begins() -> bool {
    let is_empty = |pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| all.is_empty());
    own_descendants().into_iter().any(is_empty)
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

fn marker_of(pid: i32) -> Option<Vec<u8>> {
    variable_of(pid, MARKER)
}

/// The value of a variable with which a process was started.
fn variable_of(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variable =
        |entry: &[u8]| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
    environment.split(|&b| b == 0).find_map(variable)
}

/// Every living process on this host that was started with this variable.
pub(crate) fn carriers(name: &str, value: &str) -> BTreeSet<i32> {
    let carries = |pid: &i32| variable_of(*pid, name).as_deref() == Some(value.as_bytes());
    scan().into_keys().filter(carries).collect()
}

/// Whether no thread of the process can run a single instruction of its program before somebody lets it: all are stopped, or will
/// stop before they leave the kernel, or it is gone.
///
/// The second case is not a detail: a process that is stopped between `vfork` and its child's `execve`, as shells often are,
/// waits in the kernel for a child that is stopped too, and will not show as stopped however long one looks.
pub(crate) fn is_stopped(pid: i32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    let states: Vec<u8> = tasks
        .flatten()
        .filter_map(|task| parse_stat(&fs::read_to_string(task.path().join("stat")).ok()?))
        .filter(|stat| !stat.is_dead())
        .map(|stat| stat.state)
        .collect();
    let stopped = |state: &u8| matches!(state, b'T' | b't');
    let in_kernel = |state: &u8| *state == b'D';
    if !states.iter().all(|state| stopped(state) || in_kernel(state)) {
        return false;
    }
    // One stopped thread means that the signal has reached the whole process; else it may be waiting.
    states.iter().any(stopped) || states.is_empty() || is_stop_pending(pid)
}

/// Whether a SIGSTOP waits to be taken.
fn is_stop_pending(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let waiting = |line: &str| {
        let mask = line.strip_prefix("ShdPnd:").or_else(|| line.strip_prefix("SigPnd:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    status.lines().filter_map(waiting).any(|mask| mask >> (libc::SIGSTOP - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::{Stat, descendants, parse_stat};
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn a_name_with_brackets_is_skipped() {
        let stat = Stat { pid: 42, parent: 7, group: 40, state: b'T' };
        assert_eq!(parse_stat("42 (a) R (b)) T 7 40 40 0 -1"), Some(stat));
        assert_eq!(parse_stat("42 nonsense"), None);
    }

    #[test]
    fn descendants_follow_parents() {
        let all: BTreeMap<i32, Stat> = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 9)]
            .map(|(pid, parent)| (pid, Stat { pid, parent, group: pid, state: b'S' }))
            .into();
        assert_eq!(descendants(&all, &BTreeSet::from([2])), BTreeSet::from([3, 4]));
        assert_eq!(descendants(&all, &BTreeSet::from([1])), BTreeSet::from([2, 3, 4, 5]));
    }
}
