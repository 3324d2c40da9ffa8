//! An unordered queue: what comes out was put in, once.

use super::container::Discipline;
use super::counts::Counts;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, bag};

/// Any value may come out.
#[derive(Debug)]
pub struct Unordered;

impl Discipline for Unordered {
    type State = Counts;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("enqueue", "dequeue", "a queue has enqueue and dequeue");

    fn len(state: &Counts) -> usize {
        state.len()
    }

    fn version_bytes(state: &Counts) -> usize {
        state.version_bytes()
    }

    fn put(state: &mut Counts, value: u32) {
        state.put(value);
    }

    fn take(state: &mut Counts, value: u32) -> bool {
        state.take(value)
    }

    fn ready(state: &Counts) -> Vec<u32> {
        state.values()
    }

    fn decide(unique: &Unique) -> Result<(), Conflict> {
        bag::decide(unique)
    }

    fn deadlines(unique: &Unique) -> Deadlines {
        bag::deadlines(unique)
    }
}
