//! From a history file to a verdict, a verdict file, a report and an exit code: the same for a fresh run and for one
//! from years ago.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use keelhaul_checkers::{Check, JudgeError, JudgeRequest, Settings, Verdict};
use keelhaul_history::Header;
use keelhaul_history::import::{self, OpSource};
use keelhaul_results::{Format, Judgement, Report, RunDir, Style};
use regex::bytes::Regex;

use crate::budget::Limits;
use crate::exit::{Exit, Failure};
use crate::faults;
use crate::logs;
use crate::plan::Plan;
use crate::registry;
use crate::run::to_json;
use crate::sessions;

/// What the user wants to be different from what the history's header says, and how long it may take.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What the operations mean.
    pub workload: Option<String>,
    /// The promises, separated by commas.
    pub model: Option<String>,
    /// What every key holds at first, and options of the workload.
    pub settings: Settings,
    /// Time for judging.
    pub time: Duration,
    /// Memory of the whole process.
    pub bytes: usize,
    /// How many histories are judged at a time, and share that.
    pub at_a_time: usize,
    /// Kind of the file; by default what its first bytes tell.
    pub format: Option<import::Format>,
    /// How it is imported.
    pub import: import::Options,
    /// What no line of the nodes' logs may match.
    pub log_pattern: Option<Regex>,
}

/// A judged history.
pub struct Judged {
    /// Its first line.
    pub header: Header,
    /// The answer.
    pub judgement: Judgement,
    /// What was done to it besides reading, a sentence each.
    pub notes: Vec<String>,
}

/// The path that means standard input.
pub const STANDARD_INPUT: &str = "-";

/// What can be read at a path, with its name in messages.
fn open(path: &Path) -> anyhow::Result<(String, Box<dyn Read + Send>)> {
    if path == Path::new(STANDARD_INPUT) {
        return Ok(("standard input".into(), Box::new(io::stdin())));
    }
    let name = path.display().to_string();
    if path.is_dir() {
        return Ok((name, sessions::open(path)?));
    }
    let file = File::open(path).with_context(|| format!("failed to open {name}"))?;
    Ok((name, Box::new(file)))
}

/// Judges one file of any kind.
pub fn judge_file(path: &Path, wish: &Wish) -> Result<Judged, Failure> {
    let started = Instant::now();
    let usage = |error: anyhow::Error| Failure::new(Exit::Usage, error);
    let (file, input) = open(path).map_err(usage)?;
    let in_file = |error: anyhow::Error| usage(error.context(file.clone()));
    let source =
        import::open(input, wish.format, wish.import).map_err(|error| in_file(error.into()))?;
    let header = source.header().clone();
    let models = wish.model.iter().flat_map(|models| models.split(','));
    let request = JudgeRequest {
        workload: wish.workload.clone().unwrap_or_else(|| header.workload.clone()),
        models: models.map(|model| model.trim().into()).collect(),
        settings: wish.settings.clone(),
        requested_faults: header.faults.clone(),
    };
    let limits = Limits::new(wish.time, wish.bytes, wish.at_a_time);
    // Where several are judged at a time they are what keeps the processors busy.
    let answer = if wish.at_a_time == 1 {
        keelhaul_checkers::judge_ahead(source, &request, &limits)
    } else {
        keelhaul_checkers::judge(source, &request, &limits)
    };
    let mut answer = answer.map_err(|error| match error {
        JudgeError::Workload(name) if name.is_empty() => Failure::usage(format!(
            "{file} does not say what its operations mean: name it with --workload {}",
            keelhaul_checkers::workloads().map(|w| w.name).collect::<Vec<_>>().join("|")
        )),
        other => in_file(other.into()),
    })?;
    if answer.verdict == Verdict::Invalid && path != Path::new(STANDARD_INPUT) && path.is_file() {
        // Without it the evidence is only poorer by the names.
        let again =
            File::open(path).ok().and_then(|f| import::open(f, wish.format, wish.import).ok());
        let named = again.map(|history| keelhaul_checkers::name_nodes(&mut answer.checks, history));
        named.transpose().map_err(|error| in_file(error.into()))?;
    }
    let logs = wish.log_pattern.as_ref().map(|pattern| logs::check(path, pattern)).transpose()?;
    answer.checks.extend(logs);
    let mut judgement = Judgement::new(answer.checks);
    judgement.strongest = answer.strongest;
    judgement.not = answer.not;
    judgement.also_not = answer.also_not;
    judgement.standing = answer.standing;
    judgement.operations = answer.operations;
    judgement.tested = answer.tested;
    judgement.not_tested = answer.not_tested;
    judgement.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    judgement.peak_bytes = peak_bytes();
    Ok(Judged { header, judgement, notes: answer.notes })
}

/// The most memory this process has held, as the kernel counts it.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Judges a fresh run, writes everything that a run directory holds, and prints the verdict.
/// `more` is what is known of it beside its history, `story` tells it in a part of the report, once it is judged.
pub fn judge_run(
    plan: &Plan,
    dir: &RunDir,
    format: Format,
    more: Vec<Check>,
    story: impl FnOnce(&Judgement) -> String,
) -> Result<Exit, Failure> {
    let wish = Wish {
        workload: None,
        model: None,
        settings: Settings::default(),
        time: Duration::from_millis(plan.check_time_ms),
        bytes: plan.check_memory_bytes,
        at_a_time: 1,
        format: Some(import::Format::Keelhaul),
        import: import::Options::default(),
        log_pattern: logs::pattern(plan.log_pattern.as_deref())?,
    };
    let mut judged = judge_file(&dir.history(), &wish).map_err(|failure| {
        // What we wrote ourselves must be readable.
        Failure { exit: Exit::Internal, ..failure }
    })?;
    more.into_iter().for_each(|check| judged.judgement.add(check));
    judged.judgement.tested.extend(faults::fair(&plan.faults));
    let untested = registry::not_testable(&plan.env, &plan.disk, &plan.faults);
    judged.judgement.not_tested.extend(untested);
    let infrastructure = |error| Failure::new(Exit::Infrastructure, error);
    dir.write(&dir.verdict(), judged.judgement.to_json().as_bytes()).map_err(infrastructure)?;
    write_report(dir, &judged, plan, &story(&judged.judgement));
    let run = format!("{}-{}", plan.store, plan.workload);
    print(&judged.judgement, format, &run);
    if format == Format::Human {
        let dir = dir.path().display().to_string();
        println!("report: {dir}/report.html");
        println!("{}", keelhaul_results::last_line(&judged.judgement, &run, plan.seed, &dir));
    }
    Ok(judged.judgement.verdict.into())
}

/// Log files that the report links to, at most.
const LINKS_MAX: usize = 50;

/// Writes page and plots. Whatever goes wrong here is said, and changes no verdict.
fn write_report(dir: &RunDir, judged: &Judged, plan: &Plan, story: &str) {
    let report = Report {
        subject: &format!("{}-{}", plan.store, plan.workload),
        run: &dir.path().display().to_string(),
        plan: &to_json(plan).unwrap_or_default(),
        command: &plan.command(),
        story,
        judgement: &judged.judgement,
        files: &dir.node_files(LINKS_MAX),
    };
    let open = || File::open(dir.history()).map(|file| Box::new(file) as Box<dyn Read>);
    if let Err(error) = keelhaul_results::write_report(dir, &report, &open) {
        eprintln!("warning: the report could not be written: {:#}", anyhow::Error::new(error));
    }
}

/// Prints a judgement on standard output.
pub fn print(judgement: &Judgement, format: Format, subject: &str) {
    let colour = io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none()
        && std::env::var_os("CI").is_none();
    let columns =
        std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100);
    print!("{}", keelhaul_results::render(judgement, format, Style { subject, colour, columns }));
}
