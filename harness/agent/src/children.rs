//! Starting processes and learning how they end.
//!
//! The agent reaps every child of this process: those it started, whose end it remembers, and those it adopted (it is the
//! subreaper of all that descend from it, or PID 1). So nothing else in the process may wait for children.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command as Process};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::request::{Exit, SELF_EXE};

/// What a process finds in its environment when nothing else is asked: enough for a package's scripts, and the same on
/// every host, whatever the agent itself was started with.
const BASE_ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
];

/// The children of this process.
#[derive(Debug)]
pub(crate) struct Children {
    /// How each watched child ended, `None` while it lives.
    watched: Mutex<BTreeMap<i32, Option<Exit>>>,
    /// A child was started, or ended.
    changed: Condvar,
    /// The words that start this program again; empty if its executable alone does.
    own_program: Vec<String>,
    /// A variable that every child gets.
    mark: Option<(String, String)>,
}

impl Children {
    /// Begins to reap, on a thread that lives as long as the process.
    pub fn adopt(
        own_program: Vec<String>,
        mark: Option<(String, String)>,
    ) -> io::Result<Arc<Self>> {
        nix::sys::prctl::set_child_subreaper(true)?;
        let (watched, changed) = (Mutex::default(), Condvar::new());
        let children = Arc::new(Self { watched, changed, own_program, mark });
        let reaper = Arc::clone(&children);
        thread::Builder::new().name("reaper".into()).spawn(move || reaper.reap())?;
        Ok(children)
    }

    /// Starts a process in a group of its own and watches it.
    pub fn spawn(&self, command: &mut Process) -> io::Result<Child> {
        // The lock is held so that the reaper cannot meet the child's end before it is watched.
        let mut watched = self.lock();
        let child = std::os::unix::process::CommandExt::process_group(command, 0).spawn()?;
        watched.insert(pid_of(&child), None);
        self.changed.notify_all();
        Ok(child)
    }

    /// How a watched child ended; `None` while it lives.
    pub fn exit(&self, pid: i32) -> Option<Exit> {
        self.lock().get(&pid).copied().flatten()
    }

    /// Waits until a watched child ends, at most so long.
    pub fn wait(&self, pid: i32, patience: Duration) -> Option<Exit> {
        let deadline = Instant::now() + patience;
        let mut watched = self.lock();
        loop {
            if let Some(exit) = watched.get(&pid).copied().flatten() {
                return Some(exit);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            watched =
                self.changed.wait_timeout(watched, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forgets a child whose end nobody will ask for any more.
    pub fn forget(&self, pid: i32) {
        self.lock().remove(&pid);
    }

    /// A process ready to be started: program, arguments, environment and directory, but no streams.
    pub fn prepare(
        &self,
        argv: &[String],
        env: &[(String, String)],
        cwd: Option<&str>,
    ) -> io::Result<Process> {
        let (program, arguments) = argv
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program is named"))?;
        let mut process = if program == SELF_EXE { self.own() } else { Process::new(program) };
        process
            .args(arguments)
            .env_clear()
            .envs(BASE_ENVIRONMENT)
            .envs(self.mark.iter().map(|(k, v)| (k, v)))
            .envs(env.iter().map(|(k, v)| (k, v)));
        process.current_dir(cwd.unwrap_or("/"));
        Ok(process)
    }

    /// This program, without arguments of its own.
    fn own(&self) -> Process {
        if let [program, words @ ..] = self.own_program.as_slice() {
            let mut process = Process::new(program);
            process.args(words);
            return process;
        }
        let mut process = Process::new("/proc/self/exe");
        std::os::unix::process::CommandExt::arg0(&mut process, "keelhaul");
        process
    }

    fn reap(&self) {
        loop {
            // Only looks: the child is taken under the lock, when whoever started it has had time to watch it.
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => {
                    let mut watched = self.lock();
                    if let Some(pid) = status.pid()
                        && let Ok(status) = waitpid(pid, Some(WaitPidFlag::WNOHANG))
                    {
                        record(&mut watched, pid, status);
                        self.changed.notify_all();
                    }
                }
                Err(nix::Error::ECHILD) => {
                    // The lock is taken before looking again, so a child started in between is not missed.
                    let watched = self.lock();
                    if !watched.values().any(Option::is_none) {
                        drop(self.changed.wait(watched));
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Option<Exit>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(watched: &mut BTreeMap<i32, Option<Exit>>, pid: Pid, status: WaitStatus) {
    let exit = match status {
        WaitStatus::Exited(_, code) => Exit::Code(code),
        WaitStatus::Signaled(_, signal, _) => Exit::Signal(signal as i32),
        _ => return,
    };
    if let Some(entry) = watched.get_mut(&pid.as_raw()) {
        *entry = Some(exit);
    }
}

/// A child's pid as the kernel's own calls want it.
pub(crate) fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("the kernel's pids are positive 32-bit numbers")
}
