//! The sentences of a report.

use std::collections::BTreeMap;

use keelhaul_checkers::Verdict;
use keelhaul_history::Ending;

use super::{Report, verdict_word};
use crate::Judgement;
use crate::stats::Summary;
use crate::text::{counted, duration, escape, grouped, listed};

/// What happened, in two sentences: the operations, and the faults that were verified in effect.
pub(super) fn scope(summary: &Summary) -> String {
    let mut what = vec![counted(summary.invoked, "operation")];
    if summary.more_keys {
        what.push(format!("more than {}", counted(summary.keys, "key")));
    } else if summary.keys > 0 {
        what.push(counted(summary.keys, "key"));
    }
    if !summary.by_node.is_empty() {
        what.push(counted(summary.by_node.len() as u64, "node"));
    }
    let counts = summary.counts;
    let operations = format!(
        "{} in {}: {} ok, {} failed, {} with an unknown outcome.",
        what.join(", "),
        duration(summary.end_ns),
        grouped(counts.ok),
        grouped(counts.fail),
        grouped(summary.invoked.saturating_sub(counts.ok + counts.fail)),
    );
    format!("{operations} {}", faults(summary))
}

fn faults(summary: &Summary) -> String {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    let effective = summary.faults.iter().filter(|fault| fault.window.effective);
    for fault in effective.clone() {
        *kinds.entry(&fault.window.kind).or_default() += 1;
    }
    if kinds.is_empty() {
        return "No fault was verified in effect.".into();
    }
    let (all, during) = (effective.clone().count(), effective.filter(|f| f.ok_within > 0).count());
    let during = match during {
        0 => "no operation succeeded during any".into(),
        n if n == all && n > 1 => "operations succeeded during every one".into(),
        n if n == all => "operations succeeded during it".into(),
        n => format!("operations succeeded during {n} of {all}"),
    };
    let kinds: Vec<String> = kinds.iter().map(|(kind, n)| counted(*n, kind)).collect();
    format!("{} verified in effect; {during}.", listed(&kinds))
}

pub(super) const fn headline(verdict: Verdict) -> &'static str {
    verdict_word(verdict)
}

/// One sentence under the headline: what the deciding check says.
pub(super) fn lead(judgement: &Judgement) -> String {
    match judgement.deciding() {
        None => "No check was made.".into(),
        Some(check) => {
            let mut name = check.name.clone();
            if let Some(first) = name.get_mut(0..1) {
                first.make_ascii_uppercase();
            }
            format!("{name}: {}", check.reason)
        }
    }
}

/// What is worth a warning at the top.
pub(super) fn warnings(summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(problem) = &summary.problem {
        warnings.push(format!(
            "The history cannot be read to its end, so this page shows it up to there: {problem}."
        ));
    }
    if let Some(Ending::Unsealed { torn_tail }) = summary.ending {
        let torn = if torn_tail { ", and its last line was cut" } else { "" };
        warnings.push(format!(
            "The history is unsealed{torn}: the run was killed. What is there is a true prefix of what happened."
        ));
    }
    let sick =
        summary.faults.iter().filter(|f| f.window.effective && !f.window.healed_verified).count();
    if sick > 0 {
        warnings.push(format!("{} not verified healed.", counted(sick as u64, "fault")));
    }
    warnings
}

/// The line of facts under the lead.
pub(super) fn facts(report: &Report<'_>, summary: Option<&Summary>) -> String {
    let judgement = report.judgement;
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(summary) = summary {
        let header = &summary.header;
        let texts =
            [("store", &header.store), ("workload", &header.workload), ("model", &header.model)];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            facts.push((name, text.clone()));
        }
        if !header.nodes.is_empty() {
            facts.push(("nodes", header.nodes.len().to_string()));
        }
        if !header.started.is_empty() {
            facts.push(("started", header.started.clone()));
        }
        facts.push(("lasted", duration(summary.end_ns)));
        facts.push(("seed", header.seed.to_string()));
    }
    facts.push(("operations", grouped(judgement.operations)));
    facts.push(("judged in", duration(judgement.elapsed_ms.saturating_mul(1_000_000))));
    if !report.run.is_empty() {
        facts.push(("run", report.run.into()));
    }
    let items = facts.iter().map(|(name, text)| format!("<li>{name} <b>{}</b></li>", escape(text)));
    format!("<ul class=\"facts\">{}</ul>\n", items.collect::<Vec<_>>().join("\n"))
}
