//! One key of a store of texts: `put`, `get`, `append`. What was never put is the empty text, and so is null.

use std::sync::Arc;

use keelhaul_history::RawValue;

use crate::objects::model::{Model, Next, Operation};
use crate::objects::vocabulary::{Misfit, Vocabulary};

/// One key. Each key is an object of its own, so the key is not part of an operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kv;

/// An operation on a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvOp {
    /// Sets the text.
    Put(Arc<str>),
    /// Returned the text, if the outcome is known.
    Get(Option<Arc<str>>),
    /// Puts more at the end of the text.
    Append(Arc<str>),
}

impl Model for Kv {
    type State = Arc<str>;
    type Op = KvOp;

    fn initial(&self) -> Arc<str> {
        "".into()
    }

    fn step(&self, state: &Arc<str>, op: &KvOp) -> Next<Arc<str>> {
        match op {
            KvOp::Put(text) => Next::To(Arc::clone(text)),
            KvOp::Get(found) => Next::same_if(found.as_ref().is_none_or(|found| found == state)),
            KvOp::Append(more) if more.is_empty() => Next::Same,
            KvOp::Append(more) => Next::To([&**state, &**more].concat().into()),
        }
    }

    fn forget(&self, op: &KvOp) -> KvOp {
        match op {
            KvOp::Get(_) => KvOp::Get(None),
            _ => op.clone(),
        }
    }

    fn is_pure(&self, op: &KvOp) -> bool {
        match op {
            KvOp::Get(_) => true,
            KvOp::Append(more) => more.is_empty(),
            KvOp::Put(_) => false,
        }
    }

    fn heap_bytes(&self, state: &Arc<str>) -> usize {
        state.len() + 2 * size_of::<usize>()
    }

    fn describe(&self, op: &KvOp) -> String {
        match op {
            KvOp::Put(text) => format!("put {text:?}"),
            KvOp::Get(Some(text)) => format!("get -> {text:?}"),
            KvOp::Get(None) => "get".into(),
            KvOp::Append(text) => format!("append {text:?}"),
        }
    }
}

/// The words for a key: texts, though any other value is taken for its JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words;

fn text(value: RawValue<'_>) -> Arc<str> {
    if value.is_null() {
        return "".into();
    }
    value.as_str().map_or_else(|| value.text().into(), |text| (&*text).into())
}

impl Vocabulary for Words {
    type Model = Kv;
    const KNOWN: &'static str = "a key has put, get and append";

    fn invoke(&mut self, f: &str, value: RawValue<'_>) -> Result<KvOp, Misfit> {
        match f {
            "put" => Ok(KvOp::Put(text(value))),
            "append" => Ok(KvOp::Append(text(value))),
            "get" => Ok(KvOp::Get(None)),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, op: KvOp, value: RawValue<'_>) -> Result<KvOp, Misfit> {
        match op {
            KvOp::Get(_) => Ok(KvOp::Get(Some(text(value)))),
            _ => Ok(op),
        }
    }

    fn finish(self, _ops: &mut [Operation<KvOp>]) -> Kv {
        Kv
    }
}
