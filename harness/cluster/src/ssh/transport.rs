//! How bytes get to a host: by the system's `ssh` program or by libssh2.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use super::host::Host;
use super::program;

/// A way to reach hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// The system's `ssh` program, with all that the user has configured for it.
    #[default]
    Ssh,
    /// libssh2, which needs no program and heeds no configuration; only in programs built with the feature `ssh2`.
    Libssh2,
}

impl Transport {
    /// All ways, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Ssh, Self::Libssh2];

    /// What the user types.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Libssh2 => "libssh2",
        }
    }
}

impl FromStr for Transport {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|transport| transport.as_str() == word).ok_or(())
    }
}

/// What a command said.
#[derive(Debug)]
pub(super) struct Said {
    /// Whether it ended by itself with code 0.
    pub success: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Why nothing came of a command.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no transport here, or it cannot be started.
    NoTransport(io::Error),
    /// The key that the host showed is not among the known ones; with the line that would make it known.
    UnknownKey(Option<String>),
    /// It is known by another key.
    ChangedKey,
    /// It let nobody in.
    Denied(String),
    /// It was not reached.
    Unreachable(String),
    /// It took too long.
    Slow,
}

/// A command whose streams stay open.
pub(super) struct Opened {
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Waits for the command's end; whether it ended well. Dropping it lets go of the command.
    pub ended: Pin<Box<dyn Future<Output = io::Result<bool>> + Send>>,
}

impl Transport {
    /// Runs a line of shell to its end.
    pub(super) async fn run(self, host: &Host, line: &str, input: &[u8]) -> Result<Said, Trouble> {
        match self {
            Self::Ssh => program::run(host, line, input).await,
            Self::Libssh2 => library::run(host, line, input).await,
        }
    }

    /// Starts a line of shell.
    pub(super) async fn open(
        self,
        host: &Host,
        line: &str,
        errors: File,
    ) -> Result<Opened, Trouble> {
        match self {
            Self::Ssh => program::open(host, line, errors),
            Self::Libssh2 => library::open(host, line, errors).await,
        }
    }
}

#[cfg(feature = "ssh2")]
mod library {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use super::super::host::Host;
    use super::super::libssh2;
    use super::{Opened, Said, Trouble};

    pub async fn run(host: &Host, line: &str, input: &[u8]) -> Result<Said, Trouble> {
        let (host, line, input) = (host.clone(), line.to_owned(), input.to_vec());
        let done = tokio::task::spawn_blocking(move || libssh2::run(&host, &line, &input)).await;
        done.map_err(|error| Trouble::NoTransport(error.into()))?
    }

    pub async fn open(host: &Host, line: &str, errors: File) -> Result<Opened, Trouble> {
        let (host, line) = (host.clone(), line.to_owned());
        let (ours, theirs) = UnixStream::pair().map_err(Trouble::NoTransport)?;
        let opened =
            tokio::task::spawn_blocking(move || libssh2::open(&host, &line, theirs, errors)).await;
        let work = opened.map_err(|error| Trouble::NoTransport(error.into()))??;
        // A thread of its own: a runtime that ends waits for its blocking tasks, and this one may outlive it.
        let (done, ended) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("libssh2".into());
        thread
            .spawn(move || {
                // Nobody may wait for the end any more.
                let _ = done.send(work());
            })
            .map_err(Trouble::NoTransport)?;
        ours.set_nonblocking(true).map_err(Trouble::NoTransport)?;
        let stream = tokio::net::UnixStream::from_std(ours).map_err(Trouble::NoTransport)?;
        let (output, input) = stream.into_split();
        let ended = async { ended.await.unwrap_or_else(|gone| Err(std::io::Error::other(gone))) };
        Ok(Opened { output: Box::new(output), input: Box::new(input), ended: Box::pin(ended) })
    }
}

#[cfg(not(feature = "ssh2"))]
mod library {
    use std::fs::File;

    use super::super::host::Host;
    use super::{Opened, Said, Trouble};

    fn absent<T>() -> Result<T, Trouble> {
        let sentence = "this program was built without libssh2: build it with --features ssh2";
        Err(Trouble::NoTransport(std::io::Error::other(sentence)))
    }

    #[expect(clippy::unused_async, reason = "as where libssh2 is built in")]
    pub async fn run(_: &Host, _: &str, _: &[u8]) -> Result<Said, Trouble> {
        absent()
    }

    #[expect(clippy::unused_async, reason = "as where libssh2 is built in")]
    pub async fn open(_: &Host, _: &str, _: File) -> Result<Opened, Trouble> {
        absent()
    }
}
