//! The interpreter: turns a generator's answers and the clients' completions into a history.
//!
//! It is a pure function of time and events. Whoever drives it calls [`Interpreter::step`] with the time and the
//! completions that came in, and carries out the [`Effects`], whatever its clock is. Indexes and times are
//! stamped here.
//!
//! Rules that make the history true, whatever the driver:
//! * completions are recorded before new work is asked for, so that two operations look concurrent only if they were;
//! * an invocation is among the records of the same step that dispatches it, and a driver stores the records first;
//! * a process whose operation ended in info is never used again, since the operation may still take effect.

use std::rc::Rc;

use keelhaul_history::{Kind, NodeId, Op, Process};

use crate::generator::{Boxed, Next, Thread, Threads};
use crate::{Invocation, Outcome};

/// How an operation ended, told to the interpreter.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Who performed it.
    pub thread: Thread,
    /// How it ended.
    pub outcome: Outcome,
}

/// An operation to hand to a worker.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Whose worker.
    pub thread: Thread,
    /// The process it acts as. A new one needs a new client.
    pub process: Process,
    /// The node its client is pinned to; none for the nemesis.
    pub node: Option<NodeId>,
    /// What to do.
    pub op: Rc<Invocation>,
}

/// When to call [`Interpreter::step`] next. A completion is always a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// At this time, or at a completion.
    At(u64),
    /// At a completion; something is in flight.
    Completion,
    /// Never: the generator is done and nothing is in flight.
    Finished,
    /// Never: the generator waits for an event, and nothing is in flight that could bring one. A generator's mistake.
    Stuck,
}

/// What a step wants done: first everything in `records` stored, in order, then everything in `dispatches` handed out.
#[derive(Debug)]
pub struct Effects {
    /// Events for the history.
    pub records: Vec<Op>,
    /// Operations for the workers. Their invocations are among the records.
    pub dispatches: Vec<Dispatch>,
    /// Lines that generators want logged.
    pub log: Vec<Box<str>>,
    /// When to come back.
    pub wake: Wake,
}

impl Default for Effects {
    fn default() -> Self {
        Self { records: Vec::new(), dispatches: Vec::new(), log: Vec::new(), wake: Wake::At(0) }
    }
}

/// See the module's documentation.
pub struct Interpreter {
    generator: Boxed,
    threads: Threads,
    nodes: u16,
    /// What each client thread performs, and at the end the nemesis.
    in_flight: Vec<Option<Rc<Invocation>>>,
    in_flight_count: usize,
    next_index: u64,
    now_ns: u64,
    generating: bool,
}

impl Interpreter {
    /// `concurrency` client threads; thread i speaks to node (i mod `nodes`) + 1.
    #[must_use]
    pub fn new(generator: Boxed, concurrency: u32, nodes: u16) -> Self {
        Self {
            generator,
            threads: Threads::new(concurrency),
            nodes,
            in_flight: vec![None; concurrency as usize + 1],
            in_flight_count: 0,
            next_index: 0,
            now_ns: 0,
            generating: true,
        }
    }

    /// Takes in completions, then asks for as much work as threads are free. `effects` is overwritten; passing the
    /// same one each time saves allocations. A time before the last step's counts as the last step's.
    ///
    /// # Panics
    /// A completion of a thread with nothing in flight, or a generator that gives work to a busy thread.
    pub fn step(&mut self, now_ns: u64, completions: &mut Vec<Completion>, effects: &mut Effects) {
        self.now_ns = self.now_ns.max(now_ns);
        effects.records.clear();
        effects.dispatches.clear();
        effects.log.clear();
        for completion in completions.drain(..) {
            let event = self.complete(completion);
            effects.records.push(event);
        }
        effects.wake = self.generate(effects);
        effects.log = self.threads.take_log();
    }

    /// No further operation will be asked for. What is in flight goes on.
    pub const fn stop(&mut self) {
        self.generating = false;
    }

    /// Operations that have begun and not ended.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.in_flight_count
    }

    /// Asks the generator until it has nothing for now.
    fn generate(&mut self, effects: &mut Effects) -> Wake {
        while self.generating && self.in_flight_count < self.in_flight.len() {
            match self.generator.next(&self.threads.context(self.now_ns)) {
                Next::Op { thread, op } => {
                    let (event, dispatch) = self.invoke(thread, op);
                    effects.records.push(event);
                    effects.dispatches.push(dispatch);
                }
                // A time that has passed would make the driver spin.
                Next::Until(t) => return Wake::At(t.max(self.now_ns + 1)),
                Next::Pending if self.in_flight_count == 0 => return Wake::Stuck,
                Next::Pending => return Wake::Completion,
                Next::Done => self.generating = false,
            }
        }
        if self.in_flight_count == 0 { Wake::Finished } else { Wake::Completion }
    }

    fn invoke(&mut self, thread: Option<Thread>, op: Invocation) -> (Op, Dispatch) {
        let thread = thread.or_else(|| self.threads.context(self.now_ns).clients().pick());
        let Some(thread) = thread else {
            panic!("a generator answered with an operation although no client was free")
        };
        let process = self.threads.process(thread);
        self.threads.occupy(thread);
        let op = Rc::new(op);
        let slot = self.slot(thread);
        self.in_flight[slot] = Some(Rc::clone(&op));
        self.in_flight_count += 1;
        let event = self.event(process, thread, Kind::Invoke, &op);
        self.generator.update(&self.threads.context(self.now_ns), &event);
        let dispatch = Dispatch { thread, process, node: event.node, op };
        (event, dispatch)
    }

    fn complete(&mut self, completion: Completion) -> Op {
        let Completion { thread, outcome } = completion;
        let slot = self.slot(thread);
        let op = self.in_flight[slot].take();
        let Some(op) = op else { panic!("{thread:?} completed an operation that it did not have") };
        self.in_flight_count -= 1;
        let process = self.threads.process(thread);
        let event = match outcome {
            Outcome::Ok(value) => Op { value, ..self.event(process, thread, Kind::Ok, &op) },
            Outcome::Fail(error) => {
                Op { error: Some(error), ..self.event(process, thread, Kind::Fail, &op) }
            }
            Outcome::Info(error) => {
                let event =
                    Op { error: Some(error), ..self.event(process, thread, Kind::Info, &op) };
                self.threads.retire_process(thread);
                event
            }
        };
        self.threads.release(thread);
        self.generator.update(&self.threads.context(self.now_ns), &event);
        event
    }

    /// The next event of the history; the value is the invocation's.
    fn event(&mut self, process: Process, thread: Thread, kind: Kind, op: &Invocation) -> Op {
        let index = self.next_index;
        self.next_index += 1;
        Op {
            index,
            time_ns: self.now_ns,
            process,
            kind,
            f: op.f.clone(),
            key: op.key.clone(),
            value: op.value.clone(),
            node: self.node(thread),
            error: None,
        }
    }

    fn node(&self, thread: Thread) -> Option<NodeId> {
        match thread {
            Thread::Client(i) if self.nodes > 0 => {
                Some(NodeId((i % u32::from(self.nodes)) as u16 + 1))
            }
            _ => None,
        }
    }

    fn slot(&self, thread: Thread) -> usize {
        match thread {
            Thread::Client(i) => i as usize,
            Thread::Nemesis => self.in_flight.len() - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use keelhaul_history::{F, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::generator::{Combine, Context, Generator, any_of, nemesis, repeat, simulate, sleep};

    fn read() -> Invocation {
        Invocation { f: F::Read, key: None, value: Value::Null }
    }

    fn ok(thread: u32) -> Completion {
        Completion { thread: Thread::Client(thread), outcome: Outcome::Ok(Value::Int(1)) }
    }

    fn step(interpreter: &mut Interpreter, now_ns: u64, completions: Vec<Completion>) -> Effects {
        let (mut completions, mut effects) = (completions, Effects::default());
        interpreter.step(now_ns, &mut completions, &mut effects);
        assert!(completions.is_empty());
        effects
    }

    fn kinds(effects: &Effects) -> Vec<(u64, Kind, Process)> {
        effects.records.iter().map(|op| (op.index, op.kind, op.process)).collect()
    }

    #[test]
    fn completions_come_before_new_work() {
        let mut interpreter = Interpreter::new(repeat(read()).boxed(), 2, 3);
        step(&mut interpreter, 0, vec![]);
        let effects = step(&mut interpreter, 5, vec![ok(1), ok(0)]);
        let client = Process::Client;
        let expected = [
            (2, Kind::Ok, client(1)),
            (3, Kind::Ok, client(0)),
            (4, Kind::Invoke, client(0)),
            (5, Kind::Invoke, client(1)),
        ];
        assert_eq!(kinds(&effects), expected);
        assert_eq!((effects.dispatches.len(), effects.wake), (2, Wake::Completion));
        assert_eq!(effects.dispatches[1].node, Some(NodeId(2)));
    }

    #[test]
    fn time_never_goes_back() {
        let mut interpreter = Interpreter::new(repeat(read()).boxed(), 1, 1);
        step(&mut interpreter, 10, vec![]);
        let effects = step(&mut interpreter, 3, vec![ok(0)]);
        assert!(effects.records.iter().all(|op| op.time_ns == 10));
    }

    #[test]
    fn info_retires_a_client_process_and_not_the_nemesis() {
        let generator = any_of([repeat(read()).clients().boxed(), nemesis(repeat(read())).boxed()]);
        let mut interpreter = Interpreter::new(generator.boxed(), 3, 1);
        step(&mut interpreter, 0, vec![]);
        let info = |thread| Completion { thread, outcome: Outcome::Info("?".into()) };
        let effects =
            step(&mut interpreter, 1, vec![info(Thread::Client(1)), info(Thread::Nemesis)]);
        let processes: Vec<_> = effects.dispatches.iter().map(|d| (d.thread, d.process)).collect();
        assert!(processes.contains(&(Thread::Client(1), Process::Client(4))), "{processes:?}");
        assert!(processes.contains(&(Thread::Nemesis, Process::Nemesis)), "{processes:?}");
        let fail = Completion { thread: Thread::Client(1), outcome: Outcome::Fail("no".into()) };
        let effects = step(&mut interpreter, 2, vec![fail]);
        assert_eq!(effects.dispatches[0].process, Process::Client(4));
    }

    #[test]
    fn stop_waits_for_what_is_in_flight() {
        let mut interpreter = Interpreter::new(repeat(read()).boxed(), 2, 1);
        step(&mut interpreter, 0, vec![]);
        interpreter.stop();
        assert_eq!(step(&mut interpreter, 1, vec![ok(0)]).wake, Wake::Completion);
        assert_eq!(step(&mut interpreter, 2, vec![ok(1)]).wake, Wake::Finished);
    }

    #[test]
    fn waiting_for_nothing_is_noticed() {
        struct Never;
        impl Generator for Never {
            fn next(&mut self, _: &Context<'_>) -> Next {
                Next::Pending
            }
        }
        let mut interpreter = Interpreter::new(Never.boxed(), 1, 1);
        assert_eq!(step(&mut interpreter, 0, vec![]).wake, Wake::Stuck);
    }

    #[test]
    fn a_time_in_the_past_does_not_make_the_driver_spin() {
        struct Past;
        impl Generator for Past {
            fn next(&mut self, _: &Context<'_>) -> Next {
                Next::Until(0)
            }
        }
        let mut interpreter = Interpreter::new(Past.boxed(), 1, 1);
        assert_eq!(step(&mut interpreter, 7, vec![]).wake, Wake::At(8));
        let mut interpreter = Interpreter::new(sleep(9).boxed(), 1, 1);
        assert_eq!(step(&mut interpreter, 7, vec![]).wake, Wake::At(16));
        assert_eq!(step(&mut interpreter, 16, vec![]).wake, Wake::Finished);
    }

    /// What every history of the interpreter keeps, whatever the generator and the clients do.
    fn well_formed(history: &[Op], concurrency: u32) {
        let mut open: BTreeMap<Process, &Op> = BTreeMap::new();
        let mut retired = BTreeSet::new();
        for (i, op) in history.iter().enumerate() {
            assert_eq!(op.index, i as u64);
            assert!(i == 0 || history[i - 1].time_ns <= op.time_ns);
            assert!(!retired.contains(&op.process), "{op:?}");
            match op.kind {
                Kind::Invoke => assert_eq!(open.insert(op.process, op), None),
                kind => {
                    let begun = open.remove(&op.process).expect("begun");
                    assert_eq!((&begun.f, &begun.key, begun.node), (&op.f, &op.key, op.node));
                    if kind == Kind::Info && op.process != Process::Nemesis {
                        retired.insert(op.process);
                    }
                }
            }
            assert!(open.len() <= concurrency as usize + 1);
        }
        assert!(open.is_empty());
    }

    proptest! {
        #[test]
        fn histories_are_well_formed(
            concurrency in 1_u32..12,
            latencies in prop::collection::vec(0_u64..50, 1..40),
            outcomes in prop::collection::vec(0_u8..3, 1..40),
            limit in 0_u64..300,
        ) {
            let generator = any_of([repeat(read()).limit(limit).clients().boxed(), nemesis(repeat(read()).limit(20)).boxed()]);
            let (mut latencies, mut outcomes) = (latencies.into_iter().cycle(), outcomes.into_iter().cycle());
            let history = simulate(
                generator,
                concurrency,
                |_| latencies.next().unwrap(),
                |_| match outcomes.next().unwrap() {
                    0 => Outcome::Ok(Value::Int(1)),
                    1 => Outcome::Fail("no".into()),
                    _ => Outcome::Info("?".into()),
                },
            );
            prop_assert_eq!(history.len() as u64, 2 * (limit + 20));
            well_formed(&history, concurrency);
        }
    }
}
