//! The `keelhaul` program: the composition root, which alone knows every store, workload and fault.
//!
//! `main` must not start a thread before `run` has entered its namespaces: the kernel moves only single-threaded
//! programs.

#[macro_use]
mod out;

mod args;
mod budget;
mod check;
mod clean;
#[cfg(test)]
mod databases_tests;
mod doctor;
mod exit;
mod expect;
mod explain;
mod faults;
mod hidden;
mod hunt;
mod judge;
mod list;
mod logs;
mod pace;
mod plan;
mod progress;
mod registry;
mod replay;
mod run;
mod scheduled;
mod sessions;
mod simulated;
mod units;
mod vm;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    // What is no UTF-8 can only be the path of a history; no word that matters here is one.
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(code) = hidden::dispatch(&words) {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    out::end(perform(cli.command).unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        failure.exit
    }))
}

fn perform(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Hunt(args) => hunt::hunt(&args),
        Command::Shrink(args) => hunt::shrink(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Check(args) => check::check(&args),
        Command::Report { run } => check::report(&run),
        Command::List { what } => Ok(list::list(what)),
        Command::Explain { name } => explain::explain(name.as_deref()),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Clean(args) => clean::clean(&args),
        Command::Vm { command } => vm::vm(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "keelhaul", &mut script);
            print!("{}", String::from_utf8_lossy(&script));
            Ok(Exit::Valid)
        }
    }
}

/// Help and version are no mistakes; everything else is one sentence and code 64.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{}", error.render());
            out::end(Exit::Valid)
        }
        _ => {
            eprint!("{}", error.render());
            Exit::Usage.into()
        }
    }
}
