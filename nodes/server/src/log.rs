//! The node's own log: one line an event on standard error, stamped with milliseconds since the process began.

use std::fmt::Display;
use std::time::{Duration, Instant};

use keelhaul_protocol::api::{Nanos, NodeId};

use crate::clock::Clock;

/// The node's clock and its voice. The one place where this crate reads the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    clock: &'static Clock,
    node: NodeId,
}

impl Log {
    /// A log of this node, whose time begins now. A process has one for as long as it lives.
    pub(crate) fn new(node: NodeId) -> Self {
        Self { clock: Box::leak(Box::new(Clock::new())), node }
    }

    /// Time on the node's clock, which never goes back.
    pub(crate) fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// The moment that the protocol calls `at`.
    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        // A protocol that wants no timer asks for the end of time, which an `Instant` cannot hold.
        self.clock.when(at, Duration::from_secs(365 * 24 * 3600))
    }

    /// Writes a line. Nobody reads what cannot be written, so failures are ignored.
    pub(crate) fn line(&self, event: impl Display) {
        use std::io::Write;
        let line = format!("{} n{} {event}\n", self.clock.real().as_millis(), self.node.0);
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
