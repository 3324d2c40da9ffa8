//! Runs a generator in virtual time, without clients: for tests of generators, workloads and fault schedules.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use keelhaul_history::Op;

use super::{Generator, Thread};
use crate::Outcome;
use crate::generator::Combine;
use crate::interpreter::{Completion, Dispatch, Effects, Interpreter, Wake};

/// Longer histories are taken for a generator that never ends.
const EVENTS_MAX: usize = 10_000_000;

/// The history that a generator makes when `concurrency` client threads (on one node) and the nemesis perform its
/// operations, each taking as long (in nanoseconds) and ending as the two functions say. The latency
/// is asked for at the invocation, the outcome at the completion.
///
/// # Panics
/// The generator breaks its obligations, waits for nothing, or does not end within ten million events.
pub fn simulate(
    generator: impl Generator + 'static,
    concurrency: u32,
    mut latency_ns: impl FnMut(&Dispatch) -> u64,
    mut outcome: impl FnMut(&Dispatch) -> Outcome,
) -> Vec<Op> {
    let mut interpreter = Interpreter::new(generator.boxed(), concurrency, 1);
    let mut running: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
    let mut dispatched: Vec<Option<Dispatch>> = vec![None; concurrency as usize + 1];
    let mut order = 0;
    let mut completions = Vec::new();
    let mut effects = Effects::default();
    let mut history = Vec::new();
    let mut now = 0;
    loop {
        interpreter.step(now, &mut completions, &mut effects);
        history.append(&mut effects.records);
        assert!(history.len() < EVENTS_MAX, "the generator does not end");
        for dispatch in effects.dispatches.drain(..) {
            let at = now.saturating_add(latency_ns(&dispatch));
            let slot = slot(dispatch.thread, concurrency);
            // Ties are broken by the order of the invocations; the slot rides along in the low bits.
            running.push(Reverse((at, order << 32 | slot as u64)));
            dispatched[slot] = Some(dispatch);
            order += 1;
        }
        let completion_at = running.peek().map(|Reverse((at, _))| *at);
        now = match (effects.wake, completion_at) {
            (Wake::Finished, _) => return history,
            (Wake::Stuck, _) => panic!("the generator waits although nothing is in flight"),
            (Wake::At(t), Some(at)) => t.min(at),
            (Wake::At(t), None) => t,
            (Wake::Completion, Some(at)) => at,
            (Wake::Completion, None) => {
                unreachable!("the interpreter waits for a completion that is not in flight")
            }
        };
        while let Some(Reverse((at, packed))) = running.peek().copied()
            && at <= now
        {
            running.pop();
            if let Some(dispatch) = dispatched[(packed & u64::from(u32::MAX)) as usize].take() {
                completions
                    .push(Completion { thread: dispatch.thread, outcome: outcome(&dispatch) });
            }
        }
    }
}

const fn slot(thread: Thread, concurrency: u32) -> usize {
    match thread {
        Thread::Client(i) => i as usize,
        Thread::Nemesis => concurrency as usize,
    }
}
