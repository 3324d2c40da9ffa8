//! Registers that transactions read and write: the order of versions is not known.
//!
//! A read names the write that it saw, since written values of a key differ; which of two writes came first is open, and a
//! history has a level if some order of the writes of every key gives it that level. In the order in which they are looked at:
//!
//! 1. [`singles`]: what is wrong with single reads and transactions;
//! 2. [`known`]: versions whose order is known all the same, and cycles of the dependencies that this makes;
//! 3. [`weak`]: monotonic atomic view, read atomic and causal, by procedures that are linear but for the number of sessions;
//! 4. [`strong`]: serializability, snapshot isolation and what else needs an order of writes, by inference and search.
//!
//! Where every version of a key is written by who had read the one before (*read-modify-write chains*), or where the store numbers
//! versions or says when transactions committed ([`stamps`]), the order of versions is known after all: then one pass over the
//! dependencies decides what it decides of lists, and nothing is searched.
//!
//! # Definitions
//! Read committed is Adya's PL-2: with the order of versions open, nobody sees what failed or was passing (G1a, G1b), and
//! transactions do not see each other in a circle (G1c). Read atomic and causal are those of Biswas & Enea 2019; their read
//! committed is monotonic atomic view here, and sessions apart.
//!
//! # Limits
//! Written values of a key must differ, or nothing is said. There are no predicates, so item anomalies are all there are.

mod known;
mod order;
mod singles;
mod stamps;
mod strong;
mod tell;
#[cfg(test)]
mod tests;
mod view;
mod weak;
#[cfg(test)]
mod weak_oracle_tests;
mod writes;

use keelhaul_history::import::OPTION_UNTIMED;
use keelhaul_history::{Header, RawOp, Value};

use self::known::{Known, Promises};
use self::order::{Clocks, Order};
use self::view::View;
use self::weak::{Inferred, Level, Past};
use super::answer::{Case, Findings, refutes};
use super::columns::{NONE, Txns, Writers};
use super::read::{Reading, Shape};
use super::{cycles, list_append};
use crate::budget::Unlimited;
use crate::columns::ColumnError;
use crate::graph::{Anti, Classes, Pattern, Step, acyclic, components, shortest_simple};
use crate::models::{Model, anomaly};
use crate::subject::{Asked, Judged, OptionError, Settings, Subject};
use crate::verdict::Evidence;
use crate::workload::{Setting, Workload};

const WFR: &str = "wfr-keys";
const LINEARIZABLE: &str = "linearizable-keys";
const SEQUENTIAL: &str = "sequential-keys";

pub(super) const WORKLOAD: Workload = Workload {
    name: "rw-register",
    what: "transactions that read and write registers: which isolation do they have",
    models: super::MODELS,
    options: &[
        Setting {
            name: WFR,
            what: "whether what a transaction reads of a key comes before what it writes there; true",
        },
        Setting {
            name: LINEARIZABLE,
            what: "whether each key is linearizable by itself, which orders its versions in real time; false",
        },
        Setting {
            name: SEQUENTIAL,
            what: "whether each key is sequentially consistent, which orders its versions by process; false",
        },
    ],
    subject,
};

fn subject(settings: &Settings) -> Result<Box<dyn Subject>, OptionError> {
    Ok(Box::new(Registers {
        reading: Reading::new(Shape::Registers),
        initial: settings.initial.clone(),
        promises: Promises {
            writes_follow_reads: settings.flag(WFR, true)?,
            linearizable: settings.flag(LINEARIZABLE, false)?,
            sequential: settings.flag(SEQUENTIAL, false)?,
        },
        timed: true,
    }))
}

struct Registers {
    reading: Reading,
    initial: Value,
    promises: Promises,
    /// Whether the order of events of different processes is that of real time.
    timed: bool,
}

impl Subject for Registers {
    fn begin(&mut self, header: &Header) {
        self.timed = header.options.get(OPTION_UNTIMED) != Some(Value::Bool(true));
    }

    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        self.reading.observe(op)
    }

    fn finish(self: Box<Self>, asked: &Asked<'_>) -> Judged {
        let Self { reading, initial, promises, timed } = *self;
        let mut txns = reading.finish();
        let writers = Writers::new(&txns);
        view::know_initial(&mut txns, &writers, &initial);
        let findings = find(&txns, writers, promises, timed, asked);
        findings.judged(&txns, super::MODELS, asked)
    }
}

/// Models that say what the order of time is, and so nothing where none is known.
const OF_TIME: [Model; 4] = [
    Model::StrictSerializable,
    Model::StrongSnapshotIsolation,
    Model::StrongReadCommitted,
    Model::StrongReadUncommitted,
];

/// Why nothing can be said.
const NOTHING: &str = "no transaction depends on another one";

/// Everything that can be found in the history.
fn find(
    txns: &Txns,
    writers: Writers,
    promises: Promises,
    timed: bool,
    asked: &Asked<'_>,
) -> Findings {
    let mut findings = Findings::default();
    findings.details.insert("transactions".into(), txns.txns.len().into());
    if !timed {
        findings.timeless = &OF_TIME;
    }
    findings.doubt = writers.doubt(txns, "written", "values");
    if findings.doubt.is_some() {
        return findings;
    }
    let view = View::new(txns, writers);
    let (mut singles, order) = rayon::join(|| singles::singles(&view), || Order::new(&view));
    stamps::contradictions(&view, &mut singles);
    findings.add_singles(txns, singles);
    findings.own = stamps::check(&view);
    if order.is_none() || timed || asks_more_than_causes(asked) {
        find_cycles(&view, promises, timed, asked, &mut findings);
    } else if (0..view.rows()).all(|row| view.reads(row).is_empty()) {
        findings.vacuous = Some(NOTHING.into());
    }
    if findings.vacuous.is_none() {
        findings.decided.extend(READ);
        find_weak(&view, order.as_ref(), asked, &mut findings);
        strong::find(&view, asked, &mut findings);
    }
    findings.cases.sort_by_key(|case| cycles::rank(&FIRST, case.name));
    findings
}

/// Models of which the absence of circles of reads, and of what is wrong with single ones, is the definition, since some order of
/// writes fits any other one.
const READ: [Model; 6] = [
    Model::StrongReadCommitted,
    Model::StrongSessionReadCommitted,
    Model::ReadCommitted,
    Model::StrongReadUncommitted,
    Model::StrongSessionReadUncommitted,
    Model::ReadUncommitted,
];

/// Whether anything is asked that causal consistency does not imply.
fn asks_more_than_causes(asked: &Asked<'_>) -> bool {
    let causal = Model::TransactionalCausal;
    let implied = |name: &&str| Model::by_name(name).is_some_and(|model| causal.implies(model));
    asked.models.is_empty() || !asked.models.iter().all(implied)
}

/// Cycles of what is known of dependencies.
fn find_cycles(
    view: &View<'_>,
    promises: Promises,
    timed: bool,
    asked: &Asked<'_>,
    findings: &mut Findings,
) {
    let known = Known::new(view, promises, timed);
    if let Some((key, follows)) = known.cyclic.first() {
        let (name, count) = ("cyclic-versions", known.cyclic.len() as u64);
        let evidence = tell::cyclic_versions(view, *key, follows);
        findings.cases.push(Case { name, count, evidence });
    }
    let (graph, edges) = known.graph(view, timed, false);
    findings.details.insert("dependencies".into(), edges.into());
    if edges == 0 {
        findings.vacuous = Some(NOTHING.into());
        return;
    }
    if known.is_whole(view) {
        findings.details.insert("versions".into(), "in a known order".into());
        findings.decided.extend(list_append::DECIDED);
    }
    if acyclic(&graph) {
        return;
    }
    drop(graph);
    let (graph, _) = known.graph(view, timed, true);
    cycles::add_cycles(&graph, asked.budget, findings, |steps| tell::cycle(view, &known, steps));
}

/// Levels below serializability that need no search: the strongest that matters first, for if the history has it the others follow.
fn find_weak(view: &View<'_>, order: Option<&Order>, asked: &Asked<'_>, findings: &mut Findings) {
    // A lost update would have been found.
    const ATOMIC: [Model; 2] = [Model::ReadAtomic, Model::UpdateAtomic];
    const CAUSAL: [Model; 2] = [Model::TransactionalCausal, Model::UpdateAtomic];
    /// The weakest that fractured reads break.
    const VIEWS: [Model; 3] =
        [Model::MonotonicAtomicView, Model::MonotonicView, Model::MonotonicSnapshotReads];

    let past = Past { view, order, clocks: None };
    let wanted = order.filter(|_| matters(Model::TransactionalCausal, asked));
    let clocks = wanted.and_then(|order| Clocks::new(view, order, asked.budget));
    let causal = Past { clocks: clocks.as_ref(), ..past };
    if causal.clocks.is_some() && causal.holds(Level::Causal) {
        return findings.decided.extend(CAUSAL);
    }
    if causal.clocks.is_none() && matters(Model::ReadAtomic, asked) && past.holds(Level::Atomic) {
        findings.decided.extend(ATOMIC);
    } else if VIEWS.iter().any(|view| matters(*view, asked)) {
        find_level(&past, Level::Monotonic, &[Model::MonotonicAtomicView], findings);
        find_level(&past, Level::Fractured, &[], findings);
        find_level(&past, Level::Atomic, &ATOMIC, findings);
    }
    if causal.clocks.is_some() {
        find_level(&causal, Level::Causal, &CAUSAL, findings);
    } else if wanted.is_some() {
        let why = "the clocks of all sessions take more memory than there is";
        findings.leave_open(&[Level::Causal.anomaly()], why);
    }
}

/// Whether a level is asked for, or one that implies it.
fn matters(level: Model, asked: &Asked<'_>) -> bool {
    let implies = |name: &&str| Model::by_name(name).is_some_and(|model| model.implies(level));
    asked.models.is_empty() || asked.models.iter().any(implies)
}

/// Decides a level, and names its models if the history has it, or what breaks it if that says anything new.
fn find_level(past: &Past<'_>, level: Level, models: &[Model], findings: &mut Findings) {
    let refutes_more = anomaly(level.anomaly()).is_some_and(|anomaly| {
        let known = |model: &Model| findings.cases.iter().any(|case| refutes(case.name, *model));
        !anomaly.refutes.iter().all(known)
    });
    if !refutes_more {
        return;
    }
    if past.holds(level) {
        findings.decided.extend(models);
    } else if let Some(evidence) = violation(past, level) {
        findings.cases.push(Case { name: level.anomaly(), count: 1, evidence });
    }
}

/// What breaks a level; nothing if transactions saw each other in a circle, which is told elsewhere.
fn violation(past: &Past<'_>, level: Level) -> Option<Evidence> {
    /// Edges that may be looked at for a shortest circle.
    const WORK_MAX: u64 = 1 << 28;
    const ALL: Classes = Classes::WW.or(Classes::WR).or(Classes::PROCESS);

    let mut initial: Option<Inferred> = None;
    past.inferred(level, |inferred| {
        if inferred.writer == NONE {
            initial.get_or_insert(inferred);
        }
    });
    if let Some(initial) = initial {
        return Some(past.missed_initial(level, initial));
    }
    let graph = past.graph(level);
    let pattern = Pattern { free: ALL, required: &[Classes::WW], anti: Anti::None };
    let mut work = WORK_MAX;
    let mut best: Option<Vec<Step>> = None;
    for members in components(&graph, ALL) {
        let part = graph.induced(members);
        // The level is broken, and without a circle there is nothing to show it by: what this may cost is bounded by the edges.
        let found = shortest_simple(&part.graph, &pattern, &mut work, &Unlimited);
        let Some(cycle) = found else { continue };
        if best.as_ref().is_none_or(|best| cycle.steps.len() < best.len()) {
            let whole = |node: u32| part.members[node as usize];
            let steps = cycle.steps.into_iter().map(|step| Step {
                from: whole(step.from),
                to: whole(step.to),
                ..step
            });
            best = Some(steps.collect());
        }
    }
    best.map(|steps| past.circle(level, &steps))
}

/// Anomalies that show most, the first first.
const FIRST: [&str; 9] = [
    "garbage-read",
    "G1a",
    "incompatible-order",
    "cyclic-versions",
    "future-read",
    "internal",
    "G0",
    "G1b",
    "G1c",
];
