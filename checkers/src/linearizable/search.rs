//! The general search: is there an order?
//!
//! Just-in-time linearization (Lowe, *Testing for linearizability*, 2017, on top of Wing & Gong 1993): the search
//! walks along the events, and only when an operation returns that has not taken effect yet does it choose what
//! takes effect before that moment: any order of pending operations that ends with the one that returns. A
//! configuration is the place in the history, the register's value and the set of *pending* operations that took
//! effect. The search is depth first; a configuration that failed is remembered and never entered again.
//!
//! What keeps it small, each by an exchange argument on the orders that remain:
//! * A pure operation (a read, or a cas that reported a mismatch) takes effect as soon as the value allows it.
//! * A crashed operation takes effect only if a pending operation needs the value it leaves; otherwise leaving it
//!   out changes nothing for anybody else. Twins (equal effect) are used in order of invocation.
//! * A write that takes effect hides what was pending then: a write that could have been hidden so needs no effect of
//!   its own when it returns. So a pending write, too, takes effect early only if a pending operation needs its value.
//! * A pending operation that needs a value which nobody can leave before it returns is a dead end.
//! * A value that somebody still needs and nobody can leave again is not overwritten.
//! * Of configurations that differ in the crashed operations used up, and in the writes that can still be hidden,
//!   only those are kept of which none is at least as good as the other.
//!
//! Deciding this is NP-complete in general (Gibbons & Korach 1997): the cost is exponential in the number of
//! operations pending together, never in the length of the history.

use super::cache::{Dead, Place};
use super::prepare::{Item, NONE, Problem, Step};
use super::slots::SlotSet;
use crate::budget::Exhausted;
use crate::columns::{Function, INITIAL};

/// How the search is watched.
pub trait Watch {
    /// Asked every [`STEPS_PER_LOOK`] steps, with the bytes held by the search and the steps made so far.
    fn look(&mut self, bytes: usize, steps: u64) -> Option<Stop>;
}

/// How many steps lie between two looks at the budget: some 100 µs.
pub const STEPS_PER_LOOK: u64 = 1024;

/// Why a search ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The caller's budget ended.
    Budget(Exhausted),
    /// This round's share of steps ended; the search may be tried again with more.
    Share,
    /// The answer is not needed any more.
    Cancelled,
}

/// How far a search came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Index of the furthest step reached; the search could not get past it if the history is illegal.
    pub step: usize,
    /// The longest order found, as rows; only recorded on demand.
    pub order: Vec<u32>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is an order.
    Legal,
    /// There is none.
    Illegal,
    /// Not decided.
    Stopped(Stop),
}

/// Searches `problem`. With `record`, [`Reached::order`] is filled, which only small problems can afford.
pub fn search(problem: &Problem, record: bool, watch: &mut dyn Watch) -> (Answer, Reached) {
    match problem.slots {
        0..=64 => Search::<[u64; 1]>::new(problem, record).run(watch),
        65..=128 => Search::<[u64; 2]>::new(problem, record).run(watch),
        129..=512 => Search::<[u64; 8]>::new(problem, record).run(watch),
        _ => Search::<Box<[u64]>>::new(problem, record).run(watch),
    }
}

/// As [`search`], with the set type of the widest problems.
#[cfg(test)]
pub fn search_wide(problem: &Problem, watch: &mut dyn Watch) -> (Answer, Reached) {
    Search::<Box<[u64]>>::new(problem, false).run(watch)
}

/// Marks a candidate that returns without an effect of its own, hidden by a write placed while it was pending.
const HIDDEN: u32 = 1 << 31;

/// What took effect so far, as far as it matters.
#[derive(Clone)]
struct Config<S> {
    state: u32,
    /// The step before which a write took effect last; what is pending since before can hide behind it. 0 if none.
    hider: u32,
    /// Pending operations that took effect.
    done: S,
}

/// A choice point: the configuration, and where its untried candidates begin.
struct Frame<S> {
    at: u32,
    config: Config<S>,
    candidates: usize,
    trail: usize,
}

struct Search<'a, S> {
    problem: &'a Problem,
    /// The next step; `problem.steps[at]` has not been applied to the sets below.
    at: usize,
    slot_op: Vec<u32>,
    pending: S,
    pure: S,
    crashed: S,
    frames: Vec<Frame<S>>,
    /// Untried candidates of all frames, the best last.
    candidates: Vec<u32>,
    /// What took effect, in order.
    trail: Vec<u32>,
    dead: Dead<S>,
    /// Marks values that a pending operation needs, by the step count at the time.
    wanted: Vec<u64>,
    /// Marks values that a pending operation leaves, likewise.
    supplied: Vec<u64>,
    steps: u64,
    record: bool,
    reached: Reached,
}

/// What walking along the events came to.
enum Walk {
    End,
    Choice,
}

impl<'a, S: SlotSet> Search<'a, S> {
    fn new(problem: &'a Problem, record: bool) -> Self {
        Self {
            problem,
            at: 0,
            slot_op: vec![NONE; problem.slots],
            pending: S::with_room(problem.slots),
            pure: S::with_room(problem.slots),
            crashed: S::with_room(problem.slots),
            frames: Vec::new(),
            candidates: Vec::new(),
            trail: Vec::new(),
            dead: Dead::new(),
            wanted: vec![0; problem.last_need.len()],
            supplied: vec![0; problem.last_need.len()],
            steps: 0,
            record,
            reached: Reached::default(),
        }
    }

    fn run(mut self, watch: &mut dyn Watch) -> (Answer, Reached) {
        let mut config =
            Config { state: INITIAL, hider: 0, done: S::with_room(self.problem.slots) };
        loop {
            if matches!(self.walk(config.state, &mut config.done), Walk::End) {
                // The order that works, though a failed one may have used up more crashed operations.
                self.reached.order.clear();
                self.note_reached();
                return (Answer::Legal, self.reached);
            }
            self.note_reached();
            self.open(config);
            match self.advance() {
                Some(next) => config = next,
                None => return (Answer::Illegal, self.reached),
            }
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS_PER_LOOK)
                && let Some(stop) = watch.look(self.bytes(), self.steps)
            {
                return (Answer::Stopped(stop), self.reached);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.dead.bytes()
            + self.frames.capacity() * size_of::<Frame<S>>()
            + self.frames.first().map_or(0, |f| f.config.done.heap_bytes()) * self.frames.len()
            + (self.candidates.capacity() + self.trail.capacity()) * size_of::<u32>()
    }

    /// Passes events until one needs a choice.
    fn walk(&mut self, state: u32, done: &mut S) -> Walk {
        while let Some(step) = self.problem.steps.get(self.at) {
            match *step {
                Step::Call(id) => {
                    self.enter(id);
                    let item = self.problem.item(id);
                    if legal_pure(item, state) {
                        done.set(item.slot);
                        self.trail.push(id);
                    }
                }
                Step::Return(id) => {
                    let slot = self.problem.item(id).slot;
                    if !done.has(slot) {
                        return Walk::Choice;
                    }
                    done.clear(slot);
                    self.leave(id);
                }
                Step::Expire(id) => {
                    done.clear(self.problem.item(id).slot);
                    self.leave(id);
                }
            }
            self.at += 1;
        }
        Walk::End
    }

    fn enter(&mut self, id: u32) {
        let item = self.problem.item(id);
        self.slot_op[item.slot as usize] = id;
        self.pending.set(item.slot);
        if item.produces().is_none() {
            self.pure.set(item.slot);
        }
        if item.crashed {
            self.crashed.set(item.slot);
        }
    }

    fn leave(&mut self, id: u32) {
        let slot = self.problem.item(id).slot;
        self.pending.clear(slot);
        self.pure.clear(slot);
        self.crashed.clear(slot);
    }

    /// Takes the events back until `at` is next.
    fn rewind(&mut self, at: usize) {
        while self.at > at {
            self.at -= 1;
            match self.problem.steps[self.at] {
                Step::Call(id) => self.leave(id),
                Step::Return(id) | Step::Expire(id) => self.enter(id),
            }
        }
    }

    /// Opens a choice point at the present event, which is the return of an operation without effect yet.
    fn open(&mut self, config: Config<S>) {
        let candidates = self.candidates.len();
        let (place, done, worse) = self.key(&config);
        if !self.dead.contains(place, done, &worse) {
            self.push_candidates(&config);
        }
        let trail = self.trail.len();
        self.frames.push(Frame { at: self.at as u32, config, candidates, trail });
    }

    /// A configuration at the present event as [`Dead`] wants it.
    fn key(&self, config: &Config<S>) -> (Place, S, S) {
        let mut worse = config.done.and(&self.crashed);
        for item in self.exposed(&config.done, config.hider) {
            worse.set(item.slot);
        }
        let place = Place { at: self.at as u32, state: config.state };
        (place, config.done.minus(&self.crashed), worse)
    }

    /// The next configuration: the best untried candidate of the newest choice point that has one.
    fn advance(&mut self) -> Option<Config<S>> {
        while let Some(frame) = self.frames.last() {
            let (at, trail) = (frame.at as usize, frame.trail);
            if self.candidates.len() > frame.candidates {
                let mut config = frame.config.clone();
                let choice = self.candidates.pop()?;
                self.rewind(at);
                self.trail.truncate(trail);
                if self.place(&mut config, choice) {
                    return Some(config);
                }
            } else {
                let frame = self.frames.pop()?;
                self.rewind(at);
                let (place, done, worse) = self.key(&frame.config);
                self.dead.insert(place, done, worse);
            }
        }
        None
    }

    /// Lets `choice` take effect, and every pure operation that its value allows; false if that leads nowhere.
    fn place(&mut self, config: &mut Config<S>, choice: u32) -> bool {
        let id = choice & !HIDDEN;
        let item = *self.problem.item(id);
        if choice != id {
            config.done.set(item.slot);
            return true;
        }
        if item.f == Function::Write && !self.record {
            config.hider = self.at as u32;
            if !self.problem.has_miss {
                self.hide_unneeded(&mut config.done, id);
            }
        }
        config.done.set(item.slot);
        self.trail.push(id);
        let before = config.state;
        config.state = item.produces().unwrap_or(before);
        if config.state == before {
            return true;
        }
        // An order that is recorded is to go on until something really cannot be placed.
        let (state, done) = (config.state, &mut config.done);
        if !self.record && self.is_needed(before, done) && !self.can_return(before, done) {
            return false;
        }
        for slot in self.pure.minus(done).iter() {
            let id = self.slot_op[slot as usize];
            if legal_pure(self.problem.item(id), state) {
                done.set(slot);
                self.trail.push(id);
            }
        }
        true
    }

    /// Pending writes that nobody can need any more take effect now: `choice` is about to overwrite them.
    fn hide_unneeded(&mut self, done: &mut S, choice: u32) {
        for slot in self.pending.minus(done).minus(&self.crashed).iter() {
            let id = self.slot_op[slot as usize];
            let item = self.problem.item(id);
            if id == choice || item.f != Function::Write {
                continue;
            }
            let taken = |id: u32| self.problem.item(id).consumes() == Some(item.a);
            let unneeded = (self.problem.last_take[item.a as usize] as usize) < self.at
                && !self.live(done).any(taken);
            if unneeded {
                done.set(slot);
                self.trail.push(id);
            }
        }
    }

    /// Pending operations without effect yet.
    fn live(&self, done: &S) -> impl Iterator<Item = u32> {
        let live = self.pending.minus(done);
        let mut from = 0;
        std::iter::from_fn(move || {
            let slot = live.next_from(from)?;
            from = slot + 1;
            Some(self.slot_op[slot as usize])
        })
    }

    /// Whether a completed operation without effect yet, or a later one, needs the value.
    fn is_needed(&self, value: u32, done: &S) -> bool {
        self.problem.last_need[value as usize] as usize > self.at
            || self.live(done).any(|id| {
                let item = self.problem.item(id);
                !item.crashed && item.consumes() == Some(value)
            })
    }

    /// Whether some operation could leave the value again.
    fn can_return(&self, value: u32, done: &S) -> bool {
        self.problem.last_supply[value as usize] as usize > self.at
            || self.live(done).any(|id| self.problem.item(id).produces() == Some(value))
    }

    /// Pushes what may take effect now, the most promising last.
    fn push_candidates(&mut self, config: &Config<S>) {
        let Step::Return(due) = self.problem.steps[self.at] else {
            unreachable!("choices arise at returns only");
        };
        let Config { state, hider, done } = config;
        let state = *state;
        let due_item = *self.problem.item(due);
        let needed = due_item.consumes().filter(|value| *value != state);
        let anything_wanted = self.mark(done);
        let stamp = self.steps + 1;
        if needed.is_some_and(|value| self.supplied[value as usize] != stamp)
            || !self.record && self.is_starved(state, done)
        {
            return;
        }
        let begin = self.candidates.len();
        for slot in self.pending.minus(done).minus(&self.pure).iter() {
            let id = self.slot_op[slot as usize];
            let item = *self.problem.item(id);
            let wanted = |value: u32| anything_wanted || self.wanted[value as usize] == stamp;
            let chosen = match item.f {
                _ if item.crashed => {
                    (item.f == Function::Write || item.a == state)
                        && self.is_useful(&item, config, anything_wanted)
                }
                Function::Write => id == due || self.record || wanted(item.a),
                _ => item.a == state,
            };
            if chosen {
                self.candidates.push(id);
            }
        }
        let problem = self.problem;
        self.candidates[begin..].sort_by_key(|id| {
            let item = problem.item(*id);
            let supplies = needed.is_some() && item.produces() == needed;
            (*id == due, supplies, !item.crashed)
        });
        if due_item.f == Function::Write && due_item.call_step < *hider {
            let keep = self.next_need(state) < self.next_need(due_item.a);
            let at = self.candidates.len() - usize::from(!keep);
            self.candidates.insert(at, due | HIDDEN);
        }
    }

    /// The next step at which a completed operation that needs the value begins.
    fn next_need(&self, value: u32) -> u32 {
        let calls = &self.problem.needs[value as usize];
        calls.get(calls.partition_point(|at| (*at as usize) < self.at)).copied().unwrap_or(u32::MAX)
    }

    /// Marks the values that a pending operation needs or leaves; true if one needs any value but some.
    fn mark(&mut self, done: &S) -> bool {
        let live = self.pending.minus(done);
        let stamp = self.steps + 1;
        let mut anything = false;
        for slot in live.iter() {
            let item = self.problem.item(self.slot_op[slot as usize]);
            match item.consumes() {
                Some(value) => self.wanted[value as usize] = stamp,
                None => anything |= item.f == Function::Miss,
            }
            if let Some(value) = item.produces() {
                self.supplied[value as usize] = stamp;
            }
        }
        anything
    }

    /// Whether some pending operation needs a value that nobody can leave any more before it returns.
    fn is_starved(&self, state: u32, done: &S) -> bool {
        let stamp = self.steps + 1;
        self.live(done).any(|id| {
            let item = self.problem.item(id);
            let missing = item.consumes().filter(|value| *value != state);
            missing.is_some_and(|value| {
                !item.crashed
                    && self.supplied[value as usize] != stamp
                    && (item.last_supply as usize) < self.at
            })
        })
    }

    /// Whether it can help that a crashed operation takes effect now.
    fn is_useful(&self, item: &Item, config: &Config<S>, anything_wanted: bool) -> bool {
        let Config { state, hider, done } = config;
        let twin_first = item.twin != NONE && !done.has(self.problem.item(item.twin).slot);
        let left = item.produces().unwrap_or(*state);
        let wanted = anything_wanted || self.wanted[left as usize] == self.steps + 1;
        // Even one that leaves the value as it is can hide others.
        !twin_first && wanted && (left != *state || self.exposed(done, *hider).next().is_some())
    }

    /// Completed writes without effect yet that nothing could have hidden so far.
    fn exposed(&self, done: &S, hider: u32) -> impl Iterator<Item = &'a Item> {
        let problem = self.problem;
        self.live(done).map(|id| problem.item(id)).filter(move |item| {
            item.f == Function::Write && !item.crashed && item.call_step >= hider
        })
    }

    fn note_reached(&mut self) {
        self.reached.step = self.at.max(self.reached.step);
        if self.record && self.trail.len() > self.reached.order.len() {
            self.reached.order = self.trail.iter().map(|id| self.problem.item(*id).row).collect();
        }
    }
}

/// Whether a pure operation is legal; false for any other.
fn legal_pure(item: &Item, state: u32) -> bool {
    match item.f {
        Function::Read => item.a == state,
        Function::Miss => item.a != state,
        Function::Write | Function::Cas => false,
    }
}
