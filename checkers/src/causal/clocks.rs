//! What every operation has in its past, as vector clocks: how many operations of each chain.
//!
//! An operation's clock differs from that of the one before it in its chain only where it found something new, so only those have
//! a row of their own; its own chain's entry is where it stands. A row is a list of *chunks* of neighbouring chains, and rows
//! share the chunks in which they agree: crashed processes leave many chains behind, of which everybody knows the same.

use crate::budget::{Budget, Exhausted, Sparing};
use crate::sessions::order::{NONE, Sessions};
use crate::sessions::violation::Known;

/// Chains in a chunk.
const CHUNK: usize = 32;

/// The clocks of a history.
pub struct Clocks {
    /// Chunks in a row.
    width: usize,
    /// Numbers of chunks, row after row.
    rows: Vec<u32>,
    chunks: Vec<[u32; CHUNK]>,
    row_of: Vec<u32>,
}

/// Why there are no clocks.
pub enum NoClocks {
    /// The budget ended.
    Exhausted(Exhausted),
    /// Operations come before themselves: one that does.
    Cycle(u32),
}

impl Clocks {
    /// Happened before: sessions, and reading, and what follows.
    ///
    /// # Errors
    /// If an operation would come before itself, or the budget ends.
    pub fn causal(known: Known<'_>, budget: &dyn Budget) -> Result<Self, NoClocks> {
        let mut clocks = Self::empty(known.sessions);
        let sparing = Sparing::new(budget);
        let mut walk = Walk::new(known);
        while let Some(op) = walk.next() {
            clocks.add(known, op, true);
            sparing.step(1, clocks.bytes()).map_err(NoClocks::Exhausted)?;
        }
        walk.stuck().map_or(Ok(clocks), |op| Err(NoClocks::Cycle(op)))
    }

    /// What each session has found itself, and nothing that follows from it.
    ///
    /// # Errors
    /// If the budget ends.
    pub fn direct(known: Known<'_>, budget: &dyn Budget) -> Result<Self, Exhausted> {
        let mut clocks = Self::empty(known.sessions);
        let sparing = Sparing::new(budget);
        for hung in [false, true] {
            let chains = known.sessions.chains().iter();
            for chain in chains.filter(|chain| (chain.parent != NONE) == hung) {
                for op in chain.start..chain.end {
                    clocks.add(known, op, false);
                    sparing.step(1, clocks.bytes())?;
                }
            }
        }
        Ok(clocks)
    }

    fn empty(sessions: &Sessions<'_>) -> Self {
        let width = sessions.chains().len().div_ceil(CHUNK);
        let row_of = vec![0; sessions.len() as usize];
        Self { width, rows: vec![0; width], chunks: vec![[0; CHUNK]], row_of }
    }

    const fn bytes(&self) -> usize {
        4 * self.rows.capacity() + 4 * CHUNK * self.chunks.capacity()
    }

    fn add(&mut self, known: Known<'_>, op: u32, transitive: bool) {
        let sessions = known.sessions;
        let pred = sessions.pred(op);
        self.row_of[op as usize] = if pred == NONE { 0 } else { self.row_of[pred as usize] };
        // Chunks from here on are of this operation's row alone.
        let own = self.chunks.len() as u32;
        let mut joined = false;
        if pred != NONE && sessions.chain(pred) != sessions.chain(op) {
            self.begin_row(op, &mut joined);
            self.join(sessions, op, pred, true, own);
        }
        let source = known.found(op);
        if source != NONE && !self.before(sessions, source, op) {
            self.begin_row(op, &mut joined);
            self.join(sessions, op, source, transitive, own);
            let parent = sessions.chains()[sessions.chain(source) as usize].parent;
            if parent != NONE && !transitive {
                self.join(sessions, op, parent, false, own);
            }
        }
    }

    /// Gives `op` a copy of its row, once.
    fn begin_row(&mut self, op: u32, joined: &mut bool) {
        if !std::mem::replace(joined, true) {
            let from = self.row_of[op as usize] as usize * self.width;
            self.row_of[op as usize] = (self.rows.len() / self.width) as u32;
            self.rows.extend_from_within(from..from + self.width);
        }
    }

    /// Adds `earlier`, and its past if `whole`, to the row of `op`.
    fn join(&mut self, sessions: &Sessions<'_>, op: u32, earlier: u32, whole: bool, own: u32) {
        let at = self.row_of[op as usize] as usize * self.width;
        if whole {
            let from = self.row_of[earlier as usize] as usize * self.width;
            for part in 0..self.width {
                self.rows[at + part] = self.larger(self.rows[at + part], self.rows[from + part]);
            }
        }
        let chain = sessions.chain(earlier) as usize;
        let chunk = &mut self.rows[at + chain / CHUNK];
        let count = sessions.index(earlier) + 1;
        if self.chunks[*chunk as usize][chain % CHUNK] >= count {
            return;
        }
        if *chunk < own {
            self.chunks.push(self.chunks[*chunk as usize]);
            *chunk = (self.chunks.len() - 1) as u32;
        }
        self.chunks[*chunk as usize][chain % CHUNK] = count;
    }

    /// A chunk with the larger of both counts for each chain: one of the two, if that will do.
    fn larger(&mut self, a: u32, b: u32) -> u32 {
        if a == b {
            return a;
        }
        let (one, other) = (&self.chunks[a as usize], &self.chunks[b as usize]);
        let both: [u32; CHUNK] = std::array::from_fn(|at| one[at].max(other[at]));
        if both == *one {
            a
        } else if both == *other {
            b
        } else {
            self.chunks.push(both);
            (self.chunks.len() - 1) as u32
        }
    }

    /// How many operations of `chain` come before `op`.
    #[must_use]
    pub fn count(&self, sessions: &Sessions<'_>, op: u32, chain: u32) -> u32 {
        if sessions.chain(op) == chain {
            return sessions.index(op);
        }
        let row = self.row_of[op as usize] as usize * self.width;
        let chunk = self.rows[row + chain as usize / CHUNK];
        self.chunks[chunk as usize][chain as usize % CHUNK]
    }

    /// The counts for all chains.
    #[must_use]
    pub fn counts(&self, sessions: &Sessions<'_>, op: u32) -> Vec<u32> {
        let chains = 0..sessions.chains().len() as u32;
        chains.map(|chain| self.count(sessions, op, chain)).collect()
    }

    /// Names the row of an operation: the same row, the same counts for other chains.
    #[must_use]
    pub fn row_id(&self, op: u32) -> u32 {
        self.row_of[op as usize]
    }

    /// Whether `earlier` comes before `later`.
    #[must_use]
    pub fn before(&self, sessions: &Sessions<'_>, earlier: u32, later: u32) -> bool {
        sessions.index(earlier) < self.count(sessions, later, sessions.chain(earlier))
    }
}

/// Walks all operations so that each comes after what it follows.
struct Walk<'a> {
    known: Known<'a>,
    /// For each chain the next operation.
    next: Vec<u32>,
    /// Chains that may go on.
    ready: Vec<u32>,
    /// For each operation the first chain that waits for it, and for each chain the next that waits for the same.
    waiting: Vec<u32>,
    also: Vec<u32>,
    left: u32,
}

impl<'a> Walk<'a> {
    fn new(known: Known<'a>) -> Self {
        let chains = known.sessions.chains();
        Self {
            known,
            next: chains.iter().map(|chain| chain.start).collect(),
            ready: (0..chains.len() as u32).rev().collect(),
            waiting: vec![NONE; known.sessions.len() as usize],
            also: vec![NONE; chains.len()],
            left: known.sessions.len(),
        }
    }

    fn done(&self, op: u32) -> bool {
        op < self.next[self.known.sessions.chain(op) as usize]
    }

    /// What `op` must wait for, if anything.
    fn obstacle(&self, op: u32) -> Option<u32> {
        let sessions = self.known.sessions;
        let before = [sessions.pred(op), self.known.found(op)];
        before.into_iter().find(|earlier| {
            *earlier != NONE
                && sessions.chain(*earlier) != sessions.chain(op)
                && !self.done(*earlier)
                || *earlier != NONE
                    && *earlier >= op
                    && sessions.chain(*earlier) == sessions.chain(op)
        })
    }

    fn next(&mut self) -> Option<u32> {
        while let Some(chain) = self.ready.last().copied() {
            let op = self.next[chain as usize];
            if op == self.known.sessions.chains()[chain as usize].end {
                self.ready.pop();
                continue;
            }
            if let Some(obstacle) = self.obstacle(op) {
                self.ready.pop();
                self.also[chain as usize] = self.waiting[obstacle as usize];
                self.waiting[obstacle as usize] = chain;
                continue;
            }
            self.next[chain as usize] += 1;
            self.left -= 1;
            let mut waiter = self.waiting[op as usize];
            while waiter != NONE {
                self.ready.push(waiter);
                waiter = self.also[waiter as usize];
            }
            return Some(op);
        }
        None
    }

    /// An operation on a cycle, if not all could be walked.
    fn stuck(&self) -> Option<u32> {
        let chains = self.known.sessions.chains();
        let chain = (0..chains.len()).find(|c| self.next[*c] < chains[*c].end)?;
        let mut op = self.next[chain];
        // Whatever is waited for has not been walked, nor has what it waits for: this comes back to where it was.
        for _ in 0..=chains.len() {
            let obstacle = self.obstacle(op).expect("it waits");
            op = self.next[self.known.sessions.chain(obstacle) as usize];
        }
        Some(op)
    }
}
