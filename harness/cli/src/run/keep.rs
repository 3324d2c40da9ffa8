//! What a run keeps of what its nodes wrote: no more than it says, and a word where something is missing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use keelhaul_history::NodeId;
use keelhaul_results::RunDir;

/// Bytes of a node's data that a run keeps.
const DATA_BYTES_MAX: u64 = 16 << 20;
/// Bytes of each end of a log that a run keeps: how it began, and how it ended.
const LOG_END_BYTES: u64 = 16 << 20;

/// Removes the data of nodes that is too large to keep, and leaves a word in its place. Answers what there is to say.
pub(super) fn prune_data(dir: &Path, nodes: u16) -> Vec<String> {
    let mut lines = Vec::new();
    for id in 1..=nodes {
        let node = dir.join("nodes").join(NodeId(id).to_string());
        let data = node.join("data");
        let bytes = bytes_under(&data);
        if bytes <= DATA_BYTES_MAX {
            continue;
        }
        let note = format!(
            "the data of {} is not kept: {} MiB, and a run keeps {} MiB of a node",
            NodeId(id),
            bytes >> 20,
            DATA_BYTES_MAX >> 20
        );
        let removed = fs::remove_dir_all(&data)
            .and_then(|()| fs::write(node.join("data-not-kept.txt"), format!("{note}\n")));
        lines.extend(
            removed
                .err()
                .map(|error| format!("warning: {} cannot be removed: {error}", data.display())),
        );
    }
    lines
}

/// What files under a directory take, as far as they can be looked at.
fn bytes_under(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_under(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Cuts the middle out of logs that are too large to keep. Answers what there is to say.
pub(super) fn cut_logs(dir: &RunDir) -> Vec<String> {
    let logs = dir.node_files(usize::MAX).into_iter().filter(|name| name.ends_with(".log"));
    let said = |name: String| match cut_middle(&dir.path().join(&name), LOG_END_BYTES) {
        Ok(None) => None,
        Ok(Some(bytes)) => Some(format!("{name} was cut: {} MiB of it are not kept", bytes >> 20)),
        Err(error) => Some(format!("warning: {name} cannot be cut: {error}")),
    };
    logs.filter_map(said).collect()
}

/// Leaves so many bytes of each end of a file, and a line between them. Answers how much was cut.
fn cut_middle(path: &Path, end_bytes: u64) -> io::Result<Option<u64>> {
    let length = File::open(path)?.metadata()?.len();
    let Some(cut) = length.checked_sub(2 * end_bytes).filter(|&cut| cut > 0) else {
        return Ok(None);
    };
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut end = format!("\n[keelhaul: {cut} bytes are not kept here]\n").into_bytes();
    let line_bytes = end.len();
    end.resize(line_bytes + usize::try_from(end_bytes).map_err(io::Error::other)?, 0);
    file.read_exact_at(&mut end[line_bytes..], length - end_bytes)?;
    file.set_len(end_bytes)?;
    file.write_all_at(&end, end_bytes)?;
    Ok(Some(cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_log_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.log");
        let check = |content: &str, expected: &str, cut: Option<u64>| {
            fs::write(&path, content).unwrap();
            assert_eq!(cut_middle(&path, 4).unwrap(), cut);
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        };
        check("head", "head", None);
        check("headtail", "headtail", None);
        check("head-tail", "head\n[keelhaul: 1 bytes are not kept here]\ntail", Some(1));
        let long = format!("head{}tail", "x".repeat(1000));
        check(&long, "head\n[keelhaul: 1000 bytes are not kept here]\ntail", Some(1000));
    }
}
