//! Numbers for keys and for versions, and the lists that keys were seen to hold.
//!
//! In a history of lists most of the bytes are lists, and most of these begin as the one before did. So each key keeps the
//! text of its longest list: a list that is a beginning of that text, or that continues it, is known by comparing bytes, and
//! only what is new is looked at.

use std::collections::HashMap;
use std::ops::Range;

use keelhaul_history::{RawValue, Value};

use super::columns::{NONE, Txns};
use crate::columns::{Atom, WordMap};
use crate::objects::vocabulary::atom;

/// How a list stands to its key's spine.
pub(super) enum ListId {
    /// It is its beginning, of so many elements.
    Prefix(u32),
    /// It is another list, of that number.
    Odd(u32),
}

/// Numbers by name.
#[derive(Default)]
pub(super) struct Names {
    /// By small number: the key of that name, or [`NONE`].
    small_keys: Vec<u32>,
    int_keys: WordMap<i64, u32>,
    other_keys: HashMap<Value, u32>,
    keys: Vec<Key>,
    /// By key. It is looked at for every operation, mostly of another key than before, so it is small: those of many keys stay in a
    /// processor's cache.
    latest: Vec<Latest>,
    /// By key.
    numbers: Vec<Numbers>,
    /// By version: the one before it in its key's chain, see [`Latest`], or [`NONE`].
    before: Vec<u32>,
    int_versions: WordMap<(u32, i64), u32>,
    other_versions: HashMap<(u32, Value), u32>,
}

/// The greatest number that was a value of a key, the last of the *chain* of those that came rising; mostly it is asked for, one of the last
/// before it, or a new one.
#[derive(Clone, Copy)]
struct Latest {
    value: i64,
    /// [`NONE`] if there is no chain.
    version: u32,
    /// Whether some values are in [`Numbers::small`].
    has_small: bool,
}

/// The other versions of a key whose values are numbers.
#[derive(Default)]
struct Numbers {
    /// By small value: its version, or [`NONE`].
    small: Vec<u32>,
    /// The beginning of the chain, rising, as far as it has been looked through: values with their versions.
    chain: Vec<(i64, u32)>,
}

/// The lists of a key.
#[derive(Default)]
struct Key {
    /// The spine as it was written, without the closing bracket.
    text: String,
    /// By element of the spine: where it ends in `text`.
    ends: Vec<u32>,
}

/// Values that are looked up in an array even if none has been before.
const SMALL: Range<i64> = 0..64;

/// Names of keys below this are looked up in an array: 4 MiB at most.
const SMALL_KEYS_MAX: usize = 1 << 20;

impl Names {
    pub fn key(&mut self, name: RawValue<'_>, txns: &mut Txns) -> u32 {
        self.key_of(atom(name), txns)
    }

    /// As [`Names::key`], of a name that was read.
    pub fn key_of(&mut self, name: Atom, txns: &mut Txns) -> u32 {
        let next = txns.keys.len() as u32;
        let (id, name) = match name {
            Atom::Int(n) => (self.int_key(n, next), Value::Int(n)),
            Atom::Other(name) => (*self.other_keys.entry(name.clone()).or_insert(next), name),
        };
        if id == next {
            txns.keys.push(name);
            txns.spines.push(Vec::new());
            self.keys.push(Key { text: "[".into(), ..Key::default() });
            self.latest.push(Latest { value: 0, version: NONE, has_small: false });
            self.numbers.push(Numbers::default());
        }
        id
    }

    fn int_key(&mut self, name: i64, next: u32) -> u32 {
        let small = usize::try_from(name).ok().filter(|at| *at < SMALL_KEYS_MAX);
        let Some(at) = small else { return *self.int_keys.entry(name).or_insert(next) };
        if self.small_keys.len() <= at {
            self.small_keys.resize(at + 1, NONE);
        }
        let id = &mut self.small_keys[at];
        if *id == NONE {
            *id = next;
        }
        *id
    }

    /// The number of a value of a key.
    pub fn version(&mut self, key: u32, value: Atom, txns: &mut Txns) -> u32 {
        match value {
            Atom::Int(value) => self.int_version(key, value, txns),
            Atom::Other(value) => {
                let next = txns.versions();
                let id = *self.other_versions.entry((key, value.clone())).or_insert(next);
                if id == next {
                    add(key, 0, txns);
                    txns.others.insert(id, value);
                }
                id
            }
        }
    }

    /// A version of a key without a value, which is like no other.
    pub fn deleted(key: u32, txns: &mut Txns) -> u32 {
        let id = add(key, 0, txns);
        txns.others.insert(id, Value::Null);
        id
    }

    #[inline]
    fn int_version(&mut self, key: u32, value: i64, txns: &mut Txns) -> u32 {
        let next = txns.versions();
        let Latest { value: greatest, version, has_small } = self.latest[key as usize];
        if version != NONE && value == greatest {
            return version;
        }
        if !has_small && !SMALL.contains(&value) && (version == NONE || value > greatest) {
            self.lengthen(key, value, next);
            return add(key, value, txns);
        }
        self.earlier_version(key, value, txns)
    }

    /// A new version becomes the last of its key's chain.
    fn lengthen(&mut self, key: u32, value: i64, version: u32) {
        let latest = &mut self.latest[key as usize];
        self.before.resize(version as usize, NONE);
        self.before.push(latest.version);
        (latest.value, latest.version) = (value, version);
    }

    /// As [`Names::int_version`], where the latest is not what is wanted. Values that count up from 0 or so, which are usual, are looked up in
    /// an array.
    fn earlier_version(&mut self, key: u32, value: i64, txns: &mut Txns) -> u32 {
        let next = txns.versions();
        let small = &self.numbers[key as usize].small;
        let at =
            usize::try_from(value).ok().filter(|at| *at < 2 * small.len() + SMALL.end as usize);
        let known = at.and_then(|at| small.get(at)).copied().filter(|id| *id != NONE);
        if let Some(id) = known.or_else(|| self.in_chain(key, value, txns)) {
            return id;
        }
        let latest = self.latest[key as usize];
        if at.is_none() && (latest.version == NONE || value > latest.value) {
            self.lengthen(key, value, next);
            return add(key, value, txns);
        }
        // It may have been met before the array had grown so far, or have come late.
        let id = *self.int_versions.get(&(key, value)).unwrap_or(&next);
        match at {
            Some(at) => {
                let small = &mut self.numbers[key as usize].small;
                if small.len() <= at {
                    small.resize(at + 1, NONE);
                }
                small[at] = id;
                self.latest[key as usize].has_small = true;
            }
            None => {
                self.int_versions.insert((key, value), id);
            }
        }
        if id == next { add(key, value, txns) } else { id }
    }

    /// The version of a value in its key's chain. The last few are looked at one by one; whoever asks for an older one has the chain laid out
    /// as far as it goes by then, each version once.
    fn in_chain(&mut self, key: u32, value: i64, txns: &Txns) -> Option<u32> {
        const LATE: usize = 8;

        let Latest { version: last, .. } = self.latest[key as usize];
        let chain = &mut self.numbers[key as usize].chain;
        let laid_out = chain.last().map_or(NONE, |(_, version)| *version);
        let mut links =
            std::iter::successors(Some(last), |at| self.before.get(*at as usize).copied())
                .take_while(|at| *at != laid_out)
                .map(|at| (txns.ints[at as usize], at));
        for (known, version) in links.by_ref().take(LATE) {
            if known <= value {
                return (known == value).then_some(version);
            }
        }
        if links.next().is_some() {
            let from = chain.len();
            let mut at = last;
            while at != laid_out {
                chain.push((txns.ints[at as usize], at));
                at = self.before[at as usize];
            }
            chain[from..].reverse();
        }
        let at = chain.binary_search_by_key(&value, |(known, _)| *known).ok()?;
        Some(chain[at].1)
    }

    /// The list of a key that a read returned; nothing if it is no list.
    pub fn list(&mut self, key: u32, list: RawValue<'_>, txns: &mut Txns) -> Option<ListId> {
        if list.is_null() {
            return Some(ListId::Prefix(0));
        }
        let known = &self.keys[key as usize];
        let body = list.text().strip_suffix(']')?;
        if let Some(rest) = known.text.strip_prefix(body)
            && (rest.is_empty() || rest.starts_with(',') || body.len() == 1)
        {
            let whole = known.ends.partition_point(|end| *end <= body.len() as u32);
            return Some(ListId::Prefix(whole as u32));
        }
        if let Some(rest) = body.strip_prefix(known.text.as_str())
            && let Some(tail) = numbers(rest, known.ends.is_empty())
        {
            self.extend(key, body, &tail, txns);
            return Some(ListId::Prefix(txns.spines[key as usize].len() as u32));
        }
        self.any_list(key, list, txns)
    }

    /// The spine goes on with these numbers, of which each is said to end where in `body`.
    fn extend(&mut self, key: u32, body: &str, tail: &[(i64, usize)], txns: &mut Txns) {
        let from = self.keys[key as usize].text.len();
        for (value, end) in tail {
            let version = self.int_version(key, *value, txns);
            txns.spines[key as usize].push(version);
            self.keys[key as usize].ends.push((from + end) as u32);
        }
        self.keys[key as usize].text.push_str(&body[from..]);
    }

    /// A list that is written in some other way, or is another one.
    fn any_list(&mut self, key: u32, list: RawValue<'_>, txns: &mut Txns) -> Option<ListId> {
        let mut versions = Vec::new();
        let mut texts = Vec::new();
        for item in list.items()? {
            versions.push(self.version(key, atom(item), txns));
            texts.push(item.text());
        }
        let spine = &mut txns.spines[key as usize];
        if spine.starts_with(&versions) {
            return Some(ListId::Prefix(versions.len() as u32));
        }
        if !versions.starts_with(spine) {
            txns.odd.push(versions);
            return Some(ListId::Odd(txns.odd.len() as u32 - 1));
        }
        let known = &mut self.keys[key as usize];
        for text in &texts[spine.len()..] {
            if !known.ends.is_empty() {
                known.text.push(',');
            }
            known.text.push_str(text);
            known.ends.push(known.text.len() as u32);
        }
        *spine = versions;
        Some(ListId::Prefix(spine.len() as u32))
    }
}

/// A new version of a key, whose value is a number.
fn add(key: u32, value: i64, txns: &mut Txns) -> u32 {
    let id = txns.versions();
    txns.version_keys.push(key);
    txns.ints.push(value);
    id
}

/// Numbers separated by commas alone, and where each ends; `first` if no comma stands before the first. Nothing if there is
/// anything else.
fn numbers(text: &str, first: bool) -> Option<Vec<(i64, usize)>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if !(first && at == 0) {
            text[at..].starts_with(',').then_some(())?;
            at += 1;
        }
        let rest = &text[at..];
        let end = rest.find(',').unwrap_or(rest.len());
        found.push((rest[..end].parse().ok()?, at + end));
        at += end;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Values as they come: counted up, from a great number on too, with some that came before; and any.
    fn values() -> impl Strategy<Value = Vec<(u32, i64)>> {
        let value = prop_oneof![-2..200_i64, 1000..1400_i64, any::<i64>()];
        let counted = (0..3_u32, prop_oneof![Just(0_i64), Just(5000)], 1..60_i64);
        let anyhow = prop::collection::vec((0..3_u32, value), 0..300);
        let counting = prop::collection::vec(counted, 0..300).prop_map(|drawn| {
            let back = |(at, (key, from, back)): (usize, (u32, i64, i64))| {
                let step = at as i64 * 3;
                (key, from + if back % 2 == 0 { step } else { step - back })
            };
            drawn.into_iter().enumerate().map(back).collect()
        });
        prop_oneof![anyhow, counting]
    }

    proptest! {
        #[test]
        fn a_value_of_a_key_is_one_version(values in values()) {
            let (mut names, mut txns) = (Names::default(), Txns::default());
            let mut expected = HashMap::new();
            for (key, value) in values {
                let key = names.key_of(Atom::Int(key.into()), &mut txns);
                let next = expected.len() as u32;
                let version = names.version(key, Atom::Int(value), &mut txns);
                prop_assert_eq!(version, *expected.entry((key, value)).or_insert(next));
                prop_assert_eq!(txns.version_keys[version as usize], key);
                prop_assert_eq!(txns.value(version), Value::Int(value));
            }
        }
    }
}
