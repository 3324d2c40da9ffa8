//! An unordered queue: what comes out was put in, once.

use super::container::Discipline;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, bag};

/// Any value may come out.
#[derive(Debug)]
pub struct Unordered;

impl Discipline for Unordered {
    /// Sorted, equal values side by side.
    type State = Vec<u32>;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("enqueue", "dequeue", "a queue has enqueue and dequeue");

    fn len(state: &Vec<u32>) -> usize {
        state.len()
    }

    fn put(state: &mut Vec<u32>, value: u32) {
        state.insert(state.partition_point(|other| *other < value), value);
    }

    fn take(state: &mut Vec<u32>, value: u32) -> bool {
        let at = state.binary_search(&value);
        at.is_ok_and(|at| state.remove(at) == value)
    }

    fn ready(state: &Vec<u32>) -> Vec<u32> {
        let mut ready = state.clone();
        ready.dedup();
        ready
    }

    fn decide(unique: &Unique) -> Result<(), Conflict> {
        bag::decide(unique)
    }

    fn deadlines(unique: &Unique) -> Deadlines {
        bag::deadlines(unique)
    }
}
