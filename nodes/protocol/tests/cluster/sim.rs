//! A cluster in virtual time: replicas, disks, a bad network, clients and faults, all from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use keelhaul_protocol::api::{Effect, Input, LogIndex, Nanos, NodeId, RequestId, SyncTicket};
use keelhaul_protocol::kv::Response;
use keelhaul_protocol::raft::{Message, Mutant, Replica, Role, Status};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::churn::{self, Operator};
use super::faults::{Fault, Kinds, draw};
use super::lives::clients::{self, Clients, Next};
use super::lives::linear;
use super::oracle::{self, Disk, Oracle};
use super::weather::Weather;

const MS: u64 = 1_000_000;
const CLIENTS: usize = 10;
const REQUEST_TIMEOUT: u64 = 120 * MS;
/// Faults come until then; all is healed after it.
const FAULTS_UNTIL: u64 = 9_000 * MS;
const HEALTHY_FROM: u64 = 10_500 * MS;
const END: u64 = 11_000 * MS;

/// What is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A client can tell.
    Visible(String),
    /// An invariant inside is broken.
    Internal(String),
    /// No progress although nothing is wrong any more.
    Stuck,
    /// A replica that does not catch up with what was committed long ago, though nothing is wrong any more.
    Behind(Status, LogIndex),
}

/// What a run did, to see that it did something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub acknowledged: u64,
    pub faults: u64,
    pub snapshots_installed: u64,
    pub terms: u64,
    pub steps: u64,
    /// Changes of the members, and transfers.
    pub changes: u64,
    /// Registers whose history was too much to judge.
    pub unjudged: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        self.acknowledged += other.acknowledged;
        self.faults += other.faults;
        self.snapshots_installed += other.snapshots_installed;
        self.terms += other.terms;
        self.steps += other.steps;
        self.changes += other.changes;
        self.unjudged += other.unjudged;
    }
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub mutant: Option<Mutant>,
    pub kinds: Kinds,
    /// Ends at the first broken invariant; otherwise only what clients see counts.
    pub internal: bool,
    /// An operator changes the members.
    pub churn: bool,
    /// Leaders answer reads alone while they hold a lease, and clocks run at different rates.
    pub lease: bool,
}

/// How far rates of clocks may differ from the true one, each way, where there are leases: the bound that these state.
const DRIFT: f64 = 0.05;

enum Event {
    Deliver { from: usize, to: usize, message: Message },
    Timer { node: usize, life: u64, number: u64 },
    Synced { node: usize, life: u64, ticket: SyncTicket },
    Request { node: usize, id: RequestId, request: keelhaul_protocol::kv::Request },
    Reply { id: RequestId, response: Response },
    TimedOut { id: RequestId },
    Wake { client: usize },
    Inject,
    Operate,
    Heal { node: Option<usize> },
}

#[derive(Default)]
struct Node {
    replica: Option<Replica>,
    disk: Disk,
    /// Grows with every start, so that timers and syncs of an earlier life are known.
    life: u64,
    timer: u64,
    paused: Option<VecDeque<Input<Message>>>,
    /// How fast its clock runs.
    rate: f64,
}

impl Node {
    /// What its clock says at a time.
    fn clock(&self, at: u64) -> Nanos {
        Nanos((at as f64 * self.rate) as u64)
    }

    /// When its clock says that.
    fn time(&self, clock: Nanos) -> u64 {
        (clock.0 as f64 / self.rate).ceil() as u64
    }
}

pub struct Sim {
    plan: Plan,
    weather: Weather,
    rng: ChaCha8Rng,
    now: u64,
    sequence: u64,
    queue: BTreeMap<Reverse<(u64, u64)>, Event>,
    nodes: Vec<Node>,
    /// Ways (from, to) that lose everything, until when.
    cut: Vec<((usize, usize), u64)>,
    clients: Clients,
    operator: Operator,
    oracle: Oracle,
    summary: Summary,
    /// What was acknowledged and committed when all had been well for a while.
    healthy: Option<(u64, LogIndex)>,
}

impl Sim {
    pub fn run(plan: Plan) -> Result<Summary, Violation> {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let weather = Weather::of(plan.seed, &mut rng);
        let mut sim = Sim {
            plan,
            rng,
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            nodes: (0..weather.nodes).map(|_| Node { rate: 1.0, ..Node::default() }).collect(),
            cut: Vec::new(),
            clients: Clients::new(CLIENTS, weather.nodes as u16),
            operator: Operator::default(),
            oracle: Oracle::default(),
            summary: Summary::default(),
            healthy: None,
            weather,
        };
        for node in 0..sim.weather.nodes {
            if plan.lease {
                sim.nodes[node].rate = sim.rng.random_range(1.0 - DRIFT..=1.0 + DRIFT);
            }
            sim.start(node)?;
        }
        for client in 0..CLIENTS {
            sim.schedule(client as u64 * MS, Event::Wake { client });
        }
        sim.schedule(1_000 * MS, Event::Inject);
        if plan.churn {
            sim.schedule(500 * MS, Event::Operate);
        }
        sim.schedule(FAULTS_UNTIL, Event::Heal { node: None });
        sim.play()?;
        sim.judge()
    }

    fn play(&mut self) -> Result<(), Violation> {
        while let Some((Reverse((at, _)), event)) = self.queue.pop_last() {
            if at > END {
                break;
            }
            self.now = at;
            self.summary.steps += 1;
            if self.now >= HEALTHY_FROM && self.healthy.is_none() {
                let committed = self.statuses().map(|status| status.committed).max();
                self.healthy = Some((self.clients.acknowledged, committed.unwrap_or_default()));
            }
            self.handle(event)?;
        }
        Ok(())
    }

    fn judge(mut self) -> Result<Summary, Violation> {
        self.clients.give_up();
        self.final_reads();
        for (key, ops) in &self.clients.history {
            match linear::is_linearizable(ops) {
                Some(true) => {}
                Some(false) => {
                    return Err(Violation::Visible(format!("key {key} is not linearizable")));
                }
                None => self.summary.unjudged += 1,
            }
        }
        let (acknowledged, committed) = self.healthy.unwrap_or_default();
        if self.clients.acknowledged == acknowledged {
            return Err(Violation::Stuck);
        }
        let replicas: Vec<&Replica> = self.nodes.iter().flat_map(|node| &node.replica).collect();
        let behind = |status: &Status| {
            status.committed < committed && churn::is_member(&replicas, status.id, false)
        };
        if let Some(status) = self.statuses().find(behind) {
            return Err(Violation::Behind(status, committed));
        }
        self.summary.acknowledged = self.clients.acknowledged;
        self.summary.changes = self.operator.done;
        Ok(self.summary)
    }

    /// Every register is read once more, at the leader, when all is well.
    fn final_reads(&mut self) {
        let Some(leader) = self.leader() else { return };
        let Some(replica) = &self.nodes[leader].replica else { return };
        for (key, ops) in &mut self.clients.history {
            let held = replica.machine().read(&key.to_be_bytes()).map(Vec::as_slice);
            let kind = linear::Kind::Read(clients::decode(held));
            ops.push(linear::Op { kind, start: END, end: Some(END + 1) });
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver { from, to, message } => {
                let lost = |cut: &((usize, usize), u64)| cut.0 == (from, to) && self.now < cut.1;
                if !self.cut.iter().any(lost) {
                    self.input(to, Input::Receive { from: NodeId(from as u16), message })?;
                }
            }
            Event::Timer { node, life, number } => {
                if self.nodes[node].life == life && self.nodes[node].timer == number {
                    self.input(node, Input::Timer)?;
                }
            }
            Event::Synced { node, life, ticket } => {
                if self.nodes[node].life == life {
                    self.nodes[node].disk.complete(ticket);
                    self.input(node, Input::Synced(ticket))?;
                }
            }
            Event::Request { node, id, request } => {
                self.input(node, Input::Request { id, request })?;
            }
            // Now and then a connection breaks before the answer is through.
            Event::Reply { .. } if self.rng.random_bool(0.003) => {}
            Event::Reply { id, response } => {
                self.operator.answered(id, &response);
                self.answered(id, Some(&response));
            }
            Event::TimedOut { id } => self.answered(id, None),
            Event::Wake { client } => {
                let next = self.clients.wake(client, self.now, &mut self.rng);
                self.client_next(client, next);
            }
            Event::Inject => self.inject()?,
            Event::Operate => self.operate()?,
            Event::Heal { node: Some(node) } => self.revive(node)?,
            Event::Heal { node: None } => {
                self.mend();
                self.weather.settle();
                for node in 0..self.nodes.len() {
                    self.revive(node)?;
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, id: RequestId, response: Option<&Response>) {
        if let Some(client) = self.clients.waits(id, response) {
            let next = self.clients.answered(client, self.now, response, &mut self.rng);
            self.client_next(client, next);
        }
    }

    fn client_next(&mut self, client: usize, next: Next) {
        match next {
            Next::Send(node, id, request) => {
                let delay = self.delay();
                self.schedule(delay, Event::Request { node: usize::from(node.0), id, request });
                self.schedule(REQUEST_TIMEOUT, Event::TimedOut { id });
            }
            Next::Rest => {
                let rest = self.rng.random_range(5 * MS..25 * MS);
                self.schedule(rest, Event::Wake { client });
            }
        }
    }

    fn operate(&mut self) -> Result<(), Violation> {
        if self.now >= FAULTS_UNTIL {
            return Ok(());
        }
        let replicas = self.nodes.iter().flat_map(|node| &node.replica);
        let (node, id, request) = self.operator.next(self.nodes.len(), replicas, &mut self.rng);
        let next = self.rng.random_range(20 * MS..200 * MS);
        self.schedule(next, Event::Operate);
        self.input(node, Input::Request { id, request })
    }

    fn inject(&mut self) -> Result<(), Violation> {
        if self.now >= FAULTS_UNTIL {
            return Ok(());
        }
        self.summary.faults += 1;
        let length = self.rng.random_range(100 * MS..1_500 * MS);
        match draw(self.plan.kinds, self.nodes.len(), self.leader(), &mut self.rng) {
            Fault::Cut(pairs) => {
                self.mend();
                self.cut.extend(pairs.into_iter().map(|pair| (pair, u64::MAX)));
            }
            Fault::Kill(nodes) => {
                for node in nodes {
                    self.crash(node);
                    let wait = length + self.rng.random_range(0..200 * MS);
                    self.schedule(wait, Event::Heal { node: Some(node) });
                }
            }
            Fault::Pause(nodes) => {
                for node in nodes {
                    self.nodes[node].paused.get_or_insert_default();
                    self.schedule(length, Event::Heal { node: Some(node) });
                }
            }
        }
        let next = self.rng.random_range(200 * MS..1_500 * MS);
        self.schedule(next, Event::Inject);
        if self.rng.random_bool(0.3) {
            self.mend();
        }
        self.compare_states()
    }

    /// Ends all cuts. Each way comes back in its own time, as connections do that have waited ever longer.
    fn mend(&mut self) {
        self.cut.retain(|cut| self.now < cut.1);
        for cut in &mut self.cut {
            cut.1 = cut.1.min(self.now + self.rng.random_range(0..300 * MS));
        }
    }

    fn statuses(&self) -> impl Iterator<Item = Status> {
        self.nodes.iter().filter_map(|node| node.replica.as_ref()).map(Replica::status)
    }

    fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| {
            node.replica.as_ref().filter(|r| r.status().role == Role::Leader).map(Replica::term)
        };
        (0..self.nodes.len())
            .filter(|at| leads(&self.nodes[*at]).is_some())
            .max_by_key(|at| leads(&self.nodes[*at]))
    }

    fn start(&mut self, node: usize) -> Result<(), Violation> {
        let mut config = self.weather.config(node);
        config.mutant = self.plan.mutant;
        config.lease_reads = self.plan.lease;
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let mut out = Vec::new();
        let stored = self.nodes[node].disk.read();
        let now = self.nodes[node].clock(self.now);
        let replica = Replica::new(config, stored.clone(), now, rng, &mut out);
        self.oracle.restarted(&replica, &stored);
        self.nodes[node].life += 1;
        self.nodes[node].replica = Some(replica);
        self.carry_out(node, out)
    }

    fn crash(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if state.replica.take().is_some() {
            state.disk.crash(true, &mut self.rng);
            state.paused = None;
            state.life += 1;
        }
    }

    /// Starts what is down, and lets go on what stands still.
    fn revive(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].replica.is_none() {
            return self.start(node);
        }
        for input in self.nodes[node].paused.take().into_iter().flatten() {
            self.input(node, input)?;
        }
        Ok(())
    }

    fn input(&mut self, node: usize, input: Input<Message>) -> Result<(), Violation> {
        let state = &mut self.nodes[node];
        if let Some(inputs) = &mut state.paused {
            inputs.push_back(input);
            return Ok(());
        }
        let now = state.clock(self.now);
        let Some(replica) = &mut state.replica else { return Ok(()) };
        let installs = matches!(
            input,
            Input::Receive { message: Message::InstallSnapshot { done: true, .. }, .. }
        );
        let before = replica.status().applied;
        let mut out = Vec::new();
        replica.step(now, input, &mut out);
        self.summary.terms = self.summary.terms.max(replica.term().0);
        self.summary.snapshots_installed +=
            u64::from(installs && replica.status().applied > before);
        self.check(node, &out).map_err(Violation::Internal)?;
        self.carry_out(node, out)
    }

    fn check(&mut self, node: usize, effects: &[Effect<Message>]) -> Result<(), String> {
        if !self.plan.internal {
            return Ok(());
        }
        let id = NodeId(node as u16);
        self.oracle.asked(id, effects)?;
        for effect in effects {
            if let Effect::Send { to, message } = effect {
                oracle::may_send(&self.nodes[node].disk, id, *to, message)?;
            }
        }
        let Some(replica) = &self.nodes[node].replica else { return Ok(()) };
        let disks: Vec<&Disk> = self.nodes.iter().map(|node| &node.disk).collect();
        self.oracle.check(replica, &disks)
    }

    fn carry_out(&mut self, node: usize, effects: Vec<Effect<Message>>) -> Result<(), Violation> {
        for effect in effects {
            match effect {
                Effect::Sync(ticket) => {
                    let slow =
                        if self.rng.random_bool(self.weather.slow_disk) { 60 * MS } else { 2 * MS };
                    let delay = self.rng.random_range(MS / 5..slow);
                    let life = self.nodes[node].life;
                    self.nodes[node].disk.submit(effect);
                    self.schedule(delay, Event::Synced { node, life, ticket });
                }
                Effect::SaveHardState(_) | Effect::Append(_) | Effect::SaveSnapshot { .. } => {
                    self.nodes[node].disk.submit(effect);
                }
                Effect::Send { to, message } => self.send(node, usize::from(to.0), message),
                Effect::Reply { id, response } => {
                    let delay = self.delay();
                    self.schedule(delay, Event::Reply { id, response });
                }
                Effect::SetTimer(at) => {
                    self.nodes[node].timer += 1;
                    let (life, number) = (self.nodes[node].life, self.nodes[node].timer);
                    let wait = self.nodes[node].time(at).saturating_sub(self.now);
                    self.schedule(wait, Event::Timer { node, life, number });
                }
                Effect::Note(_) => {}
                Effect::Put(_) | Effect::Truncate(_) => {
                    unreachable!("a log of Raft is replaced from an entry on")
                }
            }
        }
        Ok(())
    }

    /// Messages are lost, doubled and late now and then, and overtake each other.
    fn send(&mut self, from: usize, to: usize, message: Message) {
        if self.rng.random_bool(self.weather.lost) {
            return;
        }
        if self.rng.random_bool(self.weather.doubled) {
            let delay = self.rng.random_range(MS..100 * MS);
            self.schedule(delay, Event::Deliver { from, to, message: message.clone() });
        }
        let delay = self.delay();
        self.schedule(delay, Event::Deliver { from, to, message });
    }

    fn delay(&mut self) -> u64 {
        let late = if self.rng.random_bool(self.weather.late) { 50 * MS } else { 2 * MS };
        self.rng.random_range(MS / 5..late)
    }

    fn schedule(&mut self, after: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert(Reverse((self.now + after, self.sequence)), event);
    }

    fn compare_states(&mut self) -> Result<(), Violation> {
        if !self.plan.internal {
            return Ok(());
        }
        let replicas: Vec<&Replica> =
            self.nodes.iter().filter_map(|node| node.replica.as_ref()).collect();
        self.oracle.compare_states(&replicas).map_err(Violation::Internal)
    }
}
