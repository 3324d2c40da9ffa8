//! An op as it stands on disk, borrowed.

use std::borrow::Cow;

use crate::error::Problem;
use crate::registers::{OpValue, RegisterOp};
use crate::scan::{Numbers, RawStr, Scan};
use crate::{F, Kind, NodeId, Op, Process, Value};

/// A value as JSON text that was validated but not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawValue<'a>(pub(crate) &'a str);

impl<'a> RawValue<'a> {
    /// `null`.
    pub const NULL: RawValue<'static> = RawValue("null");

    /// The JSON text as it stands in the file.
    #[must_use]
    pub const fn text(self) -> &'a str {
        self.0
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The number, if it is one.
    #[must_use]
    #[inline]
    pub fn as_int(self) -> Option<i64> {
        let mut scan = Scan::new(self.0);
        scan.int().filter(|_| scan.at_end())
    }

    /// Two numbers, if it is a list of just these, as a cas carries it.
    #[must_use]
    #[inline]
    pub fn as_int_pair(self) -> Option<(i64, i64)> {
        let mut scan = Scan::new(self.0);
        let mut token = |literal: &str| {
            scan.skip_space();
            if literal.is_empty() {
                return scan.int();
            }
            scan.take(literal).then_some(0)
        };
        token("[")?;
        let first = token("")?;
        token(",")?;
        let second = token("")?;
        token("]")?;
        Some((first, second))
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        Scan::new(self.0).string().ok().map(RawStr::unescape)
    }

    /// The elements, if it is a list, one after the other.
    #[must_use]
    pub fn items(self) -> Option<impl Iterator<Item = RawValue<'a>>> {
        let mut scan = self.inside("[")?;
        Some(std::iter::from_fn(move || next_value(&mut scan)))
    }

    /// Calls `each` for every operation of a transaction on registers, if all have whole numbers as keys and values, and they are written as we
    /// do: `[["w",1,2],["r",3,null]]`. Nothing if they are not, by when some may have been taken.
    #[inline]
    pub fn register_ops(self, mut each: impl FnMut(RegisterOp)) -> Option<()> {
        let mut scan = Scan::new(self.0);
        let literal = |found: bool| found.then_some(());
        literal(scan.take("["))?;
        loop {
            let writes = scan.take("[\"w\",");
            literal(writes || scan.take("[\"r\","))?;
            let key = scan.int()?;
            literal(scan.take(","))?;
            let value = if !writes && scan.take("null]") { None } else { Some(scan.int()?) };
            literal(value.is_none() || scan.take("]"))?;
            each(RegisterOp { writes, key, value });
            if !scan.take(",") {
                literal(scan.take("]"))?;
                break;
            }
        }
        literal(scan.at_end())
    }

    /// Calls `each` for every operation of a transaction on lists, if all have whole numbers as keys and appended values, and they are written as
    /// we do: `[["append",1,2],["r",3,[4,5]],["r",6,null]]`. Nothing if they are not, by when some may have been taken.
    #[inline]
    pub fn list_ops(self, mut each: impl FnMut(ListOp<'a>) -> Option<()>) -> Option<()> {
        let mut scan = Scan::new(self.0);
        let literal = |found: bool| found.then_some(());
        literal(scan.take("["))?;
        loop {
            let appends = scan.take("[\"append\",");
            literal(appends || scan.take("[\"r\","))?;
            let key = scan.int()?;
            literal(scan.take(","))?;
            each(if appends {
                ListOp::Append { key, value: scan.int()? }
            } else if scan.take("null") {
                ListOp::Read { key, list: RawValue::NULL }
            } else {
                ListOp::Read { key, list: RawValue(scan.accepted_flat_list()?) }
            })?;
            literal(scan.take("]"))?;
            if !scan.take(",") {
                literal(scan.take("]"))?;
                break;
            }
        }
        literal(scan.at_end())
    }

    /// Names and values, if it is a map, in their order.
    #[must_use]
    pub fn entries(self) -> Option<impl Iterator<Item = (Cow<'a, str>, RawValue<'a>)>> {
        let mut scan = self.inside("{")?;
        Some(std::iter::from_fn(move || {
            to_next(&mut scan)?;
            let name = scan.string().ok()?.unescape();
            scan.colon().ok()?;
            Some((name, scan.accepted().map(RawValue)?))
        }))
    }

    fn inside(self, open: &str) -> Option<Scan<'a>> {
        let mut scan = Scan::new(self.0);
        scan.skip_space();
        scan.take(open).then_some(scan)
    }

    /// Builds the value.
    #[must_use]
    pub fn to_value(self) -> Value {
        Scan::new(self.0).build().unwrap_or_default()
    }
}

/// Steps over the comma to the next element of a list or map that was validated; nothing at its end.
#[inline]
fn to_next(scan: &mut Scan<'_>) -> Option<()> {
    scan.skip_space();
    scan.take(",");
    scan.skip_space();
    matches!(scan.peek(), Some(b) if !matches!(b, b']' | b'}')).then_some(())
}

#[inline]
fn next_value<'a>(scan: &mut Scan<'a>) -> Option<RawValue<'a>> {
    to_next(scan)?;
    scan.accepted().map(RawValue)
}

/// What a transaction does to a list whose name is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOp<'a> {
    /// It puts a number at its end.
    Append {
        /// The list.
        key: i64,
        /// The number.
        value: i64,
    },
    /// It reads it.
    Read {
        /// The list.
        key: i64,
        /// Null, or a list of what is neither a list, a map, nor a string.
        list: RawValue<'a>,
    },
}

/// The invocation that a completion ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invoked {
    /// Its index.
    pub index: u64,
    /// Its time.
    pub time_ns: u64,
}

/// An op whose fields borrow the reader's buffer. See [`Op`] for what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOp<'a> {
    /// Position in the history, from 0, without gaps.
    pub index: u64,
    /// Nanoseconds since the run began.
    pub time_ns: u64,
    /// Who performs it.
    pub process: Process,
    /// Invocation or one of the three outcomes.
    pub kind: Kind,
    /// What is performed.
    pub f: &'a str,
    /// The object it is performed on.
    pub key: Option<RawValue<'a>>,
    /// Argument or result.
    pub value: OpValue<'a>,
    /// The node that the client spoke to.
    pub node: Option<NodeId>,
    /// Why it failed, or why nobody knows.
    pub error: Option<Cow<'a, str>>,
    /// On a completion, the invocation it ends.
    pub invoked: Option<Invoked>,
}

impl RawOp<'_> {
    /// An op that owns its fields.
    #[must_use]
    pub fn to_op(&self) -> Op {
        Op {
            index: self.index,
            time_ns: self.time_ns,
            process: self.process,
            kind: self.kind,
            f: F::from(self.f),
            key: self.key.map(RawValue::to_value),
            value: self.value.json().to_value(),
            node: self.node,
            error: self.error.as_deref().map(Into::into),
        }
    }
}

/// Reads an op from a line. `f` keeps the function's name in the rare case that it is written with escapes.
pub(crate) fn parse_line<'a>(line: &'a str, f: &'a mut String) -> Result<RawOp<'a>, Problem> {
    match parse_own_order(line) {
        Some(op) => Ok(op),
        None => parse_any_order(line, f),
    }
}

/// The line exactly as [`crate::Writer`] writes it; anything else, errors included, is left to the general parser.
#[inline]
fn parse_own_order(line: &str) -> Option<RawOp<'_>> {
    let mut scan = Scan::new(line);
    let literal = |found: bool| found.then_some(());
    literal(scan.take("{\"index\":"))?;
    let index = scan.digits()?;
    literal(scan.take(",\"time\":"))?;
    let time_ns = scan.digits()?;
    literal(scan.take(",\"type\":\""))?;
    let kind = match scan.peek()? {
        b'o' if scan.take("ok") => Kind::Ok,
        b'f' if scan.take("fail") => Kind::Fail,
        b'i' if scan.take("invoke") => Kind::Invoke,
        b'i' if scan.take("info") => Kind::Info,
        _ => return None,
    };
    literal(scan.take("\",\"process\":"))?;
    let process = if scan.take("\"nemesis\"") {
        Process::Nemesis
    } else {
        Process::Client(scan.digits()?.try_into().ok()?)
    };
    literal(scan.take(",\"f\":"))?;
    let f = scan.string().ok().filter(|f| !f.escaped)?.text;
    let key = if scan.take(",\"key\":") { Some(value(&mut scan)?) } else { None };
    literal(scan.take(",\"value\":"))?;
    let value = OpValue::Json(value(&mut scan)?);
    let mut node = None;
    let mut error = None;
    if !scan.take("}") {
        if scan.take(",\"node\":\"n") {
            node = Some(NodeId(scan.digits()?.try_into().ok()?));
            literal(scan.take("\""))?;
        }
        if scan.take(",\"error\":") {
            error = Some(scan.string().ok()?.unescape());
        }
        literal(scan.take("}"))?;
    }
    literal(scan.at_end())?;
    Some(RawOp { index, time_ns, process, kind, f, key, value, node, error, invoked: None })
}

#[inline]
fn value<'a>(scan: &mut Scan<'a>) -> Option<RawValue<'a>> {
    scan.value(Numbers::Whole).ok().map(RawValue)
}

/// The fields of an op while they are collected.
#[derive(Default)]
struct Fields<'a> {
    index: Option<u64>,
    time_ns: Option<u64>,
    kind: Option<Kind>,
    process: Option<Process>,
    f: Option<RawStr<'a>>,
    key: Option<RawValue<'a>>,
    value: Option<RawValue<'a>>,
    node: Option<NodeId>,
    error: Option<RawStr<'a>>,
}

#[cold]
fn parse_any_order<'a>(line: &'a str, f: &'a mut String) -> Result<RawOp<'a>, Problem> {
    let mut scan = Scan::new(line);
    let mut fields = Fields::default();
    scan.skip_space();
    if !scan.take("{") {
        return scan.error("an object must stand here");
    }
    scan.skip_space();
    let mut more = !scan.take("}");
    while more {
        let name = scan.string()?.unescape();
        scan.colon()?;
        fields.read(&name, &mut scan)?;
        scan.skip_space();
        more = scan.take(",");
        if !more && !scan.take("}") {
            return scan.error("a comma or the closing bracket must stand here");
        }
        scan.skip_space();
    }
    scan.skip_space();
    if !scan.at_end() {
        return scan.error("the line must end after the op");
    }
    fields.finish(f)
}

impl<'a> Fields<'a> {
    fn read(&mut self, name: &str, scan: &mut Scan<'a>) -> Result<(), Problem> {
        match name {
            "index" => put(&mut self.index, "index", whole(scan, "index")?),
            "time" => put(&mut self.time_ns, "time", whole(scan, "time")?),
            "type" => {
                let expected = "one of \"invoke\", \"ok\", \"fail\" and \"info\"";
                let bad = Problem::BadField { field: "type", expected };
                let word = text(scan, "type", expected)?.unescape();
                put(&mut self.kind, "type", word.parse().map_err(|()| bad)?)
            }
            "process" => put(&mut self.process, "process", process(scan)?),
            "f" => put(&mut self.f, "f", text(scan, "f", "a string")?),
            "key" => put(&mut self.key, "key", RawValue(scan.value(Numbers::Whole)?)),
            "value" => put(&mut self.value, "value", RawValue(scan.value(Numbers::Whole)?)),
            "node" if scan.take("null") => Ok(()),
            "node" => {
                let expected = "a node's name: \"n1\", \"n2\", …";
                let bad = Problem::BadField { field: "node", expected };
                let word = text(scan, "node", expected)?.unescape();
                put(&mut self.node, "node", word.parse().map_err(|()| bad)?)
            }
            "error" if scan.take("null") => Ok(()),
            "error" => put(&mut self.error, "error", text(scan, "error", "a string")?),
            _ => scan.value(Numbers::Any).map(|_| ()),
        }
    }

    fn finish(self, f: &'a mut String) -> Result<RawOp<'a>, Problem> {
        let name = self.f.ok_or(Problem::MissingField("f"))?;
        Ok(RawOp {
            index: self.index.ok_or(Problem::MissingField("index"))?,
            time_ns: self.time_ns.ok_or(Problem::MissingField("time"))?,
            process: self.process.ok_or(Problem::MissingField("process"))?,
            kind: self.kind.ok_or(Problem::MissingField("type"))?,
            f: match name.unescape() {
                Cow::Borrowed(text) => text,
                Cow::Owned(text) => {
                    *f = text;
                    f
                }
            },
            key: self.key,
            value: self.value.map_or(OpValue::NULL, OpValue::Json),
            node: self.node,
            error: self.error.map(RawStr::unescape),
            invoked: None,
        })
    }
}

fn put<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<(), Problem> {
    if slot.replace(value).is_some() { Err(Problem::DuplicateField(field)) } else { Ok(()) }
}

/// A count or a time. The value must be JSON before its type is judged, so that broken text is called broken.
fn whole(scan: &mut Scan<'_>, field: &'static str) -> Result<u64, Problem> {
    let text = scan.value(Numbers::Any)?;
    let mut inner = Scan::new(text);
    inner
        .digits()
        .filter(|_| inner.at_end())
        .ok_or(Problem::BadField { field, expected: "a whole number from 0 up" })
}

fn text<'a>(
    scan: &mut Scan<'a>,
    field: &'static str,
    expected: &'static str,
) -> Result<RawStr<'a>, Problem> {
    if scan.peek() == Some(b'"') {
        return scan.string();
    }
    scan.value(Numbers::Any)?;
    Err(Problem::BadField { field, expected })
}

fn process(scan: &mut Scan<'_>) -> Result<Process, Problem> {
    let text = scan.value(Numbers::Any)?;
    if text == "\"nemesis\"" {
        return Ok(Process::Nemesis);
    }
    let mut inner = Scan::new(text);
    inner
        .digits()
        .filter(|_| inner.at_end())
        .and_then(|id| u32::try_from(id).ok())
        .map(Process::Client)
        .ok_or(Problem::BadField {
            field: "process",
            expected: "a number from 0 up that fits in 32 bits, or \"nemesis\"",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_maps_are_walked_without_building_them() {
        let list = RawValue(r#"[ 1 , [2,"]"],{"a":"}"} ,null]"#);
        let texts: Vec<&str> = list.items().unwrap().map(RawValue::text).collect();
        assert_eq!(texts, ["1", "[2,\"]\"]", "{\"a\":\"}\"}", "null"]);
        let map = RawValue(r#"{"x": [[0,1]], "y\n" :{}}"#);
        let entries: Vec<_> = map.entries().unwrap().map(|(k, v)| (k, v.text())).collect();
        assert_eq!(entries, [("x".into(), "[[0,1]]"), ("y\n".into(), "{}")]);
        let odd = RawValue(r#"[[10,20 ,"\\"],{"]}":[]},"\"[",-1.5e3 , true]"#);
        let texts: Vec<&str> = odd.items().unwrap().map(RawValue::text).collect();
        assert_eq!(texts, [r#"[10,20 ,"\\"]"#, r#"{"]}":[]}"#, r#""\"[""#, "-1.5e3", "true"]);
        assert_eq!(RawValue("[ ]").items().unwrap().count(), 0);
        assert_eq!(RawValue("{}").entries().unwrap().count(), 0);
        assert!(list.entries().is_none() && map.items().is_none());
    }

    #[test]
    fn operations_on_registers_are_read_in_one_step_or_not_at_all() {
        let read = |text| {
            let mut ops = Vec::new();
            RawValue(text)
                .register_ops(|RegisterOp { writes, key, value }| ops.push((writes, key, value)))?;
            Some(ops)
        };
        let expected = [(true, 1, Some(-2)), (false, 30, None), (false, 4, Some(5))];
        assert_eq!(read(r#"[["w",1,-2],["r",30,null],["r",4,5]]"#).unwrap(), expected);
        for text in [
            "[]",
            "null",
            r#"[["w",1,null]]"#,
            r#"[["r",1]]"#,
            r#"[["w",1,2,7]]"#,
            r#"[["w","x",2]]"#,
            r#"[["w", 1,2]]"#,
            r#"[["write",1,2]]"#,
            r#"[["w",1,2.5]]"#,
            r#"[["w",1,9223372036854775808]]"#,
            r#"[["ts",1,2]]"#,
            r#"[["w",1,2],["append",1,2]]"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn operations_on_lists_are_read_as_they_are_mostly_written() {
        let read = |text| {
            let mut ops = Vec::new();
            RawValue(text).list_ops(|op| {
                ops.push(match op {
                    ListOp::Append { key, value } => (key, value.to_string()),
                    ListOp::Read { key, list } => (key, list.text().to_owned()),
                });
                Some(())
            })?;
            Some(ops)
        };
        let expected = [(1, "-2"), (30, "null"), (4, "[]"), (-5, "[1, -2,null]")];
        let expected = expected.map(|(key, text)| (key, text.to_owned()));
        let text = r#"[["append",1,-2],["r",30,null],["r",4,[]],["r",-5,[1, -2,null]]]"#;
        assert_eq!(read(text).unwrap(), expected);
        for text in [
            "[]",
            "null",
            r#"[["append",1,null]]"#,
            r#"[["append",1,[2]]]"#,
            r#"[["r",1]]"#,
            r#"[["r",1,2]]"#,
            r#"[["r",1,{}]]"#,
            r#"[["r",1,["2"]]]"#,
            r#"[["r",1,[[2]]]]"#,
            r#"[["r",1,[2],7]]"#,
            r#"[["r","x",[2]]]"#,
            r#"[["r", 1,[2]]]"#,
            r#"[["w",1,2]]"#,
            r#"[["append",1,2.5]]"#,
            r#"[["append",1,2],["ts",1,2]]"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
