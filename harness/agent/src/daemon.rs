//! Daemons: programs that stay, with their logs, and what is done to them.
//!
//! Whatever is done is done to every process of a daemon ([`procfs::members`]), and is reported only when `/proc` shows it: a
//! killed daemon has no process left, a paused one no thread that could run.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::children::{Children, pid_of};
use crate::freezer::Freezer;
use crate::patience::{PATIENCE, eventually};
use crate::procfs::{self, MARKER};
use crate::program_clock::{self, ProgramClock, ProgramWish};
use crate::request::{Daemon, DaemonState, Exit};

/// So many looks, a tenth of a second or more, whoever is becoming another program has become it.
const BEGINNING_LOOKS: u32 = 50;
/// All daemons that this agent ever started.
#[derive(Debug)]
pub(crate) struct Daemons {
    children: Arc<Children>,
    log_dir: PathBuf,
    /// By which daemons are paused, where there is one; by signals elsewhere.
    freezer: Option<Freezer>,
    /// First process of the latest start of each.
    leaders: Mutex<BTreeMap<String, i32>>,
    /// What the clocks of each were told last.
    clocks: Mutex<BTreeMap<String, ProgramWish>>,
    /// Held while starting, so that two requests cannot start one daemon twice.
    starting: Mutex<()>,
}

impl Daemons {
    pub fn new(children: Arc<Children>, log_dir: PathBuf, freezer: Option<Freezer>) -> Self {
        let (leaders, clocks, starting) = Default::default();
        Self { children, log_dir, freezer, leaders, clocks, starting }
    }

    /// Starts a daemon. What an earlier start of the same name left running is ended first; a living one is an error.
    pub fn start(&self, daemon: &Daemon) -> io::Result<u32> {
        let name = checked_name(&daemon.name)?;
        let _one = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let DaemonState::Running { pid } | DaemonState::Paused { pid } = self.status(name) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("it runs already, as process {pid}"),
            ));
        }
        self.kill(name)?;
        fs::create_dir_all(&self.log_dir)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_dir.join(format!("{name}.log")))?;
        let mut process =
            self.children.prepare(&daemon.argv, &daemon.env, daemon.cwd.as_deref())?;
        process.env(MARKER, name).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = self.children.spawn(&mut process)?;
        if let Some(before) = self.lock().insert(name.to_owned(), pid_of(&child)) {
            self.children.forget(before);
        }
        self.let_obey(name, pid_of(&child))?;
        Ok(child.id())
    }

    /// Lets a daemon's clocks be what they were told last, if they ever were.
    fn let_obey(&self, name: &str, leader: i32) -> io::Result<()> {
        let told = self.told().get(name).copied();
        told.map_or(Ok(()), |told| {
            program_clock::tell(&self.children, &procfs::members(name, leader), told)
        })
    }

    /// Lets the clocks of a daemon's processes be so, and those of its later starts. A frozen one can be told nothing until it goes on.
    pub fn tell_clock(&self, name: &str, wish: ProgramWish) -> io::Result<()> {
        let _nobody_starts = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        self.told().insert(name.to_owned(), wish);
        match self.living(name) {
            Some(leader) if self.is_frozen(leader) => Ok(()),
            Some(leader) => self.let_obey(name, leader),
            None => Ok(()),
        }
    }

    /// What the clocks of a daemon's first process show.
    pub fn ask_clock(&self, name: &str) -> io::Result<ProgramClock> {
        let leader = self.living(name).ok_or_else(|| io::Error::other("it does not run"))?;
        if self.is_frozen(leader) {
            return Err(io::Error::other("it is paused"));
        }
        program_clock::read(&self.children, leader)
    }

    /// Lets all clocks be the machine's; the first error is told after trying all.
    pub fn right_clocks(&self) -> io::Result<()> {
        let names: Vec<String> = self.told().keys().cloned().collect();
        let right = |name: &String| {
            let steady = self.told().get(name).is_some_and(|told| told.steady);
            self.tell_clock(name, ProgramWish { steady, ..ProgramWish::default() })
        };
        names.iter().map(right).fold(Ok(()), Result::and)
    }

    /// What the kernel says of a daemon now.
    pub fn status(&self, name: &str) -> DaemonState {
        let Some(leader) = self.leader(name) else { return DaemonState::NotStarted };
        match self.children.exit(leader) {
            Some(exit) => exited(exit),
            None => {
                let members = procfs::members(name, leader);
                let paused =
                    members.contains(&leader) && members.iter().all(|&pid| self.is_still(pid));
                let pid = leader.unsigned_abs();
                if paused { DaemonState::Paused { pid } } else { DaemonState::Running { pid } }
            }
        }
    }

    /// Asks every process of a daemon to end; kills what is left after the grace.
    pub fn stop(&self, name: &str, grace: Duration) -> io::Result<DaemonState> {
        if let Some(leader) = self.leader(name) {
            let members = procfs::members(name, leader);
            signal_all(&members, Signal::SIGTERM);
            // A stopped process would not notice that it is asked.
            signal_all(&members, Signal::SIGCONT);
            self.thaw(name)?;
            self.children.wait(leader, grace);
        }
        self.kill(name)
    }

    /// Kills every process of a daemon and waits until none is left.
    pub fn kill(&self, name: &str) -> io::Result<DaemonState> {
        let Some(leader) = self.leader(name) else { return Ok(DaemonState::NotStarted) };
        let (mut empty_looks, mut sure_looks) = (0, 0);
        let gone = eventually(|| {
            let members = procfs::members(name, leader);
            signal_all(&members, Signal::SIGKILL);
            // Who is just becoming another program may be one of them, and may have become it before that is looked for: so two looks in a row
            // must agree. Who stays without an environment is none.
            let none = members.is_empty();
            empty_looks = if none { empty_looks + 1 } else { 0 };
            sure_looks = if none && !procfs::someone_begins() { sure_looks + 1 } else { 0 };
            Ok(sure_looks >= 2 || empty_looks > BEGINNING_LOOKS)
        })?;
        if !gone {
            return Err(still_there("killed", &procfs::members(name, leader)));
        }
        // Who is killed ends also while frozen; what is left is an empty group.
        self.thaw(name)?;
        match self.children.wait(leader, PATIENCE) {
            Some(exit) => Ok(exited(exit)),
            None => Err(still_there("reaped", &[leader].into())),
        }
    }

    /// Stops every process of a daemon where it is and waits until none can run.
    pub fn pause(&self, name: &str) -> io::Result<DaemonState> {
        let Some(leader) = self.leader(name) else { return Ok(DaemonState::NotStarted) };
        if let Some(freezer) = &self.freezer {
            let frozen = freezer.freeze(name, || procfs::members(name, leader));
            // What is paused in part only is not left so.
            let settled = frozen.or_else(|error| freezer.thaw(name).and(Err(error)));
            return settled.map(|()| self.status(name));
        }
        // Two looks in a row must agree: a process that was running during the first may have forked behind its back.
        let mut before = None;
        let stopped = eventually(|| {
            let members = procfs::members(name, leader);
            let still = members.iter().all(|&pid| procfs::is_stopped(pid));
            if !still {
                signal_all(&members, Signal::SIGSTOP);
            }
            let settled = still && before.as_ref() == Some(&members);
            before = still.then_some(members);
            Ok(settled)
        })?;
        if stopped {
            Ok(self.status(name))
        } else {
            Err(still_there("paused", &procfs::members(name, leader)))
        }
    }

    /// Lets every process of a daemon go on and waits until none is stopped.
    pub fn resume(&self, name: &str) -> io::Result<DaemonState> {
        let Some(leader) = self.leader(name) else { return Ok(DaemonState::NotStarted) };
        let was_frozen = self.living(name).is_some_and(|leader| self.is_frozen(leader));
        self.thaw(name)?;
        if was_frozen {
            self.let_obey(name, leader)?;
        }
        let going = eventually(|| {
            let members = procfs::members(name, leader);
            let stopped =
                members.iter().copied().filter(|&pid| procfs::is_stopped(pid) && exists(pid));
            let stopped = stopped.collect();
            signal_all(&stopped, Signal::SIGCONT);
            Ok(stopped.is_empty())
        })?;
        if going {
            Ok(self.status(name))
        } else {
            Err(still_there("resumed", &procfs::members(name, leader)))
        }
    }

    /// Resumes every daemon that is stopped, as far as it goes; the first error is told after trying all.
    pub fn resume_all(&self) -> io::Result<()> {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        let mut result = Ok(());
        for name in names {
            if let Err(e) = self.resume(&name) {
                result = result.and(Err(e));
            }
        }
        result
    }

    /// Kills everything that this agent began, commands and strays included.
    pub fn kill_everything(&self) -> io::Result<()> {
        let gone = eventually(|| {
            let left = procfs::own_descendants();
            signal_all(&left, Signal::SIGKILL);
            Ok(left.is_empty())
        })?;
        if gone { Ok(()) } else { Err(still_there("killed", &procfs::own_descendants())) }
    }

    /// Takes away what daemons were paused by, when none is any more.
    pub fn close_freezer(&self) -> io::Result<()> {
        self.freezer.as_ref().map_or(Ok(()), Freezer::close)
    }

    fn thaw(&self, name: &str) -> io::Result<()> {
        self.freezer.as_ref().map_or(Ok(()), |freezer| freezer.thaw(name))
    }

    /// Whether a process cannot run, by signal or by the freezer.
    fn is_still(&self, pid: i32) -> bool {
        procfs::is_stopped(pid) || self.is_frozen(pid)
    }

    fn is_frozen(&self, pid: i32) -> bool {
        self.freezer.as_ref().is_some_and(|freezer| freezer.holds(pid))
    }

    /// The first process of a daemon, if it lives.
    fn living(&self, name: &str) -> Option<i32> {
        self.leader(name).filter(|leader| self.children.exit(*leader).is_none())
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<String, ProgramWish>> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leader(&self, name: &str) -> Option<i32> {
        self.lock().get(name).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, i32>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Pids = std::collections::BTreeSet<i32>;

fn signal_all(pids: &Pids, signal: Signal) {
    for &pid in pids {
        // One that has just ended is what most signals want anyway; the next look decides.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn exists(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

fn still_there(what: &str, pids: &Pids) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("processes {pids:?} are not {what} after {PATIENCE:?}"),
    )
}

fn exited(exit: Exit) -> DaemonState {
    match exit {
        Exit::Code(code) => DaemonState::Exited { code: Some(code), signal: None },
        Exit::Signal(signal) => DaemonState::Exited { code: None, signal: Some(signal) },
        Exit::TimedOut => DaemonState::Exited { code: None, signal: None },
    }
}

/// A name that is one plain file name, for the log.
fn checked_name(name: &str) -> io::Result<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && !name.starts_with('.') && name.chars().all(plain) {
        return Ok(name);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is not a plain name")))
}
