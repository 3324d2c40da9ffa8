//! `keelhaul run`: deploy, drive, break, record; then judge and report.

mod capture;
mod deploy;
mod keep;
mod metrics;
pub(crate) mod session;

use std::io::Read;

use keelhaul_cluster::local::{self, Entered};
use keelhaul_cluster::vm::Fleet;
use keelhaul_results::Format;

use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::plan::Plan;
use crate::simulated;
use crate::units;

/// Runs the test as often as asked for, and ends with the worst outcome.
pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let plans = plans(args)?;
    if plans.is_empty() {
        return Ok(Exit::NothingSelected);
    }
    if args.dry_run {
        for plan in &plans {
            println!("{}", to_json(plan)?);
        }
        return Ok(Exit::Valid);
    }
    let fleet = match go_there(&plans)? {
        Gone::There(fleet) => fleet,
        Gone::Over(exit) => return Ok(exit),
    };
    let runtime = runtime()?;
    let mut worst = Exit::Valid;
    for plan in &plans {
        let exit = match plan.env.as_str() {
            "sim" => simulated::run(plan, &args.runs, args.format)?,
            _ => session::run(&runtime, plan, args, fleet.as_ref())?,
        };
        worst = worst.worst(exit);
        if exit == Exit::Interrupted {
            break;
        }
    }
    Ok(worst)
}

/// Where this process is.
enum Gone {
    /// Where the nodes will be; if machines are up that the run is to use, these.
    There(Option<Fleet>),
    /// The run took place in another process and is over.
    Over(Exit),
}

/// Goes to where the nodes of all plans will be, while this process has one thread only. What cannot work is refused before.
fn go_there(plans: &[Plan]) -> Result<Gone, Failure> {
    let infrastructure = |error: anyhow::Error| Failure::new(Exit::Infrastructure, error);
    if plans.iter().any(|plan| plan.env == "vm") && !local::is_inside() {
        if let Some(fleet) = Fleet::find().map_err(|error| infrastructure(error.into()))? {
            fleet.join().map_err(|error| infrastructure(error.into()))?;
            return Ok(Gone::There(Some(fleet)));
        }
        for plan in plans {
            deploy::machines(plan)?;
        }
    }
    if plans.iter().any(|plan| plan.env != "ssh") {
        match local::enter() {
            Ok(Entered::Inside) => {}
            Ok(Entered::Done(code)) => return Ok(Gone::Over(Exit::of_code(code))),
            Err(error) => return Err(infrastructure(error.into())),
        }
    }
    Ok(Gone::There(None))
}

/// All plans, made before anything is done, so that a mistake on the command line costs nothing.
fn plans(args: &RunArgs) -> Result<Vec<Plan>, Failure> {
    if let Some(file) = &args.plan {
        let moved = args.env.is_some() || args.nodes.is_some() || args.nodes_file.is_some();
        return Ok(vec![Plan::read(file, args, moved)?]);
    }
    let first_seed = match &args.seed {
        Some(text) => units::number("--seed", text, 0, u64::MAX)?,
        None => random_seed()?,
    };
    let count = units::number("--test-count", &args.test_count, 0, 100_000)?;
    (0..count).map(|i| Plan::lower(args, first_seed.wrapping_add(i))).collect()
}

/// What everything asynchronous runs on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Infrastructure, error))
}

/// Whether only a machine reads standard output.
pub(crate) fn is_quiet(format: Format) -> bool {
    format != Format::Human
}

pub(crate) fn to_json(plan: &Plan) -> Result<String, Failure> {
    serde_json::to_string_pretty(plan).map_err(|error| Failure::new(Exit::Internal, error))
}

fn random_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    // Short enough to type.
    Ok(u64::from_le_bytes(bytes) % 1_000_000_000)
}
