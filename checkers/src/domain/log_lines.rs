//! Lines of the stores' logs that must not be there, e.g. `panic:`.
//!
//! Finding them is up to whoever reads the files; this makes an answer of what was found. With no line to look at it is
//! vacuous, for a log that was never written cannot show a panic.
//!
//! Source: the checker `log-file-pattern` of Jepsen (`jepsen.checker`), which is content with a missing file.

use serde_json::json;

use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;

/// The check's name, and the anomaly's.
pub const NAME: &str = "log-file-pattern";

/// Matches that are kept; the count is of all.
const MATCHES_MAX: usize = 32;

/// Bytes of a line that are kept.
const LINE_BYTES_MAX: usize = 500;

/// What was found in logs.
#[derive(Debug)]
pub struct LogLines {
    pattern: String,
    files: usize,
    lines: u64,
    matches: usize,
    /// File, number of the line from 1, the line.
    kept: Vec<(String, u64, String)>,
}

impl LogLines {
    /// Nothing yet, of this pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self { pattern: pattern.into(), files: 0, lines: 0, matches: 0, kept: Vec::new() }
    }

    /// A file of so many lines was looked through.
    pub const fn looked_at(&mut self, lines: u64) {
        self.files += 1;
        self.lines += lines;
    }

    /// This line of a file matches.
    pub fn found(&mut self, file: &str, number: u64, line: &str) {
        self.matches += 1;
        if self.kept.len() < MATCHES_MAX {
            let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
            self.kept.push((file.into(), number, line.into()));
        }
    }

    /// The answer.
    #[must_use]
    pub fn check(&self) -> Check {
        let looked = format!(
            "{} of {}",
            count(usize::try_from(self.lines).unwrap_or(usize::MAX), "line"),
            count(self.files, "log file")
        );
        let Self { pattern, matches, .. } = self;
        let mut check =
            Check::new(NAME, Verdict::Valid, format!("none of {looked} matches {pattern:?}"));
        if *matches > 0 {
            check.verdict = Verdict::Invalid;
            check.reason = format!("{matches} of {looked} match {pattern:?}");
            check.anomalies = vec![NAME.into()];
            check.evidence = Some(self.evidence());
        } else if self.lines == 0 {
            check.verdict = Verdict::Vacuous;
            check.reason = format!("there is no line of a log to match {pattern:?}");
        }
        let told = self
            .kept
            .iter()
            .map(|(file, number, line)| json!({"file": file, "line": number, "text": line}));
        check.details.insert("pattern".into(), json!(pattern));
        check.details.insert("count".into(), json!(matches));
        check.details.insert("matches".into(), told.collect());
        check
    }

    /// No operation is to be shown, only lines.
    fn evidence(&self) -> Evidence {
        const SHOWN_MAX: usize = 5;
        let shown = self.kept.iter().take(SHOWN_MAX);
        let mut words: Vec<String> =
            shown.map(|(file, number, line)| format!("{file}, line {number}: {line}")).collect();
        if self.matches > SHOWN_MAX {
            words.push(format!("{} more lines match.", self.matches - SHOWN_MAX));
        }
        Evidence {
            key: None,
            ops: Vec::new(),
            longest_order: Vec::new(),
            stuck: Vec::new(),
            minimal: false,
            edges: Vec::new(),
            explanation: words,
        }
    }
}
