//! Groups, clients and movers, and the order in which things happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use keelhaul_protocol::api::{Entry, LogIndex, Nanos, Payload, Term};
use keelhaul_protocol::coordinator::{Answer, Coordinator, End, Input, Isolation, Move, Tidy, Why};
use keelhaul_protocol::kv::share::{Placing, Standing};
use keelhaul_protocol::kv::txns::Step;
use keelhaul_protocol::kv::{Command, Key, Machine, Mutant, Response, SessionId};
use keelhaul_protocol::mover::{self, Moved, Mover};
use keelhaul_protocol::placement::{GroupId, Placement};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A number below `n`.
pub fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    rng.next_u64() % n
}

/// A group of replicas that agree.
#[derive(Default)]
pub struct Group {
    machine: Machine,
    index: u64,
    sequence: u64,
    mistake: Option<Mutant>,
}

impl Group {
    fn new(mistake: Option<Mutant>) -> Self {
        let machine = Machine::default().with_mistake(mistake);
        Self { machine, mistake, ..Self::default() }
    }

    fn apply(&mut self, payload: Payload) -> Response {
        self.index += 1;
        let entry = Entry { index: LogIndex(self.index), term: Term(1), payload };
        self.machine.apply(&entry).unwrap()
    }

    pub fn perform(&mut self, command: Command) -> Response {
        if self.sequence == 0 {
            self.apply(Payload::Register);
        }
        self.sequence += 1;
        // Now and then from what a snapshot keeps.
        if self.index.is_multiple_of(7) {
            let restored = Machine::restore(&self.machine.snapshot()).unwrap();
            self.machine = restored.with_mistake(self.mistake);
        }
        self.apply(Payload::Command { session: SessionId(1), sequence: self.sequence, command })
    }

    fn standing(&mut self) -> Standing {
        match self.perform(Command::Place(Placing::Look)) {
            Response::Placed(standing) => standing,
            other => panic!("{other:?}"),
        }
    }
}

/// What a transaction does, in order: append to a key, or read it.
pub type Work = Vec<(u8, bool)>;

/// A transaction with its client.
pub struct Client {
    id: u8,
    work: Work,
    isolation: Isolation,
    coordinator: Coordinator,
    /// Where it believes keys to be.
    placement: Placement,
    /// How often it was begun, with a new coordinator each time.
    tries: u64,
    asked: Vec<(GroupId, Step)>,
    /// Answers so far, by question.
    answers: Vec<Option<Answer>>,
    wakes: Option<u64>,
    begun: u64,
    ended: Option<(u64, Option<End>)>,
    /// What it has to do after its end.
    left: Option<Tidy>,
    /// What it read, as of its last computation.
    read: BTreeMap<u8, Vec<u8>>,
}

impl Client {
    fn new(id: u8, isolation: Isolation, placement: Placement, work: Work) -> Self {
        Self {
            id,
            coordinator: coordinator(id, 1, isolation, &placement, &work),
            work,
            isolation,
            placement,
            tries: 1,
            asked: Vec::new(),
            answers: Vec::new(),
            wakes: None,
            begun: 0,
            ended: None,
            left: None,
            read: BTreeMap::new(),
        }
    }

    /// Learns from what it was answered where keys are.
    fn learn(&mut self, answer: &Answer) {
        if let Answer::Response(Response::Misplaced(placement)) = answer
            && placement.epoch > self.placement.epoch
        {
            self.placement = placement.clone();
        }
    }

    fn try_again(&mut self, now: u64) {
        self.tries += 1;
        self.coordinator =
            coordinator(self.id, self.tries, self.isolation, &self.placement, &self.work);
        self.wakes = Some(now + 20_000_000);
    }

    fn ask(&mut self, steps: Vec<(GroupId, Step)>) {
        self.answers = vec![None; steps.len()];
        self.asked = steps;
    }

    /// Whether it has nothing more to do, and nobody to wait for.
    fn rests(&self) -> bool {
        self.ended.is_some() && self.asked.is_empty()
    }

    /// It does nothing more.
    fn die(&mut self, now: u64) {
        self.ended.get_or_insert((now, None));
        self.ask(Vec::new());
    }
}

pub fn coordinator(
    id: u8,
    number: u64,
    isolation: Isolation,
    placement: &Placement,
    work: &Work,
) -> Coordinator {
    let keys: BTreeSet<Key> = work.iter().map(|(k, _)| key(*k)).collect();
    let name = (SessionId(u64::from(id)), number);
    Coordinator::new(Rc::new(placement.ring()), isolation, name, keys)
}

/// Who wants other groups to keep the keys.
pub struct Moving {
    mover: Mover,
    asked: Option<(GroupId, Command)>,
    wakes: u64,
    done: Option<Moved>,
}

impl Moving {
    fn new(known: Placement, wish: BTreeSet<GroupId>, wakes: u64) -> Self {
        Self { mover: Mover::new(known, wish), asked: None, wakes, done: None }
    }

    fn next(&mut self, now: u64, input: mover::Input) {
        match self.mover.step(Nanos(now), input) {
            mover::Move::Ask(group, command) => self.asked = Some((group, command)),
            mover::Move::Wait(time) => self.wakes = now + time.0,
            mover::Move::Done(moved) => self.done = Some(moved),
        }
    }
}

pub struct World {
    pub groups: BTreeMap<GroupId, Group>,
    pub clients: Vec<Client>,
    pub movers: Vec<Moving>,
    /// What dead movers asked and the network has not delivered yet.
    pub late: Vec<(GroupId, Command)>,
    pub now: u64,
    pub rng: ChaCha8Rng,
    pub faults: bool,
}

impl World {
    fn next(&mut self, at: usize, input: Input) {
        let now = Nanos(self.now);
        let client = &mut self.clients[at];
        match client.coordinator.step(now, input) {
            Move::Ask(steps) => client.ask(steps),
            Move::Compute(held) => {
                let mut values: BTreeMap<u8, Vec<u8>> =
                    held.into_iter().map(|(key, v)| (key[0], v.unwrap_or_default())).collect();
                client.read.clear();
                let mut puts = BTreeSet::new();
                for (key, appends) in &client.work {
                    let value = values.entry(*key).or_default();
                    if *appends {
                        value.push(client.id);
                        puts.insert(*key);
                    } else {
                        client.read.entry(*key).or_insert_with(|| value.clone());
                    }
                }
                let puts = puts.into_iter().map(|key| (vec![key], values[&key].clone())).collect();
                self.next(at, Input::Computed(puts));
            }
            Move::Wait(time) => client.wakes = Some(self.now + time.0),
            Move::Done(End::Failed(Why::Misplaced)) => {
                client.left = client.coordinator.left();
                client.ask(client.left.as_ref().map_or(Vec::new(), Tidy::finish));
                client.try_again(self.now);
            }
            Move::Done(end) => {
                client.ended = Some((self.now, Some(end)));
                client.left = client.coordinator.left();
                client.ask(client.left.as_ref().map_or(Vec::new(), Tidy::finish));
            }
        }
    }

    /// Something happens to one of the clients that are not done, or to a mover.
    fn tick(&mut self) -> bool {
        if !self.movers.is_empty() && below(&mut self.rng, 3) == 0 {
            self.now += 1 + below(&mut self.rng, 1_000_000);
            self.move_on();
        }
        let open: Vec<usize> =
            (0..self.clients.len()).filter(|at| !self.clients[*at].rests()).collect();
        if open.is_empty() {
            return false;
        }
        self.now += 1 + below(&mut self.rng, 4_000_000);
        let at = open[below(&mut self.rng, open.len() as u64) as usize];
        if self.clients[at].begun == 0 {
            self.clients[at].begun = self.now;
            self.next(at, Input::Begin);
        } else if self.faults && below(&mut self.rng, 60) == 0 {
            self.clients[at].die(self.now);
        } else if let Some(time) = self.clients[at].wakes
            && self.clients[at].asked.is_empty()
        {
            if time <= self.now {
                self.clients[at].wakes = None;
                self.next(at, Input::Woken);
            }
        } else {
            self.deliver(at);
        }
        true
    }

    /// One of the movers gets on, or dies, or what one has asked long ago arrives.
    fn move_on(&mut self) {
        if !self.late.is_empty() && below(&mut self.rng, 4) == 0 {
            let at = below(&mut self.rng, self.late.len() as u64) as usize;
            let (group, command) = self.late.swap_remove(at);
            self.groups.get_mut(&group).unwrap().perform(command);
        }
        let at = below(&mut self.rng, self.movers.len() as u64) as usize;
        let fate = if self.faults { below(&mut self.rng, 40) } else { 9 };
        let moving = &mut self.movers[at];
        let input = match moving.asked.take() {
            None if moving.wakes > self.now => return,
            None => mover::Input::Woken,
            Some((group, command)) => {
                let mut perform = || self.groups.get_mut(&group).unwrap().perform(command.clone());
                mover::Input::Answer(match fate {
                    0 => Answer::Refused,
                    1 => {
                        self.late.push((group, command));
                        Answer::Unknown
                    }
                    2 => {
                        perform();
                        Answer::Unknown
                    }
                    3 => {
                        self.late.push((group, command));
                        self.movers.swap_remove(at);
                        return;
                    }
                    _ => Answer::Response(perform()),
                })
            }
        };
        moving.next(self.now, input);
        if moving.done.is_some() {
            self.movers.swap_remove(at);
        }
    }

    /// The latest placement that any group was told of.
    pub fn placement(&mut self) -> Option<Placement> {
        let told = self.groups.values_mut().filter_map(|group| group.standing().placement);
        told.max_by_key(|placement| placement.epoch)
    }

    /// Lets these groups keep the keys, whatever was left halfway.
    pub fn place(&mut self, known: Placement, wish: BTreeSet<GroupId>) -> Moved {
        let mut moving = Moving::new(known, wish, self.now);
        moving.next(self.now, mover::Input::Begin);
        for _ in 0..10_000 {
            if let Some(moved) = moving.done {
                return moved;
            }
            self.now += 1_000_000;
            let input = match moving.asked.take() {
                Some((group, command)) => {
                    let response = self.groups.get_mut(&group).unwrap().perform(command);
                    mover::Input::Answer(Answer::Response(response))
                }
                None => {
                    self.now = self.now.max(moving.wakes);
                    mover::Input::Woken
                }
            };
            moving.next(self.now, input);
        }
        panic!("a mover without faults came to no end");
    }

    /// One of the steps that a client waits for reaches its group, or not.
    fn deliver(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let waiting: Vec<usize> =
            (0..client.asked.len()).filter(|i| client.answers[*i].is_none()).collect();
        let i = waiting[below(&mut self.rng, waiting.len() as u64) as usize];
        let (group, step) = client.asked[i].clone();
        let fate = if self.faults { below(&mut self.rng, 40) } else { 9 };
        let command = Command::Txn(step);
        let mut perform = || self.groups.get_mut(&group).unwrap().perform(command.clone());
        let answer = match fate {
            0 => Answer::Refused,
            1 => Answer::Unknown,
            2 => {
                perform();
                Answer::Unknown
            }
            _ => Answer::Response(perform()),
        };
        client.learn(&answer);
        client.answers[i] = Some(answer);
        if client.answers.iter().all(Option::is_some) {
            let answers: Vec<Answer> = client.answers.drain(..).flatten().collect();
            client.asked.clear();
            match client.left.take() {
                Some(left) => client.ask(left.forget(&answers).into_iter().collect()),
                None if client.ended.is_some() || client.wakes.is_some() => {}
                None => self.next(at, Input::Answers(answers)),
            }
        }
    }
}

/// What became of a transaction.
#[derive(Debug)]
pub struct Outcome {
    pub id: u8,
    pub work: Work,
    pub read: BTreeMap<u8, Vec<u8>>,
    pub begun: u64,
    pub ended: u64,
    /// Whether it took effect.
    pub committed: bool,
    pub told: Option<End>,
    pub tries: u64,
}

pub const KEYS: u64 = 4;

pub fn work(rng: &mut ChaCha8Rng) -> Work {
    let length = 1 + below(rng, 4);
    (0..length).map(|_| (below(rng, KEYS) as u8, below(rng, 2) == 0)).collect()
}

pub fn key(key: u8) -> Key {
    vec![key]
}

/// The lists at the end, and what became of each transaction.
pub type Played = (BTreeMap<u8, Vec<u8>>, Vec<Outcome>);

/// What is played.
#[derive(Clone, Copy)]
pub struct Play {
    pub isolation: Isolation,
    /// Groups that keep the keys at first.
    pub groups: u16,
    pub faults: bool,
    /// Whether other groups are to keep them meanwhile.
    pub moves: bool,
    pub mistake: Option<Mutant>,
}

/// Some of the groups that there can be.
pub fn wish(rng: &mut ChaCha8Rng) -> BTreeSet<GroupId> {
    let chosen = 1 + below(rng, (1 << GROUPS_MAX) - 1);
    (0..GROUPS_MAX).filter(|group| chosen & (1 << group) != 0).map(GroupId).collect()
}

pub const GROUPS_MAX: u16 = 3;

/// Plays transactions to their end.
pub fn play(play: Play, seed: u64) -> Option<Played> {
    let Play { isolation, groups, faults, moves, mistake } = play;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let first = Placement::first((0..groups).map(GroupId));
    let mut client = |id: u8| Client::new(id, isolation, first.clone(), work(&mut rng));
    let clients = (1..=8).map(&mut client).collect();
    let groups = (0..GROUPS_MAX).map(|group| (GroupId(group), Group::new(mistake))).collect();
    let mut mover = |_| {
        let wish = wish(&mut rng);
        Moving::new(first.clone(), wish, below(&mut rng, 200_000_000))
    };
    let movers = (0..if moves { 3 } else { 0 }).map(&mut mover).collect();
    let mut world = World { groups, clients, movers, late: Vec::new(), now: 1, rng, faults };
    for _ in 0..100_000 {
        if !world.tick() {
            break;
        }
    }
    // Whoever reads everything settles what the dead left behind, once somebody has completed what movers left.
    world.faults = false;
    world.movers.clear();
    let mut placement = first;
    if let Some(known) = world.placement() {
        let wish = wish(&mut world.rng);
        world.place(known, wish);
        placement = world.placement().unwrap();
    }
    let all = (0..KEYS).map(|key| (key as u8, false)).collect();
    world.clients.push(Client::new(99, Isolation::Serializable, placement, all));
    for _ in 0..100_000 {
        if !world.tick() {
            break;
        }
    }
    let last = world.clients.pop().unwrap();
    if last.ended.map(|(_, told)| told) != Some(Some(End::Committed)) {
        return None;
    }
    let lists = last.read;
    let outcomes = world.clients.into_iter().map(|client| {
        let (ended, told) = client.ended.unwrap();
        let there = lists.values().any(|list| list.contains(&client.id));
        let committed = there || told == Some(End::Committed);
        let Client { id, work, read, begun, tries, .. } = client;
        Outcome { id, work, read, begun, ended, committed, told, tries }
    });
    Some((lists.clone(), outcomes.collect()))
}
