//! `keelhaul check --expect`: histories whose verdicts are known, and whether they still are.
//!
//! # The table
//! Text, a history a line, fields separated by tabs; empty lines and those that begin with `#` are comments:
//!
//! 1. the path of a history, below the folder that the command names;
//! 2. flags of `check` for it, separated by blanks;
//! 3. what is expected: `valid`, `invalid`, `unknown`, `vacuous`, or `refused` of what is no history. Names of
//!    anomalies may follow, each of which must be found;
//! 4. if need be, what is argued instead, in the same words, and behind a colon the argument.
//!
//! A history agrees if what was found is what is argued, or expected where nothing is argued. One that is found as
//! expected although something else is argued differs: the argument is out of date.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use keelhaul_checkers::{Check, Verdict};
use keelhaul_results::{Format, Judgement};

use crate::args::{CheckArgs, Cli, Command};
use crate::check;
use crate::exit::{Exit, Failure};
use crate::judge::{self, Judged, Wish};

/// A line of the table.
struct Row {
    /// As the table has it.
    path: String,
    /// Where it is.
    file: PathBuf,
    wish: Wish,
    expected: Finding,
    argued: Option<(Finding, String)>,
}

/// What a check can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Verdict(Verdict),
    /// It is no history, or the flags do not fit it.
    Refused,
}

impl Found {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict(verdict) => verdict.as_str(),
            Self::Refused => "refused",
        }
    }
}

/// What is expected, or was found: the answer and names of anomalies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    found: Found,
    anomalies: Vec<String>,
}

impl Finding {
    /// Reads `invalid` or `invalid lost-write, duplicate`.
    fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let found = match words.next().unwrap_or("") {
            "valid" => Found::Verdict(Verdict::Valid),
            "invalid" => Found::Verdict(Verdict::Invalid),
            "unknown" => Found::Verdict(Verdict::Unknown),
            "vacuous" => Found::Verdict(Verdict::Vacuous),
            "refused" => Found::Refused,
            word => {
                return Err(format!(
                    "a verdict must stand here, valid, invalid, unknown, vacuous or refused, not {word:?}"
                ));
            }
        };
        Ok(Self { found, anomalies: words.map(Into::into).collect() })
    }

    /// Whether `self` is what was expected by `other`.
    fn is(&self, other: &Self) -> bool {
        self.found == other.found && other.anomalies.iter().all(|a| self.anomalies.contains(a))
    }

    fn text(&self) -> String {
        if self.anomalies.is_empty() {
            return self.found.as_str().into();
        }
        format!("{} {}", self.found.as_str(), self.anomalies.join(", "))
    }
}

/// How a history compares with its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Agrees,
    Argued,
    Differs,
}

/// Judges the histories of a table and prints a line for each.
pub fn expect(table: &Path, args: &CheckArgs) -> Result<Exit, Failure> {
    let [root] = &args.paths[..] else {
        return Err(Failure::usage("--expect takes one PATH: the folder that its paths are in"));
    };
    let usage = |error: anyhow::Error| Failure::new(Exit::Usage, error);
    let text = std::fs::read_to_string(table)
        .with_context(|| format!("failed to read {}", table.display()))
        .map_err(usage)?;
    let rows: Vec<Row> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            row(line, root, args).map_err(|error| {
                usage(error.context(format!("{}: line {number}", table.display())))
            })
        })
        .collect::<Result<_, _>>()?;
    let jobs: Vec<(PathBuf, Wish)> =
        rows.iter().map(|row| (row.file.clone(), row.wish.clone())).collect();
    let started = std::time::Instant::now();
    let results = check::judge_all(&jobs);
    let (mut outcomes, mut checks) = (Vec::new(), Vec::new());
    for (row, result) in rows.iter().zip(results) {
        if let Err(failure) = &result
            && failure.exit != Exit::Usage
        {
            return result.map(|_| Exit::Internal);
        }
        let (outcome, check) = compare(row, &result, args.format);
        outcomes.push(outcome);
        checks.push(check);
    }
    let count = |outcome| outcomes.iter().filter(|o| **o == outcome).count();
    let (argued, differ) = (count(Outcome::Argued), count(Outcome::Differs));
    if args.format == Format::Human {
        let agree = count(Outcome::Agrees);
        println!("{} histories: {agree} agree, {argued} argued, {differ} differ", rows.len());
    } else {
        let mut judgement = Judgement::new(checks);
        judgement.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        judge::print(&judgement, args.format, &table.display().to_string());
    }
    Ok(match (rows.len(), differ) {
        (0, _) => Exit::NothingSelected,
        (_, 0) => Exit::Valid,
        _ => Exit::Violation,
    })
}

/// Reads a line.
fn row(line: &str, root: &Path, outer: &CheckArgs) -> anyhow::Result<Row> {
    let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
    let [path, flags, expected, argued @ ..] = &fields[..] else {
        anyhow::bail!("path, flags and verdict must stand here, separated by tabs");
    };
    let argued = match argued {
        [] | [""] => None,
        [argued] => {
            let (finding, argument) = argued.split_once(':').unwrap_or((argued, ""));
            Some((Finding::parse(finding).map_err(anyhow::Error::msg)?, argument.trim().into()))
        }
        [_, rest @ ..] => anyhow::bail!("{} fields too many", rest.len()),
    };
    let file = root.join(path);
    anyhow::ensure!(file.exists(), "{} is not there", file.display());
    // What a line does not say of its limits, the command does.
    let limits = ["--time-budget", &outer.time_budget, "--memory", &outer.memory];
    let words = ["keelhaul", "check"].into_iter().chain(limits).chain(flags.split_whitespace());
    let parsed = Cli::try_parse_from(words.chain(["--", path]))
        .map_err(|error| anyhow::anyhow!("{}", first_line(&error.to_string())))?;
    let Command::Check(args) = parsed.command else {
        anyhow::bail!("flags of check must stand here, not {flags:?}");
    };
    anyhow::ensure!(args.expect.is_none(), "a table cannot name another with --expect");
    Ok(Row {
        path: (*path).into(),
        file,
        wish: check::wish(&args).map_err(|failure| failure.error)?,
        expected: Finding::parse(expected).map_err(anyhow::Error::msg)?,
        argued,
    })
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or("");
    line.strip_prefix("error: ").unwrap_or(line)
}

/// Compares what was found with what was expected, and prints the line for people.
fn compare(row: &Row, result: &Result<Judged, Failure>, format: Format) -> (Outcome, Check) {
    let (finding, reason, elapsed_ms) = match result {
        Ok(Judged { judgement, .. }) => {
            let reason = judgement.deciding().map_or("", |check| check.reason.as_str());
            let found = Found::Verdict(judgement.verdict);
            let anomalies = judgement.anomalies.clone();
            (Finding { found, anomalies }, reason.to_owned(), judgement.elapsed_ms)
        }
        Err(failure) => {
            (Finding { found: Found::Refused, anomalies: Vec::new() }, failure.to_string(), 0)
        }
    };
    let outcome = match &row.argued {
        Some((argued, _)) if finding.is(argued) => Outcome::Argued,
        None if finding.is(&row.expected) => Outcome::Agrees,
        _ => Outcome::Differs,
    };
    let (word, told) = match (outcome, &row.argued) {
        (Outcome::Agrees, _) => ("agrees", String::new()),
        (Outcome::Argued, Some((_, argument))) => ("argued", argument.clone()),
        (Outcome::Differs, Some((argued, _))) if finding.is(&row.expected) => {
            ("DIFFERS", format!("as expected, but {} is argued", argued.text()))
        }
        _ => ("DIFFERS", reason.clone()),
    };
    let (expected, found) = (row.expected.text(), finding.text());
    if format == Format::Human {
        let line =
            format!("{word:8} {expected:10} {found:10} {elapsed_ms:>6} ms  {}  {told}", row.path);
        println!("{}", line.trim_end());
    }
    let verdict = if outcome == Outcome::Differs { Verdict::Invalid } else { Verdict::Valid };
    let told = if told.is_empty() { reason } else { told };
    let mut check =
        Check::new(&row.path, verdict, format!("expected {expected}, found {found}: {told}"));
    for (name, value) in
        [("outcome", word.to_lowercase()), ("expected", expected), ("found", found)]
    {
        check.details.insert(name.into(), value.into());
    }
    (outcome, check)
}
