//! Runs the program as a user does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The program under test.
pub const KEELHAUL: &str = env!("CARGO_BIN_EXE_keelhaul");

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `keelhaul` with these words in a directory, to its end.
pub fn keelhaul(dir: &Path, words: &str) -> Ended {
    let output = Command::new(KEELHAUL)
        .args(words.split_whitespace())
        .current_dir(dir)
        .env("CI", "true")
        .output()
        .expect("the program can be started");
    ended(&output)
}

pub fn ended(output: &Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Says that a test was left out. Past the test runner, which keeps what a passing test prints to itself.
pub fn skipped(why: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED {}: {why}",
        std::thread::current().name().unwrap_or("a test")
    );
}

/// How many clusters run at a time. One takes a third of a processor and mostly waits for its own time limit; many would
/// take each other's processor time, and a store that gets none makes no progress.
const MOST_CLUSTERS: usize = 3;

static CLUSTERS: Mutex<usize> = Mutex::new(0);
static ONE_ENDED: Condvar = Condvar::new();

/// Whoever failed while holding it has left nothing behind that could matter here.
fn clusters() -> MutexGuard<'static, usize> {
    CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leave to run a cluster, given back when dropped.
pub struct Leave;

impl Leave {
    fn wait() -> Self {
        let full = |running: &mut usize| *running == MOST_CLUSTERS;
        let running = ONE_ENDED.wait_while(clusters(), full);
        *running.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        *clusters() -= 1;
        ONE_ENDED.notify_one();
    }
}

/// Leave to run a cluster, where nodes can be started; where not, that is said plainly.
pub fn cluster_allowed(dir: &Path) -> Option<Leave> {
    let leave = Leave::wait();
    environment_works(dir).then_some(leave)
}

/// Whether nodes can be started here.
fn environment_works(dir: &Path) -> bool {
    let doctor = keelhaul(dir, "doctor");
    if doctor.code != 0 {
        skipped(&format!("no nodes can be started here; keelhaul doctor says:\n{}", doctor.stdout));
    }
    doctor.code == 0
}
