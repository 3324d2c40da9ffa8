//! The part of a file that is being parsed.

use std::io::{self, Read};

use super::record::Fault;
use crate::error::{Problem, ReadError};

/// Bytes asked for at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// A fault this near to the end of what was read may vanish when more is.
const NEAR_END_BYTES: usize = 4096;

/// Text from `start` on is unread; before it, done with.
pub(super) struct Window<R> {
    input: R,
    pub text: String,
    pub start: usize,
    /// Line that `start` is on, from 1.
    pub line: u64,
    /// Read, but not yet whole characters.
    partial: Vec<u8>,
    /// Whether all that can be read was.
    pub ended: bool,
    /// Whether that is because what follows is no UTF-8.
    pub garbled: bool,
}

impl<R: Read> Window<R> {
    pub const fn new(input: R, line: u64) -> Self {
        Self {
            input,
            text: String::new(),
            start: 0,
            line,
            partial: Vec::new(),
            ended: false,
            garbled: false,
        }
    }

    /// Reads on, more at a time the more is unread, so that parsing again from the start costs little.
    pub fn fill(&mut self) -> Result<(), ReadError> {
        self.text.drain(..self.start);
        self.start = 0;
        let wanted = CHUNK_BYTES.max(self.text.len());
        let kept = self.partial.len();
        let read = self.input.by_ref().take(wanted as u64).read_to_end(&mut self.partial);
        read.map_err(|source: io::Error| ReadError::Io { line: self.line, source })?;
        self.ended = self.partial.len() - kept < wanted;
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                self.text.push_str(text);
                self.partial.clear();
            }
            Err(e) => {
                let valid = self.partial.drain(..e.valid_up_to()).collect();
                let valid = String::from_utf8(valid).expect("as far as it is valid");
                self.text.push_str(&valid);
                self.garbled = self.ended || e.error_len().is_some();
                self.ended |= self.garbled;
            }
        }
        Ok(())
    }

    /// Everything before `to` is done with.
    pub fn consume(&mut self, to: usize) {
        self.line += newlines(&self.text[self.start..to]);
        self.start = to;
    }

    /// The line of a byte that is unread.
    pub fn line_of(&self, at: usize) -> u64 {
        self.line + newlines(&self.text[self.start..at.min(self.text.len())])
    }

    /// Whether a fault stands whatever follows.
    pub fn is_final(&self, fault: &Fault) -> bool {
        self.ended || (!fault.cut && fault.at + NEAR_END_BYTES < self.text.len())
    }

    /// A fault as an error with its line and column.
    pub fn error(&self, fault: Fault) -> ReadError {
        let at = fault.at.min(self.text.len());
        let before = &self.text.as_bytes()[..at];
        let column = at - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1) + 1;
        let problem = match fault.problem {
            Problem::NotEdn { expected, .. } => Problem::NotEdn { column, expected },
            Problem::NotJson { expected, .. } => Problem::NotJson { column, expected },
            Problem::NotALogLine { .. } => Problem::NotALogLine { column },
            Problem::NotUtf8 { .. } => Problem::NotUtf8 { column },
            other => other,
        };
        ReadError::Malformed { line: self.line_of(at), problem }
    }

    /// The error of bytes that are no text, which is where the window ends.
    pub fn not_utf8(&self) -> ReadError {
        self.error(Fault::new(self.text.len(), Problem::NotUtf8 { column: 0 }))
    }
}

fn newlines(text: &str) -> u64 {
    memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64
}
