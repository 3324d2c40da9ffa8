//! Several registers, read and written by several at once: `txn` with a list of `["r", key, value]` and `["w", key,
//! value]`, or `read` and `write`, as Knossos calls them, which happen in order and all at one moment.
//!
//! Registers that no operation touches together, not even by way of others, are judged apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use keelhaul_history::{RawValue, Value};

use crate::interner::Interner;
use crate::objects::model::{Model, Next, Operation};
use crate::objects::vocabulary::{Misfit, Vocabulary};

/// Registers that hold null at first, unless it is said otherwise. Keys and values are ids; null's is 0.
#[derive(Clone, Debug, Default)]
pub struct MultiRegister {
    keys: Vec<Value>,
    values: Vec<Value>,
    /// What each holds at first, by key; null behind the end.
    initial: Vec<u32>,
}

impl MultiRegister {
    /// Registers with these keys for values that these ids stand for, the first of them null.
    #[must_use]
    pub const fn new(keys: Vec<Value>, values: Vec<Value>) -> Self {
        Self { keys, values, initial: Vec::new() }
    }

    /// What the register holds at first.
    fn initial_of(&self, key: u32) -> u32 {
        self.initial.get(key as usize).copied().unwrap_or(NULL)
    }
}

/// The id of null.
pub const NULL: u32 = 0;

/// One access to one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Returned the value, if the outcome is known.
    Read(u32, Option<u32>),
    /// Sets the value.
    Write(u32, u32),
}

impl Access {
    const fn key(self) -> u32 {
        match self {
            Self::Read(key, _) | Self::Write(key, _) => key,
        }
    }
}

impl Model for MultiRegister {
    /// Keys with values other than the initial, in order.
    type State = Vec<(u32, u32)>;
    type Op = Arc<[Access]>;

    fn initial(&self) -> Self::State {
        Vec::new()
    }

    fn step(&self, state: &Self::State, op: &Self::Op) -> Next<Self::State> {
        let mut next = state.clone();
        for access in &**op {
            let place = next.binary_search_by_key(&access.key(), |(key, _)| *key);
            match *access {
                Access::Read(_, found) => {
                    let value =
                        place.map_or_else(|_| self.initial_of(access.key()), |at| next[at].1);
                    if found.is_some_and(|found| found != value) {
                        return Next::Impossible;
                    }
                }
                Access::Write(key, value) => {
                    if let Ok(at) = place {
                        next[at].1 = value;
                    } else if let Err(at) = place {
                        next.insert(at, (key, value));
                    }
                }
            }
        }
        next.retain(|(key, value)| *value != self.initial_of(*key));
        if next == *state { Next::Same } else { Next::To(next) }
    }

    fn forget(&self, op: &Self::Op) -> Self::Op {
        op.iter()
            .map(|access| match *access {
                Access::Read(key, _) => Access::Read(key, None),
                write @ Access::Write(..) => write,
            })
            .collect()
    }

    fn is_pure(&self, op: &Self::Op) -> bool {
        op.iter().all(|access| matches!(access, Access::Read(..)))
    }

    fn parts(&self, op: &Self::Op, parts: &mut Vec<u64>) {
        parts.extend(op.iter().map(|access| u64::from(access.key())));
    }

    fn groups(&self, op: &Self::Op, groups: &mut Vec<u64>) {
        groups.extend(op.iter().map(|access| u64::from(access.key())));
    }

    /// What happens to one register can be left out of any legal order: the others keep their values.
    fn restrict(&self, op: &Self::Op, groups: &BTreeSet<u64>) -> Option<Self::Op> {
        let kept = op.iter().copied().filter(|access| groups.contains(&u64::from(access.key())));
        let kept: Self::Op = kept.collect();
        (!kept.is_empty()).then_some(kept)
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        state.len() * size_of::<(u32, u32)>()
    }

    fn describe(&self, op: &Self::Op) -> String {
        let key = |key: u32| &self.keys[key as usize];
        let value = |value: u32| &self.values[value as usize];
        let one = |access: &Access| match *access {
            Access::Read(k, Some(v)) => format!("read {} -> {}", key(k), value(v)),
            Access::Read(k, None) => format!("read {}", key(k)),
            Access::Write(k, v) => format!("write {} = {}", key(k), value(v)),
        };
        op.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// The words for several registers.
#[derive(Debug)]
pub struct Words {
    /// One value for all, or a map of them by key.
    initial: Value,
    keys: Vec<Value>,
    values: Vec<Value>,
    key_ids: Interner,
    value_ids: Interner,
}

impl Default for Words {
    fn default() -> Self {
        let mut words = Self {
            initial: Value::Null,
            keys: Vec::new(),
            values: Vec::new(),
            key_ids: Interner::default(),
            value_ids: Interner::default(),
        };
        words.value_ids.intern(Value::Null.into(), &mut words.values);
        words
    }
}

const ACCESSES: Misfit = Misfit::Value("a list of [\"r\", key, value] and [\"w\", key, value]");

impl Words {
    fn access(&mut self, item: &Value, known: bool) -> Option<Access> {
        let [f, key, value] = item.as_list()? else { return None };
        let key = self.key_ids.intern(key.clone().into(), &mut self.keys);
        let mut id = || self.value_ids.intern(value.clone().into(), &mut self.values);
        match f.as_str()? {
            "r" | "read" => Some(Access::Read(key, if known { Some(id()) } else { None })),
            "w" | "write" => Some(Access::Write(key, id())),
            _ => None,
        }
    }

    fn accesses(&mut self, value: RawValue<'_>, known: bool) -> Result<Arc<[Access]>, Misfit> {
        let value = value.to_value();
        let items = value.as_list().ok_or(ACCESSES)?;
        let accesses: Option<Vec<Access>> =
            items.iter().map(|item| self.access(item, known)).collect();
        accesses.map(Into::into).ok_or(ACCESSES)
    }
}

impl Vocabulary for Words {
    type Model = MultiRegister;
    const KNOWN: &'static str = "several registers have txn";

    fn begin(&mut self, initial: &Value) -> Result<(), &'static str> {
        self.initial = initial.clone();
        Ok(())
    }

    fn invoke(&mut self, f: &str, value: RawValue<'_>) -> Result<Arc<[Access]>, Misfit> {
        if f == "txn" { self.accesses(value, false) } else { Err(Misfit::Function) }
    }

    fn complete(
        &mut self,
        op: Arc<[Access]>,
        value: RawValue<'_>,
    ) -> Result<Arc<[Access]>, Misfit> {
        let accesses = self.accesses(value, true)?;
        let same = op.len() == accesses.len()
            && op.iter().zip(&*accesses).all(|pair| match pair {
                (Access::Read(asked, _), Access::Read(got, _)) => asked == got,
                (asked, got) => asked == got,
            });
        if same { Ok(accesses) } else { Err(Misfit::Value("what was invoked, with results")) }
    }

    fn finish(mut self, _ops: &mut [Operation<Arc<[Access]>>]) -> MultiRegister {
        let value_of = |key: &Value| match &self.initial {
            Value::Map(_) => key.as_str().and_then(|key| self.initial.get(key)).cloned(),
            one => Some(one.clone()),
        };
        let values: Vec<Value> =
            self.keys.iter().map(|key| value_of(key).unwrap_or_default()).collect();
        let intern = |value: Value| self.value_ids.intern(value.into(), &mut self.values);
        let initial = values.into_iter().map(intern).collect();
        MultiRegister { keys: self.keys, values: self.values, initial }
    }
}
