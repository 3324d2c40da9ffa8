//! A stream of ops from a foreign file.

use std::io::Read;
use std::ops::Range;

use super::edn::Edn;
use super::format::Format;
use super::json::Frame;
use super::notes::{Note, Notes};
use super::pairs::{Event, Fit, Pairs, Who};
use super::record::{Fault, Field, Parsed, Record};
use super::window::Window;
use super::{json, log};
use crate::error::{Problem, ReadError};
use crate::raw::{Invoked, RawOp, RawValue};
use crate::registers::OpValue;
use crate::{Header, Kind, LINE_BYTES_MAX, Process, Value};

/// The error of a failed cas that promises that the store held another value than it expected.
pub const CAS_MISMATCH: &str = "cas mismatch";

/// Option of an imported history's header: true if every failed cas with the error [`CAS_MISMATCH`] is such a promise.
pub const OPTION_CAS_MISMATCH: &str = "cas-mismatch";

/// Option of an imported history's header: the name of its [`Format`].
pub const OPTION_FORMAT: &str = "imported";

/// Option of an imported history's header: true if the order of ops of different processes means nothing.
pub const OPTION_UNTIMED: &str = "untimed";

/// How far times may go back between processes, nanoseconds. Jepsen stamps an op when it is due and records it when its
/// worker takes it: Elle's own example histories are up to five seconds out of order.
pub const TIME_BACK_NS_MAX: i64 = 10_000_000_000;

/// The function of an info by which Knossos' tests say that a process crashed, whatever it was doing.
pub(super) const CRASH: &str = "crash";

/// How far times may go back between processes where `reached` was seen before, nanoseconds: by a part of it, since no
/// race of threads explains more. Once a run has gone on for a second, indices that rise say that the order is meant.
fn time_back_ns(reached: i64, indexed: bool) -> i64 {
    let settled = indexed && reached >= 1_000_000_000;
    let part = if settled { reached / 3 * 2 } else { reached / 5 };
    part.min(TIME_BACK_NS_MAX)
}

/// Whether values carry the keys of independent objects; see the [module](super) for how it is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Independent {
    /// Values are values.
    No,
    /// Every client op's value is `[key value]`.
    Yes,
    /// As the first bytes of the file look.
    #[default]
    Guess,
}

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether values carry keys.
    pub independent: Independent,
    /// Makes a history of what is none, and says in notes what that took. Nothing is done that could turn a history
    /// that is right into one that is wrong: where a completion cannot be placed, its operation counts as unknown;
    /// where an invocation is missing, it is put as early as its process allows; processes that do two things at once
    /// become several; ops without a process are paired by function and value where only one way is possible. Text
    /// that cannot be read and ops without a type are dropped, which can lose operations: a verdict is then about what
    /// is left. The whole history is held in memory.
    pub repair: bool,
}

#[derive(Clone, Copy, Debug)]
enum Syntax {
    /// With the bracket that closes what the ops are in.
    Edn(Option<u8>),
    Json(Frame),
    Log {
        prefixed: bool,
    },
}

/// Hands out the ops of a foreign history one after the other.
pub struct Importer<R> {
    window: Window<R>,
    syntax: Syntax,
    header: Header,
    pub(super) independent: bool,
    misses: bool,
    pub(super) record: Record,
    pairs: Pairs,
    pub(super) notes: Notes,
    /// Line of the latest op.
    pub(super) line: u64,
    next_index: u64,
    time_ns: u64,
    given_index: Option<u64>,
    /// The latest time that the file says.
    given_ns: i64,
    /// Set once anything went wrong or the end was reached.
    ended: bool,
}

/// An op that fits, its texts still in the record.
struct Accepted {
    process: Process,
    kind: Kind,
    invoked: Option<Invoked>,
    f: Range<usize>,
    mismatch: bool,
}

impl<R: Read> Importer<R> {
    /// Begins to import a file of a kind that is not ours.
    ///
    /// # Errors
    /// Its first bytes cannot be read.
    ///
    /// # Panics
    /// `format` is [`Format::Keelhaul`], which a [`crate::Reader`] reads, or one of [sessions](super::sessions).
    pub fn new(input: R, format: Format, independent: Independent) -> Result<Self, ReadError> {
        let mut header = Header::new("", "");
        header.options.set(OPTION_FORMAT, &format.as_str().into());
        let misses = format == Format::PorcupineEtcd;
        if misses {
            header.options.set(OPTION_CAS_MISMATCH, &Value::Bool(true));
        }
        let mut importer = Self::with(Window::new(input, 1), syntax(format), header);
        importer.misses = misses;
        importer.window.fill()?;
        importer.independent = match independent {
            Independent::No => false,
            Independent::Yes => true,
            Independent::Guess => importer.looks_independent(),
        };
        Ok(importer)
    }

    /// Begins to import what follows the header of a history of ours, which is on line 1.
    pub(super) fn own(input: R, header: Header) -> Self {
        Self::with(Window::new(input, 2), Syntax::Json(Frame::default()), header)
    }

    fn with(window: Window<R>, syntax: Syntax, header: Header) -> Self {
        Self {
            window,
            syntax,
            header,
            independent: false,
            misses: false,
            record: Record::default(),
            pairs: Pairs::default(),
            notes: Notes::default(),
            line: 0,
            next_index: 0,
            time_ns: 0,
            given_index: None,
            given_ns: 0,
            ended: false,
        }
    }

    /// What is known of the run: the format, in the options.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Line of the file on which the latest op begins, from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// What was done besides reading, a sentence each; complete once the end is reached.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes.sentences()
    }

    /// The next op, or `None` at the end.
    ///
    /// # Errors
    /// A line is malformed or does not fit the lines before it; the error says how. Nothing follows an error: the next
    /// call returns `None`.
    pub fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        // Taken back when the op turns out well: every early return below is an error or the end.
        self.ended = true;
        let accepted = loop {
            if !self.read_record()? {
                return Ok(None);
            }
            match self.accept() {
                Ok(Some(accepted)) => break accepted,
                Ok(None) => {}
                Err(problem) => return Err(ReadError::Malformed { line: self.line, problem }),
            }
        };
        self.ended = false;
        let index = self.next_index;
        self.next_index += 1;
        let record = &self.record;
        let error = if accepted.mismatch { Some(CAS_MISMATCH.into()) } else { record.error() };
        Ok(Some(RawOp {
            index,
            time_ns: self.time_ns,
            process: accepted.process,
            kind: accepted.kind,
            f: &record.json[accepted.f],
            key: record.range(Field::Key).map(|range| RawValue(&record.json[range])),
            value: OpValue::Json(record.value()),
            node: record.node(),
            error,
            invoked: accepted.invoked,
        }))
    }

    /// Parses the next op into the record; false at the end.
    pub(super) fn read_record(&mut self) -> Result<bool, ReadError> {
        loop {
            let mut syntax = self.syntax;
            self.record.clear();
            let window = &self.window;
            let parsed = parse(&window.text, window.start, &mut syntax, &mut self.record);
            let too_long = window.text.len() - window.start > LINE_BYTES_MAX;
            match parsed {
                Ok(Some((begin, end)))
                    if (window.ended || end < window.text.len())
                        && end - begin <= LINE_BYTES_MAX =>
                {
                    self.syntax = syntax;
                    self.window.consume(begin);
                    self.line = self.window.line;
                    self.window.consume(end);
                    self.record.add_rebalances();
                    return Ok(true);
                }
                Ok(None) if window.ended && !window.garbled => return Ok(false),
                Err(fault) if window.is_final(&fault, too_long) => return Err(window.error(fault)),
                Ok(None) | Err(_) if window.garbled => return Err(window.not_utf8()),
                _ => {}
            }
            if too_long {
                let problem = Problem::LineTooLong { max: LINE_BYTES_MAX };
                let at = self.window.text.len() - self.window.unread().trim_ascii_start().len();
                return Err(self.window.error(Fault::new(at, problem)));
            }
            self.window.fill()?;
        }
    }

    /// After an error of [`Self::read_record`], goes to the next line behind it; false if there is none.
    pub(super) fn skip_line(&mut self) -> Result<bool, ReadError> {
        loop {
            let from = self.window.start;
            let rest = self.window.unread();
            // What cannot be read may begin on the next line: the newline here is the one that ends this op's first.
            let blank = rest.len() - rest.trim_ascii_start().len();
            if let Some(len) = memchr::memchr(b'\n', &rest.as_bytes()[blank..]) {
                self.window.consume(from + blank + len + 1);
                return Ok(true);
            }
            if self.window.ended {
                return Ok(false);
            }
            if rest.len() > LINE_BYTES_MAX {
                self.window.consume(from + rest.len());
            }
            self.window.fill()?;
        }
    }

    /// Checks the record against the ops before it; nothing if it is to be left out.
    fn accept(&mut self) -> Result<Option<Accepted>, Problem> {
        let kind = self.record.kind()?;
        let who = self.record.process()?.ok_or(Problem::NoProcess)?;
        let f = self.function(who, kind)?;
        if !self.record.says_function() && kind == Kind::Invoke {
            self.notes.add(Note::TxnInferred, self.line);
        }
        if self.independent && who != Who::Nemesis {
            self.lift_key(who, kind)?;
        }
        self.check_index()?;
        let given_ns = self.check_time()?;
        let record = &self.record;
        let key = record.range(Field::Key).filter(|_| self.independent);
        let event = Event {
            who,
            kind,
            f: &record.json[f.clone()],
            key: key.map(|range| &record.json[range]),
            index: self.next_index,
            time_ns: self.time_ns,
            given_ns,
        };
        match self.pairs.step(&event)? {
            Fit::Op { process, kind, invoked, renamed } => {
                if renamed {
                    self.notes.add(Note::ProcessRenamed, self.line);
                }
                let mismatch = kind == Kind::Fail && self.is_mismatch(&f);
                Ok(Some(Accepted { process, kind, invoked, f, mismatch }))
            }
            Fit::Odd => {
                self.notes.add(Note::NemesisOdd, self.line);
                Ok(None)
            }
            Fit::Crash => {
                self.notes.add(Note::IdleCrash, self.line);
                Ok(None)
            }
        }
    }

    /// Where the name of what the op does is. A completion that does not say does what was invoked, and so does the info
    /// that says that a client crashed; to the nemesis `crash` is a fault like any other.
    fn function(&mut self, who: Who, kind: Kind) -> Result<Range<usize>, Problem> {
        let found = self.record.function()?;
        let said = self.record.says_function();
        if let Some(f) = found.clone().filter(|_| said)
            && (who == Who::Nemesis || kind != Kind::Info || &self.record.json[f.clone()] != CRASH)
        {
            return Ok(f);
        }
        let open = if kind == Kind::Invoke { None } else { self.pairs.open_function(who) };
        match open {
            Some(f) => Ok(self.record.push(&f)),
            None => found.ok_or(Problem::NoFunction),
        }
    }

    /// Whether a failed op is a cas that found another value; one that failed for another reason says so.
    pub(super) fn is_mismatch(&self, f: &Range<usize>) -> bool {
        self.misses && &self.record.json[f.clone()] == "cas" && self.record.error().is_none()
    }

    fn lift_key(&mut self, who: Who, kind: Kind) -> Result<(), Problem> {
        if self.record.range(Field::Value).is_none() && kind != Kind::Invoke {
            if let Some(key) = self.pairs.open_key(who) {
                let range = self.record.push(key);
                self.record.set(Field::Key, Some(range));
            }
            return Ok(());
        }
        if !self.record.lift_key() {
            return Err(Problem::NotATuple(short(self.record.value().text())));
        }
        if self.next_index == 0 {
            self.notes.add(Note::KeyLifted, self.line);
        }
        Ok(())
    }

    fn check_index(&mut self) -> Result<(), Problem> {
        let given = self.record.number(Field::Index, "index")?;
        if let Some(found) = given.and_then(|index| u64::try_from(index).ok()) {
            if let Some(previous) = self.given_index.filter(|previous| found <= *previous) {
                return Err(Problem::ForeignIndexBack { found, previous });
            }
            self.given_index = Some(found);
        }
        Ok(())
    }

    /// Moves the time on and returns what the file says of it.
    fn check_time(&mut self) -> Result<Option<i64>, Problem> {
        let given = self.record.number(Field::Time, "time")?.filter(|time| *time >= 0);
        let Some(found) = given else {
            self.time_ns += u64::from(self.next_index > 0);
            return Ok(None);
        };
        let previous = self.given_ns;
        if found < previous {
            let tolerated = time_back_ns(previous, self.given_index.is_some());
            if previous - found > tolerated {
                return Err(Problem::ForeignTimeBack { found, previous, tolerated });
            }
            self.notes.add(Note::TimeRaised, self.line);
        }
        self.given_ns = previous.max(found);
        self.time_ns = self.time_ns.max(found.cast_unsigned());
        Ok(given)
    }

    /// Looks at the ops in the window without taking them.
    fn looks_independent(&mut self) -> bool {
        let (mut at, mut syntax, mut reads) = (self.window.start, self.syntax, 0u64);
        loop {
            self.record.clear();
            let parsed = parse(&self.window.text, at, &mut syntax, &mut self.record);
            let Ok(Some((_, end))) = parsed else { break };
            at = end;
            if matches!(self.record.process(), Ok(Some(Who::Nemesis))) {
                continue;
            }
            let Ok(kind) = self.record.kind() else { break };
            let Ok(Some(f)) = self.record.function() else { return false };
            let value = self.record.value().text();
            let completed_without = kind != Kind::Invoke && value == "null";
            let read = kind == Kind::Invoke && &self.record.json[f] == "read";
            match super::record::pair(value) {
                Some((key, _)) if value[key.clone()].starts_with(['[', '{', 'n']) => return false,
                Some((_, rest)) if read && &value[rest.clone()] != "null" => return false,
                Some(_) => reads += u64::from(read),
                None if completed_without => {}
                None => return false,
            }
        }
        reads > 0
    }
}

fn syntax(format: Format) -> Syntax {
    match format {
        Format::Keelhaul => panic!("our own format is not imported"),
        Format::Edn => Syntax::Edn(None),
        Format::Json => Syntax::Json(Frame::default()),
        Format::JepsenText => Syntax::Log { prefixed: false },
        Format::PorcupineEtcd => Syntax::Log { prefixed: true },
        Format::Plume | Format::Dbcop | Format::DbcopBincode | Format::Cobra => {
            panic!("{format} is imported by sessions")
        }
    }
}

fn parse(
    text: &str,
    at: usize,
    syntax: &mut Syntax,
    record: &mut Record,
) -> Parsed<Option<(usize, usize)>> {
    match syntax {
        Syntax::Edn(open) => {
            let mut edn = Edn::new(text, at);
            if !edn.next_op(open)? {
                return Ok(None);
            }
            let begin = edn.at;
            edn.op(record)?;
            Ok(Some((begin, edn.at)))
        }
        Syntax::Json(frame) => {
            let found = json::next_op(text, at, frame, record)?;
            if found.is_some() && *frame == Frame::ArrayStart {
                *frame = Frame::ArrayRest;
            }
            Ok(found)
        }
        Syntax::Log { prefixed } => log::next_op(text, at, *prefixed, record),
    }
}

/// The beginning of a text that may be long, for an error.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
#[path = "importer_tests.rs"]
mod tests;
