//! What can be wrong with an element of a set, and how it is told.

use crate::columns::NEVER;
use crate::verdict::Evidence;
use crate::words::count;

use super::elements::{Double, Element, Elements, NONE};
use super::tell;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It was there, and is not.
    Lost,
    /// Only failed operations added it, and it is there.
    Aborted,
    /// Nobody had added it, and it is there.
    Unexpected,
    /// It is there several times.
    Duplicate,
    /// It was there, a read did not have it, and later ones do.
    Stale,
}

impl Fault {
    /// The anomaly's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Aborted => "aborted-read",
            Self::Unexpected => "unexpected",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
        }
    }

    /// That `n` elements have it.
    pub fn tell(self, n: usize) -> String {
        match self {
            Self::Lost => format!("{n} lost"),
            Self::Aborted => format!("{n} read although every add of it had failed"),
            Self::Unexpected => format!("{n} read that nobody had added"),
            Self::Duplicate => format!("{n} found twice in one read"),
            Self::Stale => format!("{n} missing from a read although known"),
        }
    }
}

/// Whether `read` found the element although nothing can have put it there.
pub fn phantom(row: &Element, elements: &Elements, read: u32) -> Option<Fault> {
    let read = elements.reads.get(read as usize)?;
    if row.source < read.span.ret {
        return None;
    }
    let failed = row.source == NEVER && row.attempted();
    let tried = |row: &Element| elements.adds[row.add as usize].call < read.span.ret;
    Some(if failed && tried(row) { Fault::Aborted } else { Fault::Unexpected })
}

/// The story of one element.
pub struct Tale<'a> {
    /// All elements and operations.
    pub elements: &'a Elements,
    id: u32,
}

impl<'a> Tale<'a> {
    /// Of this element.
    pub const fn new(id: u32, elements: &'a Elements) -> Self {
        Self { elements, id }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        self.elements.values[self.id as usize].to_string()
    }

    /// What a read returned, as far as it matters.
    pub fn read_label(&self, read: u32, with: bool) -> String {
        let len = self.elements.reads[read as usize].len as usize;
        let word = if with { "with" } else { "without" };
        format!("read -> {}, {word} {}", count(len, "element"), self.name())
    }

    /// It was read before anybody began to add it.
    pub fn unexpected(&self, read: u32) -> Evidence {
        let name = self.name();
        let span = self.elements.reads[read as usize].span;
        let row = &self.elements.rows[self.id as usize];
        let mut words = vec![format!(
            "Process {}'s read has {name}, and nobody had begun to add it.",
            span.process
        )];
        if row.add != NONE {
            let add = self.elements.adds[row.add as usize];
            words.push(format!(
                "The add by process {} began later, at event {}.",
                add.process, add.call
            ));
        }
        tell::evidence(vec![span.shown(self.read_label(read, true))], vec![span.call], true, words)
    }

    /// It was read, and all who tried to add it failed.
    pub fn aborted(&self, read: u32) -> Evidence {
        let name = self.name();
        let span = self.elements.reads[read as usize].span;
        let row = &self.elements.rows[self.id as usize];
        let add = self.elements.adds[row.add as usize];
        let words = vec![
            format!(
                "Process {}'s `add {name}` failed, which says that it did not happen; so did all others.",
                add.process
            ),
            format!("And yet process {}'s read has {name}.", span.process),
            "The read alone shows it; the add is shown for comparison.".into(),
        ];
        let ops =
            vec![add.shown(format!("add {name}, failed")), span.shown(self.read_label(read, true))];
        tell::evidence(ops, vec![span.call], false, words)
    }

    /// A read has it several times.
    pub fn duplicate(&self, double: Double) -> Evidence {
        let span = self.elements.reads[double.read as usize].span;
        let words = vec![format!(
            "Process {}'s read has {} {} times: a set has an element once.",
            span.process,
            self.name(),
            double.most
        )];
        let label = format!("{}, {} times", self.read_label(double.read, true), double.most);
        tell::evidence(vec![span.shown(label)], vec![span.call], true, words)
    }
}
