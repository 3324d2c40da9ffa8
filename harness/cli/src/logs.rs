//! Lines of the nodes' logs that must not be there: `--log-pattern`.
//!
//! Patterns are those of the `regex` crate: Perl's without what takes exponential time. They match bytes, for a store may
//! write anything: `.` is any byte, `\w` a letter of ASCII. What is no UTF-8 is shown with replacements.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use keelhaul_checkers::{Check, LogLines};
use keelhaul_results::RunDir;
use regex::bytes::{Regex, RegexBuilder};

use crate::exit::{Exit, Failure};

/// Bytes of a line that are held; what is longer is looked at in pieces.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Makes sense of the flag.
pub fn pattern(text: Option<&str>) -> Result<Option<Regex>, Failure> {
    let parse = |text: &str| {
        RegexBuilder::new(text).unicode(false).build().map_err(|error| {
            Failure::usage(format!("--log-pattern {text:?} is no regular expression: {error}"))
        })
    };
    text.map(parse).transpose()
}

/// Looks through all logs of the run that a history belongs to.
pub fn check(history: &Path, pattern: &Regex) -> Result<Check, Failure> {
    let dir = RunDir::open(history.parent().unwrap_or(Path::new(".")));
    if history.file_name() != dir.history().file_name() || !dir.plan().exists() {
        return Err(Failure::usage(format!(
            "--log-pattern looks at the logs of a run, and {} is not the history of one",
            history.display()
        )));
    }
    let mut lines = LogLines::new(pattern.as_str());
    for name in dir.node_files(usize::MAX) {
        let file = File::open(dir.path().join(&name))
            .and_then(|file| look_through(BufReader::new(file), &name, pattern, &mut lines));
        file.with_context(|| format!("failed to read {name}"))
            .map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    }
    Ok(lines.check())
}

fn look_through(
    mut file: impl BufRead,
    name: &str,
    pattern: &Regex,
    lines: &mut LogLines,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    while file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if pattern.is_match(text) {
            lines.found(name, number, &String::from_utf8_lossy(text));
        }
        line.clear();
    }
    lines.looked_at(number);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_need_not_be_text() {
        let pattern = pattern(Some("panic: .*9|^x$")).unwrap().unwrap();
        let mut lines = LogLines::new(pattern.as_str());
        let log = b"all is well\npanic: \xff slot 9\n\nxx\nx";
        look_through(&log[..], "nodes/n1/raft.log", &pattern, &mut lines).unwrap();
        let check = lines.check();
        assert_eq!(check.reason, "2 of 5 lines of 1 log file match \"panic: .*9|^x$\"");
        let words = check.evidence.unwrap().explanation;
        assert_eq!(words[0], "nodes/n1/raft.log, line 2: panic: \u{fffd} slot 9");
        assert_eq!(words[1], "nodes/n1/raft.log, line 5: x");
    }

    #[test]
    fn a_line_without_an_end_is_looked_at_in_pieces() {
        let pattern = pattern(Some("needle")).unwrap().unwrap();
        let mut lines = LogLines::new(pattern.as_str());
        let mut log = vec![b'.'; 3 << 20];
        log.extend(b"needle");
        look_through(&log[..], "n", &pattern, &mut lines).unwrap();
        assert_eq!(lines.check().reason, "1 of 4 lines of 1 log file match \"needle\"");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let error = pattern(Some("(")).unwrap_err();
        assert!(error.to_string().contains("--log-pattern \"(\""), "{error}");
    }
}
