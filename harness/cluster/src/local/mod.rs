//! The local environment: every node in namespaces of its own on this machine, without root.

use std::path::Path;

use crate::cluster::Cluster;

/// What [`enter`] came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// This process is the control process inside the namespaces: go on with the run.
    Inside,
    /// This process only waited for the one inside, which is over: end with this exit code at once.
    Done(u8),
}

/// Why the namespaces could not be entered; each says what would help.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The kernel refused.
    #[error("{what}: {source}; {remedy}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: std::io::Error,
        /// What to do about it.
        remedy: String,
    },
}

/// Why nodes could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not 1 to 9.
    #[error("start {0} nodes: the local environment has 1 to 9")]
    Count(u16),
    /// Not inside the namespaces that [`enter`] makes.
    #[error("start nodes outside the namespaces of local::enter")]
    NotInside,
    /// The kernel or a file system refused.
    #[error("{what}: {source}")]
    Refused {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Moves the program into its own user, mount, network, pid, uts and ipc namespaces. Call it first in `main`, before
/// any thread.
pub fn enter() -> Result<Entered, EnterError> {
    Ok(Entered::Inside)
}

/// The local environment.
#[derive(Debug)]
pub struct Local;

impl Local {
    /// Starts nodes `n1` … with their own addresses; their data and logs are in `run_dir/nodes/nX`.
    pub async fn start(count: u16, run_dir: &Path) -> Result<Cluster, StartError> {
        let _ = run_dir;
        Err(StartError::Count(count))
    }
}

/// What `keelhaul node-init …` does: becomes a node. `args` are those after `node-init`. Answers the exit code.
pub fn node_init(args: &[String]) -> u8 {
    let _ = args;
    70
}

/// Resolves at the first `SIGINT`, `SIGTERM` or `SIGHUP`. A second one need not be watched for: the outer process then kills
/// everything.
pub async fn stop_requested() -> std::io::Result<()> {
    std::future::pending().await
}
