//! Runs in virtual time: from a plan to a life and back, and a run directory as any run has one.

use std::collections::BTreeSet;
use std::path::Path;

use keelhaul_history::import::{self, Format as Input, OpSource};
use keelhaul_history::{Kind, Op, Process};
use keelhaul_results::{Format, Happened, Judgement, RunDir, Story};
use keelhaul_sim::{Life, Medium, SimPlan, States, System, What, checks, live_as};

use crate::exit::{Exit, Failure};
use crate::faults::{self, Place};
use crate::judge;
use crate::plan::{NO_PACKETS, Plan, Simulated, reproducible};
use crate::run::session::{header, write_plan};
use crate::units;

/// The life that a plan is of.
pub fn life_plan(plan: &Plan) -> Result<SimPlan, Failure> {
    let system = System::named(&plan.store, plan.mutant.as_deref())
        .map_err(|error| Failure::new(Exit::Usage, anyhow::Error::from_boxed(error)))?;
    let (Some(sim), Some(system)) = (&plan.sim, system) else {
        return Err(Failure::usage(format!(
            "only runs of our own nodes with --env sim can be simulated, and this plan is for {} with --env {}",
            plan.store, plan.env
        )));
    };
    faults::check(&plan.faults, Place { env: "sim", ..plan.place() })?;
    if !plan.capture.is_empty() {
        return Err(Failure::usage(NO_PACKETS));
    }
    let life = SimPlan {
        nodes: plan.nodes,
        concurrency: plan.concurrency,
        rate: plan.rate,
        time_limit_ms: plan.time_limit_ms,
        op_timeout_ms: plan.op_timeout_ms,
        schedule: plan.schedule.clone(),
        work: sim.work.clone(),
        weather: sim.weather,
        medium: match plan.disk.as_str() {
            "strict" => Medium::Strict,
            "volatile" => Medium::Volatile,
            _ => Medium::Journaled,
        },
        lease_reads: plan.read.as_deref() == Some("lease"),
        evidence: sim.evidence,
        system,
        seed: plan.seed,
    };
    match life.trouble() {
        None => Ok(life),
        Some(why) => Err(Failure::usage(format!("the plan cannot be simulated: {why}"))),
    }
}

/// The plan that repeats a life.
pub fn plan_of(life: &SimPlan, like: &Plan) -> Plan {
    let mut faults: Vec<String> = Vec::new();
    for fault in &life.schedule.faults {
        if !faults.iter().any(|kind| kind == fault.spec.kind()) {
            faults.push(fault.spec.kind().into());
        }
    }
    let medium = match life.medium {
        Medium::Journaled => "journaled",
        Medium::Strict => "strict",
        Medium::Volatile => "volatile",
    };
    let (reproducible, not_reproducible) = reproducible("sim");
    Plan {
        read: life.lease_reads.then(|| "lease".into()),
        disk: medium.into(),
        store: life.system.store().into(),
        mutant: life.system.mutant().map(str::to_owned),
        env: "sim".into(),
        nodes: life.nodes,
        concurrency: life.concurrency,
        rate: life.rate,
        time_limit_ms: life.time_limit_ms,
        op_timeout_ms: life.op_timeout_ms,
        faults,
        schedule: life.schedule.clone(),
        schedule_file: None,
        seed: life.seed,
        sim: Some(Simulated {
            weather: life.weather,
            work: life.work.clone(),
            evidence: life.evidence,
        }),
        reproducible,
        not_reproducible,
        ..like.clone()
    }
}

/// Lives a plan, with everything recorded.
pub fn live(plan: &Plan) -> Result<Life, Failure> {
    let header = header(plan, "virtual time");
    Ok(live_as(&life_plan(plan)?, &header, true, &mut States::default()))
}

/// Runs one plan, judges it, and prints the verdict.
pub fn run(plan: &Plan, runs: &Path, format: Format) -> Result<Exit, Failure> {
    let life = live(plan)?;
    record(plan, &life, runs, format)
}

/// Makes the run directory of a life, judges it, and prints the verdict.
pub fn record(plan: &Plan, life: &Life, runs: &Path, format: Format) -> Result<Exit, Failure> {
    let infrastructure = |error| Failure::new(Exit::Infrastructure, error);
    let started = units::timestamp();
    let dir = RunDir::create(runs, &plan.store, &plan.workload, &started, plan.seed)
        .map_err(infrastructure)?;
    write_plan(&dir, plan)?;
    dir.write(&dir.history(), &life.history).map_err(infrastructure)?;
    dir.write(&dir.path().join("trace.txt"), trace(life).as_bytes()).map_err(infrastructure)?;
    let ops = ops(&life.history)?;
    let story = |judged: &Judgement| story(plan, life, &ops, judged).to_html();
    judge::judge_run(plan, &dir, format, checks(life), story)
}

/// Judges an earlier run again; what happened inside is seen by living it once more.
pub fn judge(plan: &Plan, dir: &RunDir) -> Result<Exit, Failure> {
    let life = live(plan)?;
    if std::fs::read(dir.history()).is_ok_and(|history| history == life.history) {
        let ops = ops(&life.history)?;
        let story = |judged: &Judgement| story(plan, &life, &ops, judged).to_html();
        return judge::judge_run(plan, dir, Format::Human, checks(&life), story);
    }
    eprintln!("warning: another program made this run: what happened inside is not known");
    judge::judge_run(plan, dir, Format::Human, Vec::new(), |_| String::new())
}

/// Everything that happened inside, a line each.
pub fn trace(life: &Life) -> String {
    let mut text = String::new();
    for happening in &life.trace {
        let line = match &happening.what {
            What::Message { from, to, sent_ns, label, .. } => {
                format!("n{from} -> n{to} {label} (sent {sent_ns})")
            }
            What::Note { node, text } | What::Fault { node, text } => format!("n{node} {text}"),
        };
        text += &format!("{} {line}\n", happening.at_ns);
    }
    text
}

/// What happened, without what is routine; `ops` are its history, and `judged` says which of them show what is wrong.
fn story(plan: &Plan, life: &Life, ops: &[Op], judged: &Judgement) -> Story {
    let mut story = Story { nodes: plan.nodes, ..Story::default() };
    story.ending = match (&life.broken, &life.unhealthy) {
        (Some(broken), _) => format!("{}: {}", broken.invariant, broken.sentence),
        (None, Some(why)) => format!("The cluster did not become well: {why}"),
        (None, None) => "No invariant inside was broken; what clients saw is judged below.".into(),
    };
    for happening in &life.trace {
        let at_ns = happening.at_ns;
        story.happened.extend(match &happening.what {
            What::Message { routine: true, .. } => None,
            What::Message { from, to, sent_ns, label, .. } => Some(Happened::Message {
                from: *from,
                to: *to,
                sent_ns: *sent_ns,
                at_ns,
                label: label.clone(),
            }),
            What::Note { node, text } => {
                Some(Happened::Note { node: *node, at_ns, label: text.clone(), fault: false })
            }
            What::Fault { node, text } => {
                Some(Happened::Note { node: *node, at_ns, label: text.clone(), fault: true })
            }
        });
    }
    let evidence = evidence(judged);
    let shows = ops.iter().filter(|op| evidence.contains(&op.index)).map(|op| op.time_ns);
    story.wrong_by_ns = shows.chain(life.broken.as_ref().map(|broken| broken.at_ns)).max();
    for op in ops.iter().filter(|op| op.process != Process::Nemesis) {
        let (at_ns, label) = (op.time_ns, in_words(op));
        let evidence = evidence.contains(&op.index);
        story.happened.push(Happened::Operation { at_ns, label, evidence });
    }
    story
}

/// The events that show what is wrong, by their indices in the history.
fn evidence(judged: &Judgement) -> BTreeSet<u64> {
    let evidence = judged.checks.iter().filter_map(|check| check.evidence.as_ref());
    let ops = evidence.flat_map(|evidence| &evidence.ops);
    ops.flat_map(|op| [Some(op.index), op.completion]).flatten().collect()
}

fn in_words(op: &Op) -> String {
    let key = op.key.as_ref().map_or(String::new(), ToString::to_string);
    let Op { process, f, kind, value, .. } = op;
    match kind {
        Kind::Invoke => format!("{process}: {f} key {key} {value}"),
        kind => format!("{process}: {f} key {key} {value} {kind}"),
    }
}

/// The events of a history of ours.
pub fn ops(history: &[u8]) -> Result<Vec<Op>, Failure> {
    let internal = |error| Failure::new(Exit::Usage, error);
    let mut source = import::open(history, Some(Input::Keelhaul), import::Options::default())
        .map_err(|error| internal(anyhow::Error::new(error)))?;
    let mut ops = Vec::new();
    while let Some(op) = source.next_op().map_err(|error| internal(anyhow::Error::new(error)))? {
        ops.push(op.to_op());
    }
    Ok(ops)
}
