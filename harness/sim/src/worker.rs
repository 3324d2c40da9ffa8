//! Client threads: each performs one operation at a time with the client of its process, as the workers of the engine's driver do.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use keelhaul_engine::generator::Thread;
use keelhaul_engine::interpreter::{Completion, Dispatch, Wake};
use keelhaul_engine::{Client, Outcome};
use keelhaul_history::{NodeId, Process};
use keelhaul_protocol::kv::Request;
use keelhaul_stores::raft::client::RaftClient;
use keelhaul_stores::raft::net::Net;

use crate::around::delay;
use crate::client::{LineId, Sent, SimNet};
use crate::node::Caller;
use crate::system::Simulated;
use crate::world::{Event, MS, Sim};

/// How long a thread whose client cannot be opened waits before it says so, as in the engine's driver.
const OPEN_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

type Raft = RaftClient<SimNet>;
type Job = Pin<Box<dyn Future<Output = (Option<Raft>, Outcome)>>>;

/// One thread.
#[derive(Default)]
pub(crate) struct Worker {
    client: Option<(Process, Raft)>,
    job: Option<(Process, Job)>,
    /// Counts operations, so that a deadline finds its own.
    operation: u64,
    /// When it is going to be polled, if it asked for that.
    pub(crate) poll_at: Option<u64>,
}

async fn perform(
    client: Option<Raft>,
    net: SimNet,
    node: NodeId,
    dispatch: Dispatch,
) -> (Option<Raft>, Outcome) {
    let mut client = match client {
        Some(client) => client,
        None => match Raft::on(net.clone(), node).await {
            Ok(client) => client,
            Err(trouble) => {
                net.sleep_until(net.now() + OPEN_PAUSE).await;
                return (None, Outcome::Fail(format!("no client: {trouble}").into()));
            }
        },
    };
    match client.invoke(dispatch.process, &dispatch.op).await {
        // Nobody uses the client of a process whose operation is unknown again.
        info @ Outcome::Info(_) => (None, info),
        outcome => (Some(client), outcome),
    }
}

impl<P: Simulated> Sim<'_, P> {
    /// Hands an operation to its thread.
    pub(crate) fn dispatch(&mut self, dispatch: Dispatch) {
        let Thread::Client(thread) = dispatch.thread else {
            self.begin(&dispatch.op);
            return;
        };
        self.figures.operations += 1;
        if let Some(invoked) = &mut self.invoked {
            invoked.push((self.now, thread, (*dispatch.op).clone()));
        }
        let (process, node) = (dispatch.process, dispatch.node.unwrap_or(NodeId(1)));
        let worker = &mut self.workers[thread as usize];
        worker.operation += 1;
        let client = worker.client.take().filter(|(owner, _)| *owner == process);
        let job = perform(client.map(|(_, client)| client), self.net.clone(), node, dispatch);
        worker.job = Some((process, Box::pin(job)));
        let event = Event::Deadline { thread, operation: worker.operation };
        self.queue.push(self.now + self.plan.op_timeout_ms * MS, event);
        self.poll(thread as usize);
    }

    /// Lets a thread go on as far as it can.
    pub(crate) fn poll(&mut self, thread: usize) {
        let worker = &mut self.workers[thread];
        let Some((process, job)) = &mut worker.job else { return };
        self.wires.borrow_mut().begin(self.now, thread);
        let polled = job.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready((client, outcome)) => {
                worker.client = client.map(|client| (*process, client));
                worker.job = None;
                self.complete(thread, outcome);
            }
            Poll::Pending => {
                let wake = self.wires.borrow().wake_ns();
                if let Some(at) = wake.filter(|at| worker.poll_at != Some(*at)) {
                    worker.poll_at = Some(at);
                    self.queue.push(at, Event::Poll { thread: thread as u32 });
                }
            }
        }
        let mut sent = std::mem::take(&mut self.sent);
        self.wires.borrow_mut().take_sent(&mut sent);
        for request in sent.drain(..) {
            self.request(request);
        }
        self.sent = sent;
    }

    /// An operation's time is up: nobody knows what becomes of it.
    pub(crate) fn deadline(&mut self, thread: usize, operation: u64) {
        let worker = &mut self.workers[thread];
        if worker.operation == operation && worker.job.take().is_some() {
            let limit = std::time::Duration::from_millis(self.plan.op_timeout_ms);
            self.complete(thread, Outcome::Info(format!("timeout after {limit:?}").into()));
        }
    }

    fn complete(&mut self, thread: usize, outcome: Outcome) {
        let thread = Thread::Client(thread as u32);
        self.completions.push(Completion { thread, outcome });
    }

    /// Everything that follows from completions, and new work.
    pub(crate) fn turn(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        self.interpreter.step(self.now, &mut completions, &mut self.effects);
        self.completions = completions;
        for op in &self.effects.records {
            self.writer.append(op).expect("a vector takes all bytes");
        }
        let dispatches = std::mem::take(&mut self.effects.dispatches);
        match self.effects.wake {
            Wake::At(at) if at != self.turn_at => {
                self.turn_at = at;
                self.queue.push(at, Event::Turn);
            }
            Wake::At(_) | Wake::Completion => {}
            Wake::Finished => self.finished = true,
            Wake::Stuck => unreachable!("the generator waits although nothing is in flight"),
        }
        for dispatch in dispatches {
            self.dispatch(dispatch);
        }
    }

    /// A request leaves a client.
    pub(crate) fn request(&mut self, sent: Sent) {
        let Sent { line, node, correlation, request } = sent;
        self.send_as(line, correlation, node, request);
    }

    /// A request is on its way to the process that a node runs now.
    pub(crate) fn send_as(
        &mut self,
        line: LineId,
        correlation: u64,
        node: usize,
        request: Request,
    ) {
        let life = self.nodes[node].life;
        let at = self.now + delay(&mut self.rng, self.plan.weather.late);
        let caller = Caller { line, correlation };
        self.queue.push(at, Event::Request { node: node as u8, life, caller, request });
    }
}
