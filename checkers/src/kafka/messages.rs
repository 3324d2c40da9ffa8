//! What became of each message.

use super::cases::{Case, Facts, Found, Kind, Writer};
use super::log::Outcome;

/// Everything that is wrong with single messages.
pub(super) fn check(facts: &Facts<'_>, found: &mut Found) {
    inconsistent_offsets(facts, found);
    duplicates(facts, found);
    reads(facts, found);
    lost_writes(facts, found);
}

fn inconsistent_offsets(facts: &Facts<'_>, found: &mut Found) {
    for key in 0..facts.log.keys.len() as u32 {
        for position in facts.orders.positions(key) {
            if facts.orders.at(position).len() > 1 {
                found.add(Kind::InconsistentOffsets, || Case::Inconsistent { position });
            }
        }
    }
}

fn duplicates(facts: &Facts<'_>, found: &mut Found) {
    let orders = &facts.orders;
    for message in 0..facts.log.messages.len() as u32 {
        let Some((first, last)) = orders.span(message) else { continue };
        if first == last || facts.writer(message) == Writer::Several {
            continue;
        }
        found.add(Kind::Duplicate, || {
            let here = |position: &u32| orders.at(*position).iter().any(|e| e.message == message);
            Case::Duplicate { message, positions: (first..=last).filter(here).collect() }
        });
    }
}

/// Polls of what nobody sent, what failed, or what the same transaction sent.
fn reads(facts: &Facts<'_>, found: &mut Found) {
    let log = facts.log;
    for (row, op) in log.ops.iter().enumerate() {
        let reader = row as u32;
        let mut own = None;
        for item in log.polls_of(op) {
            let message = item.message;
            match facts.writer(message) {
                Writer::Nobody => {
                    found.add(Kind::GarbageRead, || Case::Garbage { message, reader });
                }
                Writer::One(writer) if writer == reader => own = own.or(Some(message)),
                Writer::One(writer)
                    if op.outcome == Outcome::Ok
                        && log.ops[writer as usize].outcome == Outcome::Fail =>
                {
                    found.add(Kind::G1a, || Case::Aborted { message, writer, reader });
                }
                Writer::One(_) | Writer::Several => {}
            }
        }
        if let Some(message) = own {
            found.add(Kind::PrecommittedRead, || Case::Precommitted { message, op: reader });
        }
    }
}

/// Who polled furthest in a key.
#[derive(Clone, Copy)]
struct Furthest {
    position: u32,
    reader: u32,
}

/// A message polled at some position means that those before it were there to be polled, by this consumer or another. For
/// a message at several positions, that it was polled proves only the first; and only from the last on it is missed.
fn lost_writes(facts: &Facts<'_>, found: &mut Found) {
    let (log, orders) = (facts.log, &facts.orders);
    let mut furthest: Vec<Option<Furthest>> = vec![None; log.keys.len()];
    let mut delivered = vec![false; log.messages.len()];
    for (row, op) in log.ops.iter().enumerate() {
        for item in log.polls_of(op) {
            // What a failed transaction polled goes back, to be polled again; of a crashed one nobody knows.
            delivered[item.message as usize] |= op.outcome != Outcome::Fail;
            let Some((position, _)) = orders.span(item.message) else { continue };
            let key = &mut furthest[log.key_of(item.message) as usize];
            if op.outcome == Outcome::Ok && key.is_none_or(|known| known.position < position) {
                *key = Some(Furthest { position, reader: row as u32 });
            }
        }
    }
    for (key, furthest) in furthest.iter().enumerate() {
        let Some(Furthest { position: bound, reader }) = *furthest else { continue };
        for position in orders.positions(key as u32).start..=bound {
            for entry in orders.at(position) {
                let message = entry.message;
                let last_here = orders.span(message).is_some_and(|(_, last)| last == position);
                let Writer::One(writer) = facts.writer(message) else { continue };
                if last_here && !delivered[message as usize] && orders.committed(writer) {
                    found.add(Kind::LostWrite, || Case::Lost { message, writer, bound, reader });
                }
            }
        }
    }
}

/// Messages that were acknowledged and not polled.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unseen {
    /// By key, at the end.
    pub by_key: Vec<u64>,
    /// Of all keys together, at any one time.
    pub most: u64,
}

/// Counts what no operation that succeeded has polled yet, as time goes on.
pub(super) fn unseen(facts: &Facts<'_>, found: &mut Found) -> Unseen {
    const SENT: u8 = 1;
    const POLLED: u8 = 2;
    let log = facts.log;
    let mut state = vec![0u8; log.messages.len()];
    let mut unseen = Unseen { by_key: vec![0; log.keys.len()], most: 0 };
    let mut all = 0;
    for op in log.ops.iter().filter(|op| op.outcome == Outcome::Ok) {
        for item in log.polls_of(op) {
            let state = &mut state[item.message as usize];
            if *state == SENT {
                unseen.by_key[log.key_of(item.message) as usize] -= 1;
                all -= 1;
            }
            *state |= POLLED;
        }
        for item in log.sends_of(op) {
            let state = &mut state[item.message as usize];
            if *state == 0 {
                unseen.by_key[log.key_of(item.message) as usize] += 1;
                all += 1;
            }
            *state |= SENT;
        }
        unseen.most = unseen.most.max(all);
    }
    let keys = unseen.by_key.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut lists: Vec<(u32, Vec<u32>)> = keys.map(|(key, _)| (key as u32, Vec::new())).collect();
    for (message, _) in state.iter().enumerate().filter(|(_, state)| **state == SENT) {
        let key = log.key_of(message as u32);
        let at = lists.binary_search_by_key(&key, |(key, _)| *key).expect("the key has some");
        if lists[at].1.len() < UNSEEN_SHOWN_MAX {
            lists[at].1.push(message as u32);
        }
    }
    for (key, messages) in lists {
        found.add(Kind::Unseen, || Case::Unseen { key, messages });
    }
    unseen
}

/// Unseen messages that are named, by key.
const UNSEEN_SHOWN_MAX: usize = 32;
