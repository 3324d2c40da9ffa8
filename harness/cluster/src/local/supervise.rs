//! Waiting for a child while passing signals on: what the outer process and the inner PID 1 do for the whole run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What ends a run when somebody asks for it.
const STOP_SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// [`STOP_SIGNALS`] without the hangup when whoever started us made us ignore it, as `nohup` does. An interrupt counts even when a
/// script's shell made its background job ignore it: somebody who sends it to us means us.
pub(super) fn stop_signals() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let hangup_ignored = ignored >> (Signal::SIGHUP as u32 - 1) & 1 == 1;
    STOP_SIGNALS.into_iter().filter(|signal| *signal != Signal::SIGHUP || !hangup_ignored).collect()
}

/// Signals so soon after the first are the same wish: `timeout` and shells signal a process and its group.
const SAME_WISH: Duration = Duration::from_millis(300);

/// Blocks the signals that [`Supervisor::wait`] takes; before the child exists, so that none is missed.
pub(crate) struct Supervisor {
    signals: SignalFd,
    first_stop: Option<Instant>,
    impatient: bool,
}

impl Supervisor {
    /// `impatient`: a second wish to stop kills the child.
    pub fn new(impatient: bool) -> io::Result<Self> {
        let mut mask = SigSet::empty();
        for signal in stop_signals().into_iter().chain([Signal::SIGCHLD]) {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { signals, first_stop: None, impatient })
    }

    /// Waits for `child`, reaping every other child too, and answers its exit code (128 and the signal when one ended it). When
    /// `lifeline` closes, nobody waits for us any more: answers at once.
    pub fn wait(mut self, child: Pid, lifeline: Option<BorrowedFd<'_>>) -> io::Result<u8> {
        loop {
            let mut watched = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            watched.extend(lifeline.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            match poll(&mut watched, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                other => other?,
            };
            if watched.get(1).and_then(PollFd::any).unwrap_or(false) {
                return Ok(exit_code_of_signal(Signal::SIGKILL as i32));
            }
            while let Some(info) = self.signals.read_signal()? {
                self.pass_on(&info, child);
            }
            if let Some(code) = reap(child)? {
                return Ok(code);
            }
        }
    }

    fn pass_on(&mut self, info: &siginfo, child: Pid) {
        let Some(signal) = STOP_SIGNALS.into_iter().find(|s| *s as u32 == info.ssi_signo) else {
            return;
        };
        let again = self.first_stop.is_some_and(|first| first.elapsed() > SAME_WISH);
        self.first_stop.get_or_insert_with(Instant::now);
        // An interrupt from the terminal's keyboard goes to the child as well, since we share a process group; a hangup comes to
        // the leader of the session alone.
        let from_keyboard = signal == Signal::SIGINT && info.ssi_code == libc::SI_KERNEL;
        let signal = match (again && self.impatient, from_keyboard) {
            (true, _) => Signal::SIGKILL,
            (false, true) => return,
            (false, false) => signal,
        };
        // A child that has just ended is reaped next.
        let _ = kill(child, signal);
    }
}

/// Takes all ended children; the code of `child` when it is among them.
fn reap(child: Pid) -> io::Result<Option<u8>> {
    let mut code = None;
    loop {
        let (pid, ended) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => {
                (pid, u8::try_from(status & 0xff).unwrap_or(u8::MAX))
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, exit_code_of_signal(signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return Ok(code),
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(e) => return Err(e.into()),
        };
        if pid == child {
            code = Some(ended);
        }
    }
}

/// As shells have it.
fn exit_code_of_signal(signal: i32) -> u8 {
    128u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}
