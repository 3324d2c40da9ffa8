//! `keelhaul check` and `keelhaul report`: old histories, judged and shown again.

use std::path::{Path, PathBuf};

use anyhow::Context;
use keelhaul_history::Value;
use keelhaul_results::{Format, RunDir};

use crate::args::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::judge::{self, Wish};
use crate::plan::Plan;
use crate::units;

/// Judges a history file or a run directory; writes nothing.
pub fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let wish = Wish {
        workload: args.workload.clone(),
        model: args.model.clone(),
        initial: initial(args.init.as_deref())?,
        time: units::duration("--time-budget", &args.time_budget)?,
        bytes: units::bytes("--memory", &args.memory)?,
    };
    let path = history_of(&args.path)?;
    let judged = judge::judge_file(&path, &wish)?;
    let subject = args.path.display().to_string();
    judge::print(&judged.judgement, args.format, &subject);
    if args.format == Format::Human {
        println!(
            "{}",
            keelhaul_results::last_line(&judged.judgement, &subject, judged.header.seed, &subject)
        );
    }
    Ok(judged.judgement.verdict.into())
}

/// Writes the report of an old run again, from its history and plan.
pub fn report(path: &Path) -> Result<Exit, Failure> {
    let dir = RunDir::open(path);
    let text = std::fs::read(dir.plan())
        .with_context(|| {
            format!("{} is no run directory: it has no readable plan.json", path.display())
        })
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let plan: Plan = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a plan of this version", dir.plan().display()))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    judge::judge_run(&plan, &dir, Format::Human)
}

fn history_of(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let history = RunDir::open(path).history();
    if history.exists() {
        return Ok(history);
    }
    Err(Failure::usage(format!("{} is a directory without a history.jsonl", path.display())))
}

fn initial(text: Option<&str>) -> Result<Value, Failure> {
    let Some(text) = text else { return Ok(Value::Null) };
    Value::from_json(text).ok_or_else(|| {
        Failure::usage(format!("--init takes a value as JSON, such as 0 or null, not {text:?}"))
    })
}
