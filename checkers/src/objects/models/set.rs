//! A set that only grows: `add x`, `read` which returns all of it.
//!
//! No search is ever needed. In a legal order the reads come by size, and each contains the one before; so an element
//! goes in between the last read without it and the first with it. That orders all operations in groups, and an order of
//! groups can be had if and only if nothing returned before something of an earlier group began. Adding an element
//! again changes nothing: of several additions the first call and the first return count.

use std::collections::BTreeSet;
use std::sync::Arc;

use keelhaul_history::{RawValue, Value};

use crate::columns::NEVER;
use crate::interner::Interner;
use crate::objects::model::{Model, Next, Operation, Shortcut, Witness};
use crate::objects::vocabulary::{Misfit, Vocabulary};

/// A set, empty at first; elements are ids.
#[derive(Clone, Debug, Default)]
pub struct GrowSet {
    elements: Vec<Value>,
}

impl GrowSet {
    /// A set of elements that these ids stand for.
    #[must_use]
    pub const fn new(elements: Vec<Value>) -> Self {
        Self { elements }
    }
}

/// An operation on a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetOp {
    /// Adds the element.
    Add(u32),
    /// Returned these, rising, if the outcome is known; nothing explains an element that is there twice.
    Read(Option<Arc<[u32]>>),
}

impl Model for GrowSet {
    /// The elements, rising.
    type State = Vec<u32>;
    type Op = SetOp;

    fn initial(&self) -> Vec<u32> {
        Vec::new()
    }

    fn step(&self, state: &Vec<u32>, op: &SetOp) -> Next<Vec<u32>> {
        match op {
            SetOp::Add(element) => match state.binary_search(element) {
                Ok(_) => Next::Same,
                Err(at) => {
                    let mut next = state.clone();
                    next.insert(at, *element);
                    Next::To(next)
                }
            },
            SetOp::Read(found) => {
                Next::same_if(found.as_ref().is_none_or(|found| **found == state[..]))
            }
        }
    }

    fn forget(&self, op: &SetOp) -> SetOp {
        match op {
            SetOp::Add(element) => SetOp::Add(*element),
            SetOp::Read(_) => SetOp::Read(None),
        }
    }

    fn is_pure(&self, op: &SetOp) -> bool {
        matches!(op, SetOp::Read(_))
    }

    fn group(&self, op: &SetOp) -> Option<u64> {
        match op {
            SetOp::Add(element) => Some(u64::from(*element)),
            SetOp::Read(_) => None,
        }
    }

    fn restrict(&self, op: &SetOp, groups: &BTreeSet<u64>) -> Option<SetOp> {
        let kept = |element: &u32| groups.contains(&u64::from(*element));
        match op {
            SetOp::Add(element) => kept(element).then_some(SetOp::Add(*element)),
            SetOp::Read(found) => {
                let found = found.as_ref();
                Some(SetOp::Read(found.map(|all| all.iter().copied().filter(kept).collect())))
            }
        }
    }

    fn heap_bytes(&self, state: &Vec<u32>) -> usize {
        state.len() * size_of::<u32>()
    }

    fn describe(&self, op: &SetOp) -> String {
        match op {
            SetOp::Add(element) => format!("add {}", self.elements[*element as usize]),
            SetOp::Read(None) => "read".into(),
            SetOp::Read(Some(found)) => {
                let shown = found.iter().take(SHOWN_MAX);
                let mut text: Vec<String> =
                    shown.map(|e| self.elements[*e as usize].to_string()).collect();
                if found.len() > SHOWN_MAX {
                    text.push(format!("… of {} elements", found.len()));
                }
                format!("read -> {{{}}}", text.join(", "))
            }
        }
    }

    fn shortcut(&self, ops: &[Operation<SetOp>]) -> Shortcut {
        let adds = Adds::new(ops, self.elements.len());
        match decide(ops, &adds) {
            Ok(()) => Shortcut::Legal,
            Err(conflict) => Shortcut::Illegal(conflict.witness(ops)),
        }
    }
}

/// Elements of a read that are shown.
const SHOWN_MAX: usize = 12;

/// A violation: reads, and the elements that matter.
struct Conflict {
    reads: Vec<u32>,
    elements: Vec<u32>,
    because: &'static str,
}

impl Conflict {
    fn witness(self, ops: &[Operation<SetOp>]) -> Witness {
        let mut rows = self.reads;
        for (row, operation) in ops.iter().enumerate() {
            if matches!(&operation.op, SetOp::Add(element) if self.elements.contains(element)) {
                rows.push(row as u32);
            }
        }
        rows.sort_unstable();
        let groups = self.elements.into_iter().map(u64::from).collect();
        Witness { rows, groups, words: vec![self.because.into()] }
    }
}

/// The first call and the first return among an element's additions; [`NEVER`] without any.
struct Adds {
    call: Vec<u32>,
    ret: Vec<u32>,
}

impl Adds {
    fn new(ops: &[Operation<SetOp>], elements: usize) -> Self {
        let mut adds = Self { call: vec![NEVER; elements], ret: vec![NEVER; elements] };
        for operation in ops {
            if let SetOp::Add(element) = operation.op {
                let at = element as usize;
                adds.call[at] = adds.call[at].min(operation.call);
                adds.ret[at] = adds.ret[at].min(operation.ret);
            }
        }
        adds
    }
}

/// Not in any read.
const UNREAD: u32 = u32::MAX;

fn decide(ops: &[Operation<SetOp>], adds: &Adds) -> Result<(), Conflict> {
    let mut reads: Vec<(&[u32], u32)> = Vec::new();
    for (row, operation) in ops.iter().enumerate() {
        if let SetOp::Read(Some(found)) = &operation.op {
            reads.push((found, row as u32));
        }
    }
    reads.sort_by_key(|(found, _)| found.len());
    let mut levels = Levels { first: vec![UNREAD; adds.call.len()], reads: Vec::new() };
    for (found, row) in reads {
        levels.push(found, row, adds)?;
    }
    levels.order(ops, adds)
}

/// Reads that returned the same form a level.
struct Levels<'a> {
    /// For each element the first level that has it.
    first: Vec<u32>,
    reads: Vec<(&'a [u32], Vec<u32>)>,
}

/// What the sweep has seen that began last.
#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Read(u32),
    Add(u32),
}

impl<'a> Levels<'a> {
    /// Adds a read, which is at least as large as all before; it must contain them.
    fn push(&mut self, found: &'a [u32], row: u32, adds: &Adds) -> Result<(), Conflict> {
        if let Some((last, rows)) = self.reads.last_mut()
            && *last == found
        {
            rows.push(row);
            return Ok(());
        }
        let conflict = |element: u32, because| {
            Err(Conflict { reads: vec![row], elements: vec![element], because })
        };
        if let Some(pair) = found.windows(2).find(|pair| pair[0] == pair[1]) {
            return conflict(pair[0], "A set has no element twice.");
        }
        let level = self.reads.len() as u32;
        let mut known = 0;
        for element in found {
            if adds.call[*element as usize] == NEVER {
                return conflict(*element, "Nobody ever added the element that was read.");
            }
            let first = &mut self.first[*element as usize];
            if *first == UNREAD {
                *first = level;
            } else {
                known += 1;
            }
        }
        if let Some((last, rows)) = self.reads.last()
            && known < last.len()
        {
            let missing = last.iter().find(|element| found.binary_search(element).is_err());
            let new = found.iter().find(|element| last.binary_search(element).is_err());
            return Err(Conflict {
                reads: vec![rows[0], row],
                elements: missing.into_iter().chain(new).copied().collect(),
                because: "Of two reads each lacks an element that the other has, but the set never shrinks.",
            });
        }
        self.reads.push((found, vec![row]));
        Ok(())
    }

    /// Walks through the groups in order: elements new in a level, then its reads; at last elements never read.
    fn order(&self, ops: &[Operation<SetOp>], adds: &Adds) -> Result<(), Conflict> {
        let mut new: Vec<Vec<u32>> = vec![Vec::new(); self.reads.len() + 1];
        for (element, first) in self.first.iter().enumerate() {
            // One that was never read matters only if its addition certainly happened.
            if *first != UNREAD || adds.ret[element] != NEVER {
                new[(*first as usize).min(self.reads.len())].push(element as u32);
            }
        }
        let (mut begun, mut last) = (0, Last::Nothing);
        for (level, elements) in new.iter().enumerate() {
            if let Some(late) = elements.iter().find(|e| adds.ret[**e as usize] < begun) {
                return Err(self.late_add(*late, last));
            }
            let latest = elements.iter().max_by_key(|e| adds.call[**e as usize]);
            if let Some(latest) = latest
                && adds.call[*latest as usize] > begun
            {
                (begun, last) = (adds.call[*latest as usize], Last::Add(*latest));
            }
            let Some((found, rows)) = self.reads.get(level) else { continue };
            if let Some(late) = rows.iter().find(|row| ops[**row as usize].ret < begun) {
                return Err(self.late_read(found, *late, last, ops));
            }
            let latest = rows.iter().max_by_key(|row| ops[**row as usize].call);
            if let Some(latest) = latest
                && ops[*latest as usize].call > begun
            {
                (begun, last) = (ops[*latest as usize].call, Last::Read(*latest));
            }
        }
        Ok(())
    }

    /// The element went in before what `last` says began, which belongs before it.
    fn late_add(&self, element: u32, last: Last) -> Conflict {
        match last {
            Last::Add(other) => {
                let level = self.first[other as usize] as usize;
                Conflict {
                    reads: vec![self.reads[level].1[0]],
                    elements: vec![element, other],
                    because: "One was added before the other, and yet a read found the other alone.",
                }
            }
            Last::Read(row) => Conflict {
                reads: vec![row],
                elements: vec![element],
                because: "The element had been added before the read began, and yet it was not found.",
            },
            Last::Nothing => unreachable!("nothing returns before the first event"),
        }
    }

    /// The read, which found `found`, ended before what `last` says began, which belongs before it.
    fn late_read(&self, found: &[u32], row: u32, last: Last, ops: &[Operation<SetOp>]) -> Conflict {
        match last {
            Last::Add(element) => Conflict {
                reads: vec![row],
                elements: vec![element],
                because: "The element was found before anybody began to add it.",
            },
            Last::Read(other) => {
                let SetOp::Read(Some(less)) = &ops[other as usize].op else {
                    unreachable!("it is a read that completed")
                };
                let lost = found.iter().find(|element| less.binary_search(element).is_err());
                Conflict {
                    reads: vec![row, other],
                    elements: lost.into_iter().copied().collect(),
                    because: "An element was found, and a read that began after that did not find it.",
                }
            }
            Last::Nothing => unreachable!("nothing returns before the first event"),
        }
    }
}

/// The words for a set.
#[derive(Debug, Default)]
pub struct Words {
    elements: Vec<Value>,
    interner: Interner,
}

impl Vocabulary for Words {
    type Model = GrowSet;
    const KNOWN: &'static str = "a set has add and read";

    fn invoke(&mut self, f: &str, value: RawValue<'_>) -> Result<SetOp, Misfit> {
        match f {
            "add" => {
                let element = crate::objects::vocabulary::atom(value);
                Ok(SetOp::Add(self.interner.intern(element, &mut self.elements)))
            }
            "read" => Ok(SetOp::Read(None)),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, op: SetOp, value: RawValue<'_>) -> Result<SetOp, Misfit> {
        let SetOp::Read(_) = op else { return Ok(op) };
        let value = value.to_value();
        let items = value.as_list().ok_or(Misfit::Value("a list of elements"))?;
        let mut found: Vec<u32> = Vec::with_capacity(items.len());
        for item in items {
            found.push(self.interner.intern(item.clone().into(), &mut self.elements));
        }
        found.sort_unstable();
        Ok(SetOp::Read(Some(found.into())))
    }

    fn finish(self, _ops: &mut [Operation<SetOp>]) -> GrowSet {
        GrowSet::new(self.elements)
    }
}
