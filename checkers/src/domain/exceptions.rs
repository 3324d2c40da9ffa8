//! What went wrong for clients without their saying how it ended: operations of unknown outcome by what they report.
//!
//! An error that a store's adapter does not know is recorded as unknown, whatever it was: a timeout, a closed connection, or a
//! mistake of the adapter's own that makes a whole function worthless. So this looks at every workload's history, whatever its
//! operations mean. Texts that differ only in numbers are counted together. It is never invalid: no store promises not to
//! fail, and other checkers count those operations as what they are.
//!
//! Source: the checker `unhandled-exceptions` of Jepsen (`jepsen.checker`), which groups by the class of the exception.

use std::collections::BTreeMap;

use keelhaul_history::{Kind, Process, RawOp};
use serde_json::json;

use crate::columns::ColumnError;
use crate::judge::guard;
use crate::subject::{Asked, Judged, Subject};
use crate::verdict::{Check, Verdict};
use crate::words::count;
use crate::workload::Workload;

use super::tell::LISTED_MAX;

/// The workload.
pub(super) const WORKLOAD: Workload = Workload {
    name: NAME,
    what: "any operations: what those of unknown outcome report",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Exceptions::default())),
};

/// The check's name.
pub const NAME: &str = "unhandled-exceptions";

/// Different texts that are counted; beyond, they are counted together.
const TEXTS_MAX: usize = 1000;

/// Bytes of a text that are looked at.
const TEXT_BYTES_MAX: usize = 300;

/// Operations of unknown outcome.
#[derive(Debug, Default)]
pub struct Exceptions {
    invoked: usize,
    /// By text without numbers: how many, index of the first completion, and its text.
    texts: BTreeMap<String, (usize, u64, String)>,
    others: usize,
}

impl Subject for Exceptions {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        if op.process == Process::Nemesis {
            return Ok(());
        }
        match op.kind {
            Kind::Invoke => self.invoked += 1,
            Kind::Info => self.add(op.index, op.error.as_deref().unwrap_or("no reason given")),
            Kind::Ok | Kind::Fail => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _asked: &Asked<'_>) -> Judged {
        let check = guard(NAME, || self.check());
        Judged { keys: 0, operations: self.invoked, checks: vec![check], standing: Vec::new() }
    }
}

impl Exceptions {
    fn add(&mut self, index: u64, text: &str) {
        let class = class(text);
        let full = self.texts.len() >= TEXTS_MAX;
        match self.texts.get_mut(&class) {
            Some((n, ..)) => *n += 1,
            None if full => self.others += 1,
            None => {
                self.texts.insert(class, (1, index, cut(text).into()));
            }
        }
    }

    fn check(&self) -> Check {
        let infos = self.others + self.texts.values().map(|(n, ..)| n).sum::<usize>();
        let mut most: Vec<_> = self.texts.iter().collect();
        most.sort_by_key(|(class, (n, ..))| (std::cmp::Reverse(*n), *class));
        let (verdict, reason) = match (self.invoked, most.first()) {
            (0, _) => (Verdict::Vacuous, "no client ever invoked an operation".into()),
            (_, None) => (Verdict::Valid, "no operation ended with an unknown outcome".into()),
            (n, Some((_, (times, _, text)))) => (
                Verdict::Valid,
                format!(
                    "{infos} of {} ended with an unknown outcome, {times} with: {text}",
                    count(n, "operation")
                ),
            ),
        };
        let mut check = Check::new(NAME, verdict, reason);
        check.details.insert("info-count".into(), infos.into());
        let told = most.iter().take(LISTED_MAX);
        let told = told.map(|(class, (n, index, text))| json!({"class": class, "count": n, "example": {"index": index, "error": text}}));
        check.details.insert("exceptions".into(), told.collect());
        check
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// The text with `#` for every number.
fn class(text: &str) -> String {
    let mut class = String::new();
    for c in cut(text).chars() {
        if !c.is_ascii_digit() {
            class.push(c);
        } else if !class.ends_with('#') {
            class.push('#');
        }
    }
    class
}
