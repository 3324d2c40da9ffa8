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
    chunk_bytes: usize,
    pub text: String,
    pub start: usize,
    /// Line that `start` is on, from 1.
    pub line: u64,
    /// Bytes of that line before `start`, some of them perhaps no longer in `text`.
    line_bytes: usize,
    /// Read, but not yet whole characters.
    partial: Vec<u8>,
    /// Whether all that can be read was.
    pub ended: bool,
    /// Whether that is because what follows is no UTF-8.
    pub garbled: bool,
}

impl<R: Read> Window<R> {
    pub const fn new(input: R, line: u64) -> Self {
        Self::in_chunks(input, line, CHUNK_BYTES)
    }

    /// With so many bytes asked for at a time, at least.
    pub const fn in_chunks(input: R, line: u64, chunk_bytes: usize) -> Self {
        Self {
            input,
            chunk_bytes,
            text: String::new(),
            start: 0,
            line,
            line_bytes: 0,
            partial: Vec::new(),
            ended: false,
            garbled: false,
        }
    }

    /// Reads on, more at a time the more is unread, so that parsing again from the start costs little.
    pub fn fill(&mut self) -> Result<(), ReadError> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.drain(..self.start);
        self.start = 0;
        let wanted = self.chunk_bytes.max(bytes.len());
        bytes.append(&mut self.partial);
        let kept = bytes.len();
        let read = self.input.by_ref().take(wanted as u64).read_to_end(&mut bytes);
        read.map_err(|source: io::Error| ReadError::Io { line: self.line, source })?;
        self.ended = bytes.len() - kept < wanted;
        match String::from_utf8(bytes) {
            Ok(text) => self.text = text,
            Err(e) => {
                let (valid, what) = (e.utf8_error().valid_up_to(), e.utf8_error().error_len());
                let mut bytes = e.into_bytes();
                self.partial = bytes.split_off(valid);
                self.text = String::from_utf8(bytes).expect("as far as it is valid");
                self.garbled = self.ended || what.is_some();
                self.ended |= self.garbled;
            }
        }
        Ok(())
    }

    pub fn unread(&self) -> &str {
        &self.text[self.start..]
    }

    /// Everything before `to` is done with.
    pub fn consume(&mut self, to: usize) {
        let done = &self.text.as_bytes()[self.start..to];
        self.start = to;
        match memchr::memrchr(b'\n', done) {
            Some(newline) => {
                self.line += newlines(&done[..=newline]);
                self.line_bytes = done.len() - newline - 1;
            }
            None => self.line_bytes += done.len(),
        }
    }

    /// Everything before `to` is done with, which is one line and its end.
    pub const fn consume_line(&mut self, to: usize) {
        self.start = to;
        self.line += 1;
        self.line_bytes = 0;
    }

    /// The line of a byte that is unread.
    pub fn line_of(&self, at: usize) -> u64 {
        self.line + newlines(&self.text.as_bytes()[self.start..at.min(self.text.len())])
    }

    /// Whether a fault stands whatever follows. Of one at the end of an op that is too long nobody knows.
    pub fn is_final(&self, fault: &Fault, too_long: bool) -> bool {
        let far_from_end = !fault.cut && fault.at + NEAR_END_BYTES < self.text.len();
        far_from_end || (self.ended && !self.garbled && !too_long)
    }

    /// A fault as an error with its line and column.
    pub fn error(&self, fault: Fault) -> ReadError {
        let at = fault.at.min(self.text.len());
        let before = &self.text.as_bytes()[self.start..at];
        let column = match memchr::memrchr(b'\n', before) {
            Some(newline) => before.len() - newline,
            None => self.line_bytes + before.len() + 1,
        };
        let problem = match fault.problem {
            Problem::NotEdn { expected, .. } => Problem::NotEdn { column, expected },
            Problem::NotJson { expected, .. } => Problem::NotJson { column, expected },
            Problem::NotALogLine { .. } => Problem::NotALogLine { column },
            Problem::NotPlume { .. } => Problem::NotPlume { column },
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

fn newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}
