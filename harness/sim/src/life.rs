//! One life from its plan to what is known of it.

use std::rc::Rc;

use keelhaul_checkers::budget::Budget;
use keelhaul_checkers::{Check, JudgeRequest, Judgement, Settings, Verdict, judge};
use keelhaul_engine::generator::{
    Boxed, Combine, Context, Generator, Next, Thread, any_of, phases,
};
use keelhaul_history::import::{self, Format};
use keelhaul_history::{Header, NodeId};
use keelhaul_nemesis::{generator, recovery};
use keelhaul_protocol::{paxos, raft, zab};
use keelhaul_workloads::{RegisterOptions, Workload, register};

use crate::oracle::Broken;
use crate::plan::{Evidence, PlannedOp, SimPlan, Work, stream};
use crate::system::System;
use crate::trace::Happening;
use crate::world::{Figures, MS, Sim, States};

/// Why a life was not a good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An invariant inside the cluster does not hold.
    Internal(Broken),
    /// What clients saw breaks the promise: the check's name, its anomalies, its reason.
    Visible {
        /// The anomalies, or the check's name where it names none.
        anomaly: String,
        /// In one sentence.
        sentence: String,
    },
    /// The faults were over, and the cluster did not become well.
    Stuck(String),
}

impl Violation {
    /// The kind, by which two violations are the same mistake.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Internal(broken) => broken.invariant.as_str(),
            Self::Visible { anomaly, .. } => anomaly,
            Self::Stuck(_) => "no-progress",
        }
    }

    /// How it shows, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Internal(broken) => &broken.sentence,
            Self::Visible { sentence, .. } | Self::Stuck(sentence) => sentence,
        }
    }
}

/// What a life leaves.
#[derive(Debug)]
pub struct Life {
    /// The history, byte for byte as a run directory holds it.
    pub history: Vec<u8>,
    /// The first broken invariant, if there is one.
    pub broken: Option<Broken>,
    /// What counts as a violation.
    pub evidence: Evidence,
    /// Why the cluster did not become well after all faults, if so.
    pub unhealthy: Option<String>,
    /// What happened inside; empty unless asked for.
    pub trace: Vec<Happening>,
    /// What the clients did, as a list that a plan can hold; empty unless asked for.
    pub operations: Vec<PlannedOp>,
    /// Figures.
    pub figures: Figures,
}

/// The header of a simulated history. There is no time of day in it: the same plan gives the same bytes.
#[must_use]
pub fn header(plan: &SimPlan) -> Header {
    let mut header = Header::new(plan.system.store(), "register");
    header.model = "linearizable".into();
    header.nodes = (1..=plan.nodes).map(|id| NodeId(id).to_string()).collect();
    let mut kinds: Vec<String> = Vec::new();
    for fault in &plan.schedule.faults {
        if !kinds.iter().any(|kind| kind == fault.spec.kind()) {
            kinds.push(fault.spec.kind().into());
        }
    }
    header.faults = kinds;
    header.seed = plan.seed;
    header.started = "virtual time".into();
    header
}

/// Lives one life. States of the cluster that it reaches are added to `states`; `recorded` asks for what a story needs.
#[must_use]
pub fn live(plan: &SimPlan, recorded: bool, states: &mut States) -> Life {
    live_as(plan, &header(plan), recorded, states)
}

/// As [`live`], with a header of the caller's.
#[must_use]
pub fn live_as(plan: &SimPlan, header: &Header, recorded: bool, states: &mut States) -> Life {
    let left = match plan.system {
        System::Raft(mutant) => {
            let work = generators(plan);
            Sim::<raft::Replica>::new(plan, mutant, work, header, recorded, states).live()
        }
        System::Paxos(mutant) => {
            let work = generators(plan);
            Sim::<paxos::Replica>::new(plan, mutant, work, header, recorded, states).live()
        }
        System::Zab(mutant) => {
            let work = generators(plan);
            Sim::<zab::Replica>::new(plan, mutant, work, header, recorded, states).live()
        }
    };
    let operations = left.invoked.into_iter().filter_map(|(at_ns, thread, op)| {
        let key = op.key.as_ref()?.as_int()?;
        let value = serde_json::from_str(&op.value.to_string()).ok()?;
        Some(PlannedOp { at_ns, thread, f: op.f.to_string(), key, value })
    });
    Life {
        history: left.history,
        broken: left.broken,
        evidence: plan.evidence,
        unhealthy: left.unhealthy,
        trace: left.trace,
        operations: operations.collect(),
        figures: left.figures,
    }
}

/// Clients and faults together, then recovery, then the final reads.
fn generators(plan: &SimPlan) -> Boxed {
    let time_limit_ns = plan.time_limit_ms * MS;
    let faults = generator(&Rc::new(plan.schedule.clone()), time_limit_ns).nemesis();
    let (main, last) = match &plan.work {
        Work::Drawn => {
            let options = RegisterOptions {
                rate: plan.rate,
                time_limit_ns,
                threads_per_key: u32::from(plan.nodes).min(plan.concurrency),
            };
            let Workload { main, last } = register(options, &mut stream(plan.seed, "workload"));
            (main, last)
        }
        Work::Listed(ops) => {
            let Workload { main, last } = listed(ops, time_limit_ns);
            (main, last)
        }
    };
    phases([any_of([main, faults.boxed()]).boxed(), recovery().nemesis().boxed(), last]).boxed()
}

/// A workload of just these operations; those after the time limit come when the store is well again.
#[must_use]
pub fn listed(ops: &[PlannedOp], time_limit_ns: u64) -> Workload {
    let (main, last) = ops.iter().cloned().partition(|op| op.at_ns < time_limit_ns);
    Workload { main: Listed::new(main).boxed(), last: Listed::new(last).boxed() }
}

/// Operations at their times, each by its thread, or later if that is busy.
struct Listed {
    ops: Vec<PlannedOp>,
    next: usize,
}

impl Listed {
    const fn new(ops: Vec<PlannedOp>) -> Self {
        Self { ops, next: 0 }
    }
}

impl Generator for Listed {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        while let Some(planned) = self.ops.get(self.next) {
            let thread = Thread::Client(planned.thread);
            if planned.at_ns > ctx.now_ns() {
                return Next::Until(planned.at_ns);
            }
            let Some(op) = planned.invocation() else {
                self.next += 1;
                continue;
            };
            if !ctx.is_free(thread) {
                return Next::Pending;
            }
            self.next += 1;
            return Next::Op { thread: Some(thread), op };
        }
        Next::Done
    }
}

/// Judges a life as any history is judged, by the workload's promise.
///
/// # Panics
/// If the history is none: the simulator's own mistake.
#[must_use]
pub fn judgement(life: &Life, budget: &dyn Budget) -> Judgement {
    let source =
        import::open(life.history.as_slice(), Some(Format::Keelhaul), import::Options::default());
    let source = source.expect("a history of ours is one");
    let request = JudgeRequest {
        workload: "register".into(),
        models: Vec::new(),
        settings: Settings::default(),
        requested_faults: Vec::new(),
    };
    judge(source, &request, budget).expect("a history of ours is one of registers")
}

/// What the simulator itself has to say beside the checkers.
#[must_use]
pub fn checks(life: &Life) -> Vec<Check> {
    let mut inside = match &life.broken {
        None => Check::new(
            "invariants",
            Verdict::Valid,
            "after every step: one vote a node and term, one leader a term, logs match, leaders are complete, replicas apply the same, what is committed is on a quorum's disks",
        ),
        Some(broken) => {
            let mut check = Check::new("invariants", Verdict::Invalid, broken.sentence.clone());
            check.anomalies.push(broken.invariant.as_str().into());
            check
        }
    };
    inside.details.insert("events".into(), life.figures.events.into());
    inside
        .details
        .insert("fingerprint".into(), format!("{:016x}", life.figures.fingerprint).into());
    let after = match &life.unhealthy {
        None => return vec![inside],
        Some(why) => Check::new(
            "recovery",
            Verdict::Invalid,
            format!("the faults were over, and the cluster did not become well: {why}"),
        ),
    };
    vec![inside, after]
}

/// What is wrong with a life, if anything is. The checkers are asked last: they cost the most.
#[must_use]
pub fn violation(life: &Life, budget: &dyn Budget) -> Option<Violation> {
    if let Some(broken) = &life.broken
        && life.evidence == Evidence::Any
    {
        return Some(Violation::Internal(broken.clone()));
    }
    let judged = judgement(life, budget);
    if let Some(check) = judged.checks.iter().find(|check| check.verdict == Verdict::Invalid) {
        let anomaly = check.anomalies.first().unwrap_or(&check.name).clone();
        return Some(Violation::Visible { anomaly, sentence: check.reason.clone() });
    }
    life.unhealthy.clone().map(Violation::Stuck)
}
