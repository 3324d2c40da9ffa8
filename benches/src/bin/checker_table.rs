//! What checking costs, as a table: from the file to the verdict, every measurement a process of its own.
//!
//! `cargo run --release -p keelhaul-benches --bin checker-table -- [--dir DIR] [--logs DIR] [--only WORD] [--runs N]`
//!
//! Histories come from the seeded generators of this crate and are kept in `--dir`; `--logs` names a folder of Porcupine's
//! etcd logs, whose row is left out without it. Each row is the middle one of five runs: wall time of the process, its
//! processor time, the time from the end of the file to the verdict, and its greatest memory as the kernel counts it.
//! With `--budgets PROGRAM` instead, `keelhaul check` judges the hardest histories within limits of time and memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use keelhaul_benches::histories::{write_history, write_kv_log};
use keelhaul_benches::inputs::{Input, Made, budget_inputs, speed_inputs};
use keelhaul_benches::logs::write_log_history;
use keelhaul_benches::objects::write_object_history;
use keelhaul_benches::txns::write_txn_history;
use keelhaul_checkers::{JudgeRequest, Unlimited, Verdict, judge_ahead};
use keelhaul_history::import::{self, OpSource};
use keelhaul_history::{Ending, Header, RawOp, ReadError, Reader};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

const USAGE: &str =
    "usage: checker-table [--dir DIR] [--logs DIR] [--only WORD] [--runs N] [--budgets PROGRAM]";

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// A history that notes when it has been read.
struct Timed<S> {
    source: S,
    ended: Arc<OnceLock<Instant>>,
}

impl<S: OpSource> OpSource for Timed<S> {
    fn header(&self) -> &Header {
        self.source.header()
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        let next = self.source.next_op();
        if !matches!(next, Ok(Some(_))) {
            self.ended.get_or_init(Instant::now);
        }
        next
    }

    fn line(&self) -> u64 {
        self.source.line()
    }

    fn ending(&self) -> Option<Ending> {
        self.source.ending()
    }
}

/// Judges the files and prints the last verdict, the time from the ends of files to verdicts in microseconds, and the peak
/// in KiB: what a child does.
fn judge_files(workload: &str, paths: &[String]) -> Fallible<()> {
    // The usual model alone, as a peer decides: what stands beside a violation is not part of the comparison.
    let usual = keelhaul_checkers::workload(workload).and_then(|known| known.models.first());
    let models = usual.map(|model| (*model).to_owned()).into_iter().collect();
    let request = JudgeRequest { workload: workload.into(), models, ..JudgeRequest::default() };
    let (mut verdict, mut check_us) = (Verdict::Vacuous, 0);
    for path in paths {
        let source = import::open(File::open(path)?, None, import::Options::default())?;
        let ended = Arc::default();
        let timed = Timed { source, ended: Arc::clone(&ended) };
        let judgement = judge_ahead(timed, &request, &Unlimited)?;
        check_us += ended.get().map_or(0, |ended| ended.elapsed().as_micros());
        verdict = judgement.checks.first().map_or(judgement.verdict, |check| check.verdict);
    }
    println!("{} {check_us} {}", verdict.as_str(), peak_kib()?);
    Ok(())
}

fn peak_kib() -> Fallible<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.and_then(|line| line.trim().strip_suffix("kB")).ok_or("no VmHWM")?.trim().parse()?)
}

/// What one run came to.
struct Run {
    verdict: String,
    wall_ms: f64,
    cpu_ms: f64,
    check_ms: f64,
    peak_kib: u64,
}

/// Processor time of all children so far.
fn children_ms() -> Fallible<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e3)
}

/// The output of a child, with wall and processor time in milliseconds.
fn measured(command: &mut Command) -> Fallible<(String, f64, f64)> {
    let (before, begun) = (children_ms()?, Instant::now());
    let output = command.stderr(Stdio::inherit()).output()?;
    let wall_ms = begun.elapsed().as_secs_f64() * 1e3;
    Ok((String::from_utf8(output.stdout)?, wall_ms, children_ms()? - before))
}

fn run_child(workload: &str, files: &[PathBuf]) -> Fallible<Run> {
    let mut command = Command::new(std::env::current_exe()?);
    let (output, wall_ms, cpu_ms) = measured(command.arg("judge").arg(workload).args(files))?;
    let words: Vec<&str> = output.split_whitespace().collect();
    let [verdict, check_us, peak_kib] = words[..] else {
        return Err(format!("the child said {output:?}").into());
    };
    Ok(Run {
        verdict: verdict.into(),
        wall_ms,
        cpu_ms,
        check_ms: check_us.parse::<f64>()? / 1e3,
        peak_kib: peak_kib.parse()?,
    })
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Prints a row of the table.
fn row(name: &str, workload: &str, files: &[PathBuf], runs: usize) -> Fallible<()> {
    let runs: Vec<Run> = (0..runs).map(|_| run_child(workload, files)).collect::<Result<_, _>>()?;
    let of = |what: fn(&Run) -> f64| middle(runs.iter().map(what).collect());
    println!(
        "| {name} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
        runs[0].verdict,
        of(|run| run.wall_ms),
        of(|run| run.cpu_ms),
        of(|run| run.check_ms),
        of(|run| run.peak_kib as f64) / 1024.0
    );
    Ok(())
}

/// The input's file, made if it is not there yet.
fn file_of(made: &Made, dir: &Path) -> Fallible<PathBuf> {
    let path = dir.join(format!("{}.jsonl", made.name));
    if !path.exists() {
        let unfinished = dir.join("unfinished");
        let out = BufWriter::new(File::create(&unfinished)?);
        match &made.input {
            Input::Registers(options) => drop(write_history(out, options)?),
            Input::Object(options) => drop(write_object_history(out, options)?),
            Input::Log(options) => drop(write_log_history(out, options)?),
            Input::Txns(options) => drop(write_txn_history(out, options)?),
        }
        fs::rename(&unfinished, &path)?;
    }
    if !made.log {
        return Ok(path);
    }
    let log = dir.join(format!("{}.txt", made.name));
    if !log.exists() {
        let history = Reader::new(File::open(&path)?)?;
        write_kv_log(history, BufWriter::new(File::create(&log)?))?;
    }
    Ok(log)
}

/// What the user asked for.
struct Wish {
    dir: PathBuf,
    logs: Option<PathBuf>,
    only: String,
    runs: usize,
    budgets: Option<PathBuf>,
}

fn wish(mut words: impl Iterator<Item = String>) -> Fallible<Wish> {
    let dir = std::env::temp_dir().join("checker-table");
    let mut wish = Wish { dir, logs: None, only: String::new(), runs: 5, budgets: None };
    while let Some(flag) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--dir" => wish.dir = value.into(),
            "--logs" => wish.logs = Some(value.into()),
            "--only" => wish.only = value,
            "--runs" => wish.runs = value.parse()?,
            "--budgets" => wish.budgets = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    fs::create_dir_all(&wish.dir)?;
    Ok(wish)
}

fn speed_table(wish: &Wish) -> Fallible<()> {
    println!("| input | verdict | wall ms | processor ms | check ms | peak MiB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    match &wish.logs {
        None => eprintln!("left out: Porcupine's etcd logs, whose folder --logs names"),
        Some(_) if !"etcd logs".contains(&wish.only) => {}
        Some(logs) => {
            let entries = fs::read_dir(logs)?.collect::<Result<Vec<_>, io::Error>>()?;
            let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
            files.sort();
            let name = format!("{} etcd logs, the last one's verdict", files.len());
            row(&name, "cas-register", &files, wish.runs)?;
        }
    }
    for made in speed_inputs().iter().filter(|made| made.name.contains(&wish.only)) {
        let file = file_of(made, &wish.dir)?;
        let kind = if made.log { " (Porcupine's text)" } else { "" };
        row(&format!("{}{kind}", made.name), made.workload, &[file], wish.runs)?;
    }
    Ok(())
}

/// Limits that the hardest histories are judged within.
const LIMITS: [(&str, &str); 2] = [("512M", "10s"), ("64M", "600s")];

fn budget_table(wish: &Wish, program: &Path) -> Fallible<()> {
    println!("| input | memory | time | verdict | wall s | peak MiB | what is said |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for made in budget_inputs().iter().filter(|made| made.name.contains(&wish.only)) {
        let file = file_of(made, &wish.dir)?;
        for (memory, time) in LIMITS {
            let mut command = Command::new(program);
            command.arg("check").arg(&file).args(["--workload", made.workload]);
            command.args(["--format", "json", "--memory", memory, "--time-budget", time]);
            let (output, wall_ms, _) = measured(&mut command)?;
            let answer: serde_json::Value = serde_json::from_str(&output)?;
            println!(
                "| {} | {memory} | {time} | {} | {:.2} | {:.1} | {} |",
                made.name,
                answer["verdict"].as_str().unwrap_or("none"),
                wall_ms / 1e3,
                answer["peak_bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20),
                answer["checks"][0]["reason"].as_str().unwrap_or("nothing"),
            );
        }
    }
    Ok(())
}

fn run() -> Fallible<()> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "judge").is_some() {
        let workload = words.next().ok_or(USAGE)?;
        return judge_files(&workload, &words.collect::<Vec<_>>());
    }
    let wish = wish(words)?;
    let mut load = String::new();
    File::open("/proc/loadavg")?.read_to_string(&mut load)?;
    println!("Load average at the beginning: {}\n", load.trim());
    match &wish.budgets {
        Some(program) => budget_table(&wish, program),
        None => speed_table(&wish),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(64)
        }
    }
}
