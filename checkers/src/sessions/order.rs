//! All operations of a history in the order of each session, and which write each of them found.
//!
//! A *session* is what one process did, in its order. An operation whose outcome is unknown may take effect at any time
//! after it was called: it comes after what its process had done before, and before nothing, unless it is the process' last.
//! So a process is one *chain* of operations, and every operation of unknown outcome in the middle is a chain of its own that
//! hangs on its *parent*. One that nobody can have seen is left out: that it never happened is always possible, and
//! explains no less.
//!
//! A cas that succeeded reads and writes at one point: it is one operation that finds its `a` and leaves its `b`.

use crate::columns::{Function, INITIAL, RegisterKey, RegisterOp, Registers};

/// No operation.
pub const NONE: u32 = u32::MAX;
/// Found the initial value.
pub const INIT: u32 = u32::MAX - 1;
/// Found a value that several operations may have left: which one is not known.
pub const OPEN: u32 = u32::MAX - 2;
/// Found a value that nobody wrote.
pub const NOBODY: u32 = u32::MAX - 3;

/// For every operation whose value it found: an operation, [`INIT`], [`OPEN`] or [`NOBODY`]; [`NONE`] if it finds nothing.
pub type Sources = Vec<u32>;

/// Whether a source is an operation.
#[must_use]
pub const fn is_op(source: u32) -> bool {
    source < NOBODY
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of its register.
    pub key: u32,
    /// Its row there.
    pub row: u32,
    /// Its chain.
    pub chain: u32,
}

/// A run of operations, each before the next.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Its first operation; the others have the numbers that follow.
    pub start: u32,
    /// After its last operation.
    pub end: u32,
    /// Whose it is.
    pub process: u32,
    /// The operation of another chain that comes before the first one, or [`NONE`].
    pub parent: u32,
}

/// The operations of a history, numbered chain by chain.
pub struct Sessions<'a> {
    registers: &'a Registers,
    places: Vec<Place>,
    chains: Vec<Chain>,
    /// Operations by key: those of a key are `by_key[key_starts[key]..key_starts[key + 1]]`, in order of number.
    by_key: Vec<u32>,
    key_starts: Vec<u32>,
    /// The chains that hang on an operation, in order of the operation.
    children: Vec<(u32, u32)>,
    /// For each value of each key the operation that leaves it, [`NONE`], or [`OPEN`] if there are several.
    producers: Vec<u32>,
    value_starts: Vec<u32>,
}

impl<'a> Sessions<'a> {
    /// The sessions of all registers together.
    #[must_use]
    pub fn new(registers: &'a Registers) -> Self {
        let mut rows: Vec<(u64, u64)> = Vec::with_capacity(registers.op_count());
        for (key, register) in registers.keys.iter().enumerate() {
            let wanted = Wanted::of(register);
            for (row, op) in register.ops.iter().enumerate() {
                if op.completed() || op.produces().is_some_and(|value| wanted.is(value)) {
                    let order = u64::from(op.process) << 32 | u64::from(op.call);
                    rows.push((order, (key as u64) << 32 | row as u64));
                }
            }
        }
        rows.sort_unstable();
        let mut sessions = Self {
            registers,
            places: Vec::with_capacity(rows.len()),
            chains: Vec::new(),
            by_key: Vec::new(),
            key_starts: Vec::new(),
            children: Vec::new(),
            producers: Vec::new(),
            value_starts: Vec::new(),
        };
        for process in rows.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32) {
            sessions.add_process((process[0].0 >> 32) as u32, process);
        }
        let hung = sessions.chains.iter().enumerate().filter(|(_, chain)| chain.parent != NONE);
        sessions.children = hung.map(|(id, chain)| (chain.parent, id as u32)).collect();
        sessions.children.sort_unstable();
        sessions.sort_by_key();
        sessions.find_producers();
        sessions
    }

    fn add_process(&mut self, process: u32, rows: &[(u64, u64)]) {
        let place = |row: &(u64, u64), chain: usize| Place {
            key: (row.1 >> 32) as u32,
            row: row.1 as u32,
            chain: chain as u32,
        };
        let start = self.places.len() as u32;
        let main = self.chains.len();
        let mut hung: Vec<(u32, Place)> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let place = place(row, main);
            let known = self.registers.keys[place.key as usize].ops[place.row as usize].completed();
            if known || at + 1 == rows.len() {
                self.places.push(place);
            } else {
                let end = self.places.len() as u32;
                hung.push((if end == start { NONE } else { end - 1 }, place));
            }
        }
        let end = self.places.len() as u32;
        self.chains.push(Chain { start, end, process, parent: NONE });
        for (parent, place) in hung {
            let (start, chain) = (self.places.len() as u32, self.chains.len() as u32);
            self.places.push(Place { chain, ..place });
            self.chains.push(Chain { start, end: start + 1, process, parent });
        }
    }

    fn sort_by_key(&mut self) {
        let mut starts = vec![0; self.registers.keys.len() + 1];
        for place in &self.places {
            starts[place.key as usize + 1] += 1;
        }
        for key in 1..starts.len() {
            starts[key] += starts[key - 1];
        }
        let mut next = starts.clone();
        self.by_key = vec![0; self.places.len()];
        for (op, place) in self.places.iter().enumerate() {
            let at = &mut next[place.key as usize];
            self.by_key[*at as usize] = op as u32;
            *at += 1;
        }
        self.key_starts = starts;
    }

    fn find_producers(&mut self) {
        let mut values = 0;
        self.value_starts = Vec::with_capacity(self.registers.keys.len());
        for key in &self.registers.keys {
            self.value_starts.push(values);
            values += key.values.len() as u32;
        }
        self.producers = vec![NONE; values as usize];
        for op in 0..self.len() {
            if let Some(value) = self.row(op).produces() {
                let at = self.value_starts[self.key(op) as usize] + value;
                let producer = &mut self.producers[at as usize];
                *producer = if *producer == NONE { op } else { OPEN };
            }
        }
    }

    /// How many operations there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.places.len() as u32
    }

    /// All registers.
    #[must_use]
    pub const fn registers(&self) -> &'a Registers {
        self.registers
    }

    /// All chains.
    #[must_use]
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// Where an operation stands.
    #[must_use]
    pub fn place(&self, op: u32) -> Place {
        self.places[op as usize]
    }

    /// The chain of an operation.
    #[must_use]
    pub fn chain(&self, op: u32) -> u32 {
        self.places[op as usize].chain
    }

    /// The register of an operation.
    #[must_use]
    pub fn key(&self, op: u32) -> u32 {
        self.places[op as usize].key
    }

    /// The process of an operation.
    #[must_use]
    pub fn process(&self, op: u32) -> u32 {
        self.chains[self.chain(op) as usize].process
    }

    /// How many operations of its chain come before it.
    #[must_use]
    pub fn index(&self, op: u32) -> u32 {
        op - self.chains[self.chain(op) as usize].start
    }

    /// The operation that its session did just before it, or [`NONE`].
    #[must_use]
    pub fn pred(&self, op: u32) -> u32 {
        let chain = &self.chains[self.chain(op) as usize];
        if op == chain.start { chain.parent } else { op - 1 }
    }

    /// Whether both are of one session, the first before the second.
    #[must_use]
    pub fn in_order(&self, first: u32, second: u32) -> bool {
        let (a, b) = (self.chain(first), self.chain(second));
        if a == b {
            return first < second;
        }
        let parent = self.chains[b as usize].parent;
        parent != NONE && self.chain(parent) == a && first <= parent
    }

    /// The row of an operation.
    #[must_use]
    pub fn row(&self, op: u32) -> &'a RegisterOp {
        let Place { key, row, .. } = self.place(op);
        &self.registers.keys[key as usize].ops[row as usize]
    }

    /// Whether it leaves a value.
    #[must_use]
    pub fn writes(&self, op: u32) -> bool {
        self.row(op).produces().is_some()
    }

    /// The operations of a register, chain by chain.
    #[must_use]
    pub fn of_key(&self, key: u32) -> &[u32] {
        let key = key as usize;
        &self.by_key[self.key_starts[key] as usize..self.key_starts[key + 1] as usize]
    }

    /// The chains that hang on an operation.
    pub fn children(&self, op: u32) -> impl Iterator<Item = u32> {
        let from = self.children.partition_point(|(parent, _)| *parent < op);
        self.children[from..].iter().take_while(move |(p, _)| *p == op).map(|(_, chain)| *chain)
    }

    /// All chains with a parent.
    pub fn hung(&self) -> impl Iterator<Item = (u32, u32)> {
        self.children.iter().copied()
    }

    /// What session of the process ends with this chain: the operations of the chain that it hangs on, and its own.
    pub fn session(&self, chain: u32) -> impl DoubleEndedIterator<Item = u32> + Clone + use<> {
        let Chain { start, end, parent, .. } = self.chains[chain as usize];
        let before = if parent == NONE {
            0..0
        } else {
            self.chains[self.chain(parent) as usize].start..parent + 1
        };
        before.chain(start..end)
    }

    /// What is known at once of who found whose value.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let mut sources = vec![NONE; self.len() as usize];
        for op in 0..self.len() {
            if self.row(op).completed() {
                self.settle(&mut sources, op, self.source_of(op));
            }
        }
        sources
    }

    /// Says that `op` found what `source` left; an operation of unknown outcome that somebody found has happened, and so has
    /// found something itself.
    pub fn settle(&self, sources: &mut Sources, op: u32, source: u32) {
        let (mut op, mut source) = (op, source);
        loop {
            sources[op as usize] = source;
            if !is_op(source) || self.row(source).completed() || sources[source as usize] != NONE {
                return;
            }
            (op, source) = (source, self.source_of(source));
            if source == NONE {
                return;
            }
        }
    }

    /// The source that the found value names.
    fn source_of(&self, op: u32) -> u32 {
        let row = self.row(op);
        if row.f == Function::Miss {
            let changed = row.a != INITIAL || self.changed(self.key(op));
            return if changed { OPEN } else { NOBODY };
        }
        let Some(value) = row.consumes() else { return NONE };
        let producer = self.producers[(self.value_starts[self.key(op) as usize] + value) as usize];
        match (producer, value) {
            (NONE, INITIAL) => INIT,
            (_, INITIAL) => OPEN,
            (NONE, _) => NOBODY,
            (producer, _) if producer == op => NOBODY,
            (producer, _) => producer,
        }
    }

    /// Whether somebody writes another value than the initial one.
    fn changed(&self, key: u32) -> bool {
        let from = self.value_starts[key as usize] as usize;
        let values = self.registers.keys[key as usize].values.len();
        self.producers[from..from + values].iter().skip(1).any(|producer| *producer != NONE)
    }

    /// All sources that an [`OPEN`] operation may have, the likeliest first: those that were called last before it returned.
    #[must_use]
    pub fn candidates(&self, op: u32) -> Vec<u32> {
        let row = self.row(op);
        let fits = |value: u32| (value == row.a) != (row.f == Function::Miss);
        let ops = self.of_key(self.key(op)).iter().copied();
        let mut found: Vec<u32> =
            ops.filter(|o| *o != op && self.row(*o).produces().is_some_and(fits)).collect();
        let likely = |source: &u32| {
            let call = self.row(*source).call;
            (call < row.ret, if call < row.ret { call } else { u32::MAX - call })
        };
        found.sort_unstable_by_key(|source| std::cmp::Reverse(likely(source)));
        if fits(INITIAL) {
            let past = found.partition_point(|source| self.row(*source).call < row.ret);
            found.insert(past, INIT);
        }
        found
    }
}

/// The values that somebody may have found.
struct Wanted(Option<Vec<bool>>);

impl Wanted {
    fn of(key: &RegisterKey) -> Self {
        if key.ops.iter().all(RegisterOp::completed) {
            return Self(Some(Vec::new()));
        }
        if key.ops.iter().any(|op| op.f == Function::Miss) {
            return Self(None);
        }
        let mut wanted = vec![false; key.values.len()];
        let mut open: Vec<&RegisterOp> = Vec::new();
        for op in &key.ops {
            match op.consumes() {
                Some(value) if op.completed() => wanted[value as usize] = true,
                Some(_) => open.push(op),
                None => {}
            }
        }
        // A cas of unknown outcome that somebody found wants what it found itself. Chains of them end late.
        open.reverse();
        loop {
            let before = open.len();
            open.retain(|op| {
                let found = wanted[op.b as usize];
                if found {
                    wanted[op.a as usize] = true;
                }
                !found
            });
            if open.len() == before {
                return Self(Some(wanted));
            }
        }
    }

    fn is(&self, value: u32) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted.get(value as usize) == Some(&true))
    }
}
