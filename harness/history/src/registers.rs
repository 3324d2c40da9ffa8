//! Transactions on registers as numbers, for those that read millions of them: to write each as JSON and to parse that again costs more than to
//! judge it.

use std::cell::OnceCell;
use std::fmt::Write as _;

use crate::raw::RawValue;

/// What a transaction does to a register whose name is a number, and which holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterOp {
    /// Whether it writes; otherwise it reads.
    pub writes: bool,
    /// The register.
    pub key: i64,
    /// What was written or read; a read of a register that holds nothing returns nothing.
    pub value: Option<i64>,
}

/// The operations of a transaction, with room for their JSON once somebody asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Registers<'a> {
    pub(crate) ops: &'a [RegisterOp],
    pub(crate) json: &'a OnceCell<Box<str>>,
}

impl<'a> Registers<'a> {
    fn json(self) -> &'a str {
        self.json.get_or_init(|| {
            let mut json = String::from("[");
            for RegisterOp { writes, key, value } in self.ops {
                let comma = if json.len() > 1 { "," } else { "" };
                let f = if *writes { "w" } else { "r" };
                let _ = match value {
                    Some(value) => write!(json, "{comma}[\"{f}\",{key},{value}]"),
                    None => write!(json, "{comma}[\"{f}\",{key},null]"),
                };
            }
            (json + "]").into()
        })
    }
}

/// What an op carries: an argument, or a result.
#[derive(Clone, Copy, Debug)]
pub enum OpValue<'a> {
    /// As it stands in the file.
    Json(RawValue<'a>),
    /// A transaction on registers, by numbers.
    Registers(Registers<'a>),
}

impl<'a> OpValue<'a> {
    /// `null`.
    pub const NULL: OpValue<'static> = OpValue::Json(RawValue::NULL);

    /// Whether it is `null`.
    #[must_use]
    #[inline]
    pub fn is_null(self) -> bool {
        matches!(self, Self::Json(json) if json.is_null())
    }

    /// The value as JSON.
    #[must_use]
    #[inline]
    pub fn json(self) -> RawValue<'a> {
        match self {
            Self::Json(json) => json,
            Self::Registers(registers) => RawValue(registers.json()),
        }
    }

    /// [`RawValue::register_ops`], with nothing to parse where numbers are at hand.
    #[inline]
    pub fn register_ops(self, mut each: impl FnMut(RegisterOp)) -> Option<()> {
        match self {
            Self::Json(json) => json.register_ops(each),
            Self::Registers(registers) => {
                registers.ops.iter().for_each(|op| each(*op));
                Some(())
            }
        }
    }
}

impl PartialEq for OpValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Eq for OpValue<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_json_that_they_would_have_been() {
        let ops = [(true, 1, Some(-2)), (false, 30, None), (false, -4, Some(5))];
        let ops = ops.map(|(writes, key, value)| RegisterOp { writes, key, value });
        let json = OnceCell::new();
        let value = OpValue::Registers(Registers { ops: &ops, json: &json });
        let mut told = Vec::new();
        value.register_ops(|op| told.push(op)).unwrap();
        assert!(told == ops && json.get().is_none() && !value.is_null());
        let text = r#"[["w",1,-2],["r",30,null],["r",-4,5]]"#;
        assert_eq!(value, OpValue::Json(RawValue(text)));
        let mut parsed = Vec::new();
        value.json().register_ops(|op| parsed.push(op)).unwrap();
        assert_eq!(parsed, ops);
        let none = OpValue::Registers(Registers { ops: &[], json: &OnceCell::new() });
        assert_eq!(none.json().text(), "[]");
    }
}
