//! A first-in, first-out queue.

use std::collections::VecDeque;

use super::container::Discipline;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, queue};

/// What was put in first comes out first.
#[derive(Debug)]
pub struct Fifo;

impl Discipline for Fifo {
    type State = VecDeque<u32>;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("enqueue", "dequeue", "a queue has enqueue and dequeue");

    fn len(state: &VecDeque<u32>) -> usize {
        state.len()
    }

    fn put(state: &mut VecDeque<u32>, value: u32) {
        state.push_back(value);
    }

    fn take(state: &mut VecDeque<u32>, value: u32) -> bool {
        state.front() == Some(&value) && state.pop_front().is_some()
    }

    fn ready(state: &VecDeque<u32>) -> Vec<u32> {
        state.front().copied().into_iter().collect()
    }

    fn decide(unique: &Unique) -> Result<(), Conflict> {
        queue::decide(unique)
    }

    fn deadlines(unique: &Unique) -> Deadlines {
        queue::deadlines(unique)
    }
}
