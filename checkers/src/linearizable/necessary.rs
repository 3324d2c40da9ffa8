//! Conditions that every legal history meets, checked in near-linear time before any search.
//!
//! For each operation that needs a value there must be one that could have left it: begun before the reader
//! returned, and not certainly hidden by then. A write is certainly hidden from a reader if another write or cas
//! began after it returned, and itself returned before the reader began.

use crate::columns::{Function, INITIAL, RegisterOp};

/// Who leaves which value, and what is certainly hidden when.
#[derive(Debug)]
pub struct Producers {
    /// `rows[starts[v]..starts[v + 1]]` leave value `v`, in order of invocation.
    starts: Vec<u32>,
    rows: Vec<u32>,
    /// Beside each of `rows`: the largest return among it and its predecessors of the same value.
    latest_ret: Vec<u32>,
    /// Returns of completed operations that leave a value, rising; with the latest invocation so far and its row.
    hides: Vec<(u32, u32, u32)>,
}

impl Producers {
    /// Indexes `ops`, which are in order of invocation and use value ids below `values`.
    pub fn new(ops: &[RegisterOp], values: usize) -> Self {
        let mut starts = vec![0; values + 1];
        for value in ops.iter().filter_map(effect) {
            starts[value as usize + 1] += 1;
        }
        for v in 0..values {
            starts[v + 1] += starts[v];
        }
        let mut fill = starts.clone();
        let mut rows = vec![0; starts[values] as usize];
        let mut latest_ret = vec![0; rows.len()];
        let mut hides = Vec::new();
        for (row, op) in ops.iter().enumerate() {
            let Some(value) = effect(op) else { continue };
            let at = fill[value as usize];
            fill[value as usize] += 1;
            rows[at as usize] = row as u32;
            let before = if at > starts[value as usize] { latest_ret[at as usize - 1] } else { 0 };
            latest_ret[at as usize] = op.ret.max(before);
            if op.completed() {
                hides.push((op.ret, op.call, row as u32));
            }
        }
        hides.sort_unstable();
        for i in 1..hides.len() {
            if hides[i - 1].1 > hides[i].1 {
                hides[i].1 = hides[i - 1].1;
                hides[i].2 = hides[i - 1].2;
            }
        }
        Self { starts, rows, latest_ret, hides }
    }

    /// Of the operations that returned before `position`, the one that left a value and began last: its invocation
    /// and row. Whatever returned before that invocation is hidden at `position`.
    pub fn hider_before(&self, position: u32) -> Option<(u32, u32)> {
        let count = self.hides.partition_point(|(ret, _, _)| *ret < position);
        count.checked_sub(1).map(|last| (self.hides[last].1, self.hides[last].2))
    }

    /// All that leave `value`, in order of invocation.
    pub fn of(&self, value: u32) -> &[u32] {
        &self.rows[self.range(value)]
    }

    /// Whether `reader` could have found `value`.
    pub fn could_find(&self, reader: &RegisterOp, value: u32, ops: &[RegisterOp]) -> bool {
        let hidden = self.hider_before(reader.call).map(|(call, _)| call);
        if value == INITIAL && hidden.is_none() {
            return true;
        }
        let range = self.range(value);
        let begun =
            self.rows[range.clone()].partition_point(|row| ops[*row as usize].call < reader.ret);
        let Some(last) = begun.checked_sub(1) else { return false };
        // A reader does not find what it leaves itself; a cas between equal values has no effect.
        hidden.is_none_or(|call| self.latest_ret[range.start + last] >= call)
    }

    /// The rows that could have left `value` for `reader`, itself excepted.
    pub fn possible<'a>(
        &'a self,
        reader: &'a RegisterOp,
        value: u32,
        ops: &'a [RegisterOp],
    ) -> impl Iterator<Item = u32> + 'a {
        let hidden = self.hider_before(reader.call).map_or(0, |(call, _)| call);
        let range = self.range(value);
        let rows = &self.rows[range.clone()];
        let begun = rows.partition_point(|row| ops[*row as usize].call < reader.ret);
        // Once all before returned too early there is nothing left to find.
        let near = (0..begun).rev().take_while(move |i| self.latest_ret[range.start + i] >= hidden);
        near.map(|i| rows[i]).filter(move |row| {
            let op = &ops[*row as usize];
            op.ret >= hidden && op.call != reader.call
        })
    }

    /// How many values there are.
    pub const fn values(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    fn range(&self, value: u32) -> std::ops::Range<usize> {
        self.starts[value as usize] as usize..self.starts[value as usize + 1] as usize
    }
}

/// The value an operation leaves; none for a cas between equal values, which changes nothing.
pub fn effect(op: &RegisterOp) -> Option<u32> {
    op.produces().filter(|_| op.f != Function::Cas || op.a != op.b)
}

/// The first completed operation, in order of invocation, that found a value nobody could have left for it.
pub fn impossible_reader(ops: &[RegisterOp], producers: &Producers) -> Option<u32> {
    ops.iter()
        .position(|op| {
            op.completed()
                && op.consumes().is_some_and(|value| !producers.could_find(op, value, ops))
        })
        .map(|row| row as u32)
}
