//! Looks ahead for a first-in, first-out queue: as values go in, in which order can they come out?
//!
//! Values leave in the order in which they went in, so whenever one goes in it is known which comes out next after the one
//! before. A *schedule* lets the takes of the history happen to them in this order, each as early as it can. It is worth
//! nothing once it has come to a moment before which a take returned that it did not use: then some value should
//! have gone in earlier. Where values repeat, several takes may serve; a schedule uses one that has begun and returns
//! first, or waits for one that returns before it. All schedules that matter are kept, and when none is left, no legal order
//! goes on from there. Without this a wrong order of two values would come to light only when they come out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::container::ContainerOp;
use crate::columns::WordMap;
use crate::objects::model::{Guide, Operation, Taken};
use crate::objects::persistent::Chain;

/// Schedules that are kept side by side at most; with more of them the guide is silent from then on.
const SCHEDULES_MAX: usize = 16;

/// The note that says nothing.
const SILENT: u32 = u32::MAX;

/// The takes of a history, and what was found out so far.
#[derive(Debug)]
pub struct Leaving {
    /// Call and return, in order of calls.
    takes: Vec<(u32, u32)>,
    /// Indices of the takes of each value, rising.
    by_value: WordMap<u32, Vec<u32>>,
    /// What each row puts in, if it does.
    puts: Vec<Option<u32>>,
    notes: RefCell<Notes>,
}

/// Sets of schedules, each once; a note is an index.
#[derive(Debug, Default)]
struct Notes {
    sets: Vec<Rc<[Schedule]>>,
    ids: HashMap<Rc<[Schedule]>, u32>,
    bytes: usize,
}

/// Takes for all values that went in so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Schedule {
    /// It has come to the moment before the event at this position.
    now: u32,
    /// The first take that has not begun.
    next: u32,
    /// Takes that have begun and are not used.
    open: Vec<u32>,
}

impl Leaving {
    /// For a history whose takes all have outcomes; others could take anything.
    pub fn new(ops: &[Operation<ContainerOp>]) -> Option<Self> {
        let mut takes = Vec::new();
        let mut by_value: WordMap<u32, Vec<u32>> = WordMap::default();
        let mut puts = Vec::with_capacity(ops.len());
        for operation in ops {
            let mut put = None;
            match operation.op {
                ContainerOp::Put(value) => put = Some(value),
                ContainerOp::Take(value) => {
                    by_value.entry(value).or_default().push(takes.len() as u32);
                    takes.push((operation.call, operation.ret));
                }
                ContainerOp::TakeNone => {}
                ContainerOp::TakeUnknown => return None,
            }
            puts.push(put);
        }
        let notes = RefCell::default();
        let guide = Self { takes, by_value, puts, notes };
        guide.notes.borrow_mut().note(vec![Schedule::default()]);
        Some(guide)
    }

    /// Goes on to a later moment; false if a take returned before that was not used.
    fn wait(&self, schedule: &mut Schedule, now: u32) -> bool {
        schedule.now = schedule.now.max(now);
        while let Some((call, _)) = self.takes.get(schedule.next as usize)
            && *call < schedule.now
        {
            schedule.open.push(schedule.next);
            schedule.next += 1;
        }
        schedule.open.iter().all(|take| self.takes[*take as usize].1 >= schedule.now)
    }

    /// Pushes the schedules by which this value comes out after all those before it.
    fn serve(&self, schedule: &Schedule, value: u32, served: &mut Vec<Schedule>) {
        let all = self.by_value.get(&value).map_or(&[][..], Vec::as_slice);
        let ret = |take: u32| self.takes[take as usize].1;
        let open = schedule.open.iter().copied().filter(|take| all.binary_search(take).is_ok());
        let mut earliest = u32::MAX;
        if let Some(take) = open.min_by_key(|take| ret(*take)) {
            earliest = ret(take);
            let mut with = schedule.clone();
            with.open.retain(|other| *other != take);
            served.push(with);
        }
        let later = &all[all.partition_point(|take| *take < schedule.next)..];
        for take in later {
            let (call, ret) = self.takes[*take as usize];
            if call > earliest {
                break;
            }
            if ret < earliest {
                earliest = ret;
                let mut with = schedule.clone();
                let alive = self.wait(&mut with, call + 1);
                with.open.retain(|other| other != take);
                if alive {
                    served.push(with);
                }
            }
        }
        // What nobody takes stays, and so does everything after it.
        if earliest == u32::MAX
            && schedule.open.is_empty()
            && schedule.next as usize == self.takes.len()
        {
            served.push(schedule.clone());
        }
    }
}

impl Notes {
    fn note(&mut self, schedules: Vec<Schedule>) -> u32 {
        let schedules: Rc<[Schedule]> = schedules.into();
        if let Some(id) = self.ids.get(&schedules) {
            return *id;
        }
        let id = self.sets.len() as u32;
        let open: usize = schedules.iter().map(|schedule| schedule.open.capacity()).sum();
        self.bytes += 80 + schedules.len() * size_of::<Schedule>() + open * size_of::<u32>();
        self.sets.push(Rc::clone(&schedules));
        self.ids.insert(schedules, id);
        id
    }
}

impl Guide<Chain> for Leaving {
    fn follow(&self, taken: &Taken<'_, Chain>) -> Option<u32> {
        let Some(value) = self.puts[taken.row as usize] else { return Some(taken.before) };
        if taken.before == SILENT {
            return Some(SILENT);
        }
        let mut notes = self.notes.borrow_mut();
        let mut served = Vec::new();
        for schedule in notes.sets[taken.before as usize].iter() {
            let mut schedule = schedule.clone();
            if self.wait(&mut schedule, taken.now) {
                self.serve(&schedule, value, &mut served);
            }
        }
        served.sort_unstable();
        served.dedup();
        match served.len() {
            0 => None,
            1..=SCHEDULES_MAX => Some(notes.note(served)),
            _ => Some(SILENT),
        }
    }

    fn bytes(&self) -> usize {
        self.notes.borrow().bytes
    }
}
