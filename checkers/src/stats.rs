//! What happened at all: operations by function and outcome.
//!
//! A history in which nothing of some kind ever succeeded proves nothing about that kind, so it is vacuous. Where a
//! failed cas promises that the store compared and found another value, it is an answer as good as success.
//!
//! Jepsen's checker `stats` calls the same invalid, though its documentation says unknown. It is neither: no promise is broken
//! where a store refuses or times out, and nothing was left undecided; there is just nothing that proves anything.

use std::collections::BTreeMap;

use keelhaul_history::import::CAS_MISMATCH;
use keelhaul_history::{Kind, Process, RawOp};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::verdict::{Check, Verdict};

/// The checker's name in reports.
pub const NAME: &str = "stats";

/// Client operations by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// Begun.
    pub invoked: u64,
    /// Certainly happened.
    pub ok: u64,
    /// Certainly did not.
    pub fail: u64,
    /// Nobody knows; those that never completed included.
    pub info: u64,
}

/// Collects [`Outcomes`] in one pass.
#[derive(Debug, Default)]
pub struct Stats {
    by_f: Vec<Function>,
    misses: bool,
}

#[derive(Debug, Default)]
struct Function {
    name: Box<str>,
    outcomes: Outcomes,
    /// Failures that are answers.
    missed: u64,
}

impl Stats {
    /// From now on a failed cas that names a mismatch as its reason is an answer.
    pub const fn heed_misses(&mut self) {
        self.misses = true;
    }

    /// Takes the next event.
    pub fn observe(&mut self, op: &RawOp<'_>) {
        if op.process == Process::Nemesis {
            return;
        }
        let at = self.by_f.iter().position(|f| *f.name == *op.f).unwrap_or_else(|| {
            self.by_f.push(Function { name: op.f.into(), ..Function::default() });
            self.by_f.len() - 1
        });
        let Function { outcomes, missed, .. } = &mut self.by_f[at];
        let miss = self.misses && op.error.as_deref() == Some(CAS_MISMATCH);
        *missed += u64::from(miss);
        match op.kind {
            Kind::Invoke => outcomes.invoked += 1,
            Kind::Ok => outcomes.ok += 1,
            Kind::Fail => outcomes.fail += 1,
            Kind::Info => outcomes.info += 1,
        }
    }

    /// The counts by function, in alphabetical order.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, Outcomes> {
        let closed = |o: &Outcomes| {
            let unfinished = o.invoked.saturating_sub(o.ok + o.fail + o.info);
            Outcomes { info: o.info + unfinished, ..*o }
        };
        self.by_f.iter().map(|f| (f.name.to_string(), closed(&f.outcomes))).collect()
    }

    /// The answer.
    #[must_use]
    pub fn check(&self) -> Check {
        let counts = self.counts();
        let answered = |name: &str| self.by_f.iter().any(|f| *f.name == *name && f.missed > 0);
        let never: Vec<String> = counts
            .iter()
            .filter(|(f, o)| o.invoked > 0 && o.ok == 0 && !answered(f))
            .map(|(f, o)| format!("none of {} {f} operations succeeded", o.invoked))
            .collect();
        let ok: u64 = counts.values().map(|o| o.ok).sum();
        let invoked: u64 = counts.values().map(|o| o.invoked).sum();
        let (verdict, reason) = if invoked == 0 {
            (Verdict::Vacuous, "no client ever invoked an operation".into())
        } else if never.is_empty() {
            (Verdict::Valid, format!("{ok} of {invoked} operations succeeded, some of every kind"))
        } else {
            (Verdict::Vacuous, never.join("; "))
        };
        Check { details: details(&counts), ..Check::new(NAME, verdict, reason) }
    }
}

/// The counters under Jepsen's names, of all operations and of each function.
fn details(counts: &BTreeMap<String, Outcomes>) -> Map<String, Value> {
    let put = |map: &mut Map<String, Value>, o: &Outcomes| {
        for (name, n) in [
            ("count", o.invoked),
            ("ok-count", o.ok),
            ("fail-count", o.fail),
            ("info-count", o.info),
        ] {
            map.insert(name.into(), n.into());
        }
        // Of one in a million a reader still sees that there was one.
        let fraction = if o.invoked == 0 { 0.0 } else { o.ok as f64 / o.invoked as f64 };
        map.insert("ok-fraction".into(), ((fraction * 1e6).round() / 1e6).into());
    };
    let mut all = Outcomes::default();
    let mut by_f = Map::new();
    for (f, outcomes) in counts {
        all.invoked += outcomes.invoked;
        all.ok += outcomes.ok;
        all.fail += outcomes.fail;
        all.info += outcomes.info;
        let mut of_f = Map::new();
        put(&mut of_f, outcomes);
        by_f.insert(f.clone(), of_f.into());
    }
    let mut details = Map::new();
    put(&mut details, &all);
    details.insert("by-f".into(), by_f.into());
    details
}
