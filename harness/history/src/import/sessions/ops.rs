//! The operations of a transaction: numbers in formats that know nothing else, JSON in others.

use std::cell::OnceCell;

use crate::LINE_BYTES_MAX;
use crate::error::Problem;
use crate::raw::RawValue;
use crate::registers::{OpValue, RegisterOp, Registers};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Read,
    Write,
}

/// Grows by operations; a buffer that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Ops {
    numbers: Vec<RegisterOp>,
    /// Of the numbers, once somebody asks for it.
    numbers_json: OnceCell<Box<str>>,
    /// Without the closing bracket while it grows; empty if there are numbers.
    json: String,
}

impl Ops {
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.numbers_json.take();
        self.json.clear();
    }

    /// Takes an operation whose key and value are JSON.
    pub fn push_json(&mut self, does: Does, key: &str, value: &str) -> Result<(), Problem> {
        self.json.push(if self.json.is_empty() { '[' } else { ',' });
        self.json.push_str(if does == Does::Read { "[\"r\"," } else { "[\"w\"," });
        self.json.push_str(key);
        self.json.push(',');
        self.json.push_str(value);
        self.json.push(']');
        fits(self.json.len())
    }

    /// Takes an operation; a read of nothing has no value.
    #[inline]
    pub fn push(&mut self, does: Does, key: i64, value: Option<i64>) -> Result<(), Problem> {
        self.numbers.push(RegisterOp { writes: does == Does::Write, key, value });
        fits(self.numbers.len() * size_of::<RegisterOp>())
    }

    /// The same in formats that write 0 for what a key holds before anybody writes it.
    #[inline]
    pub fn push_from_zero(&mut self, does: Does, key: i64, value: i64) -> Result<(), Problem> {
        match (does, value) {
            (Does::Read, 0) => self.push(does, key, None),
            (Does::Write, 0) => Err(Problem::InitialWritten { key: key.to_string() }),
            _ => self.push(does, key, Some(value)),
        }
    }

    /// Nothing more will follow.
    pub fn close(&mut self) {
        if !self.json.is_empty() {
            self.json.push(']');
        }
    }

    /// The list, once it is closed.
    pub fn value(&self) -> OpValue<'_> {
        if self.json.is_empty() {
            OpValue::Registers(Registers { ops: &self.numbers, json: &self.numbers_json })
        } else {
            OpValue::Json(RawValue(&self.json))
        }
    }
}

#[inline]
const fn fits(bytes: usize) -> Result<(), Problem> {
    if bytes < LINE_BYTES_MAX { Ok(()) } else { Err(Problem::TxnTooLong { max: LINE_BYTES_MAX }) }
}
