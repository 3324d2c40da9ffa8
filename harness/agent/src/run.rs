//! Commands that run to their end, with their output captured.

use std::io::{self, Read, Write};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::children::{Children, pid_of};
use crate::request::{Command, Exit, Output};

/// How much of each output stream is kept: its beginning. The rest is read and dropped so that the command does not block.
const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// How long after a command's end its output may still come, from children that hold the stream open.
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);
/// How long a killed group may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Runs a command; an error only when it could not be started.
pub(crate) fn run(children: &Children, command: &Command) -> io::Result<Output> {
    let mut process = children.prepare(&command.argv, &command.env, command.cwd.as_deref())?;
    process.stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = children.spawn(process.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let pid = pid_of(&child);
    if let Some(mut stdin) = child.stdin.take() {
        let bytes = command.stdin.clone();
        // A command need not read its input: a broken pipe is its own business.
        thread::spawn(move || stdin.write_all(&bytes));
    }
    let stdout = capture(child.stdout.take());
    let stderr = capture(child.stderr.take());
    let timeout_ms =
        if command.timeout_ms == 0 { Command::TIMEOUT_MS_DEFAULT } else { command.timeout_ms };
    let status = children.wait(pid, Duration::from_millis(timeout_ms)).unwrap_or_else(|| {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        children.wait(pid, KILL_PATIENCE);
        Exit::TimedOut
    });
    children.forget(pid);
    let deadline = Instant::now() + DRAIN_PATIENCE;
    let (stdout, stdout_cut) = collect(&stdout, deadline);
    let (stderr, stderr_cut) = collect(&stderr, deadline);
    Ok(Output { status, stdout, stderr, stdout_cut, stderr_cut })
}

/// Reads a stream to its end on a thread of its own, in pieces.
fn capture(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut stream) = stream {
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                // Once nobody collects any more, the rest is still read: see KEPT_BYTES_MAX.
                let _ = sender.send(buffer[..length].to_vec());
            }
        });
    }
    receiver
}

/// What came until the stream's end or the deadline, at most what is kept, and whether that is not all.
fn collect(pieces: &Receiver<Vec<u8>>, deadline: Instant) -> (Vec<u8>, bool) {
    let mut kept: Vec<u8> = Vec::new();
    let mut cut = false;
    while let Ok(piece) = pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        let room = KEPT_BYTES_MAX - kept.len();
        cut |= piece.len() > room;
        kept.extend(&piece[..piece.len().min(room)]);
    }
    (kept, cut)
}
