//! Do two transactions miss each other's write?

use super::{Anomaly, Facts, Found};
use crate::txn::columns::{F, NONE, Outcome};
use crate::txn::deps::{External, externals, externals_in};
use crate::txn::singles::Case;

pub(super) const ANOMALY: Anomaly = Anomaly {
    name: "write-skew",
    find,
    unit: "pair",
    promise: "one saw what the other wrote, in every",
    too_little: "no two transactions that committed read what the other wrote",
};

/// More than one transaction may have written the key.
const SEVERAL: u32 = NONE - 1;

fn find(facts: &Facts<'_>) -> Found {
    let txns = facts.txns;
    let writers = writers(facts);
    let spoiled = (0..txns.keys.len() as u32).find(|key| writers[*key as usize] == SEVERAL);
    let doubt = spoiled.map(|key| format!("key {} was written more than once", txns.key_name(key)));
    let mut found = Found { doubt, ..Found::default() };
    externals(txns, |read| {
        let other = writers[read.key as usize];
        // Each pair is looked at once, from the transaction that was invoked first.
        if other >= SEVERAL || other <= read.txn || facts.outcome(other) != Outcome::Ok {
            return;
        }
        let back = externals_in(txns, other);
        let Some(back) = back.iter().find(|back| writers[back.key as usize] == read.txn) else {
            return;
        };
        found.units += 1;
        if read.version == NONE && back.version == NONE {
            found.cases.add(|| case(facts, read, *back));
        }
    });
    found
}

/// By key: who may have written it.
fn writers(facts: &Facts<'_>) -> Vec<u32> {
    let mut writers = vec![NONE; facts.txns.keys.len()];
    for row in 0..facts.txns.txns.len() as u32 {
        if facts.outcome(row) == Outcome::Fail {
            continue;
        }
        for op in facts.txns.ops(row).iter().filter(|op| op.f == F::Write) {
            let writer = &mut writers[op.key as usize];
            *writer = if *writer == NONE || *writer == row { row } else { SEVERAL };
        }
    }
    writers
}

fn case(facts: &Facts<'_>, read: External, back: External) -> Case {
    let name = |key| facts.txns.key_name(key);
    Case {
        txns: vec![read.txn, back.txn],
        words: vec![
            format!(
                "{} read {} before anything was written to it.",
                capital(&facts.told(read.txn)),
                name(read.key)
            ),
            format!(
                "{} wrote {}, and read {} before anything was written to it, which the former wrote.",
                capital(&facts.told(back.txn)),
                name(read.key),
                name(back.key)
            ),
            "So each of the two came before the other, which cannot be.".into(),
        ],
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
