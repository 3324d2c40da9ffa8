//! From events to calls: what every checker here begins with.
//!
//! A checker sees an operation twice, when it is invoked and when it ends, and keeps what it needs. Objects under
//! different keys are different objects, each with a checker of its own; one answer is made of theirs.

use keelhaul_history::{Header, Kind, Process, RawOp, RawValue, Value};
use serde_json::Map;

use crate::columns::ColumnError;
use crate::in_flight::{InFlight, Span};
use crate::interner::Keys;
use crate::judge::guard;
use crate::objects::Misfit;
use crate::subject::{Asked, Judged, Subject};
use crate::verdict::{Check, Verdict};
use crate::words::count;

use super::tell;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// It happened, with this value.
    Ok(RawValue<'a>),
    /// It certainly did not happen.
    Fail,
    /// Nobody knows: it may happen at any later time, or never. Operations that never ended come last.
    Info,
}

/// Judges the history of one object in one pass.
pub trait Checker: Sized + 'static {
    /// The check's name.
    const NAME: &'static str;

    /// What the object is called, with its functions, e.g. `a queue has enqueue and dequeue`.
    const KNOWN: &'static str;

    /// What is said of the object before the first event.
    type Options: Clone;

    /// What is remembered of an operation in flight.
    type Call;

    /// Learns from the history's first line what the user did not say.
    fn learn(_options: &mut Self::Options, _header: &Header) {}

    /// An object that nothing has happened to.
    fn new(options: &Self::Options) -> Self;

    /// An operation begins; `span` has no end yet.
    ///
    /// # Errors
    /// If this is no operation of the object.
    fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Self::Call, Misfit>;

    /// It ends.
    ///
    /// # Errors
    /// If the value is none that it can have.
    fn complete(&mut self, call: Self::Call, span: &Span, end: End<'_>) -> Result<(), Misfit>;

    /// Everything has been seen.
    fn finish(self) -> Check;
}

/// All objects of a history.
pub struct Keyed<C: Checker> {
    options: C::Options,
    objects: Vec<(Option<Value>, C)>,
    keys: Keys,
    in_flight: InFlight<(u32, C::Call, Span)>,
    /// Operations that may have happened.
    operations: usize,
}

impl<C: Checker> Keyed<C> {
    /// Without any object yet.
    pub fn new(options: C::Options) -> Self {
        Self {
            options,
            objects: Vec::new(),
            keys: Keys::default(),
            in_flight: InFlight::default(),
            operations: 0,
        }
    }

    fn object(&mut self, key: Option<RawValue<'_>>) -> u32 {
        let (id, new) = self.keys.number(key);
        if let Some(name) = new {
            self.objects.push((name, C::new(&self.options)));
        }
        id
    }

    fn invoke(&mut self, op: &RawOp<'_>, process: u32) -> Result<(), ColumnError> {
        let object = self.object(op.key);
        let checker = &mut self.objects[object as usize].1;
        self.in_flight.try_begin((op.index, op.time_ns, process), |span| {
            let call = checker.invoke(&span, op.f, op.value.json());
            Ok((object, call.map_err(|misfit| explain::<C>(op, misfit))?, span))
        })
    }
}

impl<C: Checker> Subject for Keyed<C> {
    fn begin(&mut self, header: &Header) {
        C::learn(&mut self.options, header);
    }

    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        let Process::Client(process) = op.process else { return Ok(()) };
        let end = match op.kind {
            Kind::Invoke => return self.invoke(op, process),
            Kind::Ok => End::Ok(op.value.json()),
            Kind::Fail => End::Fail,
            Kind::Info => End::Info,
        };
        let ((object, call, begun), ret) = self.in_flight.end(op.index, process)?;
        let span = match end {
            End::Info => begun,
            End::Ok(_) | End::Fail => Span { end_ns: op.time_ns, ret, ..begun },
        };
        self.operations += usize::from(end != End::Fail);
        let checker = &mut self.objects[object as usize].1;
        checker.complete(call, &span, end).map_err(|misfit| explain::<C>(op, misfit))
    }

    fn finish(mut self: Box<Self>, _asked: &Asked<'_>) -> Judged {
        let mut open = self.in_flight.rest();
        open.sort_by_key(|(.., span)| span.call);
        self.operations += open.len();
        for (object, call, span) in open {
            let ended = self.objects[object as usize].1.complete(call, &span, End::Info);
            debug_assert!(ended.is_ok(), "an unknown outcome has no value that could be wrong");
        }
        if self.objects.is_empty() {
            self.objects.push((None, C::new(&self.options)));
        }
        let keys = self.objects.len();
        let answers = self.objects.into_iter().map(|(key, checker)| {
            let mut check = guard(C::NAME, || checker.finish());
            if let Some(evidence) = &mut check.evidence {
                evidence.key = key.as_ref().map(ToString::to_string);
            }
            (key, check)
        });
        let check = together(C::NAME, answers.collect());
        Judged { keys, operations: self.operations, checks: vec![check], standing: Vec::new() }
    }
}

fn explain<C: Checker>(op: &RawOp<'_>, misfit: Misfit) -> ColumnError {
    let (index, f) = (op.index, op.f.to_string());
    match misfit {
        Misfit::Function => ColumnError::OtherFunction { index, f, known: C::KNOWN },
        Misfit::Value(expected) => ColumnError::Value { index, f, expected },
    }
}

/// Keys that are named in details, at most.
const NAMED_MAX: usize = 16;

/// One answer for all keys: the worst, but keys where too little happened do not count if there are others. Counters
/// are added up.
fn together(name: &str, mut answers: Vec<(Option<Value>, Check)>) -> Check {
    if answers.len() == 1 {
        return answers.remove(0).1;
    }
    let keys = answers.len();
    let number = |verdict| answers.iter().filter(|(_, check)| check.verdict == verdict).count();
    let (valid, vacuous) = (number(Verdict::Valid), number(Verdict::Vacuous));
    let worst = [Verdict::Invalid, Verdict::Unknown].into_iter().find(|v| number(*v) > 0);
    let verdict = worst.unwrap_or(if valid > 0 { Verdict::Valid } else { Verdict::Vacuous });
    let mut details = Map::new();
    details.insert("key-count".into(), keys.into());
    let broken = answers.iter().filter(|(_, check)| check.verdict == Verdict::Invalid);
    let broken = broken.filter_map(|(key, _)| key.as_ref());
    details.insert("invalid-keys".into(), tell::listed(broken, NAMED_MAX));
    let mut anomalies: Vec<String> = Vec::new();
    for (_, check) in &answers {
        for (name, value) in check.details.iter().filter(|(name, _)| name.ends_with("-count")) {
            let sum = details.get(name).map_or(0, |sum| sum.as_u64().unwrap_or(0));
            details.insert(name.clone(), (sum + value.as_u64().unwrap_or(0)).into());
        }
        anomalies.extend(
            check.anomalies.iter().filter(|a| !anomalies.contains(a)).cloned().collect::<Vec<_>>(),
        );
    }
    let others = number(verdict) - 1;
    let at = answers.iter().position(|(_, check)| check.verdict == verdict);
    let (key, shown) = answers.swap_remove(at.expect("some key has the verdict"));
    let key = key.map_or_else(|| "without a key".into(), |key| format!("key {key}"));
    let mut reason = format!("{key}: {}", shown.reason);
    if others > 0 {
        reason += &format!("; the same verdict on {}", count(others, "other key"));
    }
    if verdict == Verdict::Valid && vacuous > 0 {
        reason += &format!("; too little happened to {}", count(vacuous, "key"));
    }
    Check { anomalies, evidence: shown.evidence, details, ..Check::new(name, verdict, reason) }
}
