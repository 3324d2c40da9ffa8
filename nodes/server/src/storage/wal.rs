//! The write-ahead log: numbered segments in a directory.
//!
//! Records are buffered, written and synced in order. A full segment is synced before the next one comes into being, whole,
//! with a checkpoint of what the earlier ones established; so the newest segment is the only one that a crash can
//! have torn, and the oldest ones can be deleted as soon as no live entry is left in them. Replaying applies
//! every record again in order, truncations included: an entry that was overwritten stays gone.
//!
//! A protocol either appends, and its log has no gap, or puts entries at any index, and what is missing was never written.

use std::path::{Path, PathBuf};

use keelhaul_protocol::api::{LogEntry, LogIndex, Vocabulary};

use super::StorageError;
use super::disk::{Disk, RealDisk};
use super::files::{Appender, Files};
use super::segment::{self, Marker, Record};

const SUFFIX: &str = ".wal";
/// Buffered bytes at which they are written even though no sync was asked for.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// A segment's file.
#[derive(Debug)]
struct Segment {
    sequence: u64,
    /// The highest entry written to it that was not overwritten since; 0 if none.
    last_live: u64,
}

/// What a log said when it was opened.
#[derive(Debug, PartialEq)]
pub(super) struct Replay<M: Vocabulary> {
    pub(super) hard_state: M::HardState,
    pub(super) marker: Option<Marker<M::Era>>,
    pub(super) entries: Vec<M::Entry>,
    /// Entries were put rather than appended.
    sparse: bool,
    /// Bytes of a torn write that were cut off.
    pub(super) torn_bytes: u64,
    /// Segments read.
    pub(super) segments: usize,
}

/// The log, open for appending.
#[derive(Debug)]
pub(super) struct Wal<M: Vocabulary, D: Disk = RealDisk> {
    files: Files<D>,
    directory: PathBuf,
    segment_bytes: u64,
    /// Oldest first; the last is the one appended to.
    segments: Vec<Segment>,
    file: Appender<D>,
    /// Bytes in the newest segment's file, not counting the buffer.
    written: u64,
    /// How many of them are durable.
    synced: u64,
    buffer: Vec<u8>,
    hard_state: M::HardState,
    marker: Option<Marker<M::Era>>,
    /// The last entry of the log, 0 if it is empty and no snapshot is in force.
    last_index: u64,
}

impl<M: Vocabulary, D: Disk> Wal<M, D> {
    /// Whether a directory holds a log.
    pub(super) fn exists(files: &Files<D>, directory: &Path) -> Result<bool, StorageError> {
        Ok(!sequences(files, directory)?.is_empty())
    }

    /// Starts an empty log.
    pub(super) fn create(files: &Files<D>, directory: &Path) -> Result<(), StorageError> {
        create_segment::<M, D>(files, directory, 1, M::HardState::default(), None).map(drop)
    }

    /// Opens a log, cuts off a torn tail, and makes what is left durable: what was read back may only
    /// have been in the system's cache, and the protocol is about to rely on it. The newest segment is written anew rather
    /// than synced: after a sync that failed the system may take for written what is not, so that a later one succeeds
    /// for nothing (Rebello et al., "Can Applications Recover from fsync Failures?", ATC '20). Older ones were synced before
    /// it came into being.
    pub(super) fn open(
        files: &Files<D>,
        directory: &Path,
        segment_bytes: u64,
    ) -> Result<(Self, Replay<M>), StorageError> {
        let sequences = sequences(files, directory)?;
        let Some(&newest) = sequences.last() else {
            let path = directory.join(file_name(1));
            return Err(StorageError::Missing { path, what: "the log has no segment" });
        };
        let mut replay = Replay::new(sequences.len());
        let mut segments = Vec::with_capacity(sequences.len());
        let (mut newest_bytes, mut written) = (Vec::new(), 0);
        for (position, &sequence) in sequences.iter().enumerate() {
            let path = directory.join(file_name(sequence));
            if sequence != sequences[0] + position as u64 {
                let path = directory.join(file_name(sequences[0] + position as u64));
                return Err(StorageError::Missing { path, what: "the log has later segments" });
            }
            let bytes = files.read(&path)?.unwrap_or_default();
            let scan = segment::scan(&bytes, sequence, sequence == newest).map_err(|damage| {
                StorageError::Corrupt {
                    path: path.clone(),
                    offset: damage.offset,
                    what: damage.what,
                }
            })?;
            written = scan.end;
            replay.torn_bytes = bytes.len() as u64 - scan.end;
            segments.push(Segment { sequence, last_live: 0 });
            for record in scan.records {
                replay.apply(record, &mut segments, &path)?;
            }
            newest_bytes = bytes;
        }
        replay.finish(directory, sequences[0])?;
        let end = usize::try_from(written).expect("it was read into memory");
        files.write_whole(directory, &file_name(newest), &[&newest_bytes[..end]])?;
        let file = files.appender(directory.join(file_name(newest)), written)?;
        let wal = Self {
            files: files.clone(),
            directory: directory.to_path_buf(),
            segment_bytes,
            segments,
            file,
            written,
            synced: written,
            buffer: Vec::new(),
            hard_state: replay.hard_state,
            marker: replay.marker,
            last_index: replay.last_index(),
        };
        Ok((wal, replay))
    }

    /// Records a new hard state.
    pub(super) fn save_hard_state(&mut self, hard_state: M::HardState) -> Result<(), StorageError> {
        self.record(&Record::HardState(hard_state))?;
        self.hard_state = hard_state;
        Ok(())
    }

    /// Records entries, in place of whatever the log held at or after the first one.
    pub(super) fn append(&mut self, entries: Vec<M::Entry>) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let (first, last) = (first.index().0, last.index().0);
        let covered = self.marker.map_or(0, |marker| marker.last_index.0);
        if first > self.last_index.max(covered) + 1 {
            return Err(StorageError::Gap {
                path: self.directory.clone(),
                last: self.last_index,
                next: first,
            });
        }
        self.record(&Record::Entries(entries))?;
        note_appended(&mut self.segments, first, last);
        self.last_index = last;
        Ok(())
    }

    /// Records entries, each in place of what the log held at its index.
    pub(super) fn put(&mut self, entries: Vec<M::Entry>) -> Result<(), StorageError> {
        let Some(last) = entries.iter().map(|entry| entry.index().0).max() else { return Ok(()) };
        self.record(&Record::Put(entries))?;
        note_put(&mut self.segments, last);
        self.last_index = self.last_index.max(last);
        Ok(())
    }

    /// Records that the log ends before an entry.
    pub(super) fn truncate(&mut self, from: LogIndex) -> Result<(), StorageError> {
        self.record(&Record::Truncate(from))?;
        cut(&mut self.segments, from.0);
        let covered = self.marker.map_or(0, |marker| marker.last_index.0);
        self.last_index = self.last_index.min(from.0.saturating_sub(1)).max(covered);
        Ok(())
    }

    /// Records that a snapshot, whose file is durable, came into force.
    pub(super) fn save_marker(
        &mut self,
        marker: Marker<M::Era>,
        keep_log: bool,
    ) -> Result<(), StorageError> {
        self.record(&Record::Snapshot { marker, keep_log })?;
        self.marker = Some(marker);
        if !keep_log {
            self.last_index = marker.last_index.0;
            self.segments.iter_mut().for_each(|segment| segment.last_live = 0);
        }
        Ok(())
    }

    /// Makes everything recorded so far durable.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        self.flush()?;
        if self.synced < self.written {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Deletes the segments that the snapshot in force has made superfluous. Only right when its marker is durable.
    /// Returns how many went.
    pub(super) fn release(&mut self) -> Result<usize, StorageError> {
        let Some(marker) = self.marker else { return Ok(0) };
        let older = &self.segments[..self.segments.len() - 1];
        let count =
            older.iter().take_while(|segment| segment.last_live < marker.log_from.0).count();
        for segment in self.segments.drain(..count) {
            self.files.remove(&self.directory.join(file_name(segment.sequence)))?;
            // In order: a crash must leave a suffix, never a hole.
            self.files.sync_directory(&self.directory)?;
        }
        Ok(count)
    }

    fn record(&mut self, record: &Record<M>) -> Result<(), StorageError> {
        if self.written + self.buffer.len() as u64 >= self.segment_bytes {
            self.rotate()?;
        }
        let sequence = self.newest();
        segment::encode(&mut self.buffer, sequence, self.written, self.synced, record)?;
        if self.buffer.len() >= BUFFER_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        if !self.buffer.is_empty() {
            self.file.append(&self.buffer)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), StorageError> {
        self.sync()?;
        let sequence = self.newest() + 1;
        self.written = create_segment::<M, D>(
            &self.files,
            &self.directory,
            sequence,
            self.hard_state,
            self.marker,
        )?;
        self.synced = self.written;
        self.file = self.files.appender(self.directory.join(file_name(sequence)), self.written)?;
        self.segments.push(Segment { sequence, last_live: 0 });
        Ok(())
    }

    fn newest(&self) -> u64 {
        self.segments.last().expect("a log has a segment").sequence
    }
}

#[cfg(test)]
impl<M: Vocabulary> Wal<M> {
    pub(super) fn break_for_test(&mut self) {
        self.file.break_for_test();
    }
}

impl<M: Vocabulary> Replay<M> {
    fn new(segments: usize) -> Self {
        let (hard_state, entries) = (M::HardState::default(), Vec::new());
        Self { hard_state, marker: None, entries, sparse: false, torn_bytes: 0, segments }
    }

    /// Whether nothing was ever recorded.
    pub(super) fn is_blank(&self) -> bool {
        self.entries.is_empty()
            && self.marker.is_none()
            && self.hard_state == M::HardState::default()
    }

    fn apply(
        &mut self,
        record: Record<M>,
        segments: &mut [Segment],
        path: &Path,
    ) -> Result<(), StorageError> {
        match record {
            Record::Checkpoint { hard_state, snapshot } => {
                self.hard_state = hard_state;
                self.marker = snapshot;
            }
            Record::HardState(hard_state) => self.hard_state = hard_state,
            Record::Entries(entries) => self.append(entries, segments, path)?,
            Record::Put(entries) => self.put(entries, segments),
            Record::Truncate(from) => {
                let kept = self.entries.partition_point(|entry| entry.index() < from);
                self.entries.truncate(kept);
                cut(segments, from.0);
            }
            Record::Snapshot { marker, keep_log } => {
                self.marker = Some(marker);
                if keep_log {
                    let stale =
                        self.entries.partition_point(|entry| entry.index() < marker.log_from);
                    self.entries.drain(..stale);
                } else {
                    self.entries.clear();
                    segments.iter_mut().for_each(|segment| segment.last_live = 0);
                }
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        new: Vec<M::Entry>,
        segments: &mut [Segment],
        path: &Path,
    ) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(()) };
        let (first, last) = (first.index(), last.index().0);
        let kept = self.entries.partition_point(|entry| entry.index() < first);
        self.entries.truncate(kept);
        if let Some(previous) = self.entries.last().map(|entry| entry.index().0)
            && previous + 1 != first.0
        {
            // A log that ended before the snapshot did is continued after the snapshot.
            if self.marker.is_none_or(|marker| first.0 > marker.last_index.0 + 1) {
                return Err(StorageError::Gap {
                    path: path.to_path_buf(),
                    last: previous,
                    next: first.0,
                });
            }
            self.entries.clear();
        }
        self.entries.extend(new);
        note_appended(segments, first.0, last);
        Ok(())
    }

    fn put(&mut self, new: Vec<M::Entry>, segments: &mut [Segment]) {
        self.sparse = true;
        for entry in new {
            note_put(segments, entry.index().0);
            match self.entries.binary_search_by_key(&entry.index(), LogEntry::index) {
                Ok(at) => self.entries[at] = entry,
                Err(at) => self.entries.insert(at, entry),
            }
        }
    }

    fn last_index(&self) -> u64 {
        let covered = self.marker.map_or(0, |marker| marker.last_index.0);
        self.entries.last().map_or(covered, |entry| entry.index().0)
    }

    /// The replayed log must continue its snapshot, or begin at the beginning. One that may have gaps tells only whether it has a
    /// beginning: segments go when a snapshot has taken their place.
    fn finish(&mut self, directory: &Path, oldest: u64) -> Result<(), StorageError> {
        let (log_from, covered) =
            self.marker.map_or((LogIndex(1), 0), |marker| (marker.log_from, marker.last_index.0));
        let stale = self.entries.partition_point(|entry| entry.index() < log_from);
        self.entries.drain(..stale);
        if self.sparse {
            return match self.marker {
                None if oldest > 1 => Err(StorageError::Missing {
                    path: directory.join(file_name(oldest - 1)),
                    what: "no snapshot has taken its place",
                }),
                _ => Ok(()),
            };
        }
        let gap = |last, next| StorageError::Gap { path: directory.to_path_buf(), last, next };
        if let Some(first) = self.entries.first()
            && first.index().0 > covered + 1
        {
            return Err(gap(covered, first.index().0));
        }
        for pair in self.entries.windows(2) {
            if pair[0].index().0 + 1 != pair[1].index().0 {
                return Err(gap(pair[0].index().0, pair[1].index().0));
            }
        }
        Ok(())
    }
}

/// Entries `first..=last` went to the newest segment; what earlier ones held from `first` on is dead.
fn note_appended(segments: &mut [Segment], first: u64, last: u64) {
    cut(segments, first);
    segments.last_mut().expect("a log has a segment").last_live = last;
}

/// An entry went to the newest segment. The one that it replaced, if any, may keep an earlier segment for longer than it must be kept.
fn note_put(segments: &mut [Segment], index: u64) {
    let newest = segments.last_mut().expect("a log has a segment");
    newest.last_live = newest.last_live.max(index);
}

/// Nothing from an entry on counts any more.
fn cut(segments: &mut [Segment], from: u64) {
    for segment in segments {
        segment.last_live = segment.last_live.min(from.saturating_sub(1));
    }
}

fn file_name(sequence: u64) -> String {
    format!("{sequence:016}{SUFFIX}")
}

/// The segments of a directory, in order.
fn sequences<D: Disk>(files: &Files<D>, directory: &Path) -> Result<Vec<u64>, StorageError> {
    let names = files.names(directory)?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect())
}

fn create_segment<M: Vocabulary, D: Disk>(
    files: &Files<D>,
    directory: &Path,
    sequence: u64,
    hard_state: M::HardState,
    snapshot: Option<Marker<M::Era>>,
) -> Result<u64, StorageError> {
    let bytes = segment::new(sequence, &Record::<M>::Checkpoint { hard_state, snapshot })?;
    files.write_whole(directory, &file_name(sequence), &[&bytes])?;
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests;
