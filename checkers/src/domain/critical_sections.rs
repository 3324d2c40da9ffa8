//! Does a lock keep its holders apart where it matters: in the order in which the resource took what they did? Beside `acquire`
//! and `release` there are `append` to the resource, by who takes itself for the holder, and `read` of all of it.
//!
//! *Section.* What a process appends between an acquire and its release, or its end. A read gives the resource's items in their order;
//! the longest is the *journal*. The lock did its work if the journal is one section after the other, in the order in which they were
//! entered. So an item is
//! * a *stale holder's* if it stands behind one of a section that was entered later: with a larger token, or, whatever the
//!   tokens, by an acquire that was invoked after its own had returned;
//! * *interleaved* if it goes on with a section that another one has interrupted, though nothing tells which came first.
//!
//! An append that failed has been kept out, as it should be: a resource that refuses old tokens makes appends of stale holders fail. One of
//! unknown outcome counts when it is in the journal. Whether two clients *believe* to hold a lock is the question of `lock-safety`,
//! and no lock with leases can prevent that; whether both get at the resource is this one.
//!
//! The journal itself must be one: every read is a beginning of it, with what was acknowledged before the read began, once, and nothing
//! else. Otherwise the store is to blame and not the lock.
//!
//! Source: M. Kleppmann, *How to do distributed locking* (2016), whose storage that checks tokens is the resource.
//! Limits: what the resource took behind the journal's end is not seen; items that are appended twice are told, not placed.

use std::collections::BTreeMap;

use keelhaul_history::{RawValue, Value};
use serde_json::Map;

use crate::columns::WordMap;
use crate::in_flight::Span;
use crate::objects::Misfit;
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;

use super::calls::{Checker, End};
use super::tell::{self, seconds};

/// Names of the anomalies.
pub const STALE_HOLDER: &str = "stale-holder";
/// See [`STALE_HOLDER`].
pub const INTERLEAVED_HOLDERS: &str = "interleaved-holders";
/// See [`STALE_HOLDER`].
pub const LOST_APPEND: &str = "lost-append";
/// See [`STALE_HOLDER`].
pub const WRONG_JOURNAL: &str = "wrong-journal";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ok,
    Fail,
    Unknown,
}

/// A turn of a holder.
#[derive(Clone, Copy, Debug)]
struct Section {
    acquire: Span,
    token: Option<i64>,
}

#[derive(Clone, Debug)]
struct Append {
    span: Span,
    section: Option<u32>,
    item: Value,
    fate: Fate,
}

/// How much of the journal a read saw.
#[derive(Clone, Copy, Debug)]
struct Read {
    span: Span,
    length: usize,
}

/// What is remembered of an operation in flight.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Acquire,
    Release,
    Append(u32),
    Read,
}

/// A lock with the resource that it guards.
#[derive(Debug, Default)]
pub struct CriticalSections {
    sections: Vec<Section>,
    /// The section that a process is in.
    within: WordMap<u32, u32>,
    appends: Vec<Append>,
    by_item: BTreeMap<Value, u32>,
    journal: Vec<Value>,
    reads: Vec<Read>,
    /// The first read that is no beginning of the journal, nor the other way round, and the read that it disagrees with.
    torn: Option<(Span, Span)>,
    /// The read that showed the journal as it is.
    longest: Option<Span>,
}

impl Checker for CriticalSections {
    const NAME: &'static str = "critical-sections";
    const KNOWN: &'static str =
        "a lock has acquire and release, and the resource that it guards append and read";
    type Options = ();
    type Call = Call;

    fn new((): &()) -> Self {
        Self::default()
    }

    fn invoke(&mut self, span: &Span, f: &str, value: RawValue<'_>) -> Result<Call, Misfit> {
        match f {
            "acquire" => Ok(Call::Acquire),
            "release" => {
                self.within.remove(&span.process);
                Ok(Call::Release)
            }
            "append" => {
                let (at, item) = (self.appends.len() as u32, value.to_value());
                let section = self.within.get(&span.process).copied();
                let fate = Fate::Unknown;
                self.by_item.insert(item.clone(), at);
                self.appends.push(Append { span: *span, section, item, fate });
                Ok(Call::Append(at))
            }
            "read" => Ok(Call::Read),
            _ => Err(Misfit::Function),
        }
    }

    fn complete(&mut self, call: Call, span: &Span, end: End<'_>) -> Result<(), Misfit> {
        if end == End::Info {
            self.within.remove(&span.process);
            return Ok(());
        }
        match (call, end) {
            (Call::Acquire, End::Ok(value)) => {
                self.within.insert(span.process, self.sections.len() as u32);
                self.sections.push(Section { acquire: *span, token: value.as_int() });
            }
            (Call::Append(at), end) => {
                let append = &mut self.appends[at as usize];
                append.span = *span;
                append.fate = if end == End::Fail { Fate::Fail } else { Fate::Ok };
            }
            (Call::Read, End::Ok(value)) => self.read(span, value)?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Check {
        let mut scan = Scan::new(&self);
        scan.journal();
        scan.acknowledged();
        scan.check()
    }
}

impl CriticalSections {
    fn read(&mut self, span: &Span, value: RawValue<'_>) -> Result<(), Misfit> {
        let mut length = 0;
        if !value.is_null() {
            let items = value.items().ok_or(Misfit::Value("a list of what was appended"))?;
            for item in items {
                let item = item.to_value();
                match self.journal.get(length) {
                    Some(known) if *known != item => {
                        self.torn = self.torn.or(self.longest.map(|longest| (longest, *span)));
                        return Ok(());
                    }
                    Some(_) => {}
                    None => {
                        self.journal.push(item);
                        self.longest = Some(*span);
                    }
                }
                length += 1;
            }
        }
        self.reads.push(Read { span: *span, length });
        Ok(())
    }
}

/// The first of a kind of finding, and how many there are.
#[derive(Debug)]
struct Found<T> {
    count: usize,
    first: Option<T>,
}

impl<T> Found<T> {
    const NONE: Self = Self { count: 0, first: None };

    fn add(&mut self, what: T) {
        self.count += 1;
        self.first.get_or_insert(what);
    }
}

/// Appends in the order of the journal that are at odds: the second ones came too late.
#[derive(Clone, Copy, Debug)]
struct Late {
    /// Of the interrupted section, before the other.
    before: Option<u32>,
    other: u32,
    late: u32,
}

/// What is found on the way through the journal.
struct Scan<'a> {
    of: &'a CriticalSections,
    /// By append: where it stands.
    position: Vec<Option<usize>>,
    /// By section: its last append so far.
    last: BTreeMap<u32, u32>,
    stale: Found<Late>,
    interleaved: Found<Late>,
    /// Items that nobody appended, or who tried had failed, or that stand there twice.
    wrong: Found<(Value, &'static str)>,
    /// Acknowledged appends that a later read does not have.
    lost: Found<(u32, Span)>,
}

impl<'a> Scan<'a> {
    fn new(of: &'a CriticalSections) -> Self {
        let position = vec![None; of.appends.len()];
        let (stale, interleaved) = (Found::NONE, Found::NONE);
        let (wrong, lost) = (Found::NONE, Found::NONE);
        Self { of, position, last: BTreeMap::new(), stale, interleaved, wrong, lost }
    }

    /// The section of an append of the journal.
    fn section(&self, append: u32) -> Option<(u32, &'a Section)> {
        let of = self.of;
        let at = of.appends[append as usize].section?;
        Some((at, &of.sections[at as usize]))
    }

    fn journal(&mut self) {
        // The appends whose sections were entered last so far, by token and by real time.
        let mut by_token: Option<(i64, u32)> = None;
        let mut by_time: Option<(u32, u32)> = None;
        let mut previous: Option<u32> = None;
        for (position, item) in self.of.journal.iter().enumerate() {
            let Some(append) = self.place(position, item) else { continue };
            let Some((at, section)) = self.section(append) else { continue };
            let older = by_token.filter(|(token, _)| section.token.is_some_and(|own| own < *token));
            let earlier = by_time.filter(|(call, _)| section.acquire.ret < *call);
            let before = self.last.get(&at).copied();
            let interrupted = previous.filter(|other| {
                before.is_some() && self.of.appends[*other as usize].section != Some(at)
            });
            if let Some(other) = older.map(|(_, a)| a).or(earlier.map(|(_, a)| a)) {
                self.stale.add(Late { before, other, late: append });
            } else if let Some(other) = interrupted {
                self.interleaved.add(Late { before, other, late: append });
            }
            if let Some(token) = section.token {
                by_token = by_token.max(Some((token, append)));
            }
            if by_time.is_none_or(|(call, _)| call < section.acquire.call) {
                by_time = Some((section.acquire.call, append));
            }
            self.last.insert(at, append);
            previous = Some(append);
        }
    }

    /// Whose append an item is, if it is as it should be.
    fn place(&mut self, position: usize, item: &Value) -> Option<u32> {
        let found = self.of.by_item.get(item).copied();
        let fault = match found {
            None => Some("nobody ever tried to append"),
            Some(at) if self.of.appends[at as usize].fate == Fate::Fail => {
                Some("was kept out, as its client was told")
            }
            Some(at) if self.position[at as usize].is_some() => Some("stands there before"),
            Some(_) => None,
        };
        if let Some(fault) = fault {
            self.wrong.add((item.clone(), fault));
            return None;
        }
        let at = found?;
        self.position[at as usize] = Some(position);
        Some(at)
    }

    /// Looks for acknowledged appends in the reads that began later.
    fn acknowledged(&mut self) {
        let mut reads = self.of.reads.clone();
        reads.sort_by_key(|read| read.span.call);
        // Of the reads from each on, the one that saw least.
        let mut least: Vec<Read> = Vec::with_capacity(reads.len());
        for read in reads.iter().rev() {
            let next = least.last().filter(|next| next.length <= read.length);
            least.push(*next.unwrap_or(read));
        }
        least.reverse();
        for (at, append) in self.of.appends.iter().enumerate() {
            let from = reads.partition_point(|read| read.span.call < append.span.ret);
            let Some(read) = least.get(from).filter(|_| append.fate == Fate::Ok) else { continue };
            if self.position[at].is_none_or(|position| position >= read.length) {
                self.lost.add((at as u32, read.span));
            }
        }
    }

    fn check(&self) -> Check {
        let mut check = Check::new(CriticalSections::NAME, Verdict::Valid, String::new());
        check.details = self.details();
        let torn = usize::from(self.of.torn.is_some());
        let mut told = Vec::new();
        for (name, n, what) in [
            (STALE_HOLDER, self.stale.count, "stood behind one of a holder that came later"),
            (INTERLEAVED_HOLDERS, self.interleaved.count, "went on with an interrupted section"),
            (LOST_APPEND, self.lost.count, "were acknowledged and then lost"),
            (WRONG_JOURNAL, self.wrong.count + torn, "are wrong in what was read"),
        ] {
            if n > 0 {
                told.push(format!("{n} {what}"));
                check.anomalies.push(name.into());
                check.evidence.get_or_insert_with(|| self.tell(name));
            }
        }
        let items = count(self.of.journal.len(), "item");
        let sections = count(self.last.len(), "section");
        if !told.is_empty() {
            check.verdict = Verdict::Invalid;
            check.reason = format!("{}, of {items} in {sections}", told.join(", "));
        } else if self.last.len() < 2 {
            check.verdict = Verdict::Vacuous;
            check.reason = format!("{items} read, of {sections}: nobody to keep apart");
        } else {
            let kept_out = match self.refused() {
                0 => String::new(),
                n => format!("; {} failed", count(n, "append")),
            };
            check.reason = format!("{items} in {sections}, one after the other{kept_out}");
        }
        check
    }

    /// Appends within a section that failed.
    fn refused(&self) -> usize {
        let refused = |a: &&Append| a.fate == Fate::Fail && a.section.is_some();
        self.of.appends.iter().filter(refused).count()
    }

    fn details(&self) -> Map<String, serde_json::Value> {
        let mut details = Map::new();
        for (name, n) in [
            ("section-count", self.last.len()),
            ("item-count", self.of.journal.len()),
            ("failed-append-count", self.refused()),
            ("stale-holder-count", self.stale.count),
            ("interleaved-count", self.interleaved.count),
            ("lost-append-count", self.lost.count),
            ("wrong-item-count", self.wrong.count),
        ] {
            details.insert(name.into(), n.into());
        }
        details
    }

    fn tell(&self, name: &str) -> Evidence {
        match (name, self.stale.first, self.interleaved.first, self.lost.first) {
            (STALE_HOLDER, Some(late), ..) | (INTERLEAVED_HOLDERS, _, Some(late), _) => {
                self.tell_late(late)
            }
            (LOST_APPEND, _, _, Some((append, read))) => {
                let append = &self.of.appends[append as usize];
                let ops = vec![Self::shown(append), read.shown("read")];
                let words = vec![format!(
                    "Process {} was told at {} that {} is there, and a read that began at {} does not have it.",
                    append.span.process,
                    seconds(append.span.end_ns),
                    append.item,
                    seconds(read.start_ns)
                )];
                tell::evidence(ops, vec![read.call], true, words)
            }
            _ => self.tell_wrong(),
        }
    }

    fn tell_wrong(&self) -> Evidence {
        if let Some((one, other)) = self.of.torn {
            let words = vec![
                "Of these two reads neither shows a beginning of what the other shows.".into(),
            ];
            let ops = vec![one.shown("read"), other.shown("read")];
            return tell::evidence(ops, vec![other.call], true, words);
        }
        let (item, fault) = self.wrong.first.as_ref().expect("one was found");
        let of_item = self.of.by_item.get(item).map(|at| &self.of.appends[*at as usize]);
        let mut ops: Vec<_> = of_item.map(Self::shown).into_iter().collect();
        ops.extend(self.of.longest.map(|read| read.shown("read")));
        let stuck = self.of.longest.map(|read| read.call);
        let words = vec![format!("A read shows {item}, which {fault}.")];
        tell::evidence(ops, stuck.into_iter().collect(), false, words)
    }

    fn shown(append: &Append) -> crate::verdict::EvidenceOp {
        append.span.shown(format!("append {}", append.item))
    }

    fn tell_late(&self, Late { before, other, late }: Late) -> Evidence {
        let of = self.of;
        let append = |at: u32| &of.appends[at as usize];
        let (other, late, before) = (append(other), append(late), before.map(append));
        let entered = |append: &Append| {
            let at = append.section.expect("only appends within sections are at odds");
            of.sections[at as usize]
        };
        let (stale, holder) = (entered(late), entered(other));
        let label = |section: &Section| {
            section.token.map_or_else(|| "acquire".into(), |token| format!("acquire -> {token}"))
        };
        let mut ops = vec![
            stale.acquire.shown(label(&stale)),
            holder.acquire.shown(label(&holder)),
            Self::shown(other),
            Self::shown(late),
        ];
        ops.extend(before.map(Self::shown));
        ops.extend(of.longest.map(|read| read.shown("read")));
        let mut words = vec![
            format!(
                "Process {} got the lock at {}, and process {} at {}.",
                stale.acquire.process,
                seconds(stale.acquire.end_ns),
                holder.acquire.process,
                seconds(holder.acquire.end_ns)
            ),
            format!(
                "In the resource stands {} of process {} and behind it {} of process {}, appended at {}: both were at work at once.",
                other.item,
                holder.acquire.process,
                late.item,
                stale.acquire.process,
                seconds(late.span.start_ns)
            ),
        ];
        words.push(match (stale.token, holder.token) {
            (Some(old), Some(new)) if old < new => format!(
                "The resource had seen token {new} and took what came with {old}: it does not refuse old tokens."
            ),
            (Some(old), Some(new)) => {
                format!("The later holder's token, {new}, is no larger than the earlier one's, {old}.")
            }
            _ => "Without fencing tokens the resource cannot tell a holder from one that was.".into(),
        });
        tell::evidence(ops, vec![late.span.call], false, words)
    }
}
