//! The local environment, for real: as whoever runs the tests and, when that is root, as an unprivileged user too.
//!
//! This program is several. Without arguments it is the runner; it starts itself again as the control process of a run
//! (`inside`, `hold`), which starts it again as its nodes (`node-init`), and as small servers and clients on them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod inside;
mod outside;
mod shaped;
mod traffic;

use std::process::ExitCode;

use keelhaul_cluster::{doctor, local};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["node-init", ..] => local::node_init(&args[1..]),
        ["inside", run_dir, ..] => inside::main(run_dir.as_ref(), &args[2..]),
        ["hold", run_dir] => inside::hold(run_dir.as_ref()),
        ["end-with", code] => inside::end_with(code),
        ["tcp-serve"] => traffic::serve(),
        ["tcp-ask", address] => traffic::ask(address),
        ["tcp-echo"] => traffic::echo(),
        ["tcp-times", address] => traffic::times(address),
        ["tcp-pour", address, bytes] => traffic::pour(address, bytes),
        ["crowd", ..] => outside::crowd(&args[1..]),
        ["lifecycle", ..] => outside::main(&args[1..]),
        ["--list", ..] => 0,
        _ => runner(&args),
    };
    ExitCode::from(code)
}

/// Runs everything as ourselves and, when we are root, as somebody who is not.
fn runner(args: &[String]) -> u8 {
    let missing: Vec<_> = doctor::probe().into_iter().filter(|finding| !finding.ok).collect();
    if !missing.is_empty() {
        for finding in missing {
            println!(
                "skipped: {} do not work here: {}; {}",
                finding.what, finding.detail, finding.remedy
            );
        }
        return 0;
    }
    let filters: Vec<String> = args.iter().filter(|arg| !arg.starts_with('-')).cloned().collect();
    let mut failed = outside::as_myself(&filters);
    if nix::unistd::geteuid().is_root() {
        failed |= outside::as_nobody(&filters);
        failed |= outside::on_a_crowded_host(&filters);
    } else {
        println!("skipped: the same as root: the tests do not run as root");
    }
    u8::from(failed)
}
