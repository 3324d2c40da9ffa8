//! Writing a history as it happens.
//!
//! An op is serialised by hand into a buffer that the writer owns, and the buffer goes out in one call, so that
//! recording costs the run next to nothing. A write that fails, on a full disk for example, damages nothing: the
//! writer remembers how far it came and the next flush goes on from there, and a reader accepts what is on disk
//! up to the last whole line.

use std::io::{self, Write};

use crate::{Header, Kind, Op, Process, Value};

/// The buffer is written out by itself once it holds this many bytes: large enough that the call is cheap in
/// comparison, small enough to stay in the processor's cache.
const FLUSH_BYTES: usize = 64 * 1024;

/// Appends ops to a history.
///
/// Nothing is checked here: the interpreter numbers and pairs its ops, and a reader checks that it did.
pub struct Writer<W> {
    out: W,
    buf: Vec<u8>,
    /// Bytes of `buf` that `out` has already taken.
    written: usize,
    /// Bytes of `buf` that the checksum already covers.
    summed: usize,
    crc: crc32fast::Hasher,
    count: u64,
    sealed: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a history: the header goes out at once.
    ///
    /// # Errors
    /// The header cannot be written.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut buf = Vec::with_capacity(FLUSH_BYTES + 4096);
        serde_json::to_writer(&mut buf, header)?;
        buf.push(b'\n');
        let mut writer = Self {
            out,
            buf,
            written: 0,
            summed: 0,
            crc: crc32fast::Hasher::new(),
            count: 0,
            sealed: false,
        };
        writer.flush()?;
        Ok(writer)
    }

    /// Appends an op to the buffer; only [`Writer::flush`] promises that it has left.
    ///
    /// # Errors
    /// The buffer was full and cannot be written. The op was not taken and may be appended again.
    ///
    /// # Panics
    /// Sealing was tried already: an op after the seal would spoil the history.
    pub fn append(&mut self, op: &Op) -> io::Result<()> {
        assert!(!self.sealed, "an op is appended to a sealed history");
        if self.buf.len() >= FLUSH_BYTES {
            self.flush()?;
        }
        push_op(&mut self.buf, op);
        self.count += 1;
        Ok(())
    }

    /// Hands everything appended so far to the output, in one call if it takes it all.
    ///
    /// # Errors
    /// The output took only a part. Nothing is lost: the next flush continues with the rest.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.buf.len() {
            match self.out.write(&self.buf[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.sum();
        self.buf.clear();
        self.written = 0;
        self.summed = 0;
        self.out.flush()
    }

    /// Ends the history with its count and checksum and gives the output back, for example to be synced.
    ///
    /// # Errors
    /// The rest or the seal cannot be written. The writer is kept, so that the caller can try again.
    pub fn seal(mut self) -> Result<W, SealError<W>> {
        match self.try_seal() {
            Ok(()) => Ok(self.out),
            Err(source) => Err(SealError { writer: Box::new(self), source }),
        }
    }

    fn try_seal(&mut self) -> io::Result<()> {
        if !self.sealed {
            self.sum();
            let crc = self.crc.clone().finalize();
            writeln!(
                self.buf,
                "{{\"seal\":{{\"count\":{},\"crc32\":\"{crc:08x}\"}}}}",
                self.count
            )?;
            self.sealed = true;
        }
        self.flush()
    }

    /// Ops appended so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    fn sum(&mut self) {
        if !self.sealed {
            self.crc.update(&self.buf[self.summed..]);
            self.summed = self.buf.len();
        }
    }
}

/// A history could not be sealed.
#[derive(thiserror::Error)]
#[error("seal the history")]
pub struct SealError<W> {
    /// The writer as it was, to try again with.
    pub writer: Box<Writer<W>>,
    /// What the output said.
    #[source]
    pub source: io::Error,
}

impl<W> std::fmt::Debug for SealError<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealError").field("source", &self.source).finish_non_exhaustive()
    }
}

/// For callers that do not try again.
impl<W> From<SealError<W>> for io::Error {
    fn from(e: SealError<W>) -> Self {
        e.source
    }
}

/// Serialises one op as a line, fields in the order that the reader is fastest with.
pub(crate) fn push_op(buf: &mut Vec<u8>, op: &Op) {
    buf.extend_from_slice(b"{\"index\":");
    push_u64(buf, op.index);
    buf.extend_from_slice(b",\"time\":");
    push_u64(buf, op.time_ns);
    buf.extend_from_slice(match op.kind {
        Kind::Invoke => b",\"type\":\"invoke\",\"process\":".as_slice(),
        Kind::Ok => b",\"type\":\"ok\",\"process\":",
        Kind::Fail => b",\"type\":\"fail\",\"process\":",
        Kind::Info => b",\"type\":\"info\",\"process\":",
    });
    match op.process {
        Process::Client(id) => push_u64(buf, id.into()),
        Process::Nemesis => buf.extend_from_slice(b"\"nemesis\""),
    }
    buf.extend_from_slice(b",\"f\":");
    push_str(buf, op.f.as_str());
    if let Some(key) = &op.key {
        buf.extend_from_slice(b",\"key\":");
        push_value(buf, key);
    }
    buf.extend_from_slice(b",\"value\":");
    push_value(buf, &op.value);
    if let Some(node) = op.node {
        buf.extend_from_slice(b",\"node\":\"n");
        push_u64(buf, node.0.into());
        buf.push(b'"');
    }
    if let Some(error) = &op.error {
        buf.extend_from_slice(b",\"error\":");
        push_str(buf, error);
    }
    buf.extend_from_slice(b"}\n");
}

fn push_value(buf: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => buf.extend_from_slice(b"null"),
        Value::Bool(true) => buf.extend_from_slice(b"true"),
        Value::Bool(false) => buf.extend_from_slice(b"false"),
        Value::Int(n) => {
            if *n < 0 {
                buf.push(b'-');
            }
            push_u64(buf, n.unsigned_abs());
        }
        Value::Str(s) => push_str(buf, s),
        Value::List(items) => {
            buf.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    buf.push(b',');
                }
                push_value(buf, item);
            }
            buf.push(b']');
        }
        Value::Map(entries) => {
            buf.push(b'{');
            for (i, (name, item)) in entries.iter().enumerate() {
                if i > 0 {
                    buf.push(b',');
                }
                push_str(buf, name);
                buf.push(b':');
                push_value(buf, item);
            }
            buf.push(b'}');
        }
    }
}

fn push_str(buf: &mut Vec<u8>, s: &str) {
    buf.push(b'"');
    let bytes = s.as_bytes();
    let mut plain_from = 0;
    for (i, &b) in bytes.iter().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        buf.extend_from_slice(&bytes[plain_from..i]);
        plain_from = i + 1;
        match b {
            b'"' => buf.extend_from_slice(b"\\\""),
            b'\\' => buf.extend_from_slice(b"\\\\"),
            b'\n' => buf.extend_from_slice(b"\\n"),
            b'\r' => buf.extend_from_slice(b"\\r"),
            b'\t' => buf.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                buf.extend_from_slice(b"\\u00");
                buf.push(HEX[usize::from(b >> 4)]);
                buf.push(HEX[usize::from(b & 15)]);
            }
        }
    }
    buf.extend_from_slice(&bytes[plain_from..]);
    buf.push(b'"');
}

fn push_u64(buf: &mut Vec<u8>, mut n: u64) {
    const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
        2021222324252627282930313233343536373839\
        4041424344454647484950515253545556575859\
        6061626364656667686970717273747576777879\
        8081828384858687888990919293949596979899";
    // The largest u64 has 20 digits.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while n >= 10 {
        let pair = 2 * (n % 100) as usize;
        n /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if n > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + n as u8;
    }
    buf.extend_from_slice(&digits[at..]);
}
