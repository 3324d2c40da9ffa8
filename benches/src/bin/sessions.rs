//! Judges a seeded history by every model that looks at sessions, and says what each cost.
//!
//! `cargo run --release -p keelhaul-benches --bin sessions -- [--ops N] [--clients N] [--keys N] [--reads PERCENT]
//! [--crashed PER_MILLE] [--replicas] [--seed N] [--only MODEL]`
//!
//! The memory is the most that the process has held, the history included.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use keelhaul_benches::sessions::{SessionOptions, session_history};
use keelhaul_checkers::columns::Registers;
use keelhaul_checkers::{Budget, Check, Exhausted, causal, sessions};

const USAGE: &str = "usage: sessions [--ops N] [--clients N] [--keys N] [--reads PERCENT] [--crashed PER_MILLE] \
    [--replicas] [--seed N] [--only MODEL]";

/// A check that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(120);

/// Decides a model.
type Decide = fn(&Registers, &dyn Budget) -> Check;

const MODELS: &[(&str, Decide)] = &[
    ("read-your-writes", sessions::check_read_your_writes),
    ("monotonic-reads", sessions::check_monotonic_reads),
    ("monotonic-writes", sessions::check_monotonic_writes),
    ("writes-follow-reads", sessions::check_writes_follow_reads),
    ("causal", causal::check),
    ("causal-convergence", causal::check_convergence),
    ("pram", sessions::check_pram),
    ("causal-memory", causal::check_memory),
];

fn options() -> Result<(SessionOptions, Option<String>), String> {
    let mut options = SessionOptions::default();
    let mut only = None;
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        if flag == "--replicas" {
            options.replicas = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{flag} needs a value; {USAGE}"))?;
        let wrong = |e| format!("{flag} {value}: {e}");
        match flag.as_str() {
            "--ops" => options.ops = value.parse().map_err(wrong)?,
            "--clients" => options.clients = value.parse().map_err(wrong)?,
            "--keys" => options.keys = value.parse().map_err(wrong)?,
            "--reads" => options.reads_percent = value.parse().map_err(wrong)?,
            "--crashed" => options.crashed_per_mille = value.parse().map_err(wrong)?,
            "--seed" => options.seed = value.parse().map_err(wrong)?,
            "--only" => only = Some(value),
            _ => return Err(format!("{flag} is not a flag; {USAGE}")),
        }
    }
    Ok((options, only))
}

/// The most memory that this process has held, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn run() -> Result<(), String> {
    let (options, only) = options()?;
    let registers = session_history(&options).map_err(|e| format!("make a history: {e}"))?;
    println!("{} operations with a part in it, {} MB", registers.op_count(), peak_mb());
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    for (name, decide) in MODELS.iter().filter(|(name, _)| wanted(name)) {
        let begun = Instant::now();
        let budget = |_: usize| (begun.elapsed() > LIMIT).then_some(Exhausted::Time);
        let check = decide(&registers, &budget);
        let ms = begun.elapsed().as_millis();
        println!("{name:20} {:8} {ms:7} ms, peak so far {} MB", check.verdict.as_str(), peak_mb());
        for line in check.evidence.iter().flat_map(|evidence| &evidence.explanation) {
            println!("    {line}");
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
