//! Nodes on hosts that are reached by SSH.
//!
//! A host is used as it is: its address, its kernel, its clock. All that is brought there is this program ([`bundle`]), once a
//! version, into the user's `~/.cache/keelhaul`; it is started there as a guarded agent with a lease
//! ([`keelhaul_agent::host`]), as root, if need be by `sudo`, and from then on everything travels over one channel a host.
//! Stores' data are in `/var/lib/keelhaul`, their logs in `/var/log/keelhaul`; logs are fetched at the end.
//!
//! The [`Transport`] is the system's `ssh` program, so that `~/.ssh/config`, jump hosts and agents do what the user is used
//! to, or libssh2, which needs no program. Host keys are checked; one that is not known is refused, with the line to add.
//!
//! Limits: Linux hosts of this machine's architecture; IPv4; nodes reach each other on stores' usual ports.

mod bundle;
mod examine;
mod host;
#[cfg(feature = "ssh2")]
mod libssh2;
mod program;
mod start;
mod transport;

pub use host::{Host, InventoryError};
pub use start::{Ssh, SshError};
pub use transport::Transport;

pub(crate) use bundle::Bundle;
pub(crate) use program::host_arguments;
pub(crate) use start::Lines;
