//! Reading a history in one pass, in constant memory, without trusting it.
//!
//! A run can be killed at any moment, so a file without a seal is accepted, and so is one whose last line was cut
//! (it has no newline). Everything else must be right: a complete line that is malformed, out of order, or does
//! not fit the lines before it is an error that names the line.

use std::io::{self, Read};

use crate::error::{Problem, ReadError};
use crate::pairing::Pairing;
use crate::raw::{RawOp, parse_line};
use crate::{FORMAT_VERSION, Header, Op};

/// Bytes asked for at a time, and the buffer's first size.
const CHUNK_BYTES: usize = 256 * 1024;

/// The longest line accepted. Ops are some hundred bytes; a long list read back may be some hundred thousand.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How a history ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a seal whose count and checksum are right: the run recorded it to the end.
    Sealed,
    /// Without: the run was killed. What is there is a true prefix of what happened.
    Unsealed {
        /// Whether a last line was cut in the middle, and left out.
        torn_tail: bool,
    },
}

/// Hands out the ops of a history one after the other.
pub struct Reader<R> {
    input: R,
    header: Header,
    lines: Lines,
    pairing: Pairing,
    next_index: u64,
    time_ns: u64,
    f: String,
    ending: Option<Ending>,
    /// Set once anything went wrong: no op comes after an error.
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Opens a history and reads its header.
    ///
    /// # Errors
    /// The first line is no header of a version that this program reads.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let mut lines = Lines::new();
        let Some(line) = lines.next(&mut input)? else {
            return Err(lines.error(Problem::HeaderCut));
        };
        let header = parse_header(lines.bytes(line)).map_err(|problem| lines.error(problem))?;
        Ok(Self {
            input,
            header,
            lines,
            pairing: Pairing::default(),
            next_index: 0,
            time_ns: 0,
            f: String::new(),
            ending: None,
            failed: false,
        })
    }

    /// What was run.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Ops handed out so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.next_index
    }

    /// Time of the latest op handed out, nanoseconds since the run began.
    #[must_use]
    pub const fn time_ns(&self) -> u64 {
        self.time_ns
    }

    /// How the history ends; known once [`Reader::next_op`] has returned `None`.
    #[must_use]
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The next op, or `None` at the end.
    ///
    /// # Errors
    /// A line is malformed or does not fit the lines before it; the error says how. Nothing follows an error: the
    /// next call returns `None`, and [`Reader::ending`] stays unknown.
    pub fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        if self.failed || self.ending.is_some() {
            return Ok(None);
        }
        // Taken back when the line turns out well: every early return below is an error or the end.
        self.failed = true;
        let Some(line) = self.lines.next(&mut self.input)? else {
            self.ending = Some(Ending::Unsealed { torn_tail: self.lines.torn() });
            return Ok(None);
        };
        if self.lines.bytes(line).starts_with(b"{\"seal\"") {
            self.check_seal(line)?;
            self.ending = Some(Ending::Sealed);
            return Ok(None);
        }
        let number = self.lines.number;
        let malformed = |problem| ReadError::Malformed { line: number, problem };
        let text = utf8(self.lines.bytes(line)).map_err(malformed)?;
        let mut op = parse_line(text, &mut self.f).map_err(malformed)?;
        if op.index != self.next_index {
            return Err(malformed(out_of_sequence(op.index, self.next_index)));
        }
        if op.time_ns < self.time_ns {
            return Err(malformed(Problem::TimeBack { found: op.time_ns, previous: self.time_ns }));
        }
        op.invoked = self.pairing.step(&op).map_err(malformed)?;
        self.next_index += 1;
        self.time_ns = op.time_ns;
        self.failed = false;
        Ok(Some(op))
    }

    /// Every remaining op at once, for histories known to be small.
    ///
    /// # Errors
    /// As [`Reader::next_op`].
    pub fn read_all(&mut self) -> Result<Vec<Op>, ReadError> {
        let mut ops = Vec::new();
        while let Some(op) = self.next_op()? {
            ops.push(op.to_op());
        }
        Ok(ops)
    }

    fn check_seal(&mut self, line: Line) -> Result<(), ReadError> {
        let found_crc = self.lines.checksum_before(line);
        let seal = parse_seal(self.lines.bytes(line));
        let (sealed_count, sealed_crc) = seal.map_err(|problem| self.lines.error(problem))?;
        if sealed_count != self.next_index {
            let problem = Problem::SealCount { sealed: sealed_count, found: self.next_index };
            return Err(self.lines.error(problem));
        }
        if sealed_crc != found_crc {
            let problem = Problem::SealChecksum { sealed: sealed_crc, found: found_crc };
            return Err(self.lines.error(problem));
        }
        if self.lines.more(&mut self.input)? {
            self.lines.number += 1;
            return Err(self.lines.error(Problem::AfterSeal));
        }
        Ok(())
    }
}

const fn out_of_sequence(found: u64, expected: u64) -> Problem {
    if found < expected {
        Problem::IndexBack { found, expected }
    } else {
        Problem::IndexGap { found, expected }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|e| Problem::NotUtf8 { column: e.valid_up_to() + 1 })
}

fn parse_header(line: &[u8]) -> Result<Header, Problem> {
    let text = utf8(line)?;
    let not_a_header = |e: serde_json::Error| Problem::NotAHeader(e.to_string());
    let json: serde_json::Value = serde_json::from_str(text).map_err(not_a_header)?;
    let Some(version) = json.get("keelhaul") else {
        return Err(Problem::NotAHeader("it has no field \"keelhaul\"".into()));
    };
    match version.as_u64() {
        Some(v) if v > u64::from(FORMAT_VERSION) => Err(Problem::NewerVersion(v)),
        Some(0) => Err(Problem::NoSuchVersion(0)),
        Some(_) => serde_json::from_value(json).map_err(not_a_header),
        None => Err(Problem::NotAHeader("its version is not a number".into())),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SealLine {
    seal: Seal,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    count: u64,
    crc32: String,
}

fn parse_seal(line: &[u8]) -> Result<(u64, u32), Problem> {
    let SealLine { seal } = serde_json::from_slice(line).map_err(|_| Problem::BadSeal)?;
    let hex = seal.crc32.len() == 8 && seal.crc32.bytes().all(|b| b.is_ascii_hexdigit());
    let crc = u32::from_str_radix(&seal.crc32, 16).ok().filter(|_| hex).ok_or(Problem::BadSeal)?;
    Ok((seal.count, crc))
}

/// A line in the buffer of [`Lines`], valid until the next is asked for.
#[derive(Clone, Copy)]
struct Line {
    from: usize,
    to: usize,
}

/// Cuts the input into lines and sums what was cut off.
struct Lines {
    buf: Vec<u8>,
    /// `buf[start..end]` was read and not yet handed out.
    start: usize,
    end: usize,
    /// Bytes before this are in the checksum.
    summed: usize,
    crc: crc32fast::Hasher,
    /// Number of the latest line handed out, from 1; before the first it is 1 too, for errors.
    number: u64,
    handed_out: bool,
}

impl Lines {
    fn new() -> Self {
        Self {
            buf: vec![0; CHUNK_BYTES],
            start: 0,
            end: 0,
            summed: 0,
            crc: crc32fast::Hasher::new(),
            number: 1,
            handed_out: false,
        }
    }

    fn error(&self, problem: Problem) -> ReadError {
        ReadError::Malformed { line: self.number, problem }
    }

    fn bytes(&self, line: Line) -> &[u8] {
        &self.buf[line.from..line.to]
    }

    /// Whether bytes without a newline are left over at the end.
    const fn torn(&self) -> bool {
        self.start < self.end
    }

    /// The next line without its newline; `None` where no complete one is left.
    fn next(&mut self, input: &mut impl Read) -> Result<Option<Line>, ReadError> {
        if self.handed_out {
            self.number += 1;
        }
        self.handed_out = true;
        let mut searched = self.start;
        loop {
            let newline = memchr::memchr(b'\n', &self.buf[searched..self.end]);
            let to = newline.map_or(self.end, |at| searched + at);
            if to - self.start > LINE_BYTES_MAX {
                return Err(self.error(Problem::LineTooLong { max: LINE_BYTES_MAX }));
            }
            if newline.is_some() {
                let line = Line { from: self.start, to };
                self.start = to + 1;
                return Ok(Some(line));
            }
            let unsearched = self.end - self.start;
            if !self.fill(input)? {
                return Ok(None);
            }
            searched = self.start + unsearched;
        }
    }

    /// Reads on; false at the end of the input.
    fn fill(&mut self, input: &mut impl Read) -> Result<bool, ReadError> {
        self.crc.update(&self.buf[self.summed..self.start]);
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.summed = 0;
        if self.end == self.buf.len() {
            self.buf.resize(2 * self.buf.len(), 0);
        }
        loop {
            match input.read(&mut self.buf[self.end..]) {
                Ok(n) => {
                    self.end += n;
                    return Ok(n > 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Io { line: self.number, source }),
            }
        }
    }

    /// Whether anything follows what was handed out.
    fn more(&mut self, input: &mut impl Read) -> Result<bool, ReadError> {
        Ok(self.torn() || self.fill(input)?)
    }

    /// The checksum of everything before `line`, which is in the buffer.
    fn checksum_before(&mut self, line: Line) -> u32 {
        self.crc.update(&self.buf[self.summed..line.from]);
        self.summed = line.from;
        self.crc.clone().finalize()
    }
}
