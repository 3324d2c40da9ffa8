//! Every workload whose histories are understood, as data.

use crate::domain;
use crate::kafka;
use crate::models::Model;
use crate::objects::models::bag::Unordered;
use crate::objects::models::container;
use crate::objects::models::fifo::Fifo;
use crate::objects::models::priority::SmallestFirst;
use crate::objects::models::stack::Lifo;
use crate::objects::models::{counter, fenced, kv, multi_register, mutex, set};
use crate::objects::{ObjectsBuilder, Vocabulary};
use crate::registers;
use crate::subject::{OptionError, RegisterSubject, Settings, Subject};
use crate::txn;

/// A kind of history: what its operations mean and what can be asked of it.
pub struct Workload {
    /// What the user types.
    pub name: &'static str,
    /// Its operations and what is judged, in one line.
    pub what: &'static str,
    /// The consistency models that can be decided; the first is what is usual. Empty if it has a promise of its own.
    pub models: &'static [&'static str],
    /// What may be said of it besides.
    pub options: &'static [Setting],
    /// Makes what reads and judges it.
    pub(crate) subject: MakeSubject,
}

impl Workload {
    /// What is usually decided.
    pub(crate) fn promise(&self) -> &'static str {
        self.models.first().copied().unwrap_or(self.name)
    }
}

/// Makes a subject for the settings.
pub(crate) type MakeSubject = fn(&Settings) -> Result<Box<dyn Subject>, OptionError>;

/// Something that can be said of a workload's objects.
pub struct Setting {
    /// What the user types.
    pub name: &'static str,
    /// What it means, and what holds without it, in one line.
    pub what: &'static str,
}

/// All workloads, in the order in which they are shown.
pub fn workloads() -> impl Iterator<Item = &'static Workload> {
    [OBJECTS, domain::WORKLOADS, kafka::WORKLOADS, txn::WORKLOADS].into_iter().flatten()
}

/// The workload of that name.
#[must_use]
pub fn workload(name: &str) -> Option<&'static Workload> {
    workloads().find(|workload| workload.name == name)
}

/// What can be decided of any object.
const ORDERED: &[&str] = &[Model::Linearizable.name(), Model::Sequential.name()];

/// An object that usually promises to be linearizable, and takes no options.
const fn object(name: &'static str, what: &'static str, subject: MakeSubject) -> Workload {
    Workload { name, what, models: ORDERED, options: &[], subject }
}

/// Registers, which may promise less than to be linearizable.
const fn register(name: &'static str, what: &'static str) -> Workload {
    Workload {
        name,
        what,
        models: registers::NAMES,
        options: registers::OPTIONS,
        subject: registers_of,
    }
}

/// Single objects.
const OBJECTS: &[Workload] = &[
    register("register", "read, write and cas on a register a key"),
    register("cas-register", "the same"),
    object(
        "multi-register",
        "transactions of reads and writes on one group of registers a key",
        objects_of::<multi_register::Words>,
    ),
    object("kv", "get, put and append on a text a key", objects_of::<kv::Words>),
    object("mutex", "acquire and release of a lock", objects_of::<mutex::Words>),
    object(
        "fenced-mutex",
        "acquire and release of a lock whose holders get rising tokens",
        objects_of::<fenced::Words>,
    ),
    object("set", "add and read of a set that only grows", objects_of::<set::Words>),
    object("counter", "add and read of a counter", objects_of::<counter::Words>),
    object("queue", "enqueue and dequeue in any order", objects_of::<container::Words<Unordered>>),
    object(
        "fifo-queue",
        "enqueue and dequeue, first in, first out",
        objects_of::<container::Words<Fifo>>,
    ),
    object("stack", "push and pop, last in, first out", objects_of::<container::Words<Lifo>>),
    object(
        "priority-queue",
        "insert and delete-min: the smallest comes out first",
        objects_of::<container::Words<SmallestFirst>>,
    ),
];

fn registers_of(settings: &Settings) -> Result<Box<dyn Subject>, OptionError> {
    Ok(Box::new(RegisterSubject::new(settings)?))
}

fn objects_of<V: Vocabulary<Model: Send> + 'static>(
    settings: &Settings,
) -> Result<Box<dyn Subject>, OptionError> {
    let found = || settings.initial.to_string();
    match ObjectsBuilder::<V>::new(settings.initial.clone()) {
        Ok(objects) => Ok(Box::new(objects)),
        Err(expected) => Err(OptionError { name: "init", expected, found: found() }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different_and_every_workload_has_a_subject() {
        let names: BTreeSet<_> = workloads().map(|workload| workload.name).collect();
        assert_eq!(names.len(), workloads().count());
        assert!(workloads().all(|workload| (workload.subject)(&Settings::default()).is_ok()));
        assert!(workload("nothing").is_none());
    }
}
