//! dbcop's histories as `bincode` writes them: every number and every length in eight bytes, the lowest first.
//!
//! Five numbers (the history's own, and how many sessions, keys, transactions and events it was made with), three texts
//! (what was tested, begin and end), and the sessions: lists of transactions, which are lists of events and whether they
//! committed. An event is whether it writes, key, value, and whether it succeeded; one that did not is left out. A key holds 0 before
//! anybody writes it.

use std::io::Read;

use super::Txn;
use super::ops::Does;
use super::pull::Pull;
use crate::error::{Problem, ReadError};
use crate::import::pairs::Who;
use crate::{Kind, LINE_BYTES_MAX};

/// Numbers before the first text.
const NUMBERS: usize = 5;

/// Texts before the sessions.
const TEXTS: usize = 3;

/// Numbers that a history is made with are small.
const SMALL_MAX: u64 = u32::MAX as u64;

/// Bytes of the text that says what was tested.
const TEXT_BYTES_MAX: u64 = 4096;

/// Whether five small numbers and a short text stand at the beginning, and not zeros only: those are a file that lost its contents.
pub(super) fn looks_right(head: &[u8]) -> bool {
    let mut numbers =
        head.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
    let counts: Vec<u64> = numbers.by_ref().take(NUMBERS).collect();
    let right =
        counts.iter().all(|count| *count <= SMALL_MAX) && counts.iter().any(|count| *count > 0);
    let Some(len) = numbers.next().filter(|len| right && *len <= TEXT_BYTES_MAX) else {
        return false;
    };
    let text = head.get(8 * (NUMBERS + 1)..).unwrap_or_default();
    let text = &text[..text.len().min(usize::try_from(len).unwrap_or(0))];
    !text.iter().any(|byte| byte.is_ascii_control())
}

/// What is left of the lists that the reader is in.
#[derive(Clone, Copy)]
struct Left {
    sessions: u64,
    txns: u64,
}

pub(super) struct Bincode<R> {
    input: Pull<R>,
    /// Nothing until the beginning was read.
    left: Option<Left>,
    /// Sessions that have begun.
    begun: u64,
}

impl<R: Read> Bincode<R> {
    pub fn new(input: R) -> Self {
        Self { input: Pull::new(input), left: None, begun: 0 }
    }

    fn wrong<T>(&self, expected: &'static str) -> Result<T, ReadError> {
        Err(self.input.malformed(Problem::NotBincode { offset: self.input.at, expected }))
    }

    fn number(&mut self, expected: &'static str) -> Result<u64, ReadError> {
        match self.input.eight()? {
            Some(bytes) => Ok(u64::from_le_bytes(bytes)),
            None => self.wrong(expected),
        }
    }

    fn flag(&mut self, expected: &'static str) -> Result<bool, ReadError> {
        match self.input.byte()? {
            Some(flag @ 0..=1) => Ok(flag == 1),
            _ => self.wrong(expected),
        }
    }

    fn begin(&mut self) -> Result<Left, ReadError> {
        for _ in 0..NUMBERS {
            self.number("five numbers must stand at the beginning, of eight bytes each")?;
        }
        for _ in 0..TEXTS {
            let len = self.number("three texts must follow the numbers")?;
            if len > LINE_BYTES_MAX as u64 || !self.input.skip(len)? {
                return self.wrong("a text must be as long as it says");
            }
        }
        let sessions = self.number("the number of sessions must follow the texts")?;
        Ok(Left { sessions, txns: 0 })
    }

    pub fn next_txn(&mut self, into: &mut Txn) -> Result<bool, ReadError> {
        let mut left = match self.left {
            Some(left) => left,
            None => self.begin()?,
        };
        while left.txns == 0 {
            if left.sessions == 0 {
                return match self.input.byte()? {
                    None => Ok(false),
                    Some(_) => self.wrong("the file must end after the last session"),
                };
            }
            left.sessions -= 1;
            left.txns = self.number("the number of a session's transactions must stand here")?;
            self.begun += 1;
        }
        left.txns -= 1;
        self.left = Some(left);
        let session = u32::try_from(self.begun - 1).ok().filter(|id| *id <= Who::CLIENT_MAX);
        let Some(session) = session else { return self.wrong("so many sessions cannot be") };
        into.session = session;
        let events = self.number("the number of a transaction's events must stand here")?;
        for _ in 0..events {
            self.event(into)?;
        }
        let committed = self.flag("a byte of 0 or 1 must say whether the transaction committed")?;
        into.outcome = if committed { Kind::Ok } else { Kind::Fail };
        into.ops.close();
        Ok(true)
    }

    fn event(&mut self, into: &mut Txn) -> Result<(), ReadError> {
        let write = self.flag("a byte of 0 or 1 must say whether the event writes")?;
        let key = self.number("a key of eight bytes must stand here")?;
        let value = self.number("a value of eight bytes must stand here")?;
        if !self.flag("a byte of 0 or 1 must say whether the event succeeded")? {
            return Ok(());
        }
        let does = if write { Does::Write } else { Does::Read };
        // Larger ones are none that anybody chose; as negative numbers they are as different as they were.
        let pushed = into.ops.push_from_zero(does, key.cast_signed(), value.cast_signed());
        pushed.map_err(|problem| self.input.malformed(problem))
    }
}
