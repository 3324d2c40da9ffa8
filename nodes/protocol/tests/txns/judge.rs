//! What became of transactions, judged by the definition.

use std::collections::{BTreeMap, BTreeSet};

use keelhaul_protocol::coordinator::End;

use crate::world::Outcome;

/// All of it or nothing, as its client was told.
pub fn atomic(lists: &BTreeMap<u8, Vec<u8>>, outcomes: &[Outcome]) -> Result<(), String> {
    for outcome in outcomes {
        let mut appended: BTreeMap<u8, usize> = BTreeMap::new();
        for (key, _) in outcome.work.iter().filter(|(_, appends)| *appends) {
            *appended.entry(*key).or_default() += 1;
        }
        for (key, times) in appended {
            let there = lists[&key].iter().filter(|id| **id == outcome.id).count();
            let expected = if outcome.committed { times } else { 0 };
            if there != expected {
                return Err(format!("key {key} of {outcome:?}\n{lists:?}"));
            }
        }
        if outcome.committed && matches!(outcome.told, Some(End::Failed(_))) {
            return Err(format!("{outcome:?}"));
        }
    }
    Ok(())
}

/// Dependencies between committed transactions: who comes before whom, and whether by an anti-dependency.
pub fn edges(lists: &BTreeMap<u8, Vec<u8>>, outcomes: &[Outcome]) -> BTreeSet<(u8, u8, bool)> {
    let mut edges = BTreeSet::new();
    let mut add = |from: u8, to: u8, anti| {
        if from != to {
            edges.insert((from, to, anti));
        }
    };
    for list in lists.values() {
        list.windows(2).for_each(|pair| add(pair[0], pair[1], false));
    }
    for reader in outcomes.iter().filter(|outcome| outcome.committed) {
        for (key, seen) in &reader.read {
            // Its own appends are no part of what others did before.
            let seen: Vec<u8> = seen.iter().copied().filter(|id| *id != reader.id).collect();
            let others = || lists[key].iter().copied().filter(|id| *id != reader.id);
            if let Some(last) = seen.last() {
                add(*last, reader.id, false);
            }
            let behind = others().find(|id| !seen.contains(id));
            behind.into_iter().for_each(|next| add(reader.id, next, true));
        }
    }
    edges
}

/// Whether one reaches the other by these edges.
pub fn path(edges: &BTreeSet<(u8, u8)>, from: u8, to: u8) -> bool {
    let (mut seen, mut front) = (BTreeSet::from([from]), vec![from]);
    while let Some(at) = front.pop() {
        if at == to {
            return true;
        }
        let next = edges.iter().filter(|(a, _)| *a == at).map(|(_, b)| *b);
        front.extend(next.filter(|b| seen.insert(*b)));
    }
    false
}

/// The worst circle: 0 of none at all, 3 of no anti-dependency, 2 of one, 1 of several.
pub fn worst(edges: &BTreeSet<(u8, u8, bool)>) -> u8 {
    let plain: BTreeSet<(u8, u8)> = edges.iter().filter(|e| !e.2).map(|e| (e.0, e.1)).collect();
    let all: BTreeSet<(u8, u8)> = edges.iter().map(|e| (e.0, e.1)).collect();
    if plain.iter().any(|(a, b)| path(&plain, *b, *a)) {
        3
    } else if edges.iter().any(|(a, b, anti)| *anti && path(&plain, *b, *a)) {
        2
    } else {
        u8::from(all.iter().any(|(a, b)| path(&all, *b, *a)))
    }
}
