//! What every operation has in its past, as vector clocks: how many operations of each chain.
//!
//! An operation's clock differs from that of the one before it in its chain only where it found something new, so only those have
//! a row of their own; its own chain's entry is where it stands. Rows lie one after the other in one block.

use crate::budget::{Budget, Exhausted};
use crate::sessions::order::{NONE, Sessions};
use crate::sessions::violation::Known;

/// Rows made between two looks at the budget.
const ROWS_PER_LOOK: usize = 4096;

/// The clocks of a history.
pub struct Clocks {
    width: usize,
    rows: Vec<u32>,
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
        let mut walk = Walk::new(known);
        while let Some(op) = walk.next() {
            clocks.add(known, op, true);
            clocks.look(budget).map_err(NoClocks::Exhausted)?;
        }
        walk.stuck().map_or(Ok(clocks), |op| Err(NoClocks::Cycle(op)))
    }

    /// What each session has found itself, and nothing that follows from it.
    ///
    /// # Errors
    /// If the budget ends.
    pub fn direct(known: Known<'_>, budget: &dyn Budget) -> Result<Self, Exhausted> {
        let mut clocks = Self::empty(known.sessions);
        for hung in [false, true] {
            let chains = known.sessions.chains().iter();
            for chain in chains.filter(|chain| (chain.parent != NONE) == hung) {
                for op in chain.start..chain.end {
                    clocks.add(known, op, false);
                    clocks.look(budget)?;
                }
            }
        }
        Ok(clocks)
    }

    fn empty(sessions: &Sessions<'_>) -> Self {
        let width = sessions.chains().len();
        Self { width, rows: vec![0; width], row_of: vec![0; sessions.len() as usize] }
    }

    fn look(&self, budget: &dyn Budget) -> Result<(), Exhausted> {
        if self.rows.len() % (ROWS_PER_LOOK * self.width.max(1)) < self.width {
            return budget.spent(4 * self.rows.capacity()).map_or(Ok(()), Err);
        }
        Ok(())
    }

    fn add(&mut self, known: Known<'_>, op: u32, transitive: bool) {
        let sessions = known.sessions;
        let pred = sessions.pred(op);
        self.row_of[op as usize] = if pred == NONE { 0 } else { self.row_of[pred as usize] };
        let mut own = false;
        if pred != NONE && sessions.chain(pred) != sessions.chain(op) {
            self.join(sessions, op, pred, true, &mut own);
        }
        let source = known.found(op);
        if source != NONE && !self.before(sessions, source, op) {
            self.join(sessions, op, source, transitive, &mut own);
            let parent = sessions.chains()[sessions.chain(source) as usize].parent;
            if parent != NONE && !transitive {
                self.join(sessions, op, parent, false, &mut own);
            }
        }
    }

    /// Adds `earlier`, and its past if `whole`, to the row of `op`, which is copied before if it is not its `own`.
    fn join(
        &mut self,
        sessions: &Sessions<'_>,
        op: u32,
        earlier: u32,
        whole: bool,
        own: &mut bool,
    ) {
        let width = self.width;
        if !*own {
            let from = self.row_of[op as usize] as usize * width;
            self.row_of[op as usize] = (self.rows.len() / width) as u32;
            self.rows.extend_from_within(from..from + width);
            *own = true;
        }
        let at = self.row_of[op as usize] as usize * width;
        if whole {
            let from = self.row_of[earlier as usize] as usize * width;
            let (past, row) = self.rows.split_at_mut(at);
            // Rows are written in order, so that of an earlier operation lies before.
            for (entry, other) in row[..width].iter_mut().zip(&past[from..from + width]) {
                *entry = (*entry).max(*other);
            }
        }
        let entry = &mut self.rows[at + sessions.chain(earlier) as usize];
        *entry = (*entry).max(sessions.index(earlier) + 1);
    }

    /// How many operations of `chain` come before `op`.
    #[must_use]
    pub fn count(&self, sessions: &Sessions<'_>, op: u32, chain: u32) -> u32 {
        if sessions.chain(op) == chain {
            sessions.index(op)
        } else {
            self.rows[self.row_of[op as usize] as usize * self.width + chain as usize]
        }
    }

    /// The counts for all chains but its own, whose entry means nothing.
    #[must_use]
    pub fn row(&self, op: u32) -> &[u32] {
        let at = self.row_of[op as usize] as usize * self.width;
        &self.rows[at..at + self.width]
    }

    /// Names the row of an operation: the same row, the same counts.
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
