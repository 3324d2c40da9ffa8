//! A counter whose reads must lie within bounds: `add n`, `read`.
//!
//! A read is at least the sum of what had certainly been added when it began and of all negative amounts that anyone had begun
//! to add when it ended; at most the sum of all positive amounts begun and of the negative ones certainly added. Failed
//! additions count nothing; those of unknown outcome may count in any read that ends later, or not.
//!
//! This is what linearizability of a counter implies for each read alone, so whatever is refuted here is not
//! linearizable. The converse does not hold: with `add 10` in flight a read of 5 is within 0 and 10, though no order gives
//! 5; nor may two reads, one after the other, return 10 and then 0 while it is. The workload `counter` decides linearizability
//! of the same histories, at the price of a search; the bounds cost one pass, whatever crashes, and are all that counters
//! promise which only converge.
//!
//! Source: the checker `counter` of Jepsen (`jepsen.checker`), which knows no negative amounts.

use keelhaul_history::RawValue;
use serde_json::{Map, json};

use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use crate::workload::Workload;

use super::calls::{Checker, End, Keyed};
use super::tell::{self, seconds};

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: CounterBounds::NAME,
    what: "add and read of a counter: reads are within what can have been added",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Keyed::<CounterBounds>::new(()))),
};

/// The anomaly's name.
pub const ANOMALY: &str = "out-of-bounds";

/// A counter and its reads.
#[derive(Debug, Default)]
pub struct CounterBounds {
    /// Additions in order of invocation; what failed adds 0.
    adds: Vec<Add>,
    /// Reads in order of completion.
    reads: Vec<Read>,
    /// What has certainly been added until now.
    done: Sums,
}

#[derive(Clone, Copy, Debug)]
struct Add {
    span: Span,
    amount: i64,
}

#[derive(Clone, Copy, Debug)]
struct Read {
    span: Span,
    found: i64,
    /// What had certainly been added when it began.
    done: Sums,
}

/// Positive and negative amounts apart; wide enough for whatever a history can hold.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    up: i128,
    down: i128,
}

impl Sums {
    fn add(&mut self, amount: i64) {
        let sum = if amount > 0 { &mut self.up } else { &mut self.down };
        *sum += i128::from(amount);
    }
}

/// A read outside its bounds.
#[derive(Clone, Copy, Debug)]
struct Stray {
    read: Read,
    lower: i128,
    upper: i128,
}

impl Stray {
    /// By how much it is outside.
    fn distance(&self) -> u128 {
        let found = i128::from(self.read.found);
        (self.lower - found).max(found - self.upper).unsigned_abs()
    }
}

/// An operation in flight.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// The number of an addition.
    Add(u32),
    /// Up and down, as far as it was certain at the beginning.
    Read(i128, i128),
}

impl Checker for CounterBounds {
    const NAME: &'static str = "counter-bounds";
    const KNOWN: &'static str = "a counter has add and read";
    type Options = ();
    type Call = Call;

    fn new((): &()) -> Self {
        Self::default()
    }

    fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        match f {
            "read" => Ok(Call::Read(self.done.up, self.done.down)),
            "add" => {
                let amount = value.as_int().ok_or(NUMBER)?;
                self.adds.push(Add { span: *span, amount });
                Ok(Call::Add(self.adds.len() as u32 - 1))
            }
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        match (call, end) {
            (Call::Read(up, down), End::Ok(value)) => {
                let found = value.as_int().ok_or(NUMBER)?;
                self.reads.push(Read { span: *span, found, done: Sums { up, down } });
            }
            (Call::Read(..), _) => {}
            (Call::Add(at), End::Ok(_)) => {
                let add = &mut self.adds[at as usize];
                add.span = *span;
                self.done.add(add.amount);
            }
            (Call::Add(at), End::Fail) => self.adds[at as usize].amount = 0,
            (Call::Add(_), End::Info) => {}
        }
        Ok(())
    }

    fn finish(self) -> Check {
        let strays = self.strays();
        let mut check = Check::new(Self::NAME, Verdict::Valid, String::new());
        check.details = self.details(&strays);
        let reads = count(self.reads.len(), "read");
        if let Some(first) = strays.first() {
            check.verdict = Verdict::Invalid;
            check.reason = format!("{} of {reads} not within what had been added", strays.len());
            check.anomalies = vec![ANOMALY.into()];
            check.evidence = Some(self.evidence(first));
        } else if self.reads.is_empty() {
            check.verdict = Verdict::Vacuous;
            check.reason = "no read completed".into();
        } else {
            check.reason = format!("each of {reads} is within what had been added");
        }
        check
    }
}

const NUMBER: Misfit = Misfit::Value("a whole number");

impl CounterBounds {
    /// Reads outside their bounds, in order of completion.
    fn strays(&self) -> Vec<Stray> {
        let mut begun = Sums::default();
        let mut adds = self.adds.iter().peekable();
        let mut strays = Vec::new();
        for read in &self.reads {
            while let Some(add) = adds.next_if(|add| add.span.call < read.span.ret) {
                begun.add(add.amount);
            }
            let (lower, upper) = (read.done.up + begun.down, begun.up + read.done.down);
            if !(lower..=upper).contains(&i128::from(read.found)) {
                strays.push(Stray { read: *read, lower, upper });
            }
        }
        strays
    }

    fn details(&self, strays: &[Stray]) -> Map<String, serde_json::Value> {
        const ERRORS_MAX: usize = 16;
        let mut details = Map::new();
        details.insert("read-count".into(), self.reads.len().into());
        details.insert("error-count".into(), strays.len().into());
        // Numbers that JSON readers keep exactly, or text.
        let wide = |n: i128| i64::try_from(n).map_or_else(|_| json!(n.to_string()), |n| json!(n));
        let told = |s: &Stray| json!([wide(s.lower), s.read.found, wide(s.upper)]);
        if !strays.is_empty() {
            let errors = strays.iter().take(ERRORS_MAX).map(told).collect();
            details.insert("errors".into(), errors);
            let worst = strays.iter().max_by_key(|stray| stray.distance());
            details.insert("worst".into(), worst.map(told).into());
        }
        details
    }

    fn evidence(&self, stray: &Stray) -> Evidence {
        let Stray { read, lower, upper } = stray;
        let label = |add: &Add| format!("add {}", add.amount);
        let mut ops = vec![read.span.shown(format!("read -> {}", read.found))];
        let mut words = vec![format!(
            "Process {}'s read ({} to {}) returned {}, and could return {lower} at least and {upper} at most.",
            read.span.process,
            seconds(read.span.start_ns),
            seconds(read.span.end_ns),
            read.found
        )];
        if i128::from(read.found) < *lower {
            let adds = self.certain(read, *lower);
            words.push(format!(
                "When it began, what had certainly been added was {lower} or more; {} of it {} shown.",
                count(adds.len(), "addition"),
                if adds.len() == 1 { "is" } else { "are" }
            ));
            ops.extend(adds.iter().map(|add| add.span.shown(label(add))));
        } else {
            let begun = self.adds.iter().filter(|a| a.span.call < read.span.ret && a.amount != 0);
            let begun = begun.count();
            words.push(format!(
                "When it ended, all that anyone had begun to add came to {upper}, in {}.",
                count(begun, "addition")
            ));
        }
        words.push(
            "All additions count, so no smaller history was tried: not proved minimal.".into(),
        );
        tell::evidence(ops, vec![read.span.call], false, words)
    }

    /// The largest amounts certainly added before the read, as few as come to more than it found.
    fn certain(&self, read: &Read, lower: i128) -> Vec<Add> {
        const SHOWN_MAX: usize = 12;
        let before = |add: &&Add| add.span.before(&read.span) && add.amount > 0;
        let mut adds: Vec<Add> = self.adds.iter().filter(before).copied().collect();
        adds.sort_by_key(|add| (std::cmp::Reverse(add.amount), add.span.call));
        // What negative amounts may have taken away has to be added on top.
        let mut sum = lower - read.done.up;
        let needed = adds.iter().take_while(|add| {
            let more = sum <= i128::from(read.found);
            sum += i128::from(add.amount);
            more
        });
        let needed = needed.count().min(SHOWN_MAX);
        adds.truncate(needed);
        adds
    }
}
