//! What a workload's history is about: how it is read, and how it is judged.

use keelhaul_history::import::OPTION_CAS_MISMATCH;
use keelhaul_history::{Header, RawOp, Value};

use crate::budget::Budget;
use crate::columns::{ColumnError, RegistersBuilder};
use crate::judge::{guard, observe_register};
use crate::linearizable;
use crate::objects::models::bag::Unordered;
use crate::objects::models::container;
use crate::objects::models::fifo::Fifo;
use crate::objects::models::priority::SmallestFirst;
use crate::objects::models::stack::Lifo;
use crate::objects::models::{counter, fenced, kv, multi_register, mutex, set};
use crate::objects::{self, ObjectsBuilder, Vocabulary};
use crate::verdict::Check;

/// Workloads that are understood.
pub const WORKLOADS: &[&str] = &[
    "register",
    "cas-register",
    "multi-register",
    "kv",
    "mutex",
    "fenced-mutex",
    "set",
    "counter",
    "queue",
    "fifo-queue",
    "stack",
    "priority-queue",
];

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
    fn finish(self: Box<Self>, budget: &dyn Budget) -> Judged;
}

/// What came of it.
pub struct Judged {
    /// How many keys there are.
    pub keys: usize,
    /// Operations that have a part in the verdict.
    pub operations: usize,
    /// The answer.
    pub check: Check,
}

/// The subject of a workload; `initial` is what registers hold at first. None if there is no such workload.
pub fn subject(workload: &str, initial: &Value) -> Option<Box<dyn Subject>> {
    Some(match workload {
        "register" | "cas-register" => Box::new(RegistersBuilder::new(initial.clone())),
        "multi-register" => objects_of::<multi_register::Words>(),
        "kv" => objects_of::<kv::Words>(),
        "mutex" => objects_of::<mutex::Words>(),
        "fenced-mutex" => objects_of::<fenced::Words>(),
        "set" => objects_of::<set::Words>(),
        "counter" => objects_of::<counter::Words>(),
        "queue" => objects_of::<container::Words<Unordered>>(),
        "fifo-queue" => objects_of::<container::Words<Fifo>>(),
        "stack" => objects_of::<container::Words<Lifo>>(),
        "priority-queue" => objects_of::<container::Words<SmallestFirst>>(),
        _ => return None,
    })
}

fn objects_of<V: Vocabulary<Model: Send> + 'static>() -> Box<dyn Subject> {
    Box::new(ObjectsBuilder::<V>::default())
}

impl Subject for RegistersBuilder {
    fn begin(&mut self, header: &Header) {
        if header.options.get(OPTION_CAS_MISMATCH) == Some(Value::Bool(true)) {
            self.heed_misses();
        }
    }

    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        observe_register(self, op)
    }

    fn finish(self: Box<Self>, budget: &dyn Budget) -> Judged {
        let registers = Self::finish(*self);
        let check = guard(linearizable::NAME, || linearizable::check(&registers, budget));
        Judged { keys: registers.keys.len(), operations: registers.op_count(), check }
    }
}

impl<V: Vocabulary<Model: Send> + 'static> Subject for ObjectsBuilder<V> {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        Self::observe(self, op)
    }

    fn finish(self: Box<Self>, budget: &dyn Budget) -> Judged {
        let all = Self::finish(*self);
        let check = guard(linearizable::NAME, || objects::check(&all, budget));
        let operations = all.iter().map(|object| object.ops.len()).sum();
        Judged { keys: all.len(), operations, check }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_a_subject() {
        assert!(WORKLOADS.iter().all(|name| subject(name, &Value::Null).is_some()));
        assert!(subject("nothing", &Value::Null).is_none());
    }
}
