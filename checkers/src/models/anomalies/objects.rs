//! Of a single object, or of all objects of a kind together.

use super::{Anomaly, of_objects};
use crate::models::Model;

/// The models that no read of a value which nobody wrote leaves standing.
const WEAKEST: &[Model] = &[
    Model::WritesFollowReads,
    Model::MonotonicReads,
    Model::MonotonicWrites,
    Model::ReadYourWrites,
];

pub(super) const TABLE: &[Anomaly] = &[
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
];
