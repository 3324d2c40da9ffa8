//! Register histories as flat rows, one list a key.
//!
//! A checker never sees the tree of values that a history is written in: every operation becomes one 40-byte
//! [`RegisterOp`] whose values are small numbers, interned per key. Positions are indices of history events, so
//! comparing two positions is comparing real time.
//!
//! What is left out, and why it may be: failed operations certainly did not happen; a read whose outcome is
//! unknown promises nothing. An operation that never completed is treated as one whose outcome is unknown.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use keelhaul_history::{Process, Value};

use crate::interner::{Interner, Keys};

/// Position of a completion that was never seen.
pub const NEVER: u32 = u32::MAX;

/// The id of a key's initial value, the same for every key.
pub const INITIAL: u32 = 0;

/// What a register operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// Returned the value `a`.
    Read,
    /// Sets the value to `a`.
    Write,
    /// Sets the value to `b`, having found it to be `a`.
    Cas,
    /// A compare-and-set that reported that the value was not `a`. Only imported histories have these: in ours, and
    /// in Jepsen's, a cas that did not match is a failed operation.
    Miss,
}

/// One operation on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterOp {
    /// Invocation, nanoseconds since the run began.
    pub start_ns: u64,
    /// Completion, nanoseconds since the run began; 0 if `ret` is [`NEVER`].
    pub end_ns: u64,
    /// Index of the invocation in the history.
    pub call: u32,
    /// Index of the completion, or [`NEVER`] if the outcome is unknown.
    pub ret: u32,
    /// The client process.
    pub process: u32,
    /// Value id: what a read returned, a write wrote, a cas expected.
    pub a: u32,
    /// Value id: what a cas wrote; otherwise [`INITIAL`] and without meaning.
    pub b: u32,
    /// What it does.
    pub f: Function,
}

impl RegisterOp {
    /// Whether the outcome is known.
    #[must_use]
    pub const fn completed(&self) -> bool {
        self.ret != NEVER
    }

    /// The value this leaves behind, if it changes any.
    #[must_use]
    pub const fn produces(&self) -> Option<u32> {
        match self.f {
            Function::Write => Some(self.a),
            Function::Cas => Some(self.b),
            Function::Read | Function::Miss => None,
        }
    }

    /// The value this must find.
    #[must_use]
    pub const fn consumes(&self) -> Option<u32> {
        match self.f {
            Function::Read | Function::Cas => Some(self.a),
            Function::Write | Function::Miss => None,
        }
    }
}

/// The history of one register.
#[derive(Clone, Debug)]
pub struct RegisterKey {
    /// The key; `None` when the history has a single, unnamed register.
    pub key: Option<Value>,
    /// Operations in order of invocation.
    pub ops: Vec<RegisterOp>,
    /// What each value id stands for; the first is the initial value.
    pub values: Vec<Value>,
}

/// All registers of a history, in order of first use.
#[derive(Clone, Debug, Default)]
pub struct Registers {
    /// The registers.
    pub keys: Vec<RegisterKey>,
}

impl Registers {
    /// How many operations there are in all.
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.keys.iter().map(|key| key.ops.len()).sum()
    }
}

/// A value on its way into a column: numbers travel without an allocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Atom {
    /// A number.
    Int(i64),
    /// Anything else.
    Other(Value),
}

impl From<Value> for Atom {
    fn from(value: Value) -> Self {
        value.as_int().map_or(Self::Other(value), Self::Int)
    }
}

impl From<i64> for Atom {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

/// What an invocation asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Read the key.
    Read,
    /// Write a value.
    Write(Atom),
    /// Replace the first value by the second.
    Cas(Atom, Atom),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It happened; for a read with the value, otherwise ignored.
    Ok(Atom),
    /// It certainly did not happen.
    Fail,
    /// Nobody knows.
    Info,
    /// A cas that found another value than it expected, and said so.
    Miss,
}

/// What makes a sequence of events no register history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// A process began an operation while another was in flight.
    #[error(
        "read event {index}: process {process} invokes while its earlier operation is still in flight"
    )]
    DoubleInvoke {
        /// Event index.
        index: u64,
        /// The process.
        process: u32,
    },
    /// A completion without an invocation.
    #[error("read event {index}: process {process} completes an operation that it never invoked")]
    Orphan {
        /// Event index.
        index: u64,
        /// The process.
        process: u32,
    },
    /// Indices do not rise, or are too large.
    #[error("read event {index}: event indices must rise and stay below 4294967295")]
    Index {
        /// Event index.
        index: u64,
    },
    /// The function is not one that a register has.
    #[error("read event {index}: a register has no function `{f}`, only read, write and cas")]
    Function {
        /// Event index.
        index: u64,
        /// The function's name.
        f: String,
    },
    /// The function is not one that the object has.
    #[error("read event {index}: no function `{f}` is known here: {known}")]
    OtherFunction {
        /// Event index.
        index: u64,
        /// The function's name.
        f: String,
        /// What is known.
        known: &'static str,
    },
    /// The value is not one that the function has.
    #[error("read event {index}: the value of `{f}` must be {expected}")]
    Value {
        /// Event index.
        index: u64,
        /// The function's name.
        f: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A cas without two values.
    #[error("read event {index}: the value of a cas must be [expected, new]")]
    CasValue {
        /// Event index.
        index: u64,
    },
}

/// Multiplicative hashing of one word: keys here are small numbers from the history itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct WordHasher(u64);

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        // The folded 128-bit product spreads every input bit over the whole word.
        let product = u128::from(self.0.rotate_left(23) ^ n ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(0xa076_1d64_78bd_642f_u64);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// A hash map for keys from the history.
pub type WordMap<K, V> = HashMap<K, V, BuildHasherDefault<WordHasher>>;

/// Builds [`Registers`] from events in their order.
#[derive(Debug)]
pub struct RegistersBuilder {
    initial: Value,
    keys: Vec<RegisterKey>,
    interners: Vec<Interner>,
    key_numbers: Keys,
    in_flight: WordMap<u32, (u32, u32)>,
    next_index: u64,
    /// See [`RegistersBuilder::heed_misses`].
    pub(crate) misses: bool,
}

/// Marks a row that [`RegistersBuilder::finish`] leaves out.
const DROPPED: u32 = u32::MAX - 1;

impl RegistersBuilder {
    /// An empty history of registers that hold `initial` at first.
    #[must_use]
    pub fn new(initial: Value) -> Self {
        Self {
            initial,
            keys: Vec::new(),
            interners: Vec::new(),
            key_numbers: Keys::default(),
            in_flight: WordMap::default(),
            next_index: 0,
            misses: false,
        }
    }

    /// From now on a failed cas that names a mismatch as its reason promises that there was one; by default a failed
    /// operation promises nothing but that it did not happen.
    pub const fn heed_misses(&mut self) {
        self.misses = true;
    }

    /// An operation begins.
    ///
    /// # Errors
    /// If indices do not rise, or the process has an operation in flight.
    pub fn invoke(
        &mut self,
        index: u64,
        time_ns: u64,
        process: u32,
        key: Option<Atom>,
        call: Call,
    ) -> Result<(), ColumnError> {
        let position = self.position(index)?;
        let key_id = self.key_id(key);
        let register = &mut self.keys[key_id as usize];
        let interner = &mut self.interners[key_id as usize];
        let (f, a, b) = match call {
            Call::Read => (Function::Read, INITIAL, INITIAL),
            Call::Write(value) => {
                (Function::Write, interner.intern(value, &mut register.values), INITIAL)
            }
            Call::Cas(expected, new) => (
                Function::Cas,
                interner.intern(expected, &mut register.values),
                interner.intern(new, &mut register.values),
            ),
        };
        let row = u32::try_from(register.ops.len()).expect("fewer rows than events");
        if self.in_flight.insert(process, (key_id, row)).is_some() {
            return Err(ColumnError::DoubleInvoke { index, process });
        }
        register.ops.push(RegisterOp {
            start_ns: time_ns,
            end_ns: 0,
            call: position,
            ret: NEVER,
            process,
            a,
            b,
            f,
        });
        Ok(())
    }

    /// The operation in flight of `process` ends.
    ///
    /// # Errors
    /// If indices do not rise, or the process has no operation in flight.
    pub fn complete(
        &mut self,
        index: u64,
        time_ns: u64,
        process: u32,
        outcome: Outcome,
    ) -> Result<(), ColumnError> {
        let position = self.position(index)?;
        let (key_id, row) =
            self.in_flight.remove(&process).ok_or(ColumnError::Orphan { index, process })?;
        let register = &mut self.keys[key_id as usize];
        let op = &mut register.ops[row as usize];
        match outcome {
            Outcome::Ok(result) => {
                op.ret = position;
                op.end_ns = time_ns;
                if op.f == Function::Read {
                    op.a = self.interners[key_id as usize].intern(result, &mut register.values);
                }
            }
            Outcome::Miss if op.f == Function::Cas => {
                op.ret = position;
                op.end_ns = time_ns;
                op.f = Function::Miss;
            }
            Outcome::Fail | Outcome::Miss => op.ret = DROPPED,
            Outcome::Info => {}
        }
        Ok(())
    }

    /// The rows, without those that promise nothing.
    #[must_use]
    pub fn finish(mut self) -> Registers {
        self.interners.clear();
        for key in &mut self.keys {
            key.ops.retain(|op| op.ret != DROPPED && (op.completed() || op.produces().is_some()));
        }
        Registers { keys: self.keys }
    }

    fn position(&mut self, index: u64) -> Result<u32, ColumnError> {
        let position = u32::try_from(index).ok().filter(|p| *p < DROPPED);
        let position = position.filter(|_| index >= self.next_index);
        let position = position.ok_or(ColumnError::Index { index })?;
        self.next_index = index + 1;
        Ok(position)
    }

    fn key_id(&mut self, key: Option<Atom>) -> u32 {
        let (id, new) = self.key_numbers.number_of(key);
        if let Some(key) = new {
            let mut register = RegisterKey { key, ops: Vec::new(), values: Vec::new() };
            let mut interner = Interner::default();
            interner.intern(self.initial.clone().into(), &mut register.values);
            self.keys.push(register);
            self.interners.push(interner);
        }
        id
    }
}

/// The number of a client process; the nemesis has none and no register operation either.
#[must_use]
pub const fn client(process: Process) -> Option<u32> {
    match process {
        Process::Client(id) => Some(id),
        Process::Nemesis => None,
    }
}
