//! Of workloads that have a promise of their own, and of transactions what these share with them.

use super::{Anomaly, of_transactions, of_workload};
use crate::models::Model;

pub(super) const TABLE: &[Anomaly] = &[
    of_workload(
        "lost",
        "set, set-full",
        "An element whose addition was acknowledged is missing from a read that began later, or from the final one.",
    ),
    of_workload(
        "stale",
        "set-full",
        "A read that began after an element was known to be in the set does not show it, though a later one does.",
    ),
    of_workload(
        "unexpected",
        "set, set-full, queues",
        "Something was read that nobody ever tried to put in.",
    ),
    of_workload(
        "aborted-read",
        "sets, queues",
        "Something was read whose addition had certainly failed.",
    ),
    of_workload(
        "aborted",
        "queues",
        "Something was taken out whose enqueueing had certainly failed.",
    ),
    of_workload(
        "duplicate",
        "unique-ids, sets, queues, kafka",
        "One thing was seen twice: an id generated, an element read, a message at two offsets.",
    ),
    of_workload("duplicated", "queues", "Something was taken out more often than it was put in."),
    of_workload(
        "out-of-bounds",
        "counter",
        "A read lies outside what the additions that had begun or completed by then allow.",
    ),
    of_workload(
        "two-holders",
        "lock-safety",
        "Two clients held a lock at the same time, both having been told so.",
    ),
    of_workload(
        "lost-lock",
        "lock-safety",
        "A client was told that it does not hold a lock which nothing had taken from it.",
    ),
    of_workload(
        "token-not-rising",
        "lock-safety",
        "A fencing token is not larger than one that was handed out before.",
    ),
    of_workload(
        "stale-holder",
        "critical-sections",
        "A resource took something from a client that had lost the lock, after it had taken something from the next holder: the lock did not keep them apart (Kleppmann 2016).",
    ),
    of_workload(
        "interleaved-holders",
        "critical-sections",
        "What two holders of a lock did to the resource stands there mixed, though each had it to itself, as they were told.",
    ),
    of_workload(
        "lost-append",
        "critical-sections",
        "An append was acknowledged and is missing from a read that began later.",
    ),
    of_workload(
        "wrong-journal",
        "critical-sections",
        "Reads of a resource that only grows contradict each other, or show something twice, or what nobody appended or was refused.",
    ),
    of_workload("unexpected-key", "bank", "A read shows an account that does not exist."),
    of_workload("nil-balance", "bank", "A read shows an account without a balance."),
    of_workload(
        "wrong-total",
        "bank",
        "The balances of one read do not add up to what the bank holds: a transfer was seen in part.",
    ),
    of_workload(
        "negative-value",
        "bank",
        "A read shows an account overdrawn, though the bank forbids it.",
    ),
    of_transactions(
        "long-fork",
        "long-fork, list-append, rw-register",
        &[Model::Prefix, Model::SnapshotIsolation, Model::RepeatableRead],
        "Two reads saw two writes in opposite orders: each saw the one that the other missed. Parallel snapshot isolation allows it, snapshot isolation does not.",
    ),
    of_transactions(
        "write-skew",
        "list-append, rw-register, write-skew",
        &[Model::UpdateSerializable, Model::RepeatableRead],
        "Two transactions each missed what the other wrote, on different keys: a circle of two anti-dependencies (Berenson et al. 1995, A5B).",
    ),
    of_transactions(
        "causality-violation",
        "list-append, rw-register",
        &[Model::TransactionalCausal],
        "Somebody saw a transaction, and missed what its session had done or seen before, through reads and sessions alone.",
    ),
    of_transactions(
        "fractured-read",
        "list-append, rw-register",
        &[Model::ReadAtomic, Model::ConsistentView, Model::RepeatableRead],
        "A transaction read one key as another transaction had written it, and another key as it was before that one (Bailis et al., RAMP, 2014).",
    ),
    of_transactions(
        "fractured-read-process",
        "rw-register",
        &[Model::ReadAtomic],
        "As fractured-read, where what was missed had been written by the reader's own session.",
    ),
    of_transactions(
        "G-monotonic",
        "list-append, rw-register",
        &[Model::MonotonicAtomicView, Model::MonotonicView, Model::MonotonicSnapshotReads],
        "A fractured read in which what was missed was read after what was seen: the view went back within a transaction (Adya 1999, section 4.2).",
    ),
    of_workload(
        "causal-reverse",
        "causal-reverse",
        "A write is seen, and one that had completed before it began is not. Strict serializability forbids it, serializability does not.",
    ),
    of_transactions(
        "garbage-read",
        "kafka, long-fork, causal-reverse, list-append, rw-register, closed-predicate, lost-update, write-skew",
        &[Model::ReadUncommitted],
        "Something was read that nobody ever wrote.",
    ),
    of_transactions(
        "G1a",
        "kafka, long-fork, causal-reverse, list-append, rw-register, closed-predicate, lost-update, write-skew",
        &[Model::ReadCommitted],
        "An aborted read: something was read that a failed transaction had written (Adya 1999, section 3).",
    ),
    of_transactions(
        "G1c",
        "kafka, list-append, rw-register, closed-predicate",
        &[Model::ReadCommitted],
        "Circular information flow: transactions precede each other in a circle of writes and reads of one another's writes (Adya 1999, section 3).",
    ),
    of_transactions(
        "G1c-realtime",
        "kafka, list-append, rw-register, closed-predicate",
        &[Model::StrongReadCommitted],
        "As G1c, with some edge that is there only since one transaction completed before the other began.",
    ),
    of_transactions(
        "G0",
        "kafka, list-append, rw-register, closed-predicate",
        &[Model::ReadUncommitted],
        "A write cycle: transactions' writes overwrite each other in a circle (Adya 1999, section 3).",
    ),
    of_transactions(
        "G0-realtime",
        "kafka, list-append, rw-register, closed-predicate",
        &[Model::StrongReadUncommitted],
        "As G0, with some edge that is there only since one transaction completed before the other began.",
    ),
    of_workload(
        "PL-1-cycle-exists",
        "kafka",
        "A cycle of writes exists that was not told in full.",
    ),
    of_workload("strong-PL-1-cycle-exists", "kafka", "As PL-1-cycle-exists, with real-time edges."),
    of_workload(
        "PL-2-cycle-exists",
        "kafka",
        "A cycle of writes and reads exists that was not told in full.",
    ),
    of_workload("strong-PL-2-cycle-exists", "kafka", "As PL-2-cycle-exists, with real-time edges."),
    of_workload(
        "inconsistent-offsets",
        "kafka",
        "One offset of a log holds different messages for different clients.",
    ),
    of_workload(
        "lost-write",
        "kafka",
        "An acknowledged message was never polled, though a later one of its log was.",
    ),
    of_workload(
        "precommitted-read",
        "kafka",
        "A transaction polled a message that it had itself sent and not yet committed.",
    ),
    of_workload(
        "nonmonotonic-poll",
        "kafka",
        "A process polled a message before one that it had polled earlier.",
    ),
    of_workload("int-nonmonotonic-poll", "kafka", "As nonmonotonic-poll, within one transaction."),
    of_workload("poll-skip", "kafka", "A process' next poll of a log skips messages that exist."),
    of_workload("int-poll-skip", "kafka", "As poll-skip, within one transaction."),
    of_workload(
        "nonmonotonic-send",
        "kafka",
        "A process' message landed before one that it had sent earlier.",
    ),
    of_workload("int-nonmonotonic-send", "kafka", "As nonmonotonic-send, within one transaction."),
    of_workload(
        "int-send-skip",
        "kafka",
        "Messages of others lie between two that one transaction sent in a row.",
    ),
    of_workload("unseen", "kafka", "At the end acknowledged messages had been polled by nobody."),
    of_workload(
        "log-file-pattern",
        "log-file-pattern",
        "A line of a node's log matches a pattern that must not occur, such as a panic.",
    ),
];
