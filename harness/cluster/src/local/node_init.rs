//! What `keelhaul node-init …` does: the first process of a node, or a trial of what nodes need.

use std::io;
use std::path::PathBuf;

use keelhaul_history::NodeId;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{sethostname, setsid};

use super::enter::private_mounts;
use super::{network, root};
use crate::doctor;

/// The first argument, by what is wanted.
pub(crate) const BECOME_NODE: &str = "node";
pub(crate) const TRY_ALL: &str = "try";

/// Exit codes of the documented table: infrastructure, and a mistake in how we call ourselves.
const EXIT_INFRASTRUCTURE: u8 = 10;
const EXIT_USAGE: u8 = 64;

/// What `keelhaul node-init …` does; nobody but keelhaul itself calls it. `args` are those after `node-init`; answers the exit code.
/// What goes wrong is said on standard error, which is the node's log.
pub fn node_init(args: &[String]) -> u8 {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        [BECOME_NODE, node, count, nodes_dir] => match (node.parse(), count.parse()) {
            (Ok(node), Ok(count)) => {
                become_node(&root::Plan { node, count, nodes_dir: PathBuf::from(nodes_dir) })
            }
            _ => return EXIT_USAGE,
        },
        [TRY_ALL] => {
            doctor::try_inside();
            Ok(())
        }
        _ => return EXIT_USAGE,
    };
    match result {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("failed to {reason}");
            EXIT_INFRASTRUCTURE
        }
    }
}

/// The arguments that make a node.
pub(super) fn arguments(plan: &root::Plan) -> [String; 5] {
    let nodes_dir = plan.nodes_dir.to_string_lossy().into_owned();
    [
        "node-init".into(),
        BECOME_NODE.into(),
        plan.node.to_string(),
        plan.count.to_string(),
        nodes_dir,
    ]
}

/// Sets up the namespaces that this process was started in, and serves as the node's agent until its stream ends.
fn become_node(plan: &root::Plan) -> Result<(), String> {
    let said = |what: &str, e: nix::Error| format!("{what}: {e}");
    // A session of its own: the terminal's signals are for the control process.
    setsid().map_err(|e| said("leave the terminal", e))?;
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    // Only for those who look at processes.
    let _ = nix::sys::prctl::set_name(c"keelhaul-agent");
    sethostname(plan.node.to_string()).map_err(|e| said("set the host name", e))?;
    private_mounts().map_err(|e| format!("separate the mounts: {e}"))?;
    root::enter(plan).map_err(|e| e.to_string())?;
    network::join(plan.node).map_err(|e| format!("switch the network on: {e}"))?;
    serve(plan.node)
}

fn serve(node: NodeId) -> Result<(), String> {
    keelhaul_agent::serve(io::stdin().lock(), io::stdout()).map_err(|e| {
        let source = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
        format!("serve as {node}: {e}{source}")
    })
}
