//! Histories of transactions on registers to measure with, and their judging by way of standard input and output.
//!
//! `generate serial|snapshot TRANSACTIONS OPERATIONS SESSIONS KEYS` writes a history in Plume's text, of a simulated database
//! that is serializable, or has snapshot isolation with snapshots of up to a hundred commits ago. Half of the operations are
//! reads, and keys are drawn evenly. `judge --model MODEL` reads a history of any kind and says what it is.

use std::io::{self, BufWriter, Write};

use keelhaul_checkers::{JudgeRequest, Unlimited, judge_ahead};
use keelhaul_history::{Value, import};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Commits that a snapshot may lag behind.
const LAG_MAX: u64 = 100;

struct Simulation {
    rng: ChaCha8Rng,
    snapshots: bool,
    /// By key: when its versions were committed, and their values.
    versions: Vec<Vec<(u64, u64)>>,
    /// By session: when it last committed.
    sessions: Vec<u64>,
    now: u64,
}

impl Simulation {
    fn txn(&mut self, out: &mut impl Write, operations: usize) -> io::Result<()> {
        let session = self.rng.random_range(0..self.sessions.len());
        let lag = if self.snapshots { self.rng.random_range(0..LAG_MAX) } else { 0 };
        let snapshot = self.now.saturating_sub(lag).max(self.sessions[session]);
        self.now += 1;
        let mut keys: Vec<usize> = Vec::with_capacity(operations);
        while keys.len() < operations {
            let key = self.rng.random_range(0..self.versions.len());
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        for (at, key) in keys.into_iter().enumerate() {
            let versions = &mut self.versions[key];
            // Of concurrent writers of a key the first commits: another one reads instead.
            let may_write = versions.last().is_none_or(|(committed, _)| *committed <= snapshot);
            if may_write && self.rng.random_range(0..2) == 0 {
                let value = self.now * operations as u64 + at as u64;
                versions.push((self.now, value));
                writeln!(out, "w({key},{value},{session},{})", self.now)?;
            } else {
                let seen = versions.partition_point(|(committed, _)| *committed <= snapshot);
                let value = seen.checked_sub(1).map_or(0, |last| versions[last].1);
                writeln!(out, "r({key},{value},{session},{})", self.now)?;
            }
        }
        self.sessions[session] = self.now;
        Ok(())
    }
}

fn generate(kind: &str, numbers: &[usize]) -> io::Result<()> {
    let [txns, operations, sessions, keys] = *numbers else {
        return Err(io::Error::other("TRANSACTIONS, OPERATIONS, SESSIONS and KEYS must follow"));
    };
    let mut simulation = Simulation {
        rng: ChaCha8Rng::seed_from_u64(1),
        snapshots: kind == "snapshot",
        versions: vec![Vec::new(); keys],
        sessions: vec![0; sessions],
        now: 0,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    for _ in 0..txns {
        simulation.txn(&mut out, operations)?;
    }
    out.flush()
}

/// Flags are those of `keelhaul check`: `--model`, `--option`, `--init` and `--repair`.
fn judge_input(flags: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let mut request = JudgeRequest { workload: "rw-register".into(), ..JudgeRequest::default() };
    let mut options = import::Options::default();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let mut value = || flags.next().cloned().unwrap_or_default();
        match flag.as_str() {
            "--model" => request.models.push(value()),
            "--init" => request.settings.initial = Value::from_json(&value()).unwrap_or_default(),
            "--option" => {
                let value = value();
                let (name, value) = value.split_once('=').unwrap_or((&value, "true"));
                let value = Value::from_json(value).unwrap_or_default();
                request.settings.options.insert(name.into(), value);
            }
            "--repair" => options.repair = true,
            other => return Err(format!("{other} is no flag").into()),
        }
    }
    let judgement = judge_ahead(import::open(io::stdin(), None, options)?, &request, &Unlimited)?;
    println!("{} {}", judgement.verdict.as_str(), judgement.anomalies.join(", "));
    for check in &judgement.checks {
        println!("{}: {} ({})", check.name, check.verdict.as_str(), check.reason);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [word, kind, numbers @ ..] if word == "generate" => {
            let numbers: Result<Vec<usize>, _> = numbers.iter().map(|n| n.parse()).collect();
            generate(kind, &numbers?)?;
        }
        [word, flags @ ..] if word == "judge" => judge_input(flags)?,
        _ => return Err("generate KIND NUMBERS… or judge --model MODEL".into()),
    }
    Ok(())
}
