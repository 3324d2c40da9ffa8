//! Schedules that people write, and those of runs that were.
//!
//! A *schedule file* is JSON or TOML. It has a header and either `faults`, each with its time, as a run records them; or `steps`, one after
//! the other:
//!
//! ```toml
//! keelhaul_schedule = 1
//! store = "etcd"            # optional, as is nodes: what it was made for
//!
//! [[steps]]                 # isolate the leader three times
//! kind = "partition"
//! shape = "leader"
//! direction = "both"
//! hold_ms = 3000
//! times = 3
//! pause_ms = 2000
//!
//! [[steps]]                 # kill all, and start them one after the other
//! kind = "kill"
//! target = "all"
//! hold_ms = 2000
//! stagger_ms = 1000
//! ```
//!
//! What a step does is said by the fields that the fault has in a plan. Each time it holds for `hold_ms`, and the cluster is left alone for `pause_ms`
//! after it (default: a second); `times` is how often (default: once), each time with other victims where it is chance who they are; what is stored
//! is harmed on one minority, whatever the step. With `with_next = true`
//! the next step begins when this one does. With `stagger_ms` all nodes of the target are struck at once, and healed one after the other, so far apart.

use std::collections::BTreeSet;

use keelhaul_history::NodeId;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::asks::harms;
use crate::schedule::{Schedule, ScheduledFault, Spec};
use crate::target::{Target, minority};

/// Version of the format.
pub const SCHEDULE_VERSION: u32 = 1;
/// Quiet time before the first step, and after a step that does not say; milliseconds.
const CALM_MS: u64 = 1_000;
/// How often a step may be repeated.
const TIMES_MAX: u64 = 10_000;

/// A schedule file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFile {
    /// Version of this format.
    pub keelhaul_schedule: u32,
    /// The store that it was made for; any, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The number of nodes that it was made for; any, if absent, which only steps can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u16>,
    /// Faults with their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ScheduledFault>,
    /// Faults one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Map<String, Value>>,
}

/// Why a schedule file cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SequenceError {
    /// Another version.
    #[error("it is a schedule of version {0}: this program knows version {SCHEDULE_VERSION}")]
    Version(u32),
    /// Made for something else.
    #[error("it was made for the store {made_for}, and the run is of {store}")]
    Store {
        /// What it says.
        made_for: String,
        /// What is asked for.
        store: String,
    },
    /// Made for something else.
    #[error("it was made for {made_for} nodes, and the run has {nodes}")]
    Nodes {
        /// What it says.
        made_for: u16,
        /// What is asked for.
        nodes: u16,
    },
    /// Both or neither.
    #[error("it needs either faults or steps, and has {0}")]
    Content(&'static str),
    /// A step that says nothing sensible.
    #[error("step {number}: {why}")]
    Step {
        /// From 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A fault that cannot be.
    #[error("fault {id}: {why}")]
    Fault {
        /// Its number.
        id: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl ScheduleFile {
    /// What a run records of itself.
    #[must_use]
    pub fn record(store: &str, nodes: u16, schedule: &Schedule) -> Self {
        Self {
            keelhaul_schedule: SCHEDULE_VERSION,
            store: Some(store.into()),
            nodes: Some(nodes),
            faults: schedule.faults.clone(),
            steps: Vec::new(),
        }
    }

    /// The schedule for a run. `rng` decides on what the file leaves open: who is a victim.
    pub fn lower(
        &self,
        store: &str,
        nodes: u16,
        rng: &mut ChaCha8Rng,
    ) -> Result<Schedule, SequenceError> {
        if self.keelhaul_schedule != SCHEDULE_VERSION {
            return Err(SequenceError::Version(self.keelhaul_schedule));
        }
        if let Some(made_for) = self.store.clone().filter(|made_for| made_for != store) {
            return Err(SequenceError::Store { made_for, store: store.into() });
        }
        if let Some(made_for) = self.nodes.filter(|made_for| *made_for != nodes) {
            return Err(SequenceError::Nodes { made_for, nodes });
        }
        match (self.faults.is_empty(), self.steps.is_empty()) {
            (true, true) => Err(SequenceError::Content("neither")),
            (false, false) => Err(SequenceError::Content("both")),
            (false, true) => recorded(&self.faults, nodes),
            (true, false) => composed(&self.steps, nodes, rng),
        }
    }
}

/// Faults as a run recorded them, or as somebody has changed them since.
fn recorded(faults: &[ScheduledFault], nodes: u16) -> Result<Schedule, SequenceError> {
    let mut seen = BTreeSet::new();
    let mut harmed: Option<(u64, BTreeSet<u16>)> = None;
    for fault in faults {
        let wrong = |why: &str| Err(SequenceError::Fault { id: fault.id, why: why.into() });
        let mut order = fault.order.clone();
        order.sort_unstable();
        if !order.into_iter().eq(1..=nodes) {
            return wrong(&format!("its order is not one of the nodes 1 to {nodes}"));
        }
        if fault.at_ms >= fault.until_ms {
            return wrong("it ends before it begins");
        }
        if !seen.insert(fault.id) {
            return wrong("there is another of the same number");
        }
        if harms(fault.spec.kind()) {
            let nodes = fault.order[..minority(fault.order.len())].iter().copied().collect();
            let (first, others) = harmed.get_or_insert((fault.id, nodes));
            if fault.order[..others.len()].iter().any(|node| !others.contains(node)) {
                return wrong(&format!(
                    "its order begins with another minority than that of fault {first}, and what is stored may be harmed on one only"
                ));
            }
        }
    }
    let mut faults = faults.to_vec();
    faults.sort_by_key(|fault| fault.at_ms);
    Ok(Schedule { faults })
}

/// A step beside what it does.
#[derive(Debug)]
struct Step {
    spec: Spec,
    hold_ms: u64,
    pause_ms: u64,
    times: u64,
    stagger_ms: Option<u64>,
    with_next: bool,
}

fn composed(
    steps: &[Map<String, Value>],
    nodes: u16,
    rng: &mut ChaCha8Rng,
) -> Result<Schedule, SequenceError> {
    let mut faults = Vec::new();
    let mut at_ms = CALM_MS;
    let mut harmed: Option<Vec<u16>> = None;
    for (number, step) in (1..).zip(steps) {
        let step = parse(step.clone()).map_err(|why| SequenceError::Step { number, why })?;
        let mut order: Vec<u16> = (1..=nodes).collect();
        order.shuffle(rng);
        let mut among = order.len();
        if harms(step.spec.kind()) {
            // What is stored is harmed on one minority, whatever the step and the time.
            order.clone_from(harmed.get_or_insert(order.clone()));
            among = minority(order.len()).max(1);
        }
        let begins_ms = at_ms;
        for _ in 0..step.times {
            let until_ms = at_ms + step.hold_ms;
            let struck =
                strikes(&step, &order, among).map_err(|why| SequenceError::Step { number, why })?;
            let last_ms = until_ms + step.stagger_ms.unwrap_or(0) * (struck.len() as u64 - 1);
            for (i, (spec, order)) in (0..).zip(struck) {
                let until_ms = until_ms + i * step.stagger_ms.unwrap_or(0);
                faults.push(ScheduledFault { id: 0, at_ms, until_ms, spec, order, moment: None });
            }
            at_ms = last_ms + step.pause_ms;
            // Others next time, so that as many times as there are nodes are a round.
            order[..among].rotate_left(1);
        }
        if step.with_next {
            at_ms = begins_ms;
        }
    }
    faults.sort_by_key(|fault| fault.at_ms);
    for (id, fault) in (0..).zip(&mut faults) {
        fault.id = id;
    }
    Ok(Schedule { faults })
}

/// The faults that a step is each time: one, or one a node if they end apart from each other. Its victims are `among` the first of
/// the order.
fn strikes(step: &Step, order: &[u16], among: usize) -> Result<Vec<(Spec, Vec<u16>)>, String> {
    if step.stagger_ms.is_none() {
        return Ok(vec![(step.spec.clone(), order.to_vec())]);
    }
    let target = step
        .spec
        .clone()
        .target_mut()
        .copied()
        .filter(|target| !matches!(target, Target::Leader | Target::Followers));
    let Some(target) = target else {
        return Err("stagger_ms goes with the targets one, some, majority and all only".into());
    };
    let ids: Vec<NodeId> = order[..among].iter().copied().map(NodeId).collect();
    let one = |node: NodeId| {
        let mut order = order.to_vec();
        let at = order.iter().position(|id| *id == node.0).unwrap_or(0);
        order[..=at].rotate_right(1);
        (step.spec.clone().aimed_at(Target::One), order)
    };
    Ok(target.pick(&ids, None, &[]).into_iter().map(one).collect())
}

fn parse(mut fields: Map<String, Value>) -> Result<Step, String> {
    let mut number = |name: &str| match fields.remove(name) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if number <= u64::from(u32::MAX) => Ok(Some(number)),
            _ => Err(format!("{name} takes a whole number, not {value}")),
        },
    };
    let hold_ms = number("hold_ms")?.filter(|ms| *ms > 0);
    let hold_ms =
        hold_ms.ok_or("hold_ms says for how many milliseconds it holds, and must be there")?;
    let (pause_ms, times) = (number("pause_ms")?.unwrap_or(CALM_MS), number("times")?.unwrap_or(1));
    let stagger_ms = number("stagger_ms")?;
    if !(1..=TIMES_MAX).contains(&times) {
        return Err(format!("times takes 1 to {TIMES_MAX}, not {times}"));
    }
    let with_next = match fields.remove("with_next") {
        None => false,
        Some(Value::Bool(with_next)) => with_next,
        Some(other) => return Err(format!("with_next takes true or false, not {other}")),
    };
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !crate::KINDS.iter().any(|known| known.0 == kind) {
        return Err(format!("no fault is called {kind:?}"));
    }
    let said = Value::Object(fields.clone());
    let spec: Spec = serde_json::from_value(said.clone())
        .map_err(|_| format!("{kind} has other fields, or other values of them, than {said}"))?;
    // What the fault does not have, it does not read: a word misspelt would go unnoticed.
    let known = serde_json::to_value(&spec).map_err(|e| e.to_string())?;
    if let Some(unknown) = fields.keys().find(|name| known.get(name.as_str()).is_none()) {
        return Err(format!("a step of kind {} has no {unknown}", spec.kind()));
    }
    Ok(Step { spec, hold_ms, pause_ms, times, stagger_ms, with_next })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use serde_json::json;

    use super::*;

    fn lower(file: Value) -> Result<Schedule, String> {
        let file: ScheduleFile = serde_json::from_value(file).map_err(|e| e.to_string())?;
        let rng = &mut ChaCha8Rng::seed_from_u64(7);
        file.lower("raft", 5, rng).map_err(|error| error.to_string())
    }

    fn steps(steps: &Value) -> Result<Schedule, String> {
        lower(json!({"keelhaul_schedule": 1, "steps": steps}))
    }

    fn times(schedule: &Schedule) -> Vec<(u64, u64)> {
        schedule.faults.iter().map(|fault| (fault.at_ms, fault.until_ms)).collect()
    }

    #[test]
    fn steps_follow_each_other() {
        let schedule = steps(&json!([
            {"kind": "partition", "shape": "leader", "direction": "both", "hold_ms": 3000, "times": 3, "pause_ms": 2000},
            {"kind": "kill", "target": "all", "hold_ms": 500},
        ]))
        .unwrap();
        assert_eq!(times(&schedule), [(1000, 4000), (6000, 9000), (11000, 14000), (16000, 16500)]);
        let kinds: Vec<_> = schedule.faults.iter().map(|fault| fault.spec.kind()).collect();
        assert_eq!(kinds, ["partition", "partition", "partition", "kill"]);
    }

    #[test]
    fn a_staggered_end_takes_one_node_after_the_other() {
        let schedule =
            steps(&json!([{"kind": "kill", "target": "all", "hold_ms": 500, "stagger_ms": 200}]))
                .unwrap();
        let ends = [(1000, 1500), (1000, 1700), (1000, 1900), (1000, 2100), (1000, 2300)];
        assert_eq!(times(&schedule), ends);
        let victims: BTreeSet<u16> = schedule.faults.iter().map(|fault| fault.order[0]).collect();
        assert_eq!(victims.len(), 5, "each is another node");
        assert!(schedule.faults.iter().all(|f| f.spec == Spec::Kill { target: Target::One }));
    }

    #[test]
    fn times_go_round_and_steps_may_be_at_once() {
        let round =
            steps(&json!([{"kind": "kill", "target": "one", "hold_ms": 500, "times": 5}])).unwrap();
        let victims: BTreeSet<u16> = round.faults.iter().map(|fault| fault.order[0]).collect();
        assert_eq!(victims.len(), 5, "a rolling restart");
        let both = steps(&json!([
            {"kind": "kill", "target": "one", "hold_ms": 500, "with_next": true},
            {"kind": "pause", "target": "one", "hold_ms": 700},
        ]));
        assert_eq!(times(&both.unwrap()), [(1000, 1500), (1000, 1700)]);
    }

    #[test]
    fn steps_harm_what_is_stored_on_one_minority_only() {
        let schedule = steps(&json!([
            {"kind": "disk-flip", "target": "one", "hold_ms": 500, "times": 3},
            {"kind": "kill", "target": "all", "hold_ms": 500},
            {"kind": "wipe", "target": "all", "hold_ms": 500, "stagger_ms": 200},
            {"kind": "disk-misdirect", "target": "some", "hold_ms": 500},
        ]))
        .unwrap();
        let harming: Vec<&ScheduledFault> =
            schedule.faults.iter().filter(|fault| harms(fault.spec.kind())).collect();
        assert_eq!(harming.len(), 6, "a staggered one is two: of five nodes they are the minority");
        let minorities: BTreeSet<BTreeSet<u16>> =
            harming.iter().map(|fault| fault.order[..2].iter().copied().collect()).collect();
        assert_eq!(minorities.len(), 1, "{minorities:?}");
        assert_ne!(harming[0].order[0], harming[1].order[0], "another one of them each time");
    }

    #[test]
    fn what_a_run_records_is_read_again() {
        let kill = json!([{"kind": "kill", "target": "one", "hold_ms": 500, "times": 3}]);
        let schedule = steps(&kill).unwrap();
        let file = ScheduleFile::record("raft", 5, &schedule);
        let text = serde_json::to_string(&file).unwrap();
        let read: ScheduleFile = serde_json::from_str(&text).unwrap();
        let again = read.lower("raft", 5, &mut ChaCha8Rng::seed_from_u64(8)).unwrap();
        assert_eq!(again, schedule, "nothing is left to chance");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |file: Value, part: &str| {
            let why = lower(file.clone()).unwrap_err();
            assert!(why.contains(part), "{file}: {why}");
        };
        let kill = || json!([{"kind": "kill", "target": "one", "hold_ms": 500}]);
        check(json!({"keelhaul_schedule": 2, "steps": kill()}), "version 2");
        check(json!({"keelhaul_schedule": 1, "store": "etcd", "steps": kill()}), "store etcd");
        check(json!({"keelhaul_schedule": 1, "nodes": 3, "steps": kill()}), "3 nodes");
        check(json!({"keelhaul_schedule": 1}), "neither");
        check(json!({"keelhaul_schedule": 1, "step": []}), "step");
        check(json!({"steps": kill()}), "keelhaul_schedule");
        let check = |step: Value, part: &str| {
            let why =
                steps(&json!([{"kind": "kill", "target": "one", "hold_ms": 1}, step])).unwrap_err();
            assert!(why.starts_with("step 2: ") && why.contains(part), "{why}");
        };
        check(json!({"kind": "kill", "target": "one"}), "hold_ms");
        check(json!({"kind": "kill", "target": "one", "hold_ms": "soon"}), "hold_ms");
        check(json!({"kind": "kill", "target": "one", "hold_ms": 1, "hold": 2}), "hold");
        check(json!({"kind": "kill", "target": "king", "hold_ms": 1}), "king");
        check(json!({"kind": "fire", "hold_ms": 1}), "fire");
        check(json!({"kind": "kill", "target": "one", "hold_ms": 1, "times": 0}), "times");
        check(
            json!({"kind": "kill", "target": "leader", "hold_ms": 1, "stagger_ms": 1}),
            "stagger_ms",
        );
        let fault = |id: u64, at: u64, order: &[u16]| json!({"id": id, "at_ms": at, "until_ms": 10, "kind": "kill", "target": "one", "order": order});
        let check = |faults: Value, part: &str| {
            let why = lower(json!({"keelhaul_schedule": 1, "faults": faults})).unwrap_err();
            assert!(why.starts_with("fault 7: ") && why.contains(part), "{why}");
        };
        check(json!([fault(7, 1, &[1, 2])]), "order");
        check(json!([fault(7, 10, &[1, 2, 3, 4, 5])]), "ends before");
        check(json!([fault(7, 1, &[5, 4, 3, 2, 1]), fault(7, 2, &[1, 2, 3, 4, 5])]), "same number");
        let wipe = |id: u64, order: &[u16]| json!({"id": id, "at_ms": 1, "until_ms": 10, "kind": "wipe", "target": "one", "order": order});
        check(
            json!([wipe(6, &[1, 2, 3, 4, 5]), wipe(7, &[2, 3, 1, 4, 5])]),
            "than that of fault 6",
        );
        lower(json!({"keelhaul_schedule": 1, "faults": [wipe(6, &[1, 2, 3, 4, 5]), wipe(7, &[2, 1, 5, 4, 3])]})).unwrap();
    }
}
