//! Logs of Cobra's clients.
//!
//! A client is a session and writes a file. Each entry is a letter and numbers of eight bytes, the highest first:
//!
//! * `S` transaction: it begins;
//! * `R` writer's transaction, write, key, hash of the value: it reads;
//! * `W` write, key, hash of the value: it writes;
//! * `C` transaction: it commits; `A` transaction: it was rolled back.
//!
//! The number of a write is its value here, since no other has it. Two numbers stand for what nobody of the log wrote. A
//! transaction that the log ends in may have committed. Logs of several clients may follow each other, with
//! [`SESSION_END`] between them.

use std::io::Read;

use super::Txn;
use super::ops::Does;
use super::pull::Pull;
use crate::Kind;
use crate::error::{Problem, ReadError};
use crate::import::pairs::Who;

/// What stands between the logs of two clients in one stream.
pub const SESSION_END: u8 = b'\n';

/// Reads of a key as it was before the log began, and of no value at all.
const NOT_WRITTEN: [u64; 2] = [0xbebe_ebee, 0xdead_beef];

/// Numbers after a letter; nothing of a letter that is none of Cobra's.
const fn numbers(letter: u8) -> Option<usize> {
    match letter {
        b'S' | b'C' | b'A' => Some(1),
        b'W' => Some(3),
        b'R' => Some(4),
        _ => None,
    }
}

/// Whether the file begins with a transaction: three entries, or as many as there are.
pub(super) fn looks_right(head: &[u8]) -> bool {
    let mut at = 0;
    for entry in 0..3 {
        let letter = match head.get(at) {
            Some(letter) => *letter,
            None => return entry > 1,
        };
        match numbers(letter) {
            Some(count) if (letter == b'S') == (entry == 0) || entry == 2 => at += 1 + 8 * count,
            _ => return false,
        }
    }
    true
}

pub(super) struct Cobra<R> {
    input: Pull<R>,
    session: u32,
    /// The transaction that has begun.
    open: Option<[u8; 8]>,
}

impl<R: Read> Cobra<R> {
    pub fn new(input: R) -> Self {
        Self { input: Pull::new(input), session: 0, open: None }
    }

    fn wrong<T>(&self, expected: &'static str) -> Result<T, ReadError> {
        Err(self.input.malformed(Problem::NotCobra { offset: self.input.at, expected }))
    }

    pub fn next_txn(&mut self, into: &mut Txn) -> Result<bool, ReadError> {
        into.session = self.session;
        into.line = self.input.line;
        loop {
            let letter = self.input.byte()?;
            let outcome = match letter {
                None | Some(SESSION_END) => {
                    self.input.line += u64::from(letter.is_some());
                    let cut = self.open.take().is_some();
                    self.session += u32::from(letter.is_some());
                    if self.session > Who::CLIENT_MAX {
                        return self.wrong("so many sessions cannot be");
                    }
                    if cut {
                        Kind::Info
                    } else if letter.is_none() {
                        return Ok(false);
                    } else {
                        into.session = self.session;
                        into.line = self.input.line;
                        continue;
                    }
                }
                Some(letter) => match self.entry(letter, into)? {
                    Some(outcome) => outcome,
                    None => continue,
                },
            };
            into.outcome = outcome;
            into.ops.close();
            return Ok(true);
        }
    }

    /// Reads an entry; how the transaction ended, if it did.
    fn entry(&mut self, letter: u8, into: &mut Txn) -> Result<Option<Kind>, ReadError> {
        const CUT: &str = "the numbers of an entry must follow its letter, eight bytes each";

        let Some(count) = numbers(letter) else {
            return self.wrong("an entry must begin with S, R, W, C or A");
        };
        let mut read = [[0; 8]; 4];
        for number in &mut read[..count] {
            *number = match self.input.eight()? {
                Some(number) => number,
                None => return self.wrong(CUT),
            };
            // Errors name a line, and what is no text may have newlines in it.
            self.input.line += number.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        match (letter, self.open) {
            (b'S', None) => self.open = Some(read[0]),
            (b'S', Some(_)) => {
                return self.wrong("a transaction must end before another one begins");
            }
            (_, None) => return self.wrong("a transaction must begin with S"),
            (b'R' | b'W', Some(_)) => self.operation(letter, &read, into)?,
            (_, Some(open)) if open != read[0] => {
                return self.wrong("C and A must name the transaction that S began");
            }
            (_, Some(_)) => {
                self.open = None;
                return Ok(Some(if letter == b'C' { Kind::Ok } else { Kind::Fail }));
            }
        }
        Ok(None)
    }

    fn operation(&self, letter: u8, read: &[[u8; 8]; 4], into: &mut Txn) -> Result<(), ReadError> {
        let (does, [write, key]) = match letter {
            b'R' => (Does::Read, [read[1], read[2]]),
            _ => (Does::Write, [read[0], read[1]]),
        };
        let write = u64::from_be_bytes(write);
        let unwritten = does == Does::Read && NOT_WRITTEN.contains(&write);
        let value = (!unwritten).then_some(write.cast_signed());
        let pushed = into.ops.push(does, i64::from_be_bytes(key), value);
        pushed.map_err(|problem| self.input.malformed(problem))
    }
}
