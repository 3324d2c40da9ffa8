//! Bounded staleness: a read returns a value that was the current one at some moment not longer than a bound before the read
//! began.
//!
//! *Δ-atomicity*: each register is linearizable once every read is taken to have begun by the bound earlier than it did. That
//! is how it is decided, also where values repeat; a cas is not a read here and has to find the current value. Each key
//! is judged for itself, by real time alone: what one process saw before plays no part.
//!
//! How stale reads were is measured besides, with or without a bound, where written values differ: a read of `w` is stale by the time
//! from the moment at which a newer write had certainly taken effect (it had completed, or somebody had found its value)
//! to the read's beginning. `w'` is newer than `w` if it began after `w` had certainly taken effect. Where that orders all writes of a
//! key, the largest staleness of its reads is the least bound that holds for it. Where writes overlap, what is measured
//! is a lower limit, and said to be.
//!
//! Source: Golab, Li & Shah, *Analyzing Consistency Properties for Fun and Profit* (PODC 2011).

mod measure;
#[cfg(test)]
mod oracle_tests;
mod shift;

use serde_json::{Map, Value as Json, json};

use crate::budget::Budget;
use crate::columns::Registers;
use crate::linearizable;
use crate::models::Model;
use crate::times::ms;
use crate::verdict::{Check, Evidence, Verdict};
use measure::{Measured, measure};

/// The name of the only anomaly.
const ANOMALY: &str = "stale-read";

/// Judges all registers by a bound in nanoseconds; without one, reads are measured and nothing is decided.
#[must_use]
pub fn check(registers: &Registers, bound_ns: Option<u64>, budget: &dyn Budget) -> Check {
    let measured = measure(registers);
    let check = match bound_ns {
        None => unbounded(&measured),
        Some(bound_ns) => bounded(registers, &measured, bound_ns, budget),
    };
    Check { details: details(&measured, bound_ns), ..check }
}

fn unbounded(measured: &Measured) -> Check {
    let name = Model::BoundedStaleness.name();
    if measured.reads() == 0 {
        return Check::new(name, Verdict::Vacuous, "nothing was read");
    }
    let reason = format!("no bound was given; {}", measured.words());
    Check::new(name, Verdict::Unknown, reason)
}

fn bounded(
    registers: &Registers,
    measured: &Measured,
    bound_ns: u64,
    budget: &dyn Budget,
) -> Check {
    let name = Model::BoundedStaleness.name();
    if let Some(worst) = measured.worst.as_ref().filter(|worst| worst.stale_ns > bound_ns) {
        let evidence = worst.evidence(registers, bound_ns);
        let reason = format!(
            "a read was stale by at least {}, and {} are allowed",
            ms(worst.stale_ns),
            ms(bound_ns)
        );
        return Check {
            anomalies: vec![ANOMALY.into()],
            evidence: Some(evidence),
            ..Check::new(name, Verdict::Invalid, reason)
        };
    }
    let shifted = shift::begin_earlier(registers, bound_ns);
    let check = linearizable::check(&shifted.registers, budget);
    if check.verdict == Verdict::Valid && measured.reads() == 0 {
        return Check::new(name, Verdict::Vacuous, "nothing was read");
    }
    let reason = match check.verdict {
        Verdict::Valid => {
            format!("no read was stale by more than {}; {}", ms(bound_ns), measured.words())
        }
        _ => format!("with reads taken to have begun {} earlier: {}", ms(bound_ns), check.reason),
    };
    let anomalies = check.anomalies.iter().map(|_| ANOMALY.into()).collect();
    let evidence = check.evidence.map(|evidence| {
        let mut evidence: Evidence = shifted.as_it_was(evidence);
        let words = format!("Each read is taken to have begun {} before it did.", ms(bound_ns));
        evidence.explanation.insert(0, words);
        evidence
    });
    Check { reason, anomalies, evidence, name: name.into(), ..check }
}

fn details(measured: &Measured, bound_ns: Option<u64>) -> Map<String, Json> {
    let mut details = Map::new();
    let mut put = |name: &str, value: Json| details.insert(name.into(), value);
    if let Some(bound_ns) = bound_ns {
        put("bound-ns", json!(bound_ns));
    }
    put("reads", json!(measured.reads()));
    put("reads-measured-exactly", json!(measured.exact.len()));
    put("reads-measured-from-below", json!(measured.at_least.len()));
    put("reads-of-repeated-values", json!(measured.repeated));
    let all = measured.sorted();
    put("stale-reads", json!(all.iter().filter(|stale| **stale > 0).count()));
    if let Some(max) = all.last() {
        let rank = |per_mille: usize| all[(all.len() - 1) * per_mille / 1000];
        put(
            "staleness-ns",
            json!({"p50": rank(500), "p99": rank(990), "p99.9": rank(999), "max": max}),
        );
    }
    details
}
