//! Small numbers for values.
//!
//! Whole numbers have a map of their own. Of anything else a table holds hash and id, and the value itself stands only in
//! the list that the ids lead into: to look a text up that is known costs no allocation, and to grow the table no look at
//! any text.

use std::hash::{BuildHasher, BuildHasherDefault, Hash};

use hashbrown::HashTable;
use keelhaul_history::{RawValue, Value};

use crate::columns::{Atom, WordHasher, WordMap};

/// An id with the hash of its value.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    id: u32,
}

/// Small numbers for values, in order of first use.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    ints: WordMap<i64, u32>,
    others: HashTable<Slot>,
}

impl Interner {
    /// The id of `atom`; `values` receives it if it is new.
    pub(crate) fn intern(&mut self, atom: Atom, values: &mut Vec<Value>) -> u32 {
        match atom {
            Atom::Int(n) => {
                let next = next_id(values);
                *self.ints.entry(n).or_insert_with(|| {
                    values.push(Value::Int(n));
                    next
                })
            }
            Atom::Other(Value::Str(text)) => self
                .find(hash_of(&*text), values, |value| value.as_str() == Some(&text))
                .unwrap_or_else(|hash| self.add(hash, Value::Str(text), values)),
            Atom::Other(other) => self
                .find(hash_of(&other), values, |value| *value == other)
                .unwrap_or_else(|hash| self.add(hash, other, values)),
        }
    }

    /// The id of a value as it stands in the history; `values` receives it if it is new.
    pub(crate) fn intern_raw(&mut self, value: RawValue<'_>, values: &mut Vec<Value>) -> u32 {
        if let Some(n) = value.as_int() {
            return self.intern(Atom::Int(n), values);
        }
        match value.as_str() {
            Some(text) => self.intern_text(&text, values),
            None => self.intern(value.to_value().into(), values),
        }
    }

    /// The id of a text; `values` receives it if it is new.
    pub(crate) fn intern_text(&mut self, text: &str, values: &mut Vec<Value>) -> u32 {
        self.find(hash_of(text), values, |value| value.as_str() == Some(text))
            .unwrap_or_else(|hash| self.add(hash, Value::from(text), values))
    }

    /// The id of the value of this hash, or the hash.
    fn find(&self, hash: u64, values: &[Value], is: impl Fn(&Value) -> bool) -> Result<u32, u64> {
        let same = |slot: &Slot| slot.hash == hash && is(&values[slot.id as usize]);
        self.others.find(hash, same).map(|slot| slot.id).ok_or(hash)
    }

    fn add(&mut self, hash: u64, value: Value, values: &mut Vec<Value>) -> u32 {
        let id = next_id(values);
        values.push(value);
        self.others.insert_unique(hash, Slot { hash, id }, |slot| slot.hash);
        id
    }
}

/// Small numbers for the keys of objects, in order of first use; the single object of a history without keys is one too.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    interner: Interner,
    names: Vec<Value>,
    /// The number of each name.
    numbers: Vec<u32>,
    unnamed: Option<u32>,
}

impl Keys {
    /// The number of a key, and its name if it was not known.
    pub(crate) fn number(&mut self, key: Option<RawValue<'_>>) -> (u32, Option<Option<Value>>) {
        match key {
            Some(key) => self.named(|interner, names| interner.intern_raw(key, names)),
            None => self.unnamed(),
        }
    }

    /// The same of a key that was taken out of the history.
    pub(crate) fn number_of(&mut self, key: Option<Atom>) -> (u32, Option<Option<Value>>) {
        match key {
            Some(key) => self.named(|interner, names| interner.intern(key, names)),
            None => self.unnamed(),
        }
    }

    fn named(
        &mut self,
        intern: impl FnOnce(&mut Interner, &mut Vec<Value>) -> u32,
    ) -> (u32, Option<Option<Value>>) {
        let name = intern(&mut self.interner, &mut self.names) as usize;
        if let Some(number) = self.numbers.get(name) {
            return (*number, None);
        }
        let number = self.count();
        self.numbers.push(number);
        (number, Some(Some(self.names[name].clone())))
    }

    fn unnamed(&mut self) -> (u32, Option<Option<Value>>) {
        let next = self.count();
        match self.unnamed {
            Some(number) => (number, None),
            None => (*self.unnamed.insert(next), Some(None)),
        }
    }

    fn count(&self) -> u32 {
        self.numbers.len() as u32 + u32::from(self.unnamed.is_some())
    }
}

fn next_id(values: &[Value]) -> u32 {
    u32::try_from(values.len()).expect("fewer values than events")
}

fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<WordHasher>::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_id_and_different_ones_two() {
        let mut interner = Interner::default();
        let mut values = Vec::new();
        let list = |n: i64| Atom::Other(Value::from(vec![n, n]));
        let text = |text: &str| Atom::Other(Value::from(text));
        let atoms = [Atom::Int(1), text("1"), text(""), list(1), Atom::Other(Value::Null), list(2)];
        for round in 0..2 {
            for (id, atom) in atoms.iter().enumerate() {
                let found = interner.intern(atom.clone(), &mut values);
                assert_eq!(found as usize, id, "round {round}, {atom:?}");
            }
        }
        assert_eq!(interner.intern_text("1", &mut values), 1);
        assert_eq!(interner.intern_text("new", &mut values), 6);
        assert_eq!(interner.intern(text("new"), &mut values), 6);
        assert_eq!(values.len(), 7);
    }

    #[test]
    fn keys_are_numbered_as_they_come_and_no_key_is_one() {
        let mut keys = Keys::default();
        let named = |key: &str| Some(Atom::Other(Value::from(key)));
        assert_eq!(keys.number_of(named("a")), (0, Some(Some(Value::from("a")))));
        assert_eq!(keys.number_of(None), (1, Some(None)));
        assert_eq!(keys.number_of(Some(Atom::Int(7))), (2, Some(Some(Value::Int(7)))));
        assert_eq!(keys.number_of(named("a")), (0, None));
        assert_eq!(keys.number(None), (1, None));
        assert_eq!(keys.number_of(Some(Atom::Int(7))), (2, None));
    }

    #[test]
    fn texts_that_differ_in_a_byte_keep_their_ids_while_the_table_grows() {
        let mut interner = Interner::default();
        let mut values = Vec::new();
        let text = |n: u32| format!("x {n} y");
        for n in 0..10_000 {
            assert_eq!(interner.intern_text(&text(n), &mut values), n);
        }
        for n in (0..10_000).rev() {
            assert_eq!(interner.intern_text(&text(n), &mut values), n);
        }
    }
}
