//! Eventual consistency: once writes have stopped and faults are healed, do all processes read the same, and how long did that take?
//!
//! For each key the *quiet* time begins when its last write has ended and the last fault has been healed. A write of unknown outcome
//! counts as ended when its value was first found; one whose value nobody found counts as never begun. Of the reads that
//! began in the quiet time (later by what the replicas are allowed to take, if that is given), each process' last one counts. They must agree,
//! on a value that somebody wrote; on the initial one only if nothing was certainly written. The time to convergence is that from the start of the
//! quiet time to the end of the last read of any other value than the one agreed on.
//!
//! No finite history refutes eventual consistency as such: replicas could agree later still. What is judged is whether they did
//! within the history. Nor does it prove much: a key that only one process read in the quiet time says nothing about replicas. Where a
//! value was written several times, once with an unknown outcome, disagreement is not held against the store.
//!
//! Sources: Vogels, *Eventually Consistent* (CACM 52(1), 2009); Burckhardt, *Principles of Eventual Consistency* (2014), chapter 5;
//! Viotti & Vukolić, *Consistency in Non-Transactional Distributed Storage Systems* (ACM Computing Surveys 49(1), 2016).

mod key;
#[cfg(test)]
mod tests;

use keelhaul_history::faults::FaultWindow;
use serde_json::json;

use crate::columns::Registers;
use crate::models::Model;
use crate::times::{ms, seconds};
use crate::verdict::{Check, Verdict};
use key::{End, judge_key};

/// When faults ended, and how long replicas may take from then on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet {
    /// When the healing of the last fault began, nanoseconds since the run began; 0 if there was none.
    pub healed_ns: u64,
    /// A fault was never healed.
    pub unhealed: bool,
    /// What replicas are allowed to take, nanoseconds.
    pub allowed_ns: u64,
}

impl Quiet {
    /// After these faults.
    #[must_use]
    pub fn after(faults: &[FaultWindow], allowed_ns: u64) -> Self {
        let healed_ns = faults.iter().filter_map(|fault| fault.healed_ns).max().unwrap_or(0);
        let unhealed = faults.iter().any(|fault| fault.healed_ns.is_none());
        Self { healed_ns, unhealed, allowed_ns }
    }
}

/// What all keys come to.
#[derive(Default)]
struct Tally {
    agreed: usize,
    by_one: usize,
    unread: usize,
    unclear: usize,
    broken: usize,
    times_ns: Vec<u64>,
    /// The first broken key's check.
    shown: Option<Check>,
}

/// Judges all registers.
#[must_use]
pub fn check(registers: &Registers, quiet: &Quiet) -> Check {
    let mut tally = Tally::default();
    for register in &registers.keys {
        match judge_key(register, quiet) {
            End::Agreed(time_ns) => {
                tally.agreed += 1;
                tally.times_ns.push(time_ns);
            }
            End::ByOne => tally.by_one += 1,
            End::Unread => tally.unread += 1,
            End::Unclear => tally.unclear += 1,
            End::Broken(check) => {
                tally.broken += 1;
                tally.shown.get_or_insert(*check);
            }
        }
    }
    tally.times_ns.sort_unstable();
    let details = tally.details();
    Check { details, ..tally.check(quiet) }
}

impl Tally {
    fn check(self, quiet: &Quiet) -> Check {
        let name = Model::Eventual.name();
        let vacuous = |reason: String| Check::new(name, Verdict::Vacuous, reason);
        if let Some(mut shown) = self.shown {
            if self.broken > 1 {
                shown.reason += &format!("; {} more keys are no better", self.broken - 1);
            }
            return shown;
        }
        if quiet.unhealed {
            return vacuous(
                "a fault was never healed, so that replicas had no time to agree".into(),
            );
        }
        if self.unclear > 0 {
            let reason = format!(
                "values repeat: on {} keys processes read different values at last, one of which may have been written late",
                self.unclear
            );
            return Check::new(name, Verdict::Unknown, reason);
        }
        if self.agreed == 0 {
            return vacuous(format!(
                "no key was read by two processes after the writes to it had stopped and faults were healed ({} were by one)",
                self.by_one
            ));
        }
        let slowest = self.times_ns.last().copied().unwrap_or(0);
        let reason = format!(
            "on {} keys all processes came to read the same, after at most {}; {} more keys were read by one process or none",
            self.agreed,
            ms(slowest),
            self.by_one + self.unread
        );
        Check::new(name, Verdict::Valid, reason)
    }

    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut details = serde_json::Map::new();
        let mut put = |name: &str, value| details.insert(name.into(), value);
        put("keys-agreed", json!(self.agreed));
        put("keys-disagreed", json!(self.broken));
        put("keys-unclear", json!(self.unclear));
        put("keys-read-by-one-process", json!(self.by_one));
        put("keys-not-read", json!(self.unread));
        if let Some(max) = self.times_ns.last() {
            let median = self.times_ns[(self.times_ns.len() - 1) / 2];
            put("time-to-convergence-ns", json!({"p50": median, "max": max}));
        }
        details
    }
}

/// `at 12.031 s`.
fn at(ns: u64) -> String {
    format!("at {}", seconds(ns))
}
