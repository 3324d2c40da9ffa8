//! Entering the namespaces that hold a whole run.
//!
//! Three processes, all this program:
//! * the *outer* one, which the user started, stays where it is, and only waits and passes signals on;
//! * *init*, PID 1 inside, which holds the namespaces, reaps orphans, and ends when the outer one does;
//! * the *control* process, init's child, which returns from [`enter`] and performs the run.
//!
//! When any of the three ends, however, the kernel ends the rest: init dies with its parent (`PR_SET_PDEATHSIG`, and a pipe whose other
//! end is the outer process' alone), every process inside dies with init, and interfaces, mounts and rules go with the namespaces.
//!
//! The control process keeps the terminal, the working directory, the environment and the arguments; only `/proc` is new.
//!
//! Root gets the same namespaces, but keeps all user ids that it has; others are root inside, and nobody else.

use std::env;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getegid, geteuid, getpid, pipe2};

use super::namespace::{Program, spawn};
use super::remedy;
use super::supervise::Supervisor;

/// Tells init that it is init, and which descriptor is its lifeline.
const INIT_VARIABLE: &str = "KEELHAUL_INIT";
/// Tells the control process that it is inside: the name of its pid namespace, so that the variable means nothing elsewhere.
const INSIDE_VARIABLE: &str = "KEELHAUL_INSIDE";

/// The namespaces of a run.
pub(super) fn run_namespaces() -> CloneFlags {
    CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
}

/// What [`enter`] came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Entered {
    /// This process is the control process inside the namespaces: go on with the run.
    Inside,
    /// This process only waited for the one inside, which is over: end with this exit code at once.
    Done(u8),
}

/// Why the namespaces could not be entered; each says what would help.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}; {remedy}")]
pub struct EnterError {
    /// What was tried.
    pub what: &'static str,
    /// What the kernel said.
    pub source: io::Error,
    /// What to do about it, one sentence.
    pub remedy: String,
}

/// Moves the program into its own user, mount, network, pid, uts and ipc namespaces. Call it first in `main`, before
/// any thread; it executes the program anew, with the same arguments, up to this same call.
///
/// Inside, `SIGINT`, `SIGTERM` and `SIGHUP` arrive as usual, once a wish; a second wish kills the run from outside.
pub fn enter() -> Result<Entered, EnterError> {
    if is_inside() {
        // Init waits for signals with all of them blocked, and a child inherits that.
        let unblocked = SigSet::empty().thread_set_mask();
        let remedy = String::from("report it: this never fails on Linux");
        return unblocked.map(|()| Entered::Inside).map_err(|e| EnterError {
            what: "take signals again",
            source: e.into(),
            remedy,
        });
    }
    match env::var(INIT_VARIABLE).ok().filter(|_| getpid() == Pid::from_raw(1)) {
        Some(lifeline) => init(&lifeline).map(Entered::Done),
        None => outer().map(Entered::Done),
    }
}

/// Whether this process is the control process that [`enter`] made.
#[must_use]
pub fn is_inside() -> bool {
    matches!((env::var_os(INSIDE_VARIABLE), pid_namespace()), (Some(name), Ok(own)) if name == own)
}

fn pid_namespace() -> io::Result<std::ffi::OsString> {
    fs::read_link("/proc/self/ns/pid").map(Into::into)
}

/// The outer process: makes the namespaces, starts init in them, and waits.
fn outer() -> Result<u8, EnterError> {
    let failed = |what| {
        move |source: io::Error| EnterError { what, remedy: remedy::of_namespaces(&source), source }
    };
    let supervisor = Supervisor::new(true).map_err(failed("wait for signals"))?;
    // Its writing end is kept by this process alone, so the reading end reports when this process is gone.
    let (lifeline, _ours) = pipe2(OFlag::O_CLOEXEC).map_err(|e| failed("make a pipe")(e.into()))?;
    let argv: Vec<CString> = env::args_os().map(|a| c_string(a.into_vec())).collect();
    let mut env: Vec<CString> = env::vars_os().map(|(k, v)| variable(&k, &v)).collect();
    env.push(variable(OsStr::new(INIT_VARIABLE), OsStr::new(&lifeline.as_raw_fd().to_string())));
    let kept = Some(std::os::fd::AsFd::as_fd(&lifeline));
    let program = Program { argv: &argv, env: &env, streams: [None; 3], kept };
    let gated = spawn(run_namespaces(), &program).map_err(failed("make namespaces"))?;
    map_identities(gated.pid()).map_err(failed("map user ids into the namespaces"))?;
    let init = gated.open().map_err(failed("start inside the namespaces"))?;
    drop(lifeline);
    supervisor.wait(init, None).map_err(failed("wait for the run"))
}

/// Init: dies with the outer process, mounts its own `/proc`, starts the control process, and waits.
fn init(lifeline: &str) -> Result<u8, EnterError> {
    let failed = |what| {
        move |source: io::Error| EnterError { what, remedy: remedy::of_mounts(&source), source }
    };
    let lifeline = lifeline_of(lifeline).map_err(failed("find the outer process"))?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|e| failed("die with the outer process")(e.into()))?;
    // If it was gone before we asked for that, the lifeline says so.
    if is_closed(&lifeline).map_err(failed("look for the outer process"))? {
        return Ok(0);
    }
    // The name of the program, as tools show it, would else be that of the link it was executed through.
    let _ = nix::sys::prctl::set_name(c"keelhaul-init");
    private_mounts().map_err(failed("separate the mounts"))?;
    mount_proc("/proc").map_err(failed("mount /proc in a pid namespace"))?;
    let supervisor = Supervisor::new(false).map_err(failed("wait for signals"))?;
    let mut argv = env::args_os();
    let mut control = Command::new("/proc/self/exe");
    control.arg0(argv.next().unwrap_or_default()).args(argv).env_remove(INIT_VARIABLE);
    control.env(INSIDE_VARIABLE, pid_namespace().map_err(failed("name the pid namespace"))?);
    let control = control.spawn().map_err(failed("start the control process"))?;
    let pid = i32::try_from(control.id()).expect("the kernel's pids are positive 32-bit numbers");
    supervisor
        .wait(Pid::from_raw(pid), Some(std::os::fd::AsFd::as_fd(&lifeline)))
        .map_err(failed("wait for the control process"))
}

/// Keeps what is mounted from now on inside, and what the host mounts from now on outside.
pub(crate) fn private_mounts() -> io::Result<()> {
    Ok(mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?)
}

/// Mounts a `/proc` of this process' pid namespace.
pub(crate) fn mount_proc(target: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), target, Some("proc"), flags, None::<&str>)?)
}

/// Owns the inherited descriptor, and keeps it from being inherited further.
fn lifeline_of(number: &str) -> io::Result<OwnedFd> {
    let number = number.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    #[expect(unsafe_code, reason = "an inherited descriptor is known by its number only")]
    // SAFETY: the outer process left this descriptor open for us, nothing else in this process knows of it, and it is
    // borrowed only for the duplication.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    let own = inherited.try_clone_to_owned()?;
    nix::unistd::close(number)?;
    Ok(own)
}

/// Whether the other end of a pipe is closed.
fn is_closed(fd: &OwnedFd) -> io::Result<bool> {
    let mut watched = [PollFd::new(std::os::fd::AsFd::as_fd(fd), PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::ZERO)?;
    Ok(watched[0].any().unwrap_or(false))
}

/// Root keeps every id that it has; anybody else becomes root inside.
pub(crate) fn map_identities(child: Pid) -> io::Result<()> {
    if geteuid().is_root() {
        let all = |kind: &str| {
            fs::read_to_string(format!("/proc/self/{kind}")).map(|text| identity_map(&text))
        };
        fs::write(format!("/proc/{child}/uid_map"), all("uid_map")?)?;
        return fs::write(format!("/proc/{child}/gid_map"), all("gid_map")?);
    }
    // Without privilege only one's own ids may be mapped, and only after giving up changes of groups.
    fs::write(format!("/proc/{child}/setgroups"), "deny")?;
    fs::write(format!("/proc/{child}/uid_map"), format!("0 {} 1\n", geteuid()))?;
    fs::write(format!("/proc/{child}/gid_map"), format!("0 {} 1\n", getegid()))
}

/// Maps every id of this namespace to itself; `own` is this namespace's own map: lines of first id inside, first id outside,
/// count.
fn identity_map(own: &str) -> String {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (first, count) = (fields.next()?, fields.nth(1)?);
        Some(format!("{first} {first} {count}\n"))
    };
    own.lines().filter_map(line).collect()
}

fn variable(name: &OsStr, value: &OsStr) -> CString {
    c_string([name.as_bytes(), b"=", value.as_bytes()].concat())
}

fn c_string(bytes: Vec<u8>) -> CString {
    CString::new(bytes).expect("arguments and variables of a process hold no zero byte")
}

#[cfg(test)]
mod tests {
    use super::identity_map;

    #[test]
    fn every_id_of_this_namespace_stays_itself() {
        let check = |own: &str, expected: &str| assert_eq!(identity_map(own), expected);
        check("         0          0 4294967295\n", "0 0 4294967295\n");
        check(" 0 1000 1\n 1 100000 65536\n", "0 0 1\n1 1 65536\n");
        check("", "");
    }
}
