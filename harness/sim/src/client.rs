//! The store's own client in virtual time: its connections are queues, its sleeps are events.
//!
//! A client is a future of `keelhaul_stores::raft`, the same as on real machines. It is polled when something happens to it; what it sends
//! is collected in [`Wires`], from where the simulator takes it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use keelhaul_history::NodeId;
use keelhaul_protocol::kv::{Request, Response};
use keelhaul_server::wire::{ReplyFrame, RequestFrame};
use keelhaul_stores::raft::net::{Line, Net};

/// A connection's number, never used twice.
pub(crate) type LineId = u32;

/// The connection of whoever is no client of the workload: the nemesis, as an operator.
pub(crate) const OPERATOR: LineId = LineId::MAX;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) line: LineId,
    pub(crate) node: usize,
    pub(crate) correlation: u64,
    pub(crate) request: Request,
}

/// One connection.
#[derive(Debug)]
struct Wire {
    thread: usize,
    node: usize,
    replies: VecDeque<ReplyFrame>,
    /// The client has let it go, or the node's process has ended.
    closed: bool,
}

/// All connections of all clients.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    now: Duration,
    /// Whose future is being polled, and when it wants to be polled again.
    thread: usize,
    wake: Option<Duration>,
    lines: Vec<Wire>,
    sent: Vec<Sent>,
    /// Which nodes have a process that listens.
    up: Vec<bool>,
}

impl Wires {
    /// A thread's future is about to be polled.
    pub(crate) fn begin(&mut self, now_ns: u64, thread: usize) {
        (self.now, self.thread, self.wake) = (Duration::from_nanos(now_ns), thread, None);
    }

    /// When the future that was polled wants to be polled again at the latest, in nanoseconds.
    pub(crate) fn wake_ns(&self) -> Option<u64> {
        self.wake.map(|at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
    }

    /// What was sent since the last time.
    pub(crate) fn take_sent(&mut self, into: &mut Vec<Sent>) {
        into.append(&mut self.sent);
    }

    /// A reply arrives. The thread that waits for it, if one does.
    pub(crate) fn deliver(
        &mut self,
        line: LineId,
        correlation: u64,
        response: Response,
    ) -> Option<usize> {
        let wire = &mut self.lines[line as usize];
        if wire.closed {
            return None;
        }
        wire.replies.push_back(ReplyFrame { correlation, response });
        Some(wire.thread)
    }

    /// A node's process has begun, or ended, and with it its connections. The threads that notice.
    pub(crate) fn set_up(&mut self, node: usize, up: bool) -> Vec<usize> {
        if self.up.len() <= node {
            self.up.resize(node + 1, false);
        }
        self.up[node] = up;
        let mut threads = Vec::new();
        for wire in self.lines.iter_mut().filter(|wire| wire.node == node && !wire.closed) {
            wire.closed = true;
            threads.push(wire.thread);
        }
        threads
    }
}

/// The network as one client sees it.
#[derive(Clone, Debug)]
pub(crate) struct SimNet {
    pub(crate) wires: Rc<RefCell<Wires>>,
    pub(crate) nodes: Rc<[NodeId]>,
}

impl Net for SimNet {
    type Line = SimLine;

    fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    async fn open(&self, node: NodeId) -> io::Result<SimLine> {
        let wires = &mut *self.wires.borrow_mut();
        let at = usize::from(node.0 - 1);
        if !wires.up[at] {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let id = LineId::try_from(wires.lines.len()).map_err(io::Error::other)?;
        let thread = wires.thread;
        wires.lines.push(Wire { thread, node: at, replies: VecDeque::new(), closed: false });
        Ok(SimLine { wires: Rc::clone(&self.wires), id })
    }

    fn now(&self) -> Duration {
        self.wires.borrow().now
    }

    async fn sleep_until(&self, at: Duration) {
        poll_fn(|_| {
            let wires = &mut *self.wires.borrow_mut();
            if wires.now >= at {
                return Poll::Ready(());
            }
            wires.wake = Some(wires.wake.map_or(at, |wake| wake.min(at)));
            Poll::Pending
        })
        .await;
    }
}

/// A connection in a client's hands.
#[derive(Debug)]
pub(crate) struct SimLine {
    wires: Rc<RefCell<Wires>>,
    id: LineId,
}

impl Drop for SimLine {
    fn drop(&mut self) {
        self.wires.borrow_mut().lines[self.id as usize].closed = true;
    }
}

impl Line for SimLine {
    async fn send(&mut self, request: RequestFrame) -> io::Result<()> {
        let wires = &mut *self.wires.borrow_mut();
        let wire = &wires.lines[self.id as usize];
        if wire.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let RequestFrame { correlation, request } = request;
        wires.sent.push(Sent { line: self.id, node: wire.node, correlation, request });
        Ok(())
    }

    fn poll_reply(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<ReplyFrame>> {
        let wire = &mut self.wires.borrow_mut().lines[self.id as usize];
        match wire.replies.pop_front() {
            Some(reply) => Poll::Ready(Ok(reply)),
            None if wire.closed => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            None => Poll::Pending,
        }
    }
}
