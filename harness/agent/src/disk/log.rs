//! What disks lost, for people: a line each, beside the daemons' logs.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::fault::{Damaged, LostData, LostName, NameLoss, PowerLoss};

/// The file's name.
const NAME: &str = "disk.log";
/// Where it ends: a run that loses more is explained by its beginning.
const BYTES_MAX: u64 = 1 << 20;
/// Ranges of one file that are told.
const RANGES_MAX: usize = 8;

/// A power cut took something, or nothing.
pub(crate) fn power_cut(log_dir: &Path, dir: &str, torn: bool, loss: &PowerLoss) -> io::Result<()> {
    let torn = if torn { ", torn" } else { "" };
    let mut text = format!(
        "power cut{torn} of {dir}: {} names, {} bytes of {} files\n",
        loss.names_total, loss.bytes_total, loss.files_total
    );
    for LostName { path, what } in &loss.names {
        let what = match what {
            NameLoss::Gone => "is gone",
            NameLoss::Back => "is back",
            NameLoss::Undone => "means what it meant before",
        };
        let _ = writeln!(text, "  {path} {what}");
    }
    for LostData { path, length_before, length, ranges } in &loss.data {
        let told: Vec<String> =
            ranges.iter().take(RANGES_MAX).map(|(from, to)| format!("{from}..{to}")).collect();
        let more = if ranges.len() > RANGES_MAX { " …" } else { "" };
        let told = told.join(" ");
        let _ = writeln!(text, "  {path}: {length_before} to {length} bytes, lost {told}{more}");
    }
    append(log_dir, &text)
}

/// Something was damaged, or mended.
pub(crate) fn damaged(log_dir: &Path, dir: &str, what: &str, all: &[Damaged]) -> io::Result<()> {
    let mut text = format!("{what} on {dir}: {} places\n", all.len());
    for Damaged { path, offset, bytes, .. } in all.iter().take(PowerLoss::KEPT_MAX) {
        let _ = writeln!(text, "  {path}: {offset}..{}", offset + bytes);
    }
    append(log_dir, &text)
}

fn append(log_dir: &Path, text: &str) -> io::Result<()> {
    std::fs::create_dir_all(log_dir)?;
    let mut log = OpenOptions::new().create(true).append(true).open(log_dir.join(NAME))?;
    let length = log.metadata()?.len();
    if length >= BYTES_MAX {
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut entry = format!("{}.{:03} {text}", now.as_secs(), now.subsec_millis());
    if length + entry.len() as u64 >= BYTES_MAX {
        entry = "the rest is not told: this log is full\n".into();
        log.set_len(BYTES_MAX - entry.len() as u64)?;
    }
    log.write_all(entry.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_told_until_the_log_is_full() {
        let dir = std::env::temp_dir().join(format!("keelhaul-disk-log-{}", std::process::id()));
        let loss = PowerLoss::new(
            vec![LostName { path: "a".into(), what: NameLoss::Gone }],
            vec![LostData { path: "b".into(), length_before: 9, length: 4, ranges: vec![(4, 9)] }],
        );
        power_cut(&dir, "/d", true, &loss).expect("it is ours");
        let text = std::fs::read_to_string(dir.join(NAME)).expect("it is there");
        let (_, said) = text.split_once(' ').expect("after a time");
        let expected = "power cut, torn of /d: 1 names, 5 bytes of 1 files\n  a is gone\n  b: 9 to 4 bytes, lost 4..9\n";
        assert_eq!(said, expected);
        let many = vec![Damaged::new("x".repeat(5_000), 0, b"y"); PowerLoss::KEPT_MAX];
        for _ in 0..3 {
            damaged(&dir, "/d", "damage", &many).expect("it is ours");
        }
        let text = std::fs::read(dir.join(NAME)).expect("it is there");
        assert!(text.ends_with(b"this log is full\n") && text.len() as u64 == BYTES_MAX);
        std::fs::remove_dir_all(dir).expect("it is ours");
    }
}
