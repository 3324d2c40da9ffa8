//! A stack, in O(n log n).
//!
//! A value whose put and take overlap can go in and out at one moment, anywhere: it hinders nobody and is left out. The
//! others are certainly inside for a while. At a gap that is open among them the history can be cut in two, so it
//! falls into *blocks*, in each of which the stack is never empty. A block has a value at the *bottom*: put before
//! anything else in the block returned, and taken after everything else in it was called. If some value could be the
//! bottom and the rest of the block has an order, so has the block: the value goes in first and comes out last.
//! And the rest has an order if the block has. So all values that could be the bottom are taken away, and the rest
//! falls into smaller blocks; a block of several values without a possible bottom has no order.
//!
//! The values are kept by when their puts returned. A block is a range of them, and it begins with one during whose
//! return nothing else is certainly inside. What keeps this near-linear: once a value's put was called early enough to be
//! the bottom of its block it is so for every smaller block, likewise for its take, so each is found once, in a tree
//! over the values; so is each first value of a block, in a tree that counts what covers it.

use super::unknown::{self, Deadlines, LeastAfter};
use super::{Because, Conflict, Life, Unique, cover};

/// Decides.
///
/// # Errors
/// With what cannot be ordered.
pub fn decide(unique: &Unique) -> Result<(), Conflict> {
    let mut order: Vec<u32> = (0..unique.lives.len() as u32)
        .filter(|at| {
            let life = &unique.lives[*at as usize];
            life.put_ret < life.take_call
        })
        .collect();
    order.sort_unstable_by_key(|at| unique.lives[*at as usize].put_ret);
    let lives: Vec<Life> = order.iter().map(|at| unique.lives[*at as usize]).collect();
    let strict = Unique { lives, empties: unique.empties.clone(), end: unique.end };
    let original = |mut conflict: Conflict| {
        conflict.lives.iter_mut().for_each(|at| *at = order[*at as usize]);
        conflict
    };
    cover::decide(&strict).map_err(original)?;
    match Peeling::new(&strict).run() {
        None => Ok(()),
        Some(lives) => {
            Err(original(Conflict { lives, empties: Vec::new(), because: Because::NoBottom }))
        }
    }
}

/// When each value must be gone: when one comes out that was in before it for certain, or somebody finds nothing.
pub fn deadlines(unique: &Unique) -> Deadlines {
    let lives = &unique.lives;
    let mut deadlines = unknown::only_empties(unique);
    let mut by_put_ret: Vec<u32> = (0..lives.len() as u32).collect();
    by_put_ret.sort_unstable_by_key(|at| lives[*at as usize].put_ret);
    let mut staying: Vec<u32> = by_put_ret
        .iter()
        .copied()
        .filter(|at| lives[*at as usize].take_call == unique.end)
        .collect();
    staying.sort_unstable_by_key(|at| lives[*at as usize].put_call);
    let mut below = LeastAfter::new(unique.end, unique.end);
    let mut before = by_put_ret.into_iter().map(|at| &lives[at as usize]).peekable();
    for at in staying {
        let life = &lives[at as usize];
        while let Some(lower) = before.next_if(|lower| lower.put_ret < life.put_call) {
            below.keep(lower.take_call, lower.take_ret);
        }
        let deadline = &mut deadlines[at as usize];
        *deadline = below.get(life.put_ret).min(*deadline);
    }
    deadlines
}

/// More than covers anything: marks values that are not there any more.
const GONE: i32 = i32::MAX / 2;

/// The lives, in order of their puts' returns, while they are taken away.
struct Peeling<'a> {
    lives: &'a [Life],
    /// For each: the first that was put in after it was begun to be taken.
    free: Vec<u32>,
    /// How many values are certainly inside when the put returns.
    covers: Covers,
    /// When the puts were called that came too late to be the bottom so far.
    puts: Least,
    /// When the takes returned that came too early to be the bottom so far, from the end of time backwards.
    takes: Least,
    /// When the values began to be taken, from the end of time backwards.
    last_calls: Least,
    end: u32,
}

impl<'a> Peeling<'a> {
    fn new(unique: &'a Unique) -> Self {
        let lives = &unique.lives[..];
        let end = unique.end;
        let free: Vec<u32> = free_from(unique);
        let mut change = vec![0_i32; lives.len() + 1];
        for (at, free) in free.iter().enumerate() {
            change[at + 1] += 1;
            change[*free as usize] -= 1;
        }
        let mut inside = 0;
        let counts = change[..lives.len()].iter().map(|delta| {
            inside += delta;
            inside
        });
        Self {
            covers: Covers::new(counts),
            puts: Least::new(lives.iter().map(|life| life.put_call)),
            takes: Least::new(lives.iter().map(|life| end - life.take_ret)),
            last_calls: Least::new(lives.iter().map(|life| end - life.take_call)),
            lives,
            free,
            end,
        }
    }

    /// Values of a block without a bottom, if there is one.
    fn run(mut self) -> Option<Vec<u32>> {
        let mut blocks = Vec::new();
        self.split(0, self.lives.len(), &mut blocks);
        while let Some((from, to)) = blocks.pop() {
            let bottoms = self.bottoms(from, to);
            if bottoms.is_empty() {
                let here = |at: &u32| self.last_calls.get(*at as usize) != Least::NONE;
                return Some((from as u32..to as u32).filter(here).collect());
            }
            for at in bottoms {
                self.take_away(at);
            }
            self.split(from, to, &mut blocks);
        }
        None
    }

    /// Pushes the blocks among the values from `from` to before `to` that have more than one value.
    fn split(&self, from: usize, to: usize, blocks: &mut Vec<(usize, usize)>) {
        let mut first = self.covers.find(from, to, 0);
        while let Some(begin) = first {
            first = self.covers.find(begin + 1, to, 0);
            let end = first.unwrap_or(to);
            if self.covers.find(begin + 1, end, GONE - 1).is_some() {
                blocks.push((begin, end));
            }
        }
    }

    /// The values of the block that could be at the bottom.
    fn bottoms(&mut self, from: usize, to: usize) -> Vec<usize> {
        let first_ret = self.lives[from].put_ret;
        let last_call = self.last_calls.least(from, to);
        let mut bottoms = Vec::new();
        while let Some(at) = self.puts.find(from, to, first_ret.saturating_sub(1)) {
            self.puts.remove(at);
            if self.takes.get(at) == Least::NONE {
                bottoms.push(at);
            }
        }
        // What nobody took can lie below what nobody took.
        while let Some(at) = self.takes.find(from, to, last_call) {
            self.takes.remove(at);
            if self.puts.get(at) == Least::NONE {
                bottoms.push(at);
            }
        }
        debug_assert!(self.end >= last_call, "counted backwards from the end");
        bottoms
    }

    fn take_away(&mut self, at: usize) {
        self.last_calls.remove(at);
        self.covers.add(at, at + 1, GONE);
        self.covers.add(at + 1, self.free[at] as usize, -1);
    }
}

/// For each life, in order of their puts' returns, the first whose put returned after its take was called.
fn free_from(unique: &Unique) -> Vec<u32> {
    let mut before = vec![0_u32; unique.end as usize + 2];
    for life in &unique.lives {
        before[life.put_ret as usize + 1] = 1;
    }
    let mut puts = 0;
    for slot in &mut before {
        puts += *slot;
        *slot = puts;
    }
    unique.lives.iter().map(|life| before[life.take_call as usize]).collect()
}

/// A tree over numbers that are taken away one by one: where is one as small as this?
struct Least {
    /// The leaves from the middle on; each inner node holds the smaller of the two below.
    nodes: Vec<u32>,
    leaves: usize,
}

impl Least {
    const NONE: u32 = u32::MAX;

    fn new(numbers: impl ExactSizeIterator<Item = u32>) -> Self {
        let leaves = numbers.len().next_power_of_two();
        let mut nodes = vec![Self::NONE; leaves];
        nodes.extend(numbers);
        nodes.resize(2 * leaves, Self::NONE);
        for at in (1..leaves).rev() {
            nodes[at] = nodes[2 * at].min(nodes[2 * at + 1]);
        }
        Self { nodes, leaves }
    }

    fn get(&self, at: usize) -> u32 {
        self.nodes[self.leaves + at]
    }

    fn remove(&mut self, at: usize) {
        let mut node = self.leaves + at;
        self.nodes[node] = Self::NONE;
        while node > 1 {
            node /= 2;
            let least = self.nodes[2 * node].min(self.nodes[2 * node + 1]);
            if std::mem::replace(&mut self.nodes[node], least) == least {
                break;
            }
        }
    }

    /// The smallest from `from` to before `to`.
    fn least(&self, from: usize, to: usize) -> u32 {
        let (mut left, mut right) = (self.leaves + from, self.leaves + to);
        let mut least = Self::NONE;
        while left < right {
            if left % 2 == 1 {
                least = self.nodes[left].min(least);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                least = self.nodes[right].min(least);
            }
            left /= 2;
            right /= 2;
        }
        least
    }

    /// Some place from `from` to before `to` whose number is at most `most`.
    fn find(&self, from: usize, to: usize, most: u32) -> Option<usize> {
        let (mut left, mut right) = (self.leaves + from, self.leaves + to);
        while left < right {
            if left % 2 == 1 {
                if self.nodes[left] <= most {
                    return Some(self.descend(left, most));
                }
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                if self.nodes[right] <= most {
                    return Some(self.descend(right, most));
                }
            }
            left /= 2;
            right /= 2;
        }
        None
    }

    fn descend(&self, mut node: usize, most: u32) -> usize {
        while node < self.leaves {
            node *= 2;
            node += usize::from(self.nodes[node] > most);
        }
        node - self.leaves
    }
}

/// A tree over counts that change by ranges: where is the first as small as this?
struct Covers {
    /// The smallest below, all changes from the node itself downwards included.
    least: Vec<i32>,
    /// The change of everything below.
    change: Vec<i32>,
    leaves: usize,
}

impl Covers {
    fn new(counts: impl ExactSizeIterator<Item = i32>) -> Self {
        let leaves = counts.len().next_power_of_two();
        let mut least = vec![GONE; leaves];
        least.extend(counts);
        least.resize(2 * leaves, GONE);
        for at in (1..leaves).rev() {
            least[at] = least[2 * at].min(least[2 * at + 1]);
        }
        Self { least, change: vec![0; leaves], leaves }
    }

    fn apply(&mut self, node: usize, delta: i32) {
        self.least[node] += delta;
        if node < self.leaves {
            self.change[node] += delta;
        }
    }

    fn repair(&mut self, mut node: usize) {
        while node > 1 {
            node /= 2;
            let least = self.least[2 * node].min(self.least[2 * node + 1]) + self.change[node];
            self.least[node] = least;
        }
    }

    /// Adds to the counts from `from` to before `to`.
    fn add(&mut self, from: usize, to: usize, delta: i32) {
        if from >= to {
            return;
        }
        let (mut left, mut right) = (self.leaves + from, self.leaves + to);
        while left < right {
            if left % 2 == 1 {
                self.apply(left, delta);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                self.apply(right, delta);
            }
            left /= 2;
            right /= 2;
        }
        self.repair(self.leaves + from);
        self.repair(self.leaves + to - 1);
    }

    /// The first place from `from` to before `to` whose count is at most `most`.
    fn find(&self, from: usize, to: usize, most: i32) -> Option<usize> {
        if from >= to {
            return None;
        }
        // Up from the first place along the right-hand neighbours, then down into the first that holds one.
        let mut node = self.leaves + from;
        let mut above = self.above(node);
        loop {
            if self.least[node] + above <= most {
                let found = self.descend(node, above, most);
                return (found < to).then_some(found);
            }
            while node % 2 == 1 {
                node /= 2;
                if node == 0 {
                    return None;
                }
                above -= self.change[node];
            }
            // The sibling to the right has the same ancestors.
            node += 1;
            let covered = node << (self.leaves.ilog2() - node.ilog2());
            if covered - self.leaves >= to {
                return None;
            }
        }
    }

    /// The changes above the node.
    fn above(&self, mut node: usize) -> i32 {
        let mut sum = 0;
        while node > 1 {
            node /= 2;
            sum += self.change[node];
        }
        sum
    }

    fn descend(&self, mut node: usize, mut above: i32, most: i32) -> usize {
        while node < self.leaves {
            above += self.change[node];
            node *= 2;
            node += usize::from(self.least[node] + above > most);
        }
        node - self.leaves
    }
}
