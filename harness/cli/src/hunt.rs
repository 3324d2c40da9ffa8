//! `keelhaul hunt` and `keelhaul shrink`: looking for simulated runs that go wrong, and cutting them down.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use keelhaul_checkers::Unlimited;
use keelhaul_results::Format;
use keelhaul_sim::{Evidence, Guidance, Hunt, SimPlan, Tally, Work};

use crate::args::{HuntArgs, ShrinkArgs};
use crate::exit::{Exit, Failure};
use crate::plan::Plan;
use crate::run::to_json;
use crate::simulated;
use crate::units;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(500);
/// The most runs at a time.
const JOBS_MAX: u64 = 256;

/// Hunts until a run goes wrong or the budget ends.
pub fn hunt(args: &HuntArgs) -> Result<Exit, Failure> {
    let like = Plan::for_hunt(&args.store, args.mutant.as_deref())?;
    let hunt = Hunt {
        first_seed: units::number("--seed", &args.seed, 0, u64::MAX)?,
        lives_max: units::number("--seeds", &args.seeds, 1, u64::MAX)?,
        jobs: usize::try_from(units::number("--jobs", &args.jobs, 1, JOBS_MAX)?).unwrap_or(1),
        guidance: guidance(&args.guidance)?,
        evidence: evidence(&args.evidence)?,
        system: simulated::life_plan(&like)?.system,
    };
    let budget =
        args.time_budget.as_ref().map(|text| units::duration("--time-budget", text)).transpose()?;
    let corpus = args.corpus.as_ref().map(|dir| Corpus::open(dir, &like)).transpose()?;
    let begun = Instant::now();
    let stop = || budget.is_some_and(|budget| begun.elapsed() >= budget);
    let trouble = Mutex::new(None);
    let shown = AtomicU64::new(0);
    let show = std::io::stderr().is_terminal();
    let observer = |tally: &Tally, kept: Option<&SimPlan>| {
        if let (Some(corpus), Some(kept)) = (&corpus, kept)
            && let Err(failure) = corpus.keep(&simulated::plan_of(kept, &like))
        {
            trouble
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .get_or_insert(failure);
        }
        let due = shown.load(Ordering::Relaxed) + PROGRESS.as_millis() as u64;
        let now = begun.elapsed().as_millis() as u64;
        if show && now >= due {
            shown.store(now, Ordering::Relaxed);
            eprint!("\r{}", progress(tally, begun.elapsed()));
            let _ = std::io::stderr().flush();
        }
    };
    let plans = corpus.as_ref().map_or_else(Vec::new, |corpus| corpus.plans.clone());
    let hunted = hunt.run(plans, &Unlimited, &stop, &observer);
    if show {
        eprintln!();
    }
    if let Some(failure) = trouble.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(failure);
    }
    println!("{}", progress(&hunted.tally, begun.elapsed()));
    let Some(found) = hunted.found else {
        println!("no run went wrong");
        return Ok(Exit::Valid);
    };
    println!("{}: {}", found.violation.kind(), found.violation.sentence());
    let plan = simulated::plan_of(&found.plan, &like);
    let exit = simulated::run(&plan, &args.runs, Format::Human)?;
    let dir = latest(&args.runs);
    println!("seed {}; again: keelhaul run --plan {}", plan.seed, dir.join("plan.json").display());
    println!("smaller: keelhaul shrink {}", dir.display());
    Ok(exit)
}

fn progress(tally: &Tally, elapsed: Duration) -> String {
    let Tally { lives, states, kept, virtual_ns } = tally;
    let (seconds, virtual_s) = (elapsed.as_secs_f64(), *virtual_ns as f64 / 1e9);
    format!(
        "{lives} runs in {seconds:.1} s, {virtual_s:.0} virtual s, {states} states, {kept} plans kept"
    )
}

fn guidance(word: &str) -> Result<Guidance, Failure> {
    match word {
        "none" => Ok(Guidance::None),
        "states" => Ok(Guidance::States),
        other => {
            Err(Failure::usage(format!("--guidance takes one of none, states, not {other:?}")))
        }
    }
}

fn evidence(word: &str) -> Result<Evidence, Failure> {
    match word {
        "any" => Ok(Evidence::Any),
        "clients" => Ok(Evidence::Clients),
        other => {
            Err(Failure::usage(format!("--evidence takes one of any, clients, not {other:?}")))
        }
    }
}

/// Where the newest run is.
fn latest(runs: &Path) -> PathBuf {
    let link = runs.join("latest");
    std::fs::read_link(&link).map_or(link, |target| runs.join(target))
}

/// Plans on disk that reached something new.
struct Corpus {
    dir: PathBuf,
    plans: Vec<SimPlan>,
    next: AtomicU64,
}

impl Corpus {
    /// Reads what is there. It must be writable before a hunt begins.
    fn open(dir: &Path, like: &Plan) -> Result<Self, Failure> {
        let usage = |error: anyhow::Error| Failure::new(Exit::Usage, error);
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(dir.join(".writable"), b""))
            .and_then(|()| std::fs::remove_file(dir.join(".writable")))
            .with_context(|| format!("failed to write to the corpus folder {}", dir.display()))
            .map_err(usage)?;
        let entries = std::fs::read_dir(dir)
            .with_context(|| format!("failed to read the corpus folder {}", dir.display()))
            .map_err(usage)?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        let mut plans = Vec::with_capacity(files.len());
        for file in &files {
            let plan = Plan::open(file)?;
            if plan.store != like.store {
                return Err(Failure::usage(format!(
                    "{} is a plan for {}, and the hunt is for {}",
                    file.display(),
                    plan.store,
                    like.store
                )));
            }
            plans.push(simulated::life_plan(&plan)?);
        }
        let number = |file: &PathBuf| file.file_stem()?.to_str()?.parse::<u64>().ok();
        let next = files.iter().filter_map(number).max().map_or(0, |last| last + 1);
        Ok(Self { dir: dir.to_path_buf(), plans, next: AtomicU64::new(next) })
    }

    fn keep(&self, plan: &Plan) -> Result<(), Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let file = self.dir.join(format!("{number:06}.json"));
        std::fs::write(&file, to_json(plan)?)
            .with_context(|| format!("failed to keep a plan in {}", file.display()))
            .map_err(|error| Failure::new(Exit::Infrastructure, error))
    }
}

/// Shrinks a run that goes wrong, and writes the run directory of what is left.
pub fn shrink(args: &ShrinkArgs) -> Result<Exit, Failure> {
    let tries = units::number("--tries", &args.tries, 1, u64::MAX)?;
    let file = if args.path.is_dir() { args.path.join("plan.json") } else { args.path.clone() };
    let plan = Plan::open(&file)?;
    let life = simulated::life_plan(&plan)?;
    let Some(shrunk) = keelhaul_sim::shrink(&life, tries, &Unlimited) else {
        return Err(Failure::usage(format!(
            "{} does not go wrong: there is nothing to shrink",
            file.display()
        )));
    };
    let left = simulated::plan_of(&shrunk.plan, &plan);
    let operations = match &shrunk.plan.work {
        Work::Listed(ops) => ops.len().to_string(),
        Work::Drawn => "all".into(),
    };
    println!(
        "{} faults of {}, {operations} operations, {} nodes of {}, {:.1} s of {:.1} are left after {} runs{}",
        shrunk.plan.schedule.faults.len(),
        life.schedule.faults.len(),
        shrunk.plan.nodes,
        life.nodes,
        shrunk.plan.time_limit_ms as f64 / 1e3,
        life.time_limit_ms as f64 / 1e3,
        shrunk.tried,
        if shrunk.minimal { "; nothing more can be left out" } else { "; --tries ended" }
    );
    println!("{}: {}", shrunk.violation.kind(), shrunk.violation.sentence());
    simulated::run(&left, &args.runs, Format::Human)
}
