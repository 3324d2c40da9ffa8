//! Containers whose values are all different, decided in near-linear time.
//!
//! Values that are put in once each make it known which operation took what which other had put in. What remains to
//! be found is an order, and each procedure here either finds that there is one by checking conditions, or takes values
//! away one at a time where it can be shown that the rest has an order only if the whole has ("decrease and conquer", after
//! Lee & Mathur, *Efficient decrease-and-conquer linearizability monitoring*, OOPSLA 2025; for queues the conditions
//! are those of Henzinger, Sezgin & Vafeiadis, *Aspect-oriented linearizability proofs*, CONCUR 2013).
//!
//! Terms: a *rank* numbers the events in order. A *gap* is a moment between events: gap `g` lies before the event
//! of rank `g`. A value is *certainly inside* in the gaps after its put returned and before its take was called.
//! A gap in which nothing is certainly inside is *open*: at any open gap the history can be cut in two, what
//! is over before it and what is not begun, and the container be empty in between.
//!
//! An operation whose outcome is unknown: a put whose value nobody took is left out, for it need not have taken effect;
//! one whose value was taken returns at the end of time. A take whose outcome is unknown may have taken any value that
//! nobody else did. So if there is an order without these takes, or with a guess at what they took ([`unknown`]), there is
//! one; if there is none even of the values that are known to have been taken, there is none at all; otherwise the general
//! search must decide.

pub mod bag;
pub mod cover;
pub mod priority;
pub mod queue;
pub mod stack;
pub mod unknown;

use unknown::Deadlines;

use super::model::{Operation, Shortcut, Witness};
use super::models::container::ContainerOp;

const NONE: u32 = u32::MAX;

/// Ranks of what happened to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The put's call.
    pub put_call: u32,
    /// The put's return, [`Unique::end`] if it is unknown.
    pub put_ret: u32,
    /// The take's call, [`Unique::end`] if nobody took it.
    pub take_call: u32,
    /// The take's return, [`Unique::end`] if nobody took it.
    pub take_ret: u32,
    /// The value's id.
    pub value: u32,
}

impl Life {
    /// The gaps in which the value is certainly inside, from and to; none if `from > to`.
    #[must_use]
    pub const fn inside(&self) -> (u32, u32) {
        (self.put_ret + 1, self.take_call)
    }
}

/// A take that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty {
    /// Rank of its call.
    pub call: u32,
    /// Rank of its return.
    pub ret: u32,
    /// Its row.
    pub row: u32,
}

/// A container's history in which every value was put in once, and taken out at most once, and not before.
#[derive(Clone, Debug, Default)]
pub struct Unique {
    /// The values, in order of their ids.
    pub lives: Vec<Life>,
    /// Takes that found nothing.
    pub empties: Vec<Empty>,
    /// The rank after all events.
    pub end: u32,
}

/// What cannot be ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Indices of lives.
    pub lives: Vec<u32>,
    /// Rows of takes that found nothing.
    pub empties: Vec<u32>,
    /// Why.
    pub because: Because,
}

/// Why something cannot be ordered, if there is a short way to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The second of two values overtook the first.
    Overtaken,
    /// One found nothing, while values were certainly inside, one after the other.
    NeverEmpty,
    /// The last value came out, while smaller ones were certainly inside, one after the other.
    NotSmallest,
    /// Of these values none can have been at the bottom.
    NoBottom,
}

impl Conflict {
    /// The argument in a sentence.
    fn words(&self, unique: &Unique, describe: &impl Fn(&ContainerOp) -> String) -> Option<String> {
        let life = |at: usize| &unique.lives[self.lives[at] as usize];
        let put = |at: usize| describe(&ContainerOp::Put(life(at).value));
        let take = |at: usize| describe(&ContainerOp::Take(life(at).value));
        let others = if self.lives.len() > 2 { ", and after it others like it," } else { "" };
        match self.because {
            Because::Overtaken if life(0).take_call == unique.end => Some(format!(
                "`{}` had completed before `{}` began, and yet `{}` happened and `{}` never did.",
                put(0),
                put(1),
                take(1),
                take(0)
            )),
            Because::Overtaken => Some(format!(
                "`{}` had completed before `{}` began, and yet `{}` had completed before `{}` began.",
                put(0),
                put(1),
                take(1),
                take(0)
            )),
            Because::NeverEmpty => Some(format!(
                "All the while that one looked and found nothing there was something: what `{}` had put in{} was still \
                 inside.",
                put(0),
                if self.lives.len() > 1 { ", and after it others," } else { "" },
            )),
            Because::NotSmallest => Some(format!(
                "All the while that `{}` could have happened there was something smaller: what `{}` had put in{others} was \
                 still inside.",
                take(self.lives.len() - 1),
                put(0),
            )),
            Because::NoBottom => None,
        }
    }
}

/// Decides a container's history by `decide`, if its values are unique.
pub fn shortcut(
    ops: &[Operation<ContainerOp>],
    values: usize,
    decide: impl Fn(&Unique) -> Result<(), Conflict>,
    deadlines: impl Fn(&Unique) -> Deadlines,
    describe: impl Fn(&ContainerOp) -> String,
) -> Shortcut {
    let mut rows = match Rows::new(ops, values) {
        Ok(Some(rows)) => rows,
        Ok(None) => return Shortcut::NotApplicable,
        Err(value) => return Shortcut::Illegal(conflict_of_one(ops, value, &describe)),
    };
    let ranks = Ranks::new(ops);
    let mut unique = rows.unique(ops, &ranks);
    // From here on these are ranks.
    rows.unknown_takes.iter_mut().for_each(|call| *call = ranks.of(*call));
    let refused = match decide(&unique) {
        Ok(()) => return Shortcut::Legal,
        Err(conflict) if rows.unknown_takes.is_empty() => conflict,
        Err(_) => {
            let guess = unknown::assign(&unique, &rows.unknown_takes, &deadlines(&unique));
            if guess.is_some_and(|guess| decide(&guess).is_ok()) {
                return Shortcut::Legal;
            }
            let end = unique.end;
            unique.lives.retain(|life| life.take_call != end);
            match decide(&unique) {
                Ok(()) => return Shortcut::NotApplicable,
                Err(conflict) => conflict,
            }
        }
    };
    let mut groups: Vec<u64> =
        refused.lives.iter().map(|at| u64::from(unique.lives[*at as usize].value)).collect();
    groups.sort_unstable();
    let words = refused.words(&unique, &describe).into_iter().collect();
    let mut shown = refused.empties;
    for group in &groups {
        let value = *group as usize;
        shown.extend([rows.put[value], rows.take[value]].iter().filter(|row| **row != NONE));
    }
    shown.sort_unstable();
    Shortcut::Illegal(Witness { rows: shown, groups, words })
}

/// Which rows put and took each value.
struct Rows {
    put: Vec<u32>,
    take: Vec<u32>,
    /// When takes of unknown outcome were called, in order.
    unknown_takes: Vec<u32>,
}

impl Rows {
    /// None if a value was put in more than once; an error names a value that was taken more often than it was put in,
    /// or before it was.
    fn new(ops: &[Operation<ContainerOp>], values: usize) -> Result<Option<Self>, u32> {
        let mut rows =
            Self { put: vec![NONE; values], take: vec![NONE; values], unknown_takes: Vec::new() };
        let mut unique = true;
        let mut taken_twice = Vec::new();
        for (row, operation) in ops.iter().enumerate() {
            let (list, value) = match operation.op {
                ContainerOp::Put(value) => (&mut rows.put, value),
                ContainerOp::Take(value) => (&mut rows.take, value),
                ContainerOp::TakeNone => continue,
                ContainerOp::TakeUnknown => {
                    rows.unknown_takes.push(operation.call);
                    continue;
                }
            };
            if std::mem::replace(&mut list[value as usize], row as u32) == NONE {
                continue;
            }
            if matches!(operation.op, ContainerOp::Put(_)) {
                unique = false;
            } else {
                taken_twice.push(value);
            }
        }
        if !unique {
            return Ok(None);
        }
        if let Some(value) = taken_twice.first() {
            return Err(*value);
        }
        for (value, (put, take)) in rows.put.iter().zip(&rows.take).enumerate() {
            let taken = *take != NONE;
            if taken && (*put == NONE || ops[*take as usize].ret < ops[*put as usize].call) {
                return Err(value as u32);
            }
        }
        Ok(Some(rows))
    }

    fn unique(&self, ops: &[Operation<ContainerOp>], ranks: &Ranks) -> Unique {
        let end = ranks.end;
        let mut lives = Vec::with_capacity(self.put.len());
        for (value, (put, take)) in self.put.iter().zip(&self.take).enumerate() {
            if *put == NONE || *take == NONE && !ops[*put as usize].completed() {
                continue;
            }
            let put = &ops[*put as usize];
            let (take_call, take_ret) = if *take == NONE {
                (end, end)
            } else {
                let take = &ops[*take as usize];
                (ranks.of(take.call), ranks.of(take.ret))
            };
            lives.push(Life {
                put_call: ranks.of(put.call),
                put_ret: ranks.of(put.ret),
                take_call,
                take_ret,
                value: value as u32,
            });
        }
        let empties = ops.iter().enumerate().filter(|(_, op)| op.op == ContainerOp::TakeNone);
        let empties = empties.map(|(row, op)| Empty {
            call: ranks.of(op.call),
            ret: ranks.of(op.ret),
            row: row as u32,
        });
        Unique { lives, empties: empties.collect(), end }
    }
}

/// A value that was taken more often than it was put in, or before it was.
fn conflict_of_one(
    ops: &[Operation<ContainerOp>],
    value: u32,
    describe: &impl Fn(&ContainerOp) -> String,
) -> Witness {
    let (put, take) = (ContainerOp::Put(value), ContainerOp::Take(value));
    let about = |row: &u32| [put, take].contains(&ops[*row as usize].op);
    let rows: Vec<u32> = (0..ops.len() as u32).filter(about).collect();
    let takes = rows.iter().filter(|row| ops[**row as usize].op == take).count();
    let (put, take) = (describe(&put), describe(&take));
    let words = if rows.len() == takes {
        format!("`{take}` happened, but there was no `{put}`.")
    } else if takes > 1 {
        format!("`{take}` happened {takes} times, but there was only one `{put}`.")
    } else {
        format!("`{take}` had completed when `{put}` began.")
    };
    Witness { rows, groups: vec![u64::from(value)], words: vec![words] }
}

/// From positions in the whole history to ranks among the events of one object.
struct Ranks {
    positions: Vec<u32>,
    /// Where positions lie densely: the rank of each from the first on.
    dense: Vec<u32>,
    first: u32,
    end: u32,
}

/// Positions are looked up in an array if there are at most this many of them for each event.
const SPARSE_MAX: usize = 8;

impl Ranks {
    fn new<O>(ops: &[Operation<O>]) -> Self {
        let first = ops.first().map_or(0, |op| op.call);
        let last = ops.iter().map(|op| if op.completed() { op.ret } else { op.call }).max();
        let span = last.map_or(0, |last| (last - first) as usize + 1);
        if span > ops.len() * 2 * SPARSE_MAX {
            let ends = ops.iter().filter(|op| op.completed()).map(|op| op.ret);
            let mut positions: Vec<u32> = ops.iter().map(|op| op.call).chain(ends).collect();
            positions.sort_unstable();
            let end = positions.len() as u32;
            return Self { positions, dense: Vec::new(), first, end };
        }
        let mut dense = vec![0; span];
        for op in ops {
            dense[(op.call - first) as usize] = 1;
            if op.completed() {
                dense[(op.ret - first) as usize] = 1;
            }
        }
        let mut end = 0;
        for slot in &mut dense {
            end += std::mem::replace(slot, end);
        }
        Self { positions: Vec::new(), dense, first, end }
    }

    fn of(&self, position: u32) -> u32 {
        if position == crate::columns::NEVER {
            self.end
        } else if self.dense.is_empty() {
            self.positions.partition_point(|other| *other < position) as u32
        } else {
            self.dense[(position - self.first) as usize]
        }
    }
}
