//! Who wrote each key, in an order into which happens-before fits.

use super::order::{Clocks, Order};
use super::view::View;
use crate::txn::columns::NONE;

/// A writer of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub rank: u32,
    pub session: u32,
    pub place: u32,
    /// Writers of the key before this one in the list all happened before it.
    floor: u32,
}

/// By key: its writers, by rank.
pub(super) struct KeyWriters {
    starts: Vec<u32>,
    all: Vec<Writer>,
}

impl KeyWriters {
    pub fn new(view: &View<'_>, order: &Order, clocks: &Clocks) -> Self {
        let mut starts = vec![0u32; view.txns.keys.len() + 1];
        for row in 0..view.rows() {
            view.writes(row).iter().for_each(|write| starts[write.key as usize + 1] += 1);
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let none = Writer { rank: NONE, session: NONE, place: 0, floor: 0 };
        let mut all = vec![none; starts[starts.len() - 1] as usize];
        for (rank, row) in order.rows.iter().enumerate() {
            for write in view.writes(*row) {
                let at = &mut next[write.key as usize];
                let (session, place) = (view.session(*row), view.places[*row as usize]);
                all[*at as usize] = Writer { rank: rank as u32, session, place, floor: 0 };
                *at += 1;
            }
        }
        for key in 0..view.txns.keys.len() {
            set_floors(&mut all[starts[key] as usize..starts[key + 1] as usize], clocks);
        }
        Self { starts, all }
    }

    /// Those of a key.
    pub fn of(&self, key: u32) -> &[Writer] {
        let key = key as usize;
        &self.all[self.starts[key] as usize..self.starts[key + 1] as usize]
    }
}

/// Whether a writer happened before the transaction whose clock it is.
pub(super) fn is_before(writer: &Writer, clock: &[u32]) -> bool {
    clock[writer.session as usize] >= writer.place
}

/// Writers a floor is looked for among; a lower one is not found, and costs time alone.
const LOOK_BACK_MAX: usize = 256;

/// What happened before a writer, everything did that happened before that.
fn set_floors(writers: &mut [Writer], clocks: &Clocks) {
    for at in 0..writers.len() {
        let clock = clocks.of(writers[at].rank);
        // All below `known` happened before one that did.
        let (mut floor, mut known) = (at, 0);
        let end = at.saturating_sub(LOOK_BACK_MAX);
        let mut back = at;
        while back > known.max(end) {
            back -= 1;
            if is_before(&writers[back], clock) {
                known = known.max(writers[back].floor as usize);
            } else {
                floor = back;
            }
        }
        let settled = back <= known;
        writers[at].floor = if settled { floor } else { floor.min(known) } as u32;
    }
}

impl KeyWriters {
    /// Calls `each` for writers of a key that happened before a transaction and are not known to have happened before
    /// `read`, the place in the list of the writer that it read from; nothing of it was that of the initial version.
    pub fn missed(
        &self,
        key: u32,
        read: Option<usize>,
        clock: &[u32],
        rank: u32,
        mut each: impl FnMut(&Writer) -> bool,
    ) {
        let writers = self.of(key);
        let from = read.map_or(0, |at| writers[at].floor as usize);
        for (at, writer) in writers.iter().enumerate().skip(from) {
            if writer.rank >= rank {
                break;
            }
            if Some(at) != read && is_before(writer, clock) && each(writer) {
                break;
            }
        }
    }

    /// Where in a key's list the writer of a rank is.
    pub fn place(&self, key: u32, rank: u32) -> Option<usize> {
        self.of(key).binary_search_by_key(&rank, |writer| writer.rank).ok()
    }
}
