//! One pass over a history, all checkers, one answer.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;

use keelhaul_history::ahead::{Batcher, Batches};
use keelhaul_history::faults::{Collector, Timeline};
use keelhaul_history::import::{CAS_MISMATCH, OpSource};
use keelhaul_history::{Ending, Kind, Process, RawOp, RawValue, ReadError, Value};
use serde::Serialize;

use crate::budget::{Budget, Exhausted};
use crate::columns::{Atom, Call, ColumnError, Outcome, RegistersBuilder};
use crate::lattice::{Place, Standing};
use crate::models::Model;
use crate::progress::{FaultSummary, Progress};
use crate::stats::{Outcomes, Stats};
use crate::subject::{Asked, Judged, OptionError, Settings, Subject, promises_misses};
use crate::verdict::{Check, Verdict};
use crate::words::count;
use crate::workload::{Workload, workload, workloads};
use crate::{progress, stats};

/// What to judge a history by.
#[derive(Clone, Debug, Default)]
pub struct JudgeRequest {
    /// What the operations mean; one of [`workloads`].
    pub workload: String,
    /// Which promises to check, of those that the workload knows; what is usual for it if empty.
    pub models: Vec<String>,
    /// What every register holds at first, and the workload's options.
    pub settings: Settings,
    /// Kinds of faults that the history is supposed to have tested.
    pub requested_faults: Vec<String>,
}

/// Why a history could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// It cannot be read.
    #[error("read the history")]
    Read(#[from] ReadError),
    /// It is readable, but not a history of the workload.
    #[error("understand the history: line {line}")]
    Columns {
        /// Line of the file, from 1.
        line: u64,
        /// What is wrong.
        #[source]
        source: ColumnError,
    },
    /// No such workload.
    #[error(
        "judge workload `{0}`: only {known} are understood",
        known = list(workloads().map(|workload| workload.name))
    )]
    Workload(String),
    /// No such model, or none that the workload knows.
    #[error("judge workload `{workload}` by model `{model}`: {known} can be decided")]
    Model {
        /// The workload.
        workload: &'static str,
        /// What was asked for.
        model: String,
        /// What there is.
        known: String,
    },
    /// No such option.
    #[error("judge workload `{workload}` with option `{option}`: it has {known}")]
    Setting {
        /// The workload.
        workload: &'static str,
        /// What was given.
        option: String,
        /// What there is.
        known: String,
    },
    /// An option that does not do.
    #[error("judge workload `{0}`")]
    Option(&'static str, #[source] OptionError),
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// As [`list`], or `none`.
fn list_or_none<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names = list(names);
    if names.is_empty() { "none".into() } else { names }
}

/// How a recorded history ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sealed {
    /// Recorded to the end.
    Sealed,
    /// The run was killed; the history is a prefix.
    Unsealed,
    /// As `Unsealed`, and the last line was cut.
    UnsealedTorn,
}

/// The answer to a [`JudgeRequest`].
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// The worst of all checks.
    pub verdict: Verdict,
    /// One answer a checker.
    pub checks: Vec<Check>,
    /// Client operations begun.
    pub operations: u64,
    /// How client operations ended, by function.
    pub outcomes: BTreeMap<String, Outcomes>,
    /// How many keys there are.
    pub keys: usize,
    /// Names of all anomalies found.
    pub anomalies: Vec<String>,
    /// The strongest models that the history is proved to have.
    pub strongest: Vec<String>,
    /// The weakest models that it is proved not to have.
    pub not: Vec<String>,
    /// Stronger models that it cannot have either.
    pub also_not: Vec<String>,
    /// What is known of models that nobody asked for; it has no part in the verdict.
    pub standing: Vec<Standing>,
    /// Whether the history is whole.
    pub ending: Sealed,
    /// What was seen of each kind of fault.
    pub faults: Vec<FaultSummary>,
    /// Time of the last event, nanoseconds since the run began.
    pub duration_ns: u64,
    /// What was done to the history besides reading it, a sentence each.
    pub notes: Vec<String>,
    /// What was tested, a phrase each.
    pub tested: Vec<String>,
    /// What was not, a phrase each.
    pub not_tested: Vec<String>,
}

/// Judges a history in one pass. A checker that panics is unknown.
///
/// # Errors
/// If the history cannot be read or understood, or the request names what is not known.
pub fn judge<S: OpSource>(
    mut history: S,
    request: &JudgeRequest,
    budget: &dyn Budget,
) -> Result<Judgement, JudgeError> {
    let workload = workload(&request.workload)
        .ok_or_else(|| JudgeError::Workload(request.workload.clone()))?;
    let mut models = models_of(workload, &request.models)?;
    if models.is_empty() {
        models.extend(promised(workload, &history.header().model));
    }
    let mut subject = subject_of(workload, &request.settings)?;
    subject.begin(history.header());
    let mut pass = Pass::new(subject);
    if promises_misses(history.header()) {
        pass.stats.heed_misses();
    }
    let (mut events, mut cut) = (0_u64, None);
    while let Some(op) = history.next_op()? {
        let taken = pass.observe(&op);
        taken.map_err(|source| JudgeError::Columns { line: history.line(), source })?;
        events += 1;
        if events.is_multiple_of(EVENTS_PER_LOOK) {
            cut = budget.spent(0);
            if cut.is_some() {
                break;
            }
        }
    }
    if let Some(why) = cut {
        let name = models.first().copied().unwrap_or(workload.promise());
        pass.subject = Box::new(Unread { name, why, events });
    }
    let ending = match history.ending() {
        Some(Ending::Sealed) => Sealed::Sealed,
        Some(Ending::Unsealed { torn_tail: true }) => Sealed::UnsealedTorn,
        Some(Ending::Unsealed { torn_tail: false }) | None => Sealed::Unsealed,
    };
    let notes = history.notes();
    drop(history);
    Ok(Judgement { notes, ..pass.finish(workload, &models, request, ending, budget) })
}

/// As [`judge`], while another thread of rayon's reads ahead; the calling thread must be none of rayon's.
///
/// # Errors
/// As [`judge`].
pub fn judge_ahead<S: OpSource + Send>(
    history: S,
    request: &JudgeRequest,
    budget: &dyn Budget,
) -> Result<Judgement, JudgeError> {
    // A thread of the pool that waits for another one could be waited for by it.
    if rayon::current_thread_index().is_some() {
        return judge(history, request, budget);
    }
    let header = history.header().clone();
    rayon::in_place_scope(|scope| {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        scope.spawn(move |_| {
            let mut rest = Batcher::new(history);
            while rest.next().is_some_and(|batch| sender.send(batch).is_ok()) {}
        });
        judge(Batches::new(header, batches.into_iter()), request, budget)
    })
}

/// How many batches may wait to be judged: enough that neither thread waits for the other at every turn.
const BATCHES_AHEAD: usize = 8;

/// How many events are read between two looks at the budget.
const EVENTS_PER_LOOK: u64 = 1 << 12;

/// Stands for a history that does not fit into the budget: what was read of it is gone.
struct Unread {
    /// What was to be decided.
    name: &'static str,
    why: Exhausted,
    events: u64,
}

impl Subject for Unread {
    fn observe(&mut self, _op: &RawOp<'_>) -> Result<(), ColumnError> {
        Ok(())
    }

    fn finish(self: Box<Self>, _asked: &Asked<'_>) -> Judged {
        let Self { name, why, events } = *self;
        let needs = match why {
            Exhausted::Memory => "it takes more to be held",
            Exhausted::Time => "it takes longer to be read",
        };
        let reason = format!(
            "{why} while the history was being read, after {events} events: nothing was judged, {needs}"
        );
        let checks = vec![Check::new(name, Verdict::Unknown, reason)];
        Judged { keys: 0, operations: 0, checks, standing: Vec::new() }
    }
}

/// The models asked for, by their own names, if the workload knows them.
fn models_of(workload: &Workload, asked: &[String]) -> Result<Vec<&'static str>, JudgeError> {
    let find = |asked: &String| {
        let own = Model::by_name(asked).map(Model::name);
        let name = own.unwrap_or(asked);
        workload.models.iter().copied().find(|known| *known == name).ok_or_else(|| {
            let known = list_or_none(workload.models.iter().copied());
            JudgeError::Model { workload: workload.name, model: asked.clone(), known }
        })
    };
    asked.iter().map(find).collect()
}

/// What the run that was recorded is said to promise, if that is another promise than the usual one.
fn promised(workload: &Workload, model: &str) -> Option<&'static str> {
    let model = Model::by_name(model).map(Model::name)?;
    workload.models.iter().copied().skip(1).find(|known| *known == model)
}

/// What reads and judges the history, if the settings make sense.
fn subject_of(workload: &Workload, settings: &Settings) -> Result<Box<dyn Subject>, JudgeError> {
    let name = workload.name;
    let options = || workload.options.iter().map(|option| option.name);
    if let Some(option) = settings.options.keys().find(|o| !options().any(|n| n == *o)) {
        let (option, known) = (option.clone(), list_or_none(options()));
        return Err(JudgeError::Setting { workload: name, option, known });
    }
    (workload.subject)(settings).map_err(|source| JudgeError::Option(name, source))
}

/// Everything that is collected while the history streams by.
struct Pass {
    subject: Box<dyn Subject>,
    stats: Stats,
    progress: Progress,
    faults: Collector,
}

impl Pass {
    fn new(subject: Box<dyn Subject>) -> Self {
        Self {
            subject,
            stats: Stats::default(),
            progress: Progress::default(),
            faults: Collector::default(),
        }
    }

    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        self.stats.observe(op);
        self.progress.observe(op);
        self.faults.observe_raw(op);
        self.subject.observe(op)
    }

    fn finish(
        self,
        workload: &Workload,
        models: &[&'static str],
        request: &JudgeRequest,
        ending: Sealed,
        budget: &dyn Budget,
    ) -> Judgement {
        let end_ns = self.progress.end_ns();
        let Timeline { faults: windows, .. } = self.faults.finish(end_ns);
        let faults = self.progress.summarize(&windows, &request.requested_faults);
        let recovery = self.progress.recovery();
        drop(self.progress);
        let Judged { keys, operations, mut checks, standing } =
            self.subject.finish(&Asked { models, budget, faults: &windows });
        let own = checks.len();
        let Place { strongest, mut not, also_not } = Place::new(&checks, &standing);
        not.extend(refuted(&checks, workload.models));
        checks.push(guard(stats::NAME, || self.stats.check()));
        checks.push(guard(progress::NAME, || Progress::check(&faults, &request.requested_faults)));
        checks.extend(recovery);
        let outcomes = self.stats.counts();
        let mut judgement = Judgement {
            verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Vacuous),
            operations: outcomes.values().map(|o| o.invoked).sum(),
            outcomes,
            keys,
            anomalies: checks.iter().flat_map(|check| check.anomalies.clone()).collect(),
            strongest,
            not,
            also_not,
            standing,
            ending,
            faults,
            duration_ns: end_ns,
            notes: Vec::new(),
            tested: Vec::new(),
            not_tested: Vec::new(),
            checks,
        };
        judgement.tell_scope(own, operations, request);
        judgement
    }
}

impl Judgement {
    /// Says in phrases what was tested and what was not.
    fn tell_scope(&mut self, own: usize, operations: usize, request: &JudgeRequest) {
        let decided = [Verdict::Valid, Verdict::Invalid];
        for check in &self.checks[..own] {
            if decided.contains(&check.verdict) {
                self.tested.push(format!(
                    "{}: {} with a part in it, {}",
                    check.name,
                    count(operations, "operation"),
                    count(self.keys, "key")
                ));
            } else {
                self.not_tested.push(format!("{}: {}", check.name, check.reason));
            }
        }
        for FaultSummary { kind, injected, effective, ok_ops } in &self.faults {
            if *effective > 0 {
                self.tested.push(format!(
                    "{kind}: {effective} of {injected} verified in effect, {ok_ops} operations succeeded meanwhile"
                ));
            } else if *injected > 0 {
                self.not_tested
                    .push(format!("{kind}: injected {injected} times, never verified in effect"));
            } else {
                self.not_tested.push(format!("{kind}: asked for, never injected"));
            }
        }
        if self.faults.is_empty() && request.requested_faults.is_empty() {
            self.not_tested.push("faults: none were injected".into());
        }
        if self.ending != Sealed::Sealed {
            self.not_tested.push("the end of the run: the history is unsealed".into());
        }
    }
}

/// Models of other kinds that a check refuted.
fn refuted(checks: &[Check], models: &[&str]) -> Vec<String> {
    let refuted = checks.iter().filter(|check| {
        let name = check.name.as_str();
        let other = models.contains(&name) && Model::by_name(name).is_none();
        other && check.verdict == Verdict::Invalid
    });
    refuted.map(|check| check.name.clone()).collect()
}

/// Runs a checker; one that panics is unknown, for it may have been about to find something.
pub fn guard(name: &str, checker: impl FnOnce() -> Check) -> Check {
    catch_unwind(AssertUnwindSafe(checker)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no message".into());
        Check::new(name, Verdict::Unknown, format!("the checker panicked: {text}"))
    })
}

/// Decodes one event straight into the columns.
///
/// # Errors
/// If it is not an event of a register history.
pub(crate) fn observe_register(
    registers: &mut RegistersBuilder,
    op: &RawOp<'_>,
) -> Result<(), ColumnError> {
    let Process::Client(process) = op.process else { return Ok(()) };
    let (index, time_ns) = (op.index, op.time_ns);
    match op.kind {
        Kind::Invoke => {
            let call = match op.f {
                "read" => Call::Read,
                "write" => Call::Write(atom(op.value.json())),
                "cas" => cas(op.value.json()).ok_or(ColumnError::CasValue { index })?,
                f => return Err(ColumnError::Function { index, f: f.into() }),
            };
            registers.invoke(index, time_ns, process, op.key.map(atom), call)
        }
        Kind::Ok => {
            let result = if op.f == "read" { atom(op.value.json()) } else { Atom::Int(0) };
            registers.complete(index, time_ns, process, Outcome::Ok(result))
        }
        Kind::Fail => {
            let miss = registers.misses && op.error.as_deref() == Some(CAS_MISMATCH);
            let outcome = if miss { Outcome::Miss } else { Outcome::Fail };
            registers.complete(index, time_ns, process, outcome)
        }
        Kind::Info => registers.complete(index, time_ns, process, Outcome::Info),
    }
}

fn atom(value: RawValue<'_>) -> Atom {
    value.as_int().map_or_else(|| Atom::from(value.to_value()), Atom::Int)
}

fn cas(value: RawValue<'_>) -> Option<Call> {
    if let Some((expected, new)) = value.as_int_pair() {
        return Some(Call::Cas(Atom::Int(expected), Atom::Int(new)));
    }
    match value.to_value() {
        Value::List(items) => match &*items {
            [expected, new] => Some(Call::Cas(expected.clone().into(), new.clone().into())),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_that_panics_is_unknown() {
        let check = guard("broken", || panic!("index {} out of range", 7));
        assert_eq!((check.name.as_str(), check.verdict), ("broken", Verdict::Unknown));
        assert!(check.reason.contains("index 7 out of range"), "{}", check.reason);
    }
}
