//! Runs the interpreter against real clients, on tokio.
//!
//! One task a worker (a client thread, or the nemesis) and one loop that takes turns: everything the workers finished
//! goes through the interpreter at once, its records are appended and flushed in one write, then its operations are
//! handed out. Waiting happens in one place, and all state changes happen in synchronous code between.
//!
//! What it promises:
//! * an invocation has left for the file (the write call returned) before the worker sees the operation;
//! * every operation completes: a client that takes longer than the limit is dropped and the operation is an info;
//! * completions reach the file within a tenth of a second, with or without further work;
//! * whatever ends the run, the file is a well-formed history up to there.
//!
//! Limits: tokio's timer counts milliseconds, so an operation scheduled for a time may begin one late. A client
//! that blocks its thread blocks the whole run, and no limit can end it.

mod mailbox;
#[cfg(test)]
mod tests;
mod turns;
mod worker;

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use keelhaul_history::{Kind, Op, Writer};

use crate::generator::Boxed;
use crate::{Client, Connect};

/// How a run is driven.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Number of client threads; at least one.
    pub concurrency: u32,
    /// Number of nodes; thread i speaks to node (i mod nodes) + 1.
    pub nodes: u16,
    /// How long a client operation may take, opening the client included, before it is recorded as an info.
    pub op_timeout: Duration,
    /// The same for the nemesis, whose operations verify that a fault took effect and may take much longer.
    pub nemesis_timeout: Duration,
    /// Where time zero of the history lies; usually `Instant::now()` just before the run.
    pub origin: tokio::time::Instant,
}

/// Something worth showing while a run goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// Comes about ten times a second, and once at the end.
    Tick(&'a Status),
    /// The nemesis began or finished something.
    Nemesis(&'a Op),
    /// A generator logs a line.
    Log(&'a str),
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Since the origin.
    pub elapsed: Duration,
    /// Client operations begun so far.
    pub invoked: u64,
    /// Those that ended in ok.
    pub ok: u64,
    /// Those that ended in fail.
    pub fail: u64,
    /// Those that ended in info.
    pub info: u64,
    /// Events recorded, the nemesis' included.
    pub events: u64,
    /// The run was told to stop and waits for operations in flight.
    pub stopping: bool,
}

impl Status {
    /// Client operations in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.invoked - self.ok - self.fail - self.info
    }

    const fn count(&mut self, event: &Op) {
        self.events += 1;
        if matches!(event.process, keelhaul_history::Process::Nemesis) {
            return;
        }
        match event.kind {
            Kind::Invoke => self.invoked += 1,
            Kind::Ok => self.ok += 1,
            Kind::Fail => self.fail += 1,
            Kind::Info => self.info += 1,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// The final counts.
    pub status: Status,
    /// It was told to stop before the generator was done.
    pub interrupted: bool,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The history cannot be written.
    #[error("record the history")]
    Record(#[source] io::Error),
    /// A client or the nemesis panicked. Its operation is an info, and the run was brought to an orderly end.
    #[error("go on after a client panicked: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
    /// The generator waits for an event although nothing is in flight that could bring one.
    #[error("go on: the generator waits although nothing is in flight")]
    Stuck,
}

/// Runs a generator to its end and records the history. The writer is flushed but not sealed.
///
/// `connect` opens the clients, each when its process gets its first operation. `observer` is called from the
/// loop and must be quick. When `stop` resolves, no further operation begins, those in flight are awaited up
/// to their timeouts, and the summary says `interrupted`; nothing is healed then, that is the caller's.
///
/// Needs a tokio runtime with its timer enabled; it makes its own `LocalSet`, so clients may `spawn_local`. Their
/// tasks end with the run.
///
/// # Errors
/// See [`DriverError`]. The history so far stays valid in all cases, and the writer has been flushed if that was
/// possible.
pub async fn run<W: io::Write>(
    options: RunOptions,
    generator: Boxed,
    connect: Rc<dyn Connect>,
    nemesis: Box<dyn Client>,
    writer: &mut Writer<W>,
    observer: &mut dyn FnMut(Progress<'_>),
    stop: impl Future<Output = ()>,
) -> Result<RunSummary, DriverError> {
    let tasks = tokio::task::LocalSet::new();
    let turns = turns::Turns::new(options, generator, writer, observer);
    tasks.run_until(turns.run(connect, nemesis, stop)).await
}
