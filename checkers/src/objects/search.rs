//! The general search: is there an order?
//!
//! Just-in-time linearization as for registers (see [`crate::linearizable`]), for any [`Model`]: only when an
//! operation returns that has not taken effect yet does the search choose what takes effect before that moment. A
//! configuration is the place in the history, the object's state, and the set of *pending* operations that took effect;
//! it is depth first, and a configuration that failed is never entered again.
//!
//! What keeps it small, each by an exchange argument on the orders that remain:
//! * A pure operation takes effect as soon as the state allows it.
//! * Of pending operations that are equal the one that returns first takes effect first, crashed ones last.
//! * Of configurations that differ only in the crashed operations used up, the minimal ones are kept.
//!
//! * A [`Guide`] that knows the type says early that a choice was wrong.
//!
//! Limits: the cost is exponential in the number of different operations pending together. Every state met is kept once;
//! a state should be small, or share what it has in common with the one before ([`super::persistent`]).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};

use super::model::{Guide, Model, Next, Operation, Taken};
use crate::columns::{WordHasher, WordMap};
use crate::linearizable::cache::{Dead, Place};
use crate::linearizable::search::{Answer, Reached, STEPS_PER_LOOK, Watch};
use crate::linearizable::slots::SlotSet;

const NONE: u32 = u32::MAX;

/// An operation as the search sees it.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// Equal operations have the same.
    class: u32,
    /// Where its bit lives while it is pending.
    slot: u32,
    /// Position of its return, `u32::MAX` if crashed.
    ret: u32,
    pure: bool,
}

/// A step along the history, with the row of its operation.
#[derive(Clone, Copy, Debug)]
enum Step {
    Call(u32),
    Return(u32),
}

/// A history, ready to be searched.
pub struct Problem<'a, M: Model> {
    model: &'a M,
    ops: &'a [Operation<M::Op>],
    items: Vec<Item>,
    steps: Vec<Step>,
    slots: usize,
    guide: Option<Box<dyn Guide<M::State> + 'a>>,
}

/// What is pending where a search could not go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Burst {
    /// Completed operations that were placed before.
    pub returned: usize,
    /// Rows that are pending.
    pub pending: Vec<u32>,
}

impl<'a, M: Model> Problem<'a, M> {
    /// Prepares `ops`, which are in order of invocation.
    pub fn new(model: &'a M, ops: &'a [Operation<M::Op>]) -> Self {
        let mut classes: HashMap<&M::Op, u32> = HashMap::new();
        let mut items = Vec::with_capacity(ops.len());
        let mut keyed: Vec<(u32, Step)> = Vec::with_capacity(ops.len() * 2);
        for (row, operation) in ops.iter().enumerate() {
            let next = classes.len() as u32;
            let class = *classes.entry(&operation.op).or_insert(next);
            let pure = model.is_pure(&operation.op);
            items.push(Item { class, slot: 0, ret: operation.ret, pure });
            if !operation.completed() && pure {
                continue;
            }
            keyed.push((operation.call, Step::Call(row as u32)));
            if operation.completed() {
                keyed.push((operation.ret, Step::Return(row as u32)));
            }
        }
        keyed.sort_unstable_by_key(|(at, _)| *at);
        let steps: Vec<Step> = keyed.into_iter().map(|(_, step)| step).collect();
        let slots = assign_slots(&mut items, &steps);
        Self { model, ops, items, steps, slots, guide: model.guide(ops) }
    }

    /// What is pending before the step at which a search got stuck.
    pub fn burst(&self, reached: &Reached) -> Burst {
        let mut burst = Burst::default();
        for step in &self.steps[..reached.step] {
            match *step {
                Step::Call(row) => burst.pending.push(row),
                Step::Return(row) => {
                    burst.pending.retain(|other| *other != row);
                    burst.returned += 1;
                }
            }
        }
        burst
    }

    /// Position of the return that the search could not pass, if it stopped at one.
    pub fn stuck_ret(&self, reached: &Reached) -> Option<u32> {
        match self.steps.get(reached.step) {
            Some(Step::Return(row)) => Some(self.items[*row as usize].ret),
            _ => None,
        }
    }

    /// Searches. With `record`, [`Reached::order`] is filled, which only small problems can afford.
    pub fn search(&self, record: bool, watch: &mut dyn Watch) -> (Answer, Reached) {
        match self.slots {
            0..=64 => Search::<M, [u64; 1]>::new(self, record).run(watch),
            65..=128 => Search::<M, [u64; 2]>::new(self, record).run(watch),
            129..=512 => Search::<M, [u64; 8]>::new(self, record).run(watch),
            _ => Search::<M, Box<[u64]>>::new(self, record).run(watch),
        }
    }
}

/// Gives every operation a slot that no operation pending at the same time holds; returns how many there are.
fn assign_slots(items: &mut [Item], steps: &[Step]) -> usize {
    let mut free: Vec<u32> = Vec::new();
    let mut slots = 0;
    for step in steps {
        match *step {
            Step::Call(row) => {
                items[row as usize].slot = free.pop().unwrap_or_else(|| {
                    slots += 1;
                    slots - 1
                });
            }
            Step::Return(row) => free.push(items[row as usize].slot),
        }
    }
    slots as usize
}

/// Every state met, each once.
struct States<S> {
    states: Vec<S>,
    /// What the guide noted.
    notes: Vec<u32>,
    /// By hash, the newest state that has it; several tables, so that growing one never doubles the memory in use.
    heads: Vec<WordMap<u64, u32>>,
    /// The next older state with the same hash.
    older: Vec<u32>,
    bytes: usize,
}

/// How many tables of hashes there are.
const HEADS: usize = 64;

/// What a place in a table takes; the table keeps one in eight free.
const HEAD_BYTES: usize = (size_of::<(u64, u32)>() + 1) * 8 / 7;

impl<S: Eq + std::hash::Hash> States<S> {
    fn new() -> Self {
        let heads = vec![WordMap::default(); HEADS];
        Self { states: Vec::new(), notes: Vec::new(), heads, older: Vec::new(), bytes: 0 }
    }

    fn id(&mut self, state: S, note: u32, heap_bytes: impl FnOnce(&S) -> usize) -> u32 {
        let hash = BuildHasherDefault::<WordHasher>::default().hash_one((&state, note));
        let heads = &mut self.heads[(hash >> 32) as usize % HEADS];
        let head = heads.get(&hash).copied().unwrap_or(NONE);
        let mut at = head;
        while at != NONE {
            if self.notes[at as usize] == note && self.states[at as usize] == state {
                return at;
            }
            at = self.older[at as usize];
        }
        let id = self.states.len() as u32;
        let capacity = heads.capacity();
        heads.insert(hash, id);
        self.bytes += heap_bytes(&state) + (heads.capacity() - capacity) * HEAD_BYTES;
        self.states.push(state);
        self.notes.push(note);
        self.older.push(head);
        id
    }

    fn bytes(&self) -> usize {
        self.bytes
            + self.states.capacity() * size_of::<S>()
            + (self.older.capacity() + self.notes.capacity()) * size_of::<u32>()
    }
}

/// A choice: this operation takes effect, and leaves that state, [`NONE`] if that is yet to be found out.
#[derive(Clone, Copy)]
struct Choice {
    row: u32,
    state: u32,
}

/// A choice point: the configuration, and where its untried choices begin.
struct Frame<S> {
    at: u32,
    state: u32,
    done: S,
    choices: usize,
    trail: usize,
}

struct Search<'a, M: Model, S> {
    problem: &'a Problem<'a, M>,
    states: States<M::State>,
    /// The next step; it has not been applied to the sets below.
    at: usize,
    slot_row: Vec<u32>,
    pending: S,
    pure: S,
    crashed: S,
    frames: Vec<Frame<S>>,
    /// Untried choices of all frames, the best last.
    choices: Vec<Choice>,
    /// What took effect, in order.
    trail: Vec<u32>,
    dead: Dead<S>,
    /// Room for the rows that a guide is shown.
    live: Vec<u32>,
    steps: u64,
    record: bool,
    reached: Reached,
}

impl<'a, M: Model, S: SlotSet> Search<'a, M, S> {
    fn new(problem: &'a Problem<'a, M>, record: bool) -> Self {
        Self {
            problem,
            states: States::new(),
            at: 0,
            slot_row: vec![NONE; problem.slots],
            pending: S::with_room(problem.slots),
            pure: S::with_room(problem.slots),
            crashed: S::with_room(problem.slots),
            frames: Vec::new(),
            choices: Vec::new(),
            trail: Vec::new(),
            dead: Dead::new(),
            live: Vec::new(),
            steps: 0,
            record,
            reached: Reached::default(),
        }
    }

    fn run(mut self, watch: &mut dyn Watch) -> (Answer, Reached) {
        let mut state = self.intern(self.problem.model.initial(), 0);
        let mut done = S::with_room(self.problem.slots);
        loop {
            let ended = self.walk(state, &mut done);
            if ended {
                self.reached.order.clear();
            }
            self.note_reached();
            if ended {
                return (Answer::Legal, self.reached);
            }
            self.open(state, done);
            let Some(next) = self.advance() else { return (Answer::Illegal, self.reached) };
            (state, done) = next;
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS_PER_LOOK)
                && let Some(stop) = watch.look(self.bytes(), self.steps)
            {
                return (Answer::Stopped(stop), self.reached);
            }
        }
    }

    fn intern(&mut self, state: M::State, note: u32) -> u32 {
        let model = self.problem.model;
        self.states.id(state, note, |state| model.heap_bytes(state))
    }

    /// The choice of `row`, which leads to `next`, unless the guide says that this leads nowhere. An order that is recorded is
    /// to go on until something really cannot be placed.
    fn known(&mut self, before: u32, done: &S, row: u32, next: M::State) -> Option<Choice> {
        let problem = self.problem;
        let mut note = 0;
        if let Some(guide) = problem.guide.as_deref().filter(|_| !self.record) {
            let now = match problem.steps[self.at] {
                Step::Call(row) => problem.ops[row as usize].call,
                Step::Return(row) => problem.ops[row as usize].ret,
            };
            let live = self.pending.minus(done);
            self.live.clear();
            self.live.extend(live.iter().map(|slot| self.slot_row[slot as usize]));
            let before = self.states.notes[before as usize];
            note = guide.follow(&Taken { before, state: &next, row, now, live: &self.live })?;
        }
        let state = self.intern(next, note);
        Some(Choice { row, state })
    }

    fn bytes(&self) -> usize {
        self.dead.bytes()
            + self.states.bytes()
            + self.problem.guide.as_ref().map_or(0, |guide| guide.bytes())
            + self.frames.capacity() * size_of::<Frame<S>>()
            + self.frames.first().map_or(0, |f| f.done.heap_bytes()) * self.frames.len()
            + self.choices.capacity() * size_of::<Choice>()
            + self.trail.capacity() * size_of::<u32>()
    }

    fn item(&self, row: u32) -> Item {
        self.problem.items[row as usize]
    }

    fn next(&self, state: u32, row: u32) -> Next<M::State> {
        let state = &self.states.states[state as usize];
        self.problem.model.step(state, &self.problem.ops[row as usize].op)
    }

    fn allows(&self, state: u32, row: u32) -> bool {
        self.next(state, row) != Next::Impossible
    }

    /// Passes events until one needs a choice; true if the history ended first.
    fn walk(&mut self, state: u32, done: &mut S) -> bool {
        while let Some(step) = self.problem.steps.get(self.at) {
            match *step {
                Step::Call(row) => {
                    self.enter(row);
                    let item = self.item(row);
                    if item.pure && self.allows(state, row) {
                        done.set(item.slot);
                        self.trail.push(row);
                    }
                }
                Step::Return(row) => {
                    let slot = self.item(row).slot;
                    if !done.has(slot) {
                        return false;
                    }
                    done.clear(slot);
                    self.leave(row);
                }
            }
            self.at += 1;
        }
        true
    }

    fn enter(&mut self, row: u32) {
        let item = self.item(row);
        self.slot_row[item.slot as usize] = row;
        self.pending.set(item.slot);
        if item.pure {
            self.pure.set(item.slot);
        }
        if item.ret == NONE {
            self.crashed.set(item.slot);
        }
    }

    fn leave(&mut self, row: u32) {
        let slot = self.item(row).slot;
        self.pending.clear(slot);
        self.pure.clear(slot);
        self.crashed.clear(slot);
    }

    /// Takes the events back until `at` is next.
    fn rewind(&mut self, at: usize) {
        while self.at > at {
            self.at -= 1;
            match self.problem.steps[self.at] {
                Step::Call(row) => self.leave(row),
                Step::Return(row) => self.enter(row),
            }
        }
    }

    /// Opens a choice point at the present event, which is the return of an operation without effect yet.
    fn open(&mut self, state: u32, done: S) {
        let choices = self.choices.len();
        let place = Place { at: self.at as u32, state };
        if !self.dead.contains(place, done.minus(&self.crashed), &done.and(&self.crashed)) {
            self.push_choices(&done);
        }
        let trail = self.trail.len();
        self.frames.push(Frame { at: self.at as u32, state, done, choices, trail });
    }

    /// The next configuration: the best untried choice of the newest choice point that has one.
    fn advance(&mut self) -> Option<(u32, S)> {
        loop {
            let at = self.frames.last()?.at as usize;
            self.rewind(at);
            let frame = self.frames.last()?;
            if self.choices.len() > frame.choices {
                let (mut done, before) = (frame.done.clone(), frame.state);
                self.trail.truncate(frame.trail);
                let choice = self.choices.pop()?;
                if let Some(choice) = self.resolve(before, &done, choice) {
                    self.place(&mut done, before, choice);
                    return Some((choice.state, done));
                }
                continue;
            }
            let Frame { at, state, done, .. } = self.frames.pop()?;
            let worse = done.and(&self.crashed);
            self.dead.insert(Place { at, state }, done.minus(&self.crashed), worse);
        }
    }

    /// Finds out what the choice leads to, if it is possible. Of several outcomes the last is chosen and the others are pushed.
    fn resolve(&mut self, before: u32, done: &S, choice: Choice) -> Option<Choice> {
        if choice.state != NONE {
            return Some(choice);
        }
        let row = choice.row;
        match self.next(before, row) {
            // A crashed operation that changes nothing need not take effect.
            Next::Same if self.item(row).ret == NONE => None,
            Next::Impossible => None,
            Next::Same => Some(Choice { row, state: before }),
            Next::To(next) => self.known(before, done, row, next),
            Next::OneOf(all) => {
                let all = all.into_iter().filter_map(|next| self.known(before, done, row, next));
                let all: Vec<Choice> = all.collect();
                self.choices.extend_from_slice(&all[..all.len().saturating_sub(1)]);
                all.last().copied()
            }
        }
    }

    /// Lets the choice take effect, and every pure operation that its state allows.
    fn place(&mut self, done: &mut S, before: u32, choice: Choice) {
        done.set(self.item(choice.row).slot);
        self.trail.push(choice.row);
        if choice.state == before {
            return;
        }
        for slot in self.pure.minus(done).iter() {
            let row = self.slot_row[slot as usize];
            if self.allows(choice.state, row) {
                done.set(slot);
                self.trail.push(row);
            }
        }
    }

    /// Pushes what may take effect now, the most promising last: the one that is due, then by order of return.
    fn push_choices(&mut self, done: &S) {
        let mut rows: Vec<(u32, u32, u32)> = self
            .pending
            .minus(done)
            .minus(&self.pure)
            .iter()
            .map(|slot| {
                let row = self.slot_row[slot as usize];
                let item = self.item(row);
                (item.class, item.ret, row)
            })
            .collect();
        rows.sort_unstable();
        rows.dedup_by_key(|(class, ..)| *class);
        rows.sort_unstable_by_key(|(_, ret, row)| std::cmp::Reverse((*ret, *row)));
        self.choices.extend(rows.into_iter().map(|(.., row)| Choice { row, state: NONE }));
    }

    fn note_reached(&mut self) {
        self.reached.step = self.at.max(self.reached.step);
        if self.record && self.trail.len() > self.reached.order.len() {
            self.reached.order.clone_from(&self.trail);
        }
    }
}
