//! A JSON scanner that validates and borrows but builds nothing (RFC 8259).
//!
//! Two strictnesses: what becomes a [`Value`] must hold whole numbers of 64 bits, as a [`Value`] does; fields that
//! nobody asked for only have to be JSON.

use std::borrow::Cow;

use crate::error::Problem;
use crate::{Value, decimal};

/// Lists and maps may nest this deep: far beyond any workload's values, far from the end of the stack.
pub(crate) const DEPTH_MAX: usize = 64;

type Result<T> = std::result::Result<T, Problem>;

/// Which numbers are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Those that fit an `i64`.
    Whole,
    /// Any that JSON knows.
    Any,
}

/// A string as it stands in the text, without its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawStr<'a> {
    pub text: &'a str,
    pub escaped: bool,
}

impl<'a> RawStr<'a> {
    pub fn unescape(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.text)) } else { Cow::Borrowed(self.text) }
    }
}

/// A position in a line.
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes stepped over.
    pub const fn at(&self) -> usize {
        self.at
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `literal` if the text goes on with it.
    #[inline]
    pub fn take(&mut self, literal: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    pub fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub fn error<T>(&self, expected: &'static str) -> Result<T> {
        Err(Problem::NotJson { column: self.at + 1, expected })
    }

    /// Digits that fit a `u64`, or nothing; no sign, fraction or exponent, which would be left over.
    #[inline]
    pub fn digits(&mut self) -> Option<u64> {
        /// So many fit, whatever they are.
        const DIGITS: usize = 19;

        let bytes = &self.text.as_bytes()[self.at..];
        let (mut n, len) = decimal::leading(bytes);
        if len > DIGITS {
            n = self.text[self.at..self.at + len].parse().ok()?;
        }
        if len == 0 || (len > 1 && bytes[0] == b'0') {
            return None;
        }
        self.at += len;
        Some(n)
    }

    /// A string; the scan stands on its opening quote.
    #[inline]
    pub fn string(&mut self) -> Result<RawStr<'a>> {
        if self.peek() != Some(b'"') {
            return self.error("a string must stand here");
        }
        self.at += 1;
        let from = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(RawStr { text, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0x20..) => self.at += 1,
                Some(_) => return self.error("a control character must be escaped in a string"),
                None => return self.error("the string never ends"),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let Some(unit) = hex4(bytes, self.at + 2) else {
                    return self.error("\\u needs four hexadecimal digits");
                };
                let pair = 0xd800..0xdc00;
                if pair.contains(&unit) {
                    let low = (bytes.get(self.at + 6..self.at + 8) == Some(b"\\u"))
                        .then(|| hex4(bytes, self.at + 8))
                        .flatten();
                    if !low.is_some_and(|low| (0xdc00..0xe000).contains(&low)) {
                        return self.error("a high surrogate must be followed by a low one");
                    }
                    self.at += 12;
                } else if (0xdc00..0xe000).contains(&unit) {
                    return self.error("a low surrogate must follow a high one");
                } else {
                    self.at += 6;
                }
            }
            _ => return self.error("no such escape in a string"),
        }
        Ok(())
    }

    /// Any value, validated, as the text it stands in.
    #[inline]
    pub fn value(&mut self, numbers: Numbers) -> Result<&'a str> {
        let from = self.at;
        self.skip_value(numbers, 0)?;
        Ok(&self.text[from..self.at])
    }

    fn skip_value(&mut self, numbers: Numbers, depth: usize) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'0'..=b'9' | b'-') => self.number(numbers),
            Some(b'n') if self.take("null") => Ok(()),
            Some(b't') if self.take("true") => Ok(()),
            Some(b'f') if self.take("false") => Ok(()),
            Some(b'[' | b'{') if depth == DEPTH_MAX => Err(Problem::TooDeep { max: DEPTH_MAX }),
            Some(b'[') if self.flat_list() => Ok(()),
            Some(b'[') => self.items(b']', |scan| scan.skip_value(numbers, depth + 1)),
            Some(b'{') => self.items(b'}', |scan| {
                scan.string()?;
                scan.colon()?;
                scan.skip_value(numbers, depth + 1)
            }),
            _ => self.error("a value must stand here"),
        }
    }

    /// Steps over a list of whole numbers without blanks, which the scan stands on; stays where there is anything else. Most
    /// of a history of transactions is such lists.
    fn flat_list(&mut self) -> bool {
        /// So many digits always fit.
        const DIGITS_MAX: usize = 18;

        let bytes = &self.text.as_bytes()[self.at..];
        let mut at = 1 + decimal::whole_numbers(&bytes[1..]);
        loop {
            let (_, digits) = decimal::leading(&bytes[at..]);
            if digits == 0 || digits > DIGITS_MAX || (digits > 1 && bytes[at] == b'0') {
                return false;
            }
            at += digits;
            match bytes.get(at) {
                Some(b',') => at += 1,
                Some(b']') => break,
                _ => return false,
            }
        }
        self.at += at + 1;
        true
    }

    /// Steps over a value of a text that was accepted before, and returns it.
    #[inline]
    pub fn accepted(&mut self) -> Option<&'a str> {
        let from = self.at;
        let bytes = &self.text.as_bytes()[from..];
        match bytes.first()? {
            b'[' => self.at += bracket(bytes, b'[', b']')?,
            b'{' => self.at += bracket(bytes, b'{', b'}')?,
            b'"' => drop(self.string().ok()?),
            _ => {
                let end = |b: &u8| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                self.at += bytes.iter().position(end).unwrap_or(bytes.len());
            }
        }
        Some(&self.text[from..self.at])
    }

    /// Steps over a list in a text that was accepted before, which the scan stands on, if nothing in it is a list, a map or a string.
    #[inline]
    pub fn accepted_flat_list(&mut self) -> Option<&'a str> {
        let from = self.at;
        let bytes = &self.text.as_bytes()[from..];
        let inside = bytes.strip_prefix(b"[")?;
        let end = 1 + memchr::memchr3(b'[', b']', b'"', inside)?;
        if bytes[end] != b']' {
            return None;
        }
        self.at += end + 1;
        Some(&self.text[from..self.at])
    }

    /// Everything between brackets, which the scan stands on; `item` is called at the start of each.
    pub fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b) if b == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.error("a comma or the closing bracket must stand here"),
            }
            self.skip_space();
        }
    }

    pub fn colon(&mut self) -> Result<()> {
        self.skip_space();
        if !self.take(":") {
            return self.error("a colon must stand here");
        }
        self.skip_space();
        Ok(())
    }

    fn number(&mut self, numbers: Numbers) -> Result<()> {
        let from = self.at;
        let negative = self.take("-");
        if let Some(n) = self.digits()
            && !matches!(self.peek(), Some(b'.' | b'e' | b'E' | b'0'..=b'9'))
            && n <= i64::MAX as u64 + u64::from(negative)
        {
            return Ok(());
        }
        self.at = from;
        if numbers == Numbers::Whole {
            return self.error("a number must be whole and fit in 64 bits");
        }
        self.any_number()
    }

    fn any_number(&mut self) -> Result<()> {
        self.take("-");
        if !self.take("0") && !self.some_digits() {
            return self.error("a digit must stand here");
        }
        if self.take(".") && !self.some_digits() {
            return self.error("a digit must follow the point");
        }
        if self.take("e") || self.take("E") {
            let _ = self.take("+") || self.take("-");
            if !self.some_digits() {
                return self.error("a digit must follow the exponent's sign");
            }
        }
        Ok(())
    }

    fn some_digits(&mut self) -> bool {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > from
    }

    /// Builds the value at the scan, whose text [`Scan::value`] accepted with [`Numbers::Whole`].
    pub fn build(&mut self) -> Result<Value> {
        match self.peek() {
            Some(b'"') => Ok(Value::Str(self.string()?.unescape().into())),
            Some(b'[') => {
                let mut list = Vec::new();
                self.items(b']', |scan| {
                    list.push(scan.build()?);
                    Ok(())
                })?;
                Ok(Value::List(list.into()))
            }
            Some(b'{') => {
                let mut map = Vec::new();
                self.items(b'}', |scan| {
                    let name = scan.string()?.unescape().into();
                    scan.colon()?;
                    map.push((name, scan.build()?));
                    Ok(())
                })?;
                Ok(Value::Map(map.into()))
            }
            Some(b't') if self.take("true") => Ok(Value::Bool(true)),
            Some(b'f') if self.take("false") => Ok(Value::Bool(false)),
            Some(b'n') if self.take("null") => Ok(Value::Null),
            _ => self
                .int()
                .map_or_else(|| self.error("a value must stand here"), |n| Ok(Value::Int(n))),
        }
    }

    /// A whole number; nothing where something else stands.
    #[inline]
    pub fn int(&mut self) -> Option<i64> {
        let negative = self.take("-");
        let n = self.digits()?;
        if negative { 0i64.checked_sub_unsigned(n) } else { i64::try_from(n).ok() }
    }
}

/// Where the bracket that the bytes begin with is closed, and one further. Brackets of the other kind are in pairs.
fn bracket(bytes: &[u8], open: u8, close: u8) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += memchr::memchr3(open, close, b'"', &bytes[at..])?;
        if bytes[at] == b'"' {
            at += string_end(&bytes[at..])?;
            continue;
        }
        depth = if bytes[at] == open { depth + 1 } else { depth - 1 };
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Where a string that the bytes begin with ends, and one further.
fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', &bytes[at..])?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |n, &b| Some(n * 16 + char::from(b).to_digit(16)?))
}

/// What an accepted string says.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let bytes = rest.as_bytes();
        let (c, len) = match bytes[at + 1] {
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => unescape_unit(bytes, at),
            other => (char::from(other), 2),
        };
        out.push(c);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}

fn unescape_unit(bytes: &[u8], at: usize) -> (char, usize) {
    let high = hex4(bytes, at + 2).unwrap_or(0xfffd);
    if !(0xd800..0xdc00).contains(&high) {
        return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
    }
    let low = hex4(bytes, at + 8).unwrap_or(0xdc00);
    let code = 0x1_0000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}
