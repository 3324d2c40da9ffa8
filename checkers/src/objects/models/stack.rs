//! A stack.

use super::container::Discipline;
use crate::objects::persistent::Chain;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, stack};

/// What was put in last comes out first.
#[derive(Debug)]
pub struct Lifo;

impl Discipline for Lifo {
    type State = Chain;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("push", "pop", "a stack has push and pop");

    fn len(state: &Chain) -> usize {
        state.len()
    }

    fn version_bytes(_state: &Chain) -> usize {
        Chain::LINK_BYTES
    }

    fn put(state: &mut Chain, value: u32) {
        state.push(value);
    }

    fn take(state: &mut Chain, value: u32) -> bool {
        state.last() == Some(value) && state.pop_last().is_some()
    }

    fn ready(state: &Chain) -> Vec<u32> {
        state.last().into_iter().collect()
    }

    fn decide(unique: &Unique) -> Result<(), Conflict> {
        stack::decide(unique)
    }

    fn deadlines(unique: &Unique) -> Deadlines {
        stack::deadlines(unique)
    }
}
