//! What a workload's history is about: how it is read, and how it is judged.

use std::collections::BTreeMap;

use keelhaul_history::faults::FaultWindow;
use keelhaul_history::import::OPTION_CAS_MISMATCH;
use keelhaul_history::{Header, RawOp, Value};

use crate::budget::Budget;
use crate::columns::{ColumnError, Registers, RegistersBuilder};
use crate::convergence::{self, Quiet};
use crate::judge::{guard, observe_register};
use crate::lattice::{Answers, OPS_PER_LOOK, Question, Standing};
use crate::models::Model;
use crate::objects::{ObjectsBuilder, Vocabulary};
use crate::registers;
use crate::sequential;
use crate::staleness;
use crate::times;
use crate::verdict::Check;

/// Reads the history of the workload's objects and judges it.
pub trait Subject {
    /// Learns what was run, before the first event.
    fn begin(&mut self, _header: &Header) {}

    /// Takes the next event.
    ///
    /// # Errors
    /// If it is no event of the workload.
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError>;

    /// Judges what was read.
    fn finish(self: Box<Self>, asked: &Asked<'_>) -> Judged;
}

/// What is to be decided, and what that may cost.
pub struct Asked<'a> {
    /// Names of models, of those that the workload knows; none: what is usual for the workload.
    pub models: &'a [&'static str],
    /// Time and memory.
    pub budget: &'a dyn Budget,
    /// What was broken, and when.
    pub faults: &'a [FaultWindow],
}

/// What came of it.
pub struct Judged {
    /// How many keys there are.
    pub keys: usize,
    /// Operations that have a part in the verdict.
    pub operations: usize,
    /// The answers, the one that matters most first.
    pub checks: Vec<Check>,
    /// What is known of models that nobody asked for.
    pub standing: Vec<Standing>,
}

/// What the user says of a workload's objects.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What every register holds at first.
    pub initial: Value,
    /// Values by the names that the [`Workload`](crate::workload::Workload) lists.
    pub options: BTreeMap<String, Value>,
}

/// The value of an option does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option `{name}` takes {expected}, not {found}")]
pub struct OptionError {
    /// Which option.
    pub name: &'static str,
    /// What it takes, e.g. `a whole number`.
    pub expected: &'static str,
    /// What was given, as JSON.
    pub found: String,
}

impl Settings {
    /// The value of an option as `read` understands it; none if it was not given.
    ///
    /// # Errors
    /// If `read` does not understand it.
    pub fn get<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, OptionError> {
        let Some(value) = self.options.get(name) else { return Ok(None) };
        let found = value.to_string();
        read(value).map(Some).ok_or(OptionError { name, expected, found })
    }

    /// An option that is true or false.
    ///
    /// # Errors
    /// If it is neither.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, OptionError> {
        let read = |value: &Value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        };
        Ok(self.get(name, "true or false", read)?.unwrap_or(default))
    }

    /// An option that is a whole number.
    ///
    /// # Errors
    /// If it is none.
    pub fn int(&self, name: &'static str) -> Result<Option<i64>, OptionError> {
        self.get(name, "a whole number", Value::as_int)
    }
}

/// Whether a failed cas that names a mismatch as its reason promises that there was one.
pub(crate) fn promises_misses(header: &Header) -> bool {
    header.options.get(OPTION_CAS_MISMATCH) == Some(Value::Bool(true))
}

/// Registers, and what the user says of time.
pub struct RegisterSubject {
    registers: RegistersBuilder,
    /// How stale a read may be, nanoseconds.
    staleness_ns: Option<u64>,
    /// How long replicas may take to agree, nanoseconds.
    convergence_ns: u64,
}

impl RegisterSubject {
    /// For the settings of [`registers::OPTIONS`].
    ///
    /// # Errors
    /// If one does not do.
    pub fn new(settings: &Settings) -> Result<Self, OptionError> {
        let time = |name| settings.get(name, times::EXPECTED, times::ns);
        Ok(Self {
            registers: RegistersBuilder::new(settings.initial.clone()),
            staleness_ns: time(registers::STALENESS)?,
            convergence_ns: time(registers::CONVERGENCE)?.unwrap_or(0),
        })
    }

    /// Judges by the models that are about time, if they are asked for.
    fn timed(&self, registers: &Registers, asked: &Asked<'_>) -> Vec<Check> {
        let (stale, eventual) = (Model::BoundedStaleness.name(), Model::Eventual.name());
        let quiet = Quiet::after(asked.faults, self.convergence_ns);
        let mut checks = Vec::new();
        if asked.models.contains(&stale) {
            let bound = self.staleness_ns;
            checks.push(guard(stale, || staleness::check(registers, bound, asked.budget)));
        }
        if asked.models.contains(&eventual) {
            checks.push(guard(eventual, || convergence::check(registers, &quiet)));
        }
        checks
    }
}

impl Subject for RegisterSubject {
    fn begin(&mut self, header: &Header) {
        if promises_misses(header) {
            self.registers.heed_misses();
        }
    }

    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        observe_register(&mut self.registers, op)
    }

    fn finish(mut self: Box<Self>, asked: &Asked<'_>) -> Judged {
        let builder = std::mem::replace(&mut self.registers, RegistersBuilder::new(Value::Null));
        let registers = builder.finish();
        let Asked { models, budget, .. } = *asked;
        let operations = registers.op_count();
        let question = Question {
            table: registers::DECIDABLE,
            history: &registers,
            looks: operations / OPS_PER_LOOK,
            budget,
        };
        let Answers { mut checks, standing } = question.answer(models, sequential::finds_garbage);
        checks.extend(self.timed(&registers, asked));
        Judged { keys: registers.keys.len(), operations, checks, standing }
    }
}

impl<V: Vocabulary<Model: Send> + 'static> Subject for ObjectsBuilder<V> {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        Self::observe(self, op)
    }

    fn finish(self: Box<Self>, asked: &Asked<'_>) -> Judged {
        let all = Self::finish(*self);
        let keys = all.len();
        let operations = all.iter().map(|object| object.ops.len()).sum();
        let Answers { checks, standing } = V::answer(all, asked.models, asked.budget);
        Judged { keys, operations, checks, standing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_of_the_wrong_kind_is_named() {
        let options = BTreeMap::from([("total".to_string(), Value::from("many"))]);
        let settings = Settings { options, ..Settings::default() };
        let error = settings.int("total").unwrap_err();
        assert_eq!(error.to_string(), "option `total` takes a whole number, not \"many\"");
        assert_eq!(settings.flag("absent", true), Ok(true));
    }
}
