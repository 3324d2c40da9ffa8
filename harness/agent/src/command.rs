//! What `keelhaul agent …` does; nobody but keelhaul itself calls it.

use std::io;
use std::time::Duration;

use crate::examine::examine_idle;
use crate::host::{self, HostArgs};
use crate::program_clock;
use crate::serve::{ServeError, serve};

/// Why the command did not end well.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// These are no words of ours.
    #[error("understand `agent {0}`")]
    Usage(String),
    /// Serving failed.
    #[error("serve")]
    Serve(#[from] ServeError),
    /// A host could not be taken or given back.
    #[error("keep the host clean")]
    Host(#[source] io::Error),
    /// A program's clock could be neither told nor asked.
    #[error("{0}")]
    ProgramClock(io::Error),
}

/// Performs the words after `agent`: none to serve in a node of one's own, `host LEASE_MS [PROGRAM…]` to serve on a host,
/// `clean` to undo what an agent left there, `examine PORT…` to look at what a run would meet, `clock …` to tell or to ask the clocks of running programs. Says what it did on standard output, where that is no stream of frames.
///
/// # Errors
/// As the variants say.
pub fn command(words: &[String]) -> Result<(), CommandError> {
    let usage = || CommandError::Usage(words.join(" "));
    let (word, rest) = words.split_first().map_or(("", words), |(word, rest)| (&**word, rest));
    match (word, rest) {
        ("", _) => Ok(serve(io::stdin(), io::stdout())?),
        ("host", [lease_ms, own_program @ ..]) => {
            let lease = lease_ms.parse().map(Duration::from_millis).map_err(|_| usage())?;
            host::guard(&HostArgs { lease, own_program: own_program.to_vec() })
                .map_err(CommandError::Host)
        }
        (host::GUARDED, rest) => Ok(host::serve_guarded(rest)?),
        ("clean", []) => {
            println!("{}", host::clean().map_err(CommandError::Host)?.sentence());
            Ok(())
        }
        ("examine", ports) => {
            let ports = ports.iter().map(|port| port.parse()).collect::<Result<Vec<u16>, _>>();
            for finding in examine_idle(&ports.map_err(|_| usage())?) {
                println!("{}", finding.to_line());
            }
            Ok(())
        }
        (program_clock::WORD, words) => {
            let done = program_clock::perform(words).ok_or_else(usage)?;
            done.map_err(CommandError::ProgramClock)
        }
        _ => Err(usage()),
    }
}
