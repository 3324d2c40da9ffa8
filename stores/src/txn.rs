//! Transactions in no store's terms: what an operation asks for, and what it comes to, given what the keys hold.
//!
//! A store reads [`Txn::reads`] as of one moment, asks [`Txn::perform`] what follows, and writes that if, by the store's own
//! promise, nothing of it has changed meanwhile. What is put is whole values, so that a store needs to know neither lists nor banks.
//!
//! # Operations
//! * `txn`, a list of `["r",key,null]`, `["w",key,value]` and `["append",key,value]`, performed in order; an operation sees what those
//!   before it did. The result has in each `r` what was read.
//! * `open`, a map from accounts to balances, which are set whatever there was; `transfer`, `{"from":a,"to":b,"amount":n}`, which fails
//!   if `from` holds less; and `read` of a list of accounts, whose result is a map from accounts to balances.

use std::collections::BTreeMap;

use keelhaul_engine::Invocation;
use keelhaul_history::Value;

/// An operation on several keys.
#[derive(Clone, Debug)]
pub enum Txn {
    /// Operations with their keys, in order.
    Micros(Vec<(Value, Micro)>),
    /// New balances of accounts.
    Open(Vec<(Value, Value)>),
    /// All balances of these accounts.
    Balances(Vec<Value>),
    /// Money goes from one account to another.
    Transfer {
        /// Which loses.
        from: Value,
        /// Which gains.
        to: Value,
        /// How much.
        amount: i64,
    },
}

/// What an operation within a transaction does.
#[derive(Clone, Debug)]
pub enum Micro {
    /// Read.
    Read,
    /// Set.
    Write(Value),
    /// Put at the end of a list.
    Append(Value),
}

/// Keys by their text.
pub type Keys = BTreeMap<String, Value>;

/// What a transaction comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The operation with its results.
    pub result: Value,
    /// By the key's text: the key, and what it holds from now on.
    pub puts: BTreeMap<String, (Value, Value)>,
}

const TXN: &str = "the value of a txn is a list of [\"r\",key,null], [\"w\",key,value] and [\"append\",key,value]";
const OPEN: &str = "the value of open is a map from accounts to balances";
const TRANSFER: &str =
    "the value of transfer is {\"from\":account,\"to\":account,\"amount\":number}";

impl Txn {
    /// The transaction that an operation asks for; none if it asks for something else.
    ///
    /// # Errors
    /// If its value is none that it can have.
    pub fn of(op: &Invocation) -> Option<Result<Self, &'static str>> {
        match (op.f.as_str(), &op.value) {
            ("txn", value) => Some(micros(value).map(Self::Micros).ok_or(TXN)),
            ("open", value) => Some(balances(value).map(Self::Open).ok_or(OPEN)),
            ("transfer", value) => Some(transfer(value).ok_or(TRANSFER)),
            ("read", Value::List(accounts)) => Some(Ok(Self::Balances(accounts.to_vec()))),
            _ => None,
        }
    }

    /// The keys that it depends on.
    #[must_use]
    pub fn reads(&self) -> Keys {
        let named = |key: &Value| (key.to_string(), key.clone());
        match self {
            Self::Micros(micros) => {
                let depends = micros.iter().filter(|(_, micro)| !matches!(micro, Micro::Write(_)));
                depends.map(|(key, _)| named(key)).collect()
            }
            Self::Open(_) => Keys::new(),
            Self::Balances(accounts) => accounts.iter().map(named).collect(),
            Self::Transfer { from, to, .. } => [named(from), named(to)].into(),
        }
    }

    /// All keys that it reads or puts.
    #[must_use]
    pub fn keys(&self) -> Keys {
        let put = match self {
            Self::Micros(micros) => micros.iter().map(|(key, _)| key).collect(),
            Self::Open(balances) => balances.iter().map(|(key, _)| key).collect(),
            Self::Balances(_) | Self::Transfer { .. } => Vec::new(),
        };
        self.reads()
            .into_iter()
            .chain(put.into_iter().map(|k| (k.to_string(), k.clone())))
            .collect()
    }

    /// What it comes to; `holds` is what a key holds, by the key's text, null if it is not set.
    ///
    /// # Errors
    /// If it must not take effect then.
    pub fn perform(&self, holds: &dyn Fn(&str) -> Value) -> Result<Done, &'static str> {
        match self {
            Self::Micros(micros) => perform(micros, holds),
            Self::Open(balances) => {
                let put =
                    |(key, value): &(Value, Value)| (key.to_string(), (key.clone(), value.clone()));
                let result = balances.iter().map(|(key, value)| (text(key), value.clone()));
                let result = Value::Map(result.collect());
                Ok(Done { result, puts: balances.iter().map(put).collect() })
            }
            Self::Balances(accounts) => {
                let entries =
                    accounts.iter().map(|account| (text(account), holds(&account.to_string())));
                Ok(Done { result: Value::Map(entries.collect()), puts: BTreeMap::new() })
            }
            Self::Transfer { from, to, amount } => move_money(from, to, *amount, holds),
        }
    }
}

/// A key as a name of a map's entry.
fn text(key: &Value) -> Box<str> {
    key.as_str().map_or_else(|| key.to_string().into(), Into::into)
}

fn micros(value: &Value) -> Option<Vec<(Value, Micro)>> {
    let micro = |item: &Value| {
        let [f, key, value] = item.as_list()? else { return None };
        let micro = match f.as_str()? {
            "r" => Micro::Read,
            "w" if *value != Value::Null => Micro::Write(value.clone()),
            "append" => Micro::Append(value.clone()),
            _ => return None,
        };
        Some((key.clone(), micro))
    };
    value.as_list()?.iter().map(micro).collect()
}

/// An account's name in a map is text: a whole number is meant where it is one.
fn balances(value: &Value) -> Option<Vec<(Value, Value)>> {
    let Value::Map(entries) = value else { return None };
    let account = |name: &str| name.parse().map_or_else(|_| Value::from(name), Value::Int);
    let entry =
        |(name, balance): &(Box<str>, Value)| Some((account(name), Value::Int(balance.as_int()?)));
    entries.iter().map(entry).collect()
}

fn transfer(value: &Value) -> Option<Txn> {
    let (from, to) = (value.get("from")?.clone(), value.get("to")?.clone());
    let amount = value.get("amount")?.as_int().filter(|amount| *amount >= 0)?;
    (from != to).then_some(Txn::Transfer { from, to, amount })
}

fn perform(micros: &[(Value, Micro)], holds: &dyn Fn(&str) -> Value) -> Result<Done, &'static str> {
    let mut puts: BTreeMap<String, (Value, Value)> = BTreeMap::new();
    let mut result = Vec::new();
    for (key, micro) in micros {
        let name = key.to_string();
        let now = puts.get(&name).map_or_else(|| holds(&name), |(_, value)| value.clone());
        let (f, told) = match micro {
            Micro::Read => ("r", now),
            Micro::Write(value) => {
                puts.insert(name, (key.clone(), value.clone()));
                ("w", value.clone())
            }
            Micro::Append(value) => {
                let list = appended(&now, value).ok_or("the key holds no list to append to")?;
                puts.insert(name, (key.clone(), list));
                ("append", value.clone())
            }
        };
        result.push(Value::List([Value::from(f), key.clone(), told].into()));
    }
    Ok(Done { result: Value::List(result.into()), puts })
}

fn appended(list: &Value, value: &Value) -> Option<Value> {
    let mut items = match list {
        Value::Null => Vec::new(),
        list => list.as_list()?.to_vec(),
    };
    items.push(value.clone());
    Some(Value::List(items.into()))
}

fn move_money(
    from: &Value,
    to: &Value,
    amount: i64,
    holds: &dyn Fn(&str) -> Value,
) -> Result<Done, &'static str> {
    let balance = |account: &Value| holds(&account.to_string()).as_int();
    let (loses, gains) =
        balance(from).zip(balance(to)).ok_or("an account of the transfer has no balance")?;
    if loses < amount {
        return Err("the account holds less");
    }
    let sums = loses.checked_sub(amount).zip(gains.checked_add(amount));
    let (loses, gains) = sums.ok_or("the balances are too large")?;
    let put = |account: &Value, balance: i64| {
        (account.to_string(), (account.clone(), Value::Int(balance)))
    };
    let result = [("from", from.clone()), ("to", to.clone()), ("amount", Value::Int(amount))];
    Ok(Done { result: Value::map(result), puts: [put(from, loses), put(to, gains)].into() })
}

#[cfg(test)]
mod tests {
    use keelhaul_history::F;

    use super::*;

    /// What an operation comes to where keys hold these values: its result and what is put, or why it fails.
    fn check(f: &str, value: &str, holds: &[(&str, &str)], expected: &str) {
        let json = |text: &str| Value::from_json(text).unwrap();
        let op = Invocation { f: F::from(f), key: None, value: json(value) };
        let holds = |key: &str| {
            holds.iter().find(|(name, _)| *name == key).map_or(Value::Null, |(_, v)| json(v))
        };
        let said = match Txn::of(&op) {
            None => "no transaction".to_owned(),
            Some(Err(why)) => why.to_owned(),
            Some(Ok(txn)) => match txn.perform(&holds) {
                Err(why) => why.to_owned(),
                Ok(Done { result, puts }) => {
                    let puts = puts.values().map(|(key, value)| format!(" {key}={value}"));
                    format!("{result}{}", puts.collect::<String>())
                }
            },
        };
        assert_eq!(said, expected, "{f} {value}");
    }

    #[test]
    fn operations_see_those_before_them() {
        check(
            "txn",
            r#"[["r",1,null],["append",1,8],["r",1,null],["w",2,5],["r",2,null]]"#,
            &[("1", "[7]")],
            r#"[["r",1,[7]],["append",1,8],["r",1,[7,8]],["w",2,5],["r",2,5]] 1=[7,8] 2=5"#,
        );
        check("txn", r#"[["append",1,8]]"#, &[("1", "5")], "the key holds no list to append to");
        check("txn", r#"[["w",1,null]]"#, &[], TXN);
    }

    #[test]
    fn money_moves() {
        check("open", r#"{"0":7,"b":3}"#, &[], r#"{"0":7,"b":3} "b"=3 0=7"#);
        let bank = [("0", "7"), ("1", "3")];
        check("read", "[0,1]", &bank, r#"{"0":7,"1":3}"#);
        check("read", "[0,2]", &bank, r#"{"0":7,"2":null}"#);
        let of_7 = r#"{"from":0,"to":1,"amount":7}"#;
        check("transfer", of_7, &bank, &format!("{of_7} 0=0 1=10"));
        check("transfer", r#"{"from":0,"to":1,"amount":8}"#, &bank, "the account holds less");
        check(
            "transfer",
            r#"{"from":0,"to":2,"amount":1}"#,
            &bank,
            "an account of the transfer has no balance",
        );
        check("transfer", r#"{"from":0,"to":0,"amount":1}"#, &bank, TRANSFER);
        check("transfer", r#"{"from":0,"to":1,"amount":-1}"#, &bank, TRANSFER);
        check("open", "[1]", &bank, OPEN);
    }

    #[test]
    fn what_is_none() {
        check("read", "null", &[], "no transaction");
        check("write", "1", &[], "no transaction");
    }

    #[test]
    fn what_is_only_written_is_not_depended_on() {
        let value = Value::from_json(r#"[["w",1,2],["r",3,null],["append","x",4]]"#).unwrap();
        let op = Invocation { f: F::from("txn"), key: None, value };
        let keys: Vec<String> = Txn::of(&op).unwrap().unwrap().reads().into_keys().collect();
        assert_eq!(keys, ["\"x\"", "3"]);
        let keys: Vec<String> = Txn::of(&op).unwrap().unwrap().keys().into_keys().collect();
        assert_eq!(keys, ["\"x\"", "1", "3"]);
    }
}
