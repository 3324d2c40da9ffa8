//! The table of throughput: the same load on each store, one after the other, on five nodes of this machine, whose data are on its disk and synced.
//!
//! `cargo run --release -p keelhaul-benches --bin throughput -- PATH_OF_KEELHAUL [SECONDS [CLIENTS [PASSES [ROWS]]]]`; ROWS: names of those that are wanted, between semicolons.
//!
//! The load is the workload `register` without faults: clients that ask again as soon as they are answered, a third of them for reads. The first two seconds do not count.
//! Each row is a run of `keelhaul`, so that clients and recording are the same for all; a pass goes through all rows, so that what else
//! the machine does meets every row, and the median of the passes is printed, and how rows that belong together compare in each pass. What batching and pipelining contribute is shown by nodes that do without.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use keelhaul_history::{F, Kind, Process, Reader};

/// What is measured, and the flags that make it.
const ROWS: [(&str, &str); 16] = [
    ("raft", "--store raft"),
    ("raft, reads by lease", "--store raft --read lease"),
    ("raft, one entry a message", "--store raft --mutant same-single-entries"),
    ("raft, one message at a time", "--store raft --mutant same-no-pipeline"),
    ("paxos", "--store paxos"),
    ("paxos, reads by lease", "--store paxos --read lease"),
    ("paxos, one proposal a message", "--store paxos --mutant paxos-same-single-entries"),
    ("paxos, one message at a time", "--store paxos --mutant paxos-same-no-pipeline"),
    ("etcd", "--store etcd"),
    ("etcd, serializable reads", "--store etcd --read serializable"),
    ("zab", "--store zab"),
    ("zab, local reads", "--store zab --read local"),
    ("zab, one proposal a message", "--store zab --mutant zab-same-single-entries"),
    ("zab, one message at a time", "--store zab --mutant zab-same-no-pipeline"),
    ("zookeeper", "--store zookeeper"),
    ("zookeeper, local reads", "--store zookeeper --read local"),
];

/// Which rows are compared: ours, and what it is measured by. Their reads promise the same, or ours more.
const PAIRS: [(&str, &str); 6] = [
    ("raft", "etcd"),
    ("raft, reads by lease", "etcd, serializable reads"),
    ("paxos", "etcd"),
    ("paxos, reads by lease", "etcd, serializable reads"),
    ("zab", "zookeeper"),
    ("zab, local reads", "zookeeper, local reads"),
];

/// What opens a run is left out: clients connect, and a leader is found.
const WARM_UP_NS: u64 = 2_000_000_000;

/// Latencies of what was acknowledged, in nanoseconds.
#[derive(Default)]
struct Measured {
    reads: Vec<u64>,
    writes: Vec<u64>,
    seconds: f64,
}

/// A row's figures: operations a second, and milliseconds.
#[derive(Clone, Copy)]
struct Figures {
    writes: f64,
    write_ms: [f64; 2],
    reads: f64,
    read_ms: [f64; 2],
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: throughput PATH_OF_KEELHAUL [SECONDS [CLIENTS [PASSES [ROWS]]]]");
        return ExitCode::from(64);
    };
    let mut number =
        |otherwise: u64| words.next().and_then(|w| w.parse().ok()).unwrap_or(otherwise);
    let (seconds, clients, passes) = (number(20).max(4), number(200), number(3).max(1));
    let only = words.next().unwrap_or_default();
    let mut rows: Vec<Vec<Figures>> = ROWS.iter().map(|_| Vec::new()).collect();
    for pass in 1..=passes {
        for ((name, flags), figures) in ROWS.iter().zip(&mut rows) {
            if !only.is_empty() && !only.split(';').any(|wanted| wanted == *name) {
                continue;
            }
            match run(&program, flags, seconds, clients, pass) {
                Ok(measured) => figures.push(measured.figures()),
                Err(sentence) => {
                    print(&rows);
                    eprintln!("error: {name}: {sentence}");
                    return ExitCode::from(70);
                }
            }
        }
    }
    print(&rows);
    ExitCode::SUCCESS
}

/// The medians, and how rows that belong together compare within a pass.
fn print(rows: &[Vec<Figures>]) {
    println!(
        "| store | writes a second | p50, p99 ms | reads a second | p50, p99 ms |\n| --- | --- | --- | --- | --- |"
    );
    for ((name, _), passes) in ROWS.iter().zip(rows) {
        let mut passes = passes.clone();
        if passes.is_empty() {
            continue;
        }
        passes.sort_by(|a, b| a.writes.total_cmp(&b.writes));
        let Figures { writes, write_ms: w, reads, read_ms: r } = passes[passes.len() / 2];
        println!(
            "| {name} | {writes:.0} | {:.1}, {:.1} | {reads:.0} | {:.1}, {:.1} |",
            w[0], w[1], r[0], r[1]
        );
    }
    println!(
        "\n| compared, pass by pass | writes a second, times | p99 of writes, times |\n| --- | --- | --- |"
    );
    let of = |wanted: &str| ROWS.iter().position(|(name, _)| *name == wanted).map(|at| &rows[at]);
    for (ours, theirs) in PAIRS {
        let passes = of(ours).into_iter().flatten().zip(of(theirs).into_iter().flatten());
        let (writes, p99): (Vec<_>, Vec<_>) = passes
            .map(|(a, b)| (a.writes / b.writes, a.write_ms[1] / b.write_ms[1]))
            .map(|(writes, p99)| (format!("{writes:.2}"), format!("{p99:.2}")))
            .unzip();
        println!("| {ours} / {theirs} | {} | {} |", writes.join(", "), p99.join(", "));
    }
}

/// One run, from its history.
fn run(
    program: &str,
    flags: &str,
    seconds: u64,
    clients: u64,
    seed: u64,
) -> Result<Measured, String> {
    // Here, and not where temporary files go: that may be memory, where syncs cost nothing.
    let runs = Path::new("runs").join(format!("throughput-{}", std::process::id()));
    let words = format!(
        "run {flags} --nodes 5 --nemesis none --rate 1000000 --concurrency {clients} --op-timeout 10 \
         --time-limit {seconds} --seed {seed} --check-time 1 --format json --runs {}",
        runs.display()
    );
    let status = Command::new(program)
        .args(words.split_whitespace())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    // Judging is given no time here: it may well end as unknown. Reads that promise less are found out soon.
    let weak = flags.contains("--read local") || flags.contains("--read serializable");
    let ended = matches!(status.code(), Some(0 | 2)) || weak && status.code() == Some(1);
    if !ended {
        return Err(format!("a run ended with {status}: {words}"));
    }
    let measured = measure(&runs.join("latest").join("history.jsonl"));
    std::fs::remove_dir_all(&runs).map_err(|error| format!("{}: {error}", runs.display()))?;
    measured
}

/// Reads the latencies out of a history.
fn measure(path: &Path) -> Result<Measured, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut reader = Reader::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut begun: HashMap<Process, u64> = HashMap::new();
    let (mut measured, mut last_ns) = (Measured::default(), WARM_UP_NS);
    for op in reader.read_all().map_err(|error| error.to_string())? {
        if op.kind == Kind::Invoke {
            begun.insert(op.process, op.time_ns);
            continue;
        }
        let Some(start) = begun.remove(&op.process).filter(|start| *start >= WARM_UP_NS) else {
            continue;
        };
        if op.kind != Kind::Ok {
            continue;
        }
        last_ns = last_ns.max(op.time_ns);
        let of = if op.f == F::Read { &mut measured.reads } else { &mut measured.writes };
        of.push(op.time_ns - start);
    }
    measured.seconds = (last_ns - WARM_UP_NS) as f64 / 1e9;
    Ok(measured)
}

impl Measured {
    fn figures(mut self) -> Figures {
        let rate = |of: &[u64]| of.len() as f64 / self.seconds.max(1.0);
        let (writes, reads) = (rate(&self.writes), rate(&self.reads));
        let write_ms = percentiles(&mut self.writes);
        Figures { writes, write_ms, reads, read_ms: percentiles(&mut self.reads) }
    }
}

/// The half and all but one in a hundred, in milliseconds.
fn percentiles(latencies: &mut [u64]) -> [f64; 2] {
    latencies.sort_unstable();
    [50, 99].map(|percent| {
        let at = latencies.len() * percent / 100;
        latencies.get(at).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
    })
}
