//! A file of bytes that stand for numbers, read one after the other.

use std::io::{BufReader, Read};

use crate::LINE_BYTES_MAX;
use crate::error::{Problem, ReadError};

/// Bytes asked for at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Reads on, and knows where it is.
pub(super) struct Pull<R> {
    input: BufReader<R>,
    /// Bytes that were read.
    pub at: u64,
    /// Line of the file, if it were text: errors of all files name one.
    pub line: u64,
}

impl<R: Read> Pull<R> {
    pub fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(CHUNK_BYTES, input), at: 0, line: 1 }
    }

    /// Something else should stand where it is.
    pub fn malformed(&self, problem: Problem) -> ReadError {
        ReadError::Malformed { line: self.line, problem }
    }

    /// Fills the buffer, as far as the file goes; says how far.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        let mut got = 0;
        while got < buf.len() {
            match self.input.read(&mut buf[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Io { line: self.line, source }),
            }
        }
        self.at += got as u64;
        Ok(got)
    }

    /// The next byte; nothing at the end of the file.
    pub fn byte(&mut self) -> Result<Option<u8>, ReadError> {
        let mut byte = [0];
        Ok((self.fill(&mut byte)? == 1).then_some(byte[0]))
    }

    /// Eight bytes; nothing if the file ends before.
    pub fn eight(&mut self) -> Result<Option<[u8; 8]>, ReadError> {
        let mut bytes = [0; 8];
        Ok((self.fill(&mut bytes)? == 8).then_some(bytes))
    }

    /// Passes over so many bytes; false if the file ends before.
    pub fn skip(&mut self, mut count: u64) -> Result<bool, ReadError> {
        let mut bytes = [0; 1024];
        debug_assert!(count <= LINE_BYTES_MAX as u64, "what is skipped is short");
        while count > 0 {
            let part = count.min(bytes.len() as u64);
            let buf = &mut bytes[..usize::try_from(part).unwrap_or(0)];
            if self.fill(buf)? < buf.len() {
                return Ok(false);
            }
            count -= part;
        }
        Ok(true)
    }
}
