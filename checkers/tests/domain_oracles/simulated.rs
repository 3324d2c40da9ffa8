//! Small random histories of an object that may lie.

use std::fmt::Write as _;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// An object under test.
pub trait Object {
    /// What a client does next; whether its last operation was `acquire` and succeeded does matter to a lock.
    fn call(&mut self, rng: &mut ChaCha8Rng, holds: bool) -> (&'static str, String);

    /// The operation takes effect; none: it fails.
    fn apply(&mut self, rng: &mut ChaCha8Rng, f: &str, value: &str) -> Option<String>;
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Ok(String),
    Fail,
    Info,
    /// It never did.
    Open,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Op {
    pub process: u32,
    pub f: &'static str,
    pub value: String,
    pub call: usize,
    /// `usize::MAX` unless it is known to have ended, well or not.
    pub ret: usize,
    pub end: End,
}

impl Op {
    /// The result, if it succeeded.
    pub fn ok(&self) -> Option<&str> {
        match &self.end {
            End::Ok(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it certainly did not happen.
    pub fn failed(&self) -> bool {
        self.end == End::Fail
    }
}

/// A history: operations in order of invocation.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub ops: Vec<Op>,
    /// Index of the completion of those whose outcome is unknown.
    pub gave_up: Vec<Option<usize>>,
}

/// What a simulated history is like.
#[derive(Clone, Copy)]
pub struct Shape {
    pub ops: usize,
    pub threads: usize,
    /// Chances in a hundred that an operation fails, or ends with an unknown outcome.
    pub fail: u32,
    pub info: u32,
}

/// Plays a history; the seed decides everything.
pub fn play(seed: u64, shape: Shape, object: &mut dyn Object) -> Run {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut run = Run::default();
    let mut threads: Vec<Thread> = (0..shape.threads).map(Thread::new).collect();
    let mut clock = 0;
    for _ in 0..shape.ops * 4 {
        let at = rng.random_range(0..threads.len());
        let thread = &mut threads[at];
        let Some(flight) = thread.flight.take() else {
            if run.ops.len() < shape.ops {
                thread.flight = Some(begin(&mut run, clock, thread, shape, object, &mut rng));
                clock += 1;
            }
            continue;
        };
        end(&mut run, clock, flight, thread, object, &mut rng);
        clock += 1;
    }
    run
}

struct Thread {
    process: u32,
    step: u32,
    holds: bool,
    flight: Option<Flight>,
}

impl Thread {
    fn new(at: usize) -> Self {
        Self { process: at as u32, step: 100, holds: false, flight: None }
    }
}

struct Flight {
    op: usize,
    end: Fate,
    /// What came of it, if it took effect at once.
    early: Option<Option<String>>,
}

enum Fate {
    Ok,
    Fail,
    Info,
}

fn begin(
    run: &mut Run,
    call: usize,
    thread: &Thread,
    shape: Shape,
    object: &mut dyn Object,
    rng: &mut ChaCha8Rng,
) -> Flight {
    let (f, value) = object.call(rng, thread.holds);
    let chance = rng.random_range(0..100);
    let end = match chance {
        _ if chance < shape.fail => Fate::Fail,
        _ if chance < shape.fail + shape.info => Fate::Info,
        _ => Fate::Ok,
    };
    let early =
        (!matches!(end, Fate::Fail) && rng.random_bool(0.5)).then(|| object.apply(rng, f, &value));
    run.ops.push(Op { process: thread.process, f, value, call, ret: usize::MAX, end: End::Open });
    run.gave_up.push(None);
    Flight { op: run.ops.len() - 1, end, early }
}

fn end(
    run: &mut Run,
    ret: usize,
    flight: Flight,
    thread: &mut Thread,
    object: &mut dyn Object,
    rng: &mut ChaCha8Rng,
) {
    let op = &mut run.ops[flight.op];
    match flight.end {
        Fate::Fail => (op.ret, op.end) = (ret, End::Fail),
        Fate::Info => {
            if flight.early.is_none() && rng.random_bool(0.5) {
                object.apply(rng, op.f, &op.value);
            }
            op.end = End::Info;
            run.gave_up[flight.op] = Some(ret);
            thread.process += thread.step;
        }
        Fate::Ok => {
            let result = flight.early.unwrap_or_else(|| object.apply(rng, op.f, &op.value));
            (op.ret, op.end) = (ret, result.map_or(End::Fail, End::Ok));
        }
    }
    thread.holds = match (op.f, &op.end) {
        (_, End::Info) => false,
        ("acquire", End::Ok(_)) => true,
        ("release", End::Ok(_)) => false,
        _ => thread.holds,
    };
}

impl Run {
    /// The history of only these operations, by index of invocation; times stay.
    pub fn only(&self, calls: &[usize]) -> Self {
        let kept = |at: &usize| calls.contains(&self.ops[*at].call);
        let rows: Vec<usize> = (0..self.ops.len()).filter(kept).collect();
        Self {
            ops: rows.iter().map(|at| self.ops[*at].clone()).collect(),
            gave_up: rows.iter().map(|at| self.gave_up[*at]).collect(),
        }
    }

    /// As a file; an event a millisecond.
    pub fn jsonl(&self) -> String {
        let mut events: Vec<(usize, String)> = Vec::new();
        for (op, gave_up) in self.ops.iter().zip(&self.gave_up) {
            let mut event = |at: usize, kind: &str, value: &str| {
                let (process, f) = (op.process, op.f);
                events.push((
                    at,
                    format!(
                        "\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\",\"value\":{value}"
                    ),
                ));
            };
            event(op.call, "invoke", &op.value);
            match (&op.end, gave_up) {
                (End::Ok(value), _) => event(op.ret, "ok", value),
                (End::Fail, _) => event(op.ret, "fail", &op.value),
                (End::Info, Some(at)) => event(*at, "info", &op.value),
                _ => {}
            }
        }
        events.sort();
        let mut out = String::from("{\"keelhaul\":1}\n");
        for (index, (at, event)) in events.into_iter().enumerate() {
            writeln!(out, "{{\"index\":{index},\"time\":{},{event}}}", at * 1_000_000).unwrap();
        }
        out
    }

    /// Operations of a name that succeeded.
    pub fn done<'a>(&'a self, f: &'a str) -> impl Iterator<Item = (&'a Op, &'a str)> {
        self.ops.iter().filter(move |op| op.f == f).filter_map(|op| Some((op, op.ok()?)))
    }
}

/// One chance in `n`.
pub fn once_in(rng: &mut impl Rng, n: u32) -> bool {
    rng.random_ratio(1, n)
}

/// The numbers of a JSON list.
pub fn numbers(list: &str) -> Vec<i64> {
    let inner = list.trim_start_matches('[').trim_end_matches(']');
    inner.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect()
}
