//! Predicates, and what was read by them.

use std::cmp::Ordering;

use keelhaul_history::{RawValue, Value};

use crate::txn::columns::Txns;

/// A condition on a key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Predicate {
    /// `"true"`: every key that has a value.
    Any,
    /// `["=", value]`.
    Equal(Value),
    /// `["mod", divisor, rest]`, of numbers.
    Modulo(i64, i64),
    /// `["<", bound]`, `"<="`, `">"` or `">="`: the first way in which values may compare with the bound, and the second.
    Compare([Ordering; 2], Value),
    /// `["keys", first, last]`: keys from the first to the last.
    Keys(Value, Value),
    /// `["and", …]`.
    All(Vec<Self>),
}

impl Predicate {
    /// Reads one; nothing if it is none.
    pub fn parse(value: &Value) -> Option<Self> {
        use Ordering::{Equal, Greater, Less};

        let Value::List(items) = value else {
            return (value.as_str() == Some("true") || *value == Value::Bool(true))
                .then_some(Self::Any);
        };
        let (name, arguments) = items.split_first()?;
        Some(match (name.as_str()?, arguments) {
            ("=", [value]) => Self::Equal(value.clone()),
            ("mod", [Value::Int(divisor), Value::Int(rest)]) if *divisor > 0 => {
                Self::Modulo(*divisor, *rest)
            }
            ("<", [bound]) => Self::Compare([Less, Less], bound.clone()),
            ("<=", [bound]) => Self::Compare([Less, Equal], bound.clone()),
            (">", [bound]) => Self::Compare([Greater, Greater], bound.clone()),
            (">=", [bound]) => Self::Compare([Greater, Equal], bound.clone()),
            ("keys", [first, last]) => Self::Keys(first.clone(), last.clone()),
            ("and", all) => Self::All(all.iter().map(Self::parse).collect::<Option<_>>()?),
            _ => return None,
        })
    }

    /// Whether a key with that value matches; one without a value never does.
    pub fn matches(&self, key: &Value, value: &Value) -> bool {
        *value != Value::Null
            && match self {
                Self::Any => true,
                Self::Equal(wanted) => value == wanted,
                Self::Modulo(divisor, rest) => {
                    value.as_int().is_some_and(|n| n.rem_euclid(*divisor) == *rest)
                }
                Self::Compare(ways, bound) => {
                    compare(value, bound).is_some_and(|way| ways.contains(&way))
                }
                Self::Keys(first, last) => {
                    let not_before = compare(key, first).is_some_and(Ordering::is_ge);
                    not_before && compare(key, last).is_some_and(Ordering::is_le)
                }
                Self::All(all) => all.iter().all(|predicate| predicate.matches(key, value)),
            }
    }
}

/// Numbers compare with numbers, and texts with texts.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// A read by a predicate.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    pub predicate: Predicate,
    /// As it was written.
    pub text: String,
    /// Keys that it returned, rising, each with its version.
    pub found: Vec<(u32, u32)>,
}

impl Matched {
    /// `["rp", predicate, map]`'s last two; keys and versions are numbered by `named`.
    pub fn parse(
        predicate: RawValue<'_>,
        found: RawValue<'_>,
        mut named: impl FnMut(&str, RawValue<'_>) -> (u32, u32),
    ) -> Option<Self> {
        let text = predicate.text().to_owned();
        let predicate = Predicate::parse(&predicate.to_value())?;
        let found = found.entries()?.map(|(key, value)| named(&key, value));
        let mut found: Vec<(u32, u32)> = found.collect();
        found.sort_unstable();
        Some(Self { predicate, text, found })
    }

    /// What version of a key it returned.
    pub fn version(&self, key: u32) -> Option<u32> {
        let at = self.found.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.found[at].1)
    }

    /// In one line, e.g. `read where ["=",3] -> x 3`.
    pub fn label(&self, txns: &Txns) -> String {
        let found = self.found.iter();
        let found =
            found.map(|(key, version)| format!("{} {}", txns.key_name(*key), txns.value(*version)));
        let found: Vec<String> = found.collect();
        let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
        format!("read where {} -> {found}", self.text.trim_matches('"'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(predicate: &str, key: &str, value: &str) -> Option<bool> {
        let value_of = |text: &str| Value::from_json(text).unwrap();
        Some(Predicate::parse(&value_of(predicate))?.matches(&value_of(key), &value_of(value)))
    }

    #[test]
    fn what_matches() {
        let yes = |predicate, value| matches(predicate, "5", value);
        assert_eq!(yes("\"true\"", "0"), Some(true));
        assert_eq!(yes("\"true\"", "null"), Some(false));
        assert_eq!(yes(r#"["=",3]"#, "3"), Some(true));
        assert_eq!(yes(r#"["mod",2,1]"#, "-3"), Some(true));
        assert_eq!(yes(r#"["mod",0,1]"#, "3"), None);
        assert_eq!(yes(r#"["<=",3]"#, "3"), Some(true));
        assert_eq!(yes(r#"[">",3]"#, "3"), Some(false));
        assert_eq!(yes(r#"["<","b"]"#, "\"a\""), Some(true));
        assert_eq!(yes(r#"["<","b"]"#, "1"), Some(false));
        assert_eq!(yes(r#"["keys",1,5]"#, "0"), Some(true));
        assert_eq!(yes(r#"["keys",6,9]"#, "0"), Some(false));
        assert_eq!(yes(r#"["and",["keys",1,9],[">",3]]"#, "4"), Some(true));
        assert_eq!(yes(r#"["and",["keys",1,9],[">",3]]"#, "2"), Some(false));
        assert_eq!(yes(r#"["like","x%"]"#, "1"), None);
    }
}
