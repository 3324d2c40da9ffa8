//! What can be wrong with a data directory.

use std::io;
use std::path::PathBuf;

/// Why the storage cannot go on. Each is one sentence; the operating system's own reason follows as the source.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it was refused.
        #[source]
        source: io::Error,
    },
    /// Bytes that had been made durable are not what was written.
    #[error("{} is corrupt at byte {offset}: {what}; refusing to start, since acknowledged entries may be lost", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A file that must be there is not.
    #[error("{} is missing ({what}); refusing to start, since acknowledged entries may be lost", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Why it must be there.
        what: &'static str,
    },
    /// The log does not continue where it should.
    #[error("the log in {} jumps from entry {last} to entry {next}; refusing it, since entries are lost", path.display())]
    Gap {
        /// Which directory or file.
        path: PathBuf,
        /// The last entry before the jump.
        last: u64,
        /// The first one after it.
        next: u64,
    },
    /// Another process has the directory.
    #[error("data directory {} is in use by another process", path.display())]
    Locked {
        /// Which directory.
        path: PathBuf,
    },
    /// The directory belongs to another node, cluster, protocol or format.
    #[error("data directory {} holds \"{found}\", not \"{expected}\"", path.display())]
    Foreign {
        /// Which directory.
        path: PathBuf,
        /// What it says it is.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// A record would not fit the log's format.
    #[error("a log record of {bytes} bytes is larger than the {limit} bytes that fit")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that fits.
        limit: usize,
    },
}
