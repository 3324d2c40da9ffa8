//! From anomalies to models: what a history of transactions does and does not keep.

use serde_json::json;

use super::columns::Txns;
use super::singles::{Cases, Singles};
use crate::lattice::Standing;
use crate::models::{Model, anomaly};
use crate::subject::{Asked, Judged};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;

/// An anomaly that was found.
pub(crate) struct Case {
    /// As in [`anomalies`](crate::models::anomalies()), which says what it refutes.
    pub name: &'static str,
    /// How many there are, as far as they were counted.
    pub count: u64,
    /// The first, or a smallest.
    pub evidence: Evidence,
}

/// All that a checker found out.
#[derive(Default)]
pub(crate) struct Findings {
    /// Anomalies, the one that says most first.
    pub cases: Vec<Case>,
    /// Models that the history has if no anomaly refutes them.
    pub decided: Vec<Model>,
    /// Anomalies of which it is not known whether there are any, and why.
    pub open: Option<(Vec<&'static str>, String)>,
    /// Models of which nothing is said, since the history does not say what time it was.
    pub timeless: &'static [Model],
    /// Why nothing could have been found, if so.
    pub vacuous: Option<String>,
    /// Why nothing can be said of models that no anomaly refutes, if so.
    pub doubt: Option<String>,
    /// What the history's own account of itself comes to, if there is one.
    pub own: Option<Check>,
    /// Numbers for `details`.
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// Whether an anomaly refutes a model.
pub(crate) fn refutes(name: &str, model: Model) -> bool {
    anomaly(name).is_some_and(|a| a.refutes.iter().any(|refuted| model.implies(*refuted)))
}

impl Findings {
    /// Adds what no cycle shows.
    pub fn add_singles(&mut self, txns: &Txns, singles: Singles) {
        let told = |(name, cases): (&'static str, Cases)| {
            let evidence = cases.first?.evidence(txns);
            Some(Case { name, count: cases.count, evidence })
        };
        self.cases.extend(singles.into_iter().filter_map(told));
    }

    /// Of these anomalies it is not known whether there are any, and this is why.
    pub fn leave_open(&mut self, names: &[&'static str], why: &str) {
        if !names.is_empty() {
            let (open, reason) = self.open.get_or_insert_default();
            open.extend(names);
            *reason = why.into();
        }
    }

    fn verdict(&self, model: Model) -> (Verdict, String) {
        let refuting: Vec<&Case> =
            self.cases.iter().filter(|case| refutes(case.name, model)).collect();
        if let Some(worst) = refuting.first() {
            let more = match refuting.len() - 1 {
                0 => String::new(),
                more => format!(
                    ", and {}",
                    count(more, "further anomaly").replace("anomalys", "anomalies")
                ),
            };
            return (Verdict::Invalid, format!("{}{more}", self.worst(worst)));
        }
        if let Some(doubt) = &self.doubt {
            return (Verdict::Unknown, doubt.clone());
        }
        if self.timeless.contains(&model) {
            return (
                Verdict::Unknown,
                "the file has no times, so nothing is known of real time".into(),
            );
        }
        if let Some((open, why)) = &self.open
            && open.iter().any(|name| refutes(name, model))
        {
            return (
                Verdict::Unknown,
                format!("{why}: whether there is {} is open", open.join(", ")),
            );
        }
        if let Some(vacuous) = &self.vacuous {
            return (Verdict::Vacuous, vacuous.clone());
        }
        let proof = self.decided.iter().find(|decided| {
            decided.implies(model) && !self.cases.iter().any(|case| refutes(case.name, **decided))
        });
        match proof {
            Some(decided) if *decided == model => {
                (Verdict::Valid, "no anomaly that it forbids, in any transaction".into())
            }
            Some(decided) => (Verdict::Valid, format!("it is {decided}, which says more")),
            None => (
                Verdict::Unknown,
                "nothing found that it forbids; no proof of it is known here".into(),
            ),
        }
    }

    fn worst(&self, case: &Case) -> String {
        let edges = case.evidence.edges.len();
        if edges > 0 {
            return format!("{}: {} in a circle", case.name, count(edges, "transaction"));
        }
        let first = case.evidence.explanation.first().map_or("", String::as_str);
        format!("{}: {first}", case.name).trim_end_matches('.').into()
    }

    /// The answers to what was asked; the first of `models` of which something can be said is what is usual.
    pub fn judged(self, txns: &Txns, models: &[&'static str], asked: &Asked<'_>) -> Judged {
        let timeless = |name: &str| self.timeless.iter().any(|model| model.name() == name);
        let models: Vec<&'static str> =
            models.iter().copied().filter(|name| !timeless(name)).collect();
        let names = if asked.models.is_empty() { &models[..1] } else { asked.models };
        let mut checks: Vec<Check> =
            names.iter().filter_map(|name| self.check(Model::by_name(name)?)).collect();
        checks.extend(self.own.clone());
        checks.sort_by_key(|check| check.verdict != Verdict::Invalid);
        let others = models.iter().filter(|name| !names.contains(name));
        let standing = others.filter_map(|name| self.standing(Model::by_name(name)?));
        Judged {
            keys: txns.keys.len(),
            operations: txns.txns.len(),
            standing: standing.collect(),
            checks,
        }
    }

    fn check(&self, model: Model) -> Option<Check> {
        let (verdict, reason) = self.verdict(model);
        let refuting = self.cases.iter().filter(|case| refutes(case.name, model));
        let refuting: Vec<&Case> = refuting.collect();
        let mut details = self.details.clone();
        let all = self.cases.iter().map(|case| {
            let told = json!({"count": case.count, "explanation": case.evidence.explanation});
            (case.name.to_string(), told)
        });
        details.insert("anomalies".into(), all.collect::<serde_json::Map<_, _>>().into());
        Some(Check {
            anomalies: refuting.iter().map(|case| case.name.into()).collect(),
            evidence: refuting.first().map(|case| case.evidence.clone()),
            details,
            ..Check::new(model.name(), verdict, reason)
        })
    }

    fn standing(&self, model: Model) -> Option<Standing> {
        let (verdict, reason) = self.verdict(model);
        let told = !matches!(verdict, Verdict::Unknown | Verdict::Vacuous) || self.open.is_some();
        told.then(|| Standing { model: model.name().into(), verdict, reason })
    }
}
