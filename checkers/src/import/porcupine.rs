//! The etcd logs that the Porcupine checker is tested with: one register.
//!
//! How a line is read is [`keelhaul_history::import`]'s to say. A failed cas in these logs means that the store compared
//! and found another value, which is a promise to check ([`Outcome::Miss`]), not an operation that never happened. `nil`
//! is the initial value.

use keelhaul_history::import::{CAS_MISMATCH, Format, Importer, Independent};
use keelhaul_history::{Kind, Process, ReadError, Value};

use crate::columns::{ColumnError, Outcome, Registers, RegistersBuilder};
use crate::judge::observe_register;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is not of the format, or does not fit those before it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ops are not a register's; events are counted from 0.
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
    let mut importer = Importer::new(log.as_bytes(), Format::PorcupineEtcd, Independent::No)?;
    let mut builder = RegistersBuilder::new(Value::Null);
    while let Some(op) = importer.next_op()? {
        let miss = op.kind == Kind::Fail && op.error.as_deref() == Some(CAS_MISMATCH);
        let taken = match op.process {
            Process::Client(process) if miss => {
                builder.complete(op.index, op.time_ns, process, Outcome::Miss)
            }
            _ => observe_register(&mut builder, &op),
        };
        taken.map_err(|source| ImportError::Columns { line: importer.line(), source })?;
    }
    Ok(builder.finish())
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
        let error = |lines: &[&str]| registers(&log(lines)).unwrap_err();
        let process = error(&["0 :invoke :write 1", "x :ok :write 1"]).to_string();
        assert!(process.starts_with("line 2: process \"x\" is neither"), "{process}");
        let orphan = error(&["0 :ok :write 1"]).to_string();
        assert_eq!(orphan, "line 1: process 0 completes an operation that it never invoked");
        let function = error(&["0 :invoke :write 1", "1 :invoke :append 1"]);
        assert!(matches!(
            function,
            ImportError::Columns { line: 2, source: ColumnError::Function { .. } }
        ));
        assert!(registers("nonsense").is_err());
    }
}
