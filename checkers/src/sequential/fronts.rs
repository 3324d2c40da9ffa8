//! The general search: for any objects, is there one order of all operations that keeps each process' own?
//!
//! A configuration is how far each process has come, the state of each object, and which operations of unknown outcome took
//! effect. The search is depth first, the oldest operation first; a configuration with a choice that failed is remembered and never
//! entered again. What keeps it small:
//! * An operation that changes nothing takes its place as soon as the state allows it.
//! * So does the only operation that can come next on an object which no other process will touch; and where that is
//!   impossible, the configuration is a dead end.
//!
//! Limits: real time does not count here, so a process may run ahead of the others to its end, and the number of
//! configurations grows with the product of the processes' lengths. States are compared whole.

use std::collections::{HashMap, HashSet};

use crate::columns::WordMap;
use crate::linearizable::search::{Answer, Reached, STEPS_PER_LOOK, Watch};
use crate::objects::{Model, Next};

/// An operation on one of several objects.
#[derive(Debug)]
pub struct Entry<'a, O> {
    /// Index of the object.
    pub object: u32,
    /// What it did.
    pub op: &'a O,
    /// Position of its invocation.
    pub call: u32,
    /// Its process.
    pub process: u32,
    /// Whether its outcome is known; otherwise it may never happen, and nothing of its process must come after it.
    pub completed: bool,
}

/// What the search knows of an entry.
#[derive(Clone, Copy, Debug)]
struct Place {
    process: u32,
    /// How many completed entries of the process come before.
    place: u32,
    /// It is the last one of its process on its object.
    parting: bool,
    pure: bool,
}

/// Something that took effect.
#[derive(Clone, Copy, Debug)]
struct Move {
    entry: u32,
    /// The state of its object before.
    state: u32,
}

/// A choice point: moves made before, and what is left to try.
struct Frame {
    moves: usize,
    untried: Vec<(u32, u32)>,
}

/// A search over the fronts of processes.
pub struct Fronts<'a, M: Model> {
    models: &'a [&'a M],
    entries: &'a [Entry<'a, M::Op>],
    places: Vec<Place>,
    processes: Vec<Vec<u32>>,
    /// Entries of unknown outcome.
    maybe: Vec<u32>,
    completed: usize,
    front: Vec<u32>,
    happened: Vec<bool>,
    /// For each object the number of its state.
    state: Vec<u32>,
    /// For each object how many processes will touch it.
    users: Vec<u32>,
    states: Vec<States<M>>,
    moves: Vec<Move>,
    done: usize,
    frames: Vec<Frame>,
    failed: HashSet<Box<[u32]>>,
    bytes: usize,
    steps: u64,
    reached: Reached,
}

/// The states of an object, numbered.
struct States<M: Model> {
    numbers: HashMap<M::State, u32>,
    all: Vec<M::State>,
}

impl<'a, M: Model> Fronts<'a, M> {
    /// Prepares a search of `entries`, which are in order of invocation.
    pub fn new(models: &'a [&'a M], entries: &'a [Entry<'a, M::Op>]) -> Self {
        let states = models.iter().map(|model| {
            let first = model.initial();
            States { numbers: HashMap::from([(first.clone(), 0)]), all: vec![first] }
        });
        let mut fronts = Self {
            models,
            entries,
            places: Vec::with_capacity(entries.len()),
            processes: Vec::new(),
            maybe: Vec::new(),
            completed: 0,
            front: Vec::new(),
            happened: vec![false; entries.len()],
            state: vec![0; models.len()],
            users: vec![0; models.len()],
            states: states.collect(),
            moves: Vec::new(),
            done: 0,
            frames: Vec::new(),
            failed: HashSet::new(),
            bytes: 0,
            steps: 0,
            reached: Reached::default(),
        };
        fronts.arrange();
        fronts
    }

    fn arrange(&mut self) {
        let mut numbers: WordMap<u32, u32> = WordMap::default();
        let mut last: WordMap<u64, u32> = WordMap::default();
        for (id, entry) in self.entries.iter().enumerate() {
            let next = numbers.len() as u32;
            let process = *numbers.entry(entry.process).or_insert(next);
            if process == next {
                self.processes.push(Vec::new());
            }
            let own = &mut self.processes[process as usize];
            let pure = self.models[entry.object as usize].is_pure(entry.op);
            let place = own.len() as u32;
            self.places.push(Place { process, place, parting: true, pure });
            if !entry.completed {
                self.maybe.push(id as u32);
                self.users[entry.object as usize] += 1;
                continue;
            }
            own.push(id as u32);
            self.completed += 1;
            let pair = u64::from(process) << 32 | u64::from(entry.object);
            match last.insert(pair, id as u32) {
                Some(earlier) => self.places[earlier as usize].parting = false,
                None => self.users[entry.object as usize] += 1,
            }
        }
        self.front = vec![0; self.processes.len()];
    }

    /// Searches. [`Reached::step`] is how many completed operations found a place at most, and [`Reached::order`] the
    /// entries of that order.
    pub fn search(mut self, watch: &mut dyn Watch) -> (Answer, Reached) {
        loop {
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS_PER_LOOK)
                && let Some(stop) = watch.look(self.bytes, self.steps)
            {
                return (Answer::Stopped(stop), self.reached);
            }
            let open = self.advance();
            if self.done == self.completed {
                self.note();
                return (Answer::Legal, self.reached);
            }
            let goes_on = open && self.branch() || self.retreat();
            if !goes_on {
                return (Answer::Illegal, self.reached);
            }
        }
    }

    /// Places what needs no choice; false in a dead end.
    fn advance(&mut self) -> bool {
        let mut changed = true;
        while changed {
            changed = false;
            for process in 0..self.processes.len() {
                while let Some(id) = self.next_in(process) {
                    let place = self.places[id as usize];
                    let object = self.entries[id as usize].object as usize;
                    let alone = self.users[object] == 1;
                    if !place.pure && !alone {
                        break;
                    }
                    let next = self.outcomes(id);
                    match *next.as_slice() {
                        [] if alone => return false,
                        [state] => self.put(id, state),
                        _ => break,
                    }
                    changed = true;
                }
            }
        }
        true
    }

    fn next_in(&self, process: usize) -> Option<u32> {
        self.processes[process].get(self.front[process] as usize).copied()
    }

    /// The states that the entry can leave.
    fn outcomes(&mut self, id: u32) -> Vec<u32> {
        let entry = &self.entries[id as usize];
        let object = entry.object as usize;
        let now = self.state[object];
        let model = self.models[object];
        match model.step(&self.states[object].all[now as usize], entry.op) {
            Next::Impossible => Vec::new(),
            Next::Same => vec![now],
            Next::To(state) => vec![self.number(object, state)],
            Next::OneOf(states) => {
                states.into_iter().map(|state| self.number(object, state)).collect()
            }
        }
    }

    fn number(&mut self, object: usize, state: M::State) -> u32 {
        let states = &mut self.states[object];
        if let Some(number) = states.numbers.get(&state) {
            return *number;
        }
        let number = states.all.len() as u32;
        self.bytes += 2 * (size_of::<M::State>() + self.models[object].heap_bytes(&state)) + 24;
        states.all.push(state.clone());
        states.numbers.insert(state, number);
        number
    }

    fn put(&mut self, id: u32, state: u32) {
        let object = self.entries[id as usize].object as usize;
        let Place { process, parting, .. } = self.places[id as usize];
        self.moves.push(Move { entry: id, state: self.state[object] });
        self.state[object] = state;
        self.happened[id as usize] = true;
        self.users[object] -= u32::from(parting);
        if self.entries[id as usize].completed {
            self.front[process as usize] += 1;
            self.done += 1;
        }
    }

    fn undo_to(&mut self, moves: usize) {
        while self.moves.len() > moves {
            let Move { entry: id, state } = self.moves.pop().expect("there are more");
            let object = self.entries[id as usize].object as usize;
            let Place { process, parting, .. } = self.places[id as usize];
            self.state[object] = state;
            self.happened[id as usize] = false;
            self.users[object] += u32::from(parting);
            if self.entries[id as usize].completed {
                self.front[process as usize] -= 1;
                self.done -= 1;
            }
        }
    }

    /// Opens a choice point and takes its first way; false if there is none, or the configuration has failed before.
    fn branch(&mut self) -> bool {
        if !self.failed.insert(self.configuration()) {
            return false;
        }
        self.bytes += 4 * (self.front.len() + self.state.len()) + self.maybe.len() / 8 + 40;
        let mut next: Vec<u32> =
            (0..self.processes.len()).filter_map(|process| self.next_in(process)).collect();
        next.sort_unstable();
        let turn = |id: &u32| {
            let Place { process, place, .. } = self.places[*id as usize];
            !self.happened[*id as usize] && self.front[process as usize] >= place
        };
        let maybe: Vec<u32> = self.maybe.iter().copied().filter(turn).collect();
        let mut untried = Vec::new();
        for id in next.into_iter().chain(maybe) {
            let now = self.state[self.entries[id as usize].object as usize];
            for state in self.outcomes(id) {
                // What need not happen and changes nothing is left out.
                if self.entries[id as usize].completed || state != now {
                    untried.push((id, state));
                }
            }
        }
        untried.reverse();
        let Some((id, state)) = untried.pop() else { return false };
        self.frames.push(Frame { moves: self.moves.len(), untried });
        self.put(id, state);
        true
    }

    fn configuration(&self) -> Box<[u32]> {
        let mut words =
            Vec::with_capacity(self.front.len() + self.state.len() + self.maybe.len().div_ceil(32));
        words.extend_from_slice(&self.front);
        words.extend_from_slice(&self.state);
        for chunk in self.maybe.chunks(32) {
            let bits = chunk.iter().enumerate();
            words.push(
                bits.fold(0, |word, (bit, id)| {
                    word | u32::from(self.happened[*id as usize]) << bit
                }),
            );
        }
        words.into()
    }

    /// Goes back to the last choice point with a way left, and takes it; false if there is none.
    fn retreat(&mut self) -> bool {
        self.note();
        while let Some(frame) = self.frames.last_mut() {
            let (moves, next) = (frame.moves, frame.untried.pop());
            self.undo_to(moves);
            match next {
                Some((id, state)) => {
                    self.put(id, state);
                    return true;
                }
                None => drop(self.frames.pop()),
            }
        }
        false
    }

    fn note(&mut self) {
        if self.done > self.reached.step || self.reached.order.is_empty() {
            self.reached.step = self.done;
            self.reached.order.clear();
            self.reached.order.extend(self.moves.iter().map(|made| made.entry));
        }
    }
}
