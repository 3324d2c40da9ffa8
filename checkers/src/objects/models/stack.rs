//! A stack.

use super::container::Discipline;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, stack};

/// What was put in last comes out first.
#[derive(Debug)]
pub struct Lifo;

impl Discipline for Lifo {
    type State = Vec<u32>;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("push", "pop", "a stack has push and pop");

    fn len(state: &Vec<u32>) -> usize {
        state.len()
    }

    fn put(state: &mut Vec<u32>, value: u32) {
        state.push(value);
    }

    fn take(state: &mut Vec<u32>, value: u32) -> bool {
        state.last() == Some(&value) && state.pop().is_some()
    }

    fn ready(state: &Vec<u32>) -> Vec<u32> {
        state.last().copied().into_iter().collect()
    }

    fn decide(unique: &Unique) -> Result<(), Conflict> {
        stack::decide(unique)
    }

    fn deadlines(unique: &Unique) -> Deadlines {
        stack::deadlines(unique)
    }
}
