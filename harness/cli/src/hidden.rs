//! Commands that no user types: what this program is when it runs on a node.

use std::process::ExitCode;

use keelhaul_agent::{Capture, CommandError, Hog};
use keelhaul_server::{ProtocolKind, ServerArgs};

use crate::exit::Exit;
use crate::{pace, vm};

/// Runs a hidden command, if the words name one.
pub fn dispatch(words: &[String]) -> Option<ExitCode> {
    let rest = words.get(2..).unwrap_or_default();
    match words.get(1)?.as_str() {
        "agent" => Some(agent(rest)),
        "node-init" => Some(ExitCode::from(keelhaul_cluster::local::node_init(rest))),
        "node" => Some(node(rest)),
        keelhaul_cluster::HOG => Some(hog(rest)),
        keelhaul_cluster::CAPTURE => Some(capture(rest)),
        pace::WORD => Some(pace::work()),
        vm::HOLD => Some(vm::hold(rest)),
        _ => None,
    }
}

/// The agent on a node.
fn agent(words: &[String]) -> ExitCode {
    match keelhaul_agent::command(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let exit = match error {
                CommandError::Usage(_) => Exit::Usage,
                CommandError::Serve(_) | CommandError::ProgramClock(_) => Exit::Infrastructure,
                CommandError::Host(_) => Exit::CleanupIncomplete,
            };
            complain(&format!("failed to {:#}", anyhow::Error::new(error)), exit)
        }
    }
}

/// A process that lets others on its node lack something.
fn hog(words: &[String]) -> ExitCode {
    match Hog::of_words(words).map(Hog::run) {
        None => complain(&format!("no hog takes {words:?}"), Exit::Usage),
        Some(Err(error)) => complain(&error, Exit::Infrastructure),
        Some(Ok(())) => ExitCode::SUCCESS,
    }
}

/// A process that writes the packets that its node sees.
fn capture(words: &[String]) -> ExitCode {
    match Capture::of_words(words).map(|capture| capture.run()) {
        None => complain(&format!("no capture takes {words:?}"), Exit::Usage),
        Some(Err(error)) => complain(&error, Exit::Infrastructure),
        Some(Ok(())) => ExitCode::SUCCESS,
    }
}

/// One of our own consensus nodes: `node raft --id 1 …`; or several, of one group each, whose flags `--` separates.
fn node(words: &[String]) -> ExitCode {
    let Some((name, flags)) = words.split_first() else {
        return complain(&"node needs the name of a protocol", Exit::Usage);
    };
    let Some(protocol) = ProtocolKind::from_name(name) else {
        return complain(&format!("no protocol is called {name:?}"), Exit::Usage);
    };
    let groups = flags.split(|flag| flag == "--");
    let args = groups.map(|flags| ServerArgs::from_flags(protocol, flags.iter().cloned()));
    let mut args: Vec<ServerArgs> = match args.collect() {
        Ok(args) => args,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let end = match args.pop() {
        Some(only) if args.is_empty() => keelhaul_server::run(only),
        Some(last) => keelhaul_server::run_all(args.into_iter().chain([last]).collect()),
        None => return complain(&"node needs flags", Exit::Usage),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.in_words(), Exit::Infrastructure),
    }
}

fn complain(error: &dyn std::fmt::Display, exit: Exit) -> ExitCode {
    eprintln!("error: {error}");
    exit.into()
}
