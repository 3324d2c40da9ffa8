//! The etcd logs that the Porcupine checker is tested with: one register, Jepsen's log lines.
//!
//! `INFO  jepsen.util - 3 :invoke :cas [2 1]`: process, type, function and value after the dash. A failed cas in
//! these logs means that the store compared and found another value, which is a promise to check
//! ([`Outcome::Miss`]), not an operation that never happened. `nil` is the initial value. There are no times: lines
//! are counted instead.

use keelhaul_history::Value;

use crate::columns::{Atom, Call, ColumnError, Outcome, Registers, RegistersBuilder};

/// Why a log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A line is not of the format.
    #[error("read line {line}: {expected}")]
    Line {
        /// Line number, from 1.
        line: u64,
        /// What should stand there.
        expected: &'static str,
    },
    /// The lines do not fit together; events are counted from 0.
    #[error("understand line {line}")]
    Columns {
        /// Line number, from 1.
        line: u64,
        /// What is wrong.
        #[source]
        source: ColumnError,
    },
}

/// Reads a log.
///
/// # Errors
/// With the line that is wrong.
pub fn registers(log: &str) -> Result<Registers, ImportError> {
    let mut builder = RegistersBuilder::new(Value::Null);
    for (at, text) in log.lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let line = at as u64 + 1;
        event(&mut builder, at as u64, text)
            .map_err(|expected| ImportError::Line { line, expected })?
            .map_err(|source| ImportError::Columns { line, source })?;
    }
    Ok(builder.finish())
}

/// The outer error says what the line should look like, the inner one why it does not fit those before.
fn event(
    builder: &mut RegistersBuilder,
    index: u64,
    text: &str,
) -> Result<Result<(), ColumnError>, &'static str> {
    let (_, rest) = text.split_once(" - ").ok_or("` - ` must precede the operation")?;
    let (process, rest) = word(rest);
    let process: u32 = process.parse().map_err(|_| "a process number must stand first")?;
    let (kind, rest) = word(rest);
    let (f, value) = word(rest);
    if value.is_empty() {
        return Err("process, type, function and value must stand after the dash");
    }
    if !matches!(f, ":read" | ":write" | ":cas") {
        return Err("the function must be :read, :write or :cas");
    }
    let outcome = match (kind, f) {
        (":invoke", _) => {
            let call = call(f, value).ok_or("a write takes one number, a cas [expected new]")?;
            return Ok(builder.invoke(index, index, process, None, call));
        }
        (":ok", ":read") => Outcome::Ok(atom(value).ok_or("a read returns a number or nil")?),
        (":ok", _) => Outcome::Ok(Atom::Int(0)),
        (":fail", ":cas") if value != ":timed-out" => Outcome::Miss,
        (":fail", _) => Outcome::Fail,
        (":info", _) => Outcome::Info,
        _ => return Err("the type must be :invoke, :ok, :fail or :info"),
    };
    Ok(builder.complete(index, index, process, outcome))
}

/// The first word, and the rest without blanks at its ends.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

fn call(f: &str, value: &str) -> Option<Call> {
    match f {
        ":read" => Some(Call::Read),
        ":write" => atom(value).map(Call::Write),
        _ => {
            let pair = value.strip_prefix('[')?.strip_suffix(']')?;
            let (expected, new) = pair.split_once(' ')?;
            Some(Call::Cas(atom(expected)?, atom(new)?))
        }
    }
}

fn atom(word: &str) -> Option<Atom> {
    match word.trim() {
        "nil" => Some(Atom::Other(Value::Null)),
        number => number.parse().ok().map(Atom::Int),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unlimited, Verdict, linearizable};

    fn log(lines: &[&str]) -> String {
        lines.iter().map(|line| format!("INFO  jepsen.util - {line}\n")).collect()
    }

    fn verdict(lines: &[&str]) -> Verdict {
        linearizable::check(&registers(&log(lines)).unwrap(), &Unlimited).verdict
    }

    #[test]
    fn a_failed_cas_must_have_found_another_value() {
        let write = ["0 :invoke :write 1", "0 :ok :write 1"];
        let miss = |expected: &str| {
            let invoke = format!("1 :invoke :cas [{expected} 2]");
            let fail = format!("1 :fail :cas [{expected} 2]");
            verdict(&[write[0], write[1], &invoke, &fail])
        };
        assert_eq!(miss("3"), Verdict::Valid);
        assert_eq!(miss("1"), Verdict::Invalid);
    }

    #[test]
    fn what_timed_out_may_have_happened() {
        let lines = ["0 :invoke :write 1", "0 :info :write :timed-out", "1 :invoke :read nil"];
        for read in ["1 :ok :read 1", "1 :ok :read nil"] {
            assert_eq!(verdict(&[&lines[..], &[read]].concat()), Verdict::Valid);
        }
    }

    #[test]
    fn errors_name_the_line() {
        let error = |lines: &[&str]| registers(&log(lines)).unwrap_err().to_string();
        assert_eq!(
            error(&["0 :invoke :write 1", "x :ok :write 1"]),
            "read line 2: a process number must stand first"
        );
        assert_eq!(error(&["0 :ok :write 1"]), "understand line 1");
        assert!(error(&["0 :invoke :append 1"]).contains(":read, :write or :cas"));
        assert!(registers("nonsense").is_err());
    }
}
