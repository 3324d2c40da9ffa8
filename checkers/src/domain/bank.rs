//! Money is neither made nor lost: `transfer` between accounts, `read` of all balances.
//!
//! A read returns a map from accounts to balances. Each must come to the same total; no balance may be negative, unless the
//! option `negative-balances` allows it; none may be nil; and there must be no accounts but those that are known. Transfers
//! need not be looked at: one that has an unknown outcome changes no total.
//!
//! The total and the accounts are options; without them, what the history's header says under `total-amount` and `accounts`;
//! otherwise the total is that of the first read, so that reads are compared with each other, and any account may come up. With
//! nothing to compare the history is vacuous: a read without errors is needed, and two where the total is that of the first.
//!
//! A read is counted under the first error that it has, in this order: `unexpected-key`, `nil-balance`, `wrong-total`,
//! `negative-value`.
//!
//! Source: Jepsen's bank workload (`jepsen.tests.bank`).

use std::collections::BTreeSet;

use keelhaul_history::{Header, RawValue, Value};
use serde_json::{Map, json};

use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::subject::{OptionError, Settings};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use crate::workload::{Setting, Workload};

use super::calls::{Checker, End, Keyed};
use super::tell;

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: Bank::NAME,
    what: "transfer between accounts, and read of all balances, whose total stays the same",
    models: &[],
    options: &[
        Setting {
            name: "total",
            what: "what all balances come to; if absent, what the first read does",
        },
        Setting { name: "accounts", what: "a list of all accounts; if absent, any" },
        Setting {
            name: "negative-balances",
            what: "whether balances may be below 0; false if absent",
        },
    ],
    subject: |settings| Ok(Box::new(Keyed::<Bank>::new(Options::new(settings)?))),
};

/// What is known of the bank.
#[derive(Clone, Debug)]
pub struct Options {
    total: Option<i64>,
    accounts: Option<BTreeSet<Box<str>>>,
    negative_balances: bool,
}

impl Options {
    /// What the user says.
    ///
    /// # Errors
    /// If an option has the wrong kind of value.
    pub fn new(settings: &Settings) -> Result<Self, OptionError> {
        Ok(Self {
            total: settings.int("total")?,
            accounts: settings.get("accounts", "a list of accounts, e.g. [0,1,2]", accounts)?,
            negative_balances: settings.flag("negative-balances", false)?,
        })
    }
}

/// Accounts by the names that they have as keys of maps.
fn accounts(value: &Value) -> Option<BTreeSet<Box<str>>> {
    let name = |account: &Value| match account {
        Value::Str(text) => text.clone(),
        other => other.to_string().into(),
    };
    Some(value.as_list()?.iter().map(name).collect())
}

/// What can be wrong with a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    UnexpectedKey,
    NilBalance,
    WrongTotal,
    NegativeValue,
}

impl Fault {
    const ALL: [Self; 4] =
        [Self::UnexpectedKey, Self::NilBalance, Self::WrongTotal, Self::NegativeValue];

    const fn name(self) -> &'static str {
        match self {
            Self::UnexpectedKey => "unexpected-key",
            Self::NilBalance => "nil-balance",
            Self::WrongTotal => "wrong-total",
            Self::NegativeValue => "negative-value",
        }
    }
}

/// A read that is kept to be shown.
#[derive(Clone, Debug)]
struct Shown {
    span: Span,
    balances: Value,
    total: i128,
}

/// An operation in flight.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Of all balances.
    Read,
    /// Of an amount.
    Transfer,
}

/// A bank.
#[derive(Debug)]
pub struct Bank {
    options: Options,
    reads: usize,
    /// The read that says what the total is, if nothing else does.
    measure: Option<Shown>,
    /// How many reads have each fault, in the order of [`Fault::ALL`].
    faults: [usize; 4],
    first: Option<(Fault, Shown)>,
    /// Lowest and highest wrong total.
    totals: Option<(i128, i128)>,
}

impl Checker for Bank {
    const NAME: &'static str = "bank";
    const KNOWN: &'static str = "a bank has read and transfer";
    type Options = Options;
    type Call = Call;

    fn learn(options: &mut Options, header: &Header) {
        let said = |name| header.options.get(name);
        options.total = options.total.or_else(|| said("total-amount")?.as_int());
        if options.accounts.is_none() {
            options.accounts = said("accounts").as_ref().and_then(accounts);
        }
        options.negative_balances |= said("negative-balances") == Some(Value::Bool(true));
    }

    fn new(options: &Options) -> Self {
        let options = options.clone();
        Self { options, reads: 0, measure: None, faults: [0; 4], first: None, totals: None }
    }

    fn invoke(&mut self, _span: &Span, f: &str, _value: RawValue<'_>) -> Result<Call, Misfit> {
        match f {
            "read" => Ok(Call::Read),
            "transfer" => Ok(Call::Transfer),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        match (call, end) {
            (Call::Read, End::Ok(value)) => self.read(span, value),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Check {
        let errors: usize = self.faults.iter().sum();
        let reads = count(self.reads, "read");
        let mut check = Check::new(Self::NAME, Verdict::Valid, String::new());
        check.details = self.details(errors);
        if let Some((fault, shown)) = &self.first {
            check.verdict = Verdict::Invalid;
            let told = Fault::ALL.iter().zip(self.faults).filter(|(_, n)| *n > 0);
            check.anomalies = told.clone().map(|(fault, _)| fault.name().into()).collect();
            let told: Vec<String> =
                told.map(|(fault, n)| format!("{n} {}", fault.name())).collect();
            check.reason = format!("{errors} of {reads} wrong: {}", told.join(", "));
            check.evidence = Some(self.evidence(*fault, shown));
        } else if self.reads <= usize::from(self.measure.is_some()) {
            check.verdict = Verdict::Vacuous;
            check.reason = match self.reads {
                0 => "no read completed".into(),
                _ => "there is one read, and nothing to compare its total with; the option `total` says what it should be".into(),
            };
        } else {
            let total = self.total().map_or_else(String::new, |total| format!(" to {total}"));
            check.reason = format!("the balances of each of {reads} come{total}");
        }
        check
    }
}

impl Bank {
    /// What balances should come to, as far as it is known.
    fn total(&self) -> Option<i128> {
        let measured = || self.measure.as_ref().map(|shown| shown.total);
        self.options.total.map(i128::from).or_else(measured)
    }

    fn read(&mut self, span: &Span, value: RawValue<'_>) -> Result<(), Misfit> {
        const EXPECTED: Misfit = Misfit::Value("a map from accounts to balances");
        self.reads += 1;
        let (mut sum, mut nil, mut negative, mut unexpected) = (0, false, false, false);
        for (account, balance) in value.entries().ok_or(EXPECTED)? {
            unexpected |=
                self.options.accounts.as_ref().is_some_and(|all| !all.contains(&*account));
            if balance.is_null() {
                nil = true;
                continue;
            }
            let balance = balance.as_int().ok_or(EXPECTED)?;
            sum += i128::from(balance);
            negative |= balance < 0;
        }
        let shown = || Shown { span: *span, balances: value.to_value(), total: sum };
        let wrong = self.total().is_some_and(|total| total != sum);
        let fault = match () {
            () if unexpected => Some(Fault::UnexpectedKey),
            () if nil => Some(Fault::NilBalance),
            () if wrong => Some(Fault::WrongTotal),
            () if negative && !self.options.negative_balances => Some(Fault::NegativeValue),
            () => None,
        };
        if self.total().is_none() && !nil {
            self.measure = Some(shown());
        }
        let Some(fault) = fault else { return Ok(()) };
        self.faults[fault as usize] += 1;
        if fault == Fault::WrongTotal {
            let (lowest, highest) = self.totals.unwrap_or((sum, sum));
            self.totals = Some((lowest.min(sum), highest.max(sum)));
        }
        if self.first.is_none() {
            self.first = Some((fault, shown()));
        }
        Ok(())
    }

    fn details(&self, errors: usize) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        details.insert("read-count".into(), self.reads.into());
        details.insert("error-count".into(), errors.into());
        for (fault, n) in Fault::ALL.iter().zip(self.faults).filter(|(_, n)| *n > 0) {
            details.insert(format!("{}-count", fault.name()), n.into());
        }
        // Numbers that JSON readers keep exactly, or text.
        let wide = |n: i128| i64::try_from(n).map_or_else(|_| json!(n.to_string()), |n| json!(n));
        if let Some(total) = self.total() {
            details.insert("total".into(), wide(total));
        }
        if let Some((lowest, highest)) = self.totals {
            details.insert("lowest-total".into(), wide(lowest));
            details.insert("highest-total".into(), wide(highest));
        }
        details
    }

    fn evidence(&self, fault: Fault, shown: &Shown) -> Evidence {
        let who = shown.span.process;
        let mut ops = vec![shown.span.shown(label(shown))];
        let known = |name: &str| self.options.accounts.as_ref().is_some_and(|a| a.contains(name));
        let mut minimal = true;
        let words = match fault {
            Fault::UnexpectedKey => vec![format!(
                "Process {who}'s read has accounts that there are not: {}.",
                named(shown, |(name, _)| !known(name))
            )],
            Fault::NilBalance => vec![format!(
                "Process {who}'s read has accounts without a balance: {}.",
                named(shown, |(_, balance)| *balance == Value::Null)
            )],
            Fault::NegativeValue => vec![format!(
                "Process {who}'s read has accounts below 0: {}.",
                named(shown, |(_, balance)| balance.as_int().is_some_and(|n| n < 0))
            )],
            Fault::WrongTotal => {
                let measure = self.measure.as_ref().filter(|_| self.options.total.is_none());
                ops.extend(measure.map(|measure| measure.span.shown(label(measure))));
                // One that is below 0 besides is wrong without the other.
                let below = entries(&shown.balances).iter().any(|(_, n)| n.as_int() < Some(0));
                minimal = measure.is_none() || !below || self.options.negative_balances;
                self.wrong_total(shown, measure)
            }
        };
        tell::evidence(ops, vec![shown.span.call], minimal, words)
    }

    fn wrong_total(&self, shown: &Shown, measure: Option<&Shown>) -> Vec<String> {
        let right = self.total().unwrap_or_default();
        let mut words = vec![format!(
            "The balances that process {} read come to {}, not {right}.",
            shown.span.process, shown.total
        )];
        words.extend(measure.map(|measure| {
            let who = measure.span.process;
            format!("Process {who}'s read, the first, comes to {right}: one of the two is wrong.")
        }));
        let accounts = self.options.accounts.iter().flatten();
        let lacking: Vec<&str> = accounts
            .filter(|name| shown.balances.get(name).is_none())
            .map(|name| &**name)
            .collect();
        if !lacking.is_empty() {
            words.push(format!("It has no balance of {}.", lacking.join(", ")));
        }
        words
    }
}

/// An account and its balance.
type Entry = (Box<str>, Value);

/// The entries of a read that are wrong.
fn named(shown: &Shown, wrong: impl Fn(&Entry) -> bool) -> String {
    let wrong = entries(&shown.balances).iter().filter(|entry| wrong(entry));
    let named: Vec<String> = wrong.map(|(name, balance)| format!("{name}: {balance}")).collect();
    named.join(", ")
}

fn entries(balances: &Value) -> &[Entry] {
    match balances {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

/// A read with its total, and with its balances if they are few.
fn label(shown: &Shown) -> String {
    const BALANCES_MAX: usize = 12;
    let entries = entries(&shown.balances);
    if entries.len() > BALANCES_MAX {
        return format!("read -> {}, total {}", count(entries.len(), "account"), shown.total);
    }
    let all: Vec<String> =
        entries.iter().map(|(name, balance)| format!("{name}: {balance}")).collect();
    format!("read -> {{{}}}, total {}", all.join(", "), shown.total)
}
