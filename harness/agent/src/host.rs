//! An agent on a host that was there before it and will be there after it.
//!
//! In a node of its own an agent needs no care: when it ends, the kernel takes the node away. On a host three more things are done:
//! * one agent at a time: whoever serves holds a lock ([`LOCKS`]);
//! * a *lease*: a control node that is silent for too long counts as gone (`lease`);
//! * a *guard*: a second process that waits for the agent and undoes what it left, if it was killed. When the guard is killed
//!   too, [`clean`] does the same for whoever asks: a file ([`TOKEN`]) holds the token that marks all processes of the agent.
//!
//! What is undone is ours and nothing else: processes that carry the token, the packet filter tables `inet keelhaul` and `ip keelhaul-shape`, mounts of our
//! disks that nobody serves, control groups that bear the token, and what was done to the clock, which a file of its own tells (`clock`).
//! After a reboot there is nothing to undo, and `/run` is empty.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::Command as Process;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};

use crate::serve::{Circumstances, LOG_DIR, ServeError, serve_with, uncut};
use crate::{clock, freezer, procfs};

/// Held by the guard and by the agent; who has both may serve a host.
pub const LOCKS: [&str; 2] = ["/run/keelhaul/guard.lock", "/run/keelhaul/agent.lock"];
/// Exists while there may be something to undo.
pub const TOKEN: &str = "/run/keelhaul/agent.token";
/// The word by which the guard starts the agent.
pub(crate) const GUARDED: &str = "guarded";
/// The variable that all processes of an agent carry.
const MARK: &str = "KEELHAUL_AGENT";
/// How long killed processes may take to be gone: they may wait for a slow disk.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// How an agent on a host is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostArgs {
    /// How long the control node may be silent.
    pub lease: Duration,
    /// The words that start this program; empty if its executable alone does.
    pub own_program: Vec<String>,
}

/// What [`clean`] found and undid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Whether an agent had left anything to look for.
    pub found: bool,
    /// Processes that were killed.
    pub processes: usize,
}

impl Cleaned {
    /// What was done, for people.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self { found: false, .. } => "nothing was left behind".into(),
            Self { processes, .. } => {
                format!(
                    "{processes} processes were killed, and all packet filter rules and disks of ours removed, and the clock is as it was"
                )
            }
        }
    }
}

/// Guards an agent that serves standard input and output; returns when it has ended and nothing of it is left.
///
/// # Errors
/// If another agent serves this host, the agent could not be started, or what it left could not be undone.
pub fn guard(args: &HostArgs) -> io::Result<()> {
    // A session of its own: signals to a terminal's group are for others.
    let _ = setsid();
    let _lock = lock_both()?;
    let token = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
    if let Some(before) = read_token()? {
        undo(&before)?;
    }
    fs::write(TOKEN, &token)?;
    let mut agent = match args.own_program.as_slice() {
        [program, words @ ..] => {
            let mut agent = Process::new(program);
            agent.args(words);
            agent
        }
        [] => Process::new("/proc/self/exe"),
    };
    agent.arg("agent").arg(GUARDED).args([&token, &args.lease.as_millis().to_string()]);
    agent.args(&args.own_program);
    let status = agent.status()?;
    if !status.success() {
        eprintln!("the agent ended with {status}: undoing what it left");
        undo(&token)?;
    }
    fs::remove_file(TOKEN)
}

/// The agent that a guard waits for; `words` are those that [`guard`] gave it after `guarded`.
///
/// # Errors
/// As [`crate::serve`]; without the words, that they are missing.
pub fn serve_guarded(words: &[String]) -> Result<(), ServeError> {
    let missing = || ServeError::System {
        what: "understand how the agent was started",
        source: io::Error::from(io::ErrorKind::InvalidInput),
    };
    let [token, lease_ms, own_program @ ..] = words else { return Err(missing()) };
    let lease = lease_ms.parse().map(Duration::from_millis).map_err(|_| missing())?;
    let _lock = lock(LOCKS[1])
        .map_err(|source| ServeError::System { what: "become this host's agent", source })?;
    let circumstances = Circumstances {
        log_dir: LOG_DIR.into(),
        lease: Some(lease),
        own_program: own_program.to_vec(),
        mark: Some((MARK.into(), token.clone())),
    };
    serve_with(&circumstances, io::stdin(), io::stdout())
}

/// Undoes what an agent left that was killed together with its guard.
///
/// # Errors
/// If an agent serves this host, or something could not be undone.
pub fn clean() -> io::Result<Cleaned> {
    let _lock = lock_both()?;
    let Some(token) = read_token()? else { return Ok(Cleaned::default()) };
    let processes = undo(&token)?;
    fs::remove_file(TOKEN)?;
    Ok(Cleaned { found: true, processes })
}

/// What an agent left that was killed together with its guard, if anything.
///
/// # Errors
/// If an agent serves this host.
pub(crate) fn leftovers() -> io::Result<Option<String>> {
    let _lock = lock_both()?;
    let Some(token) = read_token()? else { return Ok(None) };
    let processes = procfs::carriers(MARK, &token).len();
    Ok(Some(format!("an agent was killed here, and {processes} processes of it are still there")))
}

/// Takes the guard's lock, once nobody has the agent's.
fn lock_both() -> io::Result<Flock<File>> {
    let guard = lock(LOCKS[0])?;
    // An agent that outlived its guard has the other one.
    lock(LOCKS[1])?;
    Ok(guard)
}

/// Takes a lock, and writes into it who has it.
fn lock(path: &str) -> io::Result<Flock<File>> {
    fs::create_dir_all(Path::new(path).parent().unwrap_or(Path::new("/")))?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut lock =
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, errno)| {
            let mut holder = String::new();
            // Who it is helps; that somebody has it is what matters.
            let _ = file.read_to_string(&mut holder);
            let sentence = format!("another agent serves this host: process {}", holder.trim());
            io::Error::new(io::Error::from(errno).kind(), sentence)
        })?;
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(lock)
}

fn read_token() -> io::Result<Option<String>> {
    match fs::read_to_string(TOKEN) {
        Ok(token) if token.is_empty() => Ok(None),
        Ok(token) => Ok(Some(token)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Kills every process that carries the token and removes our packet filter tables and dead disks; answers how many processes there were.
fn undo(token: &str) -> io::Result<usize> {
    let uncut = uncut();
    let right = clock::restore();
    let deadline = Instant::now() + KILL_PATIENCE;
    let mut killed = std::collections::BTreeSet::new();
    loop {
        let carriers = procfs::carriers(MARK, token);
        if carriers.is_empty() {
            // Last: who had something open there is gone.
            let detached = crate::disk::detach_dead_disks();
            freezer::remove_leftovers(token)?;
            uncut?;
            right?;
            detached?;
            return Ok(killed.len());
        }
        if Instant::now() > deadline {
            let message = format!("processes {carriers:?} do not end although they are killed");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        for pid in carriers {
            // One that is gone already is what we want.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            killed.insert(pid);
        }
        thread::sleep(LOOK_INTERVAL);
    }
}
