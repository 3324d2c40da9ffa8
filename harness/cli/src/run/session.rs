//! One run from an empty run directory to a verdict.

use std::fs::File;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use keelhaul_checkers::LEASE_MS;
use keelhaul_cluster::local::StopSignals;
use keelhaul_cluster::vm::Fleet;
use keelhaul_engine::driver::{self, DriverError, RunOptions, RunSummary};
use keelhaul_engine::generator::{Boxed, Combine, any_of, phases};
use keelhaul_history::{Header, NodeId, Writer};
use keelhaul_nemesis::{Env, Nemesis, ScheduleFile, generator, recovery};
use keelhaul_results::RunDir;
use keelhaul_sim::{Work, listed, stream};
use keelhaul_workloads::{LockOptions, RegisterOptions, TxnOptions, Workload, lock, register};
use tokio::runtime::Runtime;

use super::deploy::{self, Deployed, deploy};
use super::{is_quiet, keep, metrics, to_json};
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::judge;
use crate::plan::Plan;
use crate::progress::Printer;
use crate::registry;
use crate::units;

/// How long one step of the nemesis may take; the longest waits for the store to recover.
const NEMESIS_TIMEOUT: Duration = Duration::from_secs(60);
/// The same where it may be that a machine boots.
const NEMESIS_TIMEOUT_VM: Duration = Duration::from_secs(360);

/// Runs the plan beside the script again; flags such as `--env` may move it.
const REPLAY: &str = r#"keelhaul run --plan "$(dirname "$0")/plan.json" "$@""#;

/// How recording ended.
struct Recorded {
    summary: RunSummary,
    /// Why the store did not become well again, if it did not.
    unwell: Option<Failure>,
}

/// Runs one plan, judges it, and prints the verdict.
pub fn run(
    runtime: &Runtime,
    plan: &Plan,
    args: &RunArgs,
    fleet: Option<&Fleet>,
) -> Result<Exit, Failure> {
    let started = units::timestamp();
    let dir = RunDir::create(&args.runs, &plan.store, &plan.workload, &started, plan.seed)
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    let mut printer =
        Printer::new(Duration::from_millis(plan.time_limit_ms), is_quiet(args.format));
    printer.say(&format!("seed {} · {}", plan.seed, dir.path().display()));
    write_plan(&dir, plan)?;
    let recorded = runtime.block_on(record(plan, &dir, &started, fleet, &mut printer));
    printer.close_line();
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(failure) => return Ok(failed(&failure, plan, &dir)),
    };
    for line in keep::prune_data(dir.path(), plan.nodes) {
        printer.say(&line);
    }
    let exit = judge::judge_run(plan, &dir, args.format, Vec::new(), |_| String::new())?;
    // Only now: whoever judges may look at every line.
    for line in keep::cut_logs(&dir) {
        eprintln!("{line}");
    }
    if recorded.summary.interrupted {
        return Ok(exit.worst(Exit::Interrupted));
    }
    if let Some(failure) = recorded.unwell {
        eprintln!("error: {failure}");
        return Ok(exit.worst(failure.exit));
    }
    Ok(exit)
}

/// Writes the plan, its schedule for other runs, and how to repeat it.
pub(crate) fn write_plan(dir: &RunDir, plan: &Plan) -> Result<(), Failure> {
    let recorded = ScheduleFile::record(&plan.store, plan.nodes, &plan.schedule);
    let recorded = serde_json::to_vec_pretty(&recorded)
        .map_err(|error| Failure::new(Exit::Internal, error))?;
    dir.write(&dir.plan(), to_json(plan)?.as_bytes())
        .and_then(|()| dir.write(&dir.schedule(), &recorded))
        .and_then(|()| dir.write_replay(REPLAY))
        .map_err(|error| Failure::new(Exit::Infrastructure, error))
}

/// The run could not be carried out. What was recorded is kept, and no verdict is given on it.
fn failed(failure: &Failure, plan: &Plan, dir: &RunDir) -> Exit {
    eprintln!("error: {failure}");
    println!(
        "verdict=none run={}-{} seed={} dir={}",
        plan.store,
        plan.workload,
        plan.seed,
        dir.path().display()
    );
    failure.exit
}

async fn record(
    plan: &Plan,
    dir: &RunDir,
    started: &str,
    fleet: Option<&Fleet>,
    printer: &mut Printer,
) -> Result<Recorded, Failure> {
    let file = File::create(dir.history())
        .with_context(|| format!("failed to create {}", dir.history().display()))
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    printer.say(&format!("starting {} nodes with {}", plan.nodes, plan.store));
    let mut signals = StopSignals::listen()
        .context("failed to listen for signals")
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    let (plan, deployed) = tokio::select! {
        up = bring_up(plan, dir, fleet, printer) => up?,
        () = signals.received() => {
            return Err(Failure::new(Exit::Interrupted, anyhow::anyhow!("interrupted while the nodes were coming up")));
        }
    };
    let plan = &plan;
    let healthy = Rc::new(std::cell::Cell::new(true));
    let mut writer = Writer::new(file, &header(plan, started))
        .context("failed to write the history's header")
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    let mut watching = metrics::watch(deployed.cluster.nodes(), &*deployed.store, dir)?;
    let outcome = drive(plan, &deployed, &mut writer, printer, &healthy, &mut signals).await;
    watching.shutdown().await;
    let sealed = seal(writer, dir.path());
    let unwell = if healthy.get() { None } else { Some(why_unwell(plan, &deployed).await) };
    let Deployed { cluster, store, .. } = deployed;
    drop(store);
    if let Ok(cluster) = Rc::try_unwrap(cluster) {
        cluster.close().await.map_err(|error| Failure::new(Exit::CleanupIncomplete, error))?;
    }
    let summary = outcome.map_err(|error| match error {
        DriverError::Record(_) => Failure::new(Exit::Infrastructure, error),
        DriverError::Panic { .. } | DriverError::Stuck => Failure::new(Exit::Internal, error),
    })?;
    sealed?;
    Ok(Recorded { summary, unwell })
}

/// The store did not become well again: that is its own fault, unless a machine it runs on has no room left.
async fn why_unwell(plan: &Plan, deployed: &Deployed) -> Failure {
    let Deployed { cluster, version, .. } = deployed;
    let sentence = format!(
        "{} did not become well again after all faults were healed ({version})",
        plan.store
    );
    match deploy::without_room(plan, cluster).await {
        Some(node) => Failure::new(Exit::Infrastructure, anyhow::anyhow!("{sentence}: {node}")),
        None => Failure::new(Exit::StoreUnhealthy, anyhow::anyhow!(sentence)),
    }
}

/// Brings nodes and store up. The plan that comes back says how patient the run must be with them, and so does the run directory's.
async fn bring_up(
    plan: &Plan,
    dir: &RunDir,
    fleet: Option<&Fleet>,
    printer: &mut Printer,
) -> Result<(Plan, Deployed), Failure> {
    let mut plan = plan.clone();
    let cluster =
        deploy::nodes(&plan, fleet, dir.path(), &mut |line: &str| printer.say(line)).await?;
    if let Some(pace) = deploy::pace(&plan, &cluster).await? {
        plan.timeout_factor = pace.factor;
        printer.say(&format!(
            "the nodes are {:.0} times slower than this machine: timeouts are multiplied by {}",
            pace.slowness, pace.factor
        ));
        write_plan(dir, &plan)?;
    }
    let deployed = deploy(&plan, cluster).await?;
    Ok((plan, deployed))
}

pub(crate) fn header(plan: &Plan, started: &str) -> Header {
    let mut header = Header::new(&plan.store, &plan.workload);
    header.model.clone_from(&plan.model);
    header.nodes = (1..=plan.nodes).map(|id| NodeId(id).to_string()).collect();
    header.faults.clone_from(&plan.faults);
    header.seed = plan.seed;
    header.started = started.into();
    if let Some(locking) = deploy::locking(plan) {
        let ms = i64::try_from(locking.lease.as_millis()).unwrap_or(i64::MAX);
        header.options.set(LEASE_MS, &ms.into());
    }
    header
}

async fn drive(
    plan: &Plan,
    deployed: &Deployed,
    writer: &mut Writer<File>,
    printer: &mut Printer,
    healthy: &std::cell::Cell<bool>,
    signals: &mut StopSignals,
) -> Result<RunSummary, DriverError> {
    let options = RunOptions {
        concurrency: plan.concurrency,
        nodes: plan.nodes,
        op_timeout: Duration::from_millis(plan.op_timeout_ms) * plan.timeout_factor,
        nemesis_timeout: if plan.env == "vm" { NEMESIS_TIMEOUT_VM } else { NEMESIS_TIMEOUT },
        origin: tokio::time::Instant::now(),
    };
    let schedule = Rc::new(plan.schedule.clone());
    let env = Env::new(Rc::clone(&deployed.cluster), Rc::clone(&deployed.store));
    let env = Rc::new(env.with_timeout_factor(plan.timeout_factor));
    let nemesis = Box::new(Nemesis::new(env, Rc::clone(&schedule)));
    let connect = deployed.store.connect(deployed.cluster.nodes());
    let mut observer = |progress: driver::Progress<'_>| {
        if let driver::Progress::Nemesis(op) = progress
            && op.f.as_str() == "await-healthy"
            && op.kind == keelhaul_history::Kind::Fail
        {
            healthy.set(false);
        }
        printer.observe(&progress);
    };
    driver::run(
        options,
        generators(plan, &schedule),
        connect,
        nemesis,
        writer,
        &mut observer,
        signals.received(),
    )
    .await
}

/// Clients and faults together, then recovery, then the final reads.
fn generators(plan: &Plan, schedule: &Rc<keelhaul_nemesis::Schedule>) -> Boxed {
    let time_limit_ns = plan.time_limit_ms * 1_000_000;
    let (rate, mut rng) = (plan.rate, stream(plan.seed, "workload"));
    let listed_ops = plan.sim.as_ref().map(|sim| &sim.work);
    let Workload { main, last } = match (listed_ops, registry::transactional(&plan.workload)) {
        (Some(Work::Listed(ops)), _) => listed(ops, time_limit_ns),
        (_, Some(workload)) => (workload.make)(TxnOptions { rate, time_limit_ns }, &mut rng),
        (_, None) if plan.workload == "lock" => {
            let threads_per_lock = u32::from(plan.nodes).min(plan.concurrency);
            lock(LockOptions { rate, time_limit_ns, threads_per_lock }, &mut rng)
        }
        (_, None) => {
            let threads_per_key = u32::from(plan.nodes).min(plan.concurrency);
            register(RegisterOptions { rate, time_limit_ns, threads_per_key }, &mut rng)
        }
    };
    let faults = generator(schedule, time_limit_ns).nemesis();
    phases([any_of([main, faults.boxed()]).boxed(), recovery().nemesis().boxed(), last]).boxed()
}

/// Seals the history and makes sure that it is on the disk.
fn seal(writer: Writer<File>, dir: &Path) -> Result<(), Failure> {
    let file = writer
        .seal()
        .map_err(anyhow::Error::new)
        .with_context(|| format!("failed to seal the history in {}", dir.display()))
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    file.sync_all()
        .context("failed to sync the history")
        .map_err(|error| Failure::new(Exit::Infrastructure, error))
}
