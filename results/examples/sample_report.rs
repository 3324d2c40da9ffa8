//! Writes the run directories of two made-up runs, one valid and one with a stale read, to look at the report:
//! `cargo run -p keelhaul-results --example sample_report -- DIRECTORY [SECONDS] [PAUSE_US]`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;

use common::{Made, Plan, make};
use keelhaul_results::{Format, Report, RunDir, Style, render, write_report};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = arguments.first().ok_or("usage: sample_report DIRECTORY [SECONDS] [PAUSE_US]")?;
    let number = |at: usize, usual: u64| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    for stale_read in [false, true] {
        let plan = Plan { seconds: number(1, 35)?, pause_us: number(2, 6_000)?, stale_read };
        let Made { history, mut judgement } = make(&plan);
        let time = if stale_read { "stale" } else { "valid" };
        let dir = RunDir::create(Path::new(root), "raft", "register", time, 1_234_567)?;
        dir.write(&dir.history(), &history)?;
        judgement.not_tested.push("clock faults (nodes share one clock)".into());
        dir.write(&dir.verdict(), judgement.to_json().as_bytes())?;
        for node in ["n1", "n2", "n3"] {
            dir.write(&dir.node(node)?.join("raft.log"), b"")?;
        }
        let run = dir.path().display().to_string();
        let report = Report {
            subject: "raft-register",
            run: &run,
            plan: "{\n  \"store\": \"raft\",\n  \"seed\": 1234567\n}",
            command: "keelhaul run --store raft --seed 1234567 --time-limit 35",
            story: "",
            judgement: &judgement,
            files: &dir.node_files(100),
        };
        let path = dir.history();
        write_report(&dir, &report, &|| Ok(Box::new(std::fs::File::open(&path)?)))?;
        let style = Style { subject: "raft-register", colour: true, columns: 110 };
        print!("{}", render(&judgement, Format::Human, style));
        println!("{}", dir.report().display());
    }
    Ok(())
}
