//! Lives without a common clock: at each step one of the things that can happen does. A message arrives, in any order, or is lost;
//! a sync ends; a node's patience does; a node crashes; a client asks or gives up. Short logs, small windows and few nodes
//! bring more of the rare meetings of events about than minutes of a timed run do. In the end everything works and the
//! cluster must go on.

use std::collections::BTreeSet;

use keelhaul_protocol::api::{Effect, Input, Nanos, NodeId, RequestId, SyncTicket};
use keelhaul_protocol::kv::Response;
use keelhaul_protocol::zab::{Config, Message, Mutant, Replica};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::clients::{Clients, Next};
use super::disk::Disk;
use super::linear;
use super::oracle::{self, Oracle};

const STEPS: u64 = 6_000;
const CLIENTS: usize = 4;
/// Messages on their way at most; more are lost.
const WIRES_MAX: usize = 60;
const MS: u64 = 1_000_000;
const ELECTION_MS: u64 = 150;
const HEARTBEAT_MS: u64 = 30;

#[derive(Default)]
struct Node {
    replica: Option<Replica>,
    disk: Disk<Message>,
    /// Its own clock.
    clock: u64,
    /// When its timer goes off.
    due: u64,
    syncs: Vec<SyncTicket>,
    /// What arrived and is taken together with what comes next.
    inbox: Vec<Input<Message>>,
}

/// How often each thing happens, out of the sum; drawn anew for every run.
#[derive(Clone, Copy)]
struct Odds([u32; 10]);

/// What a life did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub acknowledged: u64,
    pub epochs: u64,
    pub unjudged: u64,
}

pub struct Chaos {
    rng: ChaCha8Rng,
    config: Config,
    odds: Odds,
    now: u64,
    nodes: Vec<Node>,
    /// Ways (from, to) that lose everything.
    cut: BTreeSet<(usize, usize)>,
    wires: Vec<(usize, usize, Message)>,
    answers: Vec<(RequestId, Response)>,
    clients: Clients,
    /// The request that each client waits for; none: it rests.
    asked: Vec<Option<RequestId>>,
    oracle: Oracle,
}

impl Chaos {
    pub fn run(seed: u64, mutant: Option<Mutant>) -> Result<Summary, String> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = [1, 2, 3, 3, 3, 4, 5, 5][rng.random_range(0..8)];
        let mut chaos = Chaos {
            config: draw_config(count, mutant, &mut rng),
            odds: draw_odds(&mut rng),
            rng,
            now: 0,
            nodes: (0..count).map(|_| Node::default()).collect(),
            cut: BTreeSet::new(),
            wires: Vec::new(),
            answers: Vec::new(),
            clients: Clients::new(CLIENTS, count as u16),
            asked: vec![None; CLIENTS],
            oracle: Oracle::default(),
        };
        for node in 0..count {
            chaos.start(node)?;
        }
        for _ in 0..STEPS {
            chaos.now += 1;
            chaos.happen()?;
        }
        chaos.recover()?;
        let replicas: Vec<&Replica> = chaos.nodes.iter().flat_map(|node| &node.replica).collect();
        chaos.oracle.compare_states(&replicas)?;
        chaos.judge()
    }

    /// One thing happens, if it can.
    fn happen(&mut self) -> Result<(), String> {
        let node = self.rng.random_range(0..self.nodes.len());
        let client = self.rng.random_range(0..CLIENTS);
        match self.odds.draw(&mut self.rng) {
            0 => self.deliver()?,
            1 => drop(self.take_message()),
            2 => self.sync(node)?,
            3 => self.tick(node)?,
            4 => self.unrest(node)?,
            5 => self.crash(node),
            6 => self.start_if_down(node)?,
            7 => self.act(client)?,
            8 => self.answer()?,
            _ => self.part(),
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), String> {
        let Some((from, to, message)) = self.take_message() else { return Ok(()) };
        if self.rng.random_bool(0.05) {
            self.wires.push((from, to, message.clone()));
        }
        self.receive(from, to, message)
    }

    /// Mostly one of the oldest, so that conversations come to an end.
    fn take_message(&mut self) -> Option<(usize, usize, Message)> {
        let oldest = self.wires.len().min(if self.rng.random_bool(0.8) { 4 } else { WIRES_MAX });
        (oldest > 0).then(|| self.wires.remove(self.rng.random_range(0..oldest)))
    }

    fn receive(&mut self, from: usize, to: usize, message: Message) -> Result<(), String> {
        if self.cut.contains(&(from, to)) {
            return Ok(());
        }
        self.input(to, Input::Receive { from: NodeId(from as u16), message })
    }

    /// One of the syncs asked for ends, and with it those before.
    fn sync(&mut self, node: usize) -> Result<(), String> {
        let state = &mut self.nodes[node];
        if state.syncs.is_empty() {
            return Ok(());
        }
        let at = self.rng.random_range(0..state.syncs.len());
        let Some(ticket) = state.syncs.drain(..=at).next_back() else { return Ok(()) };
        state.disk.complete(ticket);
        self.input(node, Input::Synced(ticket))
    }

    fn tick(&mut self, node: usize) -> Result<(), String> {
        let state = &mut self.nodes[node];
        state.clock = state.clock.max(state.due);
        self.input(node, Input::Timer)
    }

    /// Time passes, and the trust in a silent leader with it: for one node, or for all, of which two campaign.
    fn unrest(&mut self, node: usize) -> Result<(), String> {
        if self.rng.random_bool(0.5) {
            self.nodes[node].clock += ELECTION_MS * MS;
            return Ok(());
        }
        self.nodes.iter_mut().for_each(|node| node.clock += ELECTION_MS * MS);
        self.tick(node)?;
        self.tick((node + 1) % self.nodes.len())
    }

    fn crash(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if state.replica.take().is_some() {
            state.disk.crash(&mut self.rng);
            state.syncs.clear();
            state.inbox.clear();
        }
    }

    fn start_if_down(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].replica.is_none() { self.start(node) } else { Ok(()) }
    }

    fn start(&mut self, node: usize) -> Result<(), String> {
        let config = Config { id: NodeId(node as u16), ..self.config.clone() };
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let stored = self.nodes[node].disk.read();
        let now = Nanos(self.nodes[node].clock);
        let mut out = Vec::new();
        let replica = Replica::new(config, stored.clone(), now, rng, &mut out);
        self.oracle.restarted(&replica, &stored);
        self.nodes[node].replica = Some(replica);
        self.carry_out(node, out)
    }

    /// A client that rests asks for something; one that waits may lose patience.
    fn act(&mut self, client: usize) -> Result<(), String> {
        let next = match self.asked[client] {
            None => self.clients.wake(client, self.now, &mut self.rng),
            Some(id) if self.rng.random_bool(0.2) && self.clients.waits(id, None).is_some() => {
                self.clients.answered(client, self.now, None, &mut self.rng)
            }
            Some(_) => return Ok(()),
        };
        self.client_next(client, next)
    }

    fn client_next(&mut self, client: usize, next: Next) -> Result<(), String> {
        let Next::Send(to, id, request) = next else {
            self.asked[client] = None;
            return Ok(());
        };
        self.asked[client] = Some(id);
        self.input(usize::from(to.0), Input::Request { id, request })
    }

    fn answer(&mut self) -> Result<(), String> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let (id, response) = self.answers.remove(self.rng.random_range(0..self.answers.len()));
        let Some(client) = self.clients.waits(id, Some(&response)) else { return Ok(()) };
        let next = self.clients.answered(client, self.now, Some(&response), &mut self.rng);
        self.client_next(client, next)
    }

    /// Two sides are cut off from each other, or any ways are, or all is well again.
    fn part(&mut self) {
        let side = self.rng.random_range(0..1_u32 << self.nodes.len());
        let apart = |from: usize, to: usize| (side >> from ^ side >> to) & 1 == 1;
        let kind = self.rng.random_range(0..4);
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let cut = match kind {
                    0 | 1 => false,
                    2 => apart(from, to),
                    _ => self.rng.random_bool(0.4),
                };
                if cut {
                    self.cut.insert((from, to))
                } else {
                    self.cut.remove(&(from, to))
                };
            }
        }
    }

    /// Something reaches a node, which takes it at once or with what comes next.
    fn input(&mut self, node: usize, input: Input<Message>) -> Result<(), String> {
        let state = &mut self.nodes[node];
        let Some(replica) = &mut state.replica else { return Ok(()) };
        state.inbox.push(input);
        if self.rng.random_bool(0.25) {
            return Ok(());
        }
        let mut out = Vec::new();
        replica.step_all(Nanos(state.clock), state.inbox.drain(..), &mut out);
        self.oracle.asked(NodeId(node as u16), &out)?;
        let Some(replica) = &self.nodes[node].replica else { return Ok(()) };
        let disks: Vec<&Disk<Message>> = self.nodes.iter().map(|node| &node.disk).collect();
        self.oracle.check(replica, &disks)?;
        self.carry_out(node, out)
    }

    fn carry_out(&mut self, node: usize, effects: Vec<Effect<Message>>) -> Result<(), String> {
        for effect in effects {
            let state = &mut self.nodes[node];
            match effect {
                Effect::Sync(ticket) => {
                    state.syncs.push(ticket);
                    state.disk.submit(effect);
                }
                Effect::SaveHardState(_)
                | Effect::Append(_)
                | Effect::Put(_)
                | Effect::Truncate(_)
                | Effect::SaveSnapshot { .. } => state.disk.submit(effect),
                Effect::Send { to, message } => {
                    oracle::may_send(&state.disk, NodeId(node as u16), &message)?;
                    if self.wires.len() == WIRES_MAX {
                        self.wires.remove(self.rng.random_range(0..WIRES_MAX));
                    }
                    self.wires.push((node, usize::from(to.0), message));
                }
                Effect::Reply { id, response } => self.answers.push((id, response)),
                Effect::SetTimer(at) => state.due = at.0,
                Effect::Note(_) => {}
            }
        }
        Ok(())
    }

    /// All nodes are up, hear each other and no clock stands still: soon clients are served again, and every member has what was
    /// committed before.
    fn recover(&mut self) -> Result<(), String> {
        const ROUNDS_MAX: u64 = 300;
        self.cut.clear();
        let before = self.clients.acknowledged;
        let committed = self.oracle.committed();
        for node in 0..self.nodes.len() {
            self.start_if_down(node)?;
        }
        for _ in 0..ROUNDS_MAX {
            let mut replicas = self.nodes.iter().flat_map(|node| &node.replica);
            let caught_up = replicas.all(|replica| replica.status().committed >= committed);
            if self.clients.acknowledged > before && caught_up {
                return Ok(());
            }
            self.now += 1;
            self.round()?;
        }
        let replicas = self.nodes.iter().flat_map(|node| &node.replica);
        let statuses: Vec<_> = replicas.map(Replica::status).collect();
        Err(format!("no progress in {ROUNDS_MAX} heartbeats: {statuses:#?}"))
    }

    /// A heartbeat's time in which everything arrives.
    fn round(&mut self) -> Result<(), String> {
        const EXCHANGES_MAX: usize = 30;
        for _ in 0..EXCHANGES_MAX {
            for (from, to, message) in std::mem::take(&mut self.wires) {
                self.receive(from, to, message)?;
            }
            for node in 0..self.nodes.len() {
                self.sync(node)?;
            }
            for _ in 0..self.answers.len() {
                self.answer()?;
            }
        }
        (0..CLIENTS).try_for_each(|client| self.act(client))?;
        for node in 0..self.nodes.len() {
            let state = &mut self.nodes[node];
            state.clock += HEARTBEAT_MS * MS;
            if state.clock >= state.due {
                self.input(node, Input::Timer)?;
            }
        }
        Ok(())
    }

    fn judge(mut self) -> Result<Summary, String> {
        self.clients.give_up();
        let mut unjudged = 0;
        for (key, ops) in &self.clients.history {
            match linear::is_linearizable(ops) {
                Some(true) => {}
                Some(false) => return Err(format!("key {key} is not linearizable")),
                None => unjudged += 1,
            }
        }
        let (acknowledged, epochs) = (self.clients.acknowledged, self.oracle.epochs());
        Ok(Summary { acknowledged, epochs, unjudged })
    }
}

impl Odds {
    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let mut at = rng.random_range(0..self.0.iter().sum());
        self.0
            .iter()
            .position(|odds| {
                let hit = at < *odds;
                at = at.saturating_sub(*odds);
                hit
            })
            .unwrap_or(0)
    }
}

fn draw_odds(rng: &mut ChaCha8Rng) -> Odds {
    let mut up_to = |most: u32| rng.random_range(0..=most);
    let (lose, crash, part) = (up_to(200), up_to(8), up_to(8));
    let (sync, tick, wait) = (100 + up_to(300), 10 + up_to(50), 2 + up_to(12));
    let act = 40 + up_to(100);
    Odds([800, lose, sync, tick, wait, crash, 4 + 2 * crash, act, 60, part])
}

fn draw_config(count: usize, mutant: Option<Mutant>, rng: &mut ChaCha8Rng) -> Config {
    let mut one_of = |values: [u64; 4]| values[rng.random_range(0..4)];
    let mut config = Config::new(NodeId(0), (0..count as u16).map(NodeId).collect());
    config.election_timeout = Nanos(ELECTION_MS * MS)..=Nanos(2 * ELECTION_MS * MS);
    config.heartbeat_interval = Nanos(HEARTBEAT_MS * MS);
    config.settle_time = Nanos(HEARTBEAT_MS * MS / 2);
    config.snapshot_entries = one_of([3, 8, 20, 1_000]);
    config.keep_entries = one_of([0, 1, 3, 10]);
    config.propose_entries_max = one_of([1, 2, 3, 10]) as usize;
    config.propose_bytes_max = one_of([64, 64, 200, 1_000]) as usize;
    config.proposals_in_flight_max = one_of([1, 2, 3, 10]) as usize;
    config.mutant = mutant;
    config
}
