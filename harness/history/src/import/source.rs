//! One way to read a history, whoever recorded it.

use std::io::{self, Cursor, Read};

use super::format::{BYTE_ORDER_MARK, Format, mistaken};
use super::importer::{Importer, Options};
use super::repair::{Mended, repair};
use super::sessions::Sessions;
use crate::error::{Problem, ReadError};
use crate::{Ending, Header, Op, RawOp, Reader};

/// Bytes that are looked at to tell the kind of a file.
const HEAD_BYTES: u64 = 64 * 1024;

/// A stream of ops that fit together: what a checker reads.
///
/// Ops come numbered from 0 without gaps, in an order in which times never decrease, and every completion says which
/// invocation it ends; a process does one thing at a time and is not used again after an info.
pub trait OpSource {
    /// What was run, as far as it is known.
    fn header(&self) -> &Header;

    /// The next op, or `None` at the end; nothing follows an error.
    ///
    /// # Errors
    /// A line is malformed or does not fit the lines before it.
    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError>;

    /// Line of the file that the latest op stands on, from 1.
    fn line(&self) -> u64;

    /// How the history ends; known once [`OpSource::next_op`] has returned `None`.
    fn ending(&self) -> Option<Ending>;

    /// What was done to the history besides reading it, a sentence each; complete at the end.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<S: OpSource + ?Sized> OpSource for &mut S {
    fn header(&self) -> &Header {
        (**self).header()
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        (**self).next_op()
    }

    fn line(&self) -> u64 {
        (**self).line()
    }

    fn ending(&self) -> Option<Ending> {
        (**self).ending()
    }

    fn notes(&self) -> Vec<String> {
        (**self).notes()
    }
}

impl<R: Read> OpSource for Reader<R> {
    fn header(&self) -> &Header {
        self.header()
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        self.next_op()
    }

    /// The header is on line 1.
    fn line(&self) -> u64 {
        self.count() + 1
    }

    fn ending(&self) -> Option<Ending> {
        self.ending()
    }
}

impl<R: Read> OpSource for Importer<R> {
    fn header(&self) -> &Header {
        self.header()
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        self.next_op()
    }

    fn line(&self) -> u64 {
        self.line()
    }

    fn ending(&self) -> Option<Ending> {
        Some(Ending::Unsealed { torn_tail: false })
    }

    fn notes(&self) -> Vec<String> {
        self.notes()
    }
}

impl<R: Read> OpSource for Sessions<R> {
    fn header(&self) -> &Header {
        self.header()
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        self.next_op()
    }

    fn line(&self) -> u64 {
        self.line()
    }

    fn ending(&self) -> Option<Ending> {
        Some(Ending::Unsealed { torn_tail: false })
    }
}

/// A history that was repaired, in memory.
pub struct Repaired {
    reader: Reader<Cursor<Vec<u8>>>,
    /// Line of the file for each op.
    lines: Vec<u64>,
    notes: Vec<String>,
}

impl OpSource for Repaired {
    fn header(&self) -> &Header {
        self.reader.header()
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        self.reader.next_op()
    }

    fn line(&self) -> u64 {
        let latest = self.reader.count().checked_sub(1);
        latest.and_then(|at| self.lines.get(at as usize)).copied().unwrap_or(1)
    }

    fn ending(&self) -> Option<Ending> {
        Some(Ending::Unsealed { torn_tail: false })
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// The input of a [`Source`]: what was looked at, then the rest.
type Rest<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// A history of any kind.
pub enum Source<R: Read> {
    /// Of ours.
    Own(Box<Reader<Rest<R>>>),
    /// Of another tool.
    Foreign(Box<Importer<Rest<R>>>),
    /// Of another tool, by sessions.
    Sessions(Box<Sessions<Rest<R>>>),
    /// Of any, repaired.
    Repaired(Box<Repaired>),
}

impl<R: Read> Source<R> {
    fn source(&self) -> &dyn OpSource {
        match self {
            Self::Own(reader) => &**reader,
            Self::Foreign(importer) => &**importer,
            Self::Sessions(sessions) => &**sessions,
            Self::Repaired(repaired) => &**repaired,
        }
    }
}

impl<R: Read> OpSource for Source<R> {
    fn header(&self) -> &Header {
        self.source().header()
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        match self {
            Self::Own(reader) => reader.next_op(),
            Self::Foreign(importer) => importer.next_op(),
            Self::Sessions(sessions) => sessions.next_op(),
            Self::Repaired(repaired) => repaired.next_op(),
        }
    }

    fn line(&self) -> u64 {
        self.source().line()
    }

    fn ending(&self) -> Option<Ending> {
        self.source().ending()
    }

    fn notes(&self) -> Vec<String> {
        self.source().notes()
    }
}

/// Opens a history of any kind: of `format` if it is given, else of the kind that its first bytes tell.
///
/// # Errors
/// It cannot be read, its kind cannot be told, or it is of ours without a header that is right.
pub fn open<R: Read>(
    mut input: R,
    format: Option<Format>,
    options: Options,
) -> Result<Source<R>, ReadError> {
    let mut head = Vec::new();
    let read = input.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|source| ReadError::Io { line: 1, source })?;
    let malformed = |problem| ReadError::Malformed { line: 1, problem };
    if let Some(problem) = mistaken(&head) {
        return Err(malformed(problem));
    }
    if head.starts_with(BYTE_ORDER_MARK) {
        head.drain(..BYTE_ORDER_MARK.len());
    }
    let recognised = format.or_else(|| Format::recognise(&head));
    let format = recognised.ok_or_else(|| malformed(Problem::Unrecognised))?;
    let rest = Cursor::new(head).chain(input);
    let importer = match format {
        Format::Keelhaul if options.repair => own_importer(rest)?,
        Format::Keelhaul => return Ok(Source::Own(Box::new(Reader::new(rest)?))),
        // There is nothing to repair: every transaction is whole, and no two overlap.
        _ if format.is_by_session() => {
            return Ok(Source::Sessions(Box::new(Sessions::new(rest, format))));
        }
        _ => Importer::new(rest, format, options.independent)?,
    };
    if !options.repair {
        return Ok(Source::Foreign(Box::new(importer)));
    }
    let header = importer.header().clone();
    let Mended { ops, lines, notes } = repair(importer)?;
    let file = encode(&header, &ops).map_err(|source| ReadError::Io { line: 1, source })?;
    let reader = Reader::new(Cursor::new(file))?;
    Ok(Source::Repaired(Box::new(Repaired { reader, lines, notes })))
}

/// A history of ours as if it were foreign, so that it can be repaired. Its header must be right.
fn own_importer<R: Read>(mut input: Rest<R>) -> Result<Importer<Rest<R>>, ReadError> {
    let mut line = Vec::new();
    let read = io::BufRead::read_until(
        &mut io::BufReader::with_capacity(1, input.by_ref()),
        b'\n',
        &mut line,
    );
    read.map_err(|source| ReadError::Io { line: 1, source })?;
    let header = Reader::new(&line[..])?.header().clone();
    Ok(Importer::own(input, header))
}

fn encode(header: &Header, ops: &[Op]) -> io::Result<Vec<u8>> {
    let mut writer = crate::Writer::new(Vec::new(), header)?;
    for op in ops {
        writer.append(op)?;
    }
    Ok(writer.seal()?)
}

/// A whole history in memory.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What is known of the run.
    pub header: Header,
    /// Every op; see [`OpSource`] for what holds of them.
    pub ops: Vec<Op>,
    /// For each op, the line of the file it stands on, from 1.
    pub lines: Vec<u64>,
    /// What was done besides reading, a sentence each.
    pub notes: Vec<String>,
    /// How it ends.
    pub ending: Ending,
}

/// Reads a whole history of any kind.
///
/// # Errors
/// As [`open`], and where a line is malformed or does not fit the lines before it.
pub fn open_all<R: Read>(
    input: R,
    format: Option<Format>,
    options: Options,
) -> Result<Imported, ReadError> {
    let mut source = open(input, format, options)?;
    let (mut ops, mut lines) = (Vec::new(), Vec::new());
    while let Some(op) = source.next_op()? {
        ops.push(op.to_op());
        lines.push(source.line());
    }
    let ending = source.ending().unwrap_or(Ending::Unsealed { torn_tail: false });
    Ok(Imported { header: source.header().clone(), ops, lines, notes: source.notes(), ending })
}
