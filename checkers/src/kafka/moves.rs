//! How consumers and producers moved along each key.
//!
//! Going from one message to the next known one is a move of one; further is a *skip*, back or nowhere is *nonmonotonic*. Where
//! either position is not known, or contradicted, a move is taken for one.

use super::cases::{Case, Facts, Found, Kind};
use super::log::{Item, Op, Outcome, What};
use crate::columns::WordMap;

/// Everything that is wrong with moves.
pub(super) fn check(facts: &Facts<'_>, found: &mut Found) {
    let mut within = Within::new(facts);
    let mut across = Across::default();
    for (row, op) in facts.log.ops.iter().enumerate() {
        let row = row as u32;
        match op.what {
            What::Txn => {
                within.polls(facts, op, row, found);
                within.sends(facts, op, row, found);
                across.polls(facts, op, row, &within, found);
                across.sends(facts, op, row, &within, found);
            }
            What::Assign | What::Subscribe if op.outcome != Outcome::Fail => {
                across.keep(op.span.process, facts.log.keys_of(op));
            }
            What::Assign | What::Subscribe => {}
        }
    }
}

/// What a move is called that goes on too far, and one that does not go on.
#[derive(Clone, Copy)]
struct Names {
    skip: Option<Kind>,
    nonmonotonic: Kind,
}

fn judge(facts: &Facts<'_>, names: Names, from: (u32, Item), to: (u32, Item), found: &mut Found) {
    let position = |item| facts.orders.position(facts.log, item);
    let (Some(a), Some(b)) = (position(from.1), position(to.1)) else { return };
    let kind = match b.checked_sub(a) {
        Some(1) => None,
        Some(2..) => names.skip,
        Some(0) | None => Some(names.nonmonotonic),
    };
    if let Some(kind) = kind {
        let (messages, ops) = ((from.1.message, to.1.message), (from.0, to.0));
        found.add(kind, || Case::Move { messages, positions: (a, b), ops });
    }
}

/// By key: the first and last item of the operation at hand.
#[derive(Clone, Copy)]
struct Ends {
    row: u32,
    first: Item,
    last: Item,
}

/// Moves within a transaction; of the one at hand it remembers where they began and ended.
struct Within {
    polled: Vec<Option<Ends>>,
    sent: Vec<Option<Ends>>,
    /// By key: the last transaction during which it was rebalanced.
    rebalanced: Vec<Option<u32>>,
    polled_keys: Vec<u32>,
    sent_keys: Vec<u32>,
}

impl Within {
    fn new(facts: &Facts<'_>) -> Self {
        let keys = facts.log.keys.len();
        Self {
            polled: vec![None; keys],
            sent: vec![None; keys],
            rebalanced: vec![None; keys],
            polled_keys: Vec::new(),
            sent_keys: Vec::new(),
        }
    }

    fn polls(&mut self, facts: &Facts<'_>, op: &Op, row: u32, found: &mut Found) {
        const NAMES: Names =
            Names { skip: Some(Kind::IntPollSkip), nonmonotonic: Kind::IntNonmonotonicPoll };
        for key in facts.log.rebalanced_of(op) {
            self.rebalanced[*key as usize] = Some(row);
        }
        let rebalanced = &self.rebalanced;
        let watched = |key: u32| rebalanced[key as usize] != Some(row);
        let items = facts.log.polls_of(op);
        go(facts, (items, row), (&mut self.polled, &mut self.polled_keys), watched, NAMES, found);
    }

    fn sends(&mut self, facts: &Facts<'_>, op: &Op, row: u32, found: &mut Found) {
        const NAMES: Names =
            Names { skip: Some(Kind::IntSendSkip), nonmonotonic: Kind::IntNonmonotonicSend };
        let items = facts.log.sends_of(op);
        go(facts, (items, row), (&mut self.sent, &mut self.sent_keys), |_| true, NAMES, found);
    }
}

/// Judges each key's items in turn.
fn go(
    facts: &Facts<'_>,
    (items, row): (&[Item], u32),
    (ends, keys): (&mut [Option<Ends>], &mut Vec<u32>),
    watched: impl Fn(u32) -> bool,
    names: Names,
    found: &mut Found,
) {
    keys.clear();
    for &item in items {
        let key = facts.log.key_of(item.message);
        match &mut ends[key as usize] {
            Some(ends) if ends.row == row => {
                if watched(key) {
                    judge(facts, names, (row, ends.last), (row, item), found);
                }
                ends.last = item;
            }
            ends => {
                *ends = Some(Ends { row, first: item, last: item });
                keys.push(key);
            }
        }
    }
}

/// Where a process left off in a key.
type Left = WordMap<u32, (u32, Item)>;

/// Moves from one operation of a process to a later one.
#[derive(Default)]
struct Across {
    polled: WordMap<u32, Left>,
    sent: WordMap<u32, Left>,
}

impl Across {
    /// What is assigned anew, or not at all any more, may begin anywhere.
    fn keep(&mut self, process: u32, keys: &[u32]) {
        for left in [&mut self.polled, &mut self.sent] {
            if let Some(left) = left.get_mut(&process) {
                left.retain(|key, _| keys.contains(key));
            }
        }
    }

    fn polls(&mut self, facts: &Facts<'_>, op: &Op, row: u32, within: &Within, found: &mut Found) {
        const NAMES: Names =
            Names { skip: Some(Kind::PollSkip), nonmonotonic: Kind::NonmonotonicPoll };
        let left = self.polled.entry(op.span.process).or_default();
        // What did not succeed goes back to where it began.
        let stays = op.outcome == Outcome::Ok;
        across(facts, left, row, (&within.polled, &within.polled_keys), (NAMES, stays), found);
    }

    fn sends(&mut self, facts: &Facts<'_>, op: &Op, row: u32, within: &Within, found: &mut Found) {
        const NAMES: Names = Names { skip: None, nonmonotonic: Kind::NonmonotonicSend };
        if op.outcome == Outcome::Fail {
            return;
        }
        let left = self.sent.entry(op.span.process).or_default();
        // What crashed may still be sent after what follows.
        let stays = op.outcome == Outcome::Ok;
        across(facts, left, row, (&within.sent, &within.sent_keys), (NAMES, stays), found);
    }
}

fn across(
    facts: &Facts<'_>,
    left: &mut Left,
    row: u32,
    (ends, keys): (&[Option<Ends>], &[u32]),
    (names, stays): (Names, bool),
    found: &mut Found,
) {
    for &key in keys {
        let Some(Ends { first, last, .. }) = ends[key as usize] else { continue };
        if let Some(before) = left.get(&key) {
            judge(facts, names, *before, (row, first), found);
        }
        if stays {
            left.insert(key, (row, last));
        }
    }
}
