//! Several models of one history: what was asked for, and what a history that breaks the usual promise still keeps.
//!
//! What follows from an answer that is there already is not computed again. When nobody asked for a model and the usual one is
//! refuted, the others are decided too, with a share of what is left of the budget: first the next weaker one, since many
//! stores are one step short of their promise; then the others from the weakest up, for that one falls is quickly seen, and
//! all that imply it fall with it. Such answers stand beside the verdict and have no part in it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::budget::{Bounded, Budget, share};
use crate::judge::guard;
use crate::models::{Model, strongest, weakest};
use crate::objects::Object;
use crate::verdict::{Check, Verdict};

/// Decides one model; the check bears the model's name.
pub type Decide<H> = fn(&H, &dyn Budget) -> Check;

/// The models that can be decided of some kind of history, strongest first.
pub type Table<H> = [(Model, Decide<H>)];

/// The share of what is left of the budget that models get for which nobody asked: one part in so many.
const BESIDE: u32 = 4;

/// Looks at the budget that one of them may take, some thousand steps each, before those that grow with the history: half a
/// second.
const LOOKS_BESIDE: u64 = 1 << 7;

/// As before, of a first attempt at what was asked for: some seconds.
const LOOKS_FIRST: u64 = 1 << 10;

/// Operations that are worth one look more, where models are mostly decided in time that grows with the history.
pub const OPS_PER_LOOK: usize = 1 << 8;

/// The same where they are searched for: a long search is seldom better than a short one.
const OPS_PER_LOOK_SEARCHED: usize = 1 << 11;

/// Where a history stands with a model that nobody asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The model's name.
    pub model: String,
    /// Whether the history has it.
    pub verdict: Verdict,
    /// One sentence, as in a [`Check`].
    pub reason: String,
}

/// Answers to what was asked, and what else is known.
#[derive(Debug, Default)]
pub struct Answers {
    /// One for each model that was asked for, strongest first.
    pub checks: Vec<Check>,
    /// Other models.
    pub standing: Vec<Standing>,
}

/// A history, and what can be decided of it.
pub struct Question<'a, H> {
    /// What can be decided, and how.
    pub table: &'a Table<H>,
    /// The history.
    pub history: &'a H,
    /// How many looks its length is worth: its operations by [`OPS_PER_LOOK`], or less.
    pub looks: usize,
    /// Time and memory.
    pub budget: &'a dyn Budget,
}

impl<'a, M: crate::objects::Model> Question<'a, Vec<Object<M>>> {
    /// About objects.
    pub fn of_objects(
        table: &'a Table<Vec<Object<M>>>,
        history: &'a Vec<Object<M>>,
        budget: &'a dyn Budget,
    ) -> Self {
        let operations: usize = history.iter().map(|object| object.ops.len()).sum();
        Self { table, history, looks: operations / OPS_PER_LOOK_SEARCHED, budget }
    }
}

impl<H> Question<'_, H> {
    /// Decides the models of these names; none: the first of the table, and if that is refuted the others beside it. A
    /// `hopeless` history has no model at all.
    pub fn answer(&self, names: &[&str], hopeless: impl FnOnce(&H) -> bool) -> Answers {
        if !names.is_empty() {
            return Answers { checks: self.decide(names), standing: Vec::new() };
        }
        let Some(((model, check), others)) = self.table.split_first() else {
            return Answers::default();
        };
        let check = guard(model.name(), || check(self.history, self.budget));
        let standing = match check.verdict {
            Verdict::Invalid if hopeless(self.history) => {
                others.iter().map(|(model, _)| fallen(*model)).collect()
            }
            Verdict::Invalid => {
                share(self.budget, BESIDE, |budget| self.descend(*model, others, budget))
            }
            _ => Vec::new(),
        };
        Answers { checks: vec![check], standing }
    }

    fn decide(&self, names: &[&str]) -> Vec<Check> {
        let mut checks: Vec<Check> = Vec::new();
        let mut known: BTreeMap<Model, Verdict> = BTreeMap::new();
        let asked = self.table.iter().filter(|(model, _)| names.contains(&model.name()));
        for (at, (model, check)) in asked.enumerate() {
            let answer = match stronger(*model, &known) {
                Some(stronger) => follows(*model, stronger),
                None => share(self.budget, (names.len() - at) as u32, |budget| {
                    self.decide_one(*model, *check, &mut known, budget)
                }),
            };
            known.insert(*model, answer.verdict);
            checks.push(answer);
        }
        checks
    }

    /// Decides a model: with some effort; then by way of what implies it, which may be easier; then with all that is left.
    fn decide_one(
        &self,
        model: Model,
        check: Decide<H>,
        known: &mut BTreeMap<Model, Verdict>,
        budget: &dyn Budget,
    ) -> Check {
        let first = self.bounded(model, check, LOOKS_FIRST, budget);
        if first.verdict != Verdict::Unknown || budget.spent(0).is_some() {
            return first;
        }
        for (other, check) in self.table {
            if *other != model && other.implies(model) && !known.contains_key(other) {
                let verdict = share(budget, 3, |budget| {
                    guard(other.name(), || check(self.history, budget)).verdict
                });
                known.insert(*other, verdict);
                if verdict == Verdict::Valid {
                    return follows(model, *other);
                }
            }
        }
        guard(model.name(), || check(self.history, budget))
    }

    fn bounded(&self, model: Model, check: Decide<H>, looks: u64, budget: &dyn Budget) -> Check {
        let looks = looks + self.looks as u64;
        guard(model.name(), || check(self.history, &Bounded::new(budget, looks)))
    }

    /// Decides the models that are left when the first one is refuted.
    fn descend(&self, refuted: Model, others: &Table<H>, budget: &dyn Budget) -> Vec<Standing> {
        let mut known = BTreeMap::from([(refuted, Verdict::Invalid)]);
        let mut standing: BTreeMap<Model, Standing> = BTreeMap::new();
        let next = others.first().into_iter().chain(others.iter().skip(1).rev());
        for (model, check) in next {
            let answer = inferred(*model, &known)
                .unwrap_or_else(|| beside(self.bounded(*model, *check, LOOKS_BESIDE, budget)));
            known.insert(*model, answer.verdict);
            standing.insert(*model, answer);
        }
        // What was not decided may follow from what was decided after it.
        for (model, standing) in &mut standing {
            if standing.verdict == Verdict::Unknown
                && let Some(answer) = inferred(*model, &known)
            {
                *standing = answer;
            }
        }
        standing.into_values().collect()
    }
}

/// The answer for a model that nobody asked for.
fn beside(check: Check) -> Standing {
    let reason = if check.verdict == Verdict::Unknown {
        format!(
            "not decided beside the verdict: --model {} spends the whole budget on it",
            check.name
        )
    } else {
        check.reason
    };
    Standing { model: check.name, verdict: check.verdict, reason }
}

/// A model that the history has and that implies this one.
fn stronger(model: Model, known: &BTreeMap<Model, Verdict>) -> Option<Model> {
    let valid = known.iter().filter(|(_, verdict)| **verdict == Verdict::Valid);
    valid.map(|(other, _)| *other).find(|other| other.implies(model))
}

fn follows(model: Model, stronger: Model) -> Check {
    Check::new(model.name(), Verdict::Valid, says_more(stronger))
}

fn says_more(stronger: Model) -> String {
    format!("it is {stronger}, which says more")
}

/// What follows for a model from what is known of others.
fn inferred(model: Model, known: &BTreeMap<Model, Verdict>) -> Option<Standing> {
    let standing = |verdict, reason| Standing { model: model.name().into(), verdict, reason };
    if let Some(stronger) = stronger(model, known) {
        return Some(standing(Verdict::Valid, says_more(stronger)));
    }
    let invalid = known.iter().filter(|(_, verdict)| **verdict == Verdict::Invalid);
    let weaker = invalid.map(|(other, _)| *other).find(|other| model.implies(*other))?;
    Some(standing(Verdict::Invalid, format!("it is not even {weaker}")))
}

fn fallen(model: Model) -> Standing {
    Standing {
        model: model.name().into(),
        verdict: Verdict::Invalid,
        reason: "an operation found a value that nobody ever wrote".into(),
    }
}

/// What all answers together say of the lattice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The strongest models that the history has.
    pub strongest: Vec<String>,
    /// The weakest that it does not have.
    pub not: Vec<String>,
    /// Those that it cannot have either since they imply one of the former.
    pub also_not: Vec<String>,
}

impl Place {
    /// From checks, of which some are no models, and from what stands beside them.
    pub fn new(checks: &[Check], standing: &[Standing]) -> Self {
        let checked = checks.iter().map(|check| (check.name.as_str(), check.verdict));
        let beside = standing.iter().map(|standing| (standing.model.as_str(), standing.verdict));
        let known: Vec<(Model, Verdict)> = checked
            .chain(beside)
            .filter_map(|(name, verdict)| Some((Model::by_name(name)?, verdict)))
            .collect();
        let with = |wanted: Verdict| -> Vec<Model> {
            known
                .iter()
                .filter(|(_, verdict)| *verdict == wanted)
                .map(|(model, _)| *model)
                .collect()
        };
        let not = weakest(&with(Verdict::Invalid));
        let implies_one = |model: &Model| not.iter().any(|weaker| model.implies(*weaker));
        // Whose history is of single objects asks for no model of transactions.
        let transactions = known.iter().any(|(model, _)| model.is_transactional());
        let alike = |model: &Model| transactions || !model.is_transactional();
        let also = Model::ALL.into_iter().filter(alike).filter(implies_one);
        let also = also.filter(|model| !not.contains(model));
        Self {
            strongest: names(strongest(&with(Verdict::Valid))),
            also_not: names(also.collect()),
            not: names(not),
        }
    }
}

fn names(models: Vec<Model>) -> Vec<String> {
    models.into_iter().map(|model| model.name().into()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::budget::Unlimited;

    /// A history of which it is known what it has; and how often a checker was asked.
    struct Known {
        has: Vec<Model>,
        gives_up: Vec<Model>,
        asked: AtomicU32,
    }

    fn say(model: Model, known: &Known) -> Check {
        known.asked.fetch_add(1, Ordering::Relaxed);
        let verdict = match model {
            _ if known.gives_up.contains(&model) => Verdict::Unknown,
            _ if known.has.iter().any(|has| has.implies(model)) => Verdict::Valid,
            _ => Verdict::Invalid,
        };
        Check::new(model.name(), verdict, "")
    }

    const TABLE: &Table<Known> = &[
        (Model::Linearizable, |known, _| say(Model::Linearizable, known)),
        (Model::Sequential, |known, _| say(Model::Sequential, known)),
        (Model::CausalMemory, |known, _| say(Model::CausalMemory, known)),
        (Model::CausalConvergence, |known, _| say(Model::CausalConvergence, known)),
        (Model::Causal, |known, _| say(Model::Causal, known)),
        (Model::Pram, |known, _| say(Model::Pram, known)),
        (Model::ReadYourWrites, |known, _| say(Model::ReadYourWrites, known)),
    ];

    /// Place in the lattice, and how many checkers were asked, of a history that has these models.
    fn place(has: &[Model], gives_up: &[Model], names: &[&str]) -> (Place, u32) {
        let known = Known { has: has.into(), gives_up: gives_up.into(), asked: AtomicU32::new(0) };
        let question = Question { table: TABLE, history: &known, looks: 0, budget: &Unlimited };
        let Answers { checks, standing } = question.answer(names, |_| false);
        let expected = if names.is_empty() { 1 } else { names.len() };
        assert_eq!(checks.len(), expected);
        for Standing { model, verdict, .. } in &standing {
            let model = Model::by_name(model).unwrap();
            let truth = has.iter().any(|has| has.implies(model));
            let right = if truth { Verdict::Valid } else { Verdict::Invalid };
            assert!(*verdict == right || *verdict == Verdict::Unknown, "{model}: {verdict:?}");
        }
        (Place::new(&checks, &standing), known.asked.into_inner())
    }

    #[test]
    fn nothing_is_asked_that_follows() {
        let (linearizable, asked) = place(&[Model::Linearizable], &[], &[]);
        assert_eq!((linearizable.strongest, asked), (vec!["linearizable".to_string()], 1));
        let (sequential, asked) = place(&[Model::Sequential], &[], &[]);
        assert_eq!((sequential.strongest.join(" "), asked), ("sequential".into(), 2));
        assert_eq!(sequential.not, ["linearizable"]);
        let (nothing, asked) = place(&[], &[], &[]);
        assert_eq!((nothing.not.join(" "), asked), ("read-your-writes".into(), 3));
        assert_eq!(
            nothing.also_not,
            ["linearizable", "sequential", "causal-memory", "causal-convergence", "causal", "pram"]
        );
        let (pram, _) = place(&[Model::Pram], &[], &[]);
        assert_eq!(
            (pram.strongest.join(" "), pram.not.join(" ")),
            ("pram".into(), "causal".into())
        );
    }

    #[test]
    fn what_was_asked_is_answered_and_nothing_else() {
        let (asked, n) = place(&[Model::CausalMemory], &[], &["sequential", "causal"]);
        assert_eq!(
            (asked.strongest.join(" "), asked.not.join(" "), n),
            ("causal".into(), "sequential".into(), 2)
        );
        let (follows, n) = place(&[Model::Linearizable], &[], &["causal", "sequential"]);
        assert_eq!((follows.strongest.join(" "), n), ("sequential".into(), 1));
    }

    #[test]
    fn what_is_given_up_may_follow_later() {
        let (place, _) = place(&[Model::ReadYourWrites], &[Model::Sequential], &[]);
        assert_eq!(place.strongest, ["read-your-writes"]);
        assert_eq!(place.not, ["causal", "pram"]);
        assert!(place.also_not.contains(&"sequential".to_string()));
    }

    #[test]
    fn what_is_given_up_may_follow_from_more() {
        let (follows, n) = place(&[Model::Linearizable], &[Model::Sequential], &["sequential"]);
        assert_eq!((follows.strongest.join(" "), n), ("sequential".into(), 2));
        let (open, n) = place(&[Model::Sequential], &[Model::Sequential], &["sequential"]);
        assert_eq!((open.strongest.len(), open.not.len(), n), (0, 0, 3));
    }

    #[test]
    fn a_hopeless_history_has_no_model() {
        let known = Known { has: vec![], gives_up: vec![], asked: AtomicU32::new(0) };
        let question = Question { table: TABLE, history: &known, looks: 0, budget: &Unlimited };
        let answers = question.answer(&[], |_| true);
        assert_eq!(answers.standing.len(), TABLE.len() - 1);
        assert_eq!(known.asked.into_inner(), 1);
    }
}
