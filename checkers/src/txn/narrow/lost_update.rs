//! Do two transactions update the same version?

use super::{Anomaly, Facts, Found};
use crate::txn::columns::{F, NONE};
use crate::txn::deps::{External, externals};
use crate::txn::singles::{Case, Updates};

pub(super) const ANOMALY: Anomaly = Anomaly {
    name: "lost-update",
    find,
    unit: "update",
    promise: "no two of a key follow the same version, in",
    too_little: "no key was updated twice",
};

fn find(facts: &Facts<'_>) -> Found {
    let txns = facts.txns;
    let doubt = facts.writers.doubt(txns, "written", "values");
    let mut found = Found { doubt, ..Found::default() };
    let mut updates = Updates::new(txns);
    let mut of_key = vec![0_u32; txns.keys.len()];
    externals(txns, |read| {
        let External { txn, key, version } = read;
        if !txns.ops(txn).iter().any(|op| op.key == key && op.f == F::Write) {
            return;
        }
        of_key[key as usize] += 1;
        let Some(first) = updates.add(read) else { return };
        found.cases.add(|| {
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
    found.units = of_key.iter().filter(|n| **n > 1).map(|n| *n as usize).sum();
    found
}
