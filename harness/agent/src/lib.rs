//! The small program that runs on a node: processes, files, network cuts.

mod request;

pub use request::{Command, CutRule, Daemon, DaemonState, Exit, Output, Reply, Request, SELF_EXE};

use std::io::{self, Read, Write};

/// Version of the frames and of everything in them; an agent of another version refuses to serve.
pub const PROTOCOL_VERSION: u32 = 1;

/// Serves requests until the input ends, then undoes every fault, ends every daemon and returns.
pub fn serve(input: impl Read, output: impl Write + Send + 'static) -> Result<(), io::Error> {
    let _ = (input, output);
    Err(io::ErrorKind::Unsupported.into())
}
