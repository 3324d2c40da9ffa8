//! What the endings of a request mean: the one place that decides.
//!
//! Source: `KeeperException.Code`, and where `PrepRequestProcessor` and `FinalRequestProcessor` raise them.

use std::io;

use thiserror::Error;

/// Why a request was not done, or may not have been.
#[derive(Debug, Error)]
pub enum CallError {
    /// There is no connection, and so nothing was sent.
    #[error("failed to connect: {0}")]
    Connect(#[source] io::Error),
    /// The server answered a greeting with no session.
    #[error("the server opened no session")]
    NoSession,
    /// The connection ended, or was unusable, after the request was handed over.
    #[error("the connection was lost: {0}")]
    Lost(#[source] io::Error),
    /// The answer makes no sense.
    #[error("the answer cannot be read")]
    Garbled,
    /// The server said so.
    #[error("the server answers {}", name(*.0))]
    Code(i32),
}

/// The node is not there.
pub const NO_NODE: i32 = -101;
/// The node has another version.
pub const BAD_VERSION: i32 = -103;
/// The node is there already.
pub const NODE_EXISTS: i32 = -110;

/// Errors that a transaction ends with in place of taking effect; all others are unknown.
const DEFINITE: [i32; 3] = [NO_NODE, BAD_VERSION, NODE_EXISTS];

impl CallError {
    /// Whether the request certainly did not happen, and will not.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Connect(_) | Self::NoSession => true,
            Self::Lost(_) | Self::Garbled => false,
            Self::Code(code) => DEFINITE.contains(code),
        }
    }
}

/// The code as ZooKeeper names it.
fn name(code: i32) -> String {
    match code {
        -4 => "CONNECTIONLOSS".to_owned(),
        -7 => "OPERATIONTIMEOUT".to_owned(),
        NO_NODE => "NONODE".to_owned(),
        BAD_VERSION => "BADVERSION".to_owned(),
        NODE_EXISTS => "NODEEXISTS".to_owned(),
        -112 => "SESSIONEXPIRED".to_owned(),
        -118 => "SESSIONMOVED".to_owned(),
        -127 => "THROTTLEDOP".to_owned(),
        other => format!("error {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_in_place_of_an_effect_is_definite() {
        for code in -130..0 {
            let definite = CallError::Code(code).is_definite();
            assert_eq!(definite, [-101, -103, -110].contains(&code), "{code}");
        }
        assert!(!CallError::Lost(io::ErrorKind::UnexpectedEof.into()).is_definite());
        assert_eq!(CallError::Code(-112).to_string(), "the server answers SESSIONEXPIRED");
    }
}
