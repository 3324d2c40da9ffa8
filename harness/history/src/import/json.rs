//! JSON as other tools write it, translated into the compact, ordered JSON that we compare.

use super::record::{Fault, Parsed, Record, push_map, push_string};
use crate::error::Problem;
use crate::scan::{DEPTH_MAX, Numbers, Scan};

type Scanned<T> = Result<T, Problem>;

/// Where the ops of a file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Frame {
    /// One after the other.
    #[default]
    Lines,
    /// In an array that has just begun.
    ArrayStart,
    /// In an array, after an op.
    ArrayRest,
}

/// Goes to the next op of a file, from `at` of `text`, and reads it. The result is where it begins and ends; nothing
/// at the end of the file.
pub(super) fn next_op(
    text: &str,
    at: usize,
    frame: &mut Frame,
    record: &mut Record,
) -> Parsed<Option<(usize, usize)>> {
    let mut scan = Scan::new(&text[at..]);
    let mut begin = at;
    let found = to_op(&mut scan, frame).and_then(|found| {
        begin = at + scan.at();
        if found { op(&mut scan, record).map(Some) } else { Ok(None) }
    });
    match found {
        Ok(found) => Ok(found.map(|()| (begin, at + scan.at()))),
        // Columns are those of the text that was scanned, from 1.
        Err(Problem::NotJson { column, expected }) => {
            Err(Fault::new(at + column - 1, Problem::NotJson { column: 0, expected }))
        }
        Err(problem) => Err(Fault::new(at + scan.at(), problem)),
    }
}

fn to_op(scan: &mut Scan<'_>, frame: &mut Frame) -> Scanned<bool> {
    loop {
        scan.skip_space();
        match (scan.peek(), *frame) {
            (Some(b'{'), Frame::Lines | Frame::ArrayStart) => return Ok(true),
            (Some(b'['), Frame::Lines) => *frame = Frame::ArrayStart,
            (Some(b']'), Frame::ArrayStart | Frame::ArrayRest) => *frame = Frame::Lines,
            (Some(b','), Frame::ArrayRest) => {
                scan.take(",");
                scan.skip_space();
                if scan.peek() == Some(b'{') {
                    return Ok(true);
                }
                return scan.error("an operation must follow the comma");
            }
            (None, Frame::Lines) => return Ok(false),
            (None, _) => return scan.error("the array of operations is never closed"),
            (Some(_), Frame::ArrayRest) => {
                return scan.error("a comma or the closing bracket must stand here");
            }
            (Some(_), _) => {
                return scan.error("an operation must stand here, such as {\"process\":0,…}");
            }
        }
        let _ = scan.take("[") || scan.take("]");
    }
}

fn op(scan: &mut Scan<'_>, record: &mut Record) -> Scanned<()> {
    scan.items(b'}', |scan| {
        let name = scan.string()?.unescape();
        scan.colon()?;
        let from = record.json.len();
        value(scan, &mut record.json, 1)?;
        if record.put(&name, from) { Ok(()) } else { Err(Problem::KeyTwice(name.into_owned())) }
    })
}

/// Reads a value and appends it, compact and ordered.
fn value(scan: &mut Scan<'_>, out: &mut String, depth: usize) -> Scanned<()> {
    if depth > DEPTH_MAX {
        return Err(Problem::TooDeep { max: DEPTH_MAX });
    }
    match scan.peek() {
        Some(b'[') => {
            out.push('[');
            let mut first = true;
            scan.items(b']', |scan| {
                if !first {
                    out.push(',');
                }
                first = false;
                value(scan, out, depth + 1)
            })?;
            out.push(']');
        }
        Some(b'{') => {
            let mut entries = Vec::new();
            scan.items(b'}', |scan| {
                let mut key = String::new();
                push_string(&mut key, &scan.string()?.unescape());
                scan.colon()?;
                let mut json = String::new();
                value(scan, &mut json, depth + 1)?;
                entries.push((key, json));
                Ok(())
            })?;
            push_map(out, entries)?;
        }
        Some(b'"') => {
            let string = scan.string()?;
            if string.escaped {
                push_string(out, &string.unescape());
            } else {
                out.push('"');
                out.push_str(string.text);
                out.push('"');
            }
        }
        _ => {
            let text = scan.value(Numbers::Any)?;
            match text.parse::<i64>() {
                Ok(n) if text.starts_with("-0") => out.push_str(&n.to_string()),
                Err(_) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                    push_string(out, text);
                }
                _ => out.push_str(text),
            }
        }
    }
    Ok(())
}
