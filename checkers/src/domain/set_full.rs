//! What became of each element of a set: `add`, and any number of `read`s of all of it.
//!
//! An element is *known* once an addition of it was acknowledged or a read found it, whichever comes first. It is
//! *stable* if the last read (by when they began) has it, and *lost* if the last read does not, although it was known when that
//! read began. A stable element is *stale* if some read that began when it was known did not have it. Otherwise it was *never
//! read*: no read says anything. A read that ran while the element became known proves nothing by not having it.
//!
//! An element is also wrong if a read has it *twice*, if nobody had begun to add it when the read ended (*unexpected*), or
//! if all who tried had failed, which says that it is not there (*aborted read*).
//!
//! Lost elements are a violation of any set that keeps what it has; stale ones only of a linearizable set, which is an
//! option. Even then each element is judged for itself: that two reads found two elements in opposite orders is for the workload
//! `set` to see, which decides linearizability. If no element is stable the history is vacuous: every promise was kept, since
//! none was put to the test.
//!
//! Source: the checker `set-full` of Jepsen (`jepsen.checker`), whose definitions of stable, lost and their latencies are
//! kept. It differs in what it does not see: duplicates and unexpected elements; stale reads within a millisecond; what was
//! known of an element that is added again.

use keelhaul_history::RawValue;
use serde_json::{Map, json};

use crate::columns::NEVER;
use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::subject::{OptionError, Settings};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use crate::workload::{Setting, Workload};

use super::calls::{Checker, End, Keyed};
use super::elements::{Call, Element, Elements, NONE};
use super::set_tale::{self, Fault, Tale};
use super::tell::{self, LISTED_MAX, seconds};

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: SetFull::NAME,
    what: "add and reads of all: which elements are lost, stale, duplicated",
    models: &[],
    options: &[Setting {
        name: "linearizable",
        what: "whether stale reads are a violation; false if absent",
    }],
    subject: |settings| Ok(Box::new(Keyed::<SetFull>::new(Options::new(settings)?))),
};

/// Whether stale reads are a violation.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    linearizable: bool,
}

impl Options {
    /// What the user says.
    ///
    /// # Errors
    /// If an option has the wrong kind of value.
    pub fn new(settings: &Settings) -> Result<Self, OptionError> {
        Ok(Self { linearizable: settings.flag("linearizable", false)? })
    }
}

/// A set whose elements are followed.
pub struct SetFull {
    options: Options,
    elements: Elements,
}

impl Checker for SetFull {
    const NAME: &'static str = "set-full";
    const KNOWN: &'static str = "a set that is read as a whole has add and read";
    type Options = Options;
    type Call = Call;

    fn new(options: &Options) -> Self {
        Self { options: *options, elements: Elements::default() }
    }

    fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        self.elements.invoke(span, f, value)
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        self.elements.complete(call, span, end)
    }

    fn finish(mut self) -> Check {
        self.elements.close();
        let found = Found::new(&self.elements);
        found.check(&self.elements, self.options)
    }
}

/// Elements by what became of them.
#[derive(Debug, Default)]
struct Found {
    attempted: usize,
    stable: usize,
    lost: Vec<u32>,
    stale: Vec<u32>,
    never_read: Vec<u32>,
    unexpected: Vec<u32>,
    aborted: Vec<u32>,
    doubled: Vec<u32>,
    /// Milliseconds from when it was known to the beginning of the last read without it, by element.
    stable_latencies: Vec<(u64, u32)>,
    /// Milliseconds from when it was known to the beginning of the last read with it.
    lost_latencies: Vec<u64>,
}

impl Found {
    fn new(elements: &Elements) -> Self {
        let mut found = Self::default();
        for (at, row) in elements.rows.iter().enumerate() {
            found.sort_in(at as u32, row, elements);
        }
        found.doubled = elements.doubles.keys().copied().collect();
        found.doubled.sort_unstable();
        found
    }

    fn sort_in(&mut self, id: u32, row: &Element, elements: &Elements) {
        self.attempted += usize::from(row.attempted());
        match set_tale::phantom(row, elements, row.first_seen) {
            Some(Fault::Aborted) => self.aborted.push(id),
            Some(_) => self.unexpected.push(id),
            None => {}
        }
        if !row.attempted() {
            return;
        }
        let begun = |read: u32| elements.reads.get(read as usize).map(|read| read.span);
        let (seen, missed) = (begun(row.last_seen), begun(row.last_missed));
        let call = |span: Option<Span>| span.map(|span| span.call);
        let after = |span: Option<Span>| {
            let ns = span.map_or(0, |span| span.start_ns + 1);
            ns.saturating_sub(row.known_ns) / 1_000_000
        };
        if seen.is_some() && call(missed) < call(seen) {
            self.stable += 1;
            self.stable_latencies.push((after(missed), id));
            if missed.is_some_and(|missed| row.known < missed.call) {
                self.stale.push(id);
            }
        } else if row.known != NEVER && missed.is_some_and(|missed| row.known < missed.call) {
            self.lost.push(id);
            self.lost_latencies.push(after(seen));
        } else {
            self.never_read.push(id);
        }
    }

    fn check(&self, elements: &Elements, options: Options) -> Check {
        let faults = [
            (Fault::Lost, &self.lost),
            (Fault::Aborted, &self.aborted),
            (Fault::Unexpected, &self.unexpected),
            (Fault::Duplicate, &self.doubled),
            (Fault::Stale, &self.stale),
        ];
        let counts = |fault: &Fault| options.linearizable || *fault != Fault::Stale;
        let broken: Vec<_> =
            faults.iter().filter(|(fault, ids)| !ids.is_empty() && counts(fault)).collect();
        let anomalies: Vec<String> = broken.iter().map(|(fault, _)| fault.name().into()).collect();
        let mut check = Check::new(SetFull::NAME, Verdict::Valid, self.reason(elements));
        check.details = self.details(elements);
        if let Some((fault, ids)) = broken.first() {
            let told: Vec<String> =
                broken.iter().map(|(fault, ids)| fault.tell(ids.len())).collect();
            check.verdict = Verdict::Invalid;
            check.reason =
                format!("{}, of {} added", told.join(", "), count(self.attempted, "element"));
            check.evidence = Some(self.evidence(*fault, ids[0], elements));
            check.anomalies = anomalies;
        } else if self.stable == 0 {
            check.verdict = Verdict::Vacuous;
        }
        check
    }

    fn reason(&self, elements: &Elements) -> String {
        let attempted = count(self.attempted, "element");
        if elements.reads.is_empty() {
            return format!("no read completed: nothing is known of {attempted}");
        }
        if self.stable == 0 {
            return format!("no read says anything of {attempted}: none began when one was known");
        }
        let mut reason = format!("{} of {attempted} stayed once known, none was lost", self.stable);
        if !self.stale.is_empty() {
            reason += &format!("; {} late to appear", self.stale.len());
        }
        if !self.never_read.is_empty() {
            reason += &format!("; no read says anything of {}", self.never_read.len());
        }
        reason
    }

    fn details(&self, elements: &Elements) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        let mut put = |name: &str, value: serde_json::Value| details.insert(name.into(), value);
        let list = |ids: &[u32]| {
            tell::listed(ids.iter().map(|id| &elements.values[*id as usize]), LISTED_MAX)
        };
        put("attempt-count", self.attempted.into());
        put("read-count", elements.reads.len().into());
        put("stable-count", self.stable.into());
        for (name, ids) in [
            ("lost", &self.lost),
            ("stale", &self.stale),
            ("never-read", &self.never_read),
            ("duplicated", &self.doubled),
            ("unexpected", &self.unexpected),
            ("aborted", &self.aborted),
        ] {
            put(&format!("{name}-count"), ids.len().into());
            if !ids.is_empty() {
                put(name, list(ids));
            }
        }
        let latencies = self.stable_latencies.iter().map(|(ms, _)| *ms).collect();
        if let Some(latencies) = tell::quantiles(latencies) {
            put("stable-latencies", latencies);
        }
        if let Some(latencies) = tell::quantiles(self.lost_latencies.clone()) {
            put("lost-latencies", latencies);
        }
        if !self.stale.is_empty() {
            put("worst-stale", self.worst(elements));
        }
        details
    }

    /// The stale elements that took longest.
    fn worst(&self, elements: &Elements) -> serde_json::Value {
        const WORST_MAX: usize = 8;
        let stale = |(_, id): &&(u64, u32)| self.stale.binary_search(id).is_ok();
        let mut worst: Vec<(u64, u32)> =
            self.stable_latencies.iter().filter(stale).copied().collect();
        worst.sort_by_key(|(ms, id)| (std::cmp::Reverse(*ms), *id));
        let shown = worst.into_iter().take(WORST_MAX).map(|(ms, id)| {
            let row = &elements.rows[id as usize];
            json!({
                "element": tell::json(&elements.values[id as usize]),
                "stable-latency-ms": ms,
                "known": row.known,
                "last-absent": elements.reads[row.last_missed as usize].span.call,
            })
        });
        shown.collect()
    }

    fn evidence(&self, fault: Fault, id: u32, elements: &Elements) -> Evidence {
        let tale = Tale::new(id, elements);
        let row = &elements.rows[id as usize];
        match fault {
            Fault::Unexpected => tale.unexpected(row.first_seen),
            Fault::Aborted => tale.aborted(row.first_seen),
            Fault::Duplicate => tale.duplicate(elements.doubles[&id]),
            Fault::Lost | Fault::Stale => absent(&tale, row, fault),
        }
    }
}

/// A known element that a read did not have.
fn absent(tale: &Tale<'_>, row: &Element, fault: Fault) -> Evidence {
    let name = tale.name();
    let missed = tale.elements.reads[row.last_missed as usize].span;
    let mut ops = vec![missed.shown(tale.read_label(row.last_missed, false))];
    let mut words = Vec::new();
    let add = tale.elements.adds[row.add as usize];
    ops.push(add.shown(format!("add {name}")));
    let acked = row.acked < missed.call;
    if acked {
        words.push(format!(
            "Process {}'s `add {name}` had completed {} before process {}'s read began, and that read does not have it.",
            add.process,
            seconds(missed.start_ns.saturating_sub(add.end_ns)),
            missed.process,
        ));
    } else {
        let seen = tale.elements.reads[row.first_seen as usize].span;
        ops.push(seen.shown(tale.read_label(row.first_seen, true)));
        words.push(format!(
            "Process {}'s read had found {name} {} before process {}'s read began, and that read does not have it.",
            seen.process,
            seconds(missed.start_ns.saturating_sub(seen.end_ns)),
            missed.process,
        ));
    }
    if row.last_seen != NONE && (acked || row.last_seen != row.first_seen) {
        let seen = tale.elements.reads[row.last_seen as usize].span;
        ops.push(seen.shown(tale.read_label(row.last_seen, true)));
        words.push(format!(
            "The last read to have it, by process {}, began at {}; it is shown for comparison.",
            seen.process,
            seconds(seen.start_ns)
        ));
    }
    words.push(match fault {
        Fault::Lost => format!("No read that began later has {name}: it is lost."),
        _ => format!("Later reads have {name}, so the read without it was stale: a linearizable set has none."),
    });
    let minimal = ops.len() == 2;
    tell::evidence(ops, vec![missed.call], minimal, words)
}
