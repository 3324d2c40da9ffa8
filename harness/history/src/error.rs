//! What can be wrong with a history on disk.

use std::io;

use crate::{FORMAT_VERSION, Process};

/// Why a history cannot be read, with the line where it went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes could not be had.
    #[error("read the history near line {line}")]
    Io {
        /// Line that was being read, from 1.
        line: u64,
        /// What the reader underneath said.
        #[source]
        source: io::Error,
    },
    /// The bytes are not a history.
    #[error("line {line}: {problem}")]
    Malformed {
        /// Line concerned, from 1 (the header).
        line: u64,
        /// What is wrong, and what would be right.
        problem: Problem,
    },
}

/// What is wrong with a line, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing, or only a part of the header, was written.
    #[error("the file ends before its header line is complete, so nothing was recorded")]
    HeaderCut,
    /// The first line is something else.
    #[error(
        "not a keelhaul history: the first line must be a header such as {{\"keelhaul\":{FORMAT_VERSION},…}} ({0})"
    )]
    NotAHeader(String),
    /// Written by a newer program.
    #[error(
        "format version {0} is newer than {FORMAT_VERSION}, the newest this program reads: use the program that wrote it"
    )]
    NewerVersion(u64),
    /// No such version was ever written.
    #[error("format version {0} does not exist: the versions are 1 to {FORMAT_VERSION}")]
    NoSuchVersion(u64),
    /// The text is not JSON at a column.
    #[error("not JSON at column {column}: {expected}")]
    NotJson {
        /// Byte within the line, from 1.
        column: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A required field is absent.
    #[error("field \"{0}\" is missing; an op needs index, time, type, process and f")]
    MissingField(&'static str),
    /// A field has the wrong type.
    #[error("field \"{field}\" must be {expected}")]
    BadField {
        /// Its name.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A field stands twice in an object.
    #[error("field \"{0}\" stands twice in one op")]
    DuplicateField(&'static str),
    /// An index was seen before.
    #[error("index {found} where {expected} must follow: the line is duplicated or out of order")]
    IndexBack {
        /// What the line says.
        found: u64,
        /// What would follow the line before.
        expected: u64,
    },
    /// Indices were skipped.
    #[error("index {found} where {expected} must follow: lines are missing or out of order")]
    IndexGap {
        /// What the line says.
        found: u64,
        /// What would follow the line before.
        expected: u64,
    },
    /// Time ran backwards.
    #[error(
        "time {found} ns is before {previous} ns on the line above: times never decrease along a history"
    )]
    TimeBack {
        /// What the line says.
        found: u64,
        /// What the line before said.
        previous: u64,
    },
    /// A process invoked while its operation was still open.
    #[error(
        "process {process} invokes while its operation of index {open} is open: it must complete first"
    )]
    DoubleInvoke {
        /// Who.
        process: Process,
        /// Index of the invocation that is still open.
        open: u64,
    },
    /// A completion that nothing began.
    #[error("process {0} completes an operation that it never invoked")]
    NoInvocation(Process),
    /// A completion of another function.
    #[error("process {process} completes \"{found}\" but had invoked \"{invoked}\"")]
    OtherFunction {
        /// Who.
        process: Process,
        /// What the completion says.
        found: String,
        /// What the invocation said.
        invoked: String,
    },
    /// A process that should have been retired.
    #[error(
        "process {0} is used again after an info: nobody knows when its last operation ends, so a new process must take its place"
    )]
    ReusedAfterInfo(Process),
    /// Something follows the end.
    #[error("bytes follow the seal, which must be the last line")]
    AfterSeal,
    /// The seal is not of the right shape.
    #[error("the seal must read {{\"seal\":{{\"count\":N,\"crc32\":\"xxxxxxxx\"}}}}")]
    BadSeal,
    /// The seal counts other ops.
    #[error(
        "the seal counts {sealed} ops but {found} are there: the file was changed after it was sealed"
    )]
    SealCount {
        /// What the seal says.
        sealed: u64,
        /// What is there.
        found: u64,
    },
    /// The seal's checksum is of other bytes.
    #[error(
        "the seal's checksum is {sealed:08x} but the lines above give {found:08x}: the file was changed after it was sealed"
    )]
    SealChecksum {
        /// What the seal says.
        sealed: u32,
        /// What is there.
        found: u32,
    },
    /// A line above the cap.
    #[error("longer than {max} bytes, the longest line that is accepted")]
    LineTooLong {
        /// The cap.
        max: usize,
    },
    /// Not text.
    #[error("not UTF-8 at column {column}")]
    NotUtf8 {
        /// Byte within the line, from 1.
        column: usize,
    },
    /// Lists within lists within lists.
    #[error("nested deeper than {max} levels, the deepest that is accepted")]
    TooDeep {
        /// The cap.
        max: usize,
    },
    /// The kind of an imported file cannot be told.
    #[error(
        "neither a keelhaul history, nor Jepsen's EDN, JSON or log lines, nor transactions of Plume, dbcop or Cobra: the first bytes fit none of them, so name the kind"
    )]
    Unrecognised,
    /// An imported file is compressed.
    #[error(
        "compressed with {with}: decompress it first, as in `{command} FILE | keelhaul check -`"
    )]
    Compressed {
        /// The program that did it.
        with: &'static str,
        /// What undoes it.
        command: &'static str,
    },
    /// An imported file is text of another encoding.
    #[error(
        "text in UTF-16, which must be UTF-8: convert it first, as in `iconv -f UTF-16 -t UTF-8`"
    )]
    Utf16,
    /// The text is not EDN at a column.
    #[error("not EDN at column {column}: {expected}")]
    NotEdn {
        /// Byte within the line, from 1.
        column: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A line of a log is not an operation.
    #[error(
        "not a log line of an operation at column {column}: process, type, function and value must stand there, as in `3 :invoke :write 1`"
    )]
    NotALogLine {
        /// Byte within the line, from 1.
        column: usize,
    },
    /// A key stands twice in a map.
    #[error("key {0} stands twice in one map")]
    KeyTwice(String),
    /// An imported op says nothing of its process.
    #[error(
        "the operation has no process: each needs the number of the client that performed it, or nemesis"
    )]
    NoProcess,
    /// An imported op's process is of no known form.
    #[error("process {0} is neither a number from 0 to 999999999 nor nemesis")]
    ForeignProcess(String),
    /// An imported op does not say whether it begins or how it ended.
    #[error("the operation has no type: it must be one of invoke, ok, fail and info")]
    NoType,
    /// An imported op's type is unknown.
    #[error("type {0} is none of invoke, ok, fail and info")]
    UnknownType(String),
    /// An imported op does not say what was done.
    #[error(
        "the operation has no f, the name of what it does (only a list of micro-operations may go without: it is a txn)"
    )]
    NoFunction,
    /// An imported op's index or time is no number.
    #[error("{field} {found} is not a whole number of 64 bits")]
    ForeignNumber {
        /// Its name.
        field: &'static str,
        /// What stands there.
        found: String,
    },
    /// Indices of an imported history do not rise.
    #[error(
        "index {found} follows index {previous}: indices must rise, so an operation is duplicated or out of order"
    )]
    ForeignIndexBack {
        /// What this operation says.
        found: u64,
        /// What the one before said.
        previous: u64,
    },
    /// A process' own times go back.
    #[error(
        "time {found} ns is before {previous} ns, when process {process} did its last step: what a process does is in order"
    )]
    OwnTimeBack {
        /// Who.
        process: Process,
        /// What the operation says.
        found: i64,
        /// What the process' operation before said.
        previous: i64,
    },
    /// Times go back further than clocks and threads explain.
    #[error(
        "time {found} ns follows {previous} ns: times must not go back along a history (by more than {tolerated} ns here, which threads that race explain)"
    )]
    ForeignTimeBack {
        /// What the operation says.
        found: i64,
        /// The latest time before.
        previous: i64,
        /// What would have been accepted.
        tolerated: i64,
    },
    /// A line of Plume's text is no operation.
    #[error(
        "not an operation at column {column}: a line must read r(key,value,session,transaction) or w(…), with whole numbers"
    )]
    NotPlume {
        /// Byte within the line, from 1.
        column: usize,
    },
    /// A transaction goes on after another one.
    #[error(
        "transaction {txn} of session {session} goes on after another one: the operations of a transaction must stand together"
    )]
    TxnApart {
        /// Whose.
        session: i64,
        /// Which.
        txn: i64,
    },
    /// A write that cannot be told from the initial value.
    #[error(
        "key {key} is written 0, which is what a key holds before anybody writes it: written values must differ from it"
    )]
    InitialWritten {
        /// Which key.
        key: String,
    },
    /// A transaction that would be a line above the cap.
    #[error("the transaction takes more than {max} bytes, the longest that is accepted")]
    TxnTooLong {
        /// The cap.
        max: usize,
    },
    /// The bytes are not dbcop's.
    #[error("not dbcop's bincode at byte {offset}: {expected}")]
    NotBincode {
        /// Bytes of the file before it.
        offset: u64,
        /// What should stand there.
        expected: &'static str,
    },
    /// The bytes are not Cobra's.
    #[error("not a log of Cobra's at byte {offset}: {expected}")]
    NotCobra {
        /// Bytes of the file before it.
        offset: u64,
        /// What should stand there.
        expected: &'static str,
    },
    /// A value without its key.
    #[error(
        "value {0} is not [key value], which every operation of a history of independent keys has"
    )]
    NotATuple(String),
}
