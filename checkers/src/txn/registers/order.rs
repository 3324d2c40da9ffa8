//! Happens-before: an order that sessions and reads fit into, and who precedes whom.

use super::view::View;
use crate::budget::Budget;
use crate::txn::columns::NONE;

/// An order of committed transactions into which those of sessions fit, and every read after its write.
pub(super) struct Order {
    /// By transaction: its rank.
    pub ranks: Vec<u32>,
    /// Committed transactions by rank.
    pub rows: Vec<u32>,
}

impl Order {
    /// Nothing if there is none: transactions saw each other in a circle.
    pub fn new(view: &View<'_>) -> Option<Self> {
        // The order in which transactions were invoked mostly does.
        let committed = (0..view.rows()).filter(|row| view.committed[*row as usize]);
        let rows: Vec<u32> = committed.collect();
        let fits = |row: &u32| view.reads(*row).iter().all(|r| r.writer == NONE || r.writer < *row);
        let rows = if rows.iter().all(fits) { rows } else { sorted(view, rows.len())? };
        let mut ranks = vec![NONE; view.rows() as usize];
        for (rank, row) in rows.iter().enumerate() {
            ranks[*row as usize] = rank as u32;
        }
        Some(Self { ranks, rows })
    }
}

/// Kahn's algorithm, sessions taking turns: neighbours in the order are neighbours in time.
fn sorted(view: &View<'_>, count: usize) -> Option<Vec<u32>> {
    let mut starts = vec![0u32; view.rows() as usize + 1];
    let mut waits = vec![0u32; view.rows() as usize];
    for row in 0..view.rows() {
        for read in view.reads(row).iter().filter(|read| read.writer != NONE) {
            starts[read.writer as usize + 1] += 1;
            waits[row as usize] += 1;
        }
        waits[row as usize] += u32::from(view.places[row as usize] > 1);
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut next = starts.clone();
    let mut readers = vec![0u32; starts[starts.len() - 1] as usize];
    for row in 0..view.rows() {
        for read in view.reads(row).iter().filter(|read| read.writer != NONE) {
            let at = &mut next[read.writer as usize];
            readers[*at as usize] = row;
            *at += 1;
        }
    }
    let firsts = view.sessions.iter().filter_map(|session| session.first().copied());
    let mut sorted: Vec<u32> = firsts.filter(|row| waits[*row as usize] == 0).collect();
    let mut at = 0;
    while let Some(row) = sorted.get(at).copied() {
        at += 1;
        let (from, to) = (starts[row as usize] as usize, starts[row as usize + 1] as usize);
        let session = &view.sessions[view.session(row) as usize];
        let following = session.get(view.places[row as usize] as usize);
        for later in readers[from..to].iter().chain(following) {
            let waits = &mut waits[*later as usize];
            *waits -= 1;
            if *waits == 0 {
                sorted.push(*later);
            }
        }
    }
    (sorted.len() == count).then_some(sorted)
}

/// By transaction and session, how far into the session what precedes the transaction reaches: places, from 1.
pub(super) struct Clocks {
    /// How many sessions there are.
    width: usize,
    /// Rows of `width` by rank.
    flat: Vec<u32>,
}

impl Clocks {
    /// Nothing if there is no room for them.
    pub fn new(view: &View<'_>, order: &Order, budget: &dyn Budget) -> Option<Self> {
        let width = view.sessions.len();
        let size = width.checked_mul(order.rows.len())?;
        if budget.room(size.checked_mul(size_of::<u32>())?).is_some() {
            return None;
        }
        let mut flat = vec![0u32; size];
        for (rank, row) in order.rows.iter().enumerate() {
            let (before, rest) = flat.split_at_mut(rank * width);
            let clock = &mut rest[..width];
            let mut join = |other: u32| {
                let at = order.ranks[other as usize] as usize * width;
                for (mine, theirs) in clock.iter_mut().zip(&before[at..at + width]) {
                    *mine = (*mine).max(*theirs);
                }
                let place = &mut clock[view.session(other) as usize];
                *place = (*place).max(view.places[other as usize]);
            };
            if let Some(before) = view.before(*row) {
                join(before);
            }
            for read in view.reads(*row).iter().filter(|read| read.writer != NONE) {
                join(read.writer);
            }
        }
        Some(Self { width, flat })
    }

    /// The clock of the transaction of a rank.
    pub fn of(&self, rank: u32) -> &[u32] {
        &self.flat[rank as usize * self.width..][..self.width]
    }
}
