//! Whether the kernel lets us do something to packets: tried where nobody's packets are, and nothing is left of it.

use std::io;
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Tries it in a network namespace of a thread's own.
pub(crate) fn in_own_network(trial: fn() -> io::Result<()>) -> io::Result<()> {
    let trial = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        trial()
    });
    trial.join().unwrap_or_else(|_| Err(io::Error::other("the trial panicked")))
}
