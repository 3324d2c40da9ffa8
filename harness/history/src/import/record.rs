//! What one op says, before it is known whether it fits the ops around it.
//!
//! Whatever the syntax, each field is translated into compact JSON in one reused buffer, and remembered as a range of
//! it; nothing else is allocated for an op of plain values.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::pairs::Who;
use crate::error::Problem;
use crate::raw::RawValue;
use crate::scan::Scan;
use crate::value::write_json_string;
use crate::{Kind, NodeId};

/// What is wrong, and at which byte of the text that was parsed.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub at: usize,
    pub problem: Problem,
    /// Whether it may only be that the text was not yet read to its end, wherever the fault is.
    pub cut: bool,
}

impl Fault {
    pub const fn new(at: usize, problem: Problem) -> Self {
        Self { at, problem, cut: false }
    }

    pub const fn cut(at: usize, problem: Problem) -> Self {
        Self { at, problem, cut: true }
    }
}

pub(super) type Parsed<T> = Result<T, Fault>;

/// The fields of an op that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Index,
    Time,
    Process,
    Type,
    F,
    Key,
    Value,
    Error,
    Node,
    /// The end of a history of ours.
    Seal,
    /// Which partitions a consumer of Kafka gained and lost meanwhile.
    RebalanceLog,
}

const FIELDS: usize = 11;

impl Field {
    #[inline]
    pub fn named(name: &str) -> Option<Self> {
        // The length first: comparing texts costs more.
        Some(match (name.len(), name) {
            (1, "f") => Self::F,
            (3, "key") => Self::Key,
            (4, "time") => Self::Time,
            (4, "type") => Self::Type,
            (4, "node") => Self::Node,
            (4, "seal") => Self::Seal,
            (5, "index") => Self::Index,
            (5, "value") => Self::Value,
            (5, "error") => Self::Error,
            (7, "process") => Self::Process,
            (13, "rebalance-log") => Self::RebalanceLog,
            _ => return None,
        })
    }
}

/// One op's fields as JSON.
///
/// Types and numbers that are written plainly are not translated at all: they are kept as what they are.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub json: String,
    fields: [Option<Range<usize>>; FIELDS],
    plain_kind: Option<Kind>,
    /// Where the function's name is, without quotes.
    plain_name: Option<Range<usize>>,
    /// By field: index, time and process, which are the first three.
    plain_numbers: [Option<i64>; 3],
}

impl Record {
    pub fn clear(&mut self) {
        self.json.clear();
        self.fields = Default::default();
        self.plain_kind = None;
        self.plain_name = None;
        self.plain_numbers = [None; 3];
    }

    /// Says that a field is this number; false if it was there before.
    pub fn put_number(&mut self, field: Field, number: i64) -> bool {
        let new = self.fields[field as usize].is_none();
        self.plain_numbers[field as usize].replace(number).is_none() && new
    }

    /// Says what the type is; false if it was there before.
    pub fn put_kind(&mut self, kind: Kind) -> bool {
        let new = self.fields[Field::Type as usize].is_none();
        self.plain_kind.replace(kind).is_none() && new
    }

    /// Says what is done; false if that was said before.
    pub fn put_name(&mut self, name: &str) -> bool {
        let new = self.fields[Field::F as usize].is_none();
        let range = self.push(name);
        self.plain_name.replace(range).is_none() && new
    }

    /// Says what the JSON of a field is; false if it was there before.
    pub fn put_json(&mut self, field: Field, json: &str) -> bool {
        let range = self.push(json);
        self.fields[field as usize].replace(range).is_none()
    }

    /// Whether the op says what is done.
    pub fn says_function(&self) -> bool {
        self.plain_name.is_some() || self.range(Field::F).is_some()
    }

    /// Whether the field was said plainly.
    fn is_plain(&self, field: Field) -> bool {
        match field {
            Field::Type => self.plain_kind.is_some(),
            Field::F => self.plain_name.is_some(),
            Field::Index | Field::Time | Field::Process => {
                self.plain_numbers[field as usize].is_some()
            }
            _ => false,
        }
    }

    /// Says that `json` from `from` to its end is the value of `name`; of an unknown name it is taken away again.
    /// False if the name was there before.
    #[inline]
    pub fn put(&mut self, name: &str, from: usize) -> bool {
        let range = from..self.json.len();
        match Field::named(name) {
            Some(field) => {
                let plain = self.is_plain(field);
                self.fields[field as usize].replace(range).is_none() && !plain
            }
            None => {
                self.json.truncate(from);
                true
            }
        }
    }

    /// Where the JSON of a field is; nothing for null too.
    #[inline]
    pub fn range(&self, field: Field) -> Option<Range<usize>> {
        self.fields[field as usize].clone().filter(|range| &self.json[range.clone()] != "null")
    }

    pub fn set(&mut self, field: Field, range: Option<Range<usize>>) {
        self.fields[field as usize] = range;
    }

    #[inline]
    fn json_of(&self, field: Field) -> Option<&str> {
        self.range(field).map(|range| &self.json[range])
    }

    /// A field's text, or its JSON if it is no text.
    fn text(&self, field: Field) -> Option<Cow<'_, str>> {
        self.json_of(field).map(text)
    }

    pub fn kind(&self) -> Result<Kind, Problem> {
        if let Some(kind) = self.plain_kind {
            return Ok(kind);
        }
        match self.json_of(Field::Type) {
            Some("\"invoke\"") => Ok(Kind::Invoke),
            Some("\"ok\"") => Ok(Kind::Ok),
            Some("\"fail\"") => Ok(Kind::Fail),
            Some("\"info\"") => Ok(Kind::Info),
            Some(other) => Err(Problem::UnknownType(other.into())),
            None => Err(Problem::NoType),
        }
    }

    /// Nothing where the op does not say.
    pub fn process(&self) -> Result<Option<Who>, Problem> {
        if let Some(number) = self.plain_numbers[Field::Process as usize] {
            let id = u32::try_from(number).ok().filter(|id| *id <= Who::CLIENT_MAX);
            let id = id.ok_or_else(|| Problem::ForeignProcess(number.to_string()))?;
            return Ok(Some(Who::Client(id)));
        }
        match self.json_of(Field::Process) {
            None => Ok(None),
            Some("\"nemesis\"") => Ok(Some(Who::Nemesis)),
            Some(other) => match other.parse() {
                Ok(id) if id <= Who::CLIENT_MAX => Ok(Some(Who::Client(id))),
                _ => Err(Problem::ForeignProcess(other.into())),
            },
        }
    }

    /// Where the function's name is in `json`; of a list of micro-operations it may be absent.
    pub fn function(&mut self) -> Result<Option<Range<usize>>, Problem> {
        if let Some(range) = &self.plain_name {
            return Ok(Some(range.clone()));
        }
        let Some(range) = self.range(Field::F) else {
            let txn = self.json_of(Field::Value).is_some_and(is_txn);
            return Ok(txn.then(|| self.push("txn")));
        };
        let json = &self.json[range.clone()];
        match text(json) {
            Cow::Borrowed(name) if name.len() == json.len() => Ok(Some(range)),
            Cow::Borrowed(_) => Ok(Some(range.start + 1..range.end - 1)),
            Cow::Owned(name) => Ok(Some(self.push(&name))),
        }
    }

    /// Appends to the buffer.
    pub fn push(&mut self, text: &str) -> Range<usize> {
        let from = self.json.len();
        self.json.push_str(text);
        from..self.json.len()
    }

    pub fn number(&self, field: Field, name: &'static str) -> Result<Option<i64>, Problem> {
        if let Some(number) = self.plain_numbers[field as usize] {
            return Ok(Some(number));
        }
        let Some(json) = self.json_of(field) else { return Ok(None) };
        let number = json.parse().map(Some);
        number.map_err(|_| Problem::ForeignNumber { field: name, found: json.into() })
    }

    pub fn node(&self) -> Option<NodeId> {
        self.text(Field::Node)?.parse().ok()
    }

    pub fn error(&self) -> Option<Cow<'_, str>> {
        self.text(Field::Error)
    }

    pub fn value(&self) -> RawValue<'_> {
        self.json_of(Field::Value).map_or(RawValue::NULL, RawValue)
    }

    /// Appends `["rebalance", [key, …]]` to a list of micro-operations, for each rebalance that the op tells of.
    pub fn add_rebalances(&mut self) {
        let (Some(log), Some(value)) = (self.range(Field::RebalanceLog), self.range(Field::Value))
        else {
            return;
        };
        let mut json = self.json[value].to_string();
        let Some(events) = RawValue(&self.json[log]).items().filter(|_| is_txn(&json)) else {
            return;
        };
        for event in events {
            let keys =
                event.entries().and_then(|mut fields| fields.find(|(name, _)| name == "keys"));
            let Some((_, keys)) = keys else { continue };
            json.pop();
            let comma = if json.len() > 1 { "," } else { "" };
            json.push_str(&format!("{comma}[\"rebalance\",{}]]", keys.text()));
        }
        let range = self.push(&json);
        self.set(Field::Value, Some(range));
    }

    /// Takes the value `[k v]` apart; false if it is none.
    pub fn lift_key(&mut self) -> bool {
        let Some(whole) = self.range(Field::Value) else { return false };
        let Some((key, value)) = pair(&self.json[whole.clone()]) else { return false };
        let shift = |range: Range<usize>| whole.start + range.start..whole.start + range.end;
        self.set(Field::Key, Some(shift(key)));
        self.set(Field::Value, Some(shift(value)));
        true
    }
}

/// The text that a JSON string stands for; other JSON as it is.
fn text(json: &str) -> Cow<'_, str> {
    if !json.starts_with('"') {
        return Cow::Borrowed(json);
    }
    if !json.contains('\\') {
        return Cow::Borrowed(&json[1..json.len() - 1]);
    }
    RawValue(json).as_str().unwrap_or(Cow::Borrowed(json))
}

/// Where the two elements of a compact JSON list are.
pub(super) fn pair(json: &str) -> Option<(Range<usize>, Range<usize>)> {
    let mut scan = Scan::new(json);
    let mut element = |before: &str| {
        let from = scan.take(before).then(|| scan.at())?;
        scan.value(crate::scan::Numbers::Any).ok()?;
        Some(from..scan.at())
    };
    let ranges = (element("[")?, element(",")?);
    (scan.take("]") && scan.at_end()).then_some(ranges)
}

/// Whether compact JSON is a list of micro-operations: lists, each with a word first. Of an empty list nobody knows.
fn is_txn(json: &str) -> bool {
    json == "[]" || json.starts_with("[[\"")
}

/// Appends a JSON string.
#[inline]
pub(super) fn push_string(out: &mut String, text: &str) {
    if text.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\') {
        write_json_string(out, text).expect("a string takes all");
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Appends an object whose keys are JSON strings, ordered: equal maps become equal text. The key that stands twice is
/// the error.
pub(super) fn push_map(
    out: &mut String,
    mut entries: Vec<(String, String)>,
) -> Result<(), Problem> {
    entries.sort_by(|(a, _), (b, _)| in_order(&a[1..a.len() - 1], &b[1..b.len() - 1]));
    if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Problem::KeyTwice(twice[0].0.clone()));
    }
    out.push('{');
    for (i, (key, value)) in entries.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        out.push_str(key);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    Ok(())
}

/// Numbers by size, before anything else by its text.
pub(super) fn in_order(a: &str, b: &str) -> Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(x), Ok(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}
