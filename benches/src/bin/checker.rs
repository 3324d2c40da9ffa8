//! Writes a seeded history, or judges one, each as a process of its own so that time and memory can be measured from
//! outside.
//!
//! `cargo run --release -p keelhaul-benches --bin checker -- write FILE [--ops N] [--clients N] [--keys N]
//! [--values N] [--reads PERCENT] [--cas PERCENT] [--crashed PER_MILLE] [--lag WRITES] [--kv] [--blind] [--corrupt] [--seed N]`
//!
//! `cargo run --release -p keelhaul-benches --bin checker -- judge FILE [SECONDS [MEGABYTES [MODEL]]]`

use std::fs::File;
use std::process::ExitCode;
use std::time::Instant;

use keelhaul_benches::histories::{HistoryOptions, Words, write_history};
use keelhaul_checkers::{Exhausted, JudgeRequest, Standing, judge};
use keelhaul_history::Reader;

const USAGE: &str = "usage: checker write FILE [--ops N] [--clients N] [--keys N] [--values N] \
    [--reads PERCENT] [--cas PERCENT] [--crashed PER_MILLE] [--kv] [--blind] [--corrupt] [--seed N] | checker judge FILE [SECONDS [MEGABYTES [MODEL]]]";

fn options(mut words: impl Iterator<Item = String>) -> Result<HistoryOptions, String> {
    let mut options = HistoryOptions::default();
    while let Some(flag) = words.next() {
        match flag.as_str() {
            "--corrupt" => {
                options.corrupt = true;
                continue;
            }
            "--blind" => {
                options.blind_cas = true;
                continue;
            }
            "--kv" => {
                options.words = Words::Kv;
                continue;
            }
            _ => {}
        }
        let value = words.next().ok_or_else(|| format!("{flag} needs a value; {USAGE}"))?;
        let wrong = |e| format!("{flag} {value}: {e}");
        match flag.as_str() {
            "--ops" => options.ops = value.parse().map_err(wrong)?,
            "--clients" => options.clients = value.parse().map_err(wrong)?,
            "--keys" => options.keys = value.parse().map_err(wrong)?,
            "--values" => options.values = Some(value.parse().map_err(wrong)?),
            "--reads" => options.reads_percent = value.parse().map_err(wrong)?,
            "--cas" => options.cas_percent = value.parse().map_err(wrong)?,
            "--crashed" => options.crashed_per_mille = value.parse().map_err(wrong)?,
            "--lag" => options.lag = value.parse().map_err(wrong)?,
            "--seed" => options.seed = value.parse().map_err(wrong)?,
            _ => return Err(format!("{flag} is not a flag; {USAGE}")),
        }
    }
    Ok(options)
}

fn run() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let (Some(command), Some(path)) = (words.next(), words.next()) else {
        return Err(USAGE.into());
    };
    match command.as_str() {
        "write" => {
            let options = options(words)?;
            let file = File::create(&path).map_err(|e| format!("{path}: {e}"))?;
            write_history(file, &options).map_err(|e| format!("{path}: {e}"))?;
        }
        "judge" => {
            let begun = Instant::now();
            let file = File::open(&path).map_err(|e| format!("{path}: {e}"))?;
            let reader = Reader::new(file).map_err(|e| format!("{path}: {e}"))?;
            let mut limit = || -> Result<f64, String> {
                let Some(word) = words.next() else { return Ok(f64::INFINITY) };
                word.parse().map_err(|e| format!("{word}: {e}; {USAGE}"))
            };
            let (seconds, megabytes) = (limit()?, limit()?);
            let request = JudgeRequest {
                workload: reader.header().workload.clone(),
                models: words.collect(),
                ..JudgeRequest::default()
            };
            let budget = |bytes: usize| {
                if begun.elapsed().as_secs_f64() > seconds {
                    Some(Exhausted::Time)
                } else {
                    (bytes as f64 > megabytes * 1e6).then_some(Exhausted::Memory)
                }
            };
            let judgement =
                judge(reader, &request, &budget).map_err(|e| format!("{path}: {e:?}"))?;
            println!(
                "{} after {:.1} ms",
                judgement.verdict.as_str(),
                begun.elapsed().as_secs_f64() * 1e3
            );
            for check in judgement.checks {
                println!("{}: {}: {}", check.name, check.verdict.as_str(), check.reason);
                for line in check.evidence.into_iter().flat_map(|evidence| evidence.explanation) {
                    println!("  {line}");
                }
            }
            for Standing { model, verdict, reason } in judgement.standing {
                println!("beside: {model}: {}: {reason}", verdict.as_str());
            }
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(64)
        }
    }
}
