//! Why a node did not start, or stopped.

use std::io;
use std::net::SocketAddr;

use keelhaul_protocol::mutant::UnknownMutant;

use crate::storage::StorageError;

/// Why a node did not start, or stopped by itself. Printed with its sources, each is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody listens there already.
    #[error("address in use: {address} (wanted for {role})")]
    AddressInUse {
        /// Which address.
        address: SocketAddr,
        /// For what it was wanted.
        role: &'static str,
    },
    /// The system does not let this node listen there.
    #[error("cannot listen on {address} for {role}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// For what it was wanted.
        role: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The data directory is unusable, or became so.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The storage thread panicked.
    #[error("the storage thread is gone; stopping, since nothing can be made durable")]
    StorageThread,
    /// The process could not be set up.
    #[error("cannot {action}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ServerError {
    /// The whole story in one sentence, the system's own reason included.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            words.push_str(": ");
            words.push_str(&error.to_string());
            source = error.source();
        }
        words
    }
}

/// Which argument of a node is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// No such flag.
    #[error("unknown flag {0}; the flags are {known}", known = crate::args::FLAGS.join(" "))]
    UnknownFlag(String),
    /// A flag at the end without its value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A flag that must be given.
    #[error("{0} is required")]
    Required(&'static str),
    /// A value that is not what the flag takes.
    #[error("{flag} {value} is not {expected}")]
    BadValue {
        /// Which flag.
        flag: String,
        /// What it was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// No such mistake.
    #[error(transparent)]
    UnknownMutant(#[from] UnknownMutant),
    /// What another protocol offers.
    #[error("{protocol} does not offer {what}")]
    NotOffered {
        /// Which protocol was asked for.
        protocol: &'static str,
        /// The flag and its value.
        what: String,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Conflict(&'static str),
}
