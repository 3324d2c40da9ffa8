//! Plume's text: an operation a line.
//!
//! `r(key,value,session,transaction)` or `w(…)`, four whole numbers. The operations of a transaction stand together; a
//! transaction of number -1 was rolled back, and so are lines of it that follow each other in one session. A key holds
//! 0 before anybody writes it.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use super::Txn;
use super::ops::Does;
use crate::error::{Problem, ReadError};
use crate::import::pairs::Who;
use crate::import::record::Fault;
use crate::import::window::Window;
use crate::{Kind, LINE_BYTES_MAX};

/// The number of transactions that were rolled back.
const ROLLED_BACK: i64 = -1;

/// A line in pieces.
struct Line<'a> {
    does: Does,
    key: &'a str,
    value: &'a str,
    session: i64,
    txn: i64,
}

/// Whether the first line is an operation.
pub(super) fn looks_right(head: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let line = std::str::from_utf8(&head[..end]);
    line.is_ok_and(|line| parse_line(line.trim_ascii()).is_ok())
}

/// Reads a whole line, or says at which byte of it something else should stand.
fn parse_line(line: &str) -> Result<Line<'_>, usize> {
    let (parsed, end) = parse(line)?;
    if end == line.len() { Ok(parsed) } else { Err(end - 1) }
}

/// Reads the operation that a text begins with, and says where it ends; or at which byte something else should stand.
#[inline]
fn parse(text: &str) -> Result<(Line<'_>, usize), usize> {
    let bytes = text.as_bytes();
    let does = match bytes.first() {
        Some(b'r') => Does::Read,
        Some(b'w') => Does::Write,
        _ => return Err(0),
    };
    let mut at = 1;
    let mut number = |before: u8| {
        /// So many fit, whatever they are.
        const DIGITS: usize = 18;

        if bytes.get(at) != Some(&before) {
            return Err(at);
        }
        at += 1;
        while bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        let from = at;
        at += usize::from(bytes.get(at) == Some(&b'-'));
        let digits = at;
        let mut whole = 0_i64;
        while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
            whole = whole.wrapping_mul(10).wrapping_add(i64::from(digit));
            at += 1;
        }
        let number = &text[from..at];
        let fits = (1..=DIGITS).contains(&(at - digits)) || number.parse::<i64>().is_ok();
        let zeros = number.len() > 1 && bytes[digits..at].starts_with(b"0");
        let signed = if digits == from { whole } else { whole.wrapping_neg() };
        if fits && !zeros { Ok((number, signed)) } else { Err(from) }
    };
    let (key, value) = (number(b'(')?.0, number(b',')?.0);
    let (session, txn) = (number(b',')?.1, number(b',')?.1);
    if bytes.get(at) != Some(&b')') {
        return Err(at);
    }
    Ok((Line { does, key, value, session, txn }, at + 1))
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
}

impl<R: Read> Plume<R> {
    pub fn new(window: Window<R>) -> Self {
        Self { window, over: HashMap::new() }
    }

    /// Reads lines as long as they are of one transaction; false at the end of the file.
    pub fn next_txn(&mut self, into: &mut Txn) -> Result<bool, ReadError> {
        let mut current = None;
        loop {
            let (start, unread) = (self.window.start, self.window.unread());
            // Most lines are an operation from end to end.
            let whole = parse(unread).ok().filter(|(_, end)| {
                *end <= LINE_BYTES_MAX && unread.as_bytes().get(*end) == Some(&b'\n')
            });
            let is_whole = whole.is_some();
            let (line, from, next) = match whole {
                Some((line, end)) => (line, start, start + end + 1),
                None => {
                    let Some((from, to, next)) = self.line()? else { break };
                    let parsed = parse_line(&self.window.text[from..to]);
                    let fault = |at| Fault::new(from + at, Problem::NotPlume { column: 0 });
                    (parsed.map_err(|at| self.window.error(fault(at)))?, from, next)
                }
            };
            let name = (line.session, line.txn);
            let fault = |problem| self.window.error(Fault::new(from, problem));
            if current.is_none() {
                let (session, txn) = name;
                if txn != ROLLED_BACK && !self.over.entry(session).or_default().add(txn) {
                    return Err(fault(Problem::TxnApart { session, txn }));
                }
                let process = u32::try_from(session).ok().filter(|id| *id <= Who::CLIENT_MAX);
                into.session =
                    process.ok_or_else(|| fault(Problem::ForeignProcess(session.to_string())))?;
                into.outcome = if txn == ROLLED_BACK { Kind::Fail } else { Kind::Ok };
                into.line = self.window.line_of(from);
                current = Some(name);
            } else if current != Some(name) {
                break;
            }
            let pushed = into.ops.push_from_zero(line.does, line.key, line.value);
            pushed.map_err(fault)?;
            if is_whole {
                self.window.consume_line(next);
            } else {
                self.window.consume(next);
            }
        }
        if current.is_some() {
            into.ops.close();
        }
        Ok(current.is_some())
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
