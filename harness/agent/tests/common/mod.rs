//! What tests against an agent process share, and a harness without threads.

pub mod agent;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::Agent;
use keelhaul_agent::{Daemon, Reply, Request};

/// Longest wait for something that a test has set going.
const PATIENCE: Duration = Duration::from_secs(10);

/// A test gets a directory of its own.
pub type Test = fn(&Path);

/// Runs the tests that the command line asks for, one by one.
pub fn run(tests: &[(&str, Test)]) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    for (name, test) in tests {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
            let dir = tempfile::tempdir().unwrap();
            test(dir.path());
            println!("test {name} ... ok");
        }
    }
}

/// Waits until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Starts a shell script as a daemon.
pub fn start_daemon(agent: &mut Agent, name: &str, script: &str) -> u32 {
    let argv = ["sh", "-c", script].map(Into::into).to_vec();
    let daemon = Daemon { name: name.into(), argv, ..Daemon::default() };
    match agent.ask(Request::StartDaemon(daemon)) {
        Reply::Pid(pid) => pid,
        other => panic!("{other:?}"),
    }
}
