//! Who wrote each key, in an order into which happens-before fits.

use super::order::{Clocks, Order};
use super::view::View;

/// A writer of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writer {
    pub rank: u32,
    pub session: u32,
    pub place: u32,
    /// Writers of the key before this one in the list all happened before it.
    floor: u32,
}

impl Writer {
    /// Whether it happened before the transaction whose clock it is.
    pub fn is_before(&self, clock: &[u32]) -> bool {
        clock[self.session as usize] >= self.place
    }
}

/// The list of a key. It is looked at for every operation, mostly of another key than before: so it holds what mostly is enough, its last
/// writer.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    start: u32,
    len: u32,
    last: Writer,
}

impl List {
    /// Whether its last writer is of this rank, and all others happened before that.
    const fn ends_with(&self, rank: u32) -> bool {
        self.len > 0 && self.last.rank == rank && self.last.floor + 1 == self.len
    }
}

/// By key: its writers by rank, as far as they were [added](KeyWriters::add).
pub(super) struct KeyWriters {
    lists: Vec<List>,
    all: Vec<Writer>,
}

impl KeyWriters {
    /// Nobody has written yet; there is room for all who will.
    pub fn new(view: &View<'_>) -> Self {
        let mut lists = vec![List::default(); view.txns.keys.len()];
        for row in 0..view.rows() {
            view.writes(row).iter().for_each(|write| lists[write.key as usize].len += 1);
        }
        let mut end = 0;
        for list in &mut lists {
            (list.start, end) = (end, end + list.len);
            list.len = 0;
        }
        Self { lists, all: vec![Writer::default(); end as usize] }
    }

    /// The transaction of a rank has written what it wrote. Ranks rise.
    pub fn add(&mut self, view: &View<'_>, order: &Order, clocks: &Clocks, rank: u32) {
        let row = order.rows[rank as usize];
        let (session, place) = (view.session(row), view.places[row as usize]);
        let clock = clocks.of(rank);
        for write in view.writes(row) {
            let list = &mut self.lists[write.key as usize];
            let (start, end) = (list.start as usize, (list.start + list.len) as usize);
            let goes_on =
                list.len == 0 || list.ends_with(list.last.rank) && list.last.is_before(clock);
            let floor = if goes_on { list.len } else { floor(&self.all[start..end], clock) };
            list.last = Writer { rank, session, place, floor };
            list.len += 1;
            self.all[end] = list.last;
        }
    }

    /// Calls `each` for writers of a key that happened before a transaction and are not known to have happened before the one that it
    /// read from, by rank; nothing of it was that of the initial version. It may say that this is enough.
    pub fn missed(
        &self,
        key: u32,
        source: Option<u32>,
        clock: &[u32],
        mut each: impl FnMut(&Writer) -> bool,
    ) {
        let list = &self.lists[key as usize];
        if source.is_some_and(|rank| list.ends_with(rank)) {
            return;
        }
        let writers = &self.all[list.start as usize..][..list.len as usize];
        let at = source.and_then(|rank| writers.binary_search_by_key(&rank, |w| w.rank).ok());
        let from = at.map_or(0, |at| writers[at].floor as usize);
        for (place, writer) in writers.iter().enumerate().skip(from) {
            if Some(place) != at && writer.is_before(clock) && each(writer) {
                break;
            }
        }
    }
}

/// Writers a floor is looked for among; a lower one is not found, and costs time alone.
const LOOK_BACK_MAX: usize = 256;

/// Of the next writer, whose clock this is: what happened before a writer that happened before it, did so too.
fn floor(writers: &[Writer], clock: &[u32]) -> u32 {
    // All below `known` happened before one that did.
    let (mut floor, mut known) = (writers.len(), 0);
    let end = writers.len().saturating_sub(LOOK_BACK_MAX);
    let mut back = writers.len();
    while back > known.max(end) {
        back -= 1;
        if writers[back].is_before(clock) {
            known = known.max(writers[back].floor as usize);
        } else {
            floor = back;
        }
    }
    let settled = back <= known;
    (if settled { floor } else { floor.min(known) }) as u32
}
