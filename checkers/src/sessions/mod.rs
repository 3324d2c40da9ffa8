//! Promises to sessions: PRAM and the four session guarantees.
//!
//! A session is what one process did. Keys are not looked at one by one, for what a process learns from one key counts for the
//! others. The promises, each of which a read alone can break:
//!
//! * **PRAM** (pipelined RAM, FIFO consistency): for each process there is an order of all writes and its own operations that keeps
//!   every process' own order and in which each of its reads returns the last write of its key.
//! * **Read your writes**: a process does not read the initial value of a key that it has written, nor a value of its own that it
//!   has itself overwritten.
//! * **Monotonic reads**: for each process and key there is an order of the key's writes that keeps every process' own order
//!   and in which the process' reads never go back. That is: none of the initial value after another; none of a value again after
//!   another one in between; none of a value that its writer had overwritten before it wrote one that was read earlier.
//! * **Monotonic writes**: a process that has read a write of another process does not later read a value that this one had
//!   overwritten before that write, nor the initial value of a key that it had written before it.
//! * **Writes follow reads**: a process that has read a write of another process does not later read, of the key of a value `v` that
//!   this one had read before that write, the initial value or one whose write happened before that of `v` (see
//!   [`causal`](crate::causal)).
//!
//! A read of a value that nobody wrote breaks all of them. Terry et al. define the guarantees by what the servers hold and
//! in which order they apply it; a history shows neither. What is taken for granted here, so that each guarantee means something
//! by itself, is that writes of one process to one key are applied in its order; Viotti & Vukolić, where one arbitration of all
//! writes is part of each guarantee, would call more histories broken. As stated, PRAM implies monotonic reads, monotonic writes and
//! read your writes; causal consistency implies the latter two and writes follow reads.
//!
//! Operations of unknown outcome and cas are treated as in [`causal`](crate::causal), and so is real time: it is not looked at.
//! Where a value was written more than once, see `open`.
//!
//! Sources: Lipton & Sandberg, *PRAM: A Scalable Shared Memory* (Princeton CS-TR-180-88, 1988); Terry et al., *Session Guarantees for
//! Weakly Consistent Replicated Data* (PDIS 1994); Viotti & Vukolić, *Consistency in Non-Transactional Distributed Storage
//! Systems* (ACM Computing Surveys 49(1), 2016).

pub(crate) mod explain;
#[cfg(test)]
mod explain_tests;
mod guarantees;
pub(crate) mod judge;
mod open;
#[cfg(test)]
mod oracle_tests;
pub(crate) mod order;
mod shrink;
pub(crate) mod violation;

use crate::budget::{Budget, Exhausted};
use crate::causal::view::Names;
use crate::causal::writes::Writes;
use crate::causal::{not_written, views};
use crate::columns::Registers;
use crate::models::Model;
use crate::verdict::Check;
use judge::judge;
use violation::{Known, Violation};

/// Judges PRAM.
#[must_use]
pub fn check_pram(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::Pram, refute_pram, registers, budget)
}

/// Judges read your writes.
#[must_use]
pub fn check_read_your_writes(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::ReadYourWrites, guarantees::refute_read_your_writes, registers, budget)
}

/// Judges monotonic reads.
#[must_use]
pub fn check_monotonic_reads(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::MonotonicReads, guarantees::refute_monotonic_reads, registers, budget)
}

/// Judges monotonic writes.
#[must_use]
pub fn check_monotonic_writes(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::MonotonicWrites, guarantees::refute_monotonic_writes, registers, budget)
}

/// Judges writes follow reads.
#[must_use]
pub fn check_writes_follow_reads(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::WritesFollowReads, guarantees::refute_writes_follow_reads, registers, budget)
}

/// What breaks PRAM.
///
/// # Errors
/// If the budget ends.
fn refute_pram(known: Known<'_>, budget: &dyn Budget) -> Result<Option<Violation>, Exhausted> {
    if let Some(violation) = not_written(known) {
        return Ok(Some(violation));
    }
    let names = Names { cycle: "writes-out-of-order", initial: "initial-after-write" };
    views(known, None, &Writes::new(known.sessions), names, budget)
}
