//! A process that stands still while something is done to it, and goes on afterwards as if nothing had been.
//!
//! Source: `ptrace(2)`, on `PTRACE_SEIZE` and on how system calls that were interrupted are begun again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use libc::user_regs_struct;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long all threads may take to stand still: one that waits for a stalled disk does not.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_micros(200);
/// What is used below a stack's end, and put back afterwards; a program may have used the 128 bytes next to the end without saying so.
const BELOW_STACK: u64 = 512;
/// Where in that the stack of a call ends, and where behind it the answer lies.
const STACK_AT: u64 = 256;
const ANSWER_AT: u64 = STACK_AT + 16;

/// A process all of whose threads stand still until this is dropped.
#[derive(Debug)]
pub(super) struct Tracee {
    pid: i32,
    memory: File,
    /// The threads, each with the signals that it was about to take.
    threads: BTreeMap<i32, Vec<Signal>>,
}

impl Tracee {
    /// Stops a process, with none of its threads about to execute anything in these ranges.
    pub(super) fn stop_outside(pid: i32, forbidden: &[Range<u64>]) -> io::Result<Self> {
        let mut tracee = Self::stop(pid)?;
        let deadline = Instant::now() + PATIENCE;
        let threads: Vec<i32> = tracee.threads.keys().copied().collect();
        for thread in threads {
            tracee.step_out(thread, forbidden, deadline)?;
        }
        Ok(tracee)
    }

    /// Lets a thread go on, an instruction at a time, while it is in these ranges. What is there calls nobody and waits for nothing, so it soon is not.
    fn step_out(
        &mut self,
        thread: i32,
        ranges: &[Range<u64>],
        deadline: Instant,
    ) -> io::Result<()> {
        let pid = Pid::from_raw(thread);
        loop {
            let at = ptrace::getregs(pid)?.rip;
            if !ranges.iter().any(|range| range.contains(&at)) {
                return Ok(());
            }
            ptrace::step(pid, None)?;
            if !self.wait(thread, deadline)? {
                self.threads.remove(&thread);
                return Ok(());
            }
        }
    }

    /// Stops a process.
    pub(super) fn stop(pid: i32) -> io::Result<Self> {
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        let mut tracee = Self { pid, memory, threads: BTreeMap::new() };
        let deadline = Instant::now() + PATIENCE;
        // Until a look finds no thread that is new: those that stand still begin none.
        while tracee.stop_new_threads(deadline)? {}
        if tracee.threads.is_empty() {
            return Err(io::Error::from(Errno::ESRCH));
        }
        Ok(tracee)
    }

    fn stop_new_threads(&mut self, deadline: Instant) -> io::Result<bool> {
        let mut found_new = false;
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))?.flatten() {
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if self.threads.contains_key(&thread) {
                continue;
            }
            match ptrace::seize(Pid::from_raw(thread), Options::empty()) {
                Ok(()) => {}
                // It has ended, or is about to.
                Err(_) if is_ending(self.pid, thread) => continue,
                Err(error) => return Err(error.into()),
            }
            // From here on it is let go when this is dropped.
            self.threads.insert(thread, Vec::new());
            found_new = true;
            match ptrace::interrupt(Pid::from_raw(thread)) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
            if !self.wait(thread, deadline)? {
                self.threads.remove(&thread);
            }
        }
        Ok(found_new)
    }

    /// Waits until a thread stands still; false if it ended.
    fn wait(&mut self, thread: i32, deadline: Instant) -> io::Result<bool> {
        loop {
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            match waitpid(Pid::from_raw(thread), Some(flags)) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(WaitStatus::Stopped(_, signal)) => {
                    if signal != Signal::SIGTRAP {
                        self.threads.entry(thread).or_default().push(signal);
                    }
                    return Ok(true);
                }
                Ok(WaitStatus::PtraceEvent(..)) => return Ok(true),
                Ok(_) | Err(Errno::ECHILD | Errno::ESRCH) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            if Instant::now() > deadline {
                let message = format!("thread {thread} of process {} does not stop", self.pid);
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    pub(super) fn read(&self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, address)?;
        Ok(bytes)
    }

    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.memory.write_all_at(bytes, address)
    }

    /// Lets one thread call `clock_gettime` at `function` for each of these clocks, by way of `ask`, which calls what rax points to and
    /// stops before `end`; answers what was shown, in nanoseconds. The others stand still, so nobody sees what lies below the stack meanwhile.
    pub(super) fn ask(
        &mut self,
        ask: Range<u64>,
        function: u64,
        clocks: &[u64],
    ) -> io::Result<Vec<u64>> {
        // One that is about to take a signal is left alone.
        let free = self.threads.iter().find(|(_, signals)| signals.is_empty());
        let thread = *free.ok_or_else(|| io::Error::from(Errno::EAGAIN))?.0;
        let before = ptrace::getregs(Pid::from_raw(thread))?;
        let below = before.rsp - BELOW_STACK;
        let kept = self.read(below, BELOW_STACK as usize)?;
        let call = user_regs_struct {
            // Else the kernel would begin an interrupted system call anew, in the midst of ours.
            orig_rax: u64::MAX,
            rip: ask.start,
            rax: function,
            rsi: below + ANSWER_AT,
            rsp: (below + STACK_AT) & !15,
            ..before
        };
        let mut shown = |clock: &u64| {
            self.run(thread, user_regs_struct { rdi: *clock, ..call }, ask.end)?;
            let answer = self.read(below + ANSWER_AT, 16)?;
            let (seconds, nanos) = answer.split_at(8);
            let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            Ok(number(seconds) * 1_000_000_000 + number(nanos))
        };
        let shown: io::Result<_> = clocks.iter().map(&mut shown).collect();
        if shown.is_err() {
            // It has not come to the end, and must not go on from where it is: somebody else keeps it from running, such as a freezer.
            self.halt(thread)?;
        }
        self.write(below, &kept)?;
        ptrace::setregs(Pid::from_raw(thread), before)?;
        shown
    }

    /// Lets a thread run with these registers until it traps at `end`. A signal that comes meanwhile waits.
    fn run(&mut self, thread: i32, registers: user_regs_struct, end: u64) -> io::Result<()> {
        let pid = Pid::from_raw(thread);
        ptrace::setregs(pid, registers)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            ptrace::cont(pid, None)?;
            if !self.wait(thread, deadline)? {
                self.threads.remove(&thread);
                return Err(io::Error::from(Errno::ESRCH));
            }
            if ptrace::getregs(pid)?.rip == end {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Stops a thread that was let run.
    fn halt(&mut self, thread: i32) -> io::Result<bool> {
        ptrace::interrupt(Pid::from_raw(thread))?;
        self.wait(thread, Instant::now() + PATIENCE)
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        for (thread, signals) in self.threads.clone() {
            let pid = Pid::from_raw(thread);
            let mut signals = signals.into_iter();
            let first = signals.next();
            // Only one that stands still can be let go, and one that was killed meanwhile need not be.
            if ptrace::detach(pid, first).is_err() && self.halt(thread).is_ok() {
                let _ = ptrace::detach(pid, first);
            }
            for signal in signals {
                let _ = kill(pid, signal);
            }
        }
    }
}

/// Whether a thread is gone, or will never run again.
fn is_ending(pid: i32, thread: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).unwrap_or_default();
    let state = stat.rfind(')').and_then(|name| stat.as_bytes().get(name + 2));
    state.is_none_or(|state| matches!(state, b'Z' | b'X'))
}
