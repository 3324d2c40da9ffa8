//! How fast the engine records operations, and whether its memory stays flat.
//!
//! `cargo run --release -p keelhaul-benches --bin interpreter -- --ops 10000000`

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use keelhaul_benches::noop::{record, register_work};
use keelhaul_engine::driver::Progress;
use keelhaul_engine::generator::{Combine, Spacing};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Completed operations at which memory is looked at.
const MARKS: [u64; 5] = [100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000];

struct Arguments {
    ops: u64,
    concurrency: u32,
    seed: u64,
    rate: Option<f64>,
    out: PathBuf,
    keep: bool,
}

const USAGE: &str =
    "usage: interpreter [--ops N] [--concurrency N] [--seed N] [--rate N] [--out FILE] [--keep]";

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments {
        ops: 1_000_000,
        concurrency: 10,
        seed: 1,
        rate: None,
        out: PathBuf::from("interpreter-history.jsonl"),
        keep: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        if flag == "--keep" {
            parsed.keep = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{flag} needs a value; {USAGE}"))?;
        let wrong = |e: &dyn std::fmt::Display| format!("{flag} {value}: {e}");
        match flag.as_str() {
            "--ops" => parsed.ops = value.parse().map_err(|e| wrong(&e))?,
            "--concurrency" => parsed.concurrency = value.parse().map_err(|e| wrong(&e))?,
            "--seed" => parsed.seed = value.parse().map_err(|e| wrong(&e))?,
            "--rate" => parsed.rate = Some(value.parse().map_err(|e| wrong(&e))?),
            "--out" => parsed.out = PathBuf::from(value),
            _ => return Err(format!("{flag} is not a flag; {USAGE}")),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let outcome = arguments().and_then(|arguments| measure(&arguments).map_err(|e| chain(&*e)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// An error with everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    let mut marks = MARKS.into_iter().peekable();
    let began = Instant::now();
    let mut memory = Vec::new();
    let mut work = register_work(arguments.ops, arguments.seed);
    if let Some(rate) = arguments.rate {
        let rng = ChaCha8Rng::seed_from_u64(arguments.seed);
        work = work.stagger(rate, Spacing::Poisson, rng).boxed();
    }
    let summary = record(&arguments.out, work, arguments.concurrency, &mut |progress| {
        if let Progress::Tick(status) = progress {
            while marks.next_if(|mark| status.ok >= *mark).is_some() {
                memory.push((status.ok, began.elapsed(), resident_kb()));
            }
        }
    })?;
    let elapsed = began.elapsed();
    for (ok, at, (now_kb, peak_kb)) in memory {
        writeln!(
            out,
            "{ok:>9} ops  {:>7.2} s  resident {now_kb} kB, peak {peak_kb} kB",
            at.as_secs_f64()
        )?;
    }
    let bytes = fs::metadata(&arguments.out)?.len();
    let rate = summary.status.ok as f64 / elapsed.as_secs_f64();
    let megabytes = bytes as f64 / 1e6;
    writeln!(
        out,
        "{} completed operations in {:.3} s: {rate:.0}/s, {megabytes:.0} MB",
        summary.status.ok,
        elapsed.as_secs_f64()
    )?;
    if !arguments.keep {
        fs::remove_file(&arguments.out)?;
    }
    Ok(())
}

/// Resident and peak memory of this process.
fn resident_kb() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}
