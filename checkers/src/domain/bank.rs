//! Money is neither made nor lost: `transfer` between accounts, `read` of all balances, and before that perhaps `open`.
//!
//! A read returns a map from accounts to balances. Each must come to the same total; no balance may be negative, unless the
//! option `negative-balances` allows it; none may be nil; and there must be no accounts but those that are known. Transfers
//! need not be looked at: one that has an unknown outcome changes no total.
//!
//! The total and the accounts are options; without them, what the history's header says under `total-amount` and `accounts`, or what
//! the bank was opened with, a map from accounts to balances;
//! otherwise the total is that of the first read, so that reads are compared with each other, and any account may come up. With
//! nothing to compare the history is vacuous: a read without errors is needed, and two where the total is that of the first.
//!
//! A bank that an operation opened held nothing before, and a read of that is no error, but old: unless its process had seen the
//! bank open.
//!
//! A read is counted under the first error that it has, in this order: `unexpected-key`, `nil-balance`, `wrong-total`,
//! `negative-value`.
//!
//! Source: Jepsen's bank workload (`jepsen.tests.bank`).

use std::collections::{BTreeSet, HashSet};

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
    what: "transfer between accounts, and read of all balances, whose total stays the same; and open, which sets them",
    models: &[],
    options: &[
        Setting {
            name: "total",
            what: "what all balances come to; if absent, what they did when it was opened, or in the first read",
        },
        Setting {
            name: "accounts",
            what: "a list of all accounts; if absent, those that it was opened with, or any",
        },
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
#[derive(Clone, Debug)]
pub enum Call {
    /// Of all balances.
    Read,
    /// Of an amount, if it is said in the usual way.
    Transfer(Option<Transfer>),
    /// With balances.
    Open,
}

/// From where to where.
#[derive(Clone, Debug)]
pub struct Transfer {
    from: Value,
    to: Value,
    amount: i64,
}

impl Transfer {
    fn of(value: &Value) -> Option<Self> {
        let (from, to) = (value.get("from")?.clone(), value.get("to")?.clone());
        Some(Self { from, to, amount: value.get("amount")?.as_int()? })
    }
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
    /// What it was opened with, so that opening it again is noticed.
    opened: Option<Value>,
    /// Processes that know that it is open.
    entered: HashSet<u32>,
    /// Reads of the bank as it was before.
    early: usize,
    /// Those that may have happened.
    transfers: Vec<(Span, Transfer)>,
}

const BALANCES: Misfit = Misfit::Value("a map from accounts to balances");

impl Checker for Bank {
    const NAME: &'static str = "bank";
    const KNOWN: &'static str = "a bank has read, transfer and open";
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
        Self {
            options,
            reads: 0,
            measure: None,
            faults: [0; 4],
            first: None,
            totals: None,
            opened: None,
            entered: HashSet::new(),
            early: 0,
            transfers: Vec::new(),
        }
    }

    fn invoke(&mut self, _span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        match f {
            "read" => Ok(Call::Read),
            "transfer" => Ok(Call::Transfer(Transfer::of(&value.to_value()))),
            "open" => self.open(&value.to_value()).map(|()| Call::Open),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        if matches!((&call, end), (Call::Open | Call::Transfer(_), End::Ok(_))) {
            self.entered.insert(span.process);
        }
        match (call, end) {
            (Call::Read, End::Ok(value)) => self.read(span, value),
            (Call::Transfer(Some(transfer)), End::Ok(_) | End::Info) => {
                self.transfers.push((*span, transfer));
                Ok(())
            }
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

    /// Learns what all there is comes to, unless that is known from elsewhere.
    fn open(&mut self, balances: &Value) -> Result<(), Misfit> {
        const OTHER: Misfit =
            Misfit::Value("what the bank was opened with before: it is opened once");
        let Value::Map(accounts) = balances else { return Err(BALANCES) };
        let sum = accounts.iter().try_fold(0_i64, |sum, (_, n)| sum.checked_add(n.as_int()?));
        let sum = sum.ok_or(BALANCES)?;
        if self.opened.get_or_insert_with(|| balances.clone()) != balances {
            return Err(OTHER);
        }
        self.options.total.get_or_insert(sum);
        let names = || accounts.iter().map(|(name, _)| name.clone()).collect();
        self.options.accounts.get_or_insert_with(names);
        Ok(())
    }

    fn read(&mut self, span: &Span, value: RawValue<'_>) -> Result<(), Misfit> {
        let all_nil = || value.entries().is_some_and(|mut all| all.all(|(_, n)| n.is_null()));
        if self.opened.is_some() && !self.entered.contains(&span.process) && all_nil() {
            self.early += 1;
            return Ok(());
        }
        self.reads += 1;
        let (mut sum, mut nil, mut negative, mut unexpected) = (0, false, false, false);
        for (account, balance) in value.entries().ok_or(BALANCES)? {
            unexpected |=
                self.options.accounts.as_ref().is_some_and(|all| !all.contains(&*account));
            if balance.is_null() {
                nil = true;
                continue;
            }
            let balance = balance.as_int().ok_or(BALANCES)?;
            sum += i128::from(balance);
            negative |= balance < 0;
        }
        if !nil {
            self.entered.insert(span.process);
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
        if self.early > 0 {
            details.insert("early-read-count".into(), self.early.into());
        }
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
        words.extend(self.half_seen(shown, shown.total - right));
        words
    }

    /// The last transfer that began before the read ended and explains what there is too much or too little, if one half of it was
    /// seen. It is a guess: several halves may come to the same.
    fn half_seen(&self, shown: &Shown, excess: i128) -> Option<String> {
        let fits = |(span, transfer): &&(Span, Transfer)| {
            i128::from(transfer.amount).abs() == excess.abs() && span.call < shown.span.ret
        };
        let (span, Transfer { from, to, amount }) =
            self.transfers.iter().filter(fits).max_by_key(|(span, _)| span.call)?;
        let name = |account: &Value| account.as_str().map_or(account.to_string(), Into::into);
        let (from, to) = (name(from), name(to));
        let (seen, missed) = match (excess > 0) == (*amount > 0) {
            true => (format!("what {to} gained"), format!("what {from} lost")),
            false => (format!("what {from} lost"), format!("what {to} gained")),
        };
        Some(format!(
            "It would be so if of process {}'s transfer of {amount} from {from} to {to} (event {}) {seen} had been seen, and \
             {missed} had not.",
            span.process, span.call
        ))
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
