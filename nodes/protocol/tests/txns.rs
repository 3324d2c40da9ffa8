//! Coordinators against groups, with steps in any order, answers that get lost and coordinators that die: what commits is all there, what
//! fails is not, and each level of isolation lets happen what it is there to let happen, and nothing else. Also while keys move from
//! group to group, by movers that want different things and die as well.
//!
//! Transactions append to lists and read them, so that the lists tell the order of all versions. The judge is the definition: edges
//! between all pairs of transactions, and paths found by trying.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

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
fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    rng.next_u64() % n
}

/// A group of replicas that agree.
#[derive(Default)]
struct Group {
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

    fn perform(&mut self, command: Command) -> Response {
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
type Work = Vec<(u8, bool)>;

/// A transaction with its client.
struct Client {
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

fn coordinator(
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
struct Moving {
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

struct World {
    groups: BTreeMap<GroupId, Group>,
    clients: Vec<Client>,
    movers: Vec<Moving>,
    /// What dead movers asked and the network has not delivered yet.
    late: Vec<(GroupId, Command)>,
    now: u64,
    rng: ChaCha8Rng,
    faults: bool,
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
    fn placement(&mut self) -> Option<Placement> {
        let told = self.groups.values_mut().filter_map(|group| group.standing().placement);
        told.max_by_key(|placement| placement.epoch)
    }

    /// Lets these groups keep the keys, whatever was left halfway.
    fn place(&mut self, known: Placement, wish: BTreeSet<GroupId>) -> Moved {
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
struct Outcome {
    id: u8,
    work: Work,
    read: BTreeMap<u8, Vec<u8>>,
    begun: u64,
    ended: u64,
    /// Whether it took effect.
    committed: bool,
    told: Option<End>,
    tries: u64,
}

const KEYS: u64 = 4;

fn work(rng: &mut ChaCha8Rng) -> Work {
    let length = 1 + below(rng, 4);
    (0..length).map(|_| (below(rng, KEYS) as u8, below(rng, 2) == 0)).collect()
}

fn key(key: u8) -> Key {
    vec![key]
}

/// The lists at the end, and what became of each transaction.
type Played = (BTreeMap<u8, Vec<u8>>, Vec<Outcome>);

/// What is played.
#[derive(Clone, Copy)]
struct Play {
    isolation: Isolation,
    /// Groups that keep the keys at first.
    groups: u16,
    faults: bool,
    /// Whether other groups are to keep them meanwhile.
    moves: bool,
    mistake: Option<Mutant>,
}

/// Some of the groups that there can be.
fn wish(rng: &mut ChaCha8Rng) -> BTreeSet<GroupId> {
    let chosen = 1 + below(rng, (1 << GROUPS_MAX) - 1);
    (0..GROUPS_MAX).filter(|group| chosen & (1 << group) != 0).map(GroupId).collect()
}

const GROUPS_MAX: u16 = 3;

/// Plays transactions to their end.
fn play(play: Play, seed: u64) -> Option<Played> {
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

/// All of it or nothing, as its client was told.
fn atomic(lists: &BTreeMap<u8, Vec<u8>>, outcomes: &[Outcome]) -> Result<(), String> {
    for outcome in outcomes {
        let mut appended: BTreeMap<u8, usize> = BTreeMap::new();
        for (key, _) in outcome.work.iter().filter(|(_, appends)| *appends) {
            *appended.entry(*key).or_default() += 1;
        }
        for (key, times) in appended {
            let there = lists[&key].iter().filter(|id| **id == outcome.id).count();
            let expected = if outcome.committed { times } else { 0 };
            if there != expected {
                return Err(format!("key {key} of {outcome:?}\n{lists:?}"));
            }
        }
        if outcome.committed && matches!(outcome.told, Some(End::Failed(_))) {
            return Err(format!("{outcome:?}"));
        }
    }
    Ok(())
}

/// Dependencies between committed transactions: who comes before whom, and whether by an anti-dependency.
fn edges(lists: &BTreeMap<u8, Vec<u8>>, outcomes: &[Outcome]) -> BTreeSet<(u8, u8, bool)> {
    let mut edges = BTreeSet::new();
    let mut add = |from: u8, to: u8, anti| {
        if from != to {
            edges.insert((from, to, anti));
        }
    };
    for list in lists.values() {
        list.windows(2).for_each(|pair| add(pair[0], pair[1], false));
    }
    for reader in outcomes.iter().filter(|outcome| outcome.committed) {
        for (key, seen) in &reader.read {
            // Its own appends are no part of what others did before.
            let seen: Vec<u8> = seen.iter().copied().filter(|id| *id != reader.id).collect();
            let others = || lists[key].iter().copied().filter(|id| *id != reader.id);
            if let Some(last) = seen.last() {
                add(*last, reader.id, false);
            }
            let behind = others().find(|id| !seen.contains(id));
            behind.into_iter().for_each(|next| add(reader.id, next, true));
        }
    }
    edges
}

/// Whether one reaches the other by these edges.
fn path(edges: &BTreeSet<(u8, u8)>, from: u8, to: u8) -> bool {
    let (mut seen, mut front) = (BTreeSet::from([from]), vec![from]);
    while let Some(at) = front.pop() {
        if at == to {
            return true;
        }
        let next = edges.iter().filter(|(a, _)| *a == at).map(|(_, b)| *b);
        front.extend(next.filter(|b| seen.insert(*b)));
    }
    false
}

/// The worst circle: 0 of none at all, 3 of no anti-dependency, 2 of one, 1 of several.
fn worst(edges: &BTreeSet<(u8, u8, bool)>) -> u8 {
    let plain: BTreeSet<(u8, u8)> = edges.iter().filter(|e| !e.2).map(|e| (e.0, e.1)).collect();
    let all: BTreeSet<(u8, u8)> = edges.iter().map(|e| (e.0, e.1)).collect();
    if plain.iter().any(|(a, b)| path(&plain, *b, *a)) {
        3
    } else if edges.iter().any(|(a, b, anti)| *anti && path(&plain, *b, *a)) {
        2
    } else {
        u8::from(all.iter().any(|(a, b)| path(&all, *b, *a)))
    }
}

/// Circles by kind over many runs, as [`worst`] numbers them; with real time among the plain edges if that is promised.
fn circles(
    isolation: Isolation,
    runs: u64,
    (faults, moves): (bool, bool),
    real_time: bool,
) -> [u64; 4] {
    let mut counts = [0; 4];
    let (mut committed, mut settled, mut misplaced) = (0, 0, 0);
    for seed in 0..runs {
        let groups = 1 + seed as u16 % GROUPS_MAX;
        let played = play(Play { isolation, groups, faults, moves, mistake: None }, seed);
        let (lists, outcomes) = played.expect("what is left behind is settled");
        assert_eq!(atomic(&lists, &outcomes), Ok(()), "{isolation:?}, seed {seed}");
        let mut edges = edges(&lists, &outcomes);
        let done = || outcomes.iter().filter(|outcome| outcome.committed);
        for before in done().filter(|outcome| real_time && outcome.told == Some(End::Committed)) {
            let later = done().filter(|outcome| before.ended < outcome.begun);
            edges.extend(later.map(|outcome| (before.id, outcome.id, false)));
        }
        counts[usize::from(worst(&edges))] += 1;
        committed += done().count();
        misplaced += outcomes.iter().map(|outcome| outcome.tries - 1).sum::<u64>();
        settled += done().filter(|outcome| outcome.told != Some(End::Committed)).count();
    }
    assert!(committed as u64 > 4 * runs, "{isolation:?}: {committed} committed");
    assert!(!faults || settled > 0, "{isolation:?}: nobody's transaction was settled");
    assert!(!moves || misplaced > runs, "{isolation:?}: {misplaced} keys were not where they were");
    counts
}

#[test]
fn serializable_lets_no_circle_happen_not_even_with_real_time() {
    for trouble in [(false, false), (true, false), (false, true), (true, true)] {
        let [none, several, one, plain] = circles(Isolation::Serializable, 400, trouble, true);
        assert_eq!((several, one, plain), (0, 0, 0), "of {none}, {trouble:?}");
    }
}

#[test]
fn snapshot_isolation_lets_write_skew_happen_and_nothing_worse() {
    for moves in [false, true] {
        let [_, several, one, plain] = circles(Isolation::Snapshot, 600, (true, moves), true);
        assert_eq!((one, plain), (0, 0));
        assert!(several > 5, "{several}");
    }
}

#[test]
fn read_committed_lets_parts_of_transactions_be_seen_and_nothing_worse() {
    for moves in [false, true] {
        let level = Isolation::ReadCommitted;
        let [_, several, one, plain] = circles(level, 800, (true, moves), false);
        assert_eq!(plain, 0);
        assert!(several > 2 && one > 5, "{several} {one}");
    }
}

/// Whether a run with a mistaken state machine shows it.
fn caught(mistake: Mutant, moves: bool, seed: u64) -> bool {
    let isolation = Isolation::Serializable;
    let played =
        play(Play { isolation, groups: 2, faults: true, moves, mistake: Some(mistake) }, seed);
    played.is_none_or(|(lists, outcomes)| {
        atomic(&lists, &outcomes).is_err() || worst(&edges(&lists, &outcomes)) > 0
    })
}

#[test]
fn every_mistake_of_a_participant_is_caught() {
    for (mistake, moves) in [
        (Mutant::HideHolder, false),
        (Mutant::HoldPutsOnly, false),
        (Mutant::LastDecisionWins, false),
        (Mutant::ForgetPrepared, false),
        (Mutant::AlwaysYes, false),
        (Mutant::ServeLeaving, true),
        (Mutant::MoveUnderPrepared, true),
    ] {
        let found = (0..1_000).find(|seed| caught(mistake, moves, *seed));
        assert!(found.is_some(), "{mistake} was not seen in a thousand runs");
    }
}

#[test]
fn many_keys_move_page_by_page_and_no_more_than_must() {
    const KEYS: u32 = 2_000;
    let groups = (0..GROUPS_MAX).map(|group| (GroupId(group), Group::default())).collect();
    let (clients, movers, late) = Default::default();
    let rng = ChaCha8Rng::seed_from_u64(1);
    let mut world = World { groups, clients, movers, late, now: 1, rng, faults: false };
    let first = Placement::first([GroupId(0), GroupId(1)]);
    let ring = first.ring();
    let value = |key: u32| vec![key as u8; 100];
    for key in 0..KEYS {
        let bytes = key.to_string().into_bytes();
        let group = world.groups.get_mut(&ring.group(&bytes).unwrap()).unwrap();
        let command = Command::Write { key: bytes, value: value(key) };
        assert_eq!(group.perform(command), Response::Written);
    }
    let check = |world: &mut World, wish: &[u16]| {
        let wish: BTreeSet<GroupId> = wish.iter().copied().map(GroupId).collect();
        let known = world.placement().unwrap_or_else(|| first.clone());
        let moved = world.place(known, wish.clone());
        assert_eq!(moved.keys, u64::from(KEYS));
        let share = moved.moved as f64 / moved.ideal();
        assert!((0.7..1.3).contains(&share), "{moved:?}: {share} of the ideal");
        let placement = world.placement().unwrap();
        assert_eq!(placement.groups, wish);
        for key in 0..KEYS {
            let read = Command::Read { key: key.to_string().into_bytes() };
            let answers =
                world.groups.iter_mut().map(|(id, group)| (*id, group.perform(read.clone())));
            let found: Vec<_> =
                answers.filter(|(_, answer)| !matches!(answer, Response::Misplaced(_))).collect();
            let owner = placement.ring().group(key.to_string().as_bytes()).unwrap();
            assert_eq!(found, [(owner, Response::Value(Some(value(key))))]);
        }
    };
    check(&mut world, &[0, 1, 2]);
    check(&mut world, &[0, 2]);
    check(&mut world, &[2]);
    check(&mut world, &[0, 1, 2]);
}
