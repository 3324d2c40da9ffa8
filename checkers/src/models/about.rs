//! What each model means, with drawn examples and sources: what `explain` shows.
//!
//! A drawing has a line a process, with time from left to right: an operation takes effect somewhere between its two brackets,
//! or, in models that do not look at the clock, wherever the order of its process allows. Keys hold `nil` at first.
//! The tests read the drawings and ask the checkers.

use super::Model;
use super::about_txn as txn;

/// What is known of a model.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The promise in one line.
    pub line: &'static str,
    /// What it means, a paragraph each.
    pub meaning: &'static [&'static str],
    /// A history that keeps the promise, if possible one that breaks every stronger one.
    pub allowed: Example,
    /// A history that breaks it.
    pub forbidden: Example,
    /// Where it is defined.
    pub sources: &'static [&'static str],
}

/// A small history and why it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// A line a process, see the module.
    pub drawing: &'static str,
    /// What there is to see.
    pub why: &'static str,
}

const HERLIHY_WING: &str = "Herlihy & Wing, Linearizability: A Correctness Condition for Concurrent Objects, TOPLAS 12(3), 1990: sections 2 and 3";
const LAMPORT: &str = "Lamport, How to Make a Multiprocessor Computer That Correctly Executes Multiprocess Programs, IEEE Transactions on Computers C-28(9), 1979";
const AHAMAD: &str = "Ahamad, Neiger, Burns, Kohli & Hutto, Causal Memory: Definitions, Implementation, and Programming, Distributed Computing 9(1), 1995: section 2";
const BOUAJJANI: &str = "Bouajjani, Enea, Guerraoui & Hamza, On Verifying Causal Consistency, POPL 2017: section 3 (definitions), section 6 (what betrays a violation)";
const PERRIN: &str =
    "Perrin, Mostéfaoui & Jard, Causal Consistency: Beyond Memory, PPoPP 2016: sections 3 and 4";
const TERRY: &str = "Terry, Demers, Petersen, Spreitzer, Theimer & Welch, Session Guarantees for Weakly Consistent Replicated Data, PDIS 1994";
const LIPTON_SANDBERG: &str =
    "Lipton & Sandberg, PRAM: A Scalable Shared Memory, Princeton CS-TR-180-88, 1988";
const BURCKHARDT: &str = "Burckhardt, Principles of Eventual Consistency, Foundations and Trends in Programming Languages 1(1-2), 2014: chapter 5";
const VIOTTI_VUKOLIC: &str = "Viotti & Vukolić, Consistency in Non-Transactional Distributed Storage Systems, ACM Computing Surveys 49(1), 2016: section 3";
const GOLAB: &str =
    "Golab, Li & Shah, Analyzing Consistency Properties for Fun and Profit, PODC 2011";
const BAILIS: &str =
    "Bailis et al., Probabilistically Bounded Staleness for Practical Partial Quorums, VLDB 2012";
const VOGELS: &str = "Vogels, Eventually Consistent, Communications of the ACM 52(1), 2009";

/// Two processes that each write one key and miss the other's write.
const CROSSED: &str = "\
A  [write x 1]  [read y nil]
B  [write y 1]  [read x nil]";

/// Somebody answers to a write, and a third one sees the answer alone.
const ANSWER_ALONE: &str = "\
A  [write x 1]
B               [read x 1]  [write y 1]
C                                        [read y 1]  [read x nil]";

impl Model {
    /// What is known of it.
    #[must_use]
    pub const fn about(self) -> &'static About {
        match self {
            Self::StrictSerializable => &txn::STRICT_SERIALIZABLE,
            Self::StrongSessionSerializable => &txn::STRONG_SESSION_SERIALIZABLE,
            Self::Serializable => &txn::SERIALIZABLE,
            Self::StrongSnapshotIsolation => &txn::STRONG_SNAPSHOT_ISOLATION,
            Self::StrongSessionSnapshotIsolation => &txn::STRONG_SESSION_SNAPSHOT_ISOLATION,
            Self::RepeatableRead => &txn::REPEATABLE_READ,
            Self::UpdateSerializable => &txn::UPDATE_SERIALIZABLE,
            Self::SnapshotIsolation => &txn::SNAPSHOT_ISOLATION,
            Self::ForwardConsistentView => &txn::FORWARD_CONSISTENT_VIEW,
            Self::MonotonicSnapshotReads => &txn::MONOTONIC_SNAPSHOT_READS,
            Self::ParallelSnapshotIsolation => &txn::PARALLEL_SNAPSHOT_ISOLATION,
            Self::Prefix => &txn::PREFIX,
            Self::ConsistentView => &txn::CONSISTENT_VIEW,
            Self::TransactionalCausal => &txn::TRANSACTIONAL_CAUSAL,
            Self::UpdateAtomic => &txn::UPDATE_ATOMIC,
            Self::ReadAtomic => &txn::READ_ATOMIC,
            Self::MonotonicView => &txn::MONOTONIC_VIEW,
            Self::MonotonicAtomicView => &txn::MONOTONIC_ATOMIC_VIEW,
            Self::CursorStability => &txn::CURSOR_STABILITY,
            Self::StrongReadCommitted => &txn::STRONG_READ_COMMITTED,
            Self::StrongSessionReadCommitted => &txn::STRONG_SESSION_READ_COMMITTED,
            Self::ReadCommitted => &txn::READ_COMMITTED,
            Self::StrongReadUncommitted => &txn::STRONG_READ_UNCOMMITTED,
            Self::StrongSessionReadUncommitted => &txn::STRONG_SESSION_READ_UNCOMMITTED,
            Self::ReadUncommitted => &txn::READ_UNCOMMITTED,
            Self::Linearizable => &LINEARIZABLE,
            Self::Sequential => &SEQUENTIAL,
            Self::CausalMemory => &CAUSAL_MEMORY,
            Self::CausalConvergence => &CAUSAL_CONVERGENCE,
            Self::Causal => &CAUSAL,
            Self::Pram => &PRAM,
            Self::WritesFollowReads => &WRITES_FOLLOW_READS,
            Self::MonotonicReads => &MONOTONIC_READS,
            Self::MonotonicWrites => &MONOTONIC_WRITES,
            Self::ReadYourWrites => &READ_YOUR_WRITES,
            Self::BoundedStaleness => &BOUNDED_STALENESS,
            Self::Eventual => &EVENTUAL,
        }
    }
}

const LINEARIZABLE: About = About {
    line: "every operation takes effect at one moment between its invocation and its completion, per key",
    meaning: &[
        "To everybody the store looks like one copy that does one thing at a time. What completed before an operation \
         began, that operation sees, whoever did it and however they learnt of each other.",
        "The promise is local: if every key keeps it, all together do. An operation whose outcome is unknown may take \
         effect at any later moment, or never. No store can promise this and stay available to everybody during a partition.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1           ]
B    [read x 1]
C                 [read x 1]",
        why: "the write takes effect early in its interval, before both reads",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]
B               [read x nil]",
        why: "the write had completed before the read began: the read is stale",
    },
    sources: &[HERLIHY_WING, VIOTTI_VUKOLIC],
};

const SEQUENTIAL: About = About {
    line: "one order of all operations on all keys explains every result and keeps each process' own order",
    meaning: &[
        "All processes agree on one order of everything that happened, and each finds its own operations in it in the order \
         in which it issued them. The clock plays no part: a process may lag behind the others as far as it likes, \
         as long as it never goes back.",
        "The promise is not local: each key by itself may keep it while all together break it. It is what a store gives \
         that orders writes by consensus and lets every client read from its own replica.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]
B               [read x nil]  [read x 1]",
        why: "B lags behind A: the order is B's first read, the write, B's second read",
    },
    forbidden: Example {
        drawing: CROSSED,
        why: "whichever write comes first in the order, the other process' read comes after it and must see it",
    },
    sources: &[LAMPORT, VIOTTI_VUKOLIC],
};

const CAUSAL_MEMORY: About = About {
    line: "each process' reads fit one order of all writes that keeps causes before effects",
    meaning: &[
        "An operation causes what its process does later, and a write causes the reads that return it. For each process there \
         is one order of all writes and its own reads that keeps every cause before its effect and explains those reads.",
        "Different processes may order writes differently where none caused the other, and keep to it for ever; but a \
         process never changes its mind. CM in the literature.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]  [read x 2]
B  [write x 2]  [read x 1]",
        why: "each takes the other's write for the later one, for good",
    },
    forbidden: Example {
        drawing: "\
A  [write z 1]  [write x 1]  [write y 1]
B  [write x 2]  [read z nil]              [read y 1]  [read x 2]",
        why: "to B, its own write of x comes before A's write of z, hence before A's x = 1, which it has seen the effects of",
    },
    sources: &[AHAMAD, PERRIN, BOUAJJANI],
};

const CAUSAL_CONVERGENCE: About = About {
    line: "causal, and concurrent writes to a key are ordered the same for everybody",
    meaning: &[
        "There is one order of all writes, the same everywhere, that keeps causes before effects; a read returns the last \
         write in that order of those which are among its causes. Who knows the same writes reads the same values.",
        "It is what replicas give that merge concurrent writes by a fixed rule, such as the larger timestamp. CCv in the \
         literature; stores often call it causal+.",
    ],
    allowed: Example {
        drawing: "\
A  [write z 1]  [write x 1]  [write y 1]
B  [write x 2]  [read z nil]              [read y 1]  [read x 2]",
        why: "the one order has x = 2 after x = 1; B learns of A's writes late and loses nothing by it",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]  [read x 2]
B  [write x 2]  [read x 1]",
        why: "both know both writes, and they disagree on which is the later one",
    },
    sources: &[BURCKHARDT, PERRIN, BOUAJJANI],
};

const CAUSAL: About = About {
    line: "whoever sees an effect sees its causes",
    meaning: &[
        "An operation causes what its process does later, and a write causes the reads that return it, and so on. A read \
         returns a write that none of its other causes overwrote: for each read there is some order of its causes in which that \
         write comes last on its key.",
        "Each read may choose an order of its own for writes of which none caused the other, so a process can see two \
         concurrent writes alternate. CC in the literature, and the weakest of the causal models.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]
B  [write x 2]
C               [read x 1]  [read x 2]  [read x 1]",
        why: "neither write caused the other, so nothing says which of them is new",
    },
    forbidden: Example {
        drawing: ANSWER_ALONE,
        why: "C sees B's answer and not what it answers to",
    },
    sources: &[BOUAJJANI, PERRIN],
};

const PRAM: About = About {
    line: "each process' reads fit one order of all writes that keeps every process' own order",
    meaning: &[
        "For each process there is one order of all writes and its own reads that explains those reads and in which every \
         process' operations stand as it issued them. Writes of one process arrive everywhere in order, as if through a \
         pipe; those of different processes arrive as they come.",
        "What one process learnt from another before it wrote is not kept. Pipelined RAM, or FIFO consistency.",
    ],
    allowed: Example {
        drawing: ANSWER_ALONE,
        why: "B's write reaches C before A's does; each pipe by itself is in order",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]  [write x 2]
B                            [read x 2]  [read x 1]",
        why: "A's writes reach B in the wrong order",
    },
    sources: &[LIPTON_SANDBERG, VIOTTI_VUKOLIC],
};

const WRITES_FOLLOW_READS: About = About {
    line: "who sees a write sees what its process had read before it",
    meaning: &[
        "A write comes after the writes that its process had read when it issued it, for everybody. An answer is never seen \
         by somebody who then fails to see the question.",
        "Here: a process that has read a write w of another process does not later read the initial value of a key of \
         which w's process had read a written one before w, nor a value that happened before that one.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]  [read x nil]",
        why: "nobody wrote after a read; that A misses its own write is another guarantee's matter",
    },
    forbidden: Example {
        drawing: ANSWER_ALONE,
        why: "B had read x = 1 before it wrote y = 1; C has seen the latter and misses the former",
    },
    sources: &[TERRY, VIOTTI_VUKOLIC],
};

const MONOTONIC_READS: About = About {
    line: "later reads of a process do not go back behind its earlier ones",
    meaning: &[
        "What a process has seen it goes on seeing, or something newer. A session that moves from a fresh replica to one \
         that lags behind breaks this.",
        "Here: of each key a process does not read the initial value after any written one, nor a value again after it has read \
         another one in between, nor one that its writer had overwritten before it wrote one that was read earlier.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]  [read x nil]  [read x 1]",
        why: "A's reads go forward only, though the first one misses A's own write",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]
B               [read x 1]  [read x nil]",
        why: "B had seen the write, and does not see it any more",
    },
    sources: &[TERRY, VIOTTI_VUKOLIC],
};

const MONOTONIC_WRITES: About = About {
    line: "writes of a process are seen in the order in which it issued them",
    meaning: &[
        "Who sees a write of some process sees its earlier writes too, unless they have been overwritten.",
        "Here: a process that has read a write w of another process does not later read a value that w's process had \
         overwritten before w, nor the initial value of a key that it had written before w.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]  [read x nil]",
        why: "nobody sees A's writes out of order; that A misses its own is another guarantee's matter",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]  [write y 1]
B                            [read y 1]  [read x nil]",
        why: "B sees A's second write and not the first",
    },
    sources: &[TERRY, VIOTTI_VUKOLIC],
};

const READ_YOUR_WRITES: About = About {
    line: "a process sees its own earlier writes, or newer ones",
    meaning: &[
        "After a process' write has completed, its own reads return that write or one that came later. A session that writes to a \
         leader and reads from a follower breaks this.",
        "Here: a process does not read the initial value of a key that it has written, nor a value of its own that it \
         has itself overwritten.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]  [write x 2]
B                            [read x 2]  [read x 1]",
        why: "B has written nothing, so it is promised nothing",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]  [read x nil]",
        why: "A's own write had completed before A's read began",
    },
    sources: &[TERRY, VIOTTI_VUKOLIC],
};

const BOUNDED_STALENESS: About = About {
    line: "reads are stale by at most so much time, or by so many writes",
    meaning: &[
        "A read returns a value that was the current one at some moment not longer before the read began than the bound, or \
         that at most so many later writes had replaced by then. With a bound of zero it is linearizability.",
        "A promise of its own: it says how old a value may be, and nothing of the order in which one process sees values.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]
B               [read x nil]",
        why: "the read is stale by less than the bound, if the bound is as long as the drawing is wide",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]
B                                                            [read x nil]",
        why: "the write had completed longer ago than the bound, if that is half as long as the drawing is wide",
    },
    sources: &[GOLAB, BAILIS, VIOTTI_VUKOLIC],
};

const EVENTUAL: About = About {
    line: "when nobody writes any more, all replicas come to return the same values",
    meaning: &[
        "If writes stop and the network heals, every replica comes to hold every write, and reads of one key return the same value \
         wherever they are done. Until then a read may return anything that somebody wrote.",
        "No finite history breaks the promise as such, for the replicas could still agree later. What can be judged is \
         whether they did by the time of the last reads, after the faults were healed, and how long it took.",
    ],
    allowed: Example {
        drawing: "\
A  [write x 1]  [read x 2]    [read x 1]
B  [write x 2]  [read x nil]  [read x 2]    [read x 1]",
        why: "the reads wander, and settle on one of the writes",
    },
    forbidden: Example {
        drawing: "\
A  [write x 1]  [read x 1]                  [read x 1]
B  [write x 2]  [read x 2]                  [read x 2]",
        why: "long after the last write two replicas still differ",
    },
    sources: &[VOGELS, TERRY, BURCKHARDT],
};
