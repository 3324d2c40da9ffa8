//! `keelhaul check` and `keelhaul report`: old histories, ours and others', judged and shown again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use keelhaul_checkers::Settings;
use keelhaul_history::{Value, import};
use keelhaul_results::{Format, RunDir};

use crate::args::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::expect;
use crate::judge::{self, Judged, Wish};
use crate::logs;
use crate::plan::Plan;
use crate::sessions;
use crate::units;

/// Judges histories; writes nothing.
pub fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    if let Some(table) = &args.expect {
        return expect::expect(table, args);
    }
    let wish = wish(args)?;
    match histories(&args.paths, args.input)?.as_slice() {
        [] => Ok(Exit::NothingSelected),
        [one] if args.paths.len() == 1 && !is_folder(&args.paths[0], args.input) => {
            check_one(one, &args.paths[0], args, &wish)
        }
        many => check_many(many, args.format, &wish),
    }
}

/// What the flags ask for.
pub fn wish(args: &CheckArgs) -> Result<Wish, Failure> {
    Ok(Wish {
        workload: args.workload.clone(),
        model: args.model.clone(),
        settings: settings(args)?,
        time: units::duration("--time-budget", &args.time_budget)?,
        bytes: units::bytes("--memory", &args.memory)?,
        at_a_time: 1,
        format: args.input,
        import: import::Options { independent: args.independent, repair: args.repair },
        log_pattern: logs::pattern(args.log_pattern.as_deref())?,
    })
}

fn check_one(history: &Path, named: &Path, args: &CheckArgs, wish: &Wish) -> Result<Exit, Failure> {
    let judged = judge::judge_file(history, wish)?;
    for note in &judged.notes {
        eprintln!("note: {note}");
    }
    let subject = named.display().to_string();
    judge::print(&judged.judgement, args.format, &subject);
    if args.format == Format::Human {
        println!(
            "{}",
            keelhaul_results::last_line(&judged.judgement, &subject, judged.header.seed, &subject)
        );
    }
    Ok(judged.judgement.verdict.into())
}

/// Judges many histories at a time and prints a line for each, in the order given.
fn check_many(histories: &[PathBuf], format: Format, wish: &Wish) -> Result<Exit, Failure> {
    let jobs: Vec<_> = histories.iter().map(|history| (history.clone(), wish.clone())).collect();
    let mut worst = Exit::Valid;
    let mut rows = Vec::new();
    for (history, result) in histories.iter().zip(judge_all(&jobs)) {
        match result {
            Ok(judged) => {
                worst = worst.worst(judged.judgement.verdict.into());
                print_one_of_many(history, &judged, format, &mut rows);
            }
            Err(failure) => {
                eprintln!("error: {failure}");
                worst = worst.worst(failure.exit);
            }
        }
    }
    if format == Format::Json {
        println!("{}", serde_json::Value::Array(rows));
    }
    Ok(worst)
}

/// Judges files, as many at a time as there are processors, each with its share of the memory, so that together they
/// keep to the limit. The answers are in the order of the files.
pub fn judge_all(jobs: &[(PathBuf, Wish)]) -> Vec<Result<Judged, Failure>> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Judged, Failure>>>> =
        Mutex::new(jobs.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((history, wish)) = jobs.get(at) else { break };
                    let wish = Wish { at_a_time: workers, ..wish.clone() };
                    let judged = judge::judge_file(history, &wish);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(judged);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let unjudged = || Failure::new(Exit::Internal, anyhow::anyhow!("it was not judged"));
    results.into_iter().map(|result| result.unwrap_or_else(|| Err(unjudged()))).collect()
}

/// A line for people; one document of an array for machines, with the path added; as for a single one otherwise.
fn print_one_of_many(
    history: &Path,
    judged: &Judged,
    format: Format,
    rows: &mut Vec<serde_json::Value>,
) {
    let judgement = &judged.judgement;
    match format {
        Format::Human => {
            let reason = judgement.deciding().map_or("", |check| check.reason.as_str());
            println!(
                "{:8} {:>9} ops {:>7} ms  {}  {reason}",
                judgement.verdict.as_str(),
                judgement.operations,
                judgement.elapsed_ms,
                history.display()
            );
        }
        Format::Json => {
            let mut row = serde_json::to_value(judgement).unwrap_or_default();
            row["path"] = history.display().to_string().into();
            rows.push(row);
        }
        _ => judge::print(judgement, format, &history.display().to_string()),
    }
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
    if plan.env == "sim" {
        return crate::simulated::judge(&plan, &dir);
    }
    judge::judge_run(&plan, &dir, Format::Human, Vec::new(), |_| String::new())
}

/// A directory that is neither a run nor one history in several files: whatever lies in it is meant.
fn is_folder(path: &Path, input: Option<import::Format>) -> bool {
    path.is_dir() && !RunDir::open(path).history().exists() && !sessions::are_in(path, input)
}

/// Endings of file names that hold histories, of ours and of other tools.
const ENDINGS: [&str; 6] = ["jsonl", "edn", "json", "log", "txt", "bincode"];

/// The files that the paths name, each once, folders in the order of their names.
fn histories(paths: &[PathBuf], input: Option<import::Format>) -> Result<Vec<PathBuf>, Failure> {
    if paths.iter().filter(|path| *path == Path::new(judge::STANDARD_INPUT)).count() > 1 {
        return Err(Failure::usage("standard input holds one history: `-` can be named once"));
    }
    let mut files = Vec::new();
    for path in paths {
        if is_folder(path, input) {
            let found = files_under(path)?;
            if found.is_empty() {
                return Err(Failure::usage(format!(
                    "{} holds no history: no file in it ends in {}",
                    path.display(),
                    ENDINGS.join(", ")
                )));
            }
            files.extend(found);
        } else if path.is_dir() && !sessions::are_in(path, input) {
            files.push(RunDir::open(path).history());
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Regular files, by name. Links to folders are not followed, since they can lead back.
fn files_under(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let list = || -> std::io::Result<Vec<(PathBuf, bool)>> {
        std::fs::read_dir(dir)?
            .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir()))))
            .collect()
    };
    let entries = list()
        .with_context(|| format!("failed to list {}", dir.display()))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let mut files = Vec::new();
    for (path, is_dir) in entries {
        let ending = path.extension().and_then(|ending| ending.to_str());
        if is_dir {
            files.extend(files_under(&path)?);
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn settings(args: &CheckArgs) -> Result<Settings, Failure> {
    let initial = match &args.init {
        None => Value::Null,
        Some(text) => Value::from_json(text).ok_or_else(|| {
            Failure::usage(format!("--init takes a value as JSON, such as 0 or null, not {text:?}"))
        })?,
    };
    let options: Result<_, Failure> = args.option.iter().map(|text| option(text)).collect();
    Ok(Settings { initial, options: options? })
}

/// `NAME=VALUE`; what is no JSON is text, and a name alone is true.
fn option(text: &str) -> Result<(String, Value), Failure> {
    let (name, value) = text.split_once('=').unwrap_or((text, "true"));
    if name.is_empty() {
        return Err(Failure::usage(format!("--option takes NAME=VALUE, not {text:?}")));
    }
    let value = Value::from_json(value).unwrap_or_else(|| Value::from(value));
    Ok((name.into(), value))
}
