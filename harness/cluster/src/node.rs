//! A handle on one node.

use std::net::Ipv4Addr;

use keelhaul_agent::{Command, CutRule, Daemon, DaemonState, Output};
use keelhaul_history::NodeId;

/// Why a node did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeError {
    /// The stream to the agent ended, or never answered: the node is gone.
    #[error("reach {node}: {reason}")]
    Lost {
        /// Which node.
        node: NodeId,
        /// What was seen.
        reason: String,
    },
    /// The agent tried and could not.
    #[error("{message} on {node}")]
    Failed {
        /// Which node.
        node: NodeId,
        /// What was tried and what the system said.
        message: String,
        /// The system's error number, when there is one.
        errno: Option<i32>,
    },
}

/// A handle on one node; clones share the stream.
#[derive(Clone, Debug)]
pub struct Node {
    id: NodeId,
    address: Ipv4Addr,
}

impl Node {
    /// Which node it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Where the other nodes and the control node reach it.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs a command to its end. A command that fails is an `Ok` whose status says so.
    pub async fn run(&self, command: Command) -> Result<Output, NodeError> {
        let _ = command;
        Err(self.unreachable())
    }

    /// Starts a daemon; answers the pid of its first process.
    pub async fn start(&self, daemon: Daemon) -> Result<u32, NodeError> {
        let _ = daemon;
        Err(self.unreachable())
    }

    /// Asks a daemon to end and kills it when the grace is over; answers its state when no process of it is left.
    pub async fn stop(&self, name: &str, grace_ms: u64) -> Result<DaemonState, NodeError> {
        let _ = (name, grace_ms);
        Err(self.unreachable())
    }

    /// Kills every process of a daemon; answers when none is left.
    pub async fn kill(&self, name: &str) -> Result<DaemonState, NodeError> {
        let _ = name;
        Err(self.unreachable())
    }

    /// Stops every process of a daemon where it is; answers when none can run.
    pub async fn pause(&self, name: &str) -> Result<DaemonState, NodeError> {
        let _ = name;
        Err(self.unreachable())
    }

    /// Lets a paused daemon go on.
    pub async fn resume(&self, name: &str) -> Result<DaemonState, NodeError> {
        let _ = name;
        Err(self.unreachable())
    }

    /// What the node's kernel says of a daemon now.
    pub async fn status(&self, name: &str) -> Result<DaemonState, NodeError> {
        let _ = name;
        Err(self.unreachable())
    }

    /// Writes a whole file, making its directories.
    pub async fn write_file(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), NodeError> {
        let _ = (path, bytes, mode);
        Err(self.unreachable())
    }

    /// Reads a file, at most `limit` bytes of it.
    pub async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, NodeError> {
        let _ = (path, limit);
        Err(self.unreachable())
    }

    /// Drops packets from exactly these addresses from now on; answers the rules as read back from the kernel.
    pub async fn cut(&self, from: &[Ipv4Addr]) -> Result<Vec<CutRule>, NodeError> {
        let _ = from;
        Err(self.unreachable())
    }

    /// The drop rules that the node's kernel has now.
    pub async fn cut_state(&self) -> Result<Vec<CutRule>, NodeError> {
        Err(self.unreachable())
    }

    /// Resumes what is paused and removes all cuts; daemons stay as they are.
    pub async fn heal(&self) -> Result<(), NodeError> {
        Err(self.unreachable())
    }

    fn unreachable(&self) -> NodeError {
        NodeError::Lost { node: self.id, reason: "no stream".into() }
    }
}
