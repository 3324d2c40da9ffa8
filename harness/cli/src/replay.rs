//! `keelhaul replay`: a run once more, and whether it went as before.

use keelhaul_history::{Kind, Op, Process};
use keelhaul_results::{Format, RunDir};
use keelhaul_sim::{Evidence, PlannedOp, Weather, Work};

use crate::args::ReplayArgs;
use crate::exit::{Exit, Failure};
use crate::plan::{Plan, Simulated};
use crate::run::to_json;
use crate::simulated;

/// Repeats a run. A simulated one must give the same bytes; of a live one, operations and faults are issued again at their times, and the
/// first operation that ends in another way is told.
pub fn replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let dir = RunDir::open(&args.run);
    let mut plan = Plan::open(&dir.plan())?;
    let history = std::fs::read(dir.history()).map_err(|error| {
        Failure::usage(format!("failed to read {}: {error}", dir.history().display()))
    })?;
    let env = args.env.clone().unwrap_or_else(|| plan.env.clone());
    if plan.env == "sim" && env == "sim" {
        return again(&plan, &history, args);
    }
    if env == "sim" {
        return Err(Failure::usage(
            "a live run cannot be repeated in a simulation: what its nodes did is not known",
        ));
    }
    let before = simulated::ops(&history)?;
    let weather = plan.sim.as_ref().map_or(Weather::CALM, |sim| sim.weather);
    let work = Work::Listed(planned(&before));
    plan.sim = Some(Simulated { weather, work, evidence: Evidence::Clients });
    plan.env = env;
    let file = args.runs.join("replayed-plan.json");
    std::fs::create_dir_all(&args.runs)
        .and_then(|()| std::fs::write(&file, to_json(&plan).unwrap_or_default()))
        .map_err(|error| Failure::usage(format!("failed to write {}: {error}", file.display())))?;
    // A process of its own: a run enters namespaces, and comes back in several processes.
    let status = std::process::Command::new("/proc/self/exe")
        .arg("run")
        .arg("--plan")
        .arg(&file)
        .arg("--runs")
        .arg(&args.runs)
        .status()
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    let exit = Exit::of_code(
        status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Internal as u8),
    );
    let second = std::fs::read(args.runs.join("latest/history.jsonl"))
        .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    println!("{}", divergence(&before, &simulated::ops(&second)?));
    Ok(exit)
}

/// A simulated run again.
fn again(plan: &Plan, history: &[u8], args: &ReplayArgs) -> Result<Exit, Failure> {
    let life = simulated::live(plan)?;
    let exit = simulated::record(plan, &life, &args.runs, Format::Human)?;
    if life.history == history {
        println!("the same run, byte for byte");
        return Ok(exit);
    }
    let line = life
        .history
        .split(|byte| *byte == b'\n')
        .zip(history.split(|byte| *byte == b'\n'))
        .position(|(a, b)| a != b);
    let at = line.map_or("its end".to_owned(), |line| format!("line {}", line + 1));
    Err(Failure::usage(format!(
        "the run differs from {} from {at} of the history on: the program or the file is another one",
        args.run.display()
    )))
}

/// The operations of clients, to be issued again.
fn planned(ops: &[Op]) -> Vec<PlannedOp> {
    let concurrency = ops.iter().filter_map(client).min().map_or(1, |_| threads(ops));
    let invoked = ops.iter().filter(|op| op.kind == Kind::Invoke);
    invoked
        .filter_map(|op| {
            let value = serde_json::from_str(&op.value.to_string()).ok()?;
            let thread = client(op)? % concurrency;
            let key = op.key.as_ref()?.as_int()?;
            Some(PlannedOp { at_ns: op.time_ns, thread, f: op.f.to_string(), key, value })
        })
        .collect()
}

const fn client(op: &Op) -> Option<u32> {
    match op.process {
        Process::Client(id) => Some(id),
        Process::Nemesis => None,
    }
}

/// How many threads there were: a process that is replaced has the number of its thread plus a multiple of theirs.
fn threads(ops: &[Op]) -> u32 {
    let mut open = std::collections::BTreeSet::new();
    let mut most = 1;
    for op in ops.iter().filter(|op| client(op).is_some()) {
        if op.kind == Kind::Invoke {
            open.insert(client(op));
        } else {
            open.remove(&client(op));
        }
        most = most.max(open.len());
    }
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// Where two runs of the same operations part.
fn divergence(before: &[Op], after: &[Op]) -> String {
    let ends = |ops: &[Op]| -> Vec<(String, String)> {
        let mut open = std::collections::BTreeMap::new();
        let mut ends: Vec<(String, String)> = Vec::new();
        for op in ops.iter().filter(|op| client(op).is_some()) {
            if op.kind == Kind::Invoke {
                open.insert(op.process, ends.len());
                let key = op.key.as_ref().map_or(String::new(), ToString::to_string);
                ends.push((format!("{} {key} {}", op.f, op.value), "no answer".to_owned()));
            } else if let Some(at) = open.remove(&op.process) {
                ends[at].1 = format!("{} {}", op.kind, op.value);
            }
        }
        ends
    };
    let (before, after) = (ends(before), ends(after));
    let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    match (before.get(same), after.get(same)) {
        (None, None) => format!("all {same} operations ended as before"),
        (Some((op, was)), Some((now_op, is))) if op == now_op => {
            format!("{same} operations ended as before; then {op} ended in {is} rather than {was}")
        }
        _ => format!("{same} operations ended as before; then others were begun"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelhaul_history::{F, Value};

    fn op(process: u32, kind: Kind, value: i64) -> Op {
        Op {
            index: 0,
            time_ns: 0,
            process: Process::Client(process),
            kind,
            f: F::Write,
            key: Some(Value::Int(1)),
            value: Value::Int(value),
            node: None,
            error: None,
        }
    }

    #[test]
    fn the_first_operation_that_ends_otherwise_is_told() {
        let run = |kind| {
            vec![op(0, Kind::Invoke, 1), op(0, Kind::Ok, 1), op(1, Kind::Invoke, 2), op(1, kind, 2)]
        };
        assert_eq!(divergence(&run(Kind::Ok), &run(Kind::Ok)), "all 2 operations ended as before");
        let told = divergence(&run(Kind::Ok), &run(Kind::Info));
        assert_eq!(
            told,
            "1 operations ended as before; then write 1 2 ended in info 2 rather than ok 2"
        );
        assert!(divergence(&run(Kind::Ok), &run(Kind::Ok)[..2]).ends_with("others were begun"));
    }
}
