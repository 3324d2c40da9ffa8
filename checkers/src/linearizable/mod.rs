//! Is every register linearizable?
//!
//! Herlihy & Wing, *Linearizability* (TOPLAS 12(3), 1990): each operation seems to take effect at one moment between
//! its invocation and its completion. The property is local, so each key is judged for itself, keys in parallel:
//! 1. where all written values differ and there is no cas, [`zones`] decide in near-linear time;
//! 2. otherwise [`necessary`] conditions settle most violations;
//! 3. otherwise [`search`] decides: all keys with a share of steps first, so that a hard one does not keep the
//!    others from being settled, then the rest for as long as the budget lasts.
//!
//! A violation is reduced by [`shrink`] and put in words by [`explain`].

pub(crate) mod cache;
mod explain;
mod necessary;
#[cfg(test)]
pub(crate) mod oracle_tests;
pub(crate) mod prepare;
pub(crate) mod search;
mod shrink;
pub(crate) mod slots;
mod zones;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::budget::{Budget, Exhausted};
use crate::columns::{RegisterKey, Registers};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
pub(crate) use explain::Wording;
use necessary::{Producers, impossible_reader};
use prepare::{Problem, Step};
use search::{Answer, Reached, Stop, Watch};
use shrink::Shrinker;
use zones::Zones;

/// The checker's name in reports.
pub const NAME: &str = "linearizable";

/// Steps a key may take in the first round, before those that grow with its length.
const FIRST_ROUND_STEPS: u64 = 1 << 16;

/// What deciding takes at most besides the history and the search's caches.
const WORK_BYTES_PER_OP: usize = 120;

/// Steps that the search of one prefix may take when evidence is cut to size: a prefix can be harder than the whole.
const PREFIX_STEPS: u64 = 1 << 20;

/// What is known of a key.
#[derive(Clone, Debug)]
enum Known {
    Legal,
    /// With the rows that show it.
    Illegal(Vec<u32>),
    /// The search found no order of what precedes this step, or of more.
    NoOrder(Reached),
    Open(Stop, Reached),
}

/// Judges all registers of a history.
#[must_use]
pub fn check(registers: &Registers, budget: &dyn Budget) -> Check {
    check_worded(registers, Wording::REGISTERS, budget)
}

/// As [`check`], for something else that is a register, told in its own words.
pub(crate) fn check_worded(registers: &Registers, wording: Wording, budget: &dyn Budget) -> Check {
    let judge = Judge {
        registers,
        wording,
        budget,
        bytes: AtomicUsize::new(0),
        found: AtomicBool::new(false),
    };
    let known = judge.run();
    let illegal: Vec<usize> = (0..known.len())
        .filter(|key| matches!(known[*key], Known::Illegal(_) | Known::NoOrder(_)))
        .collect();
    if illegal.is_empty() { judge.undecided(&known) } else { judge.invalid(&known, &illegal) }
}

struct Judge<'a> {
    registers: &'a Registers,
    wording: Wording,
    budget: &'a dyn Budget,
    /// Held by all searches together.
    bytes: AtomicUsize,
    /// A violation was found: no need to go on with the hard keys.
    found: AtomicBool,
}

/// Watches one search.
struct KeyWatch<'a> {
    judge: &'a Judge<'a>,
    steps_max: u64,
    bytes: usize,
    cancel: bool,
}

impl Watch for KeyWatch<'_> {
    fn look(&mut self, bytes: usize, steps: u64) -> Option<Stop> {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let others = self.judge.bytes.fetch_sub(before, Ordering::Relaxed) - before;
        self.judge.bytes.fetch_add(bytes, Ordering::Relaxed);
        if steps >= self.steps_max {
            return Some(Stop::Share);
        }
        if self.cancel && self.judge.found.load(Ordering::Relaxed) {
            return Some(Stop::Cancelled);
        }
        self.judge.budget.spent(others + bytes).map(Stop::Budget)
    }
}

impl Drop for KeyWatch<'_> {
    fn drop(&mut self) {
        self.judge.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Judge<'_> {
    fn run(&self) -> Vec<Known> {
        let keys = &self.registers.keys;
        let mut known: Vec<Known> = keys.par_iter().map(|key| self.first_round(key)).collect();
        let violated = known.iter().any(|k| matches!(k, Known::Illegal(_) | Known::NoOrder(_)));
        if violated {
            return known;
        }
        known.par_iter_mut().zip(keys).for_each(|(known, key)| {
            if matches!(known, Known::Open(Stop::Share, _)) {
                *known = self.search(key, u64::MAX);
                if matches!(known, Known::NoOrder(_)) {
                    self.found.store(true, Ordering::Relaxed);
                }
            }
        });
        known
    }

    fn first_round(&self, key: &RegisterKey) -> Known {
        if let Some(why) = self.budget.room(key.ops.len() * WORK_BYTES_PER_OP) {
            return Known::Open(Stop::Budget(why), Reached::default());
        }
        match zones::decide(&key.ops, key.values.len()) {
            Zones::Legal => return Known::Legal,
            Zones::Illegal(rows) => return Known::Illegal(rows),
            Zones::NotApplicable => {}
        }
        let producers = Producers::new(&key.ops, key.values.len());
        if let Some(row) = impossible_reader(&key.ops, &producers) {
            let op = &key.ops[row as usize];
            let hider = producers.hider_before(op.call).map(|(_, row)| row);
            return Known::Illegal(hider.into_iter().chain([row]).collect());
        }
        drop(producers);
        self.search(key, FIRST_ROUND_STEPS + 4 * key.ops.len() as u64)
    }

    fn search(&self, key: &RegisterKey, steps_max: u64) -> Known {
        if let Some(why) = self.budget.spent(self.bytes.load(Ordering::Relaxed)) {
            return Known::Open(Stop::Budget(why), Reached::default());
        }
        let problem = Problem::new(&key.ops, key.values.len());
        let cancel = steps_max == u64::MAX;
        let mut watch = KeyWatch { judge: self, steps_max, bytes: 0, cancel };
        match search::search(&problem, false, &mut watch) {
            (Answer::Legal, _) => Known::Legal,
            (Answer::Illegal, reached) => Known::NoOrder(reached),
            (Answer::Stopped(stop), reached) => Known::Open(stop, reached),
        }
    }

    /// Every key is legal or open.
    fn undecided(&self, known: &[Known]) -> Check {
        let keys = &self.registers.keys;
        let open: Vec<usize> =
            (0..known.len()).filter(|key| matches!(known[*key], Known::Open(..))).collect();
        let Some(hardest) = open.iter().copied().max_by_key(|key| keys[*key].ops.len()) else {
            let reason = format!(
                "every one of {} has an order of its operations that explains all results ({})",
                count(keys.len(), "key"),
                count(self.registers.op_count(), "operation")
            );
            return Check::new(NAME, Verdict::Valid, reason);
        };
        let Known::Open(stop, reached) = &known[hardest] else { unreachable!("it is open") };
        let reason = format!(
            "{}: {} of {} are settled and legal; {}",
            stop_words(*stop),
            keys.len() - open.len(),
            count(keys.len(), "key"),
            self.obstacle(&keys[hardest], reached)
        );
        Check::new(NAME, Verdict::Unknown, reason)
    }

    /// How far the search of `key` came, and what it could not pass.
    fn obstacle(&self, key: &RegisterKey, reached: &Reached) -> String {
        let name = key_name(key);
        let problem = Problem::new(&key.ops, key.values.len());
        let mut pending: Vec<u32> = Vec::new();
        let mut returned = 0;
        for step in &problem.steps[..reached.step] {
            match *step {
                Step::Call(id) => pending.push(id),
                Step::Return(id) | Step::Expire(id) => {
                    pending.retain(|other| *other != id);
                    returned += usize::from(matches!(step, Step::Return(_)));
                }
            }
        }
        if pending.is_empty() {
            return format!("{name} ({}) was not searched", count(problem.completed, "operation"));
        }
        let crashed = pending.iter().filter(|id| problem.item(**id).crashed).count();
        let first = pending.iter().map(|id| problem.item(*id).row).min().unwrap_or(0);
        let first = &key.ops[first as usize];
        format!(
            "{name}: {returned} of {} placed, then a burst of {} pending together ({crashed} with unknown outcome), \
             the first begun at event {} ({}.{:03} s)",
            count(problem.completed, "completed operation"),
            count(pending.len(), "operation"),
            first.call,
            first.start_ns / 1_000_000_000,
            first.start_ns / 1_000_000 % 1000,
        )
    }

    fn invalid(&self, known: &[Known], illegal: &[usize]) -> Check {
        let keys = &self.registers.keys;
        let open = known.iter().filter(|k| matches!(k, Known::Open(..))).count();
        // The key that is shown: the one that is known to be illegal first.
        let shown =
            illegal.iter().copied().min_by_key(|key| (self.moment(*key, &known[*key]), *key));
        let shown = shown.expect("some key is illegal");
        let key = &keys[shown];
        let evidence = self.evidence(key, &known[shown]);
        let mut reason =
            format!("{} has no order of its operations that explains all results", key_name(key));
        if illegal.len() > 1 {
            reason += &format!("; nor have {} more", count(illegal.len() - 1, "key"));
        }
        if open > 0 {
            reason += &format!("; {} not decided", count(open, "key"));
        }
        Check {
            anomalies: vec![explain::ANOMALY.into()],
            evidence: Some(evidence),
            ..Check::new(NAME, Verdict::Invalid, reason)
        }
    }

    /// Position by which, as far as is known without more work, the key has no order.
    fn moment(&self, key: usize, known: &Known) -> u32 {
        let ops = &self.registers.keys[key].ops;
        match known {
            Known::Illegal(rows) => {
                let ends = rows.iter().map(|row| &ops[*row as usize]).filter(|op| op.completed());
                ends.map(|op| op.ret).max().unwrap_or(0)
            }
            Known::NoOrder(reached) => {
                let problem = Problem::new(ops, self.registers.keys[key].values.len());
                match problem.steps.get(reached.step) {
                    Some(Step::Return(id)) => ops[problem.item(*id).row as usize].ret,
                    _ => 0,
                }
            }
            Known::Legal | Known::Open(..) => u32::MAX,
        }
    }

    fn evidence(&self, key: &RegisterKey, known: &Known) -> Evidence {
        let mut shrinker = Shrinker::new(&key.ops, key.values.len(), self.budget);
        let shrunk = match known {
            Known::Illegal(rows) => shrinker.shrink(rows),
            Known::NoOrder(reached) => {
                let last_ret = self.illegal_prefix(key, reached);
                shrinker.shrink_prefix(last_ret)
            }
            Known::Legal | Known::Open(..) => None,
        };
        shrunk
            .map_or_else(|| whole_key(key), |shrunk| explain::evidence(key, &shrunk, self.wording))
    }

    /// The return of the operation that completes the shortest illegal prefix, as far as the budget lets it be found.
    fn illegal_prefix(&self, key: &RegisterKey, reached: &Reached) -> u32 {
        let problem = Problem::new(&key.ops, key.values.len());
        let returned =
            problem.steps[..reached.step].iter().filter(|s| matches!(s, Step::Return(_))).count();
        let mut rets: Vec<u32> =
            key.ops.iter().filter(|op| op.completed()).map(|op| op.ret).collect();
        rets.sort_unstable();
        let (mut legal, mut illegal) = (returned, rets.len() - 1);
        while legal < illegal {
            let middle = legal.midpoint(illegal);
            match self.search(&cut(key, rets[middle]), PREFIX_STEPS) {
                Known::NoOrder(_) | Known::Illegal(_) => illegal = middle,
                Known::Legal => legal = middle + 1,
                // The search stopped near here: more likely than the end of the history.
                Known::Open(..) => return rets[legal],
            }
        }
        rets[illegal]
    }
}

/// What was known when the operation that returned at `last_ret` did.
fn cut(key: &RegisterKey, last_ret: u32) -> RegisterKey {
    let begun = key.ops.iter().filter(|op| op.call < last_ret).copied();
    let ops = begun.filter_map(|mut op| {
        if op.ret > last_ret {
            op.ret = crate::columns::NEVER;
        }
        (op.completed() || op.produces().is_some()).then_some(op)
    });
    RegisterKey { key: key.key.clone(), ops: ops.collect(), values: key.values.clone() }
}

/// Where the budget ended before anything could be left out.
fn whole_key(key: &RegisterKey) -> Evidence {
    Evidence {
        key: key.key.as_ref().map(ToString::to_string),
        ops: Vec::new(),
        longest_order: Vec::new(),
        stuck: Vec::new(),
        minimal: false,
        edges: Vec::new(),
        explanation: vec![format!(
            "All orders of the {} were tried, and none explains the results; the budget ended before a smaller \
             part was found that shows it: not proved minimal.",
            count(key.ops.len(), "operation")
        )],
    }
}

fn key_name(key: &RegisterKey) -> String {
    key.key.as_ref().map_or_else(|| "the register".into(), |name| format!("key {name}"))
}

fn stop_words(stop: Stop) -> &'static str {
    match stop {
        Stop::Budget(Exhausted::Time) => "the time budget ended",
        Stop::Budget(Exhausted::Memory) => "the memory budget ended",
        Stop::Share | Stop::Cancelled => "the search was given up",
    }
}
