//! Commands that no user types: what this program is when it runs on a node.

use std::process::ExitCode;

use keelhaul_server::{ProtocolKind, ServerArgs};

use crate::exit::Exit;

/// Runs a hidden command, if the words name one.
pub fn dispatch(words: &[String]) -> Option<ExitCode> {
    let rest = words.get(2..).unwrap_or_default();
    match words.get(1)?.as_str() {
        "agent" => Some(agent()),
        "node-init" => Some(ExitCode::from(keelhaul_cluster::local::node_init(rest))),
        "node" => Some(node(rest)),
        _ => None,
    }
}

/// The agent on a node; serves until its input ends.
fn agent() -> ExitCode {
    match keelhaul_agent::serve(std::io::stdin(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, Exit::Infrastructure),
    }
}

/// One of our own consensus nodes: `node raft --id 1 …`.
fn node(words: &[String]) -> ExitCode {
    let Some((name, flags)) = words.split_first() else {
        return complain(&"node needs the name of a protocol", Exit::Usage);
    };
    let Some(protocol) = ProtocolKind::from_name(name) else {
        return complain(&format!("no protocol is called {name:?}"), Exit::Usage);
    };
    let args = match ServerArgs::from_flags(protocol, flags.iter().cloned()) {
        Ok(args) => args,
        Err(error) => return complain(&error, Exit::Usage),
    };
    match keelhaul_server::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.in_words(), Exit::Infrastructure),
    }
}

fn complain(error: &dyn std::fmt::Display, exit: Exit) -> ExitCode {
    eprintln!("error: {error}");
    exit.into()
}
