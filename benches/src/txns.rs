//! Seeded histories of transactions on lists, from a simulated database whose isolation is known by construction.
//!
//! Clients take turns at random, an operation a turn, so transactions overlap. Lists only grow, so a state of a key is a
//! number of elements, and a snapshot is a time: of each element it is known when it was committed. Keys are drawn with
//! exponentially falling weights from a few that are in use, and replaced when they are full, as Elle's generator does
//! (Kingsbury & Alvaro 2020, section 7). At the end every key that is in use is read.

use std::io::{self, Write};

use keelhaul_history::{F, Header, Kind, Op, Process, Value, Writer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the database promises, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Each transaction takes effect at one moment: strict serializability.
    Serial,
    /// Reads from the state at its beginning; the first committer of concurrent writers of a key wins: strong snapshot isolation.
    Snapshot,
    /// The same at each of two sites; what one commits reaches the other later: parallel snapshot isolation.
    ParallelSnapshot,
    /// Each operation reads what is committed by then; writers lock keys when they append, and writes take effect at the commit.
    ReadCommitted,
    /// Reads see what is not committed yet; writers lock keys until they commit, and some roll back.
    ReadUncommitted,
    /// Every operation takes effect at once, without locks.
    Nothing,
}

/// What to generate.
#[derive(Clone, Debug)]
pub struct TxnOptions {
    /// Transactions.
    pub txns: u64,
    /// Clients; each has one transaction in flight.
    pub clients: usize,
    /// Keys in use at any time.
    pub keys: usize,
    /// Appends after which a key is replaced.
    pub writes_per_key: usize,
    /// Operations of a transaction, at most.
    pub length_max: usize,
    /// What is promised.
    pub isolation: Isolation,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for TxnOptions {
    fn default() -> Self {
        Self {
            txns: 1_000_000,
            clients: 20,
            keys: 10,
            writes_per_key: 256,
            length_max: 4,
            isolation: Isolation::Serial,
            seed: 1,
        }
    }
}

/// An operation: a key, and what it appends or has read.
#[derive(Clone, Debug)]
enum Micro {
    Append(usize, i64),
    Read(usize, Option<Vec<i64>>),
}

/// An element of a list.
#[derive(Clone, Copy, Debug)]
struct Element {
    value: i64,
    /// Where it was committed.
    site: usize,
    /// When, by that site's clock.
    committed: u64,
}

/// A transaction in flight.
#[derive(Debug)]
struct Running {
    ops: Vec<Micro>,
    /// Operations that were done.
    done: usize,
    /// By site: the time up to which it sees what was committed there.
    snapshot: [u64; 2],
    rolls_back: bool,
}

struct Simulation<'a, W: Write> {
    options: &'a TxnOptions,
    rng: ChaCha8Rng,
    writer: &'a mut Writer<W>,
    lists: Vec<Vec<Element>>,
    /// By key: how many appends were issued; the next value.
    issued: Vec<i64>,
    /// Keys in use.
    active: Vec<usize>,
    /// By key: who holds its lock.
    locks: Vec<Option<usize>>,
    running: Vec<Option<Running>>,
    /// By site: its clock.
    clocks: [u64; 2],
    /// By site: what it knows of both.
    known: [[u64; 2]; 2],
    index: u64,
    begun: u64,
}

/// Writes the history that `options` describe, sealed.
///
/// # Errors
/// If `out` does.
pub fn write_txn_history<W: Write>(out: W, options: &TxnOptions) -> io::Result<W> {
    let mut header = Header::new("simulated", "list-append");
    header.seed = options.seed;
    let mut writer = Writer::new(out, &header)?;
    let mut simulation = Simulation {
        options,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        writer: &mut writer,
        lists: vec![Vec::new(); options.keys],
        issued: vec![0; options.keys],
        active: (0..options.keys).collect(),
        locks: vec![None; options.keys],
        running: (0..options.clients).map(|_| None).collect(),
        clocks: [0; 2],
        known: [[0; 2]; 2],
        index: 0,
        begun: 0,
    };
    simulation.run()?;
    writer.seal().map_err(|e| e.source)
}

impl<W: Write> Simulation<'_, W> {
    fn run(&mut self) -> io::Result<()> {
        let clients = self.options.clients;
        while self.begun < self.options.txns {
            let client = self.rng.random_range(0..clients);
            if self.running[client].is_some() { self.turn(client)? } else { self.begin(client)? }
        }
        while self.running.iter().any(Option::is_some) {
            for client in 0..clients {
                if self.running[client].is_some() {
                    self.turn(client)?;
                }
            }
        }
        self.known = [self.clocks; 2];
        for key in self.active.clone() {
            self.start(0, vec![Micro::Read(key, None)])?;
            while self.running[0].is_some() {
                self.turn(0)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, client: usize) -> io::Result<()> {
        self.begun += 1;
        let length = self.rng.random_range(1..=self.options.length_max);
        let ops = (0..length).map(|_| self.micro()).collect();
        self.start(client, ops)
    }

    fn start(&mut self, client: usize, ops: Vec<Micro>) -> io::Result<()> {
        self.event(client, Kind::Invoke, &ops)?;
        let parallel = self.options.isolation == Isolation::ParallelSnapshot;
        let snapshot = if parallel { self.known[client % 2] } else { self.clocks };
        let one_in = |rng: &mut ChaCha8Rng, n| rng.random_range(0..n) == 0;
        let rolls_back = self.options.isolation == Isolation::ReadUncommitted
            && ops.iter().any(|op| matches!(op, Micro::Append(..)))
            && one_in(&mut self.rng, 20);
        self.running[client] = Some(Running { ops, done: 0, snapshot, rolls_back });
        Ok(())
    }

    fn micro(&mut self) -> Micro {
        let mut at = 0;
        while at + 1 < self.active.len() && self.rng.random_range(0..2) == 0 {
            at += 1;
        }
        let key = self.active[at];
        if self.rng.random_range(0..2) == 0 {
            return Micro::Read(key, None);
        }
        self.issued[key] += 1;
        let value = self.issued[key];
        if value as usize >= self.options.writes_per_key {
            self.active[at] = self.lists.len();
            self.lists.push(Vec::new());
            self.issued.push(0);
            self.locks.push(None);
        }
        Micro::Append(key, value)
    }

    /// A client does its next operation, or ends.
    fn turn(&mut self, client: usize) -> io::Result<()> {
        // What is kept of sites reaches them now and then.
        if self.rng.random_range(0..8) == 0 {
            let site = self.rng.random_range(0..2);
            self.known[site][1 - site] = self.clocks[1 - site];
        }
        let Some(mut running) = self.running[client].take() else { return Ok(()) };
        let kind = match self.options.isolation {
            Isolation::Serial => {
                for at in 0..running.ops.len() {
                    self.at_once(&mut running.ops[at]);
                }
                Some(Kind::Ok)
            }
            Isolation::Nothing if running.done < running.ops.len() => {
                self.at_once(&mut running.ops[running.done]);
                None
            }
            Isolation::Nothing => Some(Kind::Ok),
            Isolation::ReadUncommitted => self.locked(client, &mut running),
            _ if running.done < running.ops.len() => self.buffered(client, &mut running),
            _ => Some(self.commit(client, &running)),
        };
        if kind.is_some() {
            for op in &running.ops {
                let (Micro::Append(key, _) | Micro::Read(key, _)) = op;
                let lock = &mut self.locks[*key];
                *lock = lock.filter(|holder| *holder != client);
            }
        }
        running.done += 1;
        match kind {
            Some(kind) => self.event(client, kind, &running.ops),
            None => {
                self.running[client] = Some(running);
                Ok(())
            }
        }
    }

    fn at_once(&mut self, op: &mut Micro) {
        match op {
            Micro::Append(key, value) => {
                self.lists[*key].push(Element { value: *value, site: 0, committed: 0 });
            }
            Micro::Read(key, list) => {
                *list = Some(self.lists[*key].iter().map(|element| element.value).collect());
            }
        }
    }

    /// Takes all locks first; who does not get them fails before it has done anything.
    fn locked(&mut self, client: usize, running: &mut Running) -> Option<Kind> {
        let writes = running.ops.iter().filter_map(|op| match op {
            Micro::Append(key, _) => Some(*key),
            Micro::Read(..) => None,
        });
        let keys: Vec<usize> = writes.collect();
        if running.done == 0 {
            if keys.iter().any(|key| self.locks[*key].is_some()) {
                return Some(Kind::Fail);
            }
            keys.iter().for_each(|key| self.locks[*key] = Some(client));
        }
        if let Some(op) = running.ops.get_mut(running.done) {
            self.at_once(op);
            return None;
        }
        if !running.rolls_back {
            return Some(Kind::Ok);
        }
        for op in &running.ops {
            if let Micro::Append(key, value) = op {
                self.lists[*key].retain(|element| element.value != *value);
            }
        }
        Some(Kind::Fail)
    }

    /// Reads what is visible, and its own appends. Where there are locks, who does not get one fails.
    fn buffered(&mut self, client: usize, running: &mut Running) -> Option<Kind> {
        let locks = self.options.isolation == Isolation::ReadCommitted;
        if locks {
            running.snapshot = self.clocks;
        }
        let (before, rest) = running.ops.split_at_mut(running.done);
        match rest.first_mut()? {
            Micro::Append(key, _) => {
                if locks {
                    if self.locks[*key].is_some_and(|holder| holder != client) {
                        return Some(Kind::Fail);
                    }
                    self.locks[*key] = Some(client);
                }
            }
            Micro::Read(key, list) => {
                let snapshot = running.snapshot;
                let visible = self.lists[*key].iter().filter(|e| e.committed <= snapshot[e.site]);
                let own = before.iter().filter_map(|op| match op {
                    Micro::Append(other, value) if other == key => Some(*value),
                    _ => None,
                });
                *list = Some(visible.map(|element| element.value).chain(own).collect());
            }
        }
        None
    }

    fn commit(&mut self, client: usize, running: &Running) -> Kind {
        let checked = self.options.isolation != Isolation::ReadCommitted;
        let newer = |key: &usize| {
            let last = self.lists[*key].last();
            last.is_some_and(|last| last.committed > running.snapshot[last.site])
        };
        let writes = running.ops.iter().filter_map(|op| match op {
            Micro::Append(key, value) => Some((*key, *value)),
            Micro::Read(..) => None,
        });
        if checked && writes.clone().any(|(key, _)| newer(&key)) {
            return Kind::Fail;
        }
        let parallel = self.options.isolation == Isolation::ParallelSnapshot;
        let site = if parallel { client % 2 } else { 0 };
        self.clocks[site] += 1;
        self.known[site][site] = self.clocks[site];
        for (key, value) in writes {
            let committed = self.clocks[site];
            self.lists[key].push(Element { value, site, committed });
        }
        Kind::Ok
    }

    fn event(&mut self, client: usize, kind: Kind, ops: &[Micro]) -> io::Result<()> {
        let micro = |op: &Micro| {
            let (f, key, value) = match op {
                Micro::Append(key, value) => ("append", *key, Value::Int(*value)),
                Micro::Read(key, list) => {
                    let list = list.as_ref().filter(|_| kind == Kind::Ok);
                    let items = list.map(|list| list.iter().map(|v| Value::Int(*v)).collect());
                    ("r", *key, items.map_or(Value::Null, Value::List))
                }
            };
            Value::List([Value::from(f), Value::Int(key as i64), value].into_iter().collect())
        };
        let op = Op {
            index: self.index,
            time_ns: self.index * 1_000,
            process: Process::Client(client as u32),
            kind,
            f: F::from("txn"),
            key: None,
            value: Value::List(ops.iter().map(micro).collect()),
            node: None,
            error: None,
        };
        self.index += 1;
        self.writer.append(&op)
    }
}
