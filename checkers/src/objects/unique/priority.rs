//! A priority queue, in near-linear time.
//!
//! Take the largest value away. What is left has an order if the whole has; and given an order of what is left, the
//! largest can be put back whenever it was put in, for it hinders no other, but be taken out only at a moment at which
//! nothing smaller is inside: at a gap that is open among the smaller values, where the order can be cut in two. So
//! going from the smallest value up, each needs such a gap while its take was pending and its put had begun.
//! What the smaller values close is kept as a forest over the gaps: each gap leads to the next open one.

use super::unknown::{self, Deadlines, LeastAfter};
use super::{Because, Conflict, Unique, cover};

/// Decides; lives must be in order of their values, the smallest first.
///
/// # Errors
/// With what cannot be ordered.
pub fn decide(unique: &Unique) -> Result<(), Conflict> {
    let mut gaps = Gaps::new(unique.end as usize + 1);
    for (at, life) in unique.lives.iter().enumerate() {
        if life.take_ret != unique.end {
            let from = life.put_call.max(life.take_call) + 1;
            if gaps.open_from(from) > life.take_ret {
                let mut lives = cover::chain(&unique.lives[..at], from, life.take_ret);
                lives.push(at as u32);
                let because = Because::NotSmallest;
                return Err(Conflict { lives, empties: Vec::new(), because });
            }
        }
        let (from, to) = life.inside();
        if from <= to {
            gaps.close(from, to);
        }
    }
    cover::decide(unique)
}

/// When each value must be gone: when a larger one comes out that cannot have come out before it went in, or somebody
/// finds nothing.
pub fn deadlines(unique: &Unique) -> Deadlines {
    let mut deadlines = unknown::only_empties(unique);
    let mut larger = LeastAfter::new(unique.end, unique.end);
    for (life, deadline) in unique.lives.iter().zip(&mut deadlines).rev() {
        *deadline = larger.get(life.put_ret).min(*deadline);
        if life.take_call != unique.end {
            larger.keep(life.put_call.max(life.take_call), life.take_ret);
        }
    }
    deadlines
}

/// Gaps, each with a step towards the next open one; an open gap leads to itself.
struct Gaps(Vec<u32>);

impl Gaps {
    fn new(gaps: usize) -> Self {
        // One more than there are, always open.
        Self((0..=gaps as u32).collect())
    }

    /// The first open gap from `gap` on.
    fn open_from(&mut self, mut gap: u32) -> u32 {
        let next = &mut self.0;
        while next[gap as usize] != gap {
            let after = next[next[gap as usize] as usize];
            next[gap as usize] = after;
            gap = after;
        }
        gap
    }

    /// Closes the gaps from `from` to `to`.
    fn close(&mut self, from: u32, to: u32) {
        let mut gap = self.open_from(from);
        while gap <= to {
            self.0[gap as usize] = to + 1;
            gap = self.open_from(gap + 1);
        }
    }
}
