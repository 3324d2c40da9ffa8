//! Ids that are generated must all be different: `generate`, which returns an id.
//!
//! With fewer than two ids the history is vacuous. Ids of operations whose outcome is unknown were never seen, so they cannot be
//! duplicates of anything.
//!
//! Source: the checker `unique-ids` of Jepsen (`jepsen.checker`).

use std::collections::BTreeMap;

use keelhaul_history::{RawValue, Value};
use serde_json::{Map, json};

use crate::in_flight::Span;
use crate::interner::Interner;
use crate::objects::Misfit;
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use crate::workload::Workload;

use super::calls::{Checker, End, Keyed};
use super::tell::{self, LISTED_MAX};

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: UniqueIds::NAME,
    what: "generate: all ids are different",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Keyed::<UniqueIds>::new(()))),
};

/// The anomaly's name.
pub const ANOMALY: &str = "duplicate";

/// The ids that were given out.
#[derive(Debug, Default)]
pub struct UniqueIds {
    attempted: usize,
    acknowledged: usize,
    interner: Interner,
    ids: Vec<Value>,
    /// The operation that returned each id first.
    first: Vec<Span>,
    /// By number of the id: the second operation that returned it, and how many did.
    again: BTreeMap<u32, (Span, usize)>,
}

impl Checker for UniqueIds {
    const NAME: &'static str = "unique-ids";
    const KNOWN: &'static str = "a generator of ids has generate";
    type Options = ();
    type Call = ();

    fn new((): &()) -> Self {
        Self::default()
    }

    fn invoke(&mut self, _span: &Span, f: &str, _value: RawValue<'_>) -> Result<(), Misfit> {
        if f != "generate" {
            return Err(Misfit::Function);
        }
        self.attempted += 1;
        Ok(())
    }

    fn complete(&mut self, (): (), span: &Span, end: End<'_>) -> Result<(), Misfit> {
        let End::Ok(value) = end else { return Ok(()) };
        self.acknowledged += 1;
        let id = self.interner.intern_raw(value, &mut self.ids);
        if id as usize == self.first.len() {
            self.first.push(*span);
        } else {
            self.again.entry(id).or_insert((*span, 1)).1 += 1;
        }
        Ok(())
    }

    fn finish(self) -> Check {
        let ids = count(self.acknowledged, "id");
        let mut check = Check::new(Self::NAME, Verdict::Valid, String::new());
        check.details = self.details();
        if let Some(id) = self.again.keys().next() {
            check.verdict = Verdict::Invalid;
            check.reason = format!("{} of {ids} returned more than once", self.again.len());
            check.anomalies = vec![ANOMALY.into()];
            check.evidence = Some(self.evidence(*id));
        } else if self.acknowledged < 2 {
            check.verdict = Verdict::Vacuous;
            check.reason = format!("{ids} returned: there is nothing that could be the same");
        } else {
            check.reason = format!("{ids} returned, all different");
        }
        check
    }
}

impl UniqueIds {
    fn details(&self) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        details.insert("attempted-count".into(), self.attempted.into());
        details.insert("acknowledged-count".into(), self.acknowledged.into());
        details.insert("duplicated-count".into(), self.again.len().into());
        if !self.again.is_empty() {
            let mut most: Vec<_> =
                self.again.iter().map(|(id, (_, times))| (*times, *id)).collect();
            most.sort_by_key(|(times, id)| (std::cmp::Reverse(*times), *id));
            let named = most.into_iter().take(LISTED_MAX);
            let named = named.map(|(times, id)| json!([tell::json(&self.ids[id as usize]), times]));
            details.insert("duplicated".into(), named.collect());
        }
        if let (Some(least), Some(most)) = (self.ids.iter().min(), self.ids.iter().max()) {
            details.insert("range".into(), json!([tell::json(least), tell::json(most)]));
        }
        details
    }

    fn evidence(&self, id: u32) -> Evidence {
        let (first, (second, times)) = (&self.first[id as usize], &self.again[&id]);
        let name = &self.ids[id as usize];
        let label = format!("generate -> {name}");
        let words = vec![format!(
            "Process {}'s generate and process {}'s both returned {name}; {times} did in all.",
            first.process, second.process
        )];
        let ops = vec![first.shown(label.clone()), second.shown(label)];
        tell::evidence(ops, vec![second.call], true, words)
    }
}
