//! The log against crashes, damage, and a plain model of itself.

use std::fs;

use keelhaul_protocol::api::{Entry, NodeId, Payload, Term};
use keelhaul_protocol::raft::{HardState, Message};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tempfile::TempDir;

use super::*;

type Wal = super::Wal<Message>;
type Replay = super::Replay<Message>;
type Marker = super::Marker<Term>;

const LARGE: u64 = 1 << 20;

fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    let entry = |index| Entry { index: LogIndex(index), term: Term(term), payload: Payload::Noop };
    range.map(entry).collect()
}

fn state(term: u64) -> HardState {
    HardState { term: Term(term), vote: Some(NodeId(1)) }
}

fn marker(last: u64, log_from: u64) -> Marker {
    Marker { last_index: LogIndex(last), last_era: Term(1), log_from: LogIndex(log_from) }
}

/// An empty log, in memory where the system has such a place: what is tested here is not the speed of syncs.
fn create() -> TempDir {
    let directory = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("a directory");
    Wal::create(&Files::real(), directory.path()).expect("a new log");
    directory
}

/// Opens a log, lets `change` work on it, syncs, and closes it.
fn with(directory: &TempDir, segment_bytes: u64, change: impl FnOnce(&mut Wal)) {
    let (mut wal, _) = Wal::open(&Files::real(), directory.path(), segment_bytes).expect("opens");
    change(&mut wal);
    wal.sync().expect("syncs");
}

fn replay(directory: &TempDir) -> Replay {
    Wal::open(&Files::real(), directory.path(), LARGE).expect("opens").1
}

fn refusal(directory: &TempDir) -> String {
    Wal::open(&Files::real(), directory.path(), LARGE).expect_err("refused").to_string()
}

fn segment_paths(directory: &TempDir) -> Vec<PathBuf> {
    let names = Files::real().names(directory.path()).expect("lists");
    names.into_iter().map(|name| directory.path().join(name)).collect()
}

/// A log of one entry a segment.
fn many_segments(count: u64) -> TempDir {
    let directory = create();
    with(&directory, 1, |wal| {
        for index in 1..=count {
            wal.append(entries(index..=index, 1)).expect("appends");
        }
    });
    directory
}

#[test]
fn what_was_written_comes_back() {
    let directory = create();
    with(&directory, LARGE, |wal| {
        wal.save_hard_state(state(3)).expect("saves");
        wal.append(entries(1..=5, 3)).expect("appends");
        wal.save_hard_state(state(4)).expect("saves");
        wal.append(Vec::new()).expect("nothing to append");
    });
    let replay = replay(&directory);
    assert_eq!((replay.hard_state, replay.entries), (state(4), entries(1..=5, 3)));
    assert_eq!((replay.torn_bytes, replay.segments), (0, 1));
}

#[test]
fn an_overwritten_suffix_stays_gone() {
    for segment_bytes in [1, LARGE] {
        let directory = create();
        with(&directory, segment_bytes, |wal| wal.append(entries(1..=5, 1)).expect("appends"));
        with(&directory, segment_bytes, |wal| wal.append(entries(3..=3, 2)).expect("appends"));
        let expected: Vec<_> = entries(1..=2, 1).into_iter().chain(entries(3..=3, 2)).collect();
        assert_eq!(replay(&directory).entries, expected);
        with(&directory, segment_bytes, |wal| {
            wal.append(entries(5..=5, 2)).expect_err("entry 4 is gone, so 5 leaves a gap");
            wal.append(entries(4..=4, 2)).expect("continues after 3");
        });
        assert_eq!(replay(&directory).entries.last(), entries(4..=4, 2).last());
    }
}

#[test]
fn a_log_torn_at_any_byte_of_its_last_record_opens_and_goes_on() {
    let directory = create();
    with(&directory, LARGE, |wal| wal.append(entries(1..=2, 1)).expect("appends"));
    let path = &segment_paths(&directory)[0];
    let before = fs::read(path).expect("reads");
    with(&directory, LARGE, |wal| wal.append(entries(2..=9, 2)).expect("appends"));
    let after = fs::read(path).expect("reads");
    for length in before.len()..after.len() {
        fs::write(path, &after[..length]).expect("tears");
        let (mut wal, replay) = Wal::open(&Files::real(), directory.path(), LARGE).expect("opens");
        assert_eq!(replay.entries, entries(1..=2, 1), "torn at {length}");
        assert_eq!(replay.torn_bytes, (length - before.len()) as u64);
        wal.append(entries(3..=3, 3)).expect("goes on");
        wal.sync().expect("syncs");
        drop(wal);
        let again = self::replay(&directory);
        assert_eq!((again.entries.len(), again.torn_bytes), (3, 0), "torn at {length}");
    }
}

#[test]
fn damage_before_the_last_record_is_refused() {
    let directory = create();
    for index in 1..=3 {
        with(&directory, LARGE, |wal| wal.append(entries(index..=index, 1)).expect("appends"));
    }
    let path = &segment_paths(&directory)[0];
    let mut bytes = fs::read(path).expect("reads");
    let middle = bytes.len() - 60;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("damages");
    let refusal = refusal(&directory);
    assert!(
        refusal.contains("is corrupt at byte") && refusal.contains("refusing to start"),
        "{refusal}"
    );
}

#[test]
fn a_missing_segment_is_refused() {
    for (missing, expected) in
        [(0, "jumps from entry 0 to entry"), (2, "is missing (the log has later segments)")]
    {
        let directory = many_segments(5);
        let paths = segment_paths(&directory);
        // The first one holds no entry when segments are this small: take the two that come first.
        let count = if missing == 0 { 2 } else { 1 };
        paths[missing..missing + count]
            .iter()
            .for_each(|path| fs::remove_file(path).expect("removes"));
        let refusal = refusal(&directory);
        assert!(refusal.contains(expected), "{refusal}");
    }
    let empty = TempDir::new().expect("a directory");
    assert!(refusal(&empty).contains("is missing"));
}

#[test]
fn a_torn_segment_that_is_not_the_last_is_refused() {
    let directory = many_segments(3);
    let path = &segment_paths(&directory)[1];
    let bytes = fs::read(path).expect("reads");
    fs::write(path, &bytes[..bytes.len() - 1]).expect("tears");
    assert!(refusal(&directory).contains("a record is cut short"));
}

#[test]
fn a_half_made_segment_does_not_count() {
    let directory = many_segments(2);
    let newest = segment_paths(&directory).pop().expect("there are some");
    fs::write(newest.with_extension("wal.tmp"), b"rubbish").expect("writes");
    assert_eq!(replay(&directory).entries, entries(1..=2, 1));
}

#[test]
fn a_snapshot_frees_the_segments_before_it_and_no_others() {
    let directory = many_segments(9);
    with(&directory, 1, |wal| {
        wal.save_hard_state(state(8)).expect("saves");
        wal.save_marker(marker(7, 5), true).expect("marks");
        wal.sync().expect("syncs");
        assert_eq!(wal.release().expect("releases"), 5, "the empty first one and entries 1 to 4");
        assert_eq!(wal.release().expect("releases"), 0);
    });
    let replay = replay(&directory);
    assert_eq!((replay.hard_state, replay.marker), (state(8), Some(marker(7, 5))));
    assert_eq!(replay.entries, entries(5..=9, 1));
}

#[test]
fn overwritten_entries_keep_no_segment_alive() {
    let directory = many_segments(9);
    with(&directory, 1, |wal| {
        wal.append(entries(2..=2, 2)).expect("appends");
        wal.save_marker(marker(2, 3), true).expect("marks");
        wal.sync().expect("syncs");
        wal.release().expect("releases");
    });
    let replay = replay(&directory);
    assert_eq!((replay.marker, replay.entries.len(), replay.segments), (Some(marker(2, 3)), 0, 1));
}

#[test]
fn a_snapshot_that_replaces_the_log_frees_all_of_it() {
    let directory = many_segments(4);
    with(&directory, 1, |wal| {
        wal.save_marker(marker(100, 101), false).expect("marks");
        wal.sync().expect("syncs");
        wal.release().expect("releases");
        wal.append(entries(102..=102, 2)).expect_err("a gap after the snapshot");
        wal.append(entries(101..=102, 2)).expect("continues the snapshot");
    });
    let replay = replay(&directory);
    assert_eq!((replay.marker, replay.entries), (Some(marker(100, 101)), entries(101..=102, 2)));
    assert!(replay.segments <= 2, "{} segments are left", replay.segments);
}

#[test]
fn a_log_shorter_than_its_snapshot_is_continued_after_it() {
    let directory = create();
    with(&directory, LARGE, |wal| {
        wal.append(entries(1..=3, 1)).expect("appends");
        wal.save_marker(marker(6, 2), true).expect("marks");
        wal.append(entries(7..=8, 1)).expect("continues the snapshot");
    });
    assert_eq!(replay(&directory).entries, entries(7..=8, 1));
}

/// Single entries, of these indices.
fn slots(indices: &[u64], term: u64) -> Vec<Entry> {
    indices.iter().flat_map(|&index| entries(index..=index, term)).collect()
}

#[test]
fn an_entry_that_is_put_replaces_its_like_and_leaves_what_follows() {
    for segment_bytes in [1, LARGE] {
        let directory = create();
        with(&directory, segment_bytes, |wal| {
            wal.put(slots(&[5, 9], 1)).expect("puts");
            wal.put(slots(&[2, 5], 2)).expect("puts");
            wal.put(Vec::new()).expect("nothing to put");
        });
        let expected = [slots(&[2, 5], 2), slots(&[9], 1)].concat();
        assert_eq!(replay(&directory).entries, expected);
    }
}

#[test]
fn what_was_put_first_goes_when_a_snapshot_covers_the_last() {
    let directory = create();
    with(&directory, 1, |wal| {
        for index in [3, 1, 4, 2, 6] {
            wal.put(slots(&[index], 1)).expect("puts");
        }
        wal.save_marker(marker(4, 5), true).expect("marks");
        wal.sync().expect("syncs");
        assert_eq!(wal.release().expect("releases"), 5, "the empty first one, and up to entry 2");
    });
    let replay = replay(&directory);
    assert_eq!((replay.marker, replay.entries), (Some(marker(4, 5)), slots(&[6], 1)));
}

#[test]
fn a_sparse_log_without_its_first_segment_is_refused() {
    let directory = create();
    with(&directory, 1, |wal| {
        for index in [3, 1, 4] {
            wal.put(slots(&[index], 1)).expect("puts");
        }
    });
    fs::remove_file(&segment_paths(&directory)[0]).expect("removes");
    assert!(refusal(&directory).contains("is missing (no snapshot has taken its place)"));
}

#[test]
fn a_truncated_log_ends_there_and_is_continued_there() {
    for segment_bytes in [1, LARGE] {
        let directory = create();
        with(&directory, segment_bytes, |wal| {
            wal.append(entries(1..=5, 1)).expect("appends");
            wal.truncate(LogIndex(4)).expect("truncates");
        });
        assert_eq!(replay(&directory).entries, entries(1..=3, 1));
        with(&directory, segment_bytes, |wal| {
            wal.append(entries(5..=5, 2)).expect_err("entry 4 is gone, so 5 leaves a gap");
            wal.append(entries(4..=4, 2)).expect("continues after 3");
        });
        assert_eq!(replay(&directory).entries.last(), entries(4..=4, 2).last());
    }
}

/// What a log should hold, kept the obvious way.
#[derive(Debug, Default)]
struct Model {
    hard_state: HardState,
    marker: Option<Marker>,
    entries: Vec<Entry>,
}

impl Model {
    fn last(&self) -> u64 {
        let covered = self.marker.map_or(0, |marker| marker.last_index.0);
        self.entries.last().map_or(covered, |entry| entry.index.0)
    }

    fn step(&mut self, wal: &mut Wal, random: &mut ChaCha8Rng) {
        let mut below = |bound: u64| random.next_u64() % bound;
        let covered = self.marker.map_or(0, |marker| marker.last_index.0);
        match below(8) {
            0 => {
                self.hard_state = state(below(1000));
                wal.save_hard_state(self.hard_state).expect("saves");
            }
            1 if self.last() > covered => {
                let last = covered + 1 + below(self.last() - covered);
                let first = self.entries[0].index.0;
                let marker = marker(last, first + below(last + 2 - first));
                let keep_log = below(4) > 0;
                let keep = |entry: &Entry| keep_log && entry.index >= marker.log_from;
                self.entries.retain(keep);
                self.marker = Some(marker);
                wal.save_marker(marker, keep_log).expect("marks");
            }
            2 => {
                wal.sync().expect("syncs");
                wal.release().expect("releases");
            }
            3 if below(2) == 0 => {
                let from = covered + 1 + below(self.last() - covered + 1);
                self.entries.retain(|entry| entry.index.0 < from);
                wal.truncate(LogIndex(from)).expect("truncates");
            }
            _ => {
                let first = covered + 1 + below(self.last() - covered + 1);
                let new = entries(first..=first + below(4), below(1000));
                self.entries.retain(|entry| entry.index.0 < first);
                self.entries.extend(new.clone());
                wal.append(new).expect("appends");
            }
        }
    }
}

#[test]
fn the_log_agrees_with_a_plain_model_over_many_restarts() {
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let directory = create();
        let mut model = Model::default();
        for round in 0..8 {
            let segment_bytes = [1, 100, 300, LARGE][(random.next_u64() % 4) as usize];
            let (mut wal, replay) =
                Wal::open(&Files::real(), directory.path(), segment_bytes).expect("opens");
            assert_eq!(replay.hard_state, model.hard_state, "seed {seed}, round {round}");
            assert_eq!(replay.marker, model.marker, "seed {seed}, round {round}");
            assert_eq!(replay.entries, model.entries, "seed {seed}, round {round}");
            for _ in 0..random.next_u64() % 12 {
                model.step(&mut wal, &mut random);
            }
            wal.sync().expect("syncs");
        }
    }
}

/// As above, for a log whose entries are put.
#[test]
fn a_sparse_log_agrees_with_a_map_over_many_restarts() {
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |bound: u64| random.next_u64() % bound;
        let directory = create();
        let mut model = std::collections::BTreeMap::new();
        let mut covered = 0;
        for round in 0..8 {
            let segment_bytes = [1, 100, 300, LARGE][below(4) as usize];
            let (mut wal, replay) =
                Wal::open(&Files::real(), directory.path(), segment_bytes).expect("opens");
            let expected: Vec<Entry> = model.values().cloned().collect();
            assert_eq!(replay.entries, expected, "seed {seed}, round {round}");
            for _ in 0..below(12) {
                if below(6) == 0 {
                    covered += below(4);
                    let marker = marker(covered, covered + 1);
                    model.retain(|index, _| *index > covered);
                    wal.save_marker(marker, true).expect("marks");
                    wal.sync().expect("syncs");
                    wal.release().expect("releases");
                } else {
                    let first = covered + 1 + below(6);
                    let new = slots(&[first, first + 1 + below(3)], below(1000));
                    model.extend(new.iter().map(|entry| (entry.index.0, entry.clone())));
                    wal.put(new).expect("puts");
                }
            }
            wal.sync().expect("syncs");
        }
    }
}
