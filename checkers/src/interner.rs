//! Small numbers for values.
//!
//! Whole numbers have a place of their own ([`Ints`]). Of anything else a table holds hash and id, and the value itself stands only in
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

/// Ids of whole numbers.
///
/// What is written is mostly a counter, and what is read was mostly written lately. So numbers that come in rising order
/// are a list that is searched from its end: a hash table of millions would be two cache misses a number.
#[derive(Debug, Default)]
struct Ints {
    /// Numbers with their ids, both rising.
    rising: Vec<(i64, u32)>,
    /// Numbers that came after greater ones, or all of them once there are many such.
    others: WordMap<i64, u32>,
}

impl Ints {
    /// One number in so many may come out of order before all of them are in the table.
    const OUT_OF_ORDER: usize = 16;

    fn get(&self, n: i64) -> Option<u32> {
        self.find_rising(n).or_else(|| self.others.get(&n).copied())
    }

    /// Looks back from the end in steps that double, then halves the last of them.
    fn find_rising(&self, n: i64) -> Option<u32> {
        let (mut end, mut step) = (self.rising.len(), 1);
        while let Some(from) = end.checked_sub(step)
            && self.rising[from].0 > n
        {
            (end, step) = (from, 2 * step);
        }
        let from = end.saturating_sub(step);
        let at = self.rising[from..end].binary_search_by_key(&n, |(known, _)| *known).ok()?;
        Some(self.rising[from + at].1)
    }

    /// Adds a number that is not known.
    fn add(&mut self, n: i64, id: u32) {
        let goes_on = self.rising.last().is_none_or(|(last, _)| *last < n);
        // An empty list beside a table is one that was given up.
        if goes_on && (self.others.is_empty() || !self.rising.is_empty()) {
            self.rising.push((n, id));
            return;
        }
        self.others.insert(n, id);
        if self.others.len() > Self::OUT_OF_ORDER + self.rising.len() / Self::OUT_OF_ORDER {
            self.others.extend(std::mem::take(&mut self.rising));
        }
    }
}

/// Small numbers for values, in order of first use.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    ints: Ints,
    others: HashTable<Slot>,
}

impl Interner {
    /// The id of `atom`; `values` receives it if it is new.
    pub(crate) fn intern(&mut self, atom: Atom, values: &mut Vec<Value>) -> u32 {
        match atom {
            Atom::Int(n) => self.ints.get(n).unwrap_or_else(|| {
                let id = next_id(values);
                values.push(Value::Int(n));
                self.ints.add(n, id);
                id
            }),
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
    use rand::{RngExt, SeedableRng};

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
    fn numbers_have_the_ids_that_a_map_gives_them() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for disorder in [0, 1, 20, 1000] {
            let (mut interner, mut values) = (Interner::default(), Vec::new());
            let mut known = std::collections::HashMap::new();
            for n in 0..5_000_i64 {
                let mut check = |n: i64| {
                    let next = known.len() as u32;
                    let id = *known.entry(n).or_insert(next);
                    assert_eq!(interner.intern(Atom::Int(n), &mut values), id, "{n} of {disorder}");
                };
                check(3 * n + rng.random_range(-disorder..=disorder));
                check(rng.random_range(0..=3 * n));
            }
            assert_eq!(values.len(), known.len());
        }
        let (mut interner, mut values) = (Interner::default(), Vec::new());
        for n in [i64::MAX, i64::MIN, 0, i64::MAX, 0, i64::MIN] {
            let id = interner.intern(Atom::Int(n), &mut values);
            assert_eq!(values[id as usize], Value::Int(n));
        }
        assert_eq!(values.len(), 3);
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
