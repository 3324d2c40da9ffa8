//! The node's own log: one line an event on standard error, stamped with milliseconds since the process began.

use std::fmt::Display;
use std::time::Instant;

use keelhaul_protocol::api::{Nanos, NodeId};

/// The node's clock and its voice. The one place where this crate reads the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    start: Instant,
    node: NodeId,
}

impl Log {
    /// A log of this node, whose time begins now.
    pub(crate) fn new(node: NodeId) -> Self {
        Self { start: Instant::now(), node }
    }

    /// Time on the node's monotonic clock.
    pub(crate) fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment that the protocol calls `at`.
    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        // A protocol that wants no timer asks for the end of time, which an `Instant` cannot hold.
        let far = std::time::Duration::from_secs(365 * 24 * 3600);
        self.start + std::time::Duration::from_nanos(at.0).min(far)
    }

    /// Writes a line. Nobody reads what cannot be written, so failures are ignored.
    pub(crate) fn line(&self, event: impl Display) {
        use std::io::Write;
        let line = format!("{} n{} {event}\n", self.start.elapsed().as_millis(), self.node.0);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
