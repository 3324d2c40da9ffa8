//! The kill table: runs every seeded mistake on live nodes, with the faults that are recommended for it, until it is
//! caught, and prints the table of `docs/KILL_TABLE.md`.
//!
//! `cargo run --release -p keelhaul-benches --bin kill-table -- PATH_OF_KEELHAUL [TRIES] [MUTANT …]`
//!
//! A try is a run of 60 seconds with seed 1, 2, …. The time to the kill is the time in the run at which the last operation
//! of the evidence had completed: from then on the history had no legal order.

use std::process::{Command, ExitCode};

use keelhaul_protocol::Mutant;

/// Tries a mutant, unless the command line says otherwise.
const TRIES: u64 = 5;

/// The exit code of a run whose store never became well again.
const EXIT_STORE_UNHEALTHY: i32 = 11;

/// How a mutant fell.
struct Kill {
    tries: u64,
    /// When the history had no legal order any more; `None` when the store itself did not recover.
    seconds: Option<f64>,
    evidence: String,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: kill-table PATH_OF_KEELHAUL [TRIES] [MUTANT ...]");
        return ExitCode::from(64);
    };
    let tries = words.next().and_then(|word| word.parse().ok()).unwrap_or(TRIES);
    let only: Vec<String> = words.collect();
    println!("| mutant | id | class | faults | tries | seconds to the kill | evidence |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for mutant in Mutant::all()
        .filter(|mutant| only.is_empty() || only.iter().any(|name| name == mutant.name()))
    {
        let info = mutant.info();
        let row = match hunt(&program, mutant, tries) {
            Ok(Some(kill)) => {
                let seconds = kill.seconds.map_or("–".into(), |seconds| format!("{seconds:.1}"));
                format!("{} | {seconds} | {}", kill.tries, kill.evidence)
            }
            Ok(None) => format!("{tries} | did not fall | –"),
            Err(sentence) => {
                eprintln!("error: {}: {sentence}", info.name);
                return ExitCode::from(70);
            }
        };
        println!("| `{}` | {} | {} | `{}` | {row} |", info.name, info.id, info.class, info.nemesis);
    }
    ExitCode::SUCCESS
}

/// Runs a mutant until it is caught.
fn hunt(program: &str, mutant: Mutant, tries: u64) -> Result<Option<Kill>, String> {
    for seed in 1..=tries {
        let (name, info) = (mutant.name(), mutant.info());
        let words = format!(
            "run --mutant {name} --time-limit 60 --nemesis {} {} --seed {seed} --format json",
            info.nemesis, info.flags
        );
        let output = Command::new(program)
            .args(words.split_whitespace())
            .output()
            .map_err(|error| format!("{program} cannot be started: {error}"))?;
        match output.status.code() {
            Some(0) => {}
            Some(1) => return kill(seed, &output.stdout).map(Some),
            Some(EXIT_STORE_UNHEALTHY) => {
                let evidence = "nodes do not start again".to_owned();
                return Ok(Some(Kill { tries: seed, seconds: None, evidence }));
            }
            code => {
                return Err(format!(
                    "seed {seed} ended with {code:?}: {}",
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
    }
    Ok(None)
}

fn kill(tries: u64, verdict: &[u8]) -> Result<Kill, String> {
    let verdict: serde_json::Value =
        serde_json::from_slice(verdict).map_err(|error| error.to_string())?;
    let checks = verdict["checks"].as_array().ok_or("the verdict has no checks")?;
    let check =
        checks.iter().find(|check| check["verdict"] == "invalid").ok_or("no check is invalid")?;
    let ops = check["evidence"]["ops"].as_array().ok_or("the violation has no evidence")?;
    let last_ns = ops.iter().filter_map(|op| op["end_ns"].as_u64()).max().unwrap_or(0);
    let anomalies: Vec<&str> = check["anomalies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        .collect();
    Ok(Kill {
        tries,
        seconds: Some(last_ns as f64 / 1e9),
        evidence: format!("{}, {} operations", anomalies.join(", "), ops.len()),
    })
}
