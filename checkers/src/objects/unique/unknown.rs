//! Takes whose outcome is unknown: which values may they have taken?
//!
//! A value that nobody is known to have taken may have to be gone: by the time that another comes out which it
//! would have held back, or that somebody finds nothing. Each such value gets a take of unknown outcome, the most
//! urgent value the earliest take. That is a guess at what happened: if the history has an order with it, it has one;
//! if not, nothing is said.

use super::{Life, Unique};

/// The rank by which each value must be gone if nobody took it; [`Unique::end`] if it may stay. In order of lives.
pub type Deadlines = Vec<u32>;

/// The history with a take for every value that must be gone, calls of the takes given in rising order; none if they do not
/// suffice.
pub fn assign(unique: &Unique, takes: &[u32], deadlines: &Deadlines) -> Option<Unique> {
    let end = unique.end;
    let mut urgent: Vec<u32> = (0..unique.lives.len() as u32)
        .filter(|at| unique.lives[*at as usize].take_call == end && deadlines[*at as usize] < end)
        .collect();
    urgent.sort_unstable_by_key(|at| deadlines[*at as usize]);
    if urgent.len() > takes.len() {
        return None;
    }
    // One more rank: what came out at an unknown time still came out, unlike what stays.
    let later = |rank: u32| if rank == end { end + 1 } else { rank };
    let mut lives: Vec<Life> = unique.lives.clone();
    for life in &mut lives {
        life.put_ret = later(life.put_ret);
        life.take_call = later(life.take_call);
        life.take_ret = later(life.take_ret);
    }
    for (at, call) in urgent.iter().zip(takes) {
        if *call >= deadlines[*at as usize] {
            return None;
        }
        let life = &mut lives[*at as usize];
        (life.take_call, life.take_ret) = (*call, end);
    }
    Some(Unique { lives, empties: unique.empties.clone(), end: end + 1 })
}

/// What somebody who found nothing demands: for each rank the earliest return of such a take that was called then or later.
pub fn by_empties(unique: &Unique) -> Vec<u32> {
    let mut earliest = vec![unique.end; unique.end as usize + 2];
    for empty in &unique.empties {
        let slot = &mut earliest[empty.call as usize];
        *slot = empty.ret.min(*slot);
    }
    from_the_end(&mut earliest);
    earliest
}

/// Lets every number be the least of itself and those after it.
pub fn from_the_end(numbers: &mut [u32]) {
    let mut least = u32::MAX;
    for number in numbers.iter_mut().rev() {
        least = least.min(*number);
        *number = least;
    }
}

/// Each value's deadline where only those matter who found nothing after it had gone in for certain.
pub fn only_empties(unique: &Unique) -> Deadlines {
    let earliest = by_empties(unique);
    unique.lives.iter().map(|life| earliest[life.put_ret as usize]).collect()
}

/// The least number kept at a place or after it.
pub struct LeastAfter(Vec<u32>);

impl LeastAfter {
    /// Room for places up to `last`; every number is `most` at first.
    pub fn new(last: u32, most: u32) -> Self {
        Self(vec![most; last as usize + 2])
    }

    /// Keeps the number at the place.
    pub fn keep(&mut self, place: u32, number: u32) {
        let mut at = place as usize + 1;
        while at > 0 {
            self.0[at] = self.0[at].min(number);
            at &= at - 1;
        }
    }

    /// The least kept at the place or after it.
    pub fn get(&self, place: u32) -> u32 {
        let mut at = place as usize + 1;
        let mut least = u32::MAX;
        while at < self.0.len() {
            least = self.0[at].min(least);
            at += at & at.wrapping_neg();
        }
        least
    }
}
