//! Lines of text: process, type, function, value, and perhaps an error.
//!
//! `3 :invoke :cas [2 1]`, as in Jepsen's `history.txt`, or behind ` - `, as in the logs that Porcupine's tests read.
//! Each part is an EDN form. What a log says of an op that did not succeed is where its value would be: a keyword there
//! is the error.

use super::edn::Edn;
use super::record::{Fault, Field, Parsed, Record};
use crate::error::Problem;

/// What stands between the logger's words and the op.
const DASH: &str = " - ";

/// Some loggers repeat their name behind the dash.
const LOGGER: &str = "jepsen.util ";

/// The op of a line that a logger wrote.
pub(super) fn behind_prefix(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(DASH)?;
    Some(rest.strip_prefix(LOGGER).unwrap_or(rest))
}

/// Whether a line is an op, by its first two words.
pub(super) fn looks_right(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let process =
        words.next().is_some_and(|word| word == ":nemesis" || word.parse::<u32>().is_ok());
    process && matches!(words.next(), Some(":invoke" | ":ok" | ":fail" | ":info"))
}

/// Goes to the next line that is not blank, from `at` of `text`, and reads it. The result is where it begins and ends;
/// nothing at the end of the file.
pub(super) fn next_op(
    text: &str,
    at: usize,
    prefixed: bool,
    record: &mut Record,
) -> Parsed<Option<(usize, usize)>> {
    let blank = text[at..].len() - text[at..].trim_ascii_start().len();
    let begin = at + blank;
    if begin == text.len() {
        return Ok(None);
    }
    let newline = memchr::memchr(b'\n', &text.as_bytes()[begin..]);
    let end = newline.map_or(text.len(), |n| begin + n);
    let line = &text[begin..end];
    let body = if prefixed { behind_prefix(line) } else { Some(line) };
    let not_an_op = || Fault::new(0, Problem::NotALogLine { column: 0 });
    let offset = end - body.map_or(line.len(), str::len);
    let parsed = body.ok_or_else(not_an_op).and_then(|body| parts(body, record));
    // Of a line whose end was not yet read nothing is certain.
    let at = |fault: Fault| Fault { at: offset + fault.at, cut: newline.is_none(), ..fault };
    parsed.map_err(at)?;
    Ok(Some((begin, end)))
}

fn parts(line: &str, record: &mut Record) -> Parsed<()> {
    let mut edn = Edn::new(line, 0);
    let mut word = false;
    for name in ["process", "type", "f", "value", "error"] {
        edn.blank(0)?;
        let from = record.json.len();
        match edn.peek() {
            None if name == "error" => break,
            None => return Err(Fault::new(edn.at, Problem::NotALogLine { column: 0 })),
            Some(first) if name == "value" => word = first == b':',
            Some(_) => {}
        }
        edn.form(&mut record.json, 1)?;
        record.put(name, from);
    }
    let happened = matches!(record.kind(), Ok(crate::Kind::Invoke | crate::Kind::Ok));
    if word && !happened && record.range(Field::Error).is_none() {
        let error = record.range(Field::Value);
        record.set(Field::Error, error);
        record.set(Field::Value, None);
    }
    edn.blank(0)?;
    match edn.peek() {
        None => Ok(()),
        Some(_) => Err(Fault::new(edn.at, Problem::NotALogLine { column: 0 })),
    }
}
