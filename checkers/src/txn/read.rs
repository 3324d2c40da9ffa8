//! From events to rows.

use keelhaul_history::{Kind, ListOp, OpValue, Process, RawOp, RawValue, RegisterOp, Value};

use super::columns::{F, MicroOp, NONE, Outcome, Txn, Txns};
use super::names::{ListId, Names};
use super::predicates::Matched;
use crate::columns::{Atom, ColumnError, WordMap};
use crate::in_flight::{InFlight, Span};
use crate::objects::vocabulary::atom;

/// What keys hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Lists, to which transactions append.
    Lists,
    /// Registers, which transactions write.
    Registers,
    /// Rows, which transactions write, delete, and find by predicates.
    Rows,
}

const KNOWN: &str = "histories of transactions have txn, read, write and append";
const KNOWN_OF_ROWS: &str = "histories of rows have init and txn";
const INIT: &str = "a map of keys and values";
const ROWS: &str = "a list of [\"insert\",key,value], [\"w\",key,value], [\"delete\",key], [\"r\",key,value] and [\"rp\",predicate,map], \
                    a predicate being \"true\", [\"=\",value], [\"mod\",divisor,rest], [\"<\",bound] or the like, [\"keys\",first,last] or [\"and\",predicate,…]";
const LISTS: &str = "a list of [\"append\",key,value] and [\"r\",key,list]";
const REGISTERS: &str = "a list of [\"w\",key,value] and [\"r\",key,value], behind which the number of the version may stand, and one [\"ts\",snapshot,commit]";

/// Builds [`Txns`] from events in their order.
pub(crate) struct Reading {
    shape: Shape,
    in_flight: InFlight<Begun>,
    sessions: WordMap<u32, u32>,
    names: Names,
    txns: Txns,
    /// Room for the operations of a transaction in flight.
    spare: Vec<Vec<MicroOp>>,
}

struct Begun {
    row: u32,
    asked: Vec<MicroOp>,
}

impl Reading {
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            in_flight: InFlight::default(),
            sessions: WordMap::default(),
            names: Names::default(),
            txns: Txns::default(),
            spare: Vec::new(),
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// If it is no event of a history of transactions.
    pub fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        let Process::Client(process) = op.process else { return Ok(()) };
        let (known, all) = match self.shape {
            Shape::Rows => (matches!(op.f, "txn" | "init"), KNOWN_OF_ROWS),
            Shape::Lists | Shape::Registers => {
                (matches!(op.f, "txn" | "read" | "write" | "append"), KNOWN)
            }
        };
        if !known {
            let (index, f) = (op.index, op.f.into());
            return Err(ColumnError::OtherFunction { index, f, known: all });
        }
        if op.kind == Kind::Invoke {
            return self.invoke(op, process);
        }
        let (begun, ret) = self.in_flight.end(op.index, process)?;
        let outcome = match op.kind {
            Kind::Ok => Outcome::Ok,
            Kind::Fail => Outcome::Fail,
            Kind::Info | Kind::Invoke => Outcome::Info,
        };
        if outcome != Outcome::Info {
            let span = &mut self.txns.txns[begun.row as usize].span;
            *span = Span { ret, end_ns: op.time_ns, ..*span };
        }
        let Begun { row, mut asked } = begun;
        if outcome == Outcome::Ok && !op.value.is_null() {
            asked.clear();
            self.parse(op, Some(row), &mut asked)?;
        }
        self.close(row, outcome, asked);
        Ok(())
    }

    fn invoke(&mut self, op: &RawOp<'_>, process: u32) -> Result<(), ColumnError> {
        let mut asked = self.spare.pop().unwrap_or_default();
        self.parse(op, None, &mut asked)?;
        let row = self.txns.txns.len() as u32;
        if op.f == "init" {
            self.txns.initial.push(row);
        }
        let next = self.txns.processes.len() as u32;
        let session = *self.sessions.entry(process).or_insert(next);
        if session == next {
            self.txns.processes.push(process);
        }
        let txns = &mut self.txns.txns;
        self.in_flight.begin((op.index, op.time_ns, process), |span| {
            txns.push(Txn { span, session, outcome: Outcome::Info, ops: (0, 0) });
            Begun { row, asked }
        })
    }

    /// All rows.
    pub fn finish(mut self) -> Txns {
        for Begun { row, asked } in self.in_flight.rest() {
            self.close(row, Outcome::Info, asked);
        }
        self.txns
    }

    fn close(&mut self, row: u32, outcome: Outcome, mut ops: Vec<MicroOp>) {
        let position = |n: usize| u32::try_from(n).expect("fewer operations than 2^32");
        let from = self.txns.ops.len();
        self.txns.ops.extend_from_slice(&ops);
        let txn = &mut self.txns.txns[row as usize];
        txn.ops = (position(from), position(self.txns.ops.len()));
        txn.outcome = outcome;
        ops.clear();
        self.spare.push(ops);
    }

    /// Reads return what the value says, if it is that of a transaction that committed, whose row this is.
    fn parse(
        &mut self,
        op: &RawOp<'_>,
        committed: Option<u32>,
        into: &mut Vec<MicroOp>,
    ) -> Result<(), ColumnError> {
        if op.value.is_null() {
            return Ok(());
        }
        let (read, expected) = match self.shape {
            Shape::Rows if op.f == "init" => (self.initial(op.value.json(), into), INIT),
            Shape::Rows => (self.rows(op.value.json(), committed, into), ROWS),
            Shape::Lists => (self.usual_or_any(Self::list_ops, op.value, committed, into), LISTS),
            Shape::Registers => {
                (self.usual_or_any(Self::register_ops, op.value, committed, into), REGISTERS)
            }
        };
        let (index, f) = (op.index, op.f);
        read.ok_or_else(|| ColumnError::Value { index, f: f.into(), expected })
    }

    /// What is there before everything else.
    fn initial(&mut self, value: RawValue<'_>, into: &mut Vec<MicroOp>) -> Option<()> {
        for (key, value) in value.entries()? {
            let key = self.key_named(&key);
            into.push(self.row(key, value));
        }
        Some(())
    }

    /// The key of a map, whose names are texts whatever they stand for.
    fn key_named(&mut self, name: &str) -> u32 {
        let int = name.parse().ok().filter(|int: &i64| int.to_string() == name);
        let name = int.map_or_else(|| Atom::from(Value::from(name)), Atom::Int);
        self.names.key_of(name, &mut self.txns)
    }

    /// A row is left with a value; null deletes it.
    fn row(&mut self, key: u32, value: RawValue<'_>) -> MicroOp {
        if value.is_null() {
            return MicroOp { f: F::Write, key, value: Names::deleted(key, &mut self.txns) };
        }
        self.write(F::Write, key, value)
    }

    fn rows(
        &mut self,
        value: RawValue<'_>,
        committed: Option<u32>,
        into: &mut Vec<MicroOp>,
    ) -> Option<()> {
        for micro in value.items()? {
            let mut fields = micro.items()?;
            let (f, what) = (fields.next()?.text(), fields.next()?);
            let value = fields.next().unwrap_or(RawValue::NULL);
            if f == "\"rp\"" {
                if committed.is_some() {
                    let found = Matched::parse(what, value, |key, value| {
                        let key = self.key_named(key);
                        (key, self.write(F::Read, key, value).value)
                    })?;
                    let number = self.txns.matched.len() as u32;
                    self.txns.matched.push(found);
                    into.push(MicroOp { f: F::Match, key: NONE, value: number });
                }
                fields.next().is_none().then_some(())?;
                continue;
            }
            let key = self.names.key(what, &mut self.txns);
            let micro = match f {
                "\"insert\"" | "\"w\"" | "\"write\"" => self.row(key, value),
                "\"delete\"" => self.row(key, RawValue::NULL),
                "\"r\"" | "\"read\"" => match committed {
                    None => MicroOp { f: F::Unknown, key, value: NONE },
                    Some(_) if value.is_null() => MicroOp { f: F::Read, key, value: NONE },
                    Some(_) => self.write(F::Read, key, value),
                },
                _ => return None,
            };
            into.push(micro);
            self.number(micro, fields)?;
        }
        Some(())
    }

    /// The number of a version, if it is there, and nothing behind it.
    fn number<'a>(
        &mut self,
        micro: MicroOp,
        mut fields: impl Iterator<Item = RawValue<'a>>,
    ) -> Option<()> {
        if let Some(number) = fields.next().filter(|number| !number.is_null()) {
            let number = number.as_int()?;
            if micro.value != NONE {
                self.txns.stamps.number(micro.value, number);
            }
        }
        fields.next().is_none().then_some(())
    }

    /// In one step what is written as most transactions are, by `usual`; else piece by piece.
    fn usual_or_any(
        &mut self,
        usual: impl Fn(&mut Self, OpValue<'_>, Option<u32>, &mut Vec<MicroOp>) -> Option<()>,
        value: OpValue<'_>,
        committed: Option<u32>,
        into: &mut Vec<MicroOp>,
    ) -> Option<()> {
        let from = into.len();
        usual(self, value, committed, into).or_else(|| {
            into.truncate(from);
            self.micro_ops(value.json(), committed, into)
        })
    }

    fn list_ops(
        &mut self,
        value: OpValue<'_>,
        committed: Option<u32>,
        into: &mut Vec<MicroOp>,
    ) -> Option<()> {
        value.json().list_ops(|op| {
            into.push(match op {
                ListOp::Append { key, value } => {
                    let key = self.names.key_of(Atom::Int(key), &mut self.txns);
                    let value = self.names.version(key, Atom::Int(value), &mut self.txns);
                    MicroOp { f: F::Append, key, value }
                }
                ListOp::Read { key, list } => {
                    let key = self.names.key_of(Atom::Int(key), &mut self.txns);
                    self.list(key, list, committed)?
                }
            });
            Some(())
        })
    }

    /// What a read of a list comes to.
    fn list(&mut self, key: u32, list: RawValue<'_>, committed: Option<u32>) -> Option<MicroOp> {
        if committed.is_none() {
            return Some(MicroOp { f: F::Unknown, key, value: NONE });
        }
        Some(match self.names.list(key, list, &mut self.txns)? {
            ListId::Prefix(value) => MicroOp { f: F::List, key, value },
            ListId::Odd(value) => MicroOp { f: F::Odd, key, value },
        })
    }

    fn register_ops(
        &mut self,
        value: OpValue<'_>,
        committed: Option<u32>,
        into: &mut Vec<MicroOp>,
    ) -> Option<()> {
        value.register_ops(|RegisterOp { writes, key, value }| {
            let key = self.names.key_of(Atom::Int(key), &mut self.txns);
            let f = match writes {
                true => F::Write,
                false if committed.is_none() => F::Unknown,
                false => F::Read,
            };
            let version = match value.filter(|_| f != F::Unknown) {
                Some(value) => self.names.version(key, Atom::Int(value), &mut self.txns),
                None => NONE,
            };
            into.push(MicroOp { f, key, value: version });
        })
    }

    fn micro_ops(
        &mut self,
        value: RawValue<'_>,
        committed: Option<u32>,
        into: &mut Vec<MicroOp>,
    ) -> Option<()> {
        for micro in value.items()? {
            let mut fields = micro.items()?;
            let f = fields.next()?.text();
            if f == "\"ts\"" && self.shape == Shape::Registers {
                let (snapshot, commit) = (fields.next()?.as_int()?, fields.next()?.as_int()?);
                if let Some(row) = committed {
                    self.txns.stamps.txns.insert(row, (snapshot, commit));
                }
                fields.next().is_none().then_some(())?;
                continue;
            }
            let key = self.names.key(fields.next()?, &mut self.txns);
            let value = fields.next();
            let micro = match (f, self.shape) {
                ("\"append\"", Shape::Lists) => self.write(F::Append, key, value?),
                ("\"w\"" | "\"write\"", Shape::Registers) => self.write(F::Write, key, value?),
                ("\"r\"" | "\"read\"", _) if committed.is_none() => {
                    MicroOp { f: F::Unknown, key, value: NONE }
                }
                ("\"r\"" | "\"read\"", Shape::Lists) => {
                    // Of a list that was never appended to, some clients say nothing at all.
                    self.list(key, value.unwrap_or(RawValue::NULL), committed)?
                }
                ("\"r\"" | "\"read\"", Shape::Registers) => {
                    match value.filter(|value| !value.is_null()) {
                        Some(value) => self.write(F::Read, key, value),
                        None => MicroOp { f: F::Read, key, value: NONE },
                    }
                }
                _ => return None,
            };
            into.push(micro);
            match self.shape {
                Shape::Registers => self.number(micro, fields)?,
                Shape::Lists | Shape::Rows => fields.next().is_none().then_some(())?,
            }
        }
        Some(())
    }

    fn write(&mut self, f: F, key: u32, value: RawValue<'_>) -> MicroOp {
        MicroOp { f, key, value: self.names.version(key, atom(value), &mut self.txns) }
    }
}

#[cfg(test)]
mod tests {
    use keelhaul_history::Reader;

    use super::*;
    use crate::testing::history;

    fn read(shape: Shape, events: &str) -> Result<Txns, ColumnError> {
        let history = history(events);
        let mut reader = Reader::new(history.as_bytes()).unwrap();
        let mut reading = Reading::new(shape);
        while let Some(op) = reader.next_op().unwrap() {
            reading.observe(&op)?;
        }
        Ok(reading.finish())
    }

    fn labels(txns: &Txns) -> Vec<String> {
        (0..txns.txns.len() as u32).map(|row| txns.label(row)).collect()
    }

    #[test]
    fn registers() {
        let txns = read(
            Shape::Registers,
            r#"0 invoke txn [["w","x",1],["r","y",null]]
            1 invoke txn [["w","y","one"]]
            0 ok txn [["w","x",1],["r","y","one"]]
            1 fail txn [["w","y","one"]]
            0 invoke txn [["r","x",null],["r","x",null]]"#,
        );
        let txns = txns.unwrap();
        assert_eq!(
            labels(&txns),
            ["write x 1; read y -> \"one\"", "write y \"one\"", "read x; read x"]
        );
        let outcomes: Vec<Outcome> = txns.txns.iter().map(|txn| txn.outcome).collect();
        assert_eq!(outcomes, [Outcome::Ok, Outcome::Fail, Outcome::Info]);
        assert_eq!((txns.versions(), &txns.processes[..]), (2, &[0, 1][..]));
    }

    #[test]
    fn lists_are_the_same_however_they_are_written() {
        let read_of =
            |list: &str| format!("0 invoke txn [[\"r\",7,null]]\n0 ok txn [[\"r\",7,{list}]]\n");
        let events: String =
            ["[]", "[1,12]", "[1, 12,3]", "[ 1 ]", "[1,1]", "[1,12,3,4]", "[12]", "[1,12,-3]"]
                .map(read_of)
                .concat();
        let txns = read(Shape::Lists, &events).unwrap();
        assert_eq!(
            labels(&txns),
            [
                "[]",
                "[1, 12]",
                "[1, 12, 3]",
                "[1]",
                "[1, 1]",
                "[1, 12, 3, 4]",
                "[12]",
                "[1, 12, -3]"
            ]
            .map(|list| format!("read 7 -> {list}"))
        );
        // Three contradict the longest.
        assert_eq!((txns.spine(0).len(), txns.odd.len()), (4, 3));
    }

    #[test]
    fn what_is_no_transaction_is_refused() {
        let refused = |events| read(Shape::Lists, events).unwrap_err().to_string();
        assert!(
            refused("0 invoke txn [[\"w\",1,2]]")
                .contains("must be a list of [\"append\",key,value]")
        );
        assert!(refused("0 invoke txn [[\"append\",1]]").contains("must be a list of"));
        assert!(refused("0 invoke enqueue 1").contains("have txn, read, write and append"));
    }
}
