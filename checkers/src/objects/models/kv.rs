//! One key of a store of texts: `put`, `get`, `append`. What was never put is the empty text, and so is null.
//!
//! A key that nobody appends to is a register, and judged as one. Where texts grow, a state is not the text but its
//! place among all that was ever read ([`Tree`]): whatever is the beginning of nothing that was read is the same to every
//! reader.

use keelhaul_history::{RawValue, Value};

use super::texts::{LOST, Place, Tree};
use super::texts_ahead::Ahead;
use crate::budget::Budget;
use crate::columns::{Atom, Function, INITIAL, RegisterKey, RegisterOp, Registers};
use crate::interner::Interner;
use crate::lattice::{Answers, OPS_PER_LOOK, Question, Table};
use crate::linearizable::{self, Wording};
use crate::models::Model as Consistency;
use crate::objects::model::{Guide, Model, Next, Operation};
use crate::objects::vocabulary::{Misfit, Object, Vocabulary};
use crate::sequential;
use crate::verdict::Check;

/// One key. Each key is an object of its own, so the key is not part of an operation.
#[derive(Clone, Debug)]
pub struct Kv {
    texts: Vec<Value>,
    /// Absent where no text grows.
    tree: Option<Tree>,
}

/// An operation on a key; texts are ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvOp {
    /// Sets the text.
    Put(u32),
    /// Returned the text, if the outcome is known.
    Get(Option<u32>),
    /// Puts more at the end of the text.
    Append(u32),
}

impl Kv {
    /// A key for texts that these ids stand for, the first of them empty; `ops` is all that was done to it.
    #[must_use]
    pub fn new<'a>(texts: Vec<Value>, ops: impl Iterator<Item = &'a KvOp> + Clone) -> Self {
        let grows = ops.clone().any(|op| matches!(op, KvOp::Append(more) if *more != INITIAL));
        let tree = grows.then(|| {
            let read = ops.filter_map(|op| match op {
                KvOp::Get(found) => *found,
                _ => None,
            });
            Tree::new(texts.iter().map(text_of).collect(), read)
        });
        Self { texts, tree }
    }

    /// Where a text is among all that was read.
    pub(super) fn place(&self, text: u32) -> Place {
        self.tree.as_ref().map_or(Place { node: text, len: 0 }, |tree| tree.place(text))
    }

    fn text(&self, id: u32) -> String {
        text_of(&self.texts[id as usize]).into()
    }
}

impl Model for Kv {
    type State = Place;
    type Op = KvOp;

    fn initial(&self) -> Place {
        self.place(INITIAL)
    }

    fn step(&self, state: &Place, op: &KvOp) -> Next<Place> {
        match *op {
            KvOp::Put(text) => Next::To(self.place(text)),
            KvOp::Get(found) => {
                Next::same_if(found.is_none_or(|found| self.place(found) == *state))
            }
            KvOp::Append(INITIAL) => Next::Same,
            KvOp::Append(more) => {
                Next::To(self.tree.as_ref().map_or(LOST, |tree| tree.grown(*state, more)))
            }
        }
    }

    fn forget(&self, op: &KvOp) -> KvOp {
        match op {
            KvOp::Get(_) => KvOp::Get(None),
            _ => *op,
        }
    }

    fn is_pure(&self, op: &KvOp) -> bool {
        matches!(op, KvOp::Get(_) | KvOp::Append(INITIAL))
    }

    fn describe(&self, op: &KvOp) -> String {
        match *op {
            KvOp::Put(text) => format!("put {:?}", self.text(text)),
            KvOp::Get(Some(text)) => format!("get -> {:?}", self.text(text)),
            KvOp::Get(None) => "get".into(),
            KvOp::Append(text) => format!("append {:?}", self.text(text)),
        }
    }

    fn guide<'a>(&'a self, ops: &'a [Operation<KvOp>]) -> Option<Box<dyn Guide<Place> + 'a>> {
        let tree = self.tree.as_ref()?;
        Some(Box::new(Ahead::new(self, tree, ops)))
    }
}

/// The words for a key: texts, though any other value is taken for its JSON.
#[derive(Debug)]
pub struct Words {
    texts: Vec<Value>,
    interner: Interner,
}

impl Default for Words {
    fn default() -> Self {
        let mut words = Self { texts: Vec::new(), interner: Interner::default() };
        words.interner.intern_text("", &mut words.texts);
        words
    }
}

/// The text that a value stands for.
fn text_of(value: &Value) -> Box<str> {
    value.as_str().map_or_else(|| value.to_string().into(), Into::into)
}

impl Words {
    /// The id of a value's text; a number and its digits are the same.
    fn id(&mut self, value: RawValue<'_>) -> u32 {
        let Self { texts, interner } = self;
        if let Some(number) = value.as_int() {
            return interner.intern(Atom::Int(number), texts);
        }
        if value.is_null() {
            return INITIAL;
        }
        let text = value.as_str();
        let text = text.as_deref().unwrap_or_else(|| value.text());
        match canonical_number(text) {
            Some(number) => interner.intern(Atom::Int(number), texts),
            None => interner.intern_text(text, texts),
        }
    }
}

/// The number whose digits the text is, written as numbers are.
fn canonical_number(text: &str) -> Option<i64> {
    let begins_so = matches!(text.as_bytes().first()?, b'0'..=b'9' | b'-');
    let number = if begins_so { text.parse::<i64>().ok()? } else { return None };
    (number.to_string() == text).then_some(number)
}

impl Vocabulary for Words {
    type Model = Kv;
    const KNOWN: &'static str = "a key has put, get and append";

    fn invoke(&mut self, f: &str, value: RawValue<'_>) -> Result<KvOp, Misfit> {
        match f {
            "put" => Ok(KvOp::Put(self.id(value))),
            "append" => Ok(KvOp::Append(self.id(value))),
            "get" => Ok(KvOp::Get(None)),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, op: KvOp, value: RawValue<'_>) -> Result<KvOp, Misfit> {
        match op {
            KvOp::Get(_) => Ok(KvOp::Get(Some(self.id(value)))),
            _ => Ok(op),
        }
    }

    fn finish(self, ops: &mut [Operation<KvOp>]) -> Kv {
        drop(self.interner);
        Kv::new(self.texts, ops.iter().map(|operation| &operation.op))
    }

    fn answer(mut keys: Vec<Object<Kv>>, names: &[&str], budget: &dyn Budget) -> Answers {
        keys.sort_by_key(|key| key.model.tree.is_none());
        if keys.first().is_some_and(|key| key.model.tree.is_some()) {
            return Question::of_objects(GROWING, &keys, budget).answer(names, |_| false);
        }
        let registers =
            keys.into_iter().map(|Object { key, model, ops }| register(key, model.texts, &ops));
        let registers = Registers { keys: registers.collect() };
        let operations = registers.op_count();
        let question = Question {
            table: PLAIN,
            history: &registers,
            looks: operations / OPS_PER_LOOK,
            budget,
        };
        question.answer(names, sequential::finds_garbage)
    }
}

/// What decides a history of keys that nobody appends to: they are registers.
const PLAIN: &Table<Registers> = &[
    (Consistency::Linearizable, |registers, budget| {
        linearizable::check_worded(registers, Wording::KEYS, budget)
    }),
    (Consistency::Sequential, sequential::check),
];

/// What decides any other; keys that somebody appends to come first.
const GROWING: &Table<Vec<Object<Kv>>> = &[
    (Consistency::Linearizable, |keys, budget| check(keys, budget)),
    (Consistency::Sequential, |keys, budget| sequential::objects::check(keys, budget)),
];

fn check(keys: &[Object<Kv>], budget: &dyn Budget) -> Check {
    let (growing, plain) = keys.split_at(keys.partition_point(|key| key.model.tree.is_some()));
    let other = crate::objects::check(growing, budget);
    if plain.is_empty() {
        return other;
    }
    let plain = plain
        .iter()
        .map(|Object { key, model, ops }| register(key.clone(), model.texts.clone(), ops));
    let registers = Registers { keys: plain.collect() };
    let check = linearizable::check_worded(&registers, Wording::KEYS, budget);
    let (worse, better) =
        if check.verdict > other.verdict { (check, other) } else { (other, check) };
    Check { reason: format!("{}; {}", worse.reason, better.reason), ..worse }
}

/// A key that nobody appends to.
fn register(key: Option<Value>, values: Vec<Value>, ops: &[Operation<KvOp>]) -> RegisterKey {
    let rows = ops.iter().filter_map(|operation| {
        let (f, text) = match operation.op {
            KvOp::Put(text) => (Function::Write, text),
            KvOp::Get(found) => (Function::Read, found?),
            KvOp::Append(_) => return None,
        };
        let Operation { start_ns, end_ns, call, ret, process, .. } = *operation;
        Some(RegisterOp { start_ns, end_ns, call, ret, process, a: text, b: INITIAL, f })
    });
    RegisterKey { key, ops: rows.collect(), values }
}
