//! Lives without a common clock: at each step one of the things that can happen does. A message arrives, in any order, or is lost;
//! a sync ends; a node's patience does; a node crashes; a client asks or gives up. Short logs, small windows and few nodes
//! bring more of the rare meetings of events about than minutes of a timed run do. In the end everything works and the
//! cluster must go on.

use std::collections::BTreeSet;
use std::fmt::Debug;

use keelhaul_protocol::api::{
    Effect, Input, LogIndex, Nanos, NodeId, RequestId, Stored, SyncTicket, Vocabulary,
};
use keelhaul_protocol::kv::{Request, Response};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::clients::{Clients, Next};
use super::disk::Disk;
use super::linear;

const STEPS: u64 = 6_000;
const CLIENTS: usize = 4;
/// Messages on their way at most; more are lost.
const WIRES_MAX: usize = 60;
const MS: u64 = 1_000_000;
/// The shortest election timeout; the longest is twice as long.
pub const ELECTION: Nanos = Nanos(150 * MS);
pub const HEARTBEAT: Nanos = Nanos(30 * MS);
/// Numbers of nodes to draw from.
pub const COUNTS: [usize; 8] = [1, 2, 3, 3, 3, 4, 5, 5];

/// A protocol's own part of a life: how its replicas are driven, and what must hold inside.
pub trait Subject {
    type Message: Vocabulary;
    type Replica;
    /// Whether a disk that crashes may have the hard state and lack of the log what was asked for before, or the other way round.
    const STATES_APART: bool = true;

    /// A replica that starts, for the first time or again.
    fn start(
        &mut self,
        id: NodeId,
        stored: Stored<Self::Message>,
        now: Nanos,
        rng: ChaCha8Rng,
        out: &mut Vec<Effect<Self::Message>>,
    ) -> Self::Replica;

    /// A replica takes inputs that are there at the same time.
    fn step(
        replica: &mut Self::Replica,
        now: Nanos,
        inputs: impl Iterator<Item = Input<Self::Message>>,
        out: &mut Vec<Effect<Self::Message>>,
    );

    /// How a replica stands, for whoever reads of a failure.
    fn status(replica: &Self::Replica) -> impl Debug;

    /// Whether the protocol changes what is stored in this way.
    fn may_store(effect: &Effect<Self::Message>) -> bool;

    /// A replica took a step and wants this done; `disks` are those of all nodes.
    fn check(
        &mut self,
        replica: &Self::Replica,
        asked: &[Effect<Self::Message>],
        disks: &[&Disk<Self::Message>],
    ) -> Result<(), String>;

    /// A message leaves a node whose disk holds this.
    fn may_send(
        &mut self,
        disk: &Disk<Self::Message>,
        from: NodeId,
        to: NodeId,
        message: &Self::Message,
    ) -> Result<(), String>;

    /// How far anybody has committed.
    fn committed(&self) -> LogIndex;

    /// Whether all who should have come so far.
    fn caught_up(replicas: &[&Self::Replica], committed: LogIndex) -> bool;

    /// In the end, when all nodes are up.
    fn compare(&mut self, _replicas: &[&Self::Replica]) -> Result<(), String> {
        Ok(())
    }

    /// How many eras the life had: those that began, or the number of the last.
    fn eras(&self, replicas: &[&Self::Replica]) -> u64;

    /// What an operator asks for, and which of the nodes.
    fn operate(
        &mut self,
        _nodes: usize,
        _replicas: &[&Self::Replica],
        _rng: &mut ChaCha8Rng,
    ) -> Option<(usize, RequestId, Request)> {
        None
    }

    /// An answer to anybody.
    fn answered(&mut self, _id: RequestId, _response: &Response) {}
}

struct Node<S: Subject> {
    replica: Option<S::Replica>,
    disk: Disk<S::Message>,
    /// Its own clock.
    clock: u64,
    /// When its timer goes off.
    due: u64,
    syncs: Vec<SyncTicket>,
    /// What arrived and is taken together with what comes next.
    inbox: Vec<Input<S::Message>>,
}

/// How often each thing happens, out of the sum; drawn anew for every run.
#[derive(Clone, Copy)]
pub struct Odds([u32; 11]);

/// How short logs are, and how small messages and windows; drawn anew for every run.
pub struct Sizes {
    pub snapshot_entries: u64,
    pub keep_entries: u64,
    pub entries_max: usize,
    pub bytes_max: usize,
    pub in_flight_max: usize,
}

/// A life that went well.
pub struct Life {
    pub eras: u64,
    /// Writes and swaps that were acknowledged.
    pub acknowledged: u64,
    /// Registers whose history was too much to judge.
    pub unjudged: u64,
}

struct Chaos<'a, S: Subject> {
    rng: ChaCha8Rng,
    odds: Odds,
    now: u64,
    nodes: Vec<Node<S>>,
    /// Ways (from, to) that lose everything.
    cut: BTreeSet<(usize, usize)>,
    wires: Vec<(usize, usize, S::Message)>,
    answers: Vec<(RequestId, Response)>,
    clients: Clients,
    /// The request that each client waits for; none: it rests.
    asked: Vec<Option<RequestId>>,
    subject: &'a mut S,
}

/// The life of so many nodes, by chance.
pub fn live<S: Subject>(
    subject: &mut S,
    count: usize,
    odds: Odds,
    rng: ChaCha8Rng,
) -> Result<Life, String> {
    let mut chaos = Chaos {
        rng,
        odds,
        now: 0,
        nodes: (0..count).map(|_| Node::new()).collect(),
        cut: BTreeSet::new(),
        wires: Vec::new(),
        answers: Vec::new(),
        clients: Clients::new(CLIENTS, count as u16),
        asked: vec![None; CLIENTS],
        subject,
    };
    for node in 0..count {
        chaos.start(node)?;
    }
    for _ in 0..STEPS {
        chaos.now += 1;
        chaos.happen()?;
    }
    chaos.recover()?;
    let replicas: Vec<&S::Replica> = replicas(&chaos.nodes);
    chaos.subject.compare(&replicas)?;
    chaos.judge()
}

fn replicas<S: Subject>(nodes: &[Node<S>]) -> Vec<&S::Replica> {
    nodes.iter().flat_map(|node| &node.replica).collect()
}

impl<S: Subject> Chaos<'_, S> {
    /// One thing happens, if it can.
    fn happen(&mut self) -> Result<(), String> {
        let node = self.rng.random_range(0..self.nodes.len());
        let client = self.rng.random_range(0..CLIENTS);
        match self.odds.next(&mut self.rng) {
            0 => self.deliver()?,
            1 => drop(self.take_message()),
            2 => self.sync(node)?,
            3 => self.tick(node)?,
            4 => self.unrest(node)?,
            5 => self.crash(node),
            6 => self.start_if_down(node)?,
            7 => self.act(client)?,
            8 => self.answer()?,
            9 => self.part(),
            _ => self.operate()?,
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
    fn take_message(&mut self) -> Option<(usize, usize, S::Message)> {
        let oldest = self.wires.len().min(if self.rng.random_bool(0.8) { 4 } else { WIRES_MAX });
        (oldest > 0).then(|| self.wires.remove(self.rng.random_range(0..oldest)))
    }

    fn receive(&mut self, from: usize, to: usize, message: S::Message) -> Result<(), String> {
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
            self.nodes[node].clock += ELECTION.0;
            return Ok(());
        }
        self.nodes.iter_mut().for_each(|node| node.clock += ELECTION.0);
        self.tick(node)?;
        self.tick((node + 1) % self.nodes.len())
    }

    fn crash(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if state.replica.take().is_some() {
            state.disk.crash(S::STATES_APART, &mut self.rng);
            state.syncs.clear();
            state.inbox.clear();
        }
    }

    fn start_if_down(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].replica.is_none() { self.start(node) } else { Ok(()) }
    }

    fn start(&mut self, node: usize) -> Result<(), String> {
        let rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let stored = self.nodes[node].disk.read();
        let now = Nanos(self.nodes[node].clock);
        let mut out = Vec::new();
        let replica = self.subject.start(NodeId(node as u16), stored, now, rng, &mut out);
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
        self.subject.answered(id, &response);
        let Some(client) = self.clients.waits(id, Some(&response)) else { return Ok(()) };
        let next = self.clients.answered(client, self.now, Some(&response), &mut self.rng);
        self.client_next(client, next)
    }

    fn operate(&mut self) -> Result<(), String> {
        let replicas = replicas(&self.nodes);
        match self.subject.operate(self.nodes.len(), &replicas, &mut self.rng) {
            Some((node, id, request)) => self.input(node, Input::Request { id, request }),
            None => Ok(()),
        }
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
    fn input(&mut self, node: usize, input: Input<S::Message>) -> Result<(), String> {
        let state = &mut self.nodes[node];
        let Some(replica) = &mut state.replica else { return Ok(()) };
        state.inbox.push(input);
        if self.rng.random_bool(0.25) {
            return Ok(());
        }
        let mut out = Vec::new();
        S::step(replica, Nanos(state.clock), state.inbox.drain(..), &mut out);
        let Some(replica) = &self.nodes[node].replica else { return Ok(()) };
        let disks: Vec<_> = self.nodes.iter().map(|node| &node.disk).collect();
        self.subject.check(replica, &out, &disks)?;
        self.carry_out(node, out)
    }

    fn carry_out(&mut self, node: usize, effects: Vec<Effect<S::Message>>) -> Result<(), String> {
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
                | Effect::SaveSnapshot { .. } => {
                    assert!(S::may_store(&effect), "{effect:?} is not how this log changes");
                    state.disk.submit(effect);
                }
                Effect::Send { to, message } => {
                    self.subject.may_send(&state.disk, NodeId(node as u16), to, &message)?;
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
        let committed = self.subject.committed();
        for node in 0..self.nodes.len() {
            self.start_if_down(node)?;
        }
        for _ in 0..ROUNDS_MAX {
            let caught_up = S::caught_up(&replicas(&self.nodes), committed);
            if self.clients.acknowledged > before && caught_up {
                return Ok(());
            }
            self.now += 1;
            self.round()?;
        }
        let statuses: Vec<_> = replicas(&self.nodes).into_iter().map(S::status).collect();
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
            state.clock += HEARTBEAT.0;
            if state.clock >= state.due {
                self.input(node, Input::Timer)?;
            }
        }
        Ok(())
    }

    fn judge(mut self) -> Result<Life, String> {
        self.clients.give_up();
        let mut unjudged = 0;
        for (key, ops) in &self.clients.history {
            match linear::is_linearizable(ops) {
                Some(true) => {}
                Some(false) => return Err(format!("key {key} is not linearizable")),
                None => unjudged += 1,
            }
        }
        let acknowledged = self.clients.acknowledged;
        let eras = self.subject.eras(&replicas(&self.nodes));
        Ok(Life { eras, acknowledged, unjudged })
    }
}

impl<S: Subject> Node<S> {
    fn new() -> Self {
        let (syncs, inbox) = (Vec::new(), Vec::new());
        Node { replica: None, disk: Disk::default(), clock: 0, due: 0, syncs, inbox }
    }
}

impl Odds {
    /// `unrest`, and `operator` if there is one: how much at least, and how much more at most.
    pub fn draw(unrest: (u32, u32), operator: Option<(u32, u32)>, rng: &mut ChaCha8Rng) -> Odds {
        let mut from = |(least, more): (u32, u32)| least + rng.random_range(0..=more);
        let (lose, crash, part) = (from((0, 200)), from((0, 8)), from((0, 8)));
        let (sync, tick, wait) = (from((100, 300)), from((10, 50)), from(unrest));
        let act = from((40, 100));
        let operate = operator.map_or(0, from);
        Odds([800, lose, sync, tick, wait, crash, 4 + 2 * crash, act, 60, part, operate])
    }

    /// Which thing happens next.
    fn next(&self, rng: &mut ChaCha8Rng) -> usize {
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

impl Sizes {
    pub fn draw(rng: &mut ChaCha8Rng) -> Sizes {
        let mut one_of = |values: [u64; 4]| values[rng.random_range(0..4)];
        Sizes {
            snapshot_entries: one_of([3, 8, 20, 1_000]),
            keep_entries: one_of([0, 1, 3, 10]),
            entries_max: one_of([1, 2, 3, 10]) as usize,
            bytes_max: one_of([64, 64, 200, 1_000]) as usize,
            in_flight_max: one_of([1, 2, 3, 10]) as usize,
        }
    }
}
