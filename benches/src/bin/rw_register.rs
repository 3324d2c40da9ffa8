//! Writes a history of transactions on registers to measure with, for `keelhaul check - --workload rw-register`.
//!
//! `cargo run --release -p keelhaul-benches --bin rw-register -- serial|snapshot TRANSACTIONS OPERATIONS SESSIONS KEYS`
//!
//! It is in Plume's text, which other checkers read too, of a simulated database that is serializable, or has snapshot isolation
//! with snapshots of up to a hundred commits ago. Up to half of the operations are writes, and keys are drawn evenly.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

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

fn generate(snapshots: bool, numbers: [usize; 4]) -> io::Result<()> {
    let [txns, operations, sessions, keys] = numbers;
    let mut simulation = Simulation {
        rng: ChaCha8Rng::seed_from_u64(1),
        snapshots,
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

fn run(words: &[String]) -> Result<(), String> {
    const USAGE: &str = "usage: rw-register serial|snapshot TRANSACTIONS OPERATIONS SESSIONS KEYS";

    let [kind, numbers @ ..] = words else { return Err(USAGE.into()) };
    let snapshots = match kind.as_str() {
        "serial" => false,
        "snapshot" => true,
        _ => return Err(format!("{kind} is neither serial nor snapshot; {USAGE}")),
    };
    let number = |word: &String| word.parse().map_err(|e| format!("{word}: {e}; {USAGE}"));
    let numbers: Vec<usize> = numbers.iter().map(number).collect::<Result<_, _>>()?;
    let numbers: [usize; 4] = numbers.try_into().map_err(|_| USAGE)?;
    let [_, operations, sessions, keys] = numbers;
    if operations > keys || sessions == 0 {
        return Err(format!(
            "a transaction needs a session, and as many keys as it has operations; {USAGE}"
        ));
    }
    generate(snapshots, numbers).map_err(|e| format!("write: {e}"))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
