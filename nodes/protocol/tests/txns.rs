//! Coordinators against groups, with steps in any order, answers that get lost and coordinators that die: what commits is all there, what
//! fails is not, and each level of isolation lets happen what it is there to let happen, and nothing else.
//!
//! Transactions append to lists and read them, so that the lists tell the order of all versions. The judge is the definition: edges
//! between all pairs of transactions, and paths found by trying.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::collections::{BTreeMap, BTreeSet};

use keelhaul_protocol::api::{Entry, LogIndex, Nanos, Payload, Term};
use keelhaul_protocol::coordinator::{Answer, Coordinator, End, Input, Isolation, Move, Tidy};
use keelhaul_protocol::kv::txns::Step;
use keelhaul_protocol::kv::{Command, Key, Machine, Mutant, Response, SessionId};
use keelhaul_protocol::placement::{GroupId, Ring};
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

    fn step(&mut self, step: Step) -> Response {
        if self.sequence == 0 {
            self.apply(Payload::Register);
        }
        self.sequence += 1;
        // Now and then from what a snapshot keeps.
        if self.index.is_multiple_of(7) {
            let restored = Machine::restore(&self.machine.snapshot()).unwrap();
            self.machine = restored.with_mistake(self.mistake);
        }
        let command = Command::Txn(step);
        self.apply(Payload::Command { session: SessionId(1), sequence: self.sequence, command })
    }
}

/// What a transaction does, in order: append to a key, or read it.
type Work = Vec<(u8, bool)>;

/// A transaction with its client.
struct Client<'a> {
    id: u8,
    work: Work,
    coordinator: Coordinator<'a>,
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

impl Client<'_> {
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

struct World<'a> {
    groups: BTreeMap<GroupId, Group>,
    clients: Vec<Client<'a>>,
    now: u64,
    rng: ChaCha8Rng,
    faults: bool,
}

impl World<'_> {
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
            Move::Done(end) => {
                client.ended = Some((self.now, Some(end)));
                client.left = client.coordinator.left();
                client.ask(client.left.as_ref().map_or(Vec::new(), Tidy::finish));
            }
        }
    }

    /// Something happens to one of the clients that are not done.
    fn tick(&mut self) -> bool {
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
        } else if let Some(time) = self.clients[at].wakes {
            if time <= self.now {
                self.clients[at].wakes = None;
                self.next(at, Input::Woken);
            }
        } else {
            self.deliver(at);
        }
        true
    }

    /// One of the steps that a client waits for reaches its group, or not.
    fn deliver(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let waiting: Vec<usize> =
            (0..client.asked.len()).filter(|i| client.answers[*i].is_none()).collect();
        let i = waiting[below(&mut self.rng, waiting.len() as u64) as usize];
        let (group, step) = client.asked[i].clone();
        let fate = if self.faults { below(&mut self.rng, 40) } else { 9 };
        let mut perform = || self.groups.get_mut(&group).unwrap().step(step.clone());
        let answer = match fate {
            0 => Answer::Refused,
            1 => Answer::Unknown,
            2 => {
                perform();
                Answer::Unknown
            }
            _ => Answer::Response(perform()),
        };
        client.answers[i] = Some(answer);
        if client.answers.iter().all(Option::is_some) {
            let answers: Vec<Answer> = client.answers.drain(..).flatten().collect();
            match client.left.take() {
                Some(left) => client.ask(left.forget(&answers).into_iter().collect()),
                None if client.ended.is_some() => client.ask(Vec::new()),
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

/// Plays transactions to their end.
fn play(
    ring: &Ring,
    isolation: Isolation,
    seed: u64,
    faults: bool,
    mistake: Option<Mutant>,
) -> Option<Played> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let client = |id: u8, isolation, work: Work| {
        let keys: BTreeSet<Key> = work.iter().map(|(k, _)| key(*k)).collect();
        Client {
            id,
            coordinator: Coordinator::new(ring, isolation, (SessionId(u64::from(id)), 1), keys),
            work,
            asked: Vec::new(),
            answers: Vec::new(),
            wakes: None,
            begun: 0,
            ended: None,
            left: None,
            read: BTreeMap::new(),
        }
    };
    let clients = (1..=8).map(|id| client(id, isolation, work(&mut rng))).collect();
    let groups = ring.groups().map(|group| (group, Group::new(mistake))).collect();
    let mut world = World { groups, clients, now: 1, rng, faults };
    for _ in 0..100_000 {
        if !world.tick() {
            break;
        }
    }
    // Whoever reads everything settles what the dead left behind.
    world.faults = false;
    let all = (0..KEYS).map(|key| (key as u8, false)).collect();
    world.clients.push(client(99, Isolation::Serializable, all));
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
        let (id, work, read, begun) = (client.id, client.work, client.read, client.begun);
        Outcome { id, work, read, begun, ended, committed, told }
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
fn circles(isolation: Isolation, runs: u64, faults: bool, real_time: bool) -> [u64; 4] {
    let mut counts = [0; 4];
    let (mut committed, mut settled) = (0, 0);
    for seed in 0..runs {
        let ring = Ring::new((0..1 + seed as u16 % 3).map(GroupId), 8);
        let played = play(&ring, isolation, seed, faults, None);
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
        settled += done().filter(|outcome| outcome.told != Some(End::Committed)).count();
    }
    assert!(committed as u64 > 4 * runs, "{isolation:?}: {committed} committed");
    assert!(!faults || settled > 0, "{isolation:?}: nobody's transaction was settled");
    counts
}

#[test]
fn serializable_lets_no_circle_happen_not_even_with_real_time() {
    for faults in [false, true] {
        let [none, several, one, plain] = circles(Isolation::Serializable, 400, faults, true);
        assert_eq!((several, one, plain), (0, 0, 0), "of {none}");
    }
}

#[test]
fn snapshot_isolation_lets_write_skew_happen_and_nothing_worse() {
    let [_, several, one, plain] = circles(Isolation::Snapshot, 400, true, true);
    assert_eq!((one, plain), (0, 0));
    assert!(several > 5, "{several}");
}

#[test]
fn read_committed_lets_parts_of_transactions_be_seen_and_nothing_worse() {
    let [_, several, one, plain] = circles(Isolation::ReadCommitted, 400, true, false);
    assert_eq!(plain, 0);
    assert!(several > 2 && one > 5, "{several} {one}");
}

/// Whether a run with a mistaken state machine shows it.
fn caught(mistake: Mutant, seed: u64) -> bool {
    let ring = Ring::new((0..2).map(GroupId), 8);
    let played = play(&ring, Isolation::Serializable, seed, true, Some(mistake));
    played.is_none_or(|(lists, outcomes)| {
        atomic(&lists, &outcomes).is_err() || worst(&edges(&lists, &outcomes)) > 0
    })
}

#[test]
fn every_mistake_of_a_participant_is_caught() {
    for mistake in [
        Mutant::HideHolder,
        Mutant::HoldPutsOnly,
        Mutant::LastDecisionWins,
        Mutant::ForgetPrepared,
        Mutant::AlwaysYes,
    ] {
        let found = (0..1_000).find(|seed| caught(mistake, *seed));
        assert!(found.is_some(), "{mistake} was not seen in a thousand runs");
    }
}
