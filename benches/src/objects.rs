//! Seeded histories of containers, sets, counters and locks, for measuring checkers.
//!
//! As in [`crate::histories`]: a simulated object answers after a random latency, and each operation takes effect at a
//! random moment in between, so the history is linearizable by construction. Operations can crash, and one result
//! can be falsified.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::{self, Write};

use keelhaul_history::{F, Header, Kind, Op, Process, Value, Writer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Objects that can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// First in, first out.
    Fifo,
    /// Last in, first out.
    Stack,
    /// The smallest first.
    Priority,
    /// Only grows; read seldom, for a read returns all of it.
    Set,
    /// Adds and reads.
    Counter,
    /// Acquired and released in turn by each client.
    Mutex,
    /// Several registers, two of them read or written at a time.
    Registers,
}

impl Shape {
    /// The shape with this workload's name.
    #[must_use]
    pub fn of_workload(name: &str) -> Option<Self> {
        Some(match name {
            "fifo-queue" | "queue" => Self::Fifo,
            "stack" => Self::Stack,
            "priority-queue" => Self::Priority,
            "set" => Self::Set,
            "counter" => Self::Counter,
            "mutex" => Self::Mutex,
            "multi-register" => Self::Registers,
            _ => return None,
        })
    }
}

/// What to generate.
#[derive(Clone, Debug)]
pub struct ObjectOptions {
    /// The workload that the header names.
    pub workload: String,
    /// Operations in all.
    pub ops: u64,
    /// Clients; each has one operation in flight.
    pub clients: u32,
    /// How many different values are put in; `None` for a new one every time.
    pub values: Option<u32>,
    /// Percentage of operations that put in or add.
    pub puts_percent: u32,
    /// Crashed operations in every thousand.
    pub crashed_per_mille: u32,
    /// Falsifies one result in the second half of the history.
    pub corrupt: bool,
    /// Decides everything random.
    pub seed: u64,
}

impl Default for ObjectOptions {
    fn default() -> Self {
        Self {
            workload: "fifo-queue".into(),
            ops: 1_000_000,
            clients: 8,
            values: None,
            puts_percent: 50,
            crashed_per_mille: 0,
            corrupt: false,
            seed: 1,
        }
    }
}

/// Latency of an operation, nanoseconds: at least, and below.
const LATENCY_NS: std::ops::Range<u64> = 100_000..2_000_000;

/// Pause of a client between two operations, nanoseconds.
const PAUSE_NS: std::ops::Range<u64> = 1_000..200_000;

/// A client waits this long before it tries again to take effect, nanoseconds.
const RETRY_NS: u64 = 50_000;

/// How many registers are touched together.
const REGISTERS: i64 = 10;

/// Reads of a set in a whole history: each returns all of it.
const SET_READS: u64 = 20;

/// One simulated object.
#[derive(Default)]
struct Simulated {
    queue: VecDeque<i64>,
    /// How often each value is there.
    ordered: BTreeMap<i64, usize>,
    waiting: usize,
    grown: Vec<Value>,
    registers: Vec<Value>,
    sum: i64,
    held: bool,
}

impl Simulated {
    /// Lets the operation take effect; none if it has to wait.
    fn apply(&mut self, shape: Shape, f: &str, argument: &Value) -> Option<Value> {
        let number = argument.as_int().unwrap_or(0);
        let put = argument.as_int().is_some();
        Some(match shape {
            Shape::Fifo | Shape::Stack if put => {
                self.queue.push_back(number);
                argument.clone()
            }
            Shape::Fifo => self.queue.pop_front().into(),
            Shape::Stack => self.queue.pop_back().into(),
            Shape::Priority if put => {
                *self.ordered.entry(number).or_default() += 1;
                self.waiting += 1;
                argument.clone()
            }
            Shape::Priority => {
                let first = self.ordered.first_entry().map(|mut entry| {
                    *entry.get_mut() -= 1;
                    if *entry.get() == 0 { entry.remove_entry().0 } else { *entry.key() }
                });
                self.waiting -= usize::from(first.is_some());
                first.into()
            }
            Shape::Registers => self.transact(argument),
            Shape::Set if put => {
                self.grown.push(argument.clone());
                argument.clone()
            }
            Shape::Set => Value::List(self.grown.clone().into_boxed_slice()),
            Shape::Counter => {
                self.sum += number;
                if put { argument.clone() } else { self.sum.into() }
            }
            Shape::Mutex => {
                let acquire = f == "acquire";
                if self.held == acquire {
                    return None;
                }
                self.held = acquire;
                Value::Null
            }
        })
    }
}

impl Simulated {
    /// Lets a transaction take effect; its result.
    fn transact(&mut self, accesses: &Value) -> Value {
        let done = accesses.as_list().unwrap_or_default().iter().map(|access| {
            let Some([f, Value::Int(key), value]) = access.as_list() else { return Value::Null };
            let at = usize::try_from(*key).unwrap_or(0);
            self.registers.resize(self.registers.len().max(at + 1), Value::Null);
            if *value != Value::Null {
                self.registers[at] = value.clone();
            }
            Value::List([f.clone(), Value::Int(*key), self.registers[at].clone()].into())
        });
        Value::List(done.collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Begin,
    Effect,
    End,
}

#[derive(Clone, Debug)]
struct Client {
    process: u32,
    f: &'static str,
    argument: Value,
    result: Value,
    kind: Kind,
    begun: u64,
}

struct Simulation<'a, W: Write> {
    options: &'a ObjectOptions,
    shape: Shape,
    rng: ChaCha8Rng,
    writer: &'a mut Writer<W>,
    object: Simulated,
    index: u64,
    put: i64,
    begun: u64,
    corrupted: bool,
}

/// Writes the history that `options` describe, sealed.
///
/// # Errors
/// If `out` does, or there is no such workload.
pub fn write_object_history<W: Write>(out: W, options: &ObjectOptions) -> io::Result<W> {
    let shape = Shape::of_workload(&options.workload)
        .ok_or_else(|| io::Error::other(format!("no object for `{}`", options.workload)))?;
    let mut header = Header::new("simulated", &options.workload);
    header.seed = options.seed;
    header.model = "linearizable".into();
    let mut writer = Writer::new(out, &header)?;
    let mut simulation = Simulation {
        options,
        shape,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        writer: &mut writer,
        object: Simulated::default(),
        index: 0,
        put: 0,
        begun: 0,
        corrupted: false,
    };
    simulation.run()?;
    writer.seal().map_err(|e| e.source)
}

impl<W: Write> Simulation<'_, W> {
    fn run(&mut self) -> io::Result<()> {
        let mut agenda = BinaryHeap::new();
        let idle = |process| Client {
            process,
            f: "",
            argument: Value::Null,
            result: Value::Null,
            kind: Kind::Ok,
            begun: 0,
        };
        let mut clients: Vec<Client> = (0..self.options.clients).map(idle).collect();
        let mut next_process = self.options.clients;
        for client in 0..clients.len() {
            agenda.push(Reverse((self.rng.random_range(PAUSE_NS), client, Moment::Begin)));
        }
        while let Some(Reverse((now, at, moment))) = agenda.pop() {
            let client = &mut clients[at];
            match moment {
                Moment::Begin if self.begun >= self.options.ops => {}
                Moment::Begin => {
                    self.begin(client);
                    self.append(now, client, Kind::Invoke)?;
                    let effect = now + self.rng.random_range(LATENCY_NS) / 2;
                    agenda.push(Reverse((effect, at, Moment::Effect)));
                }
                Moment::Effect => match self.object.apply(self.shape, client.f, &client.argument) {
                    None if self.begun < self.options.ops => {
                        agenda.push(Reverse((now + RETRY_NS, at, Moment::Effect)));
                    }
                    // At the end nobody comes to free what this one waits for.
                    None => client.kind = Kind::Info,
                    Some(result) => {
                        client.result = result;
                        let end = now + self.rng.random_range(LATENCY_NS) / 2;
                        agenda.push(Reverse((end, at, Moment::End)));
                    }
                },
                Moment::End => {
                    self.falsify(client);
                    self.append(now, client, client.kind)?;
                    if client.kind == Kind::Info {
                        client.process = next_process;
                        next_process += 1;
                    }
                    let pause = self.rng.random_range(PAUSE_NS);
                    agenda.push(Reverse((now + pause, at, Moment::Begin)));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, client: &mut Client) {
        self.begun += 1;
        let set_reads_every = (self.options.ops / SET_READS).max(1);
        let puts = match self.shape {
            Shape::Set => !self.begun.is_multiple_of(set_reads_every),
            _ => self.rng.random_range(0..100) < self.options.puts_percent,
        };
        let (f, argument) = match (self.shape, puts) {
            (Shape::Fifo, true) => ("enqueue", self.fresh()),
            (Shape::Fifo, false) => ("dequeue", Value::Null),
            (Shape::Stack, true) => ("push", self.fresh()),
            (Shape::Stack, false) => ("pop", Value::Null),
            (Shape::Priority, true) => ("insert", self.fresh()),
            (Shape::Priority, false) => ("delete-min", Value::Null),
            (Shape::Set, true) => ("add", self.fresh()),
            (Shape::Counter, true) => ("add", Value::Int(self.rng.random_range(1..4))),
            (Shape::Set | Shape::Counter, false) => ("read", Value::Null),
            (Shape::Registers, write) => ("txn", self.transaction(write)),
            (Shape::Mutex, _) if client.f == "acquire" => ("release", Value::Null),
            (Shape::Mutex, _) => ("acquire", Value::Null),
        };
        let crashes = self.rng.random_range(0..1000) < self.options.crashed_per_mille;
        let kind = if crashes { Kind::Info } else { Kind::Ok };
        *client = Client { f, argument, kind, begun: self.begun, ..client.clone() };
    }

    /// Two accesses to registers of which there are a few.
    fn transaction(&mut self, write: bool) -> Value {
        let accesses = (0..2).map(|_| {
            let key = Value::Int(self.rng.random_range(0..REGISTERS));
            let value = if write { self.fresh() } else { Value::Null };
            Value::List([Value::from(if write { "w" } else { "r" }), key, value].into())
        });
        Value::List(accesses.collect())
    }

    /// A new value; in a priority queue one that lies anywhere among the others.
    fn fresh(&mut self) -> Value {
        self.put += 1;
        Value::Int(match self.options.values {
            Some(values) => i64::from(self.rng.random_range(0..values)),
            None if self.shape == Shape::Priority => {
                // The upper bits are random, the lower ones make it unique.
                i64::from(self.rng.random_range(0..1 << 20)) << 32 | self.put
            }
            None => self.put,
        })
    }

    fn falsify(&mut self, client: &mut Client) {
        let due = self.options.corrupt
            && !self.corrupted
            && self.begun > self.options.ops / 2
            && client.kind == Kind::Ok
            && client.begun > 1;
        if !due
            || self.shape == Shape::Registers
            || client.argument != Value::Null
            || client.f == "acquire"
        {
            return;
        }
        match &mut client.result {
            // As if there had been nothing, though something had been there all the while.
            Value::Int(n) if self.shape == Shape::Counter => *n -= 1_000_000,
            result @ Value::Int(_) if self.object.queue.len() + self.object.waiting > 50 => {
                *result = Value::Null;
            }
            Value::List(items) if !items.is_empty() => {
                *items = items[1..].into();
            }
            _ => return,
        }
        self.corrupted = true;
    }

    fn append(&mut self, time_ns: u64, client: &Client, kind: Kind) -> io::Result<()> {
        let value = if kind == Kind::Ok { &client.result } else { &client.argument };
        self.writer.append(&Op {
            index: self.index,
            time_ns,
            process: Process::Client(client.process),
            kind,
            f: F::from(client.f),
            key: None,
            value: value.clone(),
            node: None,
            error: (kind == Kind::Info).then(|| "timeout".into()),
        })?;
        self.index += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use keelhaul_checkers::{JudgeRequest, Judgement, Unlimited, Verdict, judge};
    use keelhaul_history::Reader;

    use super::*;

    fn judged(options: &ObjectOptions) -> Judgement {
        let history = write_object_history(Vec::new(), options).unwrap();
        let request =
            JudgeRequest { workload: options.workload.clone(), ..JudgeRequest::default() };
        judge(Reader::new(&history[..]).unwrap(), &request, &Unlimited).unwrap()
    }

    #[test]
    fn histories_are_linearizable_unless_corrupted() {
        for workload in [
            "fifo-queue",
            "queue",
            "stack",
            "priority-queue",
            "set",
            "counter",
            "mutex",
            "multi-register",
        ] {
            let mut options = ObjectOptions {
                workload: workload.into(),
                ops: 3_000,
                puts_percent: 60,
                ..ObjectOptions::default()
            };
            let judgement = judged(&options);
            assert_eq!(judgement.verdict, Verdict::Valid, "{options:?} {judgement:?}");
            if ["mutex", "multi-register"].contains(&workload) {
                continue;
            }
            options.corrupt = true;
            let judgement = judged(&options);
            assert_eq!(judgement.verdict, Verdict::Invalid, "{options:?} {judgement:?}");
        }
    }
}
