//! Runs the program as a user does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// One cluster at a time: several would take each other's processor time, and a store that gets none makes no progress.
static ONE_CLUSTER: Mutex<()> = Mutex::new(());

/// Leave to run a cluster, where nodes can be started; where not, that is said plainly.
pub fn cluster_allowed(dir: &Path) -> Option<MutexGuard<'static, ()>> {
    // Whoever failed while holding it has left nothing behind that could matter here.
    let alone = ONE_CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    environment_works(dir).then_some(alone)
}

/// Whether nodes can be started here.
fn environment_works(dir: &Path) -> bool {
    let doctor = keelhaul(dir, "doctor");
    if doctor.code != 0 {
        skipped(&format!("no nodes can be started here; keelhaul doctor says:\n{}", doctor.stdout));
    }
    doctor.code == 0
}
