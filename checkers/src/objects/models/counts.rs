//! How often each value is in a container whose values have no order of their own.

use crate::objects::persistent::Table;

/// A bag of values; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    table: Table,
    len: usize,
}

impl Counts {
    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of this value there are.
    #[must_use]
    pub fn of(&self, value: u32) -> u32 {
        self.table.get(value)
    }

    /// Puts one in.
    pub fn put(&mut self, value: u32) {
        self.table.set(value, self.table.get(value) + 1);
        self.len += 1;
    }

    /// Takes one out, if there is one.
    pub fn take(&mut self, value: u32) -> bool {
        let count = self.table.get(value);
        if count > 0 {
            self.table.set(value, count - 1);
            self.len -= 1;
        }
        count > 0
    }

    /// The smallest value.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.table.first()
    }

    /// All values, each once.
    #[must_use]
    pub fn values(&self) -> Vec<u32> {
        self.table.entries().into_iter().map(|(value, _)| value).collect()
    }

    /// Bytes that one change takes.
    #[must_use]
    pub fn version_bytes(&self) -> usize {
        self.table.version_bytes()
    }
}
