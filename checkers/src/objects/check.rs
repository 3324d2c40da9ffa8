//! All objects of a history, one answer.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::components::components;
use super::explain;
use super::model::{Model, Operation, Shortcut, Witness};
use super::search::Problem;
use super::shrink::Shrinker;
use super::vocabulary::Object;
use crate::budget::{Budget, Exhausted};
use crate::columns::NEVER;
use crate::linearizable::NAME;
use crate::linearizable::search::{Answer, Reached, Stop, Watch};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;

/// Steps a component may take in the first round, before those that grow with its length.
const FIRST_ROUND_STEPS: u64 = 1 << 16;

/// What deciding takes at most besides the history and the search's caches.
const WORK_BYTES_PER_OP: usize = 120;

/// Steps that the search of one prefix may take when evidence is cut to size.
const PREFIX_STEPS: u64 = 1 << 20;

/// What is known of a component.
#[derive(Debug)]
enum Known {
    Legal,
    /// With what shows it.
    Illegal(Witness),
    /// The search found no order of what precedes the place that it reached, or of more.
    NoOrder(Reached),
    Open(Stop, Reached),
}

impl Known {
    const fn is_violation(&self) -> bool {
        matches!(self, Self::Illegal(_) | Self::NoOrder(_))
    }
}

/// An object's independent part.
struct Component<'a, M: Model> {
    object: &'a Object<M>,
    ops: Cow<'a, [Operation<M::Op>]>,
}

/// Judges all objects of a history.
#[must_use]
pub fn check<M: Model + Send>(objects: &[Object<M>], budget: &dyn Budget) -> Check {
    let ops: usize = objects.iter().map(|object| object.ops.len()).sum();
    // What cannot be taken apart for want of room is judged whole.
    let room = budget.room(ops * WORK_BYTES_PER_OP).is_none();
    let whole = |object| vec![Component { object, ops: Cow::Borrowed(&object.ops) }];
    let split: Vec<Vec<Component<'_, M>>> =
        objects.par_iter().map(|object| if room { split(object) } else { whole(object) }).collect();
    let components: Vec<Component<'_, M>> = split.into_iter().flatten().collect();
    let judge = Judge {
        components,
        objects: objects.len(),
        budget,
        bytes: AtomicUsize::new(0),
        found: AtomicBool::new(false),
    };
    let known = judge.run();
    if known.iter().any(Known::is_violation) {
        judge.invalid(&known)
    } else {
        judge.undecided(&known)
    }
}

fn split<M: Model>(object: &Object<M>) -> Vec<Component<'_, M>> {
    let lists = components(&object.model, &object.ops);
    if lists.len() <= 1 {
        return vec![Component { object, ops: Cow::Borrowed(&object.ops) }];
    }
    let parts = lists.into_iter().map(|rows| {
        let ops = rows.into_iter().map(|row| object.ops[row as usize].clone()).collect();
        Component { object, ops: Cow::Owned(ops) }
    });
    parts.collect()
}

struct Judge<'a, M: Model> {
    components: Vec<Component<'a, M>>,
    objects: usize,
    budget: &'a dyn Budget,
    /// Held by all searches together.
    bytes: AtomicUsize,
    /// A violation was found: no need to go on with what is hard.
    found: AtomicBool,
}

/// Watches one search.
struct ComponentWatch<'a> {
    budget: &'a dyn Budget,
    all_bytes: &'a AtomicUsize,
    /// Set when the answer is not needed any more.
    cancel: Option<&'a AtomicBool>,
    steps_max: u64,
    bytes: usize,
}

impl Watch for ComponentWatch<'_> {
    fn look(&mut self, bytes: usize, steps: u64) -> Option<Stop> {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let others = self.all_bytes.fetch_sub(before, Ordering::Relaxed) - before;
        self.all_bytes.fetch_add(bytes, Ordering::Relaxed);
        if steps >= self.steps_max {
            return Some(Stop::Share);
        }
        if self.cancel.is_some_and(|found| found.load(Ordering::Relaxed)) {
            return Some(Stop::Cancelled);
        }
        self.budget.spent(others + bytes).map(Stop::Budget)
    }
}

impl Drop for ComponentWatch<'_> {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl<M: Model + Send> Judge<'_, M> {
    fn run(&self) -> Vec<Known> {
        let mut known: Vec<Known> =
            self.components.par_iter().map(|component| self.first_round(component)).collect();
        if known.iter().any(Known::is_violation) {
            return known;
        }
        known.par_iter_mut().zip(&self.components).for_each(|(known, component)| {
            if matches!(known, Known::Open(Stop::Share, _)) {
                *known = self.search(component, &component.ops, u64::MAX);
                if known.is_violation() {
                    self.found.store(true, Ordering::Relaxed);
                }
            }
        });
        known
    }

    fn first_round(&self, component: &Component<'_, M>) -> Known {
        if let Some(why) = self.budget.room(component.ops.len() * WORK_BYTES_PER_OP) {
            return Known::Open(Stop::Budget(why), Reached::default());
        }
        match component.object.model.shortcut(&component.ops) {
            Shortcut::Legal => Known::Legal,
            Shortcut::Illegal(witness) => Known::Illegal(witness),
            Shortcut::NotApplicable => {
                let steps = FIRST_ROUND_STEPS + 4 * component.ops.len() as u64;
                self.search(component, &component.ops, steps)
            }
        }
    }

    fn search(
        &self,
        component: &Component<'_, M>,
        ops: &[Operation<M::Op>],
        steps_max: u64,
    ) -> Known {
        if let Some(why) = self.budget.spent(self.bytes.load(Ordering::Relaxed)) {
            return Known::Open(Stop::Budget(why), Reached::default());
        }
        let mut watch = ComponentWatch {
            budget: self.budget,
            all_bytes: &self.bytes,
            cancel: (steps_max == u64::MAX).then_some(&self.found),
            steps_max,
            bytes: 0,
        };
        match Problem::new(&component.object.model, ops).search(false, &mut watch) {
            (Answer::Legal, _) => Known::Legal,
            (Answer::Illegal, reached) => Known::NoOrder(reached),
            (Answer::Stopped(stop), reached) => Known::Open(stop, reached),
        }
    }

    /// Every component is legal or open.
    fn undecided(&self, known: &[Known]) -> Check {
        let ops = self.components.iter().map(|component| component.ops.len()).sum();
        let open = |at: &usize| matches!(known[*at], Known::Open(..));
        let hardest = (0..known.len()).filter(open).max_by_key(|at| self.components[*at].ops.len());
        let Some(Known::Open(stop, reached)) = hardest.map(|at| &known[at]) else {
            let reason = format!(
                "every one of {} has an order of its operations that explains all results ({})",
                count(self.objects, "object"),
                count(ops, "operation")
            );
            return check_of(Verdict::Valid, reason, None);
        };
        let component = &self.components[hardest.expect("just found")];
        let stopped = match stop {
            Stop::Budget(Exhausted::Time) => "the time budget ended",
            Stop::Budget(Exhausted::Memory) => "the memory budget ended",
            Stop::Share | Stop::Cancelled => "the search was given up",
        };
        let settled = known.len() - (0..known.len()).filter(open).count();
        let reason = format!(
            "{stopped}: {settled} of {} settled and legal; {}",
            count(known.len(), "independent part"),
            obstacle(component, reached)
        );
        check_of(Verdict::Unknown, reason, None)
    }

    fn invalid(&self, known: &[Known]) -> Check {
        let illegal = |at: &usize| known[*at].is_violation();
        let open = known.iter().filter(|known| matches!(known, Known::Open(..))).count();
        // What is shown: what is known to be illegal first.
        let moment = |at: &usize| (moment(&self.components[*at], &known[*at]), *at);
        let shown = (0..known.len()).filter(illegal).min_by_key(moment);
        let shown = shown.expect("some component is illegal");
        let component = &self.components[shown];
        let mut reason = format!(
            "{} has no order of its operations that explains all results",
            explain::name(&component.object.key)
        );
        let more = (0..known.len()).filter(illegal).count() - 1;
        if more > 0 {
            reason += &format!("; nor have {}", count(more, "other part"));
        }
        if open > 0 {
            reason += &format!("; {} not decided", count(open, "part"));
        }
        let evidence = self.evidence(component, &known[shown]);
        check_of(Verdict::Invalid, reason, Some(evidence))
    }

    fn evidence(&self, component: &Component<'_, M>, known: &Known) -> Evidence {
        let object = component.object;
        match known {
            Known::Illegal(witness) => {
                let mut shrinker = Shrinker::new(&object.model, &component.ops, self.budget);
                let shrunk = shrinker.shrink(witness);
                explain::evidence(object, &component.ops, shrunk.as_ref(), &witness.words)
            }
            Known::NoOrder(reached) => {
                let ops = self.illegal_prefix(component, reached);
                let witness = all_of(&object.model, &ops);
                let mut shrinker = Shrinker::new(&object.model, &ops, self.budget);
                let shrunk = shrinker.shrink(&witness);
                explain::evidence(object, &ops, shrunk.as_ref(), &[])
            }
            Known::Legal | Known::Open(..) => unreachable!("only violations are shown"),
        }
    }

    /// What was known at the first return by which the history is illegal, as far as the budget lets it be found. That
    /// is not before the place that the search reached, but may be later: what was pending there counts in
    /// the prefix without its result.
    fn illegal_prefix(
        &self,
        component: &Component<'_, M>,
        reached: &Reached,
    ) -> Vec<Operation<M::Op>> {
        let model = &component.object.model;
        let whole = &component.ops[..];
        let from = Problem::new(model, whole).stuck_ret(reached).unwrap_or(0);
        let late = |op: &&Operation<M::Op>| op.completed() && op.ret >= from;
        let mut rets: Vec<u32> = whole.iter().filter(late).map(|op| op.ret).collect();
        rets.sort_unstable();
        let (mut legal, mut illegal) = (0, rets.len().saturating_sub(1));
        let mut probe = 0;
        while legal < illegal {
            match self.search(component, &cut(model, whole, rets[probe]), PREFIX_STEPS) {
                Known::NoOrder(_) | Known::Illegal(_) => illegal = probe,
                Known::Legal => legal = probe + 1,
                Known::Open(..) => break,
            }
            probe = legal.midpoint(illegal);
        }
        rets.get(illegal).map_or_else(|| whole.to_vec(), |ret| cut(model, whole, *ret))
    }
}

/// Position by which, as far as is known without more work, the component has no order.
fn moment<M: Model>(component: &Component<'_, M>, known: &Known) -> u32 {
    let ops = &component.ops;
    match known {
        Known::Illegal(witness) => {
            let ends =
                witness.rows.iter().map(|row| &ops[*row as usize]).filter(|op| op.completed());
            ends.map(|op| op.ret).max().unwrap_or(0)
        }
        Known::NoOrder(reached) => {
            Problem::new(&component.object.model, ops).stuck_ret(reached).unwrap_or(0)
        }
        Known::Legal | Known::Open(..) => u32::MAX,
    }
}

/// What was known when the operation that returned at `last_ret` did.
fn cut<M: Model>(model: &M, ops: &[Operation<M::Op>], last_ret: u32) -> Vec<Operation<M::Op>> {
    let begun = ops.iter().filter(|op| op.call < last_ret);
    let known = begun.map(|op| {
        if op.ret <= last_ret {
            return op.clone();
        }
        Operation { op: model.forget(&op.op), end_ns: 0, ret: NEVER, ..op.clone() }
    });
    known.filter(|op| op.completed() || !model.is_pure(&op.op)).collect()
}

/// Everything.
pub(super) fn all_of<M: Model>(model: &M, ops: &[Operation<M::Op>]) -> Witness {
    let mut groups = Vec::new();
    ops.iter().for_each(|op| model.groups(&op.op, &mut groups));
    groups.sort_unstable();
    groups.dedup();
    Witness { rows: (0..ops.len() as u32).collect(), groups, words: Vec::new() }
}

/// How far the search came, and what it could not pass.
fn obstacle<M: Model>(component: &Component<'_, M>, reached: &Reached) -> String {
    let name = explain::name(&component.object.key);
    let burst = Problem::new(&component.object.model, &component.ops).burst(reached);
    let completed = component.ops.iter().filter(|op| op.completed()).count();
    let Some(first) = burst.pending.iter().min() else {
        return format!("{name} ({}) was not searched", count(completed, "operation"));
    };
    let first = &component.ops[*first as usize];
    let crashed =
        burst.pending.iter().filter(|row| !component.ops[**row as usize].completed()).count();
    format!(
        "{name}: {} of {} placed, then a burst of {} pending together ({crashed} with unknown outcome), the first begun at \
         event {} ({}.{:03} s)",
        burst.returned,
        count(completed, "completed operation"),
        count(burst.pending.len(), "operation"),
        first.call,
        first.start_ns / 1_000_000_000,
        first.start_ns / 1_000_000 % 1000,
    )
}

fn check_of(verdict: Verdict, reason: String, evidence: Option<Evidence>) -> Check {
    let anomalies = evidence.iter().map(|_| explain::ANOMALY.to_string()).collect();
    Check { anomalies, evidence, ..Check::new(NAME, verdict, reason) }
}
