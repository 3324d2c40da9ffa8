//! Does a lock keep two clients apart, and do its fencing tokens rise? `acquire`, whose result may be a token; `release`.
//!
//! *Holders.* A client certainly believes that it holds the lock from when its acquire returned until it asks to release it, or
//! until its process ends with an unknown outcome. If that release fails, which says that it did not happen, the client may
//! know better, but the lock is still its own: if another gets it all the same, it was *lost*. Acquisitions of unknown outcome make no certain holder.
//! Two certain holders at once are a violation; so is one that acquires again without a release. For clients that release what
//! they hold this decides linearizability of the lock, except for acquisitions of unknown outcome, which may have been in the way
//! of others; the workloads `mutex` and `fenced-mutex` decide it for all.
//!
//! *Strangers.* A lock is released by its holder. Where a release by anybody else succeeds, or nobody knows, it is taken to
//! end what all hold then and while it runs: clients may share what identifies a holder.
//!
//! *Leases.* A lock that frees itself when its holder is silent for too long cannot keep clients apart: a client that is paused or cut
//! off believes on. With the option `lease-ms` a hold counts for so long, from the invocation of its acquire, and what overlaps
//! later is counted but no violation of the lock: it is what tokens are for.
//!
//! *Tokens.* A resource that refuses a token lower than one that it has seen keeps out holders that lost the lock without knowing,
//! provided that tokens rise: one that is given out after another must be larger, and no two may be the same.
//!
//! Where there are `append` and `read` of a resource besides, [`critical_sections`](super::critical_sections) judges those.
//!
//! Sources: Gray & Cheriton, *Leases* (SOSP 1989); M. Kleppmann, *How to do distributed locking* (2016), for fencing tokens.
//! Limits: holds are measured by the harness' clock, leases by the store's; a clock that runs slow is taken for a broken lease.

use keelhaul_history::{Header, Process, RawOp, RawValue};
use serde_json::Map;

use crate::columns::{ColumnError, WordMap};
use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::subject::{Asked, Judged, OptionError, Settings, Subject};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use crate::workload::{Setting, Workload};

use super::calls::{Checker, End, Keyed};
use super::critical_sections::CriticalSections;
use super::tell::{self, seconds};

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: "lock",
    what: "acquire, which may return a fencing token, and release: no two holders, tokens rise; append to what the lock guards, and read of it: one holder after the other",
    models: &[],
    options: &[Setting {
        name: LEASE_MS,
        what: "milliseconds after which the lock frees itself; what the history's header says, or never, if absent",
    }],
    subject: |settings| {
        let holders = Keyed::new(Options::new(settings)?);
        Ok(Box::new(Locks { holders, sections: Keyed::new(()), guards: false }))
    },
};

/// Locks, and the resources that they guard, if there are any.
struct Locks {
    holders: Keyed<LockSafety>,
    sections: Keyed<CriticalSections>,
    /// Whether anything was done to a resource.
    guards: bool,
}

impl Subject for Locks {
    fn begin(&mut self, header: &Header) {
        self.holders.begin(header);
    }

    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        if op.process == Process::Nemesis {
            return Ok(());
        }
        if matches!(op.f, "append" | "read") {
            self.guards = true;
        } else {
            self.holders.observe(op)?;
        }
        self.sections.observe(op)
    }

    fn finish(self: Box<Self>, asked: &Asked<'_>) -> Judged {
        let holders = Box::new(self.holders).finish(asked);
        if !self.guards {
            return holders;
        }
        let mut judged = Box::new(self.sections).finish(asked);
        judged.checks.extend(holders.checks);
        judged
    }
}

/// The option that says how long a lease is, on the command line and in a history's header.
pub const LEASE_MS: &str = "lease-ms";

/// Names of the anomalies.
pub const TWO_HOLDERS: &str = "two-holders";
/// See [`TWO_HOLDERS`].
pub const LOST_LOCK: &str = "lost-lock";
/// See [`TWO_HOLDERS`].
pub const TOKEN_NOT_RISING: &str = "token-not-rising";

/// What holds of the lock.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    lease_ns: Option<u64>,
}

impl Options {
    /// What the user says.
    ///
    /// # Errors
    /// If an option has the wrong kind of value.
    pub fn new(settings: &Settings) -> Result<Self, OptionError> {
        let read = |value: &keelhaul_history::Value| u64::try_from(value.as_int()?).ok();
        let ms = settings.get(LEASE_MS, "a number of milliseconds", read)?;
        Ok(Self { lease_ns: ms.map(|ms| ms.saturating_mul(1_000_000)) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ok,
    Fail,
    Unknown,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
struct Row {
    span: Span,
    /// Whether it acquires; otherwise it releases.
    acquires: bool,
    token: Option<i64>,
    fate: Fate,
}

/// A lock.
#[derive(Debug)]
pub struct LockSafety {
    options: Options,
    rows: Vec<Row>,
    /// Numbers of rows, at their invocations and completions in order.
    events: Vec<(u32, Event)>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Begins,
    Ends,
}

impl Checker for LockSafety {
    const NAME: &'static str = "lock-safety";
    const KNOWN: &'static str = "a lock has acquire and release";
    type Options = Options;
    type Call = u32;

    fn learn(options: &mut Options, header: &Header) {
        let ms = header.options.get(LEASE_MS).and_then(|value| u64::try_from(value.as_int()?).ok());
        options.lease_ns = options.lease_ns.or(ms.map(|ms| ms.saturating_mul(1_000_000)));
    }

    fn new(options: &Options) -> Self {
        Self { options: *options, rows: Vec::new(), events: Vec::new() }
    }

    fn invoke(&mut self, span: &Span, f: &str, _value: RawValue<'_>) -> Result<u32, Misfit> {
        let acquires = match f {
            "acquire" => true,
            "release" => false,
            _ => return Err(Misfit::Function),
        };
        let at = self.rows.len() as u32;
        self.rows.push(Row { span: *span, acquires, token: None, fate: Fate::Unknown });
        self.events.push((at, Event::Begins));
        Ok(at)
    }

    fn complete(&mut self, at: u32, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        let row = &mut self.rows[at as usize];
        row.span = *span;
        row.fate = match end {
            End::Ok(value) => {
                // What an acquire returns besides a number, e.g. what it was invoked with, is no token.
                row.token = value.as_int().filter(|_| row.acquires);
                Fate::Ok
            }
            End::Fail => Fate::Fail,
            End::Info => Fate::Unknown,
        };
        self.events.push((at, Event::Ends));
        Ok(())
    }

    fn finish(self) -> Check {
        let mut sweep = Sweep::new(&self);
        for (at, event) in &self.events {
            match event {
                Event::Begins => sweep.begins(*at),
                Event::Ends => sweep.ends(*at),
            }
        }
        sweep.check()
    }
}

/// Two operations that are at odds.
#[derive(Clone, Copy, Debug)]
struct Pair {
    first: u32,
    second: u32,
}

/// An acquisition that was not released.
#[derive(Clone, Copy, Debug)]
struct Holder {
    at: u32,
    process: u32,
    /// The release that failed; until there is one, its process believes to hold the lock.
    failed: Option<u32>,
}

/// What is found on the way through the history.
struct Sweep<'a> {
    rows: &'a [Row],
    lease_ns: Option<u64>,
    /// Acquisitions that were not released.
    holders: Vec<Holder>,
    /// Processes that are releasing what they do not hold, and may succeed.
    strangers: Vec<u32>,
    acquired: usize,
    fenced: usize,
    expired: usize,
    overlaps: (usize, Option<Pair>),
    lost: (usize, Option<Pair>),
    /// The acquisition with the largest token among those that have returned.
    largest: Option<u32>,
    /// For acquisitions in flight, by process, what `largest` was when they began.
    before: WordMap<u32, u32>,
    given: WordMap<i64, u32>,
    unrisen: (usize, Option<Pair>),
}

impl<'a> Sweep<'a> {
    fn new(lock: &'a LockSafety) -> Self {
        Self {
            rows: &lock.rows,
            lease_ns: lock.options.lease_ns,
            holders: Vec::new(),
            strangers: Vec::new(),
            acquired: 0,
            fenced: 0,
            expired: 0,
            overlaps: (0, None),
            lost: (0, None),
            largest: None,
            before: WordMap::default(),
            given: WordMap::default(),
            unrisen: (0, None),
        }
    }

    fn begins(&mut self, at: u32) {
        let row = self.rows[at as usize];
        if row.acquires {
            if let Some(largest) = self.largest {
                self.before.insert(row.span.process, largest);
            }
            return;
        }
        let process = row.span.process;
        match (self.holders.iter_mut().find(|holder| holder.process == process), row.fate) {
            (Some(own), Fate::Fail) => own.failed = Some(at),
            (Some(_), _) => self.end_holds(process),
            (None, Fate::Fail) => {}
            (None, _) => {
                self.holders.clear();
                self.strangers.push(process);
            }
        }
    }

    fn ends(&mut self, at: u32) {
        let row = self.rows[at as usize];
        let before = self.before.remove(&row.span.process);
        self.strangers.retain(|process| *process != row.span.process);
        match row.fate {
            Fate::Unknown => self.end_holds(row.span.process),
            Fate::Ok if row.acquires => {
                self.acquired += 1;
                self.hold(at, &row);
                if let Some(token) = row.token {
                    self.token(at, token, before);
                }
            }
            Fate::Ok | Fate::Fail => {}
        }
    }

    fn end_holds(&mut self, process: u32) {
        self.holders.retain(|holder| holder.process != process);
    }

    fn hold(&mut self, at: u32, row: &Row) {
        if let Some(lease_ns) = self.lease_ns {
            let (rows, holders) = (self.rows, self.holders.len());
            self.holders.retain(|holder| {
                row.span.end_ns < rows[holder.at as usize].span.start_ns.saturating_add(lease_ns)
            });
            self.expired += holders - self.holders.len();
        }
        if !self.strangers.is_empty() {
            return;
        }
        let believing = self.holders.iter().find(|holder| holder.failed.is_none());
        let (found, first) = match believing.or(self.holders.first()) {
            Some(holder) if holder.failed.is_none() => (&mut self.overlaps, holder.at),
            Some(holder) => (&mut self.lost, holder.at),
            None => {
                self.holders.push(Holder { at, process: row.span.process, failed: None });
                return;
            }
        };
        found.0 += 1;
        found.1.get_or_insert(Pair { first, second: at });
        // Whose release failed has it no more; it is told once.
        self.holders.retain(|holder| holder.failed.is_none());
        self.holders.push(Holder { at, process: row.span.process, failed: None });
    }

    fn token(&mut self, at: u32, token: i64, before: Option<u32>) {
        self.fenced += 1;
        let of = |at: u32| self.rows[at as usize].token;
        let lower = before.filter(|before| of(*before) >= Some(token));
        let same = self.given.insert(token, at);
        if let Some(first) = lower.or(same) {
            self.unrisen.0 += 1;
            self.unrisen.1.get_or_insert(Pair { first, second: at });
        }
        if self.largest.is_none_or(|largest| of(largest) < Some(token)) {
            self.largest = Some(at);
        }
    }

    fn check(&self) -> Check {
        let mut check = Check::new(LockSafety::NAME, Verdict::Valid, String::new());
        check.details = self.details();
        let mut told = Vec::new();
        for (name, (n, pair), what) in [
            (TWO_HOLDERS, self.overlaps, "acquired while another client held it"),
            (LOST_LOCK, self.lost, "acquired although the release before had failed"),
            (TOKEN_NOT_RISING, self.unrisen, "returned with a token that did not rise"),
        ] {
            let Some(pair) = pair else { continue };
            told.push(format!("{n} {what}"));
            check.anomalies.push(name.into());
            let tell = || match name {
                TWO_HOLDERS => self.two_holders(pair),
                LOST_LOCK => self.lost_lock(pair),
                _ => self.tokens(pair),
            };
            check.evidence.get_or_insert_with(tell);
        }
        let acquired = count(self.acquired, "acquisition");
        let expired = match (self.expired, self.fenced) {
            (0, _) => String::new(),
            (n, 0) => format!(
                "; {n} ran into the next after their lease had ended, and without fencing tokens nothing tells the holders apart"
            ),
            (n, _) => format!(
                "; {n} ran into the next after their lease had ended, which the tokens tell"
            ),
        };
        if !told.is_empty() {
            check.verdict = Verdict::Invalid;
            check.reason = format!("{}, of {acquired}{expired}", told.join(", "));
        } else if self.acquired < 2 {
            check.verdict = Verdict::Vacuous;
            check.reason = format!("{acquired} certain: nobody to keep apart");
        } else {
            let tokens = if self.fenced > 0 { ", and their tokens rose" } else { "" };
            check.reason = format!("no two of {acquired} held at once{tokens}{expired}");
        }
        check
    }

    fn details(&self) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        let failed = self.rows.iter().filter(|row| !row.acquires && row.fate == Fate::Fail).count();
        for (name, n) in [
            ("acquired-count", self.acquired),
            ("fenced-count", self.fenced),
            ("two-holders-count", self.overlaps.0),
            ("lost-lock-count", self.lost.0),
            ("token-not-rising-count", self.unrisen.0),
            ("expired-count", self.expired),
            ("failed-release-count", failed),
        ] {
            details.insert(name.into(), n.into());
        }
        details
    }

    fn label(row: &Row) -> String {
        row.token.map_or_else(|| "acquire".into(), |token| format!("acquire -> {token}"))
    }

    fn two_holders(&self, pair: Pair) -> Evidence {
        let (first, second) = (self.rows[pair.first as usize], self.rows[pair.second as usize]);
        let mut ops =
            vec![first.span.shown(Self::label(&first)), second.span.shown(Self::label(&second))];
        let (one, other) = (first.span.process, second.span.process);
        let since = seconds(first.span.end_ns);
        let mut words = vec![if one == other {
            format!(
                "Process {one} held the lock from {since} on and did not release it before it acquired it again."
            )
        } else {
            format!(
                "Process {one} held the lock from {since} on and had not asked to release it when process {other}'s acquire \
                 returned at {}.",
                seconds(second.span.end_ns)
            )
        }];
        let rest = &self.rows[pair.first as usize + 1..];
        let release = rest.iter().find(|row| row.span.process == one && !row.acquires);
        if let Some(release) = release {
            ops.push(release.span.shown("release"));
            words.push(format!("It asked to release it at {}.", seconds(release.span.start_ns)));
        }
        if let Some(lease_ns) = self.lease_ns {
            words.push(format!(
                "Its lease ran until {} at least.",
                seconds(first.span.start_ns.saturating_add(lease_ns))
            ));
        }
        words.push(match (first.token, second.token) {
            (Some(one), Some(other)) if one < other => {
                format!(
                    "A resource that has seen token {other} and refuses {one} is safe all the same."
                )
            }
            _ => "There are no rising tokens by which a resource could refuse one of them.".into(),
        });
        tell::evidence(ops, vec![second.span.call], release.is_none(), words)
    }

    fn lost_lock(&self, pair: Pair) -> Evidence {
        let (first, second) = (self.rows[pair.first as usize], self.rows[pair.second as usize]);
        let (one, other) = (first.span.process, second.span.process);
        let after = &self.rows[pair.first as usize + 1..];
        let release = after.iter().find(|row| row.span.process == one && !row.acquires);
        let mut ops =
            vec![first.span.shown(Self::label(&first)), second.span.shown(Self::label(&second))];
        ops.extend(release.map(|row| row.span.shown("release, failed")));
        let words = vec![
            format!(
                "Process {one} held the lock from {} on. Its release failed, which says that it did not happen.",
                seconds(first.span.end_ns)
            ),
            format!(
                "And yet process {other} got the lock at {}: process {one} had lost it.",
                seconds(second.span.end_ns)
            ),
        ];
        tell::evidence(ops, vec![second.span.call], false, words)
    }

    fn tokens(&self, pair: Pair) -> Evidence {
        let (first, second) = (self.rows[pair.first as usize], self.rows[pair.second as usize]);
        let ops =
            vec![first.span.shown(Self::label(&first)), second.span.shown(Self::label(&second))];
        let (one, other) = (first.token.unwrap_or_default(), second.token.unwrap_or_default());
        let words = vec![if one == other {
            format!(
                "Process {} and process {} both got token {one}.",
                first.span.process, second.span.process
            )
        } else {
            format!(
                "Process {} had got token {one} before process {} began to acquire, and that got {other}, which is not larger.",
                first.span.process, second.span.process
            )
        }];
        tell::evidence(ops, vec![second.span.call], true, words)
    }
}
