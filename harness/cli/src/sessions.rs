//! A folder that is one history: Cobra's clients each write a log of their own, which is a session.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use keelhaul_history::import::{Format, SESSION_END};

/// Bytes that tell what a log is.
const HEAD_BYTES: u64 = 128;

/// Whether a folder holds such logs: the user says so, or all that end in `log` look like it.
pub fn are_in(folder: &Path, input: Option<Format>) -> bool {
    let Ok(logs) = logs(folder) else { return false };
    match input {
        Some(format) => format == Format::Cobra && folder.is_dir(),
        None => !logs.is_empty() && logs.iter().all(|log| looks_right(log)),
    }
}

fn looks_right(log: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(log).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    // A client that did nothing leaves an empty log.
    read.is_ok() && (head.is_empty() || Format::recognise(&head) == Some(Format::Cobra))
}

/// Logs by name.
fn logs(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut logs: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "log") && path.is_file());
    logs.sort();
    Ok(logs)
}

/// All logs of a folder as one stream.
pub fn open(folder: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    let name = folder.display();
    let logs = logs(folder).with_context(|| format!("failed to list {name}"))?;
    anyhow::ensure!(
        !logs.is_empty(),
        "{name} holds no log of a session: no file in it ends in log"
    );
    let mut stream: Box<dyn Read + Send> = Box::new(std::io::empty());
    for (at, log) in logs.iter().enumerate() {
        let file = File::open(log).with_context(|| format!("failed to open {}", log.display()))?;
        let between: &[u8] = if at == 0 { &[] } else { &[SESSION_END] };
        stream = Box::new(stream.chain(Cursor::new(between)).chain(file));
    }
    Ok(stream)
}
