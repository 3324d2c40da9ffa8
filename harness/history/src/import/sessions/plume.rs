//! Plume's text: an operation a line.
//!
//! `r(key,value,session,transaction)` or `w(…)`, four whole numbers. The operations of a transaction stand together; a
//! transaction of number -1 was rolled back, and so are lines of it that follow each other in one session. A key holds
//! 0 before anybody writes it.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use super::Txn;
use super::ops::Does;
use crate::decimal;
use crate::error::{Problem, ReadError};
use crate::import::pairs::Who;
use crate::import::record::Fault;
use crate::import::window::Window;
use crate::{Kind, LINE_BYTES_MAX};

/// The number of transactions that were rolled back.
const ROLLED_BACK: i64 = -1;

/// Who did it: session and transaction.
type Name = (i64, i64);
/// What was done: to which key, with which value.
type Operation = (Does, i64, i64);

/// Whether the first line is an operation.
pub(super) fn looks_right(head: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let line = std::str::from_utf8(&head[..end]);
    line.is_ok_and(|line| parse_line(line.trim_ascii()).is_ok())
}

/// Reads a whole line, and says where its operation ends; or at which byte something else should stand.
fn parse_line(line: &str) -> Result<(Operation, usize, Name), usize> {
    let (operation, at) = operation(line)?;
    let (name, end) = name(line, at)?;
    if end == line.len() { Ok((operation, at, name)) } else { Err(end - 1) }
}

/// Reads the operation that a text begins with, and says where it ends; or at which byte something else should stand.
#[inline]
fn operation(text: &str) -> Result<(Operation, usize), usize> {
    let does = match text.as_bytes().first() {
        Some(b'r') => Does::Read,
        Some(b'w') => Does::Write,
        _ => return Err(0),
    };
    let (key, at) = number(text, 1, b'(')?;
    let (value, at) = number(text, at, b',')?;
    Ok(((does, key, value), at))
}

/// Reads whose operation it is, from `at` to the end of the line, likewise.
#[inline]
fn name(text: &str, at: usize) -> Result<(Name, usize), usize> {
    let (session, at) = number(text, at, b',')?;
    let (txn, at) = number(text, at, b',')?;
    if text.as_bytes().get(at) == Some(&b')') { Ok(((session, txn), at + 1)) } else { Err(at) }
}

/// Reads what stands before a number at `at`, and the number, likewise.
#[inline]
fn number(text: &str, mut at: usize, before: u8) -> Result<(i64, usize), usize> {
    /// So many fit, whatever they are.
    const DIGITS: usize = 18;

    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&before) {
        return Err(at);
    }
    at += 1;
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    let from = at;
    at += usize::from(bytes.get(at) == Some(&b'-'));
    let (whole, digits) = decimal::leading(&bytes[at..]);
    let zeros = at + digits - from > 1 && bytes[at] == b'0';
    let whole = if at == from { whole.cast_signed() } else { whole.cast_signed().wrapping_neg() };
    at += digits;
    let fits = (1..=DIGITS).contains(&digits) || text[from..at].parse::<i64>().is_ok();
    if fits && !zeros { Ok((whole, at)) } else { Err(from) }
}

/// Numbers of the transactions of a session that are over.
#[derive(Default)]
struct Over {
    /// As long as they rise, as they mostly do.
    rising: Vec<i64>,
    others: HashSet<i64>,
}

impl Over {
    /// Adds a number; false if it was there.
    fn add(&mut self, number: i64) -> bool {
        if self.rising.last().is_none_or(|last| *last < number) {
            self.rising.push(number);
            return true;
        }
        self.rising.binary_search(&number).is_err() && self.others.insert(number)
    }
}

pub(super) struct Plume<R> {
    window: Window<R>,
    /// By session.
    over: HashMap<i64, Over>,
    /// How the first line of the transaction ends after its operation, as most of its lines do; empty if that is not known.
    tail: String,
}

impl<R: Read> Plume<R> {
    pub fn new(window: Window<R>) -> Self {
        Self { window, over: HashMap::new(), tail: String::new() }
    }

    /// Reads lines as long as they are of one transaction; false at the end of the file.
    pub fn next_txn(&mut self, into: &mut Txn) -> Result<bool, ReadError> {
        let mut current = None;
        while self.any_line(into, &mut current)? {
            while self.like_the_first(into)? {}
        }
        if current.is_some() {
            into.ops.close();
        }
        Ok(current.is_some())
    }

    /// Takes the next line if it begins a transaction or is of the current one; false if it is not, or there is none.
    fn any_line(&mut self, into: &mut Txn, current: &mut Option<Name>) -> Result<bool, ReadError> {
        let Some((from, to, next)) = self.line()? else { return Ok(false) };
        let fault = |at, problem| self.window.error(Fault::new(from + at, problem));
        let parsed = parse_line(&self.window.text[from..to]);
        let (operation, at, name) =
            parsed.map_err(|at| fault(at, Problem::NotPlume { column: 0 }))?;
        if current.is_none() {
            let (session, txn) = name;
            if txn != ROLLED_BACK && !self.over.entry(session).or_default().add(txn) {
                return Err(fault(0, Problem::TxnApart { session, txn }));
            }
            let process = u32::try_from(session).ok().filter(|id| *id <= Who::CLIENT_MAX);
            let foreign = || fault(0, Problem::ForeignProcess(session.to_string()));
            into.session = process.ok_or_else(foreign)?;
            into.outcome = if txn == ROLLED_BACK { Kind::Fail } else { Kind::Ok };
            into.line = self.window.line_of(from);
            *current = Some(name);
            self.tail.clear();
            self.tail.push_str(&self.window.text[from + at..next]);
        } else if *current != Some(name) {
            return Ok(false);
        }
        let (does, key, value) = operation;
        into.ops.push_from_zero(does, key, value).map_err(|problem| fault(0, problem))?;
        self.window.consume(next);
        Ok(true)
    }

    /// Takes the next line if it ends as the transaction's first, as most of its lines do: then whose it is need not be read.
    #[inline]
    fn like_the_first(&mut self, into: &mut Txn) -> Result<bool, ReadError> {
        let (tail, unread) = (self.tail.as_str(), self.window.unread());
        let Ok(((does, key, value), at)) = operation(unread) else { return Ok(false) };
        let len = at + tail.len();
        let alike = tail.ends_with('\n') && unread.as_bytes()[at..].starts_with(tail.as_bytes());
        if !alike || len > LINE_BYTES_MAX {
            return Ok(false);
        }
        let pushed = into.ops.push_from_zero(does, key, value);
        pushed.map_err(|problem| self.window.error(Fault::new(self.window.start, problem)))?;
        self.window.consume_line(self.window.start + len);
        Ok(true)
    }

    /// Where the next line that is not blank begins and ends, and where the one after it begins.
    fn line(&mut self) -> Result<Option<(usize, usize, usize)>, ReadError> {
        loop {
            let start = self.window.start;
            let unread = self.window.unread();
            let blank = unread.len() - unread.trim_ascii_start().len();
            let newline = memchr::memchr(b'\n', &unread.as_bytes()[blank..]);
            let len = newline.unwrap_or(unread.len() - blank);
            if newline.is_none() && !self.window.ended && len <= LINE_BYTES_MAX {
                self.window.fill()?;
                continue;
            }
            let line = &unread[blank..blank + len];
            if len > LINE_BYTES_MAX {
                let problem = Problem::LineTooLong { max: LINE_BYTES_MAX };
                return Err(self.window.error(Fault::new(start + blank, problem)));
            }
            if newline.is_none() && self.window.garbled {
                return Err(self.window.not_utf8());
            }
            if line.is_empty() {
                return Ok(None);
            }
            let from = start + blank;
            let end = from + line.trim_ascii_end().len();
            return Ok(Some((from, end, from + len + usize::from(newline.is_some()))));
        }
    }
}
