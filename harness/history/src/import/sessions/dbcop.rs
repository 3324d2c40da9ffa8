//! dbcop's histories as JSON.
//!
//! A list of sessions, each a list of transactions, `{"events": […], "committed": true}`; alone, or as `data` of an object
//! whose other fields say how the history was made. An event is `{"Write": {"variable": K, "version": V}}` or
//! `{"Read": …}`, where no version is that of a key which nobody wrote; or `["w", K, V]`; or, as older files have it,
//! `{"write": true, "variable": K, "value": V, "success": true}`, where a key that nobody wrote holds 0.

use std::io::Read;
use std::ops::Range;

use super::Txn;
use super::ops::Does;
use crate::error::{Problem, ReadError};
use crate::import::pairs::Who;
use crate::import::record::Fault;
use crate::import::window::Window;
use crate::raw::RawValue;
use crate::scan::{Numbers, Scan};
use crate::{Kind, LINE_BYTES_MAX};

/// Where in the file the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// In the list of sessions; whether one came before.
    Sessions(bool),
    /// In a session; whether a transaction came before.
    Session(bool),
    /// Behind the sessions.
    End,
}

pub(super) struct Dbcop<R> {
    window: Window<R>,
    at: At,
    /// Whether the sessions are in an object.
    framed: bool,
    /// Sessions that have begun.
    begun: u32,
}

const TXN: &str = "a transaction must stand here, {\"events\":[…],\"committed\":true}";
const EVENT: &str = "events must be {\"Read\":{\"variable\":K,\"version\":V}}, {\"Write\":…}, [\"r\",K,V] or [\"w\",K,V]";

impl<R: Read> Dbcop<R> {
    pub const fn new(window: Window<R>) -> Self {
        Self { window, at: At::Start, framed: false, begun: 0 }
    }

    fn wrong<T>(&self, expected: &'static str) -> Result<T, ReadError> {
        Err(self
            .window
            .error(Fault::new(self.window.start, Problem::NotJson { column: 0, expected })))
    }

    /// The next byte that is no blank, which stays; nothing at the end of the file.
    fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        loop {
            let unread = self.window.unread();
            let blank = unread.len() - unread.trim_ascii_start().len();
            let found = unread.as_bytes().get(blank).copied();
            let to = self.window.start + blank;
            self.window.consume(to);
            if found.is_some() {
                return Ok(found);
            }
            if self.window.ended {
                return if self.window.garbled { Err(self.window.not_utf8()) } else { Ok(None) };
            }
            self.window.fill()?;
        }
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), ReadError> {
        if self.peek()? != Some(byte) {
            return self.wrong(expected);
        }
        let to = self.window.start + 1;
        self.window.consume(to);
        Ok(())
    }

    /// Where in the window the value is that stands next; it is not consumed.
    fn value(&mut self, numbers: Numbers) -> Result<Range<usize>, ReadError> {
        loop {
            self.peek()?;
            let (start, len) = (self.window.start, self.window.unread().len());
            let too_long = len > LINE_BYTES_MAX;
            let mut scan = Scan::new(self.window.unread());
            match scan.value(numbers) {
                Ok(text) if text.len() > LINE_BYTES_MAX => {}
                Ok(text) if text.len() < len || (self.window.ended && !self.window.garbled) => {
                    return Ok(start..start + text.len());
                }
                Ok(_) => {}
                Err(problem) => {
                    let at = match problem {
                        Problem::NotJson { column, .. } => column - 1,
                        _ => scan.at(),
                    };
                    let fault = Fault::new(start + at, problem);
                    if self.window.is_final(&fault, too_long) {
                        return Err(self.window.error(fault));
                    }
                }
            }
            if self.window.garbled {
                return Err(self.window.not_utf8());
            }
            if too_long {
                let problem = Problem::LineTooLong { max: LINE_BYTES_MAX };
                return Err(self.window.error(Fault::new(start, problem)));
            }
            self.window.fill()?;
        }
    }

    /// Goes to the list of sessions.
    fn begin(&mut self) -> Result<(), ReadError> {
        const START: &str =
            "a list of sessions, or an object with one as \"data\", must stand here";
        match self.peek()? {
            Some(b'{') => self.framed = true,
            Some(b'[') => return self.take(b'[', START),
            _ => return self.wrong(START),
        }
        self.take(b'{', START)?;
        if !self.fields(true)? {
            return self.wrong("the object must have the sessions as \"data\"");
        }
        self.take(b'[', "\"data\" must be a list of sessions")
    }

    /// Passes over fields of the object: to the value of `data`, then true; or to the object's end.
    fn fields(&mut self, mut first: bool) -> Result<bool, ReadError> {
        loop {
            match self.peek()? {
                Some(b'}') => {
                    self.take(b'}', "")?;
                    return Ok(false);
                }
                Some(b',') if !first => self.take(b',', "")?,
                Some(b'"') if first => {}
                _ => return self.wrong("a field, or the closing bracket, must stand here"),
            }
            first = false;
            if self.peek()? != Some(b'"') {
                return self.wrong("a field must stand here");
            }
            let name = self.value(Numbers::Any)?;
            let data = &self.window.text[name.clone()] == "\"data\"";
            self.window.consume(name.end);
            self.take(b':', "a colon must stand here")?;
            if data {
                return Ok(true);
            }
            let value = self.value(Numbers::Any)?;
            self.window.consume(value.end);
        }
    }

    pub fn next_txn(&mut self, into: &mut Txn) -> Result<bool, ReadError> {
        const NEXT: &str = "a comma or the closing bracket must stand here";
        loop {
            match (self.at, self.peek()?) {
                (At::Start, _) => {
                    self.begin()?;
                    self.at = At::Sessions(false);
                }
                (At::End, None) => return Ok(false),
                (At::End, Some(_)) => {
                    return self.wrong("the file must end after the last session");
                }
                (At::Sessions(_), Some(b']')) => {
                    self.take(b']', "")?;
                    if self.framed && self.fields(false)? {
                        return self.wrong("\"data\" must stand once");
                    }
                    self.at = At::End;
                }
                (At::Sessions(before), _) => {
                    if before {
                        self.take(b',', NEXT)?;
                    }
                    self.take(b'[', "a session must stand here, a list of transactions")?;
                    self.begun += 1;
                    self.at = At::Session(false);
                    if self.begun > Who::CLIENT_MAX {
                        return self.wrong("so many sessions cannot be");
                    }
                }
                (At::Session(_), Some(b']')) => {
                    self.take(b']', "")?;
                    self.at = At::Sessions(true);
                }
                (At::Session(before), _) => {
                    if before {
                        self.take(b',', NEXT)?;
                    }
                    self.at = At::Session(true);
                    self.txn(into)?;
                    return Ok(true);
                }
            }
        }
    }

    fn txn(&mut self, into: &mut Txn) -> Result<(), ReadError> {
        if self.peek()? != Some(b'{') {
            return self.wrong(TXN);
        }
        let range = self.value(Numbers::Whole)?;
        into.session = self.begun - 1;
        into.line = self.window.line_of(range.start);
        let parsed = txn(RawValue(&self.window.text[range.clone()]), into);
        parsed.map_err(|problem| self.window.error(Fault::new(range.start, problem)))?;
        self.window.consume(range.end);
        Ok(())
    }
}

const fn not(expected: &'static str) -> Problem {
    Problem::NotJson { column: 0, expected }
}

fn txn(json: RawValue<'_>, into: &mut Txn) -> Result<(), Problem> {
    let (mut events, mut committed) = (None, None);
    for (name, value) in json.entries().ok_or_else(|| not(TXN))? {
        match &*name {
            "events" => events = value.items(),
            "committed" | "success" => {
                committed = match value.text() {
                    "true" => Some(Kind::Ok),
                    "false" => Some(Kind::Fail),
                    _ => return Err(not(TXN)),
                }
            }
            _ => {}
        }
    }
    into.outcome = committed.ok_or_else(|| not(TXN))?;
    for found in events.ok_or_else(|| not(TXN))? {
        if let Some((does, key, value)) = event(found).ok_or_else(|| not(EVENT))? {
            into.ops.push_json(does, key.text(), value.text())?;
        }
    }
    into.ops.close();
    Ok(())
}

type Event<'a> = (Does, RawValue<'a>, RawValue<'a>);

/// An event; nothing within if it did not succeed.
fn event(json: RawValue<'_>) -> Option<Option<Event<'_>>> {
    if let Some(mut items) = json.items() {
        let does = match items.next()?.text() {
            "\"r\"" => Does::Read,
            "\"w\"" => Does::Write,
            _ => return None,
        };
        let event = right(does, items.next()?, items.next()?);
        return event.filter(|_| items.next().is_none()).map(Some);
    }
    let mut entries = json.entries()?;
    let (name, inner) = entries.next()?;
    let does = match &*name {
        "Read" => Does::Read,
        "Write" => Does::Write,
        _ => return flat_event(json),
    };
    if entries.next().is_some() {
        return None;
    }
    let (mut key, mut value) = (None, (does == Does::Read).then_some(RawValue::NULL));
    for (name, field) in inner.entries()? {
        match &*name {
            "variable" => key = Some(field),
            "version" => value = Some(field),
            _ => {}
        }
    }
    right(does, key?, value?).map(Some)
}

/// An event as older files have it.
fn flat_event(json: RawValue<'_>) -> Option<Option<Event<'_>>> {
    let (mut does, mut key, mut value, mut success) = (None, None, None, true);
    for (name, field) in json.entries()? {
        match (&*name, field.text()) {
            ("write", "true") => does = Some(Does::Write),
            ("write", "false") => does = Some(Does::Read),
            ("variable", _) => key = Some(field),
            ("value", _) => value = Some(field),
            ("success", "true") => {}
            ("success", "false") => success = false,
            _ => return None,
        }
    }
    let value = value.map(|value| if value.text() == "0" { RawValue::NULL } else { value });
    let event = right(does?, key?, value?)?;
    Some(success.then_some(event))
}

/// Keys and versions are numbers or texts; what is read may be nothing.
fn right<'a>(does: Does, key: RawValue<'a>, value: RawValue<'a>) -> Option<Event<'a>> {
    let atom = |value: RawValue<'_>| {
        value.text().starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
    };
    let nothing = does == Does::Read && value.is_null();
    (atom(key) && (atom(value) || nothing)).then_some((does, key, value))
}
