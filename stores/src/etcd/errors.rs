//! Which errors mean that an operation certainly did not happen.
//!
//! The rule is that an error is *unknown* unless it is known to be *definite*: an operation that is wrongly called
//! unknown makes a history weaker, one that is wrongly called failed makes a correct store look broken.
//!
//! * An error before anything was sent is definite: [`HttpError::is_unsent`].
//! * A response that etcd sent with an error status is looked up in [`TABLE`] by its message, word for word. The message
//!   and not the status code, because releases differ in the code: 3.4 gives `too many requests` with code 2, unknown.
//! * Everything else is unknown: timeouts, lost connections, responses that cannot be read, messages not in the table.
//!
//! A read that ends in any error is a failed read all the same, for it has no effect that could still come to pass;
//! [`super::client`] sees to that.
//!
//! The reasons were read in etcd's source: `processInternalRaftRequestOnce` in `etcdserver/v3_server.go` hands a request
//! to Raft and waits; what is returned before its call of `Propose` is definite, what is returned after is not. The
//! checks in front of it are in `etcdserver/api/v3rpc`: `interceptor.go`, `key.go` and `quota.go`. The messages are
//! listed in `rpctypes/error.go`.

use hyper::StatusCode;
use thiserror::Error;

use super::http::HttpError;

/// Why a call brought no result.
#[derive(Debug, Error)]
pub enum CallError {
    /// No response.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A response that says no.
    #[error("{message} (HTTP {}, gRPC code {code})", status.as_u16())]
    Refused {
        /// HTTP's status.
        status: StatusCode,
        /// gRPC's.
        code: i64,
        /// What etcd says.
        message: String,
    },
    /// A response that no etcd gives.
    #[error("the response with HTTP status {} is not etcd's", status.as_u16())]
    Garbled {
        /// HTTP's status.
        status: StatusCode,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

impl CallError {
    /// Whether the request certainly had no effect and never will.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Http(error) => error.is_unsent(),
            Self::Refused { message, .. } => lookup(message) == Certainty::Definite,
            Self::Garbled { .. } => false,
        }
    }

    /// The error and its causes in one line, as a history records it.
    #[must_use]
    pub fn in_words(&self) -> Box<str> {
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their cause in their own text.
            if !words.ends_with(&text) {
                words.push_str(": ");
                words.push_str(&text);
            }
            cause = error.source();
        }
        words.into()
    }
}

/// What an error says of the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It did not happen and will not.
    Definite,
    /// It may have happened, or may still happen.
    Unknown,
}

/// A message of etcd's and what it means.
#[derive(Debug)]
pub struct Row {
    /// The message.
    pub message: &'static str,
    /// What it says of the operation.
    pub certainty: Certainty,
    /// Why.
    pub reason: &'static str,
}

const fn definite(message: &'static str, reason: &'static str) -> Row {
    Row { message, certainty: Certainty::Definite, reason }
}

const fn unknown(message: &'static str, reason: &'static str) -> Row {
    Row { message, certainty: Certainty::Unknown, reason }
}

/// etcd's messages. A message that is missing is unknown; the unknown ones that are listed are those that look as
/// though they were definite, or that a user meets under faults.
pub const TABLE: &[Row] = &[
    definite(
        "etcdserver: too many requests",
        "returned before the proposal, when too many committed entries wait to be applied",
    ),
    definite(
        "etcdserver: request is too large",
        "returned before the proposal, when the marshalled request exceeds --max-request-bytes",
    ),
    definite(
        "raft proposal dropped",
        "Raft's step function refused the entry on this member: it knows no leader to forward to, or is the leader \
         and hands leadership over. Nothing was appended or forwarded. A proposal that a leader drops after it was \
         forwarded gives no error at all",
    ),
    definite(
        "etcdserver: no leader",
        "given by the interceptor in front of the handler, to requests that asked for a leader by their metadata",
    ),
    definite(
        "etcdserver: not capable",
        "given by the interceptor, before the cluster's version is known",
    ),
    definite(
        "etcdserver: rpc not supported for learner",
        "given by the interceptor, in front of the handler",
    ),
    definite(
        "etcdserver: key is not provided",
        "the request was checked and refused in front of the proposal",
    ),
    definite(
        "etcdserver: too many operations in txn request",
        "the request was checked in front of the proposal",
    ),
    definite(
        "etcdserver: duplicate key given in txn request",
        "the request was checked in front of the proposal",
    ),
    unknown(
        "etcdserver: mvcc: database space exceeded",
        "comes from two places: the quota check in front of the proposal, and the applier, which first applies a \
         request that no longer fits and then reports this error",
    ),
    unknown("etcdserver: request timed out", "the entry was proposed and may be committed later"),
    unknown(
        "etcdserver: request timed out, possibly due to previous leader failure",
        "the entry was proposed and may be in the log of a majority",
    ),
    unknown(
        "etcdserver: request timed out, possibly due to connection lost",
        "the entry was proposed and may have reached the leader",
    ),
    unknown(
        "etcdserver: request timed out, waiting for the applied index took too long",
        "what comes after the wait is not known from outside",
    ),
    unknown(
        "etcdserver: leader changed",
        "meant for reads; a write that meets it is given no promise",
    ),
    unknown(
        "etcdserver: not leader",
        "not documented for writes; a proposal is forwarded to the leader",
    ),
    unknown("etcdserver: server stopped", "the member stopped while the entry was on its way"),
    unknown("raft: stopped", "returned both before and after Raft took the entry"),
    unknown("context canceled", "the wait was given up, not the entry"),
    unknown("context deadline exceeded", "the wait was given up, not the entry"),
    unknown(
        "transport is closing",
        "the gateway lost its own connection to the member's gRPC server in mid-request",
    ),
];

/// What `message` says of the operation it was the answer to.
#[must_use]
pub fn lookup(message: &str) -> Certainty {
    TABLE.iter().find(|row| row.message == message).map_or(Certainty::Unknown, |row| row.certainty)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_message_has_one_row() {
        let messages: BTreeSet<_> = TABLE.iter().map(|row| row.message).collect();
        assert_eq!(messages.len(), TABLE.len());
    }

    #[test]
    fn what_only_resembles_a_definite_message_is_unknown() {
        let near = [
            "",
            "etcdserver: too many requests ",
            "too many requests",
            "etcdserver: request is too large: x",
        ];
        for message in near {
            assert_eq!(lookup(message), Certainty::Unknown, "{message}");
        }
    }

    #[test]
    fn the_cause_is_named_once() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = CallError::Http(HttpError::Connect(refused));
        assert_eq!(&*error.in_words(), "failed to connect: connection refused");
    }
}
