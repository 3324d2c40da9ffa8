//! Seeded histories of registers and keys of any size, for measuring checkers.
//!
//! A simulated register answers after a random latency; each operation takes effect at a random moment in between, so the
//! history is linearizable by construction. Operations can crash (the outcome is never learnt, and the effect may
//! have happened), and one read can be falsified.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use keelhaul_history::import::OpSource;
use keelhaul_history::{F, Header, Kind, Op, Process, Value, Writer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the operations are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// `read`, `write` and `cas`; values are numbers.
    Register,
    /// `get`, `put` and `append`; values are texts.
    Kv,
}

/// What to generate.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// What the operations are called.
    pub words: Words,
    /// Operations in all.
    pub ops: u64,
    /// Clients; each has one operation in flight and picks its key anew for each.
    pub clients: u32,
    /// Keys, numbered from 0.
    pub keys: u32,
    /// How many different values are written; `None` for a new one at every write.
    pub values: Option<u32>,
    /// Percentage of operations that are reads.
    pub reads_percent: u32,
    /// Percentage of operations that are cas, or appends; the rest are writes.
    pub cas_percent: u32,
    /// Whether a cas expects any value; otherwise what the register holds when it begins.
    pub blind_cas: bool,
    /// Crashed operations in every thousand.
    pub crashed_per_mille: u32,
    /// Reads are answered by a replica of the client's own that lags behind by up to so many writes, but not behind what
    /// the client has written or read: the history is sequential by construction. Only for histories without cas and appends.
    pub lag: u32,
    /// Falsifies one read in the second half of the history.
    pub corrupt: bool,
    /// Decides everything random.
    pub seed: u64,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            words: Words::Register,
            ops: 1_000_000,
            clients: 10,
            keys: 100,
            values: None,
            reads_percent: 50,
            cas_percent: 0,
            blind_cas: false,
            crashed_per_mille: 0,
            lag: 0,
            corrupt: false,
            seed: 1,
        }
    }
}

/// Latency of an operation, nanoseconds: at least, and below.
const LATENCY_NS: std::ops::Range<u64> = 100_000..2_000_000;

/// Pause of a client between two operations, nanoseconds.
const PAUSE_NS: std::ops::Range<u64> = 1_000..200_000;

/// A client that never learns the outcome gives up after this many nanoseconds.
const TIMEOUT_NS: u64 = 5_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Begin,
    Effect,
    End,
}

/// The operation in flight of a client.
#[derive(Clone, Debug)]
struct Flight {
    process: u32,
    f: F,
    key: i64,
    argument: Value,
    result: Value,
    kind: Kind,
}

struct Simulation<'a, W: Write> {
    options: &'a HistoryOptions,
    rng: ChaCha8Rng,
    writer: &'a mut Writer<W>,
    index: u64,
    registers: Vec<Value>,
    /// Every write in the order of effects: the log that replicas follow.
    log: Vec<(i64, Value)>,
    /// For each client its registers, and how much of the log they have; empty if reads do not lag.
    replicas: Vec<(Vec<Value>, usize)>,
    written: i64,
    corrupted: bool,
    next_process: u32,
}

/// Writes the history that `options` describe, sealed.
///
/// # Errors
/// If `out` does.
pub fn write_history<W: Write>(out: W, options: &HistoryOptions) -> io::Result<W> {
    let workload = match options.words {
        Words::Register => "register",
        Words::Kv => "kv",
    };
    let mut header = Header::new("simulated", workload);
    header.seed = options.seed;
    header.model = "linearizable".into();
    let mut writer = Writer::new(out, &header)?;
    let mut simulation = Simulation {
        options,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        writer: &mut writer,
        index: 0,
        registers: vec![Value::Null; options.keys as usize],
        log: Vec::new(),
        replicas: match options.lag {
            0 => Vec::new(),
            _ => vec![(vec![Value::Null; options.keys as usize], 0); options.clients as usize],
        },
        written: 0,
        corrupted: false,
        next_process: options.clients,
    };
    simulation.run()?;
    writer.seal().map_err(|e| e.source)
}

impl<W: Write> Simulation<'_, W> {
    fn run(&mut self) -> io::Result<()> {
        let mut agenda = BinaryHeap::new();
        let mut flights: Vec<Option<Flight>> = vec![None; self.options.clients as usize];
        let mut processes: Vec<u32> = (0..self.options.clients).collect();
        for client in 0..self.options.clients {
            agenda.push(Reverse((self.rng.random_range(PAUSE_NS), client, Moment::Begin)));
        }
        let mut begun = 0;
        while let Some(Reverse((now, client, moment))) = agenda.pop() {
            let slot = &mut flights[client as usize];
            match (moment, slot) {
                (Moment::Begin, slot) => {
                    if begun == self.options.ops {
                        continue;
                    }
                    begun += 1;
                    let flight = self.begin(processes[client as usize]);
                    self.append(now, &flight, Kind::Invoke)?;
                    let latency = self.rng.random_range(LATENCY_NS);
                    let effect = self.rng.random_range(0..latency);
                    let crashes = self.rng.random_range(0..1000) < self.options.crashed_per_mille;
                    // A crashed operation that never takes effect ends without passing that moment.
                    if !crashes || self.rng.random_bool(0.5) {
                        agenda.push(Reverse((now + effect, client, Moment::Effect)));
                    }
                    let end = now + if crashes { TIMEOUT_NS } else { latency };
                    agenda.push(Reverse((end, client, Moment::End)));
                    *slot = Some(Flight {
                        kind: if crashes { Kind::Info } else { Kind::Ok },
                        ..flight
                    });
                }
                (Moment::Effect, Some(flight)) => {
                    self.take_effect(flight, begun);
                    self.follow(client, flight);
                }
                (Moment::End, Some(flight)) => {
                    let flight = flight.clone();
                    self.append(now, &flight, flight.kind)?;
                    if flight.kind == Kind::Info {
                        processes[client as usize] = self.next_process;
                        self.next_process += 1;
                    }
                    let pause = self.rng.random_range(PAUSE_NS);
                    agenda.push(Reverse((now + pause, client, Moment::Begin)));
                }
                (Moment::Effect | Moment::End, None) => unreachable!("begun before"),
            }
        }
        Ok(())
    }

    fn begin(&mut self, process: u32) -> Flight {
        let key = self.rng.random_range(0..self.options.keys);
        let dice = self.rng.random_range(0..100);
        let kv = self.options.words == Words::Kv;
        let (f, argument) = if dice < self.options.reads_percent {
            (if kv { F::from("get") } else { F::Read }, Value::Null)
        } else if dice < self.options.reads_percent + self.options.cas_percent {
            if kv {
                (F::from("append"), self.fresh())
            } else {
                // What the register holds now: as good a guess as a client's that has just read.
                let held = self.registers[key as usize].clone();
                let expected = if self.options.blind_cas { self.fresh() } else { held };
                (F::Cas, Value::pair(expected, self.fresh()))
            }
        } else {
            (if kv { F::from("put") } else { F::Write }, self.fresh())
        };
        let result = argument.clone();
        Flight { process, f, key: i64::from(key), argument, result, kind: Kind::Ok }
    }

    fn fresh(&mut self) -> Value {
        self.written += 1;
        let number = match self.options.values {
            Some(values) => i64::from(self.rng.random_range(0..values)),
            None => self.written,
        };
        match self.options.words {
            Words::Register => Value::Int(number),
            Words::Kv => Value::from(format!("x {number} y").as_str()),
        }
    }

    fn take_effect(&mut self, flight: &mut Flight, begun: u64) {
        let register = &mut self.registers[usize::try_from(flight.key).unwrap_or(0)];
        match flight.f.as_str() {
            "append" => {
                let held = register.as_str().unwrap_or("");
                let more = flight.argument.as_str().unwrap_or("");
                *register = Value::from(format!("{held}{more}").as_str());
            }
            "read" | "get" => {
                flight.result = register.clone();
                let due = self.options.corrupt && !self.corrupted && begun > self.options.ops / 2;
                if due && flight.kind == Kind::Ok && *register != Value::Null {
                    // The initial value: it was there once, and is certainly gone by now.
                    flight.result = Value::Null;
                    self.corrupted = true;
                }
            }
            "cas" => match flight.argument.as_list() {
                Some([expected, new]) if expected == register => *register = new.clone(),
                _ if flight.kind == Kind::Ok => flight.kind = Kind::Fail,
                _ => {}
            },
            _ => register.clone_from(&flight.argument),
        }
    }

    /// A write goes to the log, and to its client's replica with all before it; a read is answered by the replica.
    fn follow(&mut self, client: u32, flight: &mut Flight) {
        let Some((registers, known)) = self.replicas.get_mut(client as usize) else { return };
        let write = flight.f.as_str() == "write";
        if write {
            self.log.push((flight.key, flight.argument.clone()));
        }
        let least = if write { self.log.len() } else { *known };
        let least = least.max(self.log.len().saturating_sub(self.options.lag as usize));
        let until = self.rng.random_range(least..=self.log.len());
        for (key, value) in &self.log[*known..until] {
            registers[usize::try_from(*key).unwrap_or(0)] = value.clone();
        }
        *known = until;
        let falsified = self.options.corrupt && self.corrupted && flight.result == Value::Null;
        if !write && !falsified {
            flight.result = registers[usize::try_from(flight.key).unwrap_or(0)].clone();
        }
    }

    fn append(&mut self, time_ns: u64, flight: &Flight, kind: Kind) -> io::Result<()> {
        let value = if kind == Kind::Ok { &flight.result } else { &flight.argument };
        self.writer.append(&Op {
            index: self.index,
            time_ns,
            process: Process::Client(flight.process),
            kind,
            f: flight.f.clone(),
            key: Some(Value::Int(flight.key)),
            value: value.clone(),
            node: None,
            error: (kind == Kind::Info).then(|| "timeout".into()),
        })?;
        self.index += 1;
        Ok(())
    }
}

/// Writes what `history`, of keys, holds as a log of Porcupine's.
///
/// # Errors
/// If the history cannot be read, or `out` cannot be written.
pub fn write_kv_log<W: Write>(mut history: impl OpSource, mut out: W) -> io::Result<W> {
    while let Some(op) = history.next_op().map_err(io::Error::other)? {
        let value = if op.value.is_null() { "nil" } else { op.value.json().text() };
        let key = op.key.map_or_else(String::new, |key| key.text().into());
        let (process, kind, f) = (op.process, op.kind.as_str(), op.f);
        writeln!(
            out,
            "{{:process {process}, :type :{kind}, :f :{f}, :key \"{key}\", :value {value}}}"
        )?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use keelhaul_checkers::{JudgeRequest, Judgement, Unlimited, Verdict, judge};
    use keelhaul_history::{Reader, import};

    use super::*;

    fn judged(options: &HistoryOptions) -> Judgement {
        let history = write_history(Vec::new(), options).unwrap();
        let request = JudgeRequest { workload: "register".into(), ..JudgeRequest::default() };
        judge(Reader::new(&history[..]).unwrap(), &request, &Unlimited).unwrap()
    }

    #[test]
    fn histories_are_linearizable_unless_corrupted() {
        for (values, cas_percent) in [(None, 0), (None, 20), (Some(5), 0), (Some(5), 25)] {
            for crashed_per_mille in [0, 20] {
                let mut options = HistoryOptions {
                    ops: 2_000,
                    keys: 4,
                    values,
                    cas_percent,
                    crashed_per_mille,
                    ..HistoryOptions::default()
                };
                let judgement = judged(&options);
                assert_eq!(judgement.verdict, Verdict::Valid, "{options:?} {judgement:?}");
                assert_eq!(judgement.operations, options.ops);
                options.corrupt = true;
                let judgement = judged(&options);
                assert_eq!(judgement.verdict, Verdict::Invalid, "{options:?} {judgement:?}");
                let evidence = judgement.checks.into_iter().find_map(|c| c.evidence).unwrap();
                assert!(evidence.minimal && evidence.ops.len() <= 3, "{evidence:?}");
            }
        }
    }

    #[test]
    fn keys_with_appends_and_logs_of_them_are_judged_alike() {
        for corrupt in [false, true] {
            let options = HistoryOptions {
                words: Words::Kv,
                ops: 2_000,
                keys: 3,
                cas_percent: 30,
                corrupt,
                ..HistoryOptions::default()
            };
            let history = write_history(Vec::new(), &options).unwrap();
            let log = write_kv_log(Reader::new(&history[..]).unwrap(), Vec::new()).unwrap();
            let verdict = |file: &[u8]| {
                let source = import::open(file, None, import::Options::default()).unwrap();
                let request = JudgeRequest { workload: "kv".into(), ..JudgeRequest::default() };
                judge(source, &request, &Unlimited).unwrap().verdict
            };
            let expected = if corrupt { Verdict::Invalid } else { Verdict::Valid };
            assert_eq!((verdict(&history), verdict(&log)), (expected, expected));
        }
    }

    #[test]
    fn the_seed_decides() {
        let options =
            HistoryOptions { ops: 500, crashed_per_mille: 50, ..HistoryOptions::default() };
        let write = |options: &HistoryOptions| write_history(Vec::new(), options).unwrap();
        assert_eq!(write(&options), write(&options));
        assert_ne!(write(&options), write(&HistoryOptions { seed: 2, ..options.clone() }));
    }
}
