//! What breaks a promise, as operations and the reasons that link them.

use std::collections::VecDeque;

use super::order::{NONE, Sessions, Sources, is_op};

/// A history in which it is settled who found whose value.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The operations.
    pub sessions: &'a Sessions<'a>,
    /// What each found; [`OPEN`](super::order::OPEN) promises nothing.
    pub sources: &'a Sources,
}

impl Known<'_> {
    /// The operation whose value it found, or [`NONE`].
    #[must_use]
    pub fn found(&self, op: u32) -> u32 {
        let source = self.sources[op as usize];
        if is_op(source) { source } else { NONE }
    }
}

/// Why one operation comes before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A process did the one before the other.
    Session,
    /// The later one found what the earlier one left.
    Found,
    /// The reader, which comes after the earlier write as `seen` shows, found what the later write left: so the later
    /// one is the later one.
    Replaced {
        /// Who found the later write's value.
        reader: u32,
        /// From the earlier write to the reader.
        seen: Vec<Step>,
    },
}

/// To this operation from the one before, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The operation.
    pub to: u32,
    /// Why it comes after the one before.
    pub link: Link,
}

/// A proof that a promise was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It found a value that nobody wrote.
    NotWritten {
        /// Who found it.
        read: u32,
    },
    /// Operations that come before themselves: the last step leads to where the first one starts.
    Cycle {
        /// The name of the anomaly.
        anomaly: &'static str,
        /// Round once.
        steps: Vec<Step>,
    },
    /// `read` found a value although it comes after a newer write of the key.
    Stale {
        /// The name of the anomaly.
        anomaly: &'static str,
        /// The write whose value it found; [`NONE`] for the initial value.
        old: u32,
        /// From the old write to the newer one; empty if the old value is the initial one.
        replaced: Vec<Step>,
        /// The newer write.
        new: u32,
        /// From the newer write to the read.
        known: Vec<Step>,
        /// Who found it.
        read: u32,
    },
    /// Whichever write each read found, some promise is broken.
    NoChoice,
}

impl Violation {
    /// The name of the anomaly, as in the literature where it has one.
    #[must_use]
    pub const fn anomaly(&self) -> &'static str {
        match self {
            Self::NotWritten { .. } => "thin-air-read",
            Self::Cycle { anomaly, .. } | Self::Stale { anomaly, .. } => anomaly,
            Self::NoChoice => "no-source-fits",
        }
    }

    /// Every operation that has a part in it.
    #[must_use]
    pub fn ops(&self) -> Vec<u32> {
        let mut ops = Vec::new();
        match self {
            Self::NotWritten { read } => ops.push(*read),
            Self::Cycle { steps, .. } => gather(steps, &mut ops),
            Self::Stale { old, replaced, new, known, read, .. } => {
                ops.extend([*old, *new, *read]);
                gather(replaced, &mut ops);
                gather(known, &mut ops);
            }
            Self::NoChoice => {}
        }
        ops.retain(|op| is_op(*op));
        ops.sort_unstable();
        ops.dedup();
        ops
    }
}

fn gather(steps: &[Step], ops: &mut Vec<u32>) {
    for Step { to, link } in steps {
        ops.push(*to);
        if let Link::Replaced { reader, seen } = link {
            ops.push(*reader);
            gather(seen, ops);
        }
    }
}

/// An order that the causes of an operation span: what comes right before each.
pub trait Order {
    /// Calls `visit` with every operation right before `op`, and why; for [`Link::Replaced`] `seen` is empty.
    fn before(&self, op: u32, visit: &mut dyn FnMut(u32, Link));
}

/// How much longer a step of this kind makes a story.
const fn cost(link: &Link) -> u32 {
    match link {
        Link::Session => 0,
        Link::Found => 1,
        Link::Replaced { .. } => 8,
    }
}

/// The steps from one of `from` to `to`, with as few changes of process as there can be; the first element is where it starts.
pub fn path(
    order: &dyn Order,
    from: &dyn Fn(u32) -> bool,
    to: u32,
    len: u32,
) -> Option<(u32, Vec<Step>)> {
    let mut reached: Vec<Option<(u32, Link)>> = vec![None; len as usize];
    let mut best = vec![u32::MAX; len as usize];
    let mut buckets: Vec<VecDeque<u32>> = vec![VecDeque::from([to])];
    best[to as usize] = 0;
    let mut at = 0;
    while at < buckets.len() {
        let Some(op) = buckets[at].pop_front() else {
            at += 1;
            continue;
        };
        if best[op as usize] < at as u32 {
            continue;
        }
        if from(op) && (op != to || reached[op as usize].is_some()) {
            return Some((op, walk(&reached, op, to)));
        }
        order.before(op, &mut |earlier, link| {
            let total = at as u32 + cost(&link);
            // A path may come back to where it ends, once.
            let round = earlier == to && reached[to as usize].is_none() && from(to);
            if total < best[earlier as usize] || round {
                best[earlier as usize] = total;
                reached[earlier as usize] = Some((op, link));
                if buckets.len() <= total as usize {
                    buckets.resize_with(total as usize + 1, VecDeque::new);
                }
                buckets[total as usize].push_back(earlier);
            }
        });
    }
    None
}

fn walk(reached: &[Option<(u32, Link)>], from: u32, to: u32) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut op = from;
    while let Some((next, link)) = &reached[op as usize] {
        steps.push(Step { to: *next, link: link.clone() });
        op = *next;
        if op == to {
            break;
        }
    }
    compress(steps)
}

/// Runs of steps within a session become one.
#[must_use]
pub fn compress(steps: Vec<Step>) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::new();
    for step in steps {
        match out.last_mut() {
            Some(last) if last.link == Link::Session && step.link == Link::Session => *last = step,
            _ => out.push(step),
        }
    }
    out
}

/// The order that sessions and reading span: happened before.
pub struct Happened<'a>(pub Known<'a>);

impl Order for Happened<'_> {
    fn before(&self, op: u32, visit: &mut dyn FnMut(u32, Link)) {
        let pred = self.0.sessions.pred(op);
        if pred != NONE {
            visit(pred, Link::Session);
        }
        let source = self.0.found(op);
        if source != NONE {
            visit(source, Link::Found);
        }
    }
}

/// The steps from `from` to `to` by what happened before what.
#[must_use]
pub fn happened(known: Known<'_>, from: u32, to: u32) -> Vec<Step> {
    let found = path(&Happened(known), &|op| op == from, to, known.sessions.len());
    found.map(|(_, steps)| steps).unwrap_or_default()
}
