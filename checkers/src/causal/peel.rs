//! Is an order acyclic? Operations are taken away from the end: each once nothing comes after it any more. What is left lies before
//! a cycle or on it.

use crate::sessions::order::{NONE, Sessions};
use crate::sessions::violation::Known;

/// Whose reading counts as a cause.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// Everybody's.
    All,
    /// That of the session that ends with this operation.
    Session(u32),
}

impl Scope {
    /// The operation whose value `op` found, if that counts, or [`NONE`].
    #[must_use]
    pub fn found(self, known: Known<'_>, op: u32) -> u32 {
        match self {
            Self::Session(last) if op != last && !known.sessions.in_order(op, last) => NONE,
            _ => known.found(op),
        }
    }
}

/// Operations with what comes right before them, being taken away.
pub struct Peel {
    /// How many operations come right after each.
    after: Vec<u32>,
    /// Operations before others besides sessions and reading: lists by the later one.
    heads: Vec<u32>,
    edges: Vec<(u32, u32)>,
    stack: Vec<u32>,
}

impl Peel {
    /// Nothing is there yet.
    #[must_use]
    pub fn new(sessions: &Sessions<'_>) -> Self {
        let len = sessions.len() as usize;
        Self { after: vec![0; len], heads: vec![NONE; len], edges: Vec::new(), stack: Vec::new() }
    }

    /// Adds an operation, with what comes before it by session and reading.
    pub fn add(&mut self, known: Known<'_>, scope: Scope, op: u32) {
        for before in [known.sessions.pred(op), scope.found(known, op)] {
            if before != NONE {
                self.after[before as usize] += 1;
            }
        }
    }

    /// Forgets an operation, so that this can be used again.
    pub fn clear(&mut self, op: u32) {
        self.after[op as usize] = 0;
        self.heads[op as usize] = NONE;
    }

    /// Forgets all edges.
    pub fn clear_edges(&mut self) {
        self.edges.clear();
    }

    /// `first` comes before `second`.
    pub fn edge(&mut self, first: u32, second: u32) {
        self.after[first as usize] += 1;
        let head = &mut self.heads[second as usize];
        self.edges.push((first, *head));
        *head = (self.edges.len() - 1) as u32;
    }

    /// Whether something comes after it.
    #[must_use]
    pub fn blocked(&self, op: u32) -> bool {
        self.after[op as usize] > 0
    }

    /// Takes `op` away, and whatever has nothing after it then, but for `keep`; `gone` hears of each.
    pub fn take(
        &mut self,
        known: Known<'_>,
        scope: Scope,
        op: u32,
        keep: u32,
        mut gone: impl FnMut(u32),
    ) {
        self.stack.push(op);
        while let Some(op) = self.stack.pop() {
            gone(op);
            for before in [known.sessions.pred(op), scope.found(known, op)] {
                self.release(before, keep);
            }
            let mut edge = self.heads[op as usize];
            while edge != NONE {
                let (before, next) = self.edges[edge as usize];
                self.release(before, keep);
                edge = next;
            }
        }
    }

    fn release(&mut self, before: u32, keep: u32) {
        if before != NONE {
            let after = &mut self.after[before as usize];
            *after -= 1;
            if *after == 0 && before != keep {
                self.stack.push(before);
            }
        }
    }
}
