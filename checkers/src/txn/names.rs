//! Numbers for keys and for versions, and the lists that keys were seen to hold.
//!
//! In a history of lists most of the bytes are lists, and most of these begin as the one before did. So each key keeps the
//! text of its longest list: a list that is a beginning of that text, or that continues it, is known by comparing bytes, and
//! only what is new is looked at.

use std::collections::HashMap;

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
    /// By key.
    numbers: Vec<Numbers>,
    int_versions: WordMap<(u32, i64), u32>,
    other_versions: HashMap<(u32, Value), u32>,
}

/// The versions of a key whose values are numbers. It is looked at for every operation, mostly of another key than before: so what
/// is mostly enough lies together, apart from lists.
#[derive(Default)]
struct Numbers {
    /// By small value: its version, or [`NONE`].
    small: Vec<u32>,
    /// Other values, rising, with their versions, as long as they come about so.
    rising: Vec<(i64, u32)>,
    /// The last of those, once more: nothing else need be looked at then.
    last: Option<(i64, u32)>,
}

/// The lists of a key.
#[derive(Default)]
struct Key {
    /// The spine as it was written, without the closing bracket.
    text: String,
    /// By element of the spine: where it ends in `text`.
    ends: Vec<u32>,
}

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
                    txns.version_keys.push(key);
                    txns.ints.push(0);
                    txns.others.insert(id, value);
                }
                id
            }
        }
    }

    /// A version of a key without a value, which is like no other.
    pub fn deleted(key: u32, txns: &mut Txns) -> u32 {
        let id = txns.versions();
        txns.version_keys.push(key);
        txns.ints.push(0);
        txns.others.insert(id, Value::Null);
        id
    }

    /// Values that count up from 0 or so, which are usual, are looked up in an array.
    fn int_version(&mut self, key: u32, value: i64, txns: &mut Txns) -> u32 {
        let next = txns.versions();
        let Numbers { small, rising, last } = &mut self.numbers[key as usize];
        let at = usize::try_from(value).ok().filter(|at| *at < 2 * small.len() + 64);
        let known = at.and_then(|at| small.get(at)).copied().filter(|id| *id != NONE);
        if let Some(id) = known.or_else(|| find(rising, *last, value)) {
            return id;
        }
        if at.is_none() && last.is_none_or(|(last, _)| last < value) {
            rising.push((value, next));
            *last = Some((value, next));
            txns.version_keys.push(key);
            txns.ints.push(value);
            return next;
        }
        // It may have been met before the array had grown so far, or have come late.
        let id = *self.int_versions.get(&(key, value)).unwrap_or(&next);
        match at {
            Some(at) => {
                if small.len() <= at {
                    small.resize(at + 1, NONE);
                }
                small[at] = id;
            }
            None => {
                self.int_versions.insert((key, value), id);
            }
        }
        if id == next {
            txns.version_keys.push(key);
            txns.ints.push(value);
        }
        id
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

/// The version of a value, among those that rise. The last is mostly asked for, or one of the latest.
fn find(rising: &[(i64, u32)], last: Option<(i64, u32)>, value: i64) -> Option<u32> {
    const LATE: usize = 4;

    let (greatest, id) = last?;
    if greatest <= value {
        return (greatest == value).then_some(id);
    }
    let late = rising.len().saturating_sub(LATE);
    if let Some((_, id)) = rising[late..].iter().find(|(known, _)| *known == value) {
        return Some(*id);
    }
    let at = rising[..late].binary_search_by_key(&value, |(known, _)| *known).ok()?;
    Some(rising[at].1)
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
