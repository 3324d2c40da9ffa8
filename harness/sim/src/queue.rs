//! What happens when: a queue in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events by time; those of one time in the order in which they were scheduled.
///
/// The heap moves small keys about; the events themselves stay where they are.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    scheduled: u64,
}

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), scheduled: 0 }
    }

    /// Lets an event happen at a time, in nanoseconds.
    pub(crate) fn push(&mut self, at_ns: u64, event: E) {
        let slot = if let Some(slot) = self.free.pop() {
            self.events[slot as usize] = Some(event);
            slot
        } else {
            self.events.push(Some(event));
            u32::try_from(self.events.len() - 1).expect("fewer events than that are under way")
        };
        self.scheduled += 1;
        self.heap.push(Reverse((at_ns, self.scheduled, slot)));
    }

    /// The next event with its time.
    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        loop {
            let Reverse((at_ns, _, slot)) = self.heap.pop()?;
            self.free.push(slot);
            if let Some(event) = self.events[slot as usize].take() {
                return Some((at_ns, event));
            }
        }
    }

    /// What is such an event will not happen.
    pub(crate) fn forget(&mut self, is: impl Fn(&E) -> bool) {
        for event in &mut self.events {
            event.take_if(|event| is(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_order_of_scheduling() {
        let mut queue = Queue::new();
        for (at, name) in [(5, 'a'), (3, 'b'), (5, 'c'), (1, 'd')] {
            queue.push(at, name);
        }
        assert_eq!(queue.pop(), Some((1, 'd')));
        queue.push(5, 'e');
        queue.push(4, 'f');
        queue.forget(|name| *name == 'f');
        let rest: Vec<char> = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(rest, ['b', 'a', 'c', 'e']);
    }
}
