//! What all checks together say of a history.

use keelhaul_checkers::{Check, Standing, Verdict};
use serde::Serialize;

/// Version of `verdict.json`; raised when a field changes its meaning or goes away.
pub const VERDICT_VERSION: u32 = 1;

/// The answer to a run or a `check`, as `verdict.json` holds it.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// [`VERDICT_VERSION`].
    pub version: u32,
    /// The worst of the checks' verdicts; vacuous if there is none.
    pub verdict: Verdict,
    /// Names of all anomalies found, each once, in the order found.
    pub anomalies: Vec<String>,
    /// The strongest models that the history is proved to have.
    pub strongest: Vec<String>,
    /// The weakest models that the history is proved not to have.
    pub not: Vec<String>,
    /// Stronger models that it cannot have either.
    pub also_not: Vec<String>,
    /// What is known of models that nobody asked for. It has no part in the verdict.
    pub standing: Vec<Standing>,
    /// Operations that clients invoked.
    pub operations: u64,
    /// How long judging took, milliseconds.
    pub elapsed_ms: u64,
    /// The most memory the judging process held, bytes; absent where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// What each check says.
    pub checks: Vec<Check>,
    /// What the verdict rests on, one sentence each.
    pub tested: Vec<String>,
    /// What it says nothing about, one sentence each.
    pub not_tested: Vec<String>,
}

impl Judgement {
    /// Merges what the checks say; the worst counts. The rest is left for the caller to fill in.
    #[must_use]
    pub fn new(checks: Vec<Check>) -> Self {
        let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Vacuous);
        let mut anomalies: Vec<String> = Vec::new();
        for anomaly in checks.iter().flat_map(|check| &check.anomalies) {
            if !anomalies.contains(anomaly) {
                anomalies.push(anomaly.clone());
            }
        }
        Self {
            version: VERDICT_VERSION,
            verdict,
            anomalies,
            strongest: Vec::new(),
            not: Vec::new(),
            also_not: Vec::new(),
            standing: Vec::new(),
            operations: 0,
            elapsed_ms: 0,
            peak_bytes: None,
            checks,
            tested: Vec::new(),
            not_tested: Vec::new(),
        }
    }

    /// One more answer, which counts like the others. It takes the place of one of its name that was no worse: it knows more.
    pub fn add(&mut self, check: Check) {
        self.verdict = self.verdict.max(check.verdict);
        for anomaly in &check.anomalies {
            if !self.anomalies.contains(anomaly) {
                self.anomalies.push(anomaly.clone());
            }
        }
        let same = |known: &&mut Check| known.name == check.name && known.verdict <= check.verdict;
        match self.checks.iter_mut().find(same) {
            Some(known) => *known = check,
            None => self.checks.push(check),
        }
    }

    /// The check that decided: the first with the merged verdict.
    #[must_use]
    pub fn deciding(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.verdict == self.verdict)
    }

    /// The content of `verdict.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_else(|e| {
            // Every field is a string, a number or a list of such: there is nothing that could fail.
            unreachable!("a judgement is always JSON: {e}")
        });
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, verdict: Verdict, anomalies: &[&str]) -> Check {
        let anomalies = anomalies.iter().map(ToString::to_string).collect();
        Check { anomalies, ..Check::new(name, verdict, "") }
    }

    #[test]
    fn the_worst_counts() {
        use Verdict::{Invalid, Unknown, Vacuous, Valid};

        let merged = |verdicts: &[Verdict]| {
            Judgement::new(verdicts.iter().map(|v| check("c", *v, &[])).collect()).verdict
        };
        assert_eq!(merged(&[]), Vacuous);
        assert_eq!(merged(&[Valid]), Valid);
        assert_eq!(merged(&[Valid, Vacuous, Valid]), Vacuous);
        assert_eq!(merged(&[Vacuous, Unknown, Valid]), Unknown);
        assert_eq!(merged(&[Unknown, Invalid, Valid]), Invalid);
    }

    #[test]
    fn who_knows_more_of_a_check_takes_its_place() {
        use Verdict::{Invalid, Unknown, Valid};

        let mut judgement = Judgement::new(vec![check("recovery", Unknown, &[])]);
        judgement.add(check("recovery", Invalid, &["stuck"]));
        judgement.add(check("recovery", Valid, &[]));
        let verdicts: Vec<Verdict> = judgement.checks.iter().map(|check| check.verdict).collect();
        assert_eq!((verdicts, judgement.verdict), (vec![Invalid, Valid], Invalid));
    }

    #[test]
    fn json_is_as_documented() {
        let checks = vec![
            check("progress", Verdict::Valid, &[]),
            check("linearizable", Verdict::Invalid, &["stale-read", "stale-read"]),
        ];
        let judgement = Judgement::new(checks);
        assert_eq!(judgement.deciding().unwrap().name, "linearizable");
        let json: serde_json::Value = serde_json::from_str(&judgement.to_json()).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["verdict"], "invalid");
        assert_eq!(json["anomalies"], serde_json::json!(["stale-read"]));
        assert_eq!(json["checks"][1]["name"], "linearizable");
        for field in [
            "strongest",
            "not",
            "also_not",
            "standing",
            "operations",
            "elapsed_ms",
            "tested",
            "not_tested",
        ] {
            assert!(json.get(field).is_some(), "{field}");
        }
    }
}
