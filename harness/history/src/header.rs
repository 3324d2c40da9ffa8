//! The first line of a history: what was run.

use serde::{Deserialize, Serialize};

use crate::Value;

/// The format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// What was run, as the first line of a history says it. Only the version is required, so that a history can be
/// written by hand; a reader that meets a field it does not know ignores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format, [`FORMAT_VERSION`].
    pub keelhaul: u32,
    /// The system under test, e.g. `raft`.
    #[serde(default)]
    pub store: String,
    /// What the operations mean, e.g. `register`.
    #[serde(default)]
    pub workload: String,
    /// The consistency model that the workload is judged by, e.g. `linearizable`.
    #[serde(default)]
    pub model: String,
    /// Names of the nodes, `n1` first.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Kinds of faults that were asked for; whether they took effect is in the history.
    #[serde(default)]
    pub faults: Vec<String>,
    /// The seed of every random choice of the run.
    #[serde(default)]
    pub seed: u64,
    /// When the run began, by the wall clock of the control node; text, since nothing is computed from it.
    #[serde(default)]
    pub started: String,
    /// Anything else the workload's checker has to know, e.g. the initial value. In the order written.
    #[serde(default)]
    pub options: Options,
}

impl Header {
    /// A header of the present version with everything else empty.
    #[must_use]
    pub fn new(store: &str, workload: &str) -> Self {
        Self {
            keelhaul: FORMAT_VERSION,
            store: store.into(),
            workload: workload.into(),
            model: String::new(),
            nodes: Vec::new(),
            faults: Vec::new(),
            seed: 0,
            started: String::new(),
            options: Options::default(),
        }
    }
}

/// Named values in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Options(serde_json::Map<String, serde_json::Value>);

impl Options {
    /// Sets `name`, replacing what it had.
    pub fn set(&mut self, name: &str, value: &Value) {
        self.0.insert(name.into(), to_json(value));
    }

    /// The value of `name`; absent too where it is a number that is not whole.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        self.0.get(name).and_then(from_json)
    }

    /// Every name with its value as JSON text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.to_string()))
    }
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(n) => (*n).into(),
        Value::Str(s) => (**s).into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => serde_json::Value::Object(
            entries.iter().map(|(k, v)| (k.to_string(), to_json(v))).collect(),
        ),
    }
}

pub(crate) fn from_json(json: &serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Value::Int(n.as_i64()?),
        serde_json::Value::String(s) => Value::Str(s.as_str().into()),
        serde_json::Value::Array(items) => {
            Value::List(items.iter().map(from_json).collect::<Option<_>>()?)
        }
        serde_json::Value::Object(map) => Value::Map(
            map.iter()
                .map(|(k, v)| Some((k.as_str().into(), from_json(v)?)))
                .collect::<Option<_>>()?,
        ),
    })
}
