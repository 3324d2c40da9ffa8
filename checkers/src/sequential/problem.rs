//! What an order of a register history must respect, where it is plain which write each read found.
//!
//! A *version* is what one write or cas left at a key, or what the key held at first. A value that only one operation ever left is
//! *clear*: who found it found that version. Of a value that is not clear only the writing counts here: operations that found
//! it ask for nothing, which asks for less than the history does. So what has no order here has none at all; and an order
//! found here is one of the history unless something was left out ([`Problem::exact`]).
//!
//! A cas follows at once on the version that it found. So versions form *chains*: a write, then the cas that found it, and so
//! on. The chains of a key lie one after the other in any order.

use crate::columns::{Function, INITIAL, RegisterKey, RegisterOp, Registers, WordMap};

/// No item, no version.
pub const NONE: u32 = u32::MAX;

/// An operation that must have its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Position of its invocation.
    pub call: u32,
    /// The process, as a small number.
    pub process: u32,
    /// Index of the key.
    pub key: u32,
    /// Index of the row in its key's history.
    pub row: u32,
    /// The version that it found, or [`NONE`] if that does not matter.
    pub found: u32,
    /// The version that it left, or [`NONE`].
    pub left: u32,
    /// Its outcome is unknown: nothing of its process comes after it in the process' order.
    pub last: bool,
    /// How many items of its process come before it.
    pub place: u32,
}

impl Item {
    /// Whether it changes nothing.
    pub const fn is_read(&self) -> bool {
        self.left == NONE
    }
}

/// One chain is before another since a process met them in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Met {
    /// The later chain.
    pub after: u32,
    /// The earlier chain.
    pub before: u32,
    /// The item by which the process met the later chain.
    pub by: u32,
}

/// The items of a history, in order of invocation, and what binds them.
#[derive(Debug, Default)]
pub struct Problem {
    /// In order of invocation.
    pub items: Vec<Item>,
    /// For each process its items in order, without the one of unknown outcome.
    pub processes: Vec<Vec<u32>>,
    /// How many keys there are; version `k` is what key `k` holds at first.
    pub keys: usize,
    /// For each version the item that left it; [`NONE`] for what keys hold at first.
    pub producer: Vec<u32>,
    /// For each version the cas that found it, or [`NONE`].
    pub taker: Vec<u32>,
    /// For each version the first one of its chain, which stands for the chain.
    pub chain: Vec<u32>,
    /// Two cas that found the same version.
    pub rivals: Option<[u32; 2]>,
    /// Whether every result is accounted for.
    pub exact: bool,
    reader_starts: Vec<u32>,
    reader_items: Vec<u32>,
    met_starts: Vec<u32>,
    met: Vec<Met>,
}

impl Problem {
    /// What binds the operations of a history. Every value that was found must have been written by somebody.
    pub fn new(registers: &Registers) -> Self {
        let mut reader = KeyReader {
            items: Vec::with_capacity(registers.op_count()),
            versions: registers.keys.len() as u32,
            exact: true,
        };
        for (key, register) in registers.keys.iter().enumerate() {
            reader.read(key as u32, register);
        }
        let KeyReader { items, versions, exact } = reader;
        Self::assemble(items, registers.keys.len(), versions as usize, exact)
    }

    fn assemble(mut items: Vec<Item>, keys: usize, versions: usize, exact: bool) -> Self {
        items.sort_unstable_by_key(|item| item.call);
        let mut problem = Self {
            keys,
            exact,
            producer: vec![NONE; versions],
            taker: vec![NONE; versions],
            ..Self::default()
        };
        let mut processes: WordMap<u32, u32> = WordMap::default();
        let mut readers: Vec<(u32, u32)> = Vec::new();
        for (id, item) in items.iter_mut().enumerate() {
            let next = processes.len() as u32;
            item.process = *processes.entry(item.process).or_insert(next);
            if item.process == next {
                problem.processes.push(Vec::new());
            }
            let own = &mut problem.processes[item.process as usize];
            item.place = own.len() as u32;
            if !item.last {
                own.push(id as u32);
            }
            if item.is_read() {
                readers.push((item.found, id as u32));
                continue;
            }
            problem.producer[item.left as usize] = id as u32;
            if item.found != NONE {
                let taker = &mut problem.taker[item.found as usize];
                if *taker != NONE {
                    problem.rivals.get_or_insert([*taker, id as u32]);
                }
                *taker = id as u32;
            }
        }
        problem.items = items;
        problem.chain = problem.chains();
        (problem.reader_starts, problem.reader_items) =
            grouped(&readers, versions, |reader| *reader);
        let met = problem.meetings();
        (problem.met_starts, problem.met) = grouped(&met, versions, |met| (met.after, *met));
        problem
    }

    /// The reads of a version, in order of invocation.
    pub fn readers(&self, version: u32) -> &[u32] {
        let version = version as usize;
        let (from, to) = (self.reader_starts[version], self.reader_starts[version + 1]);
        &self.reader_items[from as usize..to as usize]
    }

    /// The chains that are known to be before this one.
    pub fn met_before(&self, chain: u32) -> &[Met] {
        let chain = chain as usize;
        let (from, to) = (self.met_starts[chain], self.met_starts[chain + 1]);
        &self.met[from as usize..to as usize]
    }

    /// Whether the chain begins with what its key held at first, and so comes before all others.
    pub const fn is_first(&self, chain: u32) -> bool {
        (chain as usize) < self.keys
    }

    /// The chain that the item belongs to.
    pub fn chain_of(&self, item: &Item) -> u32 {
        self.chain[if item.is_read() { item.found } else { item.left } as usize]
    }

    /// The items by which a process met the two chains, in its order.
    pub fn meeting(&self, met: &Met) -> [u32; 2] {
        let by = &self.items[met.by as usize];
        let own = &self.processes[by.process as usize];
        let earlier = own[..by.place as usize].iter().rev().copied();
        let mut of_chain =
            earlier.filter(|id| self.chain_of(&self.items[*id as usize]) == met.before);
        [of_chain.next().unwrap_or(met.by), met.by]
    }

    fn chains(&self) -> Vec<u32> {
        let mut chain = vec![NONE; self.producer.len()];
        let mut path: Vec<u32> = Vec::new();
        for version in 0..chain.len() as u32 {
            let mut head = version;
            while chain[head as usize] == NONE {
                path.push(head);
                // Marked, so that a circle of cas, which has no first version, ends here.
                chain[head as usize] = version;
                let producer = self.producer[head as usize];
                let found = self.items.get(producer as usize).map_or(NONE, |item| item.found);
                if found == NONE {
                    break;
                }
                head = found;
            }
            let first = if path.contains(&head) { head } else { chain[head as usize] };
            for version in path.drain(..) {
                chain[version as usize] = first;
            }
        }
        chain
    }

    fn meetings(&self) -> Vec<Met> {
        let mut last: WordMap<u64, u32> = WordMap::default();
        let mut met = Vec::new();
        for (id, item) in self.items.iter().enumerate() {
            let chain = self.chain_of(item);
            let place = u64::from(item.process) << 32 | u64::from(item.key);
            let before = if item.last {
                last.get(&place).copied().unwrap_or(chain)
            } else {
                last.insert(place, chain).unwrap_or(chain)
            };
            if before != chain && !self.is_first(before) && !self.is_first(chain) {
                met.push(Met { after: chain, before, by: id as u32 });
            }
        }
        met.sort_unstable();
        met.dedup_by_key(|met| (met.after, met.before));
        met
    }
}

/// Compressed rows: where each group begins, and the members in order.
fn grouped<T, M>(all: &[T], groups: usize, split: impl Fn(&T) -> (u32, M)) -> (Vec<u32>, Vec<M>)
where
    M: Copy + Default,
{
    let mut starts = vec![0_u32; groups + 1];
    for member in all {
        starts[split(member).0 as usize + 1] += 1;
    }
    for group in 0..groups {
        starts[group + 1] += starts[group];
    }
    let mut next = starts.clone();
    let mut members = vec![M::default(); all.len()];
    for (group, member) in all.iter().map(split) {
        let place = &mut next[group as usize];
        members[*place as usize] = member;
        *place += 1;
    }
    (starts, members)
}

/// Turns the rows of one key after the other into items.
struct KeyReader {
    items: Vec<Item>,
    versions: u32,
    exact: bool,
}

impl KeyReader {
    fn read(&mut self, key: u32, register: &RegisterKey) {
        let versions = self.clear(key, register);
        let needed = needed(&register.ops, &versions);
        let clear = |value: u32| versions[value as usize];
        for (row, op) in register.ops.iter().enumerate() {
            if !op.completed() && !needed[row] {
                continue;
            }
            let found = op.consumes().map_or(NONE, clear);
            self.exact &= op.f != Function::Miss && (op.consumes().is_none() || found != NONE);
            let left = match leaves(op).map(clear) {
                None if found == NONE => continue,
                None => NONE,
                Some(NONE) => self.fresh(),
                Some(version) => version,
            };
            self.items.push(Item {
                call: op.call,
                process: op.process,
                key,
                row: row as u32,
                found,
                left,
                last: !op.completed(),
                place: 0,
            });
        }
    }

    fn fresh(&mut self) -> u32 {
        self.versions += 1;
        self.versions - 1
    }

    /// For each value its version if it is clear, otherwise [`NONE`].
    fn clear(&mut self, key: u32, register: &RegisterKey) -> Vec<u32> {
        let mut made = vec![0_u8; register.values.len()];
        made[INITIAL as usize] = 1;
        for op in &register.ops {
            if let Some(value) = leaves(op) {
                made[value as usize] = made[value as usize].saturating_add(1);
            }
        }
        let mut versions = vec![NONE; made.len()];
        for (value, version) in versions.iter_mut().enumerate() {
            if made[value] == 1 {
                *version = if value == INITIAL as usize { key } else { self.fresh() };
            }
        }
        versions
    }
}

/// The value that it leaves in place of another one.
pub fn leaves(op: &RegisterOp) -> Option<u32> {
    op.produces().filter(|_| op.f != Function::Cas || op.a != op.b)
}

/// For each row of unknown outcome whether it must have happened, for somebody found what it left.
fn needed(ops: &[RegisterOp], versions: &[u32]) -> Vec<bool> {
    let mut needed = vec![false; ops.len()];
    if ops.iter().all(RegisterOp::completed) {
        return needed;
    }
    let mut left_by: WordMap<u32, u32> = WordMap::default();
    for (row, op) in ops.iter().enumerate().filter(|(_, op)| !op.completed()) {
        if let Some(value) = leaves(op).filter(|value| versions[*value as usize] != NONE) {
            left_by.insert(value, row as u32);
        }
    }
    let mut values: Vec<u32> =
        ops.iter().filter(|op| op.completed()).filter_map(RegisterOp::consumes).collect();
    while let Some(value) = values.pop() {
        if let Some(row) = left_by.remove(&value) {
            needed[row as usize] = true;
            values.extend(ops[row as usize].consumes());
        }
    }
    needed
}
