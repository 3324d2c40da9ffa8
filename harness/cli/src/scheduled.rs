//! Where a run's schedule of faults comes from: drawn from the seed, or read from a file.

use std::path::Path;

use anyhow::Context;
use keelhaul_nemesis::{Schedule, ScheduleFile, ScheduleOptions};
use keelhaul_sim::stream;

use crate::exit::{Exit, Failure};

/// What a schedule is for.
pub struct For<'a> {
    /// The system under test.
    pub store: &'a str,
    /// Decides on what is left to chance.
    pub seed: u64,
    /// Kinds of faults to draw, how many nodes, how long.
    pub options: &'a ScheduleOptions,
}

/// The schedule of a file, if one is named, else one that is drawn.
pub fn schedule(file: Option<&Path>, run: &For<'_>) -> Result<Schedule, Failure> {
    let mut rng = stream(run.seed, "schedule");
    let Some(file) = file else { return Ok(Schedule::draw(run.options, &mut rng)) };
    let schedule = read(file)?
        .lower(run.store, run.options.nodes, &mut rng)
        .with_context(|| format!("failed to use the schedule {}", file.display()))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let ends_ms = schedule.faults.iter().map(|fault| fault.until_ms).max().unwrap_or(0);
    if ends_ms > run.options.time_limit_ms {
        return Err(Failure::usage(format!(
            "the faults of {} end after {:.1} s, and the clients after {:.1} s: raise --time-limit",
            file.display(),
            ends_ms as f64 / 1e3,
            run.options.time_limit_ms as f64 / 1e3
        )));
    }
    Ok(schedule)
}

fn read(file: &Path) -> Result<ScheduleFile, Failure> {
    let is_toml = file.extension().is_some_and(|extension| extension == "toml");
    let read = || -> anyhow::Result<ScheduleFile> {
        let text = std::fs::read_to_string(file)?;
        if is_toml { Ok(toml::from_str(&text)?) } else { Ok(serde_json::from_str(&text)?) }
    };
    read()
        .with_context(|| format!("failed to read the schedule {}", file.display()))
        .map_err(|error| Failure::new(Exit::Usage, error))
}
