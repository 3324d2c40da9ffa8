//! Fields as nearly every recorder writes them: `:process 3`, `:type :ok`, `:value 17`.
//!
//! Most of the time of an import goes here, so that what is written plainly is taken without looking twice. Whatever is
//! not, is left to the general reader, which accepts all of this too and gives the same.

use super::edn::{DELIMITS, Edn};
use super::record::{Field, Record};
use crate::Kind;

impl Edn<'_> {
    /// Reads a key and its value, if both are written plainly, and says whether the field was not there before.
    /// Otherwise nothing was read.
    #[inline]
    pub fn plain_field(&mut self, record: &mut Record) -> Option<bool> {
        let bytes = self.bytes();
        let rest = bytes.get(self.at..)?;
        let (key, field) = match rest.get(1..3)? {
            b"pr" => (&b":process "[..], Field::Process),
            b"ty" => (&b":type "[..], Field::Type),
            b"f " => (&b":f "[..], Field::F),
            b"va" => (&b":value "[..], Field::Value),
            b"ti" => (&b":time "[..], Field::Time),
            b"in" => (&b":index "[..], Field::Index),
            b"ke" => (&b":key "[..], Field::Key),
            _ => return None,
        };
        let value = rest.strip_prefix(key)?;
        let (new, len) = match field {
            Field::Type => {
                let (kind, len) = kind(value)?;
                (record.put_kind(kind), len)
            }
            Field::F => {
                let len = word(value)?;
                let from = self.at + key.len();
                (record.put_name(&self.text()[from + 1..from + len]), len)
            }
            Field::Value | Field::Key => {
                let len = atom(value)?;
                let from = self.at + key.len();
                let text = &self.text()[from..from + len];
                (record.put_json(field, if text == "nil" { "null" } else { text }), len)
            }
            _ => {
                let (number, len) = number(value)?;
                (record.put_number(field, number), len)
            }
        };
        self.at += key.len() + len;
        Some(new)
    }
}

fn delimited(text: &[u8], len: usize) -> bool {
    text.get(len).is_some_and(|b| DELIMITS[usize::from(*b)])
}

fn kind(text: &[u8]) -> Option<(Kind, usize)> {
    let (kind, len) = match text.get(1..3)? {
        b"in" if text.starts_with(b":invoke") => (Kind::Invoke, 7),
        b"ok" => (Kind::Ok, 3),
        b"fa" if text.starts_with(b":fail") => (Kind::Fail, 5),
        b"in" if text.starts_with(b":info") => (Kind::Info, 5),
        _ => return None,
    };
    (text[0] == b':' && delimited(text, len)).then_some((kind, len))
}

/// The length of a keyword of letters, digits and dashes.
fn word(text: &[u8]) -> Option<usize> {
    if *text.first()? != b':' {
        return None;
    }
    let name = &text[1..];
    let len = name.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'-'))?;
    (len > 0 && delimited(name, len)).then_some(1 + len)
}

/// A number from 0 up, of at most 18 digits, which always fit.
fn number(text: &[u8]) -> Option<(i64, usize)> {
    let (mut number, mut len) = (0, 0);
    while let Some(digit) = text.get(len).filter(|b| b.is_ascii_digit() && len < 18) {
        number = number * 10 + i64::from(digit - b'0');
        len += 1;
    }
    let octal = len > 1 && text[0] == b'0';
    (len > 0 && !octal && delimited(text, len)).then_some((number, len))
}

/// The length of a number, a string or nil that is JSON as it stands, but for nil.
fn atom(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'0'..=b'9' => number(text).map(|(_, len)| len),
        b'"' => {
            let len = 1 + memchr::memchr2(b'"', b'\\', &text[1..])?;
            let plain = text[len] == b'"' && !text[1..len].iter().any(|b| *b < b' ');
            plain.then_some(len + 1)
        }
        b'n' => (text.starts_with(b"nil") && delimited(text, 3)).then_some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Problem;

    /// Everything that an op says, or what is wrong with it.
    fn read(text: &str) -> Result<Vec<String>, Problem> {
        let mut record = Record::default();
        Edn::new(text, 0).op(&mut record).map_err(|fault| fault.problem)?;
        let function = record.function()?.map(|range| record.json[range].to_owned());
        let key = record.range(Field::Key).map(|range| record.json[range].to_owned());
        Ok(vec![
            format!("{:?}", record.kind()),
            format!("{:?}", record.process()),
            format!("{:?}", record.number(Field::Index, "index")),
            format!("{:?}", record.number(Field::Time, "time")),
            format!("{function:?} {key:?} {:?}", record.value()),
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        /// With two blanks behind each key, nothing is written plainly.
        #[test]
        fn the_general_reader_says_the_same(fields in prop::collection::vec(
            (
                prop::sample::select(&["process", "type", "f", "value", "key", "time", "index", "node"][..]),
                prop_oneof![
                    prop::sample::select(&[
                        ":ok", ":invoke", ":info", ":fail", ":okay", ":infos", "ok", ":read", ":c-a", ":a/b", "nil",
                        "nils", ":", "07", "0", "12N", "1.5", "-3", "\"a b\"", "\"a\\\"b\"", "\"a\nb\"", "[1 2]", "\"\"",
                        "999999999999999999", "1999999999999999999", ":nemesis", "4294967296", "é", ":é", "\"é\"",
                    ][..]).prop_map(String::from),
                    any::<u32>().prop_map(|n| n.to_string()),
                ],
            ),
            0..7,
        ), comma in prop::sample::select(&[", ", " ", ",", "\n"][..])) {
            let op = |blank: &str| {
                let fields = fields.iter().map(|(key, value)| format!(":{key}{blank}{value}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(comma))
            };
            match (read(&op(" ")), read(&op("  "))) {
                (Ok(plain), Ok(general)) => prop_assert_eq!(plain, general, "{}", op(" ")),
                (Err(plain), Err(general)) => prop_assert_eq!(plain, general, "{}", op(" ")),
                (plain, general) => prop_assert!(false, "{}: {plain:?} {general:?}", op(" ")),
            }
        }
    }
}
