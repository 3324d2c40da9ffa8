//! Whether what must survive does: lives of a protocol without a mistake, or with a change that breaks no rule, under all faults.
//!
//! `cargo run --release -p keelhaul-sim --example survive -- [PROTOCOL [CHANGE [FIRST [LIVES [SECONDS]]]]]`: CHANGE `none` is the protocol as it is, and `all` are
//! all changes that break no rule, one after the other. Lives are numbered from FIRST, so that a later call adds to an earlier one; it ends after
//! LIVES of them, or so many seconds of processor. Every other hundred is guided.

#[path = "processor/mod.rs"]
mod processor;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use keelhaul_checkers::Unlimited;
use keelhaul_protocol::Mutant;
use keelhaul_sim::{Evidence, Found, Guidance, Hunt, System};

/// Lives that are made in one way.
const BATCH: u64 = 100;

/// How many lives were made from `first` on, and the one that went wrong.
fn survive(system: System, first: u64, lives: u64, seconds: f64) -> (u64, Option<Found>) {
    let (begun, over) = (processor::seconds(), AtomicBool::new(false));
    let (mut lived, mut corpus) = (0, Vec::new());
    while lived < lives && !over.load(Ordering::Relaxed) {
        let guided = (first + lived) / BATCH % 2 == 1;
        let guidance = if guided { Guidance::States } else { Guidance::None };
        let lives_max = BATCH.min(lives - lived);
        let hunt = Hunt {
            first_seed: first + lived,
            lives_max,
            jobs: 1,
            guidance,
            evidence: Evidence::Any,
            system,
        };
        let stop = || over.load(Ordering::Relaxed);
        let hunted = hunt.run(std::mem::take(&mut corpus), &Unlimited, &stop, &|_, _| {
            over.store(processor::seconds() - begun > seconds, Ordering::Relaxed);
        });
        lived += hunted.tally.lives;
        if hunted.found.is_some() {
            return (lived, hunted.found);
        }
        corpus = hunted.corpus;
    }
    (lived, None)
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut word = |otherwise: &str| words.next().unwrap_or_else(|| otherwise.to_owned());
    let (protocol, change) = (word("raft"), word("none"));
    let (first, lives) = (word("0").parse().unwrap_or(0), word("2000").parse().unwrap_or(2_000));
    let seconds = word("600").parse().unwrap_or(600.0);
    let equal =
        Mutant::infos().filter(|info| info.mutant.protocol() == protocol && info.is_equivalent());
    let changes: Vec<Option<&str>> = match change.as_str() {
        "none" => vec![None],
        "all" => equal.map(|info| Some(info.name)).collect(),
        name => vec![Some(name)],
    };
    let mut failed = false;
    for change in changes {
        let Ok(Some(system)) = System::named(&protocol, change) else {
            eprintln!("{protocol:?} has no {change:?}");
            return ExitCode::FAILURE;
        };
        let (lived, found) = survive(system, first, lives, seconds);
        let (name, next) = (change.unwrap_or("none"), first + lived);
        println!("{protocol} {name}: {lived} lives from {first} to before {next}");
        if let Some(Found { plan, violation }) = found {
            println!("went wrong: {}: {}\n{plan:?}", violation.kind(), violation.sentence());
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
