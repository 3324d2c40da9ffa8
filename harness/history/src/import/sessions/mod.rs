//! Histories of transactions by session, as the checkers of isolation levels exchange them.
//!
//! Such a file says which transactions each session performed, in its order, and nothing of when: there is no real
//! time between sessions. Each transaction becomes a `txn`, invoked and completed at once, its value a list of
//! `["w", key, value]` and `["r", key, value]` as of workload `rw-register`; the header's option [`OPTION_UNTIMED`] says
//! that the order of ops of different processes means nothing. A read of a key that nobody wrote has the value null, also
//! where the format has 0 for it, which then nobody can write. A transaction that was rolled back is a `fail`.
//!
//! # Kinds
//! * [`plume`]: `w(key,value,session,transaction)`, an operation a line (Liu et al., *Plume: Efficient and Complete
//!   Black-Box Checking of Weak Isolation Levels*, OOPSLA 2024);
//! * [`dbcop`] and [`bincode`]: sessions of transactions of events, as JSON and as `bincode` of the structures in memory
//!   (Biswas & Enea, *On the Complexity of Checking Transactional Consistency*, OOPSLA 2019);
//! * [`cobra`]: logs of clients, a session each (Tan et al., *Cobra: Making Transactional Key-Value Stores Verifiably
//!   Serializable*, OSDI 2020).

mod bincode;
mod cobra;
mod dbcop;
mod ops;
mod plume;
mod pull;

use std::io::Read;

pub use self::cobra::SESSION_END;
use self::ops::Ops;
use super::format::Format;
use super::importer::{OPTION_FORMAT, OPTION_UNTIMED};
use super::window::Window;
use crate::error::ReadError;
use crate::raw::{Invoked, RawOp};
use crate::registers::OpValue;
use crate::{Header, Kind, Process, Value};

/// What the operations mean.
const WORKLOAD: &str = "rw-register";

/// Which of these a file begins as, if it is not dbcop's JSON, which is told among other JSON.
pub(super) fn recognise(head: &[u8]) -> Option<Format> {
    if bincode::looks_right(head) {
        return Some(Format::DbcopBincode);
    }
    if cobra::looks_right(head) {
        return Some(Format::Cobra);
    }
    plume::looks_right(head).then_some(Format::Plume)
}

/// Whether JSON that follows the bracket of a first list within a list is of dbcop's transactions, as far as it is there.
pub(super) fn looks_like_session(json: &[u8]) -> bool {
    let json = json.trim_ascii_start();
    match json.first() {
        None | Some(b']') => true,
        Some(b'{') => matches!(json[1..].trim_ascii_start().first(), None | Some(b'"')),
        Some(_) => false,
    }
}

/// A transaction as the file has it.
#[derive(Debug)]
struct Txn {
    /// Its process.
    session: u32,
    /// How it ended; never [`Kind::Invoke`].
    outcome: Kind,
    ops: Ops,
    /// Line of the file, from 1.
    line: u64,
}

enum Syntax<R> {
    Plume(plume::Plume<R>),
    Dbcop(dbcop::Dbcop<R>),
    Bincode(bincode::Bincode<R>),
    Cobra(cobra::Cobra<R>),
}

/// Hands out the ops of a history of sessions.
pub struct Sessions<R> {
    syntax: Syntax<R>,
    header: Header,
    txn: Txn,
    /// Whether the transaction's completion is still to be handed out.
    open: bool,
    next_index: u64,
    ended: bool,
}

impl<R: Read> Sessions<R> {
    /// Begins to import a file of such a kind.
    ///
    /// # Panics
    /// It is of another kind.
    pub(super) fn new(input: R, format: Format) -> Self {
        let mut header = Header::new("", WORKLOAD);
        header.options.set(OPTION_FORMAT, &format.as_str().into());
        header.options.set(OPTION_UNTIMED, &Value::Bool(true));
        let syntax = match format {
            Format::Plume => Syntax::Plume(plume::Plume::new(Window::new(input, 1))),
            Format::Dbcop => Syntax::Dbcop(dbcop::Dbcop::new(Window::new(input, 1))),
            Format::DbcopBincode => Syntax::Bincode(bincode::Bincode::new(input)),
            Format::Cobra => Syntax::Cobra(cobra::Cobra::new(input)),
            _ => panic!("{format} is no history of sessions"),
        };
        let txn = Txn { session: 0, outcome: Kind::Ok, ops: Ops::default(), line: 1 };
        Self { syntax, header, txn, open: false, next_index: 0, ended: false }
    }

    /// What is known of the run: the format, in the options.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Line of the file on which the latest transaction begins, from 1.
    pub const fn line(&self) -> u64 {
        self.txn.line
    }

    /// The next op, or `None` at the end and after an error.
    ///
    /// # Errors
    /// The file is malformed; the error says where.
    pub fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        self.open = !self.open;
        if self.open {
            self.ended = true;
            self.txn.ops.clear();
            let found = match &mut self.syntax {
                Syntax::Plume(plume) => plume.next_txn(&mut self.txn)?,
                Syntax::Dbcop(dbcop) => dbcop.next_txn(&mut self.txn)?,
                Syntax::Bincode(bincode) => bincode.next_txn(&mut self.txn)?,
                Syntax::Cobra(cobra) => cobra.next_txn(&mut self.txn)?,
            };
            if !found {
                return Ok(None);
            }
            self.ended = false;
        }
        Ok(Some(self.event()))
    }

    /// What a committed transaction did is said when it completed, and what another one asked for when it was invoked.
    fn event(&mut self) -> RawOp<'_> {
        let index = self.next_index;
        self.next_index += 1;
        let told = self.open == (self.txn.outcome != Kind::Ok);
        RawOp {
            index,
            time_ns: 0,
            process: Process::Client(self.txn.session),
            kind: if self.open { Kind::Invoke } else { self.txn.outcome },
            f: "txn",
            key: None,
            value: if told { self.txn.ops.value() } else { OpValue::NULL },
            node: None,
            error: None,
            invoked: (!self.open).then_some(Invoked { index: index.wrapping_sub(1), time_ns: 0 }),
        }
    }
}

#[cfg(test)]
mod tests;
