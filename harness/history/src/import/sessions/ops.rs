//! The operations of a transaction, as the JSON of a list of micro-operations.

use crate::LINE_BYTES_MAX;
use crate::error::Problem;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Read,
    Write,
}

/// An operation; key and value are JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    pub does: Does,
    pub key: &'a str,
    pub value: &'a str,
}

/// Grows by operations; a buffer that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Ops {
    /// Without the closing bracket while it grows.
    json: String,
}

impl Ops {
    pub fn clear(&mut self) {
        self.json.clear();
    }

    pub fn push(&mut self, operation: Operation<'_>) -> Result<(), Problem> {
        let Operation { does, key, value } = operation;
        self.json.push(if self.json.is_empty() { '[' } else { ',' });
        self.json.push_str(if does == Does::Read { "[\"r\"," } else { "[\"w\"," });
        self.json.push_str(key);
        self.json.push(',');
        self.json.push_str(value);
        self.json.push(']');
        if self.json.len() >= LINE_BYTES_MAX {
            return Err(Problem::TxnTooLong { max: LINE_BYTES_MAX });
        }
        Ok(())
    }

    /// The same in formats that write 0 for what a key holds before anybody writes it.
    pub fn push_from_zero(&mut self, operation: Operation<'_>) -> Result<(), Problem> {
        match (operation.does, operation.value) {
            (Does::Read, "0") => self.push(Operation { value: "null", ..operation }),
            (Does::Write, "0") => Err(Problem::InitialWritten { key: operation.key.into() }),
            _ => self.push(operation),
        }
    }

    /// Nothing more will follow.
    pub fn close(&mut self) {
        self.json.push_str(if self.json.is_empty() { "[]" } else { "]" });
    }

    /// The list, once it is closed.
    pub fn json(&self) -> &str {
        &self.json
    }
}
