//! Where nodes live, and a handle on each of them.

mod cluster;
pub mod doctor;
pub mod local;
mod node;

pub use cluster::{Cluster, Reachability};
pub use keelhaul_agent::{Command, CutRule, Daemon, DaemonState, Exit, Output, SELF_EXE};
pub use node::{Node, NodeError};
