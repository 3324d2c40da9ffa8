//! Every anomaly that a checker names, with what it means and which promises it breaks.
//!
//! A name may stand for related things in several workloads; then it is listed once, with all of them.

use super::Model;
use super::about::Example;
use super::anomaly_examples::EXAMPLES;

/// Something that must not happen.
#[derive(Clone, Copy, Debug)]
pub struct Anomaly {
    /// As checkers and `verdict.json` name it.
    pub name: &'static str,
    /// What happened, in a sentence or two.
    pub meaning: &'static str,
    /// Where it is looked for: models and workloads.
    pub found_by: &'static str,
    /// The weakest models that it refutes; empty if it breaks a promise of the workload's own.
    pub refutes: &'static [Model],
}

impl Anomaly {
    /// A history that has it, drawn, if it is one of transactions on lists.
    #[must_use]
    pub fn example(&self) -> Option<&'static Example> {
        EXAMPLES.iter().find(|(name, _)| *name == self.name).map(|(_, example)| example)
    }
}

/// The anomaly of that name, in any case.
#[must_use]
pub fn anomaly(name: &str) -> Option<&'static Anomaly> {
    ANOMALIES.iter().find(|anomaly| anomaly.name.eq_ignore_ascii_case(name))
}

/// Of a single object, or of all objects of a kind together.
const fn of_objects(
    name: &'static str,
    meaning: &'static str,
    found_by: &'static str,
    refutes: &'static [Model],
) -> Anomaly {
    Anomaly { name, meaning, found_by, refutes }
}

/// Of a workload that has a promise of its own.
const fn of_workload(name: &'static str, found_by: &'static str, meaning: &'static str) -> Anomaly {
    Anomaly { name, meaning, found_by, refutes: &[] }
}

/// Of transactions.
const fn of_transactions(
    name: &'static str,
    found_by: &'static str,
    refutes: &'static [Model],
    meaning: &'static str,
) -> Anomaly {
    Anomaly { name, meaning, found_by, refutes }
}

/// The models that no read of a value which nobody wrote leaves standing.
const WEAKEST: &[Model] = &[
    Model::WritesFollowReads,
    Model::MonotonicReads,
    Model::MonotonicWrites,
    Model::ReadYourWrites,
];

/// All of them, in the order in which they are listed.
pub const ANOMALIES: &[Anomaly] = &[
    of_objects(
        "nonlinearizable",
        "No order of the operations on a key fits between their invocations and completions and explains all results: a stale \
         read, a lost update, two winners of one compare-and-set.",
        "linearizable",
        &[Model::Linearizable],
    ),
    of_objects(
        "nonsequential",
        "No order of all operations on all keys keeps each process' own order and explains all results.",
        "sequential",
        &[Model::Sequential],
    ),
    of_objects(
        "CyclicCO",
        "Operations cause each other in a circle: by the orders of processes and by who read whose write each of them comes \
         before itself.",
        "causal models",
        &[Model::Causal],
    ),
    of_objects(
        "WriteCORead",
        "A read returns a write although another write to the key lies between the two: caused by the first, and a cause of \
         the read.",
        "causal models",
        &[Model::Causal],
    ),
    of_objects(
        "WriteCOInitRead",
        "A read returns the initial value although some write to the key is among its causes.",
        "causal models",
        &[Model::Causal],
    ),
    of_objects(
        "CyclicCF",
        "Reads order concurrent writes in a circle: each process' view is causal, but no one order of the writes fits all of \
         them.",
        "causal-convergence",
        &[Model::CausalConvergence],
    ),
    of_objects(
        "CyclicHB",
        "What one process saw orders writes in a circle: no one order of all writes explains all its reads.",
        "causal-memory, pram",
        &[Model::CausalMemory],
    ),
    of_objects(
        "WriteHBInitRead",
        "A read returns the initial value although, by all that its process saw, some write to the key comes before it.",
        "causal-memory, pram",
        &[Model::CausalMemory],
    ),
    of_objects(
        "cause-missed",
        "A process saw a write, and then missed one that this write's process had read before it.",
        "writes-follow-reads",
        &[Model::WritesFollowReads],
    ),
    of_objects(
        "read-went-back",
        "A process read something older than what it had read before.",
        "monotonic-reads",
        &[Model::MonotonicReads],
    ),
    of_objects(
        "write-overtaken",
        "A process saw a write, and then missed an earlier one of the same process.",
        "monotonic-writes",
        &[Model::MonotonicWrites],
    ),
    of_objects(
        "own-write-missed",
        "A process read something older than what it had itself written.",
        "read-your-writes",
        &[Model::ReadYourWrites],
    ),
    of_objects(
        "thin-air-read",
        "A read returned a value that nobody ever wrote.",
        "causal models and session guarantees",
        WEAKEST,
    ),
    of_objects(
        "no-source-fits",
        "Values were written more than once, and whichever write each read is taken to have found, the promise is broken.",
        "causal models and session guarantees",
        &[],
    ),
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
    of_transactions(
        "G1b",
        "list-append, rw-register, closed-predicate",
        &[Model::ReadCommitted],
        "An intermediate read: something was read that its transaction went on to overwrite (Adya 1999, section 3).",
    ),
    of_transactions(
        "G-single-item",
        "list-append, rw-register, closed-predicate",
        &[Model::ConsistentView, Model::RepeatableRead],
        "Read skew: a circle of dependencies with exactly one anti-dependency, where a transaction missed what another one wrote. Somebody saw a transaction and missed something that it depends on (Adya 1999, section 4.2).",
    ),
    of_transactions(
        "G-nonadjacent-item",
        "list-append, rw-register, closed-predicate",
        &[Model::SnapshotIsolation, Model::RepeatableRead],
        "A circle of dependencies with several anti-dependencies of which no two follow each other. No snapshots explain it: a long fork is the smallest (Cerone & Gotsman 2018, theorem 10).",
    ),
    of_transactions(
        "G2-item",
        "list-append, rw-register, closed-predicate",
        &[Model::RepeatableRead],
        "A circle of dependencies with several anti-dependencies, of which two follow each other: write skew is the smallest (Adya 1999, section 3.2).",
    ),
    of_transactions(
        "G0-process",
        "list-append, rw-register, closed-predicate",
        &[Model::StrongSessionReadUncommitted],
        "As G0, with some edge that is there only since one process did one transaction before the other.",
    ),
    of_transactions(
        "G1c-process",
        "list-append, rw-register, closed-predicate",
        &[Model::StrongSessionReadCommitted],
        "As G1c, with some edge that is there only since one process did one transaction before the other.",
    ),
    of_transactions(
        "G-single-item-process",
        "list-append, rw-register, closed-predicate",
        &[Model::StrongSessionSnapshotIsolation, Model::ParallelSnapshotIsolation],
        "As G-single-item, with some edge that is there only since one process did one transaction before the other: a session misses what it did or saw before.",
    ),
    of_transactions(
        "G-nonadjacent-item-process",
        "list-append, rw-register, closed-predicate",
        &[Model::StrongSessionSnapshotIsolation],
        "As G-nonadjacent-item, with some edge that is there only since one process did one transaction before the other.",
    ),
    of_transactions(
        "G2-item-process",
        "list-append, rw-register, closed-predicate",
        &[Model::StrongSessionSerializable],
        "As G2-item, with some edge that is there only since one process did one transaction before the other.",
    ),
    of_transactions(
        "G-single-item-realtime",
        "list-append, rw-register, closed-predicate",
        &[Model::StrongSnapshotIsolation],
        "As G-single-item, with some edge that is there only since one transaction completed before the other began: a stale read.",
    ),
    of_transactions(
        "G-nonadjacent-item-realtime",
        "list-append, rw-register, closed-predicate",
        &[Model::StrongSnapshotIsolation],
        "As G-nonadjacent-item, with some edge that is there only since one transaction completed before the other began.",
    ),
    of_transactions(
        "G2-item-realtime",
        "list-append, rw-register, closed-predicate",
        &[Model::StrictSerializable],
        "As G2-item, with some edge that is there only since one transaction completed before the other began.",
    ),
    of_transactions(
        "G-single",
        "closed-predicate",
        &[Model::ConsistentView],
        "As G-single-item, where the anti-dependency is by a predicate: somebody changed what a predicate matches, and a transaction that had seen that did not match it so (Adya 1999, section 4.4).",
    ),
    of_transactions(
        "G-nonadjacent",
        "closed-predicate",
        &[Model::SnapshotIsolation],
        "As G-nonadjacent-item, where some anti-dependency is by a predicate.",
    ),
    of_transactions(
        "G2",
        "closed-predicate",
        &[Model::Serializable],
        "As G2-item, where some anti-dependency is by a predicate: a phantom (Adya 1999, section 3.2).",
    ),
    of_transactions(
        "G-single-process",
        "closed-predicate",
        &[Model::StrongSessionSnapshotIsolation, Model::ParallelSnapshotIsolation],
        "As G-single, with some edge that is there only since one process did one transaction before the other.",
    ),
    of_transactions(
        "G-nonadjacent-process",
        "closed-predicate",
        &[Model::StrongSessionSnapshotIsolation],
        "As G-nonadjacent, with some edge that is there only since one process did one transaction before the other.",
    ),
    of_transactions(
        "G2-process",
        "closed-predicate",
        &[Model::StrongSessionSerializable],
        "As G2, with some edge that is there only since one process did one transaction before the other.",
    ),
    of_transactions(
        "G-single-realtime",
        "closed-predicate",
        &[Model::StrongSnapshotIsolation],
        "As G-single, with some edge that is there only since one transaction completed before the other began.",
    ),
    of_transactions(
        "G-nonadjacent-realtime",
        "closed-predicate",
        &[Model::StrongSnapshotIsolation],
        "As G-nonadjacent, with some edge that is there only since one transaction completed before the other began.",
    ),
    of_transactions(
        "G2-realtime",
        "closed-predicate",
        &[Model::StrictSerializable],
        "As G2, with some edge that is there only since one transaction completed before the other began.",
    ),
    of_transactions(
        "predicate-read-miss",
        "closed-predicate",
        &[Model::Serializable],
        "A predicate matches every version that a key ever had, and yet did not match the key.",
    ),
    of_transactions(
        "wrong-match",
        "closed-predicate",
        &[Model::ConsistentView],
        "A predicate returned a key with a value that it does not match: what was matched and what was returned are two versions.",
    ),
    of_transactions(
        "lost-update",
        "list-append, rw-register, lost-update",
        &[Model::CursorStability, Model::UpdateAtomic],
        "Two transactions that committed read one version of a key and wrote the key: one of them did not take the other into account (Berenson et al. 1995, P4).",
    ),
    of_transactions(
        "G-cursor",
        "list-append, rw-register",
        &[Model::CursorStability],
        "A transaction read a key and wrote it, and another write came between; or, where the order of writes is open, none keeps all such transactions from that (Adya 1999, section 4.3).",
    ),
    of_transactions(
        "internal",
        "list-append, rw-register, closed-predicate",
        &[Model::ReadAtomic, Model::SnapshotIsolation, Model::RepeatableRead],
        "A read disagrees with what its own transaction read or wrote before, or appends of one transaction stand in another order than it made them (Cerone, Bernardi & Gotsman 2015, axiom Int).",
    ),
    of_transactions(
        "future-read",
        "list-append, rw-register, closed-predicate",
        &[Model::ReadCommitted],
        "A read returns what its own transaction writes only later.",
    ),
    of_transactions(
        "no-serial-order",
        "rw-register",
        &[Model::RepeatableRead],
        "No order of the transactions explains what they read, whichever of two writers of a key came first (Papadimitriou 1979).",
    ),
    of_transactions(
        "no-serial-order-process",
        "rw-register",
        &[Model::StrongSessionSerializable],
        "As no-serial-order, of orders that keep every session's own.",
    ),
    of_transactions(
        "no-serial-order-realtime",
        "rw-register",
        &[Model::StrictSerializable],
        "As no-serial-order, of orders that fit real time.",
    ),
    of_transactions(
        "no-snapshots",
        "rw-register",
        &[Model::SnapshotIsolation],
        "No order of snapshots and commits explains what was read, and keeps writers of a key apart (Cerone & Gotsman 2018).",
    ),
    of_transactions(
        "no-snapshots-process",
        "rw-register",
        &[Model::StrongSessionSnapshotIsolation],
        "As no-snapshots, of orders that keep every session's own.",
    ),
    of_transactions(
        "no-snapshots-realtime",
        "rw-register",
        &[Model::StrongSnapshotIsolation],
        "As no-snapshots, of orders that fit real time.",
    ),
    of_transactions(
        "no-prefix",
        "rw-register",
        &[Model::Prefix],
        "No order of commits has, for every transaction, a beginning that explains what it read (Biswas & Enea 2019).",
    ),
    of_transactions(
        "cyclic-versions",
        "rw-register",
        &[Model::ReadUncommitted],
        "Where keys are said to be linearizable or sequential, a value came before itself: the keys are not what they are said to be (Kingsbury & Alvaro 2020).",
    ),
    of_transactions(
        "dirty-update",
        "list-append",
        &[Model::ReadCommitted],
        "A transaction that committed changed what one that failed had written, and so kept it (Kingsbury & Alvaro 2020).",
    ),
    of_workload(
        "snapshot-missed",
        "rw-register with timestamps",
        "A transaction did not read what its snapshot held, as the store's own timestamps have it: what the last to commit before had written.",
    ),
    of_workload(
        "concurrent-writers",
        "rw-register with timestamps",
        "Two transactions that wrote a key overlap, as the store's own timestamps have it: the later to commit took its snapshot before the other had committed.",
    ),
    of_workload(
        "commit-before-snapshot",
        "rw-register with timestamps",
        "By its timestamps a transaction committed before it took its snapshot.",
    ),
    of_transactions(
        "incompatible-order",
        "list-append, rw-register",
        &[Model::ReadCommitted],
        "Two reads of a list of which neither is a beginning of the other: at least one saw what no order of appends leads to (Kingsbury & Alvaro 2020). Of registers: the numbers that the store gives their versions contradict each other.",
    ),
    of_transactions(
        "duplicate-elements",
        "list-append",
        &[Model::ReadUncommitted],
        "An element that was appended once stands in a list more than once.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different_and_no_model_has_one() {
        let names: BTreeSet<_> = ANOMALIES.iter().map(|a| a.name.to_ascii_lowercase()).collect();
        assert_eq!(names.len(), ANOMALIES.len());
        assert!(ANOMALIES.iter().all(|anomaly| Model::by_name(anomaly.name).is_none()));
        assert_eq!(anomaly("cycliccf").unwrap().refutes, [Model::CausalConvergence]);
        assert!(anomaly("nonsense").is_none());
    }
}
