//! Do two transactions update the same version?

use super::{Anomaly, Case, Facts, Found};
use crate::txn::columns::{F, NONE};
use crate::txn::deps::{External, externals};

pub(super) const ANOMALY: Anomaly = Anomaly {
    name: "lost-update",
    find,
    unit: "update",
    promise: "no two of a key follow the same version, in",
    too_little: "no key was updated twice",
};

fn find(facts: &Facts<'_>) -> Found {
    let txns = facts.txns;
    let mut found = Found { doubt: facts.written_again(), ..Found::default() };
    // By version, and by key for the initial one: who updated it first.
    let mut of_version = vec![NONE; txns.versions() as usize];
    let mut of_initial = vec![NONE; txns.keys.len()];
    let mut updates = vec![0_u32; txns.keys.len()];
    externals(txns, |External { txn, key, version }| {
        if !txns.ops(txn).iter().any(|op| op.key == key && op.f == F::Write) {
            return;
        }
        updates[key as usize] += 1;
        let first = match of_version.get_mut(version as usize) {
            Some(first) => first,
            None => &mut of_initial[key as usize],
        };
        if *first == NONE {
            *first = txn;
            return;
        }
        let first = *first;
        found.add(|| {
            let name = txns.key_name(key);
            let saw = match version {
                NONE => format!("{name} before anything was written to it"),
                version => format!("{name} with {}", txns.value(version)),
            };
            Case {
                txns: vec![first, txn],
                words: vec![
                    format!(
                        "Both {} and {} read {saw}, and wrote it.",
                        facts.told(first),
                        facts.told(txn)
                    ),
                    "Whichever of the two came second had not seen the first, and overwrote it: that update is lost.".into(),
                ],
            }
        });
    });
    // The first update of a key can overwrite nothing.
    found.units = updates.iter().filter(|n| **n > 1).map(|n| *n as usize).sum();
    found
}
