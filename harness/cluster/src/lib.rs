//! Where nodes live, and a handle on each of them.
//!
//! An *environment* brings nodes up and takes them down ([`local`]: namespaces on this machine, [`ssh`]: hosts, [`vm`]: virtual machines); from then on a [`Node`] is the
//! same everywhere: one byte stream to the agent that runs on it. A [`Cluster`] holds all nodes of a run.
//!
//! Everything here is for one tokio runtime on one thread.

mod cluster;
pub mod doctor;
mod links;
pub mod local;
mod machine;
mod node;
pub mod ssh;
mod stream;
pub mod vm;

pub use cluster::{CloseError, Cluster, Reachability};
pub use keelhaul_agent::examine::{try_fuse, what};
pub use keelhaul_agent::{
    CAPTURE, Capture, ClockReading, ClockWish, Command, CutRule, Daemon, DaemonState, Damaged,
    DiskDamage, DiskEffect, DiskFault, DiskOp, DiskReport, Exit, Finding, HOG, Hog, LOG_DIR,
    LostData, LostName, MILLION, NameLoss, Naming, Output, PowerLoss, ProgramClock, ProgramWish,
    SELF_EXE, Shaping, Train, TrainReport,
};
pub use node::{Node, NodeError};
