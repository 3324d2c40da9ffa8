//! Logs in the manner of Kafka: does every message stand in one place, and does every consumer see all of them in order?
//!
//! # Terms
//! A *key* is a partition of a topic: a log of *messages*, each at an *offset* that rises. A producer *sends*, a consumer is
//! *assigned* keys, or *subscribes* to their topics and is given some of them, and *polls*: each poll goes on where the one
//! before ended. An operation is a transaction of sends and polls, or a single one. Values of a key are all different.
//!
//! # Operations
//! `send`, `poll` and `txn` carry a list of `["send", key, value]`, `["send", key, [offset, value]]`, `["poll"]` and
//! `["poll", {key: [[offset, value], …], …}]`. Where the partitions of the consumer changed meanwhile, `["rebalance", [key, …]]`
//! says so. `assign` and `subscribe` carry a list of keys; `crash` and `debug-topic-partitions` are skipped. Keys of maps are
//! text, so a number and its text are the same key. Operations of unknown outcome may say what they know.
//!
//! # What is wrong
//! What Jepsen's workload of that name looks for (jepsen.tests.kafka), with the same names; [`cases::Kind`] has them all. In
//! short: a log that contradicts itself (`inconsistent-offsets`, `duplicate`); messages that were never there (`G1a`,
//! `precommitted-read`, `garbage-read`) or are not there any more (`lost-write`, `unseen`); consumers and producers that skip
//! or go back, in one transaction (`int-…`) or from one to the next (`poll-skip`, `nonmonotonic-poll`, `nonmonotonic-send`); and
//! cycles of dependencies between transactions (`G0`, `G1c`, and `PL-…-cycle-exists`, which names a component with a cycle).
//!
//! By default every kind is a violation except:
//! * `int-send-skip`, `G0`, `G0-realtime`, `PL-1-cycle-exists`, `strong-PL-1-cycle-exists`: messages of concurrent transactions
//!   interleave in a log;
//! * where consumers subscribe (option `sub-via`; by default if any does), `poll-skip` and `nonmonotonic-poll`, because of
//!   rebalances;
//! * with option `ww-deps`, by which the order of a log counts as order between transactions, `G1c`, `G1c-realtime`,
//!   `PL-2-cycle-exists` and `strong-PL-2-cycle-exists`;
//! * what option `allow` names.
//!
//! `details` has all kinds with their first cases, how far consumers were behind, and how much was unseen.
//!
//! # Limits
//! Positions are known where some completed operation says an offset; where two messages claim one, or one claims two, nothing
//! is said of moves there. What nobody polled after it was sent is `unseen`: that it never will be is only as sure as the
//! last polls of the run are thorough. A message that two operations sent makes the answer unknown.
//!
//! Sources: Kingsbury, *Redpanda 21.10.1* (Jepsen, 2022) and *Bufstream 0.1.0* (Jepsen, 2024); Adya, *Weak Consistency* (1999).

mod cases;
mod check;
mod cycles;
mod evidence;
mod lag;
mod log;
mod messages;
mod moves;
#[cfg(test)]
mod oracle_tests;
mod orders;
mod read;
mod tell;
#[cfg(test)]
mod tests;

use crate::workload::{Setting, Workload};

/// The workload and its check.
pub(crate) const NAME: &str = "kafka";

/// The workloads of this module.
pub(crate) const WORKLOADS: &[Workload] = &[Workload {
    name: NAME,
    what: "send, poll and txn on logs, with assign and subscribe: is every message in one place, and seen in order",
    models: &[],
    options: &[
        Setting {
            name: "sub-via",
            what: "assign or subscribe: with subscribe, polls may skip and go back; if absent, what the history has",
        },
        Setting {
            name: "ww-deps",
            what: "whether the order of a log is an order of transactions; false if absent",
        },
        Setting { name: "allow", what: "anomalies that are information rather than violations" },
    ],
    subject: check::subject,
}];
