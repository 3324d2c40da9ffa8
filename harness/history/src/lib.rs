//! Operations and histories: what every other crate talks about.
//!
//! A *history* is the sequence of [`Op`]s that a run recorded: every operation twice, once when a process
//! invoked it and once when it completed, plus the faults, which travel under the process [`Process::Nemesis`].
//!
//! On disk it is JSON Lines: a [`Header`], then an op a line as it happens, then a seal with the count of ops and a
//! checksum of every byte before it. A [`Writer`] appends, a [`Reader`] hands out borrowed [`RawOp`]s, so that a
//! checker decodes into columns without building a tree. [`faults`] says which faults were in effect when; [`import`]
//! reads what other tools recorded.
//!
//! This crate is pure: it reads and writes through the `Read` and `Write` it is given, owns no clock and no file.

pub mod ahead;
mod decimal;
mod error;
pub mod faults;
mod header;
pub mod import;
mod op;
mod pairing;
mod raw;
mod read;
mod registers;
mod scan;
mod value;
mod write;

pub use error::{Problem, ReadError};
pub use header::{FORMAT_VERSION, Header, Options};
pub use op::{F, Kind, NodeId, Op, Process};
pub use raw::{Invoked, ListOp, RawOp, RawValue};
pub use read::{Ending, LINE_BYTES_MAX, Reader};
pub use registers::{OpValue, RegisterOp, Registers};
pub use value::Value;
pub use write::{SealError, Writer};
