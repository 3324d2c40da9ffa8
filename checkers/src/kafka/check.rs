//! All checks of a history, one answer.

use keelhaul_history::{RawOp, Value};
use serde_json::{Map, json};

use super::cases::{Facts, Found, Kind};
use super::evidence::evidence;
use super::lag::{Lag, lags};
use super::log::{Log, Outcome, What};
use super::messages::{Unseen, unseen};
use super::read::Reading;
use super::tell::{self, plain};
use super::{NAME, cycles, messages, moves};
use crate::budget::{Budget, Unlimited};
use crate::columns::ColumnError;
use crate::judge::guard;
use crate::subject::{Asked, Judged, OptionError, Settings, Subject};
use crate::verdict::{Check, Verdict};
use crate::words::count;

/// Keys whose lag is told, the worst first.
const LAGS_MAX: usize = 32;

/// What the user says of the history.
#[derive(Clone, Debug, Default)]
struct Options {
    ww_deps: bool,
    /// Whether consumers take part in topics, rather than being assigned keys; if absent, whether any does.
    subscribes: Option<bool>,
    /// What counts as no more than information, besides what always does.
    allow: Vec<Kind>,
}

impl Options {
    fn read(settings: &Settings) -> Result<Self, OptionError> {
        let ways = |value: &Value| {
            let way = |value: &Value| match value.as_str() {
                Some("assign") => Some(false),
                Some("subscribe") => Some(true),
                _ => None,
            };
            let ways = list(value).map(way).collect::<Option<Vec<bool>>>();
            ways.filter(|ways| !ways.is_empty()).map(|ways| ways.contains(&true))
        };
        let expected = "\"assign\", \"subscribe\" or a list of these";
        let subscribes = settings.get("sub-via", expected, ways)?;
        let kind = |value: &Value| {
            let name = value.as_str()?;
            Kind::ALL.iter().copied().find(|kind| kind.name() == name)
        };
        let kinds = |value: &Value| list(value).map(kind).collect();
        let expected = "the name of an anomaly of this workload, or a list of such";
        let allow = settings.get("allow", expected, kinds)?.unwrap_or_default();
        Ok(Self { ww_deps: settings.flag("ww-deps", false)?, subscribes, allow })
    }

    /// Whether a kind is only worth knowing.
    fn allows(&self, kind: Kind, subscribes: bool) -> bool {
        // Writes of transactions are not isolated from each other, so messages of several interleave.
        let always = matches!(
            kind,
            Kind::IntSendSkip | Kind::G0 | Kind::G0Realtime | Kind::Pl1Cycle | Kind::StrongPl1Cycle
        );
        // A consumer may be rebalanced between two transactions.
        let moved = subscribes && matches!(kind, Kind::PollSkip | Kind::NonmonotonicPoll);
        // Where writes interleave, cycles of ww and wr are to be expected.
        let mixed = self.ww_deps
            && matches!(
                kind,
                Kind::G1c | Kind::G1cRealtime | Kind::Pl2Cycle | Kind::StrongPl2Cycle
            );
        always || moved || mixed || self.allow.contains(&kind)
    }
}

/// The elements of a list; anything else is the only one.
fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_list().unwrap_or(std::slice::from_ref(value)).iter()
}

/// Reads and judges a history.
struct Kafka {
    reading: Reading,
    options: Options,
}

pub(super) fn subject(settings: &Settings) -> Result<Box<dyn Subject>, OptionError> {
    let options = Options::read(settings)?;
    Ok(Box::new(Kafka { reading: Reading::default(), options }))
}

impl Subject for Kafka {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        self.reading.observe(op)
    }

    fn finish(self: Box<Self>, asked: &Asked<'_>) -> Judged {
        let log = self.reading.finish();
        let check = guard(NAME, || check(&log, &self.options, asked.budget));
        let operations = log.ops.iter().filter(|op| op.what == What::Txn).count();
        Judged { keys: log.keys.len(), operations, checks: vec![check], standing: Vec::new() }
    }
}

/// Everything that is wrong with a history.
pub(super) struct Analysis<'a> {
    pub facts: Facts<'a>,
    pub found: Found,
    pub unseen: Unseen,
    /// Whether any transaction depends on another.
    pub dependent: bool,
}

pub(super) fn analyse<'a>(log: &'a Log, ww_deps: bool, budget: &dyn Budget) -> Analysis<'a> {
    let facts = Facts::new(log);
    let mut found = Found::default();
    messages::check(&facts, &mut found);
    moves::check(&facts, &mut found);
    let dependent = cycles::check(&facts, ww_deps, budget, &mut found);
    let unseen = unseen(&facts, &mut found);
    Analysis { facts, found, unseen, dependent }
}

/// Whether a history shows anything of the kind.
pub(super) fn shows(log: &Log, ww_deps: bool, kind: Kind) -> bool {
    analyse(log, ww_deps, &Unlimited).found.count(kind) > 0
}

fn check(log: &Log, options: &Options, budget: &dyn Budget) -> Check {
    let analysis = analyse(log, options.ww_deps, budget);
    let any = || log.ops.iter().any(|op| op.what == What::Subscribe);
    let subscribes = options.subscribes.unwrap_or_else(any);
    let allowed = |kind| options.allows(kind, subscribes);
    let found = &analysis.found;
    let bad: Vec<Kind> = found.kinds().filter(|kind| !allowed(*kind)).collect();
    let polled = analysis.facts.orders.read_ok.iter().filter(|read| **read).count();
    let (verdict, reason) = match (bad.first(), analysis.facts.sent_twice) {
        (Some(worst), _) => (Verdict::Invalid, invalid(found, *worst, bad.len())),
        (None, Some(message)) => {
            let name = tell::message(log, message);
            let reason = format!("{name} was sent twice: messages must differ to be told apart");
            (Verdict::Unknown, reason)
        }
        (None, None) if polled == 0 => {
            (Verdict::Vacuous, "no operation that succeeded polled any message".into())
        }
        (None, None) => {
            let reason = format!(
                "{} polled in {}, none lost, none out of place",
                count(polled, "message"),
                count(log.keys.len(), "key")
            );
            (Verdict::Valid, reason)
        }
    };
    let anomalies = bad.iter().map(|kind| kind.name().into()).collect();
    let evidence = bad.first().map(|worst| evidence(&analysis, *worst, options.ww_deps));
    let details = details(&analysis, allowed);
    Check { anomalies, evidence, details, ..Check::new(NAME, verdict, reason) }
}

fn invalid(found: &Found, worst: Kind, kinds: usize) -> String {
    let cases = count(found.count(worst) as usize, "case");
    let more = match kinds - 1 {
        0 => String::new(),
        more => format!(", and {}", count(more, "further kind")),
    };
    format!("{cases} of {}{more}", worst.name())
}

fn details(
    analysis: &Analysis<'_>,
    allowed: impl Fn(Kind) -> bool,
) -> Map<String, serde_json::Value> {
    let Analysis { facts, found, unseen, dependent } = analysis;
    let log = facts.log;
    let errors = found.kinds().map(|kind| {
        let cases = found.kept(kind).iter().map(|case| tell::case(facts, case));
        let (count, cases) = (found.count(kind), cases.collect::<Vec<_>>());
        let error = json!({"allowed": allowed(kind), "count": count, "cases": cases});
        (kind.name().to_string(), error)
    });
    let mut details = Map::new();
    details.insert("errors".into(), errors.collect::<Map<_, _>>().into());
    let sent = log.ops.iter().filter(|op| op.outcome == Outcome::Ok);
    let sent: usize = sent.map(|op| op.sends.len()).sum();
    let polled = facts.orders.read_ok.iter().filter(|read| **read).count();
    let now: u64 = unseen.by_key.iter().sum();
    details.insert("acknowledged".into(), sent.into());
    details.insert("polled".into(), polled.into());
    details.insert("transactions-depend".into(), (*dependent).into());
    details.insert("unseen".into(), json!({"at-the-end": now, "at-most": unseen.most}));
    let mut lags = lags(log);
    lags.sort_by_key(|lag| std::cmp::Reverse(lag.lag_ns));
    let lag = |lag: &Lag| {
        json!({
            "key": plain(&log.keys[lag.key as usize]),
            "lag-ns": lag.lag_ns,
            "time-ns": lag.time_ns,
            "process": lag.process,
        })
    };
    let lags: Vec<_> = lags.iter().take(LAGS_MAX).map(lag).collect();
    details.insert("worst-lags".into(), lags.into());
    details
}
