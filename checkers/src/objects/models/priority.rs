//! A priority queue: the smallest value comes out first.

use keelhaul_history::Value;

use super::container::Discipline;
use super::counts::Counts;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, priority};

/// The smallest comes out first. Value ids are ranks, so that comparing two is comparing what they stand for: numbers by
/// size, text by its bytes, lists by their elements in turn.
#[derive(Debug)]
pub struct SmallestFirst;

impl Discipline for SmallestFirst {
    type State = Counts;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("insert", "delete-min", "a priority queue has insert and delete-min");

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
        state.first() == Some(value) && state.take(value)
    }

    fn ready(state: &Counts) -> Vec<u32> {
        state.first().into_iter().collect()
    }

    fn decide(unique: &Unique) -> Result<(), Conflict> {
        priority::decide(unique)
    }

    fn deadlines(unique: &Unique) -> Deadlines {
        priority::deadlines(unique)
    }

    fn rank(values: &[Value]) -> Option<Vec<u32>> {
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        let ints: Option<Vec<i64>> = values.iter().map(Value::as_int).collect();
        match ints {
            Some(ints) => order.sort_unstable_by_key(|id| ints[*id as usize]),
            None => order.sort_unstable_by_key(|id| &values[*id as usize]),
        }
        let mut ranks = vec![0; order.len()];
        for (rank, id) in order.into_iter().enumerate() {
            ranks[id as usize] = rank as u32;
        }
        Some(ranks)
    }
}
