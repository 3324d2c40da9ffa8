//! A set that is read once, at the end: every `add` that was acknowledged must be in the last `read`, and nothing else
//! but what was tried.
//!
//! The last read is the one that completed last. An element is *lost* if an addition of it had been acknowledged when that
//! read began and it is not there; one that was acknowledged later proves nothing. It is *recovered* if it is there though no addition
//! was acknowledged, *unexpected* if nobody had begun to add it, an *aborted read* if all who tried had failed. Without a
//! read the history is vacuous. Earlier reads are not looked at: that is for `set-full`.
//!
//! Source: the checker `set` of Jepsen (`jepsen.checker`). It counts as lost what was acknowledged while the read ran, and as
//! recovered what failed.

use keelhaul_history::RawValue;
use serde_json::Map;

use crate::columns::NEVER;
use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::verdict::{Check, Verdict};
use crate::words::count;
use crate::workload::Workload;

use super::calls::{Checker, End, Keyed};
use super::elements::{Call, Double, Element, Elements};
use super::set_tale::{self, Fault, Tale};
use super::tell::{self, LISTED_MAX, seconds};

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: SetFinal::NAME,
    what: "add, and a read at the end that must have all",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Keyed::<SetFinal>::new(()))),
};

/// A set that is read at the end.
pub struct SetFinal {
    elements: Elements,
}

impl Checker for SetFinal {
    const NAME: &'static str = "set-final";
    const KNOWN: &'static str = "a set that is read as a whole has add and read";
    type Options = ();
    type Call = Call;

    fn new((): &()) -> Self {
        Self { elements: Elements::default() }
    }

    fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        self.elements.invoke(span, f, value)
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        self.elements.complete(call, span, end)
    }

    fn finish(self) -> Check {
        Found::new(&self.elements).check(&self.elements)
    }
}

/// Elements by what became of them.
#[derive(Debug, Default)]
struct Found {
    attempted: usize,
    acknowledged: usize,
    ok: usize,
    lost: Vec<u32>,
    recovered: Vec<u32>,
    unexpected: Vec<u32>,
    aborted: Vec<u32>,
    doubled: Vec<u32>,
}

impl Found {
    fn new(elements: &Elements) -> Self {
        let mut found = Self::default();
        let last = elements.reads.len().checked_sub(1).map(|last| last as u32);
        for (at, row) in elements.rows.iter().enumerate() {
            found.attempted += usize::from(row.attempted());
            found.acknowledged += usize::from(row.acked != NEVER);
            if let Some(last) = last {
                found.sort_in(at as u32, row, elements, last);
            }
        }
        let doubled = elements.doubles.iter().filter(|(_, double)| Some(double.last) == last);
        found.doubled = doubled.map(|(id, _)| *id).collect();
        found.doubled.sort_unstable();
        found
    }

    fn sort_in(&mut self, id: u32, row: &Element, elements: &Elements, last: u32) {
        let read = &elements.reads[last as usize];
        if !row.seen_by(last) {
            if row.acked < read.span.call {
                self.lost.push(id);
            }
            return;
        }
        match set_tale::phantom(row, elements, last) {
            Some(Fault::Aborted) => self.aborted.push(id),
            Some(_) => self.unexpected.push(id),
            None => {
                self.ok += 1;
                if row.acked == NEVER {
                    self.recovered.push(id);
                }
            }
        }
    }

    fn check(&self, elements: &Elements) -> Check {
        let faults = [
            (Fault::Lost, &self.lost),
            (Fault::Aborted, &self.aborted),
            (Fault::Unexpected, &self.unexpected),
            (Fault::Duplicate, &self.doubled),
        ];
        let broken: Vec<_> = faults.iter().filter(|(_, ids)| !ids.is_empty()).collect();
        let acknowledged = count(self.acknowledged, "acknowledged element");
        let mut check = Check::new(SetFinal::NAME, Verdict::Valid, String::new());
        check.details = self.details(elements);
        if let Some((fault, ids)) = broken.first() {
            let told: Vec<String> =
                broken.iter().map(|(fault, ids)| fault.tell(ids.len())).collect();
            check.verdict = Verdict::Invalid;
            check.reason = format!("{}, of {acknowledged}", told.join(", "));
            check.anomalies = broken.iter().map(|(fault, _)| fault.name().into()).collect();
            check.evidence = Some(evidence(*fault, ids[0], elements));
        } else if elements.reads.is_empty() {
            check.verdict = Verdict::Vacuous;
            check.reason = format!("no read completed: nothing is known of {acknowledged}");
        } else if self.acknowledged + self.ok == 0 {
            check.verdict = Verdict::Vacuous;
            check.reason = "no addition was acknowledged, and the last read is empty".into();
        } else {
            check.reason = format!(
                "the last read has every one of {acknowledged}, and {} of unknown outcome",
                self.recovered.len()
            );
        }
        check
    }

    fn details(&self, elements: &Elements) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        let mut put = |name: &str, value: serde_json::Value| details.insert(name.into(), value);
        put("attempt-count", self.attempted.into());
        put("acknowledged-count", self.acknowledged.into());
        put("ok-count", self.ok.into());
        for (name, ids) in [
            ("lost", &self.lost),
            ("recovered", &self.recovered),
            ("unexpected", &self.unexpected),
            ("aborted", &self.aborted),
            ("duplicated", &self.doubled),
        ] {
            put(&format!("{name}-count"), ids.len().into());
            if !ids.is_empty() {
                let values = ids.iter().map(|id| &elements.values[*id as usize]);
                put(name, tell::listed(values, LISTED_MAX));
            }
        }
        details
    }
}

fn evidence(fault: Fault, id: u32, elements: &Elements) -> crate::verdict::Evidence {
    let tale = Tale::new(id, elements);
    let last = elements.reads.len() as u32 - 1;
    match fault {
        Fault::Unexpected => tale.unexpected(last),
        Fault::Aborted => tale.aborted(last),
        Fault::Duplicate => {
            let double = elements.doubles[&id];
            tale.duplicate(Double { most: double.times, read: last, ..double })
        }
        Fault::Lost | Fault::Stale => {
            let (name, read) = (tale.name(), elements.reads[last as usize].span);
            let add = elements.adds[elements.rows[id as usize].add as usize];
            let words = vec![format!(
                "Process {}'s `add {name}` had completed {} before process {}'s read, the last, began; that read does not \
                 have it.",
                add.process,
                seconds(read.start_ns.saturating_sub(add.end_ns)),
                read.process
            )];
            let ops =
                vec![add.shown(format!("add {name}")), read.shown(tale.read_label(last, false))];
            tell::evidence(ops, vec![read.call], true, words)
        }
    }
}
