//! The kill table: for every mutant how many lives, and how much processor time, a hunt takes to find it, by plain random schedules and by
//! guided ones: `cargo run --release -p keelhaul-sim --example kill_table [SECONDS [STARTS [PROTOCOL [MUTANT]]]]`.
//!
//! SECONDS is how long one hunt may take; STARTS is how many are made, of which the median is printed. MUTANT `none` is the protocol without a mistake,
//! which must survive, as what breaks no rule must.

#[path = "processor/mod.rs"]
mod processor;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use keelhaul_checkers::Unlimited;
use keelhaul_protocol::Mutant;
use keelhaul_sim::{Evidence, Guidance, Hunt, System};

struct Kill {
    lives: u64,
    seconds: f64,
    kind: Option<String>,
}

/// One hunt on one thread.
fn hunt(system: System, guidance: Guidance, first_seed: u64, seconds: f64) -> Kill {
    let hunt = Hunt {
        first_seed,
        lives_max: u64::MAX,
        jobs: 1,
        guidance,
        evidence: Evidence::Any,
        system,
    };
    let over = AtomicBool::new(false);
    let used = processor::seconds();
    let stop = || over.load(Ordering::Relaxed);
    let hunted = hunt.run(Vec::new(), &Unlimited, &stop, &|_, _| {
        over.store(processor::seconds() - used > seconds, Ordering::Relaxed);
    });
    Kill {
        lives: hunted.tally.lives,
        seconds: processor::seconds() - used,
        kind: hunted.found.map(|found| {
            let (plan, violation) = (&found.plan, &found.violation);
            eprintln!("{system:?}: {}: {}; {plan:?}", violation.kind(), violation.sentence());
            violation.kind().to_owned()
        }),
    }
}

/// The median of several hunts; one that found nothing counts as longer than any other.
fn median(mut kills: Vec<Kill>) -> String {
    kills.sort_by_key(|kill| (kill.kind.is_none(), kill.lives));
    let killed = kills.iter().filter(|kill| kill.kind.is_some()).count();
    let (of, middle) = (kills.len(), &kills[kills.len() / 2]);
    let Kill { lives, seconds, kind } = middle;
    match kind {
        Some(kind) => format!("{lives} | {seconds:.2} | {kind} | {killed}/{of}"),
        None => format!("> {lives} | > {seconds:.0} | survives | {killed}/{of}"),
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let seconds = words.next().and_then(|word| word.parse().ok()).unwrap_or(60.0);
    let starts: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(5);
    let protocol = words.next().unwrap_or_else(|| "raft".to_owned());
    let only = words.next();
    println!(
        "| mutant | class | random: lives | s | evidence | killed | guided: lives | s | evidence | killed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mistakes = Mutant::infos().filter(|info| info.mutant.protocol() == protocol);
    let rows = mistakes.map(|info| (Some(info.name), info.id, info.class));
    for (mutant, id, class) in std::iter::once((None, "correct", 0)).chain(rows) {
        let name = mutant.unwrap_or("none");
        if only.as_deref().map_or(class == 0, |only| only != name) {
            continue;
        }
        let Ok(Some(system)) = System::named(&protocol, mutant) else {
            eprintln!("no protocol of ours is called {protocol:?}");
            return ExitCode::FAILURE;
        };
        let kills = |guidance| {
            let mut kills: Vec<Kill> = Vec::new();
            // As soon as more than half survive, the median is known.
            while (kills.len() as u64) < starts
                && kills.iter().filter(|kill| kill.kind.is_none()).count() as u64 <= starts / 2
            {
                let first_seed = kills.len() as u64 * 1_000_000;
                kills.push(hunt(system, guidance, first_seed, seconds));
            }
            median(kills)
        };
        let (random, guided) = (kills(Guidance::None), kills(Guidance::States));
        println!("| `{name}` {id} | {class} | {random} | {guided} |");
    }
    ExitCode::SUCCESS
}
