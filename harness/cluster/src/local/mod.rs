//! The local environment: every node in namespaces of its own on this machine, as root or not.
//!
//! `main` first calls [`enter`], which moves the whole program into namespaces; then [`Local::start`] makes a bridge, and for each
//! node a network, pid, mount, uts and ipc namespace, an agent as its PID 1, and a file system (`root`). Everything lives in the outermost
//! namespaces, so the kernel takes all of it away when the run ends, in whatever way.
//!
//! Limits: nodes share the machine's kernel and clocks; one cluster at a time in a process; IPv4.

mod enter;
mod namespace;
mod network;
mod node_init;
mod remedy;
mod root;
mod start;
mod supervise;

pub use enter::{EnterError, Entered, enter, is_inside};
pub use node_init::node_init;
pub use start::{Local, NODES_MAX, StartError};

pub(crate) use enter::{map_identities, mount_proc, private_mounts};
pub(crate) use namespace::{Program, spawn};
pub(crate) use network::{BRIDGE, PREFIX, address_of, make_bridge, remove as remove_network};
pub(crate) use node_init::TRY_ALL;
pub(crate) use remedy::{of_mounts, of_namespaces};
pub(crate) use root::{bind_read_only, mount_tmpfs};

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals by which somebody asks for the run's end. Listen early: what arrives before is lost.
///
/// The control process need not watch for a second one: the outer process then kills the run.
#[derive(Debug)]
pub struct StopSignals(Vec<Signal>);

impl StopSignals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        let kinds = supervise::stop_signals();
        kinds
            .into_iter()
            .map(|kind| signal(SignalKind::from_raw(kind as i32)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Resolves when one of them has arrived. Cancel-safe.
    pub async fn received(&mut self) {
        std::future::poll_fn(|context| {
            let any = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if any { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}
