//! How fast lives go by: `cargo run --release -p keelhaul-sim --example speed [LIVES]`.

#[path = "processor/mod.rs"]
mod processor;

use std::process::ExitCode;

use keelhaul_checkers::Unlimited;
use keelhaul_nemesis::{KINDS, Schedule, ScheduleOptions, harms, is_simulated};
use keelhaul_sim::{
    Evidence, Medium, SimPlan, States, System, Weather, Work, live, stream, violation,
};

fn plan(seed: u64) -> SimPlan {
    let kinds = KINDS
        .iter()
        .filter(|kind| is_simulated(kind.0) && !harms(kind.0))
        .map(|kind| kind.0.to_owned())
        .collect();
    let options = ScheduleOptions { kinds, nodes: 5, time_limit_ms: 60_000, interval_ms: 10_000 };
    SimPlan {
        nodes: 5,
        concurrency: 10,
        rate: 100.0,
        time_limit_ms: 60_000,
        op_timeout_ms: 1_000,
        schedule: Schedule::draw(&options, &mut stream(seed, "schedule")),
        work: Work::Drawn,
        weather: Weather::draw(seed),
        medium: Medium::Journaled,
        lease_reads: false,
        evidence: Evidence::Any,
        system: System::Raft(None),
        seed,
    }
}

fn main() -> ExitCode {
    let lives = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    let first = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut states = States::default();
    let (mut virtual_s, mut events, mut ops, mut live_s) = (0.0, 0, 0, 0.0);
    for seed in first..first + lives {
        let begun = processor::seconds();
        let life = live(&plan(seed), false, &mut states);
        live_s += processor::seconds() - begun;
        virtual_s += life.figures.virtual_ns as f64 / 1e9;
        events += life.figures.events;
        ops += life.figures.operations;
        if let Some(violation) = violation(&life, &Unlimited) {
            println!("seed {seed}: {} {}", violation.kind(), violation.sentence());
        }
    }
    let all_s = processor::seconds();
    println!(
        "{lives} lives, {virtual_s:.0} virtual s, {events} events, {ops} operations, {} states; {all_s:.2} s of processor ({live_s:.2} without checkers): {:.0} virtual s a second",
        states.len(),
        virtual_s / all_s
    );
    ExitCode::SUCCESS
}
