//! Seeded histories of a partitioned log, in the manner of Kafka, for measuring checkers.
//!
//! Producers and consumers share clients. Each key is assigned to one client, which polls it on from where it left off; brokers'
//! marks leave gaps in the offsets. At the end everything was polled, so the history is valid, unless polls are told to leave
//! something out.

use std::io::{self, Write};

use keelhaul_history::{F, Header, Kind, Op, Process, Value, Writer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What to generate.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Messages; each is sent once and polled once.
    pub messages: u64,
    /// Clients; each has one operation in flight.
    pub clients: usize,
    /// Partitions.
    pub keys: usize,
    /// Of a thousand polls of a key so many leave one message out.
    pub skips_per_mille: u32,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { messages: 1_000_000, clients: 16, keys: 64, skips_per_mille: 0, seed: 1 }
    }
}

/// Messages of one key that one poll returns at most.
const POLLED_MAX: usize = 5;

/// A client, between and during its operations.
#[derive(Clone)]
enum Client {
    Idle,
    Sends(Vec<(usize, i64)>),
    Polls,
}

struct Simulation<'a, W: Write> {
    options: &'a LogOptions,
    rng: ChaCha8Rng,
    writer: &'a mut Writer<W>,
    /// By key and offset; gaps are none.
    logs: Vec<Vec<Option<i64>>>,
    /// By key: the next offset.
    next: Vec<usize>,
    index: u64,
    sent: u64,
    polled: u64,
}

/// Writes the history that `options` describe, sealed.
///
/// # Errors
/// If `out` does.
pub fn write_log_history<W: Write>(out: W, options: &LogOptions) -> io::Result<W> {
    let mut header = Header::new("simulated", "kafka");
    header.seed = options.seed;
    let mut writer = Writer::new(out, &header)?;
    let mut simulation = Simulation {
        options,
        rng: ChaCha8Rng::seed_from_u64(options.seed),
        writer: &mut writer,
        logs: vec![Vec::new(); options.keys],
        next: vec![0; options.keys],
        index: 0,
        sent: 0,
        polled: 0,
    };
    simulation.run()?;
    writer.seal().map_err(|e| e.source)
}

impl<W: Write> Simulation<'_, W> {
    fn run(&mut self) -> io::Result<()> {
        let mut clients = vec![Client::Idle; self.options.clients];
        for client in 0..clients.len() {
            let keys: Vec<i64> = self.assigned(client).map(|key| key as i64).collect();
            self.append(client, Kind::Invoke, "assign", keys.clone().into())?;
            self.append(client, Kind::Ok, "assign", keys.into())?;
        }
        while self.polled < self.options.messages {
            let at = self.rng.random_range(0..clients.len());
            clients[at] = match std::mem::replace(&mut clients[at], Client::Idle) {
                Client::Idle => self.begin(at)?,
                Client::Sends(sends) => {
                    let sends: Vec<Value> = sends.into_iter().map(|send| self.send(send)).collect();
                    self.append(at, Kind::Ok, "txn", sends.into())?;
                    Client::Idle
                }
                Client::Polls => {
                    let polled = self.poll(at);
                    self.append(at, Kind::Ok, "txn", vec![polled].into())?;
                    Client::Idle
                }
            };
        }
        Ok(())
    }

    fn assigned(&self, client: usize) -> impl Iterator<Item = usize> + use<W> {
        (client..self.options.keys).step_by(self.options.clients)
    }

    fn begin(&mut self, client: usize) -> io::Result<Client> {
        let behind = self.sent - self.polled < 1_000;
        let sends = self.sent < self.options.messages
            && self.rng.random_bool(if behind { 0.9 } else { 0.5 });
        if !sends {
            let poll: Value = vec!["poll"].into();
            self.append(client, Kind::Invoke, "txn", vec![poll].into())?;
            return Ok(Client::Polls);
        }
        let mut sends = Vec::new();
        for _ in 0..self.rng.random_range(1..=4).min(self.options.messages - self.sent) {
            self.sent += 1;
            sends.push((self.rng.random_range(0..self.options.keys), self.sent as i64));
        }
        let asked = sends.iter().map(|(key, value)| micro("send", *key as i64, (*value).into()));
        self.append(client, Kind::Invoke, "txn", asked.collect::<Vec<_>>().into())?;
        Ok(Client::Sends(sends))
    }

    fn send(&mut self, (key, value): (usize, i64)) -> Value {
        let log = &mut self.logs[key];
        if self.rng.random_ratio(1, 10) {
            log.push(None);
        }
        let offset = log.len() as i64;
        log.push(Some(value));
        micro("send", key as i64, Value::pair(offset, value))
    }

    fn poll(&mut self, client: usize) -> Value {
        let mut polled: Vec<(Box<str>, Value)> = Vec::new();
        for key in self.assigned(client) {
            let (log, next) = (&self.logs[key], &mut self.next[key]);
            let mut pairs: Vec<Value> = Vec::new();
            while pairs.len() < POLLED_MAX && *next < log.len() {
                if let Some(value) = log[*next] {
                    pairs.push(Value::pair(*next as i64, value));
                }
                *next += 1;
            }
            self.polled += pairs.len() as u64;
            if pairs.len() > 1 && self.rng.random_ratio(self.options.skips_per_mille, 1000) {
                pairs.remove(self.rng.random_range(0..pairs.len()));
            }
            if !pairs.is_empty() {
                polled.push((key.to_string().into(), pairs.into()));
            }
        }
        vec![Value::from("poll"), Value::Map(polled.into())].into()
    }

    fn append(&mut self, client: usize, kind: Kind, f: &str, value: Value) -> io::Result<()> {
        let op = Op {
            index: self.index,
            time_ns: self.index * 1_000,
            process: Process::Client(client as u32),
            kind,
            f: F::from(f),
            key: None,
            value,
            node: None,
            error: None,
        };
        self.index += 1;
        self.writer.append(&op)
    }
}

fn micro(f: &str, key: i64, value: Value) -> Value {
    vec![Value::from(f), key.into(), value].into()
}

#[cfg(test)]
mod tests {
    use keelhaul_checkers::{JudgeRequest, Unlimited, Verdict, judge};
    use keelhaul_history::Reader;

    use super::*;

    #[test]
    fn histories_are_valid_unless_they_are_to_skip() {
        for (skips_per_mille, expected) in [(0, Verdict::Valid), (100, Verdict::Invalid)] {
            let options = LogOptions { messages: 2_000, skips_per_mille, ..LogOptions::default() };
            let history = write_log_history(Vec::new(), &options).unwrap();
            let request = JudgeRequest { workload: "kafka".into(), ..JudgeRequest::default() };
            let judgement =
                judge(Reader::new(&history[..]).unwrap(), &request, &Unlimited).unwrap();
            assert_eq!(judgement.verdict, expected, "{:?}", judgement.checks);
        }
    }
}
