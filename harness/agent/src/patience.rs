//! Waiting until something that was set going shows.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take. SIGKILL, SIGSTOP and the freezer wait only for system calls that cannot be interrupted, such as an
/// fsync on a slow disk.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Looks again and again until it holds or patience is over.
pub(crate) fn eventually(mut holds: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(true)
}
