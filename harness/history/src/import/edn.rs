//! Extensible data notation, translated into compact JSON as it is read.
//!
//! A form is read in one pass over borrowed text, straight into the JSON of the [`super`] module's table; sets and maps
//! alone are collected first, to be ordered. Read too are what Clojure's printer adds to EDN: metadata, namespaced
//! maps, regular expressions, vars, numbers with a radix.

use std::borrow::Cow;

use super::record::{Fault, Parsed, Record, in_order, push_map, push_string};
use crate::error::Problem;
use crate::scan::DEPTH_MAX;

/// A position in a text of forms.
pub(super) struct Edn<'a> {
    text: &'a str,
    pub at: usize,
}

impl<'a> Edn<'a> {
    pub const fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    pub const fn text(&self) -> &'a str {
        self.text
    }

    pub const fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(Fault::new(self.at, Problem::NotEdn { column: 0, expected }))
    }

    /// What stands at the scan needs an end that never comes.
    fn endless<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(Fault::cut(self.at, Problem::NotEdn { column: 0, expected }))
    }

    /// Steps over blanks, comments, discarded forms and metadata.
    #[inline]
    pub fn blank(&mut self, depth: usize) -> Parsed<()> {
        let bytes = self.text.as_bytes();
        while let Some(&b) = bytes.get(self.at) {
            match SKIPS[usize::from(b)] {
                Skip::No => break,
                Skip::Blank => self.at += 1,
                Skip::Perhaps if self.comment(depth)? => {}
                Skip::Perhaps => break,
            }
        }
        Ok(())
    }

    /// Steps over one comment, discard or metadata; false if none stands here.
    #[cold]
    fn comment(&mut self, depth: usize) -> Parsed<bool> {
        let bytes = &self.text.as_bytes()[self.at..];
        let skip = match bytes {
            [b';', ..] | [b'#', b'!', ..] => {
                self.at += memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
                return Ok(true);
            }
            [b'#', b'_' | b'^', ..] => 2,
            [b'^', ..] => 1,
            _ => return Ok(false),
        };
        self.at += skip;
        self.form(&mut String::new(), depth + 1)?;
        Ok(true)
    }

    /// The characters up to the next delimiter.
    #[inline]
    fn token(&mut self) -> &'a str {
        let bytes = &self.text.as_bytes()[self.at..];
        let len = bytes.iter().position(|b| DELIMITS[usize::from(*b)]).unwrap_or(bytes.len());
        let token = &self.text[self.at..self.at + len];
        self.at += len;
        token
    }

    /// Reads the next form and appends its JSON.
    pub fn form(&mut self, out: &mut String, depth: usize) -> Parsed<()> {
        if depth > DEPTH_MAX {
            return Err(Fault::new(self.at, Problem::TooDeep { max: DEPTH_MAX }));
        }
        self.blank(depth)?;
        match self.peek() {
            Some(b'0'..=b'9') => self.number(out),
            Some(b'+' | b'-') if self.digit_follows() => self.number(out),
            Some(b':') => {
                self.at += 1;
                let name = self.token();
                if name.is_empty() {
                    return self.error("a keyword's name must follow the colon");
                }
                push_string(out, name);
                Ok(())
            }
            Some(b'"') => self.string(out),
            Some(b'[') => self.list(out, b']', depth),
            Some(b'(') => self.list(out, b')', depth),
            Some(b'{') => self.map(out, None, depth),
            Some(b'#') => self.dispatch(out, depth),
            Some(b'\\') => self.character(out),
            Some(b']' | b')' | b'}') => self.error("a form must stand here, not a closing bracket"),
            Some(_) => self.symbol(out),
            None => self.error("a form must stand here, not the end"),
        }
    }

    fn digit_follows(&self) -> bool {
        self.text.as_bytes().get(self.at + 1).is_some_and(u8::is_ascii_digit)
    }

    fn symbol(&mut self, out: &mut String) -> Parsed<()> {
        match self.token() {
            "" => return self.error("a form must stand here"),
            "nil" => out.push_str("null"),
            word @ ("true" | "false") => out.push_str(word),
            word => push_string(out, word),
        }
        Ok(())
    }

    fn number(&mut self, out: &mut String) -> Parsed<()> {
        let from = self.at;
        let token = self.token();
        let digits = token.strip_prefix('-').unwrap_or(token).as_bytes();
        // 18 digits always fit; a leading zero makes the rest octal.
        if digits.len() <= 18 && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit) {
            out.push_str(token);
            return Ok(());
        }
        match number(token) {
            Some(Number::Whole(n)) => out.push_str(&n.to_string()),
            Some(Number::Other(text)) => push_string(out, text),
            None => {
                self.at = from;
                return self.error("this begins like a number but is none");
            }
        }
        Ok(())
    }

    fn string(&mut self, out: &mut String) -> Parsed<()> {
        let from = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = from;
        loop {
            let Some(len) = memchr::memchr2(b'"', b'\\', &bytes[end..]) else {
                return self.endless("the string never ends");
            };
            end += len;
            if bytes[end] == b'"' {
                break;
            }
            end = (end + 2).min(bytes.len());
        }
        let raw = &self.text[from..end];
        let plain = !raw.bytes().any(|b| b < b' ' || b == b'\\');
        if plain {
            out.push_str(&self.text[from - 1..=end]);
        } else {
            let text = unescape(raw).map_err(|at| {
                let expected = "no such escape in a string";
                Fault::new(from + at, Problem::NotEdn { column: 0, expected })
            })?;
            push_string(out, &text);
        }
        self.at = end + 1;
        Ok(())
    }

    fn character(&mut self, out: &mut String) -> Parsed<()> {
        let from = self.at;
        self.at += 1;
        let Some(first) = self.text[self.at..].chars().next() else {
            return self.error("a character must follow the backslash");
        };
        self.at += first.len_utf8();
        self.token();
        let name = &self.text[from + 1..self.at];
        let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
        let c = match name {
            "newline" => '\n',
            "space" => ' ',
            "tab" => '\t',
            "return" => '\r',
            "backspace" => '\u{8}',
            "formfeed" => '\u{c}',
            _ if name.len() == first.len_utf8() => first,
            _ => {
                let c = match first {
                    'u' if name.len() == 5 => code(&name[1..], 16),
                    'o' => code(&name[1..], 8),
                    _ => None,
                };
                // A lone half of a surrogate pair is no character of ours.
                match c {
                    Some(c) => char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER),
                    None => {
                        self.at = from;
                        return self.error("no such character");
                    }
                }
            }
        };
        push_string(out, c.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    /// Calls `item` at each form up to the bracket, which is stepped over.
    fn items(
        &mut self,
        close: u8,
        depth: usize,
        mut item: impl FnMut(&mut Self) -> Parsed<()>,
    ) -> Parsed<()> {
        self.at += 1;
        loop {
            self.blank(depth)?;
            match self.peek() {
                Some(b) if b == close => {
                    self.at += 1;
                    return Ok(());
                }
                None => return self.error("a bracket is never closed"),
                Some(_) => item(self)?,
            }
        }
    }

    fn list(&mut self, out: &mut String, close: u8, depth: usize) -> Parsed<()> {
        out.push('[');
        let mut first = true;
        self.items(close, depth, |edn| {
            if !first {
                out.push(',');
            }
            first = false;
            edn.form(out, depth + 1)
        })?;
        out.push(']');
        Ok(())
    }

    fn set(&mut self, out: &mut String, depth: usize) -> Parsed<()> {
        let mut elements = Vec::new();
        self.items(b'}', depth, |edn| {
            let mut element = String::new();
            edn.form(&mut element, depth + 1)?;
            elements.push(element);
            Ok(())
        })?;
        elements.sort_by(|a, b| in_order(a, b));
        out.push('[');
        out.push_str(&elements.join(","));
        out.push(']');
        Ok(())
    }

    fn map(&mut self, out: &mut String, namespace: Option<&str>, depth: usize) -> Parsed<()> {
        let from = self.at;
        let mut entries = Vec::new();
        self.items(b'}', depth, |edn| {
            let key = edn.key(namespace, depth)?;
            let mut value = String::new();
            edn.map_value(&mut value, depth)?;
            entries.push((key, value));
            Ok(())
        })?;
        push_map(out, entries).map_err(|problem| Fault::new(from, problem))
    }

    /// A map's key as a JSON string.
    fn key(&mut self, namespace: Option<&str>, depth: usize) -> Parsed<String> {
        let word = self.peek() == Some(b':');
        let mut json = String::new();
        self.form(&mut json, depth + 1)?;
        if let Some(namespace) = namespace.filter(|_| word) {
            let name = json.trim_matches('"');
            return Ok(match name.strip_prefix("_/") {
                Some(plain) => format!("\"{plain}\""),
                None if name.contains('/') => json,
                None => format!("\"{namespace}/{name}\""),
            });
        }
        if !json.starts_with('"') {
            let plain = std::mem::take(&mut json);
            push_string(&mut json, &plain);
        }
        Ok(json)
    }

    fn map_value(&mut self, out: &mut String, depth: usize) -> Parsed<()> {
        self.blank(depth)?;
        if self.peek() == Some(b'}') {
            return self.error("a value must follow the last key of the map");
        }
        self.form(out, depth + 1)
    }

    fn dispatch(&mut self, out: &mut String, depth: usize) -> Parsed<()> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'{') => {
                self.at += 1;
                self.set(out, depth)
            }
            Some(b'"') => {
                self.at += 1;
                self.regex(out)
            }
            Some(b'#' | b'\'') => {
                self.at += 2;
                self.symbol(out)
            }
            Some(b':') => {
                self.at += 2;
                let namespace = self.token();
                self.blank(depth)?;
                if self.peek() != Some(b'{') {
                    return self.error("a map must follow its namespace");
                }
                self.map(out, Some(namespace), depth)
            }
            _ => {
                self.tag()?;
                self.form(out, depth + 1)
            }
        }
    }

    /// Steps over a tag; what it tags follows.
    fn tag(&mut self) -> Parsed<()> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b) if b.is_ascii_alphabetic() => {
                self.at += 1;
                self.token();
                Ok(())
            }
            _ => self.error("a tag, a set or `#_` must stand here: this cannot be read"),
        }
    }

    /// A regular expression: only a quote can be escaped, and everything stays as it is.
    fn regex(&mut self, out: &mut String) -> Parsed<()> {
        let from = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = from;
        while let Some(b) = bytes.get(end) {
            match b {
                b'"' => {
                    push_string(out, &self.text[from..end]);
                    self.at = end + 1;
                    return Ok(());
                }
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.endless("the regular expression never ends")
    }

    /// Goes to the next op of a file: its brace is stepped on. False at the end. `open` is the bracket that closes the
    /// vector or list that the ops are in.
    pub fn next_op(&mut self, open: &mut Option<u8>) -> Parsed<bool> {
        let mut tagged = false;
        loop {
            self.blank(0)?;
            match self.peek() {
                Some(b'{') => return Ok(true),
                Some(b'[') if open.is_none() => *open = Some(b']'),
                Some(b'(') if open.is_none() => *open = Some(b')'),
                Some(b'#') => {
                    self.tag()?;
                    tagged = true;
                    continue;
                }
                None | Some(b']' | b')') if tagged => {
                    return self.error("an operation must follow its tag");
                }
                None if open.is_none() => return Ok(false),
                None => return self.error("the bracket around the operations is never closed"),
                bracket if bracket == *open => *open = None,
                Some(_) => {
                    return self.error("an operation must stand here, such as {:process 0, …}");
                }
            }
            tagged = false;
            self.at += 1;
        }
    }

    /// Reads the op that the scan stands on.
    pub fn op(&mut self, record: &mut Record) -> Parsed<()> {
        self.items(b'}', 1, |edn| {
            let at = edn.at;
            match edn.plain_field(record) {
                Some(true) => return Ok(()),
                Some(false) => {
                    let name = Edn::new(edn.text, at + 1).token();
                    return Err(Fault::new(at, Problem::KeyTwice(name.into())));
                }
                None => {}
            }
            let name = if edn.peek() == Some(b':') {
                edn.at += 1;
                Cow::Borrowed(edn.token())
            } else {
                Cow::Owned(edn.key(None, 1)?.trim_matches('"').to_owned())
            };
            let from = record.json.len();
            edn.map_value(&mut record.json, 1)?;
            if record.put(&name, from) {
                return Ok(());
            }
            Err(Fault::new(at, Problem::KeyTwice(name.into_owned())))
        })
    }
}

enum Number<'a> {
    Whole(i64),
    /// What no `i64` holds, as it is written but for a suffix.
    Other(&'a str),
}

/// A number in all of Clojure's notations.
fn number(token: &str) -> Option<Number<'_>> {
    let (negative, digits) = match token.as_bytes()[0] {
        b'-' => (true, &token[1..]),
        b'+' => (false, &token[1..]),
        _ => (false, token),
    };
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let whole = |digits: &str, radix| {
        let n = i128::from_str_radix(digits, radix).ok()?;
        i64::try_from(if negative { -n } else { n }).ok().map(Number::Whole)
    };
    let plain = digits.strip_suffix('N').unwrap_or(digits);
    if all_digits(plain) {
        let octal = plain.len() > 1 && plain.starts_with('0');
        let unsigned = token.strip_suffix('N').unwrap_or(token);
        return whole(plain, if octal { 8 } else { 10 })
            .or_else(|| (!octal).then_some(Number::Other(unsigned)));
    }
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return whole(hex, 16)
            .or(Some(Number::Other(token)))
            .filter(|_| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    }
    if let Some((numerator, denominator)) = digits.split_once('/') {
        return (all_digits(numerator) && all_digits(denominator)).then_some(Number::Other(token));
    }
    if let Some((radix, digits)) = digits.split_once(['r', 'R']) {
        let radix = radix.parse().ok().filter(|radix| (2..=36).contains(radix))?;
        return whole(digits, radix);
    }
    let decimal = token.strip_suffix('M').unwrap_or(token);
    decimal.parse::<f64>().ok().map(|_| Number::Other(decimal))
}

/// What an EDN string says; the error is the place of what is no escape.
fn unescape(raw: &str) -> Result<String, usize> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        let at = raw.len() - rest.len() + slash;
        rest = &rest[slash + 1..];
        let first = rest.bytes().next().ok_or(at)?;
        let (c, len) = match first {
            b't' => ('\t', 1),
            b'r' => ('\r', 1),
            b'n' => ('\n', 1),
            b'b' => ('\u{8}', 1),
            b'f' => ('\u{c}', 1),
            b'"' | b'\\' | b'\'' | b'/' => (char::from(first), 1),
            b'u' => unicode(rest).ok_or(at)?,
            b'0'..=b'7' => {
                let len = rest.bytes().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let code = u32::from_str_radix(&rest[..len], 8).map_err(|_| at)?;
                (char::from_u32(code).ok_or(at)?, len)
            }
            _ => return Err(at),
        };
        out.push(c);
        rest = &rest[len..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The character of `uXXXX`, or of two such halves, and how many bytes that takes. A lone half becomes U+FFFD.
fn unicode(text: &str) -> Option<(char, usize)> {
    let unit = |from: usize| u32::from_str_radix(text.get(from..from + 4)?, 16).ok();
    let high = unit(1)?;
    if (0xd800..0xdc00).contains(&high)
        && text.get(5..7) == Some("\\u")
        && let Some(low) = unit(7).filter(|low| (0xdc00..0xe000).contains(low))
    {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return Some((char::from_u32(code)?, 11));
    }
    Some((char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 5))
}

/// What a byte between forms is.
#[derive(Clone, Copy)]
enum Skip {
    No,
    Blank,
    /// The beginning of a comment, a discard or metadata, or not.
    Perhaps,
}

const SKIPS: [Skip; 256] = {
    let mut table = [Skip::No; 256];
    let (blanks, perhaps) = (b"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f ,", b";#^");
    let mut i = 0;
    while i < blanks.len() {
        table[blanks[i] as usize] = Skip::Blank;
        i += 1;
    }
    i = 0;
    while i < perhaps.len() {
        table[perhaps[i] as usize] = Skip::Perhaps;
        i += 1;
    }
    table
};

/// Which bytes end a token.
pub(super) const DELIMITS: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b <= 0x20 {
        table[b] = true;
        b += 1;
    }
    let delimiters = b",\"()[]{};\\";
    let mut i = 0;
    while i < delimiters.len() {
        table[delimiters[i] as usize] = true;
        i += 1;
    }
    table
};

#[cfg(test)]
#[path = "edn_tests.rs"]
mod tests;
