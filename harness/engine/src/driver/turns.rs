//! The loop: waits for something to happen, then does everything that follows from it in one synchronous turn.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{self, Poll};
use std::time::Duration;

use keelhaul_history::{Process, Writer};
use tokio::time::{Instant, Sleep};

use super::mailbox::{Inbox, Line, Outbox};
use super::worker::{Desk, Source, work};
use super::{DriverError, Progress, RunOptions, RunSummary, Status};
use crate::generator::{Boxed, Thread};
use crate::interpreter::{Completion, Effects, Interpreter, Wake};
use crate::{Client, Connect};

/// How often deadlines are looked at, completions flushed and the observer called when nothing else gives cause.
/// One timer for all of them costs an operation nothing, where a timer of its own would cost it an allocation.
const ROUND_NS: u64 = 100_000_000;

/// Everything a run changes.
pub struct Turns<'a, W> {
    options: RunOptions,
    interpreter: Interpreter,
    writer: &'a mut Writer<W>,
    observer: &'a mut dyn FnMut(Progress<'_>),
    /// One a client thread, then the nemesis.
    lines: Vec<Line>,
    outbox: Rc<Outbox>,
    completions: Vec<Completion>,
    effects: Effects,
    status: Status,
    /// Something was appended since the last flush.
    unflushed: bool,
    next_round_ns: u64,
    interrupted: bool,
    panic: Option<String>,
}

/// Why the loop woke.
enum Cause {
    /// Completions are there, or a time has come.
    Turn,
    /// The caller wants the run to end.
    Stop,
}

impl<'a, W: io::Write> Turns<'a, W> {
    pub fn new(
        options: RunOptions,
        generator: Boxed,
        writer: &'a mut Writer<W>,
        observer: &'a mut dyn FnMut(Progress<'_>),
    ) -> Self {
        let line = |thread| Line { thread, inbox: Rc::new(Inbox::default()), deadline_ns: None };
        Self {
            interpreter: Interpreter::new(generator, options.concurrency, options.nodes),
            lines: (0..options.concurrency)
                .map(Thread::Client)
                .chain([Thread::Nemesis])
                .map(line)
                .collect(),
            options,
            writer,
            observer,
            outbox: Rc::new(Outbox::default()),
            completions: Vec::new(),
            effects: Effects::default(),
            status: Status::default(),
            unflushed: false,
            next_round_ns: 0,
            interrupted: false,
            panic: None,
        }
    }

    /// Runs to the end. Must be polled within a `LocalSet`, which owns the workers.
    pub async fn run(
        mut self,
        connect: Rc<dyn Connect>,
        nemesis: Box<dyn Client>,
        stop: impl Future<Output = ()>,
    ) -> Result<RunSummary, DriverError> {
        self.start_workers(&connect, nemesis);
        let mut stop = pin!(stop);
        let mut alarm = pin!(tokio::time::sleep_until(self.options.origin));
        loop {
            match self.turn() {
                Ok(Wake::Finished) => return self.finish(),
                Ok(Wake::Stuck) => return self.abandon(DriverError::Stuck),
                Ok(Wake::At(at_ns)) => self.arm(alarm.as_mut(), at_ns.min(self.next_round_ns)),
                Ok(Wake::Completion) => self.arm(alarm.as_mut(), self.next_round_ns),
                Err(e) => return self.abandon(DriverError::Record(e)),
            }
            match poll_fn(|cx| self.poll_cause(cx, stop.as_mut(), alarm.as_mut())).await {
                Cause::Turn => {}
                Cause::Stop => self.stop(),
            }
        }
    }

    fn start_workers(&self, connect: &Rc<dyn Connect>, nemesis: Box<dyn Client>) {
        let mut nemesis = Some(nemesis);
        for line in &self.lines {
            let source = match (line.thread, nemesis.take()) {
                (Thread::Nemesis, Some(nemesis)) => Source::Fixed(nemesis),
                (_, unused) => {
                    nemesis = unused;
                    Source::Connect(Rc::clone(connect))
                }
            };
            let desk = Desk {
                inbox: Rc::clone(&line.inbox),
                outbox: Rc::clone(&self.outbox),
                limit: self.options.limit(line.thread),
            };
            tokio::task::spawn_local(work(source, desk));
        }
    }

    /// Everything that follows from what has happened up to now.
    fn turn(&mut self) -> io::Result<Wake> {
        let now_ns = self.now_ns();
        for completion in &self.completions {
            let slot = slot(completion.thread, self.lines.len());
            self.lines[slot].deadline_ns = None;
        }
        if let Some(message) = self.outbox.take_panic() {
            self.panic = Some(message);
            self.interpreter.stop();
        }
        self.interpreter.step(now_ns, &mut self.completions, &mut self.effects);
        self.record()?;
        self.dispatch(now_ns)?;
        if now_ns >= self.next_round_ns {
            self.round(now_ns)?;
        }
        Ok(self.effects.wake)
    }

    fn record(&mut self) -> io::Result<()> {
        for event in &self.effects.records {
            self.writer.append(event)?;
            self.status.count(event);
            if event.process == Process::Nemesis {
                (self.observer)(Progress::Nemesis(event));
            }
        }
        for line in self.effects.log.drain(..) {
            (self.observer)(Progress::Log(&line));
        }
        self.unflushed |= !self.effects.records.is_empty();
        Ok(())
    }

    /// Hands out the operations, once their invocations have left.
    fn dispatch(&mut self, now_ns: u64) -> io::Result<()> {
        if self.effects.dispatches.is_empty() {
            return Ok(());
        }
        self.flush()?;
        for dispatch in self.effects.dispatches.drain(..) {
            let limit = self.options.limit(dispatch.thread);
            let slot = slot(dispatch.thread, self.lines.len());
            self.lines[slot].deadline_ns = Some(now_ns.saturating_add(nanos(limit)));
            self.lines[slot].inbox.put(dispatch);
        }
        Ok(())
    }

    /// What is done now and then: deadlines, the flush of completions, the observer.
    fn round(&mut self, now_ns: u64) -> io::Result<()> {
        let shortest = self.options.op_timeout.min(self.options.nemesis_timeout);
        let mut next = now_ns + ROUND_NS.min(nanos(shortest).max(1));
        for line in &mut self.lines {
            match line.deadline_ns {
                Some(at) if at <= now_ns => {
                    line.inbox.expire();
                    line.deadline_ns = None;
                }
                Some(at) => next = next.min(at),
                None => {}
            }
        }
        self.next_round_ns = next;
        self.flush()?;
        self.tick(now_ns);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.unflushed {
            self.writer.flush()?;
            self.unflushed = false;
        }
        Ok(())
    }

    fn tick(&mut self, now_ns: u64) {
        self.status.elapsed = Duration::from_nanos(now_ns);
        (self.observer)(Progress::Tick(&self.status));
    }

    fn stop(&mut self) {
        self.interrupted = true;
        self.status.stopping = true;
        self.interpreter.stop();
    }

    fn finish(mut self) -> Result<RunSummary, DriverError> {
        self.flush().map_err(DriverError::Record)?;
        self.tick(self.now_ns());
        match self.panic {
            Some(message) => Err(DriverError::Panic { message }),
            None => Ok(RunSummary { status: self.status, interrupted: self.interrupted }),
        }
    }

    /// Gives up, keeping as much of the history as can be kept. Operations in flight stay without a completion,
    /// which a history may end with.
    fn abandon(self, error: DriverError) -> Result<RunSummary, DriverError> {
        // If this fails too, there is nothing left to try, and the first error says more.
        let _ = self.writer.flush();
        Err(error)
    }

    fn poll_cause(
        &mut self,
        cx: &mut task::Context<'_>,
        stop: Pin<&mut impl Future<Output = ()>>,
        alarm: Pin<&mut Sleep>,
    ) -> Poll<Cause> {
        if !self.interrupted && stop.poll(cx).is_ready() {
            return Poll::Ready(Cause::Stop);
        }
        if self.outbox.poll_drain(&mut self.completions, cx.waker()) || alarm.poll(cx).is_ready() {
            return Poll::Ready(Cause::Turn);
        }
        Poll::Pending
    }

    /// Sets the alarm, unless it rings early enough anyway: an early ring costs one turn, setting it costs each.
    fn arm(&self, alarm: Pin<&mut Sleep>, at_ns: u64) {
        let at = self.options.origin + Duration::from_nanos(at_ns);
        if at < alarm.deadline() || alarm.is_elapsed() {
            alarm.reset(at);
        }
    }

    fn now_ns(&self) -> u64 {
        nanos(Instant::now().saturating_duration_since(self.options.origin))
    }
}

impl RunOptions {
    const fn limit(&self, thread: Thread) -> Duration {
        match thread {
            Thread::Client(_) => self.op_timeout,
            Thread::Nemesis => self.nemesis_timeout,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const fn slot(thread: Thread, lines: usize) -> usize {
    match thread {
        Thread::Client(i) => i as usize,
        Thread::Nemesis => lines - 1,
    }
}
