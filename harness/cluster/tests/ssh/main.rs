//! Nodes on hosts, for real: three SSH servers in namespaces of their own, each a host with its own network, processes and files.
//!
//! This program is several: without arguments the runner, which starts itself again as the control process (`inside`); that one
//! starts hosts in the local environment (`node-init`), SSH servers on them, and itself there as an agent (`agent`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hosts;
mod inside;
mod owned;

use std::io::Write;
use std::process::{Command, ExitCode};

use keelhaul_cluster::local;
use keelhaul_cluster::ssh::Transport;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["node-init", ..] => local::node_init(&args[1..]),
        ["agent", rest @ ..] => agent(rest),
        ["inside", dir, ..] => inside::main(dir.as_ref(), &args[2..]),
        ["own"] => owned::own(),
        ["filters"] => owned::filters(),
        ["hold", dir] => inside::hold(dir.as_ref()),
        ["--list", ..] => 0,
        _ => runner(&args),
    };
    ExitCode::from(code)
}

fn agent(words: &[&str]) -> u8 {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    match keelhaul_agent::command(&words) {
        Ok(()) => 0,
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            eprintln!("failed to {error}: {}", source.unwrap_or_default());
            1
        }
    }
}

/// Runs everything, where there is what it needs.
fn runner(args: &[String]) -> u8 {
    if let Some(reason) = hosts::lacking() {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: nodes by SSH: {reason}");
        return 0;
    }
    let filters = args.iter().filter(|arg| !arg.starts_with('-'));
    let filters: Vec<&String> = filters.collect();
    let built_in = |transport: &Transport| cfg!(feature = "ssh2") || *transport == Transport::Ssh;
    let passes = Transport::ALL.into_iter().filter(built_in).map(|transport| {
        println!("by {}", transport.as_str());
        let dir = tempfile::tempdir().unwrap();
        let mut me = Command::new(std::env::current_exe().unwrap());
        me.arg("inside").arg(dir.path()).args(&filters).env(TRANSPORT, transport.as_str());
        me.status().unwrap().success()
    });
    u8::from(!passes.fold(true, |all, one| all & one))
}

/// The variable that names the transport to test.
const TRANSPORT: &str = "KH_TRANSPORT";
