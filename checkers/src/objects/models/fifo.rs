//! A first-in, first-out queue.

use super::container::{ContainerOp, Discipline};
use super::leaving::Leaving;
use crate::objects::model::{Guide, Operation};
use crate::objects::persistent::Chain;
use crate::objects::unique::unknown::Deadlines;
use crate::objects::unique::{Conflict, Unique, queue};

/// What was put in first comes out first.
#[derive(Debug)]
pub struct Fifo;

impl Discipline for Fifo {
    type State = Chain;
    const NAMES: (&'static str, &'static str, &'static str) =
        ("enqueue", "dequeue", "a queue has enqueue and dequeue");

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
        state.first() == Some(value) && state.pop_first().is_some()
    }

    fn ready(state: &Chain) -> Vec<u32> {
        state.first().into_iter().collect()
    }

    fn decide(unique: &Unique) -> Result<(), Conflict> {
        queue::decide(unique)
    }

    fn deadlines(unique: &Unique) -> Deadlines {
        queue::deadlines(unique)
    }

    fn guide(ops: &[Operation<ContainerOp>]) -> Option<Box<dyn Guide<Chain>>> {
        Leaving::new(ops).map(|guide| Box::new(guide) as Box<dyn Guide<Chain>>)
    }
}
