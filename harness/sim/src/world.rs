//! The loop of a life: takes the next event, lets the node or client it concerns act, and schedules what follows.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::Boxed;
use keelhaul_engine::interpreter::{Completion, Effects, Interpreter, Wake};
use keelhaul_history::{Header, NodeId, Writer};
use keelhaul_protocol::api;
use keelhaul_protocol::kv::{Request, Response};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::around::{Around, Seen, chance, delay};
use crate::client::{LineId, OPERATOR, Sent, SimNet, Wires};
use crate::disk::SimDisk;
use crate::links::{self, Way};
use crate::nemesis::Struck;
use crate::node::{Arrival, Caller, Clock, Node};
use crate::oracle::{Broken, Oracle};
use crate::plan::{SimPlan, stream};
use crate::queue::Queue;
use crate::states::{Abstract, IdentityHasher};
use crate::system::Simulated;
use crate::trace::{Happening, What};
use crate::worker::Worker;

pub(crate) const MS: u64 = 1_000_000;
/// A sync's usual time, and that of a slow one.
const SYNC: std::ops::Range<u64> = MS / 5..2 * MS;
const SLOW_SYNC: std::ops::Range<u64> = 2 * MS..60 * MS;
/// How often a sync that stalls is looked at.
const STALL: u64 = 5 * MS;
/// How far a clock jumps.
const JUMP: std::ops::Range<u64> = 10 * MS..2_000 * MS;
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
    mutant: Option<P::Mutant>,
    pub(crate) now: u64,
    pub(crate) queue: Queue<Event<P::Message>>,
    pub(crate) nodes: Vec<Node<P>>,
    /// How many faults cut each way, `from * nodes + to`.
    pub(crate) cut: Vec<u16>,
    /// What faults do to each way otherwise.
    pub(crate) ways: Vec<Way>,
    /// Chances of network and disks, and of all else.
    rng: ChaCha8Rng,
    pub(crate) chance: ChaCha8Rng,
    pub(crate) wires: Rc<RefCell<Wires>>,
    pub(crate) net: SimNet,
    pub(crate) workers: Vec<Worker>,
    interpreter: Interpreter,
    effects: Effects,
    pub(crate) completions: Vec<Completion>,
    writer: Writer<Vec<u8>>,
    /// Invocations of clients, if they are wanted.
    pub(crate) invoked: Option<Vec<(u64, u32, Invocation)>>,
    /// Reused from poll to poll.
    pub(crate) sent: Vec<Sent>,
    turn_at: u64,
    finished: bool,
    pub(crate) nemesis: Struck,
    pub(crate) seen: Seen,
    oracle: Oracle,
    abstracted: Vec<Abstract>,
    states: &'a mut States,
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
            ways: links::ways(nodes, std::iter::empty()),
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

    /// Lives until the generator is done, or an invariant is broken.
    pub(crate) fn live(mut self) -> Left {
        for node in 0..self.nodes.len() {
            self.start(node);
        }
        self.schedule_jump();
        self.turn();
        let end = self.plan.time_limit_ms * MS + OVERTIME;
        while !self.finished
            && self.broken.is_none()
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

    fn print(&mut self, kind: u64, detail: u64) {
        let mix = self.now ^ kind << 60 ^ detail << 40;
        self.figures.fingerprint =
            (self.figures.fingerprint ^ mix).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
    }

    fn message(&mut self, from: usize, to: usize, sent: u64, message: P::Message) {
        if self.cut[from * self.nodes.len() + to] > 0 || self.nodes[to].process.is_none() {
            return;
        }
        if let Some(trace) = &mut self.trace {
            let (label, routine) = P::describe(&message);
            let (from, to) = (from as u16 + 1, to as u16 + 1);
            let what = What::Message { from, to, sent_ns: sent, label, routine };
            trace.push(Happening { at_ns: self.now, what });
        }
        self.arrive(to, Arrival::Message { from, message });
    }

    fn timer(&mut self, node: usize, life: u32) {
        let state = &mut self.nodes[node];
        if state.life == life
            && let Some(process) = &mut state.process
            && process.armed_at <= self.now
        {
            process.armed_at = u64::MAX;
            self.arrive(node, Arrival::Timer);
        }
    }

    /// A sync ends, unless its disk stalls: then it is looked at again.
    fn sync_ends(&mut self, node: usize, life: u32) {
        if self.nodes[node].life != life {
            return;
        }
        if self.nodes[node].disk.trouble() == Some(keelhaul_nemesis::Trouble::Stall) {
            let event = Event::Synced { node: node as u8, life };
            self.queue.push(self.now + STALL, event);
            return;
        }
        self.arrive(node, Arrival::Synced);
    }

    /// Something reaches a node's process, if there is one, now or when it goes on.
    fn arrive(&mut self, node: usize, arrival: Arrival<P::Message>) {
        let state = &mut self.nodes[node];
        let Some(process) = &mut state.process else { return };
        if let Some(waiting) = &mut state.paused {
            waiting.push_back(arrival);
            return;
        }
        match arrival {
            Arrival::Message { from, message } => {
                process.core.receive(api::NodeId(from as u16 + 1), message);
            }
            Arrival::Request { caller, request } => process.core.request(caller, request),
            Arrival::Timer => {}
            Arrival::Synced => {
                let Some((ticket, mark)) = process.syncing.take() else { return };
                if let Err(error) = process.storage.settle(Some(ticket)) {
                    self.disk_failed(node, &error.to_string());
                    return;
                }
                self.oracle.synced(node, mark);
                process.core.synced(ticket);
            }
        }
        self.advance(node);
    }

    /// Lets a node decide on what has reached it, and carries out what it wants.
    fn advance(&mut self, node: usize) {
        let nodes = self.nodes.len();
        let state = &mut self.nodes[node];
        let Some(process) = &mut state.process else { return };
        let local = api::Nanos(state.clock.local(self.now));
        process.core.look_at_timer(local);
        process.core.step(local);
        let protocol = process.core.protocol();
        let standing = protocol.standing();
        let stepped = self.oracle.stepped(node, protocol, &standing, process.core.effects());
        if let Err(broken) = stepped {
            self.broken.get_or_insert(broken);
        }
        let fresh = Abstract::of(&standing, self.oracle.committed());
        if fresh != self.abstracted[node] {
            self.abstracted[node] = fresh;
            self.states.insert(Abstract::cluster(&self.abstracted));
        }
        let mut around = Around::<P> {
            node,
            now: self.now,
            queue: &mut self.queue,
            plan: self.plan,
            rng: &mut self.rng,
            commands: &mut process.commands,
            trace: &mut self.trace,
            seen: &mut self.seen,
            ways: &self.ways[node * nodes..(node + 1) * nodes],
        };
        process.core.carry_out(&mut around);
        if let Some(due) = process.core.timer() {
            let at = state.clock.when(due.0, self.now);
            if at < process.armed_at {
                process.armed_at = at;
                self.queue.push(at, Event::Timer { node: node as u8, life: state.life });
            }
        }
        self.write(node);
        self.look_for_moments(node);
    }

    /// The disk takes the next batch, unless it is busy with one.
    fn write(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(process) = &mut state.process else { return };
        if process.syncing.is_some() || process.commands.is_empty() {
            return;
        }
        let written = process.storage.write(process.commands.drain(..));
        let written = written.and_then(|ticket| process.storage.flush().map(|()| ticket));
        match written {
            Err(error) => self.disk_failed(node, &error.to_string()),
            Ok(None) => {}
            Ok(Some(ticket)) => {
                process.syncing = Some((ticket, self.oracle.asked(node)));
                let slow = chance(&mut self.rng, self.plan.weather.slow_syncs);
                let mut took = self.rng.random_range(if slow { SLOW_SYNC } else { SYNC });
                if let Some(keelhaul_nemesis::Trouble::SlowSync(ms)) = state.disk.trouble() {
                    took += ms * MS;
                }
                let event = Event::Synced { node: node as u8, life: state.life };
                self.queue.push(self.now + took, event);
            }
        }
    }

    /// A process ends when its disk fails; when power was lost, what was not synced is gone.
    fn disk_failed(&mut self, node: usize, why: &str) {
        let dark = self.nodes[node].disk.is_dark();
        self.end(node, if dark { "power is cut" } else { why });
        if dark {
            let mut torn = self.nemesis.torn(node);
            self.nodes[node].disk.lose_power(torn.as_mut());
        }
    }

    /// A process begins with what its disk holds; it may refuse that.
    pub(crate) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let seed = self.chance.random();
        match self.nodes[node].boot(node as u16 + 1, self.plan, self.mutant, self.now, seed) {
            Ok((process, stored)) => {
                self.oracle.restarted::<P>(node, &stored);
                self.nodes[node].process = Some(process);
                self.nodes[node].life += 1;
                self.wires.borrow_mut().set_up(node, true);
                self.fault(node, "starts");
                self.advance(node);
            }
            Err(error) => {
                if self.nodes[node].disk.is_dark() {
                    self.nodes[node].disk.lose_power(None);
                }
                self.fault(node, &format!("does not start: {error}"));
            }
        }
    }

    /// A process ends at once.
    pub(crate) fn end(&mut self, node: usize, why: &str) {
        let state = &mut self.nodes[node];
        if state.process.take().is_none() {
            return;
        }
        state.life += 1;
        state.paused = None;
        self.fault(node, why);
        self.abstracted[node] = Abstract::default();
        let threads = self.wires.borrow_mut().set_up(node, false);
        threads.into_iter().for_each(|thread| self.poll(thread));
    }

    /// A process that stood still goes on with what has waited for it.
    pub(crate) fn resume(&mut self, node: usize) {
        let Some(waiting) = self.nodes[node].paused.take() else { return };
        let life = self.nodes[node].life;
        self.fault(node, "goes on");
        for arrival in waiting {
            if self.nodes[node].life == life {
                self.arrive(node, arrival);
            }
        }
    }

    /// Notes what was done to a node.
    pub(crate) fn fault(&mut self, node: usize, text: &str) {
        self.print(4, node as u64);
        if let Some(trace) = &mut self.trace {
            let what = What::Fault { node: node as u16 + 1, text: text.to_owned() };
            trace.push(Happening { at_ns: self.now, what });
        }
    }

    fn schedule_jump(&mut self) {
        let mean = u64::from(self.plan.weather.jump_ms) * MS;
        if mean > 0 && self.now < self.plan.time_limit_ms * MS {
            let wait = self.chance.random_range(mean / 2..mean * 3 / 2);
            self.queue.push(self.now + wait, Event::Jump);
        }
    }

    fn jump(&mut self) {
        let node = self.chance.random_range(0..self.nodes.len());
        let by = self.chance.random_range(JUMP);
        let now = self.now;
        self.nodes[node].clock.jump(now, by);
        self.fault(node, &format!("its clock jumps {} ms", by / MS));
        if let Some(process) = &mut self.nodes[node].process {
            process.armed_at = self.now;
            let life = self.nodes[node].life;
            self.queue.push(self.now, Event::Timer { node: node as u8, life });
        }
        self.schedule_jump();
    }

    /// Everything that follows from completions, and new work.
    fn turn(&mut self) {
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
