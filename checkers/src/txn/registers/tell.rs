//! Why one transaction must come before another, in words.

use std::collections::VecDeque;

use super::known::{Follows, Known, Source};
use super::view::View;
use super::weak::{Inferred, Level, Past};
use crate::columns::WordMap;
use crate::graph::{Classes, Step};
use crate::txn::columns::NONE;
use crate::txn::tell::{OTHERWISE, circle, evidence, in_time};
use crate::verdict::Evidence;

/// The evidence of a cycle of dependencies.
pub(super) fn cycle(view: &View<'_>, known: &Known, steps: &[Step]) -> Evidence {
    circle(view.txns, steps, |step, from, to| {
        let found = match step.class {
            Classes::WW => overwrote(view, known, step, from, to),
            Classes::WR => read_from(view, step, from, to),
            Classes::RW => missed(view, known, step, from, to),
            _ => Some(in_time(view.txns, step, from, to)),
        };
        found.unwrap_or_else(|| OTHERWISE.into())
    })
}

fn read_from(view: &View<'_>, step: Step, from: &str, to: &str) -> Option<String> {
    let read = view.reads(step.to).iter().find(|read| read.writer == step.from)?;
    let (name, value) = (view.txns.key_name(read.key), view.txns.value(read.version));
    Some(format!("{to} read {name} with {value}, which {from} wrote"))
}

fn wrote(view: &View<'_>, version: u32, row: u32) -> bool {
    version != NONE && view.writers.of(version) == Some(row)
}

fn overwrote(view: &View<'_>, known: &Known, step: Step, from: &str, to: &str) -> Option<String> {
    let follows = known.follows.iter().find(|f| {
        f.source != Source::WritesFollowReads
            && wrote(view, f.earlier, step.from)
            && wrote(view, f.later, step.to)
    })?;
    let name = view.txns.key_name(follows.key);
    let (earlier, later) = (view.txns.value(follows.earlier), view.txns.value(follows.later));
    let since = follows_since(view, follows);
    Some(format!("{from} wrote {earlier} to {name} before {to} wrote {later}, {since}"))
}

fn missed(view: &View<'_>, known: &Known, step: Step, from: &str, to: &str) -> Option<String> {
    for read in view.reads(step.from) {
        let name = view.txns.key_name(read.key);
        if read.version == NONE {
            let Some(version) = view.write_of(step.to, read.key) else { continue };
            let value = view.txns.value(version);
            return Some(format!(
                "{from} read {name} before anything was written to it, and so without {value}, which {to} wrote there"
            ));
        }
        let follows = known.follows.iter().find(|f| {
            (f.key, f.earlier) == (read.key, read.version) && wrote(view, f.later, step.to)
        });
        if let Some(follows) = follows {
            let (saw, next) = (view.txns.value(read.version), view.txns.value(follows.later));
            let since = follows_since(view, follows);
            return Some(format!(
                "{from} read {name} with {saw}, and so without {next}, which {to} wrote there later, {since}"
            ));
        }
    }
    None
}

fn follows_since(view: &View<'_>, follows: &Follows) -> String {
    let (first, second) = follows.shown;
    let call = |row: u32| view.txns.txns[row as usize].span.call;
    let keys = |promise: &str| {
        format!(
            "since keys are said to be {promise}, and the transaction that began at event {} had done with the one before that at event {} began",
            call(first),
            call(second)
        )
    };
    match follows.source {
        Source::WritesFollowReads => "having read the former".into(),
        Source::Numbered => "as the store numbers them".into(),
        Source::Linearizable => keys("linearizable"),
        Source::Sequential => keys("sequential"),
    }
}

/// Versions of a key that would come before themselves.
pub(super) fn cyclic_versions(view: &View<'_>, key: u32, follows: &[Follows]) -> Evidence {
    /// Steps that are told.
    const STEPS_MAX: usize = 12;

    let name = view.txns.key_name(key);
    let told = follows.iter().take(STEPS_MAX).map(|f| {
        let value = |version: u32| view.txns.value(version);
        let (earlier, later) = (value(f.earlier), value(f.later));
        format!("{name} held {earlier} before {later}, {}.", follows_since(view, f))
    });
    let mut words: Vec<String> = told.collect();
    words.push(
        "So a value came before itself, or the initial one after another, which cannot be.".into(),
    );
    let shown = follows.iter().take(STEPS_MAX);
    let mut rows: Vec<u32> = shown.flat_map(|f| [f.shown.0, f.shown.1]).collect();
    rows.sort_unstable();
    rows.dedup();
    evidence(view.txns, &rows, words)
}

impl Past<'_> {
    /// The evidence of a circle of what was read and what is inferred of a level.
    pub fn circle(&self, level: Level, steps: &[Step]) -> Evidence {
        let mut reasons: WordMap<(u32, u32), Inferred> = WordMap::default();
        self.inferred(level, |inferred| {
            let step = (inferred.seen, inferred.writer);
            let told = |s: &Step| s.class == Classes::WW && (s.from, s.to) == step;
            if steps.iter().any(told) {
                reasons.entry(step).or_insert(inferred);
            }
        });
        let mut told = circle(self.view.txns, steps, |step, from, to| {
            let found = match (step.class, reasons.get(&(step.from, step.to))) {
                (Classes::WW, Some(inferred)) => {
                    Some(self.inferred_since(level, *inferred, from, to))
                }
                (Classes::WR, _) => read_from(self.view, step, from, to),
                _ => Some(in_time(self.view.txns, step, from, to)),
            };
            found.unwrap_or_else(|| OTHERWISE.into())
        });
        // Those who had seen what they say are evidence too.
        let mut rows: Vec<u32> = steps.iter().map(|step| step.from).collect();
        let reasons = steps.iter().filter_map(|step| reasons.get(&(step.from, step.to)));
        for inferred in reasons {
            rows.extend(self.path(level, *inferred).iter().map(|step| step.to));
        }
        rows.sort_unstable();
        rows.dedup();
        told.ops = evidence(self.view.txns, &rows, Vec::new()).ops;
        told
    }

    fn inferred_since(&self, level: Level, inferred: Inferred, from: &str, to: &str) -> String {
        let name = self.view.txns.key_name(inferred.key);
        let reader = self.reader(level, inferred, from);
        format!("both wrote {name}, and {reader} read it from {to}")
    }

    /// Who the reader is, and how it had seen what it missed.
    fn reader(&self, level: Level, inferred: Inferred, seen: &str) -> String {
        let txn = |row: u32| {
            let process = self.view.txns.txns[row as usize].span.process;
            format!("process {process}'s `{}`", self.view.txns.label(row))
        };
        let path = self.path(level, inferred);
        let between = path.iter().map(|step| step.to).filter(|row| *row != inferred.reader);
        let through: Vec<String> = between.map(txn).collect();
        let through = match &through[..] {
            [] => String::new(),
            through => format!(" through {}", through.join(", ")),
        };
        format!("{}, which had seen {seen}{through},", txn(inferred.reader))
    }

    /// How the reader had seen the writer: a shortest way through reads and sessions.
    fn path(&self, level: Level, inferred: Inferred) -> Vec<Step> {
        let view = self.view;
        let (from, to) = (inferred.seen, inferred.reader);
        if level != Level::Causal {
            let class = Classes::WR;
            return vec![Step { from, to, class }];
        }
        let mut next: WordMap<u32, Step> = WordMap::default();
        let mut queue = VecDeque::from([to]);
        while let Some(row) = queue.pop_front().filter(|_| !next.contains_key(&from)) {
            let reads = view.reads(row).iter().filter(|read| read.writer != NONE);
            let reads = reads.map(|read| (read.writer, Classes::WR));
            let before = view.before(row).map(|before| (before, Classes::PROCESS));
            for (earlier, class) in before.into_iter().chain(reads) {
                if earlier != to && !next.contains_key(&earlier) {
                    next.insert(earlier, Step { from: earlier, to: row, class });
                    queue.push_back(earlier);
                }
            }
        }
        let mut path = Vec::new();
        let mut at = from;
        while let Some(step) = next.get(&at).filter(|_| at != to) {
            path.push(*step);
            at = step.to;
        }
        path
    }

    /// The evidence of a read of the initial version by somebody who had seen a writer of the key.
    pub fn missed_initial(&self, level: Level, inferred: Inferred) -> Evidence {
        let view = self.view;
        let name = view.txns.key_name(inferred.key);
        let writer = inferred.seen;
        let process = view.txns.txns[writer as usize].span.process;
        let seen = format!("process {process}'s `{}`", view.txns.label(writer));
        let reader = self.reader(level, inferred, &seen);
        let words =
            format!("The {reader} found nothing in {name}, which that transaction had written.");
        let mut rows: Vec<u32> = self.path(level, inferred).iter().map(|step| step.to).collect();
        rows.push(writer);
        rows.sort_unstable();
        evidence(view.txns, &rows, vec![words.replacen("The process", "Process", 1)])
    }
}
