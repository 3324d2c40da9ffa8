//! Judges seeded histories of containers, sets, counters and locks, and says what it cost.
//!
//! `cargo run --release -p keelhaul-benches --bin objects -- WORKLOAD [--ops N] [--clients N] [--values N]
//! [--puts PERCENT] [--crashed PER_MILLE] [--corrupt] [--seed N]`
//!
//! Each history is made in memory, then read and judged: first into objects, then the check alone.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use keelhaul_benches::objects::{ObjectOptions, write_object_history};
use keelhaul_checkers::objects::models::bag::Unordered;
use keelhaul_checkers::objects::models::container;
use keelhaul_checkers::objects::models::fifo::Fifo;
use keelhaul_checkers::objects::models::priority::SmallestFirst;
use keelhaul_checkers::objects::models::stack::Lifo;
use keelhaul_checkers::objects::models::{counter, multi_register, mutex, set};
use keelhaul_checkers::objects::{ObjectsBuilder, Vocabulary, check};
use keelhaul_checkers::{Check, Exhausted};
use keelhaul_history::Reader;

const USAGE: &str = "usage: objects WORKLOAD [--ops N] [--clients N] [--values N] [--puts PERCENT] \
    [--crashed PER_MILLE] [--corrupt] [--seed N]";

/// A check that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(60);

fn options(mut words: impl Iterator<Item = String>) -> Result<ObjectOptions, String> {
    let workload = words.next().ok_or(USAGE)?;
    let mut options = ObjectOptions { workload, ..ObjectOptions::default() };
    while let Some(flag) = words.next() {
        if flag == "--corrupt" {
            options.corrupt = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{flag} needs a value; {USAGE}"))?;
        let wrong = |e| format!("{flag} {value}: {e}");
        match flag.as_str() {
            "--ops" => options.ops = value.parse().map_err(wrong)?,
            "--clients" => options.clients = value.parse().map_err(wrong)?,
            "--values" => options.values = Some(value.parse().map_err(wrong)?),
            "--puts" => options.puts_percent = value.parse().map_err(wrong)?,
            "--crashed" => options.crashed_per_mille = value.parse().map_err(wrong)?,
            "--seed" => options.seed = value.parse().map_err(wrong)?,
            _ => return Err(format!("{flag} is not a flag; {USAGE}")),
        }
    }
    Ok(options)
}

/// Reads and judges; how long each took.
fn measure<V: Vocabulary<Model: Send>>(
    history: &[u8],
) -> Result<(Duration, Duration, Check), String> {
    let begun = Instant::now();
    let mut reader = Reader::new(history).map_err(|e| format!("{e:?}"))?;
    let mut builder = ObjectsBuilder::<V>::default();
    while let Some(op) = reader.next_op().map_err(|e| format!("{e:?}"))? {
        builder.observe(&op).map_err(|e| e.to_string())?;
    }
    let objects = builder.finish();
    let read = begun.elapsed();
    let begun = Instant::now();
    let budget = |_: usize| (begun.elapsed() > LIMIT).then_some(Exhausted::Time);
    let check = check(&objects, &budget);
    Ok((read, begun.elapsed(), check))
}

fn run() -> Result<(), String> {
    let options = options(std::env::args().skip(1))?;
    let history =
        write_object_history(Vec::new(), &options).map_err(|e| format!("make a history: {e}"))?;
    let (read, checked, check) = match options.workload.as_str() {
        "fifo-queue" => measure::<container::Words<Fifo>>(&history),
        "queue" => measure::<container::Words<Unordered>>(&history),
        "stack" => measure::<container::Words<Lifo>>(&history),
        "priority-queue" => measure::<container::Words<SmallestFirst>>(&history),
        "set" => measure::<set::Words>(&history),
        "counter" => measure::<counter::Words>(&history),
        "mutex" => measure::<mutex::Words>(&history),
        "multi-register" => measure::<multi_register::Words>(&history),
        other => Err(format!("{other} is not a workload; {USAGE}")),
    }?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{} {} operations: {}; read {:.1} ms, check {:.1} ms",
        options.workload,
        options.ops,
        check.verdict.as_str(),
        ms(read),
        ms(checked)
    );
    println!("{}", check.reason);
    for line in check.evidence.into_iter().flat_map(|evidence| evidence.explanation) {
        println!("  {line}");
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
