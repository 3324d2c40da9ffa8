//! Who changes which groups keep the keys: the driver of [`kv::share`](crate::kv::share), which tells how a change goes and why that is safe.
//!
//! It is a state machine as the [coordinator](crate::coordinator) is, and keeps nothing that matters either: what it asks may be asked any
//! number of times, and another mover completes what this one leaves.
//!
//! Limits: it asks one group at a time, so what leaves is served by nobody for some steps a group, and one a page.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::Nanos;
use crate::coordinator::{Answer, Met, PAUSE};
use crate::kv::share::{Cell, Page, Placing, Standing};
use crate::kv::txns::{Step, TxnId};
use crate::kv::{Command, Key, Response};
use crate::placement::{GroupId, Placement, Ring};

/// What the mover is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// To begin.
    Begin,
    /// The answer to what it asked.
    Answer(Answer),
    /// The time it wanted to wait is over.
    Woken,
}

/// What the mover wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Have this group do this.
    Ask(GroupId, Command),
    /// Come back after so long.
    Wait(Nanos),
    /// The wish is fulfilled.
    Done(Moved),
}

/// What a change came to, as far as this mover copied it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Keys that there are.
    pub keys: u64,
    /// Keys that have another group now.
    pub moved: u64,
    /// Groups that keep keys, before and after.
    pub groups: (usize, usize),
}

impl Moved {
    /// How many keys would move if every group had the same share before and after: K/n for each that joins n − 1 or leaves n.
    #[must_use]
    pub fn ideal(&self) -> f64 {
        let (before, after) = self.groups;
        let (fewer, more) = (before.min(after), before.max(after));
        self.keys as f64 * (more - fewer) as f64 / more.max(1) as f64
    }
}

/// What it is about.
#[derive(Debug)]
enum State {
    /// The group at this place is to close.
    Close(usize),
    /// The group at this place is to tell what leaves.
    Export(usize, Option<Key>),
    /// What one has told is to be kept by the others.
    Import { source: usize, next: Option<Key>, parts: BTreeMap<GroupId, Vec<Cell>> },
    /// The group at this place is to open.
    Open(usize),
    /// A transaction that is in the way of closing the group at this place is to be over,
    Settle(TxnId, usize),
    /// and to be carried out there.
    Finish(TxnId, bool, usize),
}

/// A change under way.
#[derive(Debug)]
pub struct Mover {
    wish: BTreeSet<GroupId>,
    from: Placement,
    /// What this change leads to: the wish, or what another mover wished before.
    to: Placement,
    ring: Ring,
    /// All that are concerned, the witness first.
    groups: Vec<GroupId>,
    state: State,
    met: Option<Met>,
    moved: Moved,
}

impl Mover {
    /// One that lets these groups keep the keys, and knows this placement, the present one or an older.
    #[must_use]
    pub fn new(known: Placement, wish: BTreeSet<GroupId>) -> Self {
        let to = known.next(wish.clone());
        let mut mover = Self {
            wish,
            ring: to.ring(),
            from: known,
            to,
            groups: Vec::new(),
            state: State::Close(0),
            met: None,
            moved: Moved::default(),
        };
        mover.begin();
        mover
    }

    /// What to do next, after `input`.
    pub fn step(&mut self, now: Nanos, input: Input) -> Move {
        match input {
            Input::Begin | Input::Woken => self.ask(),
            Input::Answer(Answer::Response(response)) => self.answered(now, response),
            // Done or not: it is asked again.
            Input::Answer(Answer::Refused | Answer::Unknown) => Move::Wait(PAUSE),
        }
    }

    /// From the witness on, for what `to` says.
    fn begin(&mut self) {
        self.groups = union(&self.from, &self.to);
        self.ring = self.to.ring();
        self.state = State::Close(0);
        let counts = (self.from.groups.len(), self.to.groups.len());
        self.moved = Moved { groups: counts, ..Moved::default() };
    }

    fn ask(&self) -> Move {
        let place = |at: usize, placing| Move::Ask(self.groups[at], Command::Place(placing));
        let epoch = self.from.epoch;
        match &self.state {
            State::Close(at) => {
                let (own, from, to) = (self.groups[*at], self.from.clone(), self.to.groups.clone());
                place(*at, Placing::Close { own, from, to })
            }
            State::Export(at, after) => place(*at, Placing::Export { epoch, after: after.clone() }),
            State::Import { parts, .. } => {
                let (group, cells) = parts.first_key_value().expect("there is one to be asked");
                let cells = cells.clone();
                Move::Ask(*group, Command::Place(Placing::Import { epoch, cells }))
            }
            State::Open(at) => {
                let (own, placement) = (self.groups[*at], self.to.clone());
                place(*at, Placing::Open { own, placement })
            }
            State::Settle(txn, _) => {
                Move::Ask(txn.home, Command::Txn(Step::Decide { txn: *txn, commit: false }))
            }
            State::Finish(txn, commit, at) => {
                let finish = Step::Finish { txn: *txn, commit: *commit };
                Move::Ask(self.groups[*at], Command::Txn(finish))
            }
        }
    }

    fn answered(&mut self, now: Nanos, response: Response) -> Move {
        match (&self.state, response) {
            (State::Settle(txn, at), Response::Decided { commit }) => {
                self.state = State::Finish(*txn, commit, *at);
            }
            (State::Finish(_, _, at), Response::Finished) => self.state = State::Close(*at),
            (State::Export(at, _), Response::Exported(page)) => self.exported(*at, page),
            (_, Response::Placed(standing)) => return self.stands(now, standing),
            (state, response) => unreachable!("{response:?} is no answer in {state:?}"),
        }
        self.ask()
    }

    fn stands(&mut self, now: Nanos, standing: Standing) -> Move {
        let epoch = standing.placement.as_ref().map_or(0, |placement| placement.epoch);
        match (&mut self.state, standing) {
            (State::Open(at), _) => {
                *at += 1;
                if *at == self.groups.len() {
                    return self.opened();
                }
            }
            // Another mover got further: everything that it opened for is copied.
            (_, Standing { placement: Some(placement), .. }) if epoch > self.from.epoch => {
                self.groups = union(&self.from, &placement);
                self.to = placement;
                self.state = State::Open(0);
            }
            (State::Close(_), Standing { to: Some(to), .. }) if to != self.to.groups => {
                self.to = self.from.next(to);
                self.begin();
            }
            (State::Close(at), Standing { held_by: Some(txn), .. }) => {
                let met = Met::again(self.met, now, txn, self.groups[*at]);
                self.met = Some(met);
                if !met.is_overdue(now) {
                    return Move::Wait(PAUSE);
                }
                self.state = State::Settle(txn, *at);
            }
            (State::Close(at), _) => {
                let next = *at + 1;
                self.state = if next < self.groups.len() {
                    State::Close(next)
                } else {
                    State::Export(0, None)
                };
            }
            (State::Import { parts, .. }, _) => {
                parts.pop_first();
                self.imported();
            }
            // It has forgotten that it was closed. No group that keeps its promises does; others are not ours to trust.
            (State::Export(..), _) => self.begin(),
            (state, standing) => unreachable!("{standing:?} is no answer in {state:?}"),
        }
        self.ask()
    }

    fn exported(&mut self, source: usize, page: Page) {
        self.moved.keys += page.stay + page.cells.len() as u64;
        self.moved.moved += page.cells.len() as u64;
        let next = page.next;
        let mut parts: BTreeMap<GroupId, Vec<Cell>> = BTreeMap::new();
        for cell in page.cells {
            let group = self.ring.group(&cell.key).expect("somebody keeps the keys");
            parts.entry(group).or_default().push(cell);
        }
        self.state = State::Import { source, next, parts };
        self.imported();
    }

    /// Goes on if all parts of a page are where they will be.
    fn imported(&mut self) {
        let State::Import { source, next, parts } = &mut self.state else { return };
        if !parts.is_empty() {
            return;
        }
        self.state = match next.take() {
            Some(after) => State::Export(*source, Some(after)),
            None if *source + 1 < self.groups.len() => State::Export(*source + 1, None),
            None => State::Open(0),
        };
    }

    fn opened(&mut self) -> Move {
        if self.to.groups == self.wish {
            return Move::Done(self.moved);
        }
        self.from = self.to.clone();
        self.to = self.from.next(self.wish.clone());
        self.begin();
        self.ask()
    }
}

/// All groups of two placements, those of the first before the others.
fn union(from: &Placement, to: &Placement) -> Vec<GroupId> {
    let joining = to.groups.difference(&from.groups);
    from.groups.iter().chain(joining).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that lies must not end whoever tests it.
    #[test]
    fn a_group_that_forgets_that_it_is_closed_is_closed_again() {
        let only = |group| BTreeSet::from([GroupId(group)]);
        let placement = Placement::first(only(0));
        let mut mover = Mover::new(placement.clone(), only(1));
        let told = |to| {
            let (placement, held_by) = (Some(placement.clone()), None);
            let standing = Standing { placement, to, held_by };
            Input::Answer(Answer::Response(Response::Placed(standing)))
        };
        let first = mover.step(Nanos(0), Input::Begin);
        assert!(matches!(first, Move::Ask(GroupId(0), Command::Place(Placing::Close { .. }))));
        mover.step(Nanos(0), told(Some(only(1))));
        let next = mover.step(Nanos(0), told(Some(only(1))));
        assert!(matches!(next, Move::Ask(GroupId(0), Command::Place(Placing::Export { .. }))));
        assert_eq!(mover.step(Nanos(0), told(None)), first);
    }
}
