//! Which transactions depend on which, by what they read, and by what predicates did not match.

use super::versions::{Seen, To, Versions, finals};
use crate::graph::{Classes, Graph, GraphBuilder, Step, Times, realtime};
use crate::txn::columns::{F, NONE, Outcome, Txns, Writers};
use crate::txn::tell::{OTHERWISE, circle, in_time};
use crate::verdict::Evidence;

/// What everything is known from.
pub(super) struct Facts<'a> {
    pub txns: &'a Txns,
    pub writers: &'a Writers,
    pub versions: &'a Versions,
}

/// What a transaction saw of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub key: u32,
    pub seen: Seen,
    /// The read by a predicate that did not return the key, if it was one.
    pub unmatched: Option<u32>,
}

impl Look {
    /// The classes of what precedes the reader, and of what follows it.
    const fn classes(&self) -> (Classes, Classes) {
        if self.unmatched.is_some() || !self.seen.exact {
            (Classes::WRP, Classes::RWP)
        } else {
            (Classes::WR, Classes::RW)
        }
    }
}

/// A graph, and what is known of how it came about.
pub(super) struct Made {
    pub graph: Graph,
    /// Edges that are not of time.
    pub edges: usize,
    /// Reads of which it is not known which version they saw, where that matters.
    pub ambiguous: usize,
}

impl Facts<'_> {
    /// Whose version it is, if that took effect.
    fn writer(&self, version: u32) -> Option<u32> {
        let writer = self.writers.of(version)?;
        self.versions.committed[writer as usize].then_some(writer)
    }

    /// What a transaction that committed saw of keys that it had not written; a key that no version explains is left out.
    pub fn looks(&self, row: u32) -> Vec<Look> {
        let mut looks = Vec::new();
        if self.txns.txns[row as usize].outcome != Outcome::Ok {
            return looks;
        }
        let mut wrote: Vec<u32> = Vec::new();
        for op in self.txns.ops(row) {
            match op.f {
                F::Write => wrote.push(op.key),
                F::Read if !wrote.contains(&op.key) => {
                    looks.extend(self.item(row, op.key, op.value));
                }
                F::Match => {
                    let keys = (0..self.txns.keys.len() as u32).filter(|key| !wrote.contains(key));
                    looks.extend(keys.filter_map(|key| self.by_predicate(row, key, op.value)));
                }
                _ => {}
            }
        }
        looks
    }

    /// Where a transaction stands that saw of a key a version that fits.
    pub fn seen(&self, row: u32, key: u32, fits: impl Fn(u32) -> bool) -> Option<Seen> {
        self.versions.seen(key, |version| self.writers.of(version) == Some(row), fits)
    }

    fn item(&self, row: u32, key: u32, version: u32) -> Option<Look> {
        let seen = if version == NONE {
            self.seen(row, key, |version| version == NONE || self.is_deleted(version))
        } else {
            self.seen(row, key, |other| other == version)
        };
        // Nobody deleted it, and it was there from the beginning: it is from before that.
        let before = Seen { from: NONE, to: To::All, exact: true, ambiguous: false };
        let seen = seen.or_else(|| (version == NONE).then_some(before))?;
        Some(Look { key, seen, unmatched: None })
    }

    fn by_predicate(&self, row: u32, key: u32, matched: u32) -> Option<Look> {
        let read = &self.txns.matched[matched as usize];
        if let Some(version) = read.version(key) {
            return self.item(row, key, version);
        }
        let seen = self.seen(row, key, |version| !self.matches(matched, key, version))?;
        Some(Look { key, seen, unmatched: Some(matched) })
    }

    /// Whether a predicate matches a version.
    pub fn matches(&self, matched: u32, key: u32, version: u32) -> bool {
        let predicate = &self.txns.matched[matched as usize].predicate;
        predicate.matches(&self.txns.keys[key as usize], &self.txns.value(version))
    }

    pub fn is_deleted(&self, version: u32) -> bool {
        version != NONE && self.txns.value(version) == keelhaul_history::Value::Null
    }

    /// Dependencies and real time; the order of processes apart from that, if it is wanted.
    pub fn graph(&self, processes: bool) -> Made {
        let rows = self.txns.txns.len() as u32;
        let mut graph = GraphBuilder::new(rows);
        for key in 0..self.txns.keys.len() as u32 {
            let mut before = None;
            for writer in self.versions.line(key).filter_map(|version| self.writer(version)) {
                if let Some(before) = before.replace(writer) {
                    graph.edge(before, writer, Classes::WW);
                }
            }
        }
        let mut ambiguous = 0;
        for row in 0..rows {
            for look in self.looks(row) {
                ambiguous += usize::from(look.seen.ambiguous);
                self.edges(row, look, &mut graph);
            }
        }
        let edges = graph.len();
        let times = self.txns.txns.iter().map(|txn| Times {
            call: txn.span.call,
            ret: (txn.span.completed() && txn.outcome == Outcome::Ok).then_some(txn.span.ret),
        });
        realtime(&mut graph, &times.collect::<Vec<_>>());
        if processes {
            let mut last = vec![None; self.txns.processes.len()];
            for row in (0..rows).filter(|row| self.versions.committed[*row as usize]) {
                let session = self.txns.txns[row as usize].session as usize;
                if let Some(before) = last[session].replace(row) {
                    graph.edge(before, row, Classes::PROCESS);
                }
            }
        }
        Made { graph: graph.build(), edges, ambiguous }
    }

    fn edges(&self, row: u32, look: Look, graph: &mut GraphBuilder) {
        let (precedes, follows) = look.classes();
        if let Some(writer) = self.writer(look.seen.from) {
            graph.edge(writer, row, precedes);
        }
        self.later(look, |_, writer| graph.edge(row, writer, follows));
    }

    /// Calls `each` for versions that a look precedes, with their writers.
    fn later(&self, look: Look, mut each: impl FnMut(u32, u32)) {
        let mut told = |version: u32| {
            if let Some(writer) = self.writer(version) {
                each(version, writer);
            }
        };
        match look.seen.to {
            To::Nothing => {}
            To::Version(version) => told(version),
            To::All => self.versions.all(look.key).for_each(told),
        }
    }

    /// The evidence of a cycle.
    pub fn cycle(&self, steps: &[Step]) -> Evidence {
        circle(self.txns, steps, |step, from, to| {
            let found = match step.class {
                Classes::WW => self.overwrote(step, from, to),
                Classes::WR | Classes::WRP => self.saw(step, from, to),
                Classes::RW | Classes::RWP => self.missed(step, from, to),
                _ => Some(in_time(self.txns, step, from, to)),
            };
            found.unwrap_or_else(|| OTHERWISE.into())
        })
    }

    /// What a version is to people: a value, or none.
    fn told(&self, version: u32) -> String {
        if version == NONE || self.is_deleted(version) {
            return "nothing".into();
        }
        self.txns.value(version).to_string()
    }

    fn overwrote(&self, Step { from: a, to: b, .. }: Step, from: &str, to: &str) -> Option<String> {
        finals(self.txns, b).into_iter().find_map(|(key, version)| {
            let line: Vec<u32> = self.versions.line(key).collect();
            let at = line.iter().position(|other| *other == version)?.checked_sub(1)?;
            (self.writer(line[at]) == Some(a)).then(|| {
                let name = self.txns.key_name(key);
                let (earlier, later) = (self.told(line[at]), self.told(version));
                format!("{from} left {name} with {earlier}, and {to} with {later}, in this order")
            })
        })
    }

    fn saw(&self, Step { from: a, to: b, class }: Step, from: &str, to: &str) -> Option<String> {
        let looks = self.looks(b);
        let look = looks
            .iter()
            .find(|look| look.classes().0 == class && self.writer(look.seen.from) == Some(a))?;
        let name = self.txns.key_name(look.key);
        let left = self.told(look.seen.from);
        Some(match look.unmatched {
            None => format!("{to} read {name} with {left}, as {from} left it"),
            Some(matched) => format!(
                "{to}'s `{}` did not match {name}, and so saw it no earlier than with {left}, as {from} left it",
                self.txns.matched[matched as usize].label(self.txns)
            ),
        })
    }

    fn missed(&self, Step { from: a, to: b, class }: Step, from: &str, to: &str) -> Option<String> {
        for look in self.looks(a).into_iter().filter(|look| look.classes().1 == class) {
            let mut missed = None;
            self.later(look, |version, writer| {
                if writer == b {
                    missed = Some(version);
                }
            });
            let Some(missed) = missed else { continue };
            let (name, later) = (self.txns.key_name(look.key), self.told(missed));
            return Some(match look.unmatched {
                None => format!("{from} read {name} before {to} left it with {later}"),
                Some(matched) => format!(
                    "{from}'s `{}` did not match {name}, which it would have with the {later} that {to} left there",
                    self.txns.matched[matched as usize].label(self.txns)
                ),
            });
        }
        None
    }
}
