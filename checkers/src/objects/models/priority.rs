//! A priority queue: the smallest value comes out first.

use keelhaul_history::Value;

use super::container::Discipline;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, priority};

/// The smallest comes out first. Value ids are ranks, so that comparing two is comparing what they stand for: numbers by
/// size, text by its bytes, lists by their elements in turn.
#[derive(Debug)]
pub struct SmallestFirst;

impl Discipline for SmallestFirst {
    /// Sorted, the smallest last.
    type State = Vec<u32>;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("insert", "delete-min", "a priority queue has insert and delete-min");

    fn len(state: &Vec<u32>) -> usize {
        state.len()
    }

    fn put(state: &mut Vec<u32>, value: u32) {
        state.insert(state.partition_point(|other| *other > value), value);
    }

    fn take(state: &mut Vec<u32>, value: u32) -> bool {
        state.last() == Some(&value) && state.pop().is_some()
    }

    fn ready(state: &Vec<u32>) -> Vec<u32> {
        state.last().copied().into_iter().collect()
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
