//! Any other objects, all keys together, by search.

use std::collections::BTreeSet;

use super::fronts::{Entry, Fronts};
use super::{NAME, Watched, stopped, violation};
use crate::budget::Budget;
use crate::linearizable::search::{Answer, Reached, STEPS_PER_LOOK, Stop, Watch};
use crate::objects::{Model, Object, Operation};
use crate::verdict::{Check, Evidence, EvidenceOp, Verdict};
use crate::words::count;

/// Operations that evidence shows: so many that found a place, the last ones, and so many that found none.
const SHOWN: usize = 12;

/// Steps that a trial may take when evidence is cut to size; one that takes longer counts as one with an order.
const TRIAL_STEPS: u64 = 64 * STEPS_PER_LOOK;

/// Trials that evidence may take.
const TRIALS_MAX: usize = 200;

/// An operation on one of the objects.
type On<M> = (u32, Operation<<M as Model>::Op>);

/// Judges all objects of a history together.
#[must_use]
pub fn check<M: Model>(objects: &[Object<M>], budget: &dyn Budget) -> Check {
    let mut all: Vec<On<M>> = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        all.extend(object.ops.iter().map(|op| (at as u32, op.clone())));
    }
    all.sort_unstable_by_key(|(_, op)| op.call);
    let (answer, reached) = search(objects, &all, &mut Watched(budget));
    let ops = count(all.len(), "operation");
    match answer {
        Answer::Legal => {
            let reason = format!(
                "one order of all {ops} on {} keeps each process' own order and explains all results",
                count(objects.len(), "object")
            );
            Check::new(NAME, Verdict::Valid, reason)
        }
        Answer::Illegal => {
            let reason = format!(
                "no order of all {ops} keeps each process' own order and explains all results"
            );
            violation(reason, evidence(objects, all, reached, budget))
        }
        Answer::Stopped(stop) => {
            let reason = format!(
                "{} before an order of {ops} was found or excluded; {} of them found a place at most",
                stopped(stop),
                reached.step
            );
            Check::new(NAME, Verdict::Unknown, reason)
        }
    }
}

fn search<M: Model>(
    objects: &[Object<M>],
    all: &[On<M>],
    watch: &mut dyn Watch,
) -> (Answer, Reached) {
    let models: Vec<&M> = objects.iter().map(|object| &object.model).collect();
    let entries: Vec<Entry<'_, M::Op>> = all
        .iter()
        .map(|(object, operation)| Entry {
            object: *object,
            op: &operation.op,
            call: operation.call,
            process: operation.process,
            completed: operation.completed(),
        })
        .collect();
    Fronts::new(&models, &entries).search(watch)
}

struct Trial;

impl Watch for Trial {
    fn look(&mut self, _bytes: usize, steps: u64) -> Option<Stop> {
        (steps >= TRIAL_STEPS).then_some(Stop::Share)
    }
}

/// What shows the violation, as far as it can be told: a single object if that has no order by itself, and as few of its
/// groups of operations as may be.
fn evidence<M: Model>(
    objects: &[Object<M>],
    mut all: Vec<On<M>>,
    mut reached: Reached,
    budget: &dyn Budget,
) -> Evidence {
    let mut trials = 0;
    let mut keep = |part: Vec<On<M>>, all: &mut Vec<On<M>>| {
        trials += 1;
        if part.len() == all.len() || trials > TRIALS_MAX || budget.spent(0).is_some() {
            return false;
        }
        let (answer, how_far) = search(objects, &part, &mut Trial);
        let illegal = answer == Answer::Illegal;
        if illegal {
            (*all, reached) = (part, how_far);
        }
        illegal
    };
    for object in 0..objects.len() as u32 {
        let alone = all.iter().filter(|(on, _)| *on == object).cloned().collect();
        if keep(alone, &mut all) {
            break;
        }
    }
    for object in all.iter().map(|(on, _)| *on).collect::<BTreeSet<u32>>() {
        let model = &objects[object as usize].model;
        let own = all.iter().filter(|(on, _)| *on == object);
        let groups: BTreeSet<u64> = own.filter_map(|(_, op)| model.group(&op.op)).collect();
        let mut kept = groups.clone();
        for group in groups {
            kept.remove(&group);
            if !keep(restricted(model, object, &all, &kept), &mut all) {
                kept.insert(group);
            }
        }
    }
    render(objects, &all, &reached)
}

/// What is left when of one object only these groups count.
fn restricted<M: Model>(
    model: &M,
    object: u32,
    all: &[On<M>],
    groups: &BTreeSet<u64>,
) -> Vec<On<M>> {
    let left = all.iter().filter_map(|(on, operation)| {
        if *on != object {
            return Some((*on, operation.clone()));
        }
        let op = model.restrict(&operation.op, groups)?;
        Some((*on, Operation { op, ..operation.clone() }))
    });
    left.collect()
}

fn render<M: Model>(objects: &[Object<M>], all: &[On<M>], reached: &Reached) -> Evidence {
    let placed: BTreeSet<usize> = reached.order.iter().map(|at| *at as usize).collect();
    let late = reached.order.len().saturating_sub(SHOWN);
    let order: Vec<usize> = reached.order[late..].iter().map(|at| *at as usize).collect();
    let rest: Vec<usize> =
        (0..all.len()).filter(|at| all[*at].1.completed() && !placed.contains(at)).collect();
    let stuck = &rest[..rest.len().min(SHOWN)];
    let mut shown: Vec<usize> = order.iter().chain(stuck).copied().collect();
    shown.sort_unstable();
    let on: BTreeSet<u32> = all.iter().map(|(on, _)| *on).collect();
    let index = |at: &usize| u64::from(all[*at].1.call);
    let key = |on: u32| objects[on as usize].key.as_ref().map(ToString::to_string);
    let mut explanation = vec![format!(
        "No order of these {} keeps each process' own order and explains what they returned.",
        count(all.len(), "operation")
    )];
    explanation.push(format!(
        "At most {} of them find a place together; the last of these are shown, and what comes next.",
        reached.order.len()
    ));
    explanation.push("A smaller part of the history may show the same: not proved minimal.".into());
    Evidence {
        key: on.first().filter(|_| on.len() == 1).and_then(|on| key(*on)),
        ops: shown
            .iter()
            .map(|at| {
                let (object, op) = &all[*at];
                let what = objects[*object as usize].model.describe(&op.op);
                let name = key(*object).filter(|_| on.len() > 1);
                EvidenceOp {
                    index: u64::from(op.call),
                    completion: op.completed().then_some(u64::from(op.ret)),
                    process: op.process.to_string(),
                    node: None,
                    label: name.map_or(what.clone(), |name| format!("{name}: {what}")),
                    start_ns: op.start_ns,
                    end_ns: op.completed().then_some(op.end_ns),
                }
            })
            .collect(),
        longest_order: order.iter().map(index).collect(),
        stuck: stuck.iter().map(index).collect(),
        minimal: false,
        edges: Vec::new(),
        explanation,
    }
}
