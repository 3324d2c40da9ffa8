//! Keys with their values, and when each was last set.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::{Key, Value};
use crate::api::LogIndex;

/// When a key was last set: by the entry at this place of the log; 0 for a key that never was. Rises with every change of the
/// key, and so tells that there was none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Version(pub u64);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cell {
    value: Value,
    version: Version,
}

/// The map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Values(BTreeMap<Key, Cell>);

impl Values {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.0.get(key).map(|cell| &cell.value)
    }

    pub(super) fn version(&self, key: &[u8]) -> Version {
        self.0.get(key).map_or(Version::default(), |cell| cell.version)
    }

    /// Behind this key, in order.
    pub(super) fn after(&self, key: Option<&Key>) -> impl Iterator<Item = (&Key, &Value)> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range::<Key, _>((from, Bound::Unbounded)).map(|(key, cell)| (key, &cell.value))
    }

    /// Forgets the others.
    pub(super) fn keep(&mut self, mut kept: impl FnMut(&Key) -> bool) {
        self.0.retain(|key, _| kept(key));
    }

    pub(super) fn put(&mut self, index: LogIndex, key: Key, value: Value) {
        self.0.insert(key, Cell { value, version: Version(index.0) });
    }

    pub(super) fn append(&mut self, index: LogIndex, key: &Key, value: &Value) {
        let version = Version(index.0);
        let new = || Cell { value: Value::new(), version };
        let cell = self.0.entry(key.clone()).or_insert_with(new);
        cell.value.extend_from_slice(value);
        cell.version = version;
    }
}
