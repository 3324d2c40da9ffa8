//! What each model of transactions means: see [`about`](super::about).
//!
//! Keys hold empty lists at first, and `read x 1 2` found two elements.

use super::{About, Example};

const ADYA: &str = "Adya, Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed Transactions, MIT 1999: chapters 3 and 4";
const BERNSTEIN: &str = "Bernstein, Hadzilacos & Goodman, Concurrency Control and Recovery in Database Systems, Addison-Wesley 1987: chapter 2";
const PAPADIMITRIOU: &str =
    "Papadimitriou, The Serializability of Concurrent Database Updates, JACM 26(4), 1979";
const DAUDJEE_1SR: &str =
    "Daudjee & Salem, Lazy Database Replication with Ordering Guarantees, ICDE 2004";
const DAUDJEE_SI: &str =
    "Daudjee & Salem, Lazy Database Replication with Snapshot Isolation, VLDB 2006";
const BERENSON: &str = "Berenson et al., A Critique of ANSI SQL Isolation Levels, SIGMOD 1995";
const CERONE_SI: &str =
    "Cerone & Gotsman, Analysing Snapshot Isolation, JACM 65(2), 2018: theorem 10";
const CERONE: &str = "Cerone, Bernardi & Gotsman, A Framework for Transactional Consistency Models with Atomic Visibility, CONCUR 2015";
const BISWAS: &str =
    "Biswas & Enea, On the Complexity of Checking Transactional Consistency, OOPSLA 2019";
const BAILIS_HAT: &str =
    "Bailis et al., Highly Available Transactions: Virtues and Limitations, VLDB 2014";
const BAILIS_RAMP: &str =
    "Bailis et al., Scalable Atomic Visibility with RAMP Transactions, SIGMOD 2014";
const SOVRAN: &str =
    "Sovran, Power, Aguilera & Li, Transactional Storage for Geo-Replicated Systems, SOSP 2011";
const ROLA: &str = "Liu, Ölveczky, Zhang, Wang & Meseguer, ROLA: A New Distributed Transaction Protocol and Its Formal Analysis, FASE 2018";
const ELLE: &str = "Kingsbury & Alvaro, Elle: Inferring Isolation Anomalies from Experimental Observations, VLDB 2020";
const HERLIHY: &str = "Herlihy & Wing, Linearizability: A Correctness Condition for Concurrent Objects, TOPLAS 12(3), 1990: section 3.2";
const CROOKS: &str = "Crooks, Pu, Alvisi & Clement, Seeing is Believing: A Client-Centric Specification of Database Isolation, PODC 2017";
const ELNIKETY: &str = "Elnikety, Zwaenepoel & Pedone, Database Replication Using Generalized Snapshot Isolation, SRDS 2005";

pub(super) const G0: Example = Example {
    drawing: "\
A  [append x 1, append y 1]
B  [append x 2, append y 2]
C                            [read x 1 2, read y 2 1]",
    why: "on x A's append comes first, on y B's: neither transaction is the earlier one",
};

pub(super) const G0_PROCESS: Example = Example {
    drawing: "\
A  [append x 1]  [append x 2]
B                               [read x 2 1]",
    why: "A's second append stands before its first",
};

pub(super) const G0_REALTIME: Example = Example {
    drawing: "\
A  [append x 1]
B                [append x 2]
C                              [read x 2 1]",
    why: "A had completed before B began, and yet B's append stands first",
};

pub(super) const G1C: Example = Example {
    drawing: "\
A  [append x 1, read y 1]
B  [append y 1, read x 1]",
    why: "each sees the other, so each must have come first",
};

pub(super) const G1C_PROCESS: Example = Example {
    drawing: "\
A  [read x 1]  [append y 1]
B  [append x 1, read y 1  ]",
    why: "A saw B before it wrote what B had seen",
};

pub(super) const G1C_REALTIME: Example = Example {
    drawing: "\
A  [read x 1]
B  [append x 1, read y 1  ]
C               [append y 1]",
    why: "A saw B, who saw what was only written after A had completed",
};

pub(super) const STALE: Example = Example {
    drawing: "\
A  [append x 1]
B                [read x nil]",
    why: "A had completed before B began, and B misses it",
};

pub(super) const OWN_MISSED: Example = Example {
    drawing: "\
A  [append x 1]  [read x nil]",
    why: "the session misses what it did itself",
};

pub(super) const SKEW: Example = Example {
    drawing: "\
A  [append x 1, append y 1]
B  [read x nil, read y 1]",
    why: "B sees one half of A, having missed the other",
};

pub(super) const FRACTURED: Example = Example {
    drawing: "\
A  [append x 1, append y 1]
B  [read y 1, read x nil]",
    why: "B sees one half of A, and then misses the other",
};

pub(super) const LOST_UPDATE: Example = Example {
    drawing: "\
A  [read x nil, append x 1]
B  [read x nil, append x 2]
C                            [read x 1 2]",
    why: "both changed what both had found empty: one did not take the other into account",
};

pub(super) const LONG_FORK: Example = Example {
    drawing: "\
A  [append x 1]
B  [append y 1]
C  [read x 1, read y nil]
D  [read y 1, read x nil]",
    why: "C sees A without B, D sees B without A",
};

pub(super) const WRITE_SKEW: Example = Example {
    drawing: "\
A  [read x nil, append y 1]
B  [read y nil, append x 1]
C                            [read x 1, read y 1]",
    why: "each missed the other's write, so each must have come first; no key was written by both",
};

pub(super) const CAUSE_MISSED: Example = Example {
    drawing: "\
A  [append x 1]
B                [read x 1, append y 1]
C                                        [read y 1, read x nil]",
    why: "C sees B, and misses what B had seen",
};

const IN_TIME: Example = Example {
    drawing: "\
A  [append x 1      ]
B    [read x 1]
C                     [read x 1]",
    why: "A takes effect before both reads",
};

pub(super) const STRICT_SERIALIZABLE: About = About {
    line: "transactions take effect one at a time, each between its invocation and its completion",
    meaning: &[
        "To everybody the store looks like one copy on which one transaction runs at a time. What completed before a transaction began, that transaction sees, on all keys. It is linearizability, with the whole store as the one object.",
        "Judged as the absence of cycles of dependencies and real-time order.",
    ],
    allowed: IN_TIME,
    forbidden: STALE,
    sources: &[PAPADIMITRIOU, ADYA, HERLIHY],
};

pub(super) const STRONG_SESSION_SERIALIZABLE: About = About {
    line: "some order of all transactions explains everything and keeps every session's own order",
    meaning: &[
        "A session sees its own effects and never goes back; sessions may lag behind one another.",
    ],
    allowed: STALE,
    forbidden: OWN_MISSED,
    sources: &[DAUDJEE_1SR],
};

pub(super) const SERIALIZABLE: About = About {
    line: "some order of all transactions explains everything",
    meaning: &[
        "The result is that of some serial run. The order need not fit the clock, nor even a session's own: a read may be as old as it likes, if all of its transaction is.",
        "Meant on conflicts: no cycle of ww, wr and rw dependencies (Adya's PL-3).",
    ],
    allowed: OWN_MISSED,
    forbidden: WRITE_SKEW,
    sources: &[PAPADIMITRIOU, BERNSTEIN, ADYA, CROOKS],
};

pub(super) const STRONG_SNAPSHOT_ISOLATION: About = About {
    line: "snapshot isolation whose snapshots hold everything that committed before the transaction began",
    meaning: &[
        "It is what snapshot isolation means on a single machine: a transaction begins from the latest state.",
    ],
    allowed: WRITE_SKEW,
    forbidden: STALE,
    sources: &[DAUDJEE_SI, BERENSON],
};

pub(super) const STRONG_SESSION_SNAPSHOT_ISOLATION: About = About {
    line: "snapshot isolation whose snapshots hold what the session did before",
    meaning: &[
        "A transaction may begin from an old state, but never from one older than its session has produced.",
    ],
    allowed: WRITE_SKEW,
    forbidden: OWN_MISSED,
    sources: &[DAUDJEE_SI, CERONE_SI],
};

pub(super) const REPEATABLE_READ: About = About {
    line: "serializable as far as single keys go: only predicates may see phantoms",
    meaning: &[
        "No cycle of dependencies through keys that were read and written by name (G2-item). Where no operation has a predicate it is serializability. What SQL databases sell under this name is often something else.",
    ],
    allowed: OWN_MISSED,
    forbidden: WRITE_SKEW,
    sources: &[ADYA, BERENSON],
};

pub(super) const UPDATE_SERIALIZABLE: About = About {
    line: "transactions that write are serializable, and each reader agrees with some order of them",
    meaning: &[
        "Two readers may disagree about the order of updates that have nothing to do with each other.",
    ],
    allowed: LONG_FORK,
    forbidden: WRITE_SKEW,
    sources: &[ADYA],
};

pub(super) const SNAPSHOT_ISOLATION: About = About {
    line: "each transaction reads from one snapshot, and of concurrent writers of a key one commits",
    meaning: &[
        "All reads of a transaction come from one state that some transactions in the order of commits left. It commits only if nobody has committed a write to what it writes since that state. Snapshots may be old (generalized snapshot isolation).",
        "Judged as the absence of cycles in which no two anti-dependencies are adjacent.",
    ],
    allowed: WRITE_SKEW,
    forbidden: LONG_FORK,
    sources: &[BERENSON, ELNIKETY, CERONE_SI, CROOKS],
};

pub(super) const FORWARD_CONSISTENT_VIEW: About = About {
    line: "consistent view, which may move forward to transactions that committed after this one began",
    meaning: &[
        "Adya's PL-FCV forbids cycles with one anti-dependency also where the order in which transactions begin closes them.",
    ],
    allowed: WRITE_SKEW,
    forbidden: SKEW,
    sources: &[ADYA],
};

pub(super) const MONOTONIC_SNAPSHOT_READS: About = About {
    line: "each operation reads from a snapshot, and later ones from later snapshots",
    meaning: &[
        "The snapshot may move on within a transaction, so what is read twice may differ, but never back.",
    ],
    allowed: LOST_UPDATE,
    forbidden: FRACTURED,
    sources: &[ADYA],
};

pub(super) const PARALLEL_SNAPSHOT_ISOLATION: About = About {
    line: "causal, and of concurrent writers of a key one commits",
    meaning: &[
        "Snapshot isolation for stores in several places: sites may apply transactions that have nothing to do with each other in different orders.",
        "Judged as the absence of cycles of ww, wr and session order with at most one anti-dependency.",
    ],
    allowed: LONG_FORK,
    forbidden: LOST_UPDATE,
    sources: &[SOVRAN, CERONE_SI, BISWAS],
};

pub(super) const PREFIX: About = About {
    line: "everybody sees a beginning of one order of all transactions",
    meaning: &[
        "There is one order of commits, and a transaction reads from some beginning of it that holds all that its session has seen. Updates may be lost.",
    ],
    allowed: LOST_UPDATE,
    forbidden: LONG_FORK,
    sources: &[CERONE, BISWAS],
};

pub(super) const CONSISTENT_VIEW: About = About {
    line: "nobody sees a transaction and misses something that it depends on",
    meaning: &[
        "No cycle has exactly one anti-dependency (G-single), so no transaction sees a part of another, nor reads what was overwritten by what it has seen.",
    ],
    allowed: WRITE_SKEW,
    forbidden: SKEW,
    sources: &[ADYA],
};

pub(super) const TRANSACTIONAL_CAUSAL: About = About {
    line: "who sees a transaction sees what it had seen, and concurrent writes are ordered the same for everybody",
    meaning: &[
        "Visibility is transitive and holds a session's own past. Different observers may see unrelated transactions in different orders, and updates may be lost.",
    ],
    allowed: LOST_UPDATE,
    forbidden: CAUSE_MISSED,
    sources: &[CERONE, BISWAS],
};

pub(super) const UPDATE_ATOMIC: About = About {
    line: "read atomic, and no two transactions update the same version of a key",
    meaning: &["Atomic visibility without lost updates, and without any promise about causes."],
    allowed: CAUSE_MISSED,
    forbidden: LOST_UPDATE,
    sources: &[ROLA],
};

pub(super) const READ_ATOMIC: About = About {
    line: "who sees a part of a transaction sees all of it",
    meaning: &[
        "A transaction that reads something another one, or its own session, has written reads none of the other keys in an older state. RAMP's level.",
    ],
    allowed: CAUSE_MISSED,
    forbidden: FRACTURED,
    sources: &[BAILIS_RAMP, CERONE, BISWAS],
};

pub(super) const MONOTONIC_VIEW: About = About {
    line: "what a transaction has seen it does not miss later on",
    meaning: &[
        "Once an operation has read from a transaction, later ones of the same transaction read its effects, and those of all that it depends on, or newer ones.",
    ],
    allowed: SKEW,
    forbidden: FRACTURED,
    sources: &[ADYA],
};

pub(super) const MONOTONIC_ATOMIC_VIEW: About = About {
    line: "from when a part of a transaction is seen, all of it is",
    meaning: &["As read atomic, but what was read before the first sight may be older."],
    allowed: SKEW,
    forbidden: FRACTURED,
    sources: &[BAILIS_HAT],
};

pub(super) const CURSOR_STABILITY: About = About {
    line: "what was read in order to be changed is not changed by others meanwhile",
    meaning: &[
        "A cursor holds what it stands on, so no update through cursors is lost. There are no cursors here: who reads a key and then writes it is taken to have held it (G-cursor). A lost update is the case of two who read the same.",
    ],
    allowed: SKEW,
    forbidden: LOST_UPDATE,
    sources: &[ADYA, BERENSON],
};

pub(super) const STRONG_READ_COMMITTED: About = About {
    line: "read committed, in an order that fits real time",
    meaning: &["What a transaction sees or overwrites had not begun after it was over."],
    allowed: SKEW,
    forbidden: G1C_REALTIME,
    sources: &[ELLE],
};

pub(super) const STRONG_SESSION_READ_COMMITTED: About = About {
    line: "read committed, in an order that keeps every session's own",
    meaning: &[
        "What a transaction sees or overwrites does not depend on what its session does later.",
    ],
    allowed: OWN_MISSED,
    forbidden: G1C_PROCESS,
    sources: &[ELLE],
};

pub(super) const READ_COMMITTED: About = About {
    line: "only what was committed is seen, and only its final state",
    meaning: &[
        "No read of what was rolled back (G1a) or was overwritten by its own transaction (G1b), and no two transactions that each depend on the other (G1c).",
        "This is Adya's PL-2; the lock-based level of the same name adds that reads do not go back, and tools that take that for the definition reject more.",
    ],
    allowed: SKEW,
    forbidden: G1C,
    sources: &[ADYA, BERENSON, BAILIS_HAT],
};

pub(super) const STRONG_READ_UNCOMMITTED: About = About {
    line: "writes stand in an order that fits real time",
    meaning: &[
        "Of two writers of a key, one of which had completed before the other began, the later one's write comes later.",
    ],
    allowed: G1C_REALTIME,
    forbidden: G0_REALTIME,
    sources: &[ELLE],
};

pub(super) const STRONG_SESSION_READ_UNCOMMITTED: About = About {
    line: "writes of a session stand in its own order",
    meaning: &["Of two writers of a key in one session, the later one's write comes later."],
    allowed: G1C_PROCESS,
    forbidden: G0_PROCESS,
    sources: &[ELLE],
};

pub(super) const READ_UNCOMMITTED: About = About {
    line: "writes of two transactions are ordered the same on every key",
    meaning: &[
        "No cycle of overwriting (G0): who overwrote whom on one key did so on all. Reads may return anything that somebody wrote.",
    ],
    allowed: G1C,
    forbidden: G0,
    sources: &[ADYA, BERENSON],
};
