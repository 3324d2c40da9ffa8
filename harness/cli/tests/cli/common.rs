//! Runs the program as a user does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

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

/// Whether nodes can be started here; says so plainly if not.
pub fn environment_works(dir: &Path) -> bool {
    let doctor = keelhaul(dir, "doctor");
    if doctor.code != 0 {
        skipped(&format!("no nodes can be started here; keelhaul doctor says:\n{}", doctor.stdout));
    }
    doctor.code == 0
}
