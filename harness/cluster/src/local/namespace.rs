//! Starting this program again in namespaces of its own.
//!
//! The child is a copy of this process by `clone(2)`, as by `fork`, that waits at a *gate* until the parent has done what only
//! a parent can (identity maps, moving an interface), and then executes this program anew through `/proc/self/exe`, so that it
//! does not matter whether the file is visible or still exists.

use std::ffi::{CStr, CString, c_char};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, read, write};

/// This program, whatever became of its file.
const SELF: &CStr = c"/proc/self/exe";
/// The child runs little on it: a read, a few dup2, one exec.
const STACK_BYTES: usize = 256 * 1024;
/// Exit code of a child that could not execute.
const EXIT_NOT_EXECUTED: isize = 127;

/// What to start.
pub(crate) struct Program<'a> {
    /// Arguments, the name first.
    pub argv: &'a [CString],
    /// The whole environment.
    pub env: &'a [CString],
    /// Replacements for the three standard streams; the parent's own where absent.
    pub streams: [Option<BorrowedFd<'a>>; 3],
    /// A further descriptor that stays open across the execution.
    pub kept: Option<BorrowedFd<'a>>,
}

/// A child that waits at its gate. Dropping it unopened lets the child end.
#[derive(Debug)]
pub(crate) struct Gated {
    pid: Pid,
    gate: OwnedFd,
    failure: OwnedFd,
}

impl Gated {
    /// The child, as this process counts pids.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets the child go on, and waits until it executes the program.
    pub fn open(self) -> io::Result<Pid> {
        write(&self.gate, &[1])?;
        let mut error = Vec::new();
        std::fs::File::from(self.failure).read_to_end(&mut error)?;
        match error.first_chunk::<4>() {
            None => Ok(self.pid),
            Some(code) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(*code))),
        }
    }
}

/// Starts a program in new namespaces, at its gate.
pub(crate) fn spawn(flags: CloneFlags, program: &Program<'_>) -> io::Result<Gated> {
    let (gate_inner, gate) = pipe2(OFlag::O_CLOEXEC)?;
    let (failure, failure_inner) = pipe2(OFlag::O_CLOEXEC)?;
    // Made here, since the child must not allocate.
    let argv = pointers(program.argv);
    let env = pointers(program.env);
    let gate_number = gate.as_raw_fd();
    let child = || {
        // The copy of the parent's end would keep the gate from ever reporting that the parent is gone.
        let _ = nix::unistd::close(gate_number);
        match read(&gate_inner, &mut [0]) {
            Ok(1) => {}
            _ => return EXIT_NOT_EXECUTED,
        }
        let error = execute(program, &argv, &env);
        let _ = write(&failure_inner, &(error as i32).to_ne_bytes());
        EXIT_NOT_EXECUTED
    };
    let mut stack = vec![0; STACK_BYTES];
    #[expect(unsafe_code, reason = "there is no safe way to start a process in new namespaces")]
    // SAFETY: without CLONE_VM the child has its own copy of everything, as after fork(2). Other threads do not exist in
    // it, so it must not wait for what they hold: the closure neither allocates nor takes a lock, and ends in execve or
    // _exit. The stack outlives its use in the parent, which is none.
    let pid =
        unsafe { nix::sched::clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) }?;
    Ok(Gated { pid, gate, failure })
}

/// A list of strings as `execve` wants it.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// In the child: arranges descriptors and becomes the program. Returns only why it could not.
fn execute(program: &Program<'_>, argv: &[*const c_char], env: &[*const c_char]) -> nix::Error {
    if let Err(error) = arrange(program) {
        return error;
    }
    #[expect(
        unsafe_code,
        reason = "the safe wrapper allocates, which a copy of a process with threads must not"
    )]
    // SAFETY: both lists end with a null pointer, and the strings that they point to live in the parent's frame, of which
    // this process has a copy.
    unsafe {
        libc::execve(SELF.as_ptr(), argv.as_ptr(), env.as_ptr());
    }
    nix::Error::last()
}

fn arrange(program: &Program<'_>) -> nix::Result<()> {
    let [stdin, stdout, stderr] = program.streams;
    if let Some(fd) = stdin {
        dup2_stdin(fd)?;
    }
    if let Some(fd) = stdout {
        dup2_stdout(fd)?;
    }
    if let Some(fd) = stderr {
        dup2_stderr(fd)?;
    }
    if let Some(fd) = program.kept {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    // A parent that waits for signals has them blocked; that would be inherited.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}
