//! Looks ahead for texts that grow: is everybody still going to find what was read?
//!
//! A text once grown in a wrong way can never be found again until somebody puts another. So as soon as a reader that is
//! pending, or one to come, needs a text that does not begin with what is there, a put must help in time: one that
//! is pending, or one that begins before the reader returns. That tells the order of appends, with any number pending.

use super::kv::{Kv, KvOp};
use super::texts::{LOST, Place, Tree};
use crate::columns::NEVER;
use crate::objects::model::{Guide, Operation, Taken};

/// What is to come in a history.
pub struct Ahead<'a> {
    kv: &'a Kv,
    ops: &'a [Operation<KvOp>],
    /// See [`Tree::ranges`].
    ranges: Vec<(u32, u32)>,
    /// For each node, the last return of anybody who read what begins with it; 0 for nobody.
    last_ret: Vec<u32>,
    /// When puts began that leave what somebody read, rising.
    puts: Vec<u32>,
    /// When readers began, rising, and the first return from there on.
    gets: Vec<(u32, u32)>,
}

impl<'a> Ahead<'a> {
    /// For the history.
    pub fn new(kv: &'a Kv, tree: &Tree, ops: &'a [Operation<KvOp>]) -> Self {
        let mut last_ret = vec![0; tree.len()];
        let (mut puts, mut gets) = (Vec::new(), Vec::new());
        for operation in ops {
            match operation.op {
                KvOp::Put(text) if kv.place(text) != LOST => puts.push(operation.call),
                KvOp::Get(Some(text)) if operation.completed() => {
                    let last = &mut last_ret[kv.place(text).node as usize];
                    *last = operation.ret.max(*last);
                    gets.push((operation.call, operation.ret));
                }
                _ => {}
            }
        }
        for at in (1..gets.len()).rev() {
            gets[at - 1].1 = gets[at].1.min(gets[at - 1].1);
        }
        let ranges = tree.ranges();
        // Those below a node have greater numbers: go through them backwards.
        let mut order: Vec<u32> = (0..tree.len() as u32).collect();
        order.sort_unstable_by_key(|node| std::cmp::Reverse(ranges[*node as usize].0));
        let above = tree.above();
        for node in order {
            let last = last_ret[node as usize];
            if let Some(above) = above[node as usize] {
                last_ret[above as usize] = last.max(last_ret[above as usize]);
            }
        }
        Self { kv, ops, ranges, last_ret, puts, gets }
    }

    /// Whether somebody who has not returned may still find what begins with it.
    fn is_useful(&self, place: Place, now: u32) -> bool {
        place != LOST && self.last_ret[place.node as usize] >= now
    }

    /// Whether the text that was read begins with what is here.
    fn leads_to(&self, here: Place, read: Place) -> bool {
        here != LOST && {
            let (from, to) = self.ranges[here.node as usize];
            (from..=to).contains(&self.ranges[read.node as usize].0)
        }
    }

    /// The first moment from `now` on at which a put begins that leaves what somebody read.
    fn next_put(&self, now: u32) -> u32 {
        self.puts.get(self.puts.partition_point(|call| *call < now)).copied().unwrap_or(NEVER)
    }

    /// The first return of a reader that begins from `now` on.
    fn next_get_ret(&self, now: u32) -> u32 {
        let next = self.gets.partition_point(|(call, _)| *call < now);
        self.gets.get(next).map_or(NEVER, |(_, ret)| *ret)
    }
}

impl Guide<Place> for Ahead<'_> {
    fn follow(&self, taken: &Taken<'_, Place>) -> Option<u32> {
        let here = *taken.state;
        let row = &self.ops[taken.row as usize];
        let useful = self.is_useful(here, taken.now);
        // Whatever it was that may or may not have happened: without it nobody finds less.
        if !row.completed() && !useful {
            return None;
        }
        let rest = || taken.live.iter().filter(|row| **row != taken.row);
        let puts = || {
            rest().filter_map(|row| match self.ops[*row as usize].op {
                KvOp::Put(text) => Some(self.kv.place(text)),
                _ => None,
            })
        };
        let next_put = self.next_put(taken.now);
        for row in rest() {
            let operation = &self.ops[*row as usize];
            let KvOp::Get(Some(text)) = operation.op else { continue };
            let read = self.kv.place(text);
            let late = operation.ret < next_put && !self.leads_to(here, read);
            if late && !puts().any(|put| self.leads_to(put, read)) {
                return None;
            }
        }
        let late = !useful && self.next_get_ret(taken.now) < next_put;
        if late && !puts().any(|put| self.is_useful(put, taken.now)) {
            return None;
        }
        Some(0)
    }
}
