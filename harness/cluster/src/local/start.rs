//! Starting and ending the nodes of a run.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use keelhaul_agent::wire::WireError;
use keelhaul_history::NodeId;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};
use tokio::net::unix::pipe;

use super::namespace::{Program, spawn};
use super::{enter, network, node_init, root};
use crate::cluster::{CloseError, Closing, Cluster, Environment};
use crate::node::Node;
use crate::stream::AgentStream;

/// As many nodes as anybody tests on one machine, and as many as have one digit.
pub const NODES_MAX: u16 = 9;
/// How long agents may take to end everything once their streams are closed; afterwards they are killed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks at whether they are gone.
const CLOSE_INTERVAL: Duration = Duration::from_millis(5);

/// Why nodes could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not 1 to 9.
    #[error("start {0} nodes: the local environment has 1 to {NODES_MAX}")]
    Count(u16),
    /// Not inside the namespaces that [`enter`](super::enter) makes.
    #[error("start nodes: this process is not inside the namespaces of local::enter")]
    NotInside,
    /// The kernel or a file system refused.
    #[error("{what}: {source}")]
    Refused {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A node's first process ended or said nothing.
    #[error("start {node}: {said}")]
    Node {
        /// Which node.
        node: NodeId,
        /// The last that its log says, or nothing.
        said: String,
        /// What became of the stream to it.
        source: WireError,
    },
}

/// The local environment.
#[derive(Debug)]
pub struct Local;

impl Local {
    /// Starts nodes `n1` … `n9`; they reach each other and this process by name and address, and nothing else.
    ///
    /// In `run_dir/nodes/nX` are a node's logs, `agent.log` among them, and in `data` below it what the node sees as
    /// `/var/lib/keelhaul`. Must be called inside [`enter`](super::enter), on the thread that stays until the end.
    pub async fn start(count: u16, run_dir: &Path) -> Result<Cluster, StartError> {
        if !(1..=NODES_MAX).contains(&count) {
            return Err(StartError::Count(count));
        }
        if !enter::is_inside() {
            return Err(StartError::NotInside);
        }
        let nodes_dir = run_dir.join("nodes");
        let refused = |what: &str| {
            let what = what.to_owned();
            move |source: io::Error| StartError::Refused { what, source }
        };
        let making = format!("make {}", nodes_dir.display());
        fs::create_dir_all(&nodes_dir).map_err(refused(&making))?;
        let nodes_dir = nodes_dir.canonicalize().map_err(refused(&making))?;
        let mut running = Running { nodes: Vec::new() };
        network::make_bridge().map_err(refused("make a bridge"))?;
        let plans: Vec<_> = (1..=count)
            .map(|i| root::Plan { node: NodeId(i), count, nodes_dir: nodes_dir.clone() })
            .collect();
        let mut streams = Vec::new();
        for plan in &plans {
            let started = start_node(plan, &mut running);
            streams.push(started.map_err(refused(&format!("start {}", plan.node)))?);
        }
        let mut nodes = Vec::new();
        for (plan, (input, output)) in plans.iter().zip(streams) {
            let opened = AgentStream::open(input, output).await;
            let agent = opened.map_err(|source| StartError::Node {
                node: plan.node,
                said: last_words(plan),
                source,
            })?;
            nodes.push(Node::new(plan.node, network::address_of(plan.node), agent));
        }
        if let Some(plan) = plans.first() {
            // Every node's root has left it by now; an empty directory would puzzle whoever reads the run directory.
            fs::remove_dir(plan.mount_point()).map_err(refused("remove the mount point"))?;
        }
        Ok(Cluster::new(nodes, Box::new(running)))
    }
}

/// Starts a node's first process and lays its cable; answers the stream to it.
fn start_node(
    plan: &root::Plan,
    running: &mut Running,
) -> io::Result<(pipe::Receiver, pipe::Sender)> {
    fs::create_dir_all(plan.node_dir().join("data"))?;
    fs::create_dir_all(plan.mount_point())?;
    let log: OwnedFd = log_of(plan)?.into();
    let (stdin, output) = pipe2(OFlag::O_CLOEXEC)?;
    let (input, stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let argv: Vec<CString> = ["keelhaul".to_owned()]
        .into_iter()
        .chain(node_init::arguments(plan))
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    let streams = [Some(stdin.as_fd()), Some(stdout.as_fd()), Some(log.as_fd())];
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    // A node gets nothing of the user's environment.
    let gated = spawn(flags, &Program { argv: &argv, env: &[], streams, kept: None })?;
    running.nodes.push((plan.node, gated.pid()));
    network::lay_cable(plan.node, gated.pid())?;
    gated.open()?;
    Ok((pipe::Receiver::from_owned_fd(input)?, pipe::Sender::from_owned_fd(output)?))
}

fn log_of(plan: &root::Plan) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(plan.node_dir().join("agent.log"))
}

fn last_words(plan: &root::Plan) -> String {
    let log = fs::read_to_string(plan.node_dir().join("agent.log")).unwrap_or_default();
    log.lines().last().unwrap_or("its log is empty").to_owned()
}

/// The first processes of the nodes: when one is gone, so is all that the node had.
#[derive(Debug)]
struct Running {
    nodes: Vec<(NodeId, Pid)>,
}

impl Running {
    /// Takes those that ended; whether none is left.
    fn all_ended(&mut self, flags: Option<WaitPidFlag>) -> bool {
        self.nodes.retain(|&(_, pid)| {
            matches!(waitpid(pid, flags), Ok(WaitStatus::StillAlive) | Err(nix::Error::EINTR))
        });
        self.nodes.is_empty()
    }

    fn kill(&mut self) {
        for &(_, pid) in &self.nodes {
            // One that is gone already is what we want.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

impl Environment for Running {
    fn close(mut self: Box<Self>, nodes: Vec<Node>) -> Closing {
        Box::pin(async move {
            for node in &nodes {
                node.close();
            }
            let nodes: Vec<NodeId> = self.nodes.iter().map(|&(node, _)| node).collect();
            for gentle in [true, false] {
                if !gentle {
                    self.kill();
                }
                let deadline = Instant::now() + CLOSE_PATIENCE;
                while !self.all_ended(Some(WaitPidFlag::WNOHANG)) && Instant::now() < deadline {
                    tokio::time::sleep(CLOSE_INTERVAL).await;
                }
            }
            if let Some((node, _)) = self.nodes.first() {
                let source =
                    io::Error::new(io::ErrorKind::TimedOut, "its first process does not end");
                return Err(CloseError { what: node.to_string(), source });
            }
            network::remove(nodes)
                .map_err(|source| CloseError { what: "the network".into(), source })
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let nodes: Vec<NodeId> = self.nodes.iter().map(|&(node, _)| node).collect();
        self.kill();
        self.all_ended(None);
        // What cannot be removed goes with the namespaces.
        let _ = network::remove(nodes);
    }
}
