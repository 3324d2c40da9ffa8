//! The loop of a life: takes the next event, lets the node or client it concerns act, and schedules what follows.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

use keelhaul_agent::Line;
use keelhaul_engine::Invocation;
use keelhaul_engine::generator::Boxed;
use keelhaul_engine::interpreter::{Completion, Effects, Interpreter};
use keelhaul_history::{Header, NodeId, Writer};
use keelhaul_protocol::kv::{Request, Response};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::around::Seen;
use crate::client::{OPERATOR, Sent, SimNet, Wires};
use crate::disk::SimDisk;
use crate::nemesis::Struck;
use crate::node::{Arrival, Caller, Clock, Node};
use crate::oracle::{Broken, Oracle};
use crate::plan::{Evidence, SimPlan, stream};
use crate::queue::Queue;
use crate::states::{Abstract, IdentityHasher};
use crate::system::Simulated;
use crate::trace::Happening;
use crate::worker::Worker;

pub(crate) const MS: u64 = 1_000_000;
/// A life that has not ended by then is stuck in the harness; virtual time after the faults' end.
const OVERTIME: u64 = 120_000 * MS;

/// What is to happen.
#[derive(Debug)]
pub(crate) enum Event<M> {
    /// A message arrives at a node.
    Message { from: u8, to: u8, sent: u64, message: M },
    /// A node's timer may be due.
    Timer { node: u8, life: u32 },
    /// A node's sync ends.
    Synced { node: u8, life: u32 },
    /// A client's request arrives at the process it was connected to.
    Request { node: u8, life: u32, caller: Caller, request: Request },
    /// A node's answer arrives.
    Reply { caller: Caller, response: Response },
    /// A client wanted to be woken.
    Poll { thread: u32 },
    /// A client's time is up.
    Deadline { thread: u32, operation: u64 },
    /// The generator wanted to be asked.
    Turn,
    /// The nemesis goes on with what it does.
    Nemesis { wait: u64 },
    /// A clock jumps.
    Jump,
}

/// Figures of a life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events that happened.
    pub events: u64,
    /// Virtual time that passed, in nanoseconds.
    pub virtual_ns: u64,
    /// A hash over everything that happened, in order: lives with equal ones were the same.
    pub fingerprint: u64,
    /// Operations begun.
    pub operations: u64,
}

/// A set of states of the cluster, by hash.
pub type States = HashSet<u64, BuildHasherDefault<IdentityHasher>>;

/// Everything that a life changes.
pub(crate) struct Sim<'a, P: Simulated> {
    pub(crate) plan: &'a SimPlan,
    pub(crate) mutant: Option<P::Mutant>,
    pub(crate) now: u64,
    pub(crate) queue: Queue<Event<P::Message>>,
    pub(crate) nodes: Vec<Node<P>>,
    /// How many faults cut each way, `from * nodes + to`.
    pub(crate) cut: Vec<u16>,
    /// What faults do to each way otherwise.
    pub(crate) lines: Vec<Line>,
    /// Chances of network and disks, and of all else.
    pub(crate) rng: ChaCha8Rng,
    pub(crate) chance: ChaCha8Rng,
    pub(crate) wires: Rc<RefCell<Wires>>,
    pub(crate) net: SimNet,
    pub(crate) workers: Vec<Worker>,
    pub(crate) interpreter: Interpreter,
    pub(crate) effects: Effects,
    pub(crate) completions: Vec<Completion>,
    pub(crate) writer: Writer<Vec<u8>>,
    /// Invocations of clients, if they are wanted.
    pub(crate) invoked: Option<Vec<(u64, u32, Invocation)>>,
    /// Reused from poll to poll.
    pub(crate) sent: Vec<Sent>,
    pub(crate) turn_at: u64,
    pub(crate) finished: bool,
    pub(crate) nemesis: Struck,
    pub(crate) seen: Seen,
    pub(crate) oracle: Oracle,
    pub(crate) abstracted: Vec<Abstract>,
    pub(crate) states: &'a mut States,
    pub(crate) trace: Option<Vec<Happening>>,
    pub(crate) broken: Option<Broken>,
    pub(crate) healthy: Option<String>,
    pub(crate) figures: Figures,
}

/// What a life leaves.
pub(crate) struct Left {
    pub(crate) history: Vec<u8>,
    pub(crate) broken: Option<Broken>,
    pub(crate) unhealthy: Option<String>,
    pub(crate) trace: Vec<Happening>,
    pub(crate) invoked: Vec<(u64, u32, Invocation)>,
    pub(crate) figures: Figures,
}

impl<'a, P: Simulated> Sim<'a, P> {
    pub(crate) fn new(
        plan: &'a SimPlan,
        mutant: Option<P::Mutant>,
        generator: Boxed,
        header: &Header,
        recorded: bool,
        states: &'a mut States,
    ) -> Self {
        let nodes = usize::from(plan.nodes);
        let mut chance = stream(plan.seed, "chance");
        let drift = i64::from(plan.weather.drift_ppm);
        let clock = |rng: &mut ChaCha8Rng| Clock::new(rng.random_range(-drift..=drift));
        let wires = Rc::new(RefCell::new(Wires::default()));
        let net =
            SimNet { wires: Rc::clone(&wires), nodes: (1..=plan.nodes).map(NodeId).collect() };
        Self {
            plan,
            mutant,
            now: 0,
            queue: Queue::new(),
            nodes: (0..nodes)
                .map(|_| Node::new(SimDisk::new(plan.medium), clock(&mut chance)))
                .collect(),
            cut: vec![0; nodes * nodes],
            lines: vec![Line::default(); nodes * nodes],
            rng: stream(plan.seed, "network"),
            chance,
            wires,
            net,
            workers: (0..plan.concurrency).map(|_| Worker::default()).collect(),
            interpreter: Interpreter::new(generator, plan.concurrency, plan.nodes),
            effects: Effects::default(),
            completions: Vec::new(),
            writer: Writer::new(Vec::new(), header).expect("a vector takes all bytes"),
            invoked: recorded.then(Vec::new),
            sent: Vec::new(),
            turn_at: u64::MAX,
            finished: false,
            nemesis: Struck::default(),
            seen: Seen::default(),
            oracle: Oracle::new(nodes),
            abstracted: vec![Abstract::default(); nodes],
            states,
            trace: recorded.then(Vec::new),
            broken: None,
            healthy: None,
            figures: Figures { fingerprint: 0xcbf2_9ce4_8422_2325, ..Figures::default() },
        }
    }

    /// Lives until the generator is done, or an invariant is broken and that is evidence enough.
    pub(crate) fn live(mut self) -> Left {
        for node in 0..self.nodes.len() {
            self.start(node);
        }
        self.schedule_jump();
        self.turn();
        let end = self.plan.time_limit_ms * MS + OVERTIME;
        while !self.is_over()
            && let Some((at, event)) = self.queue.pop()
        {
            if at > end {
                self.healthy.get_or_insert_with(|| "the life does not come to an end".into());
                break;
            }
            self.now = at;
            self.figures.events += 1;
            self.happen(event);
            if !self.completions.is_empty() {
                self.turn();
            }
        }
        self.leave()
    }

    fn is_over(&self) -> bool {
        self.finished || (self.broken.is_some() && self.plan.evidence == Evidence::Any)
    }

    fn leave(mut self) -> Left {
        self.figures.virtual_ns = self.now;
        // A broken invariant ends a life with operations under way; the history is whole all the same.
        let history =
            self.writer.seal().unwrap_or_else(|_| unreachable!("a vector takes all bytes"));
        Left {
            history,
            broken: self.broken,
            unhealthy: self.healthy,
            trace: self.trace.unwrap_or_default(),
            invoked: self.invoked.unwrap_or_default(),
            figures: self.figures,
        }
    }

    fn happen(&mut self, event: Event<P::Message>) {
        match event {
            Event::Message { from, to, sent, message } => {
                self.print(1, u64::from(from) << 8 | u64::from(to));
                self.message(usize::from(from), usize::from(to), sent, message);
            }
            Event::Timer { node, life } => self.timer(usize::from(node), life),
            Event::Synced { node, life } => self.sync_ends(usize::from(node), life),
            Event::Request { node, life, caller, request } => {
                self.print(2, u64::from(node));
                if self.nodes[usize::from(node)].life == life {
                    self.arrive(usize::from(node), Arrival::Request { caller, request });
                }
            }
            Event::Reply { caller, response } if caller.line == OPERATOR => {
                self.answered(caller.correlation, &response);
            }
            Event::Reply { caller, response } => {
                self.print(3, u64::from(caller.line));
                let thread =
                    self.wires.borrow_mut().deliver(caller.line, caller.correlation, response);
                thread.into_iter().for_each(|thread| self.poll(thread));
            }
            Event::Poll { thread } => {
                if self.workers[thread as usize].poll_at == Some(self.now) {
                    self.workers[thread as usize].poll_at = None;
                    self.poll(thread as usize);
                }
            }
            Event::Deadline { thread, operation } => self.deadline(thread as usize, operation),
            Event::Turn => {
                if self.turn_at == self.now {
                    self.turn();
                }
            }
            Event::Nemesis { wait } => self.go_on(wait),
            Event::Jump => self.jump(),
        }
    }

    pub(crate) fn print(&mut self, kind: u64, detail: u64) {
        let mix = self.now ^ kind << 60 ^ detail << 40;
        self.figures.fingerprint =
            (self.figures.fingerprint ^ mix).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
    }
}
