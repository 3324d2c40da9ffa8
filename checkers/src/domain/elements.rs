//! What was added to a set, and what reads of all of it returned.
//!
//! Of each element a few words are kept, of each read its interval; nothing grows with the product of the two. A read
//! mentions what it found, so what it did *not* find has to be inferred: reads are numbered as they complete, and an element
//! remembers how many there were when it was last found. Those in between lacked it, and the one among them that began last
//! is all that matters: a stack of reads, of which none began before a later one, answers that by a binary search.
//! The time is proportional to all that was added and found.

use keelhaul_history::{RawValue, Value};

use crate::columns::{NEVER, WordMap};
use crate::in_flight::Span;
use crate::interner::Interner;
use crate::objects::Misfit;

use super::calls::End;

/// No read.
pub const NONE: u32 = u32::MAX;

/// What is known of an element. Reads are named by their number in order of completion.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Completion of whatever first proved that it is there: its addition, or a read that found it.
    pub known_ns: u64,
    /// Index of that event; [`NEVER`] without any.
    pub known: u32,
    /// Index of the first return of an addition; [`NEVER`] if none was acknowledged.
    pub acked: u32,
    /// Index of the first call of an addition that did not fail; [`NEVER`] without any.
    pub source: u32,
    /// The addition to show, the first acknowledged one if there is any; [`NONE`] if it was never added.
    pub add: u32,
    /// The first read to find it that completed.
    pub first_seen: u32,
    /// The read to find it that began last.
    pub last_seen: u32,
    /// The read without it that began last.
    pub last_missed: u32,
    /// Reads that had completed when it was last looked at.
    looked: u32,
}

impl Element {
    /// Whether the last of all reads to complete, `last`, found it.
    pub const fn seen_by(&self, last: u32) -> bool {
        self.first_seen != NONE && self.looked == last + 1
    }

    /// Whether someone tried to add it.
    pub const fn attempted(&self) -> bool {
        self.add != NONE
    }
}

/// A read that completed.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// When.
    pub span: Span,
    /// How much it found.
    pub len: u32,
}

/// An element that a read found several times.
#[derive(Clone, Copy, Debug)]
pub struct Double {
    /// How often, at most.
    pub most: u32,
    /// In which read.
    pub read: u32,
    /// The last read that found it several times.
    pub last: u32,
    /// How often that one did.
    pub times: u32,
}

/// An operation in flight.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Element and number of the addition.
    Add(u32, u32),
    /// A read of all of it.
    Read,
}

/// Elements of a set, and what happened to it.
#[derive(Debug, Default)]
pub struct Elements {
    /// Elements in order of appearance.
    pub rows: Vec<Element>,
    /// What they are.
    pub values: Vec<Value>,
    interner: Interner,
    /// Ids of elements that are small numbers, as far as they came up: most reads find what they find in this order, and
    /// there is much of it.
    near: Vec<u32>,
    /// All additions in order of invocation.
    pub adds: Vec<Span>,
    /// Reads in order of completion.
    pub reads: Vec<Read>,
    /// Numbers of reads, rising, each of which began after all later ones.
    latest: Vec<u32>,
    /// Elements that were found more than once in a read.
    pub doubles: WordMap<u32, Double>,
}

impl Elements {
    /// An operation begins.
    ///
    /// # Errors
    /// If a set has none of that name.
    pub fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        match f {
            "read" => Ok(Call::Read),
            "add" => {
                let element = self.element(value);
                let number = self.adds.len() as u32;
                self.adds.push(*span);
                let row = &mut self.rows[element as usize];
                if row.add == NONE {
                    row.add = number;
                }
                Ok(Call::Add(element, number))
            }
            _ => Err(Misfit::Function),
        }
    }

    /// It ends.
    ///
    /// # Errors
    /// If a read returned no list.
    pub fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        match (call, end) {
            (Call::Read, End::Ok(value)) => self.read(span, value),
            (Call::Read, _) => Ok(()),
            (Call::Add(element, number), end) => {
                self.adds[number as usize] = *span;
                if end == End::Fail {
                    return Ok(());
                }
                let row = &mut self.rows[element as usize];
                row.source = row.source.min(span.call);
                if !span.completed() {
                    return Ok(());
                }
                if row.acked == NEVER {
                    (row.acked, row.add) = (span.ret, number);
                }
                if row.known == NEVER {
                    (row.known, row.known_ns) = (span.ret, span.end_ns);
                }
                Ok(())
            }
        }
    }

    /// Looks at every element once more, when no more reads come.
    pub fn close(&mut self) {
        for at in 0..self.rows.len() {
            self.miss(at);
        }
    }

    fn element(&mut self, value: RawValue<'_>) -> u32 {
        /// Numbers up to twice as large as there are elements, and some, are near.
        const NEAR_MIN: usize = 1024;
        let place = value.as_int().and_then(|n| usize::try_from(n).ok());
        let place = place.filter(|place| *place < 2 * self.rows.len() + NEAR_MIN);
        if let Some(id) = place.and_then(|place| self.near.get(place)).filter(|id| **id != NONE) {
            return *id;
        }
        let id = self.intern(value);
        if let Some(place) = place {
            if place >= self.near.len() {
                self.near.resize(place + 1, NONE);
            }
            self.near[place] = id;
        }
        id
    }

    fn intern(&mut self, value: RawValue<'_>) -> u32 {
        let id = self.interner.intern_raw(value, &mut self.values);
        if id as usize == self.rows.len() {
            self.rows.push(Element {
                known_ns: 0,
                known: NEVER,
                acked: NEVER,
                source: NEVER,
                add: NONE,
                first_seen: NONE,
                last_seen: NONE,
                last_missed: NONE,
                looked: self.reads.len() as u32,
            });
        }
        id
    }

    fn read(&mut self, span: &Span, value: RawValue<'_>) -> Result<(), Misfit> {
        let number = self.reads.len() as u32;
        let mut len = 0;
        for item in value.items().ok_or(Misfit::Value("the list of all elements"))? {
            let element = self.element(item);
            self.see(element, number, span);
            len += 1;
        }
        self.reads.push(Read { span: *span, len });
        while self.latest.pop_if(|read| self.reads[*read as usize].span.call < span.call).is_some()
        {
        }
        self.latest.push(number);
        Ok(())
    }

    fn see(&mut self, element: u32, read: u32, span: &Span) {
        let at = element as usize;
        if self.rows[at].looked > read {
            self.double(element, read);
            return;
        }
        self.miss(at);
        let last = self.rows[at].last_seen;
        let later = last == NONE || self.reads[last as usize].span.call < span.call;
        let row = &mut self.rows[at];
        row.looked = read + 1;
        if later {
            row.last_seen = read;
        }
        if row.first_seen == NONE {
            row.first_seen = read;
        }
        if row.known == NEVER {
            (row.known, row.known_ns) = (span.ret, span.end_ns);
        }
    }

    /// Takes note of the reads that completed since the element was last looked at.
    fn miss(&mut self, at: usize) {
        let Self { rows, reads, latest, .. } = self;
        let row = &mut rows[at];
        let from = latest.partition_point(|read| *read < row.looked);
        let Some(missed) = latest.get(from) else { return };
        let call = |read: u32| reads[read as usize].span.call;
        if row.last_missed == NONE || call(row.last_missed) < call(*missed) {
            row.last_missed = *missed;
        }
    }

    fn double(&mut self, element: u32, read: u32) {
        let fresh = Double { most: 0, read, last: read, times: 1 };
        let double = self.doubles.entry(element).or_insert(fresh);
        if double.last != read {
            (double.last, double.times) = (read, 1);
        }
        double.times += 1;
        if double.times > double.most {
            (double.most, double.read) = (double.times, read);
        }
    }
}
