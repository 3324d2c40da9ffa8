//! What of one file's content a power cut would take back.
//!
//! The file itself holds the *live* content. Kept here is how long the durable content is, and those of its bytes that
//! have been overwritten or cut off since: everything else below its length is still in the file.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::{Rng, RngExt};

/// What a disk writes whole or not at all, bytes.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// The difference between a file's live content and its durable one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    live_length: u64,
    durable_length: u64,
    /// Durable bytes that the file no longer holds, by offset; disjoint, all below `durable_length`.
    saved: BTreeMap<u64, Vec<u8>>,
    /// Live bytes that a failed sync has made the system forget to write: no later sync makes them durable. In order, disjoint.
    forgotten: Vec<Range<u64>>,
}

/// How to turn a file's live content into what a power cut leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restore {
    /// The length to set, first of all.
    pub(crate) length: u64,
    /// Bytes to write back.
    pub(crate) chunks: Vec<(u64, Vec<u8>)>,
    /// Ranges to fill with zeros: parts of a longer file that never reached the disk.
    pub(crate) zeros: Vec<Range<u64>>,
    /// Live ranges that are lost, by offset.
    pub(crate) lost: Vec<Range<u64>>,
}

impl Content {
    /// A file that is on the disk as it is.
    pub(crate) fn durable(length: u64) -> Self {
        Self { live_length: length, durable_length: length, ..Self::default() }
    }

    /// Length of the live content.
    pub(crate) fn length(&self) -> u64 {
        self.live_length
    }

    /// Whether a power cut would change the file.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.saved.is_empty() || self.live_length != self.durable_length
    }

    /// How many bytes a power cut would change or take away.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        let saved: u64 = self.saved.values().map(|bytes| bytes.len() as u64).sum();
        saved + self.live_length.saturating_sub(self.durable_length)
    }

    /// The parts of a range that must be [saved](Self::save) before it is changed: durable, and in the file alone.
    pub(crate) fn wanted(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let end = range.end.min(self.durable_length);
        let mut at = range.start;
        let mut wanted = Vec::new();
        // The last one before the range may reach into it.
        let before = self.saved.range(..at).next_back();
        for (&offset, bytes) in before.into_iter().chain(self.saved.range(at..end.max(at))) {
            if at < offset {
                wanted.push(at..offset);
            }
            at = at.max(offset + bytes.len() as u64);
        }
        if at < end {
            wanted.push(at..end);
        }
        wanted
    }

    /// Keeps durable bytes that are about to be changed; the range is one that was [wanted](Self::wanted).
    pub(crate) fn save(&mut self, offset: u64, bytes: Vec<u8>) {
        self.saved.insert(offset, bytes);
    }

    /// A range was written: the file is at least that long.
    pub(crate) fn written(&mut self, range: Range<u64>) {
        self.live_length = self.live_length.max(range.end);
        let parts = self.forgotten.iter().flat_map(|lost| {
            [lost.start..lost.end.min(range.start), lost.start.max(range.end)..lost.end]
        });
        self.forgotten = parts.filter(|part| !part.is_empty()).collect();
    }

    /// The file was cut or extended to `length`.
    pub(crate) fn resized(&mut self, length: u64) {
        self.live_length = length;
        for lost in &mut self.forgotten {
            lost.end = lost.end.min(length);
        }
        self.forgotten.retain(|lost| !lost.is_empty());
    }

    /// The live content is on the disk, but for what was forgotten.
    pub(crate) fn sync(&mut self) {
        self.durable_length = self.live_length;
        let mut kept = BTreeMap::new();
        for lost in &self.forgotten {
            for (&start, bytes) in self.saved.range(..lost.end) {
                let (from, to) =
                    (start.max(lost.start), (start + bytes.len() as u64).min(lost.end));
                if from < to {
                    let part = &bytes[index(from - start)..index(to - start)];
                    kept.insert(from, part.to_vec());
                }
            }
        }
        self.saved = kept;
    }

    /// A sync failed. The system takes what it could not write for written: the file reads as before, what was appended to it is a
    /// hole on the disk, and only what is written again has another chance.
    pub(crate) fn sync_failed(&mut self) {
        if self.live_length > self.durable_length {
            let hole = index(self.live_length - self.durable_length);
            self.saved.insert(self.durable_length, vec![0; hole]);
            self.durable_length = self.live_length;
        }
        let saved = self.saved.iter().map(|(&at, bytes)| at..at + bytes.len() as u64);
        self.forgotten =
            joined(saved.map(|lost| lost.start..lost.end.min(self.live_length)).collect());
        self.forgotten.retain(|lost| !lost.is_empty());
    }

    /// Bytes in the file were changed behind everybody's back, on the disk itself: what is durable changed likewise.
    pub(crate) fn damaged(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        for (&start, saved) in self.saved.range_mut(..end) {
            let stop = start + saved.len() as u64;
            let (from, to) = (start.max(offset), stop.min(end));
            if from < to {
                let source = &bytes[index(from - offset)..index(to - offset)];
                saved[index(from - start)..index(to - start)].copy_from_slice(source);
            }
        }
    }

    /// The file was cut short on the disk itself.
    pub(crate) fn cut_short(&mut self, length: u64) {
        self.live_length = self.live_length.min(length);
        self.durable_length = self.durable_length.min(length);
        self.saved.split_off(&length);
        let live_length = self.live_length;
        self.resized(live_length);
        if let Some((&offset, bytes)) = self.saved.iter_mut().next_back() {
            bytes.truncate(index(length - offset));
        }
    }

    /// The file is at least that long on the disk itself: an end that was cut off is back.
    pub(crate) fn grown_back(&mut self, length: u64) {
        if length > self.live_length {
            self.durable_length = self.durable_length.max(length);
            self.live_length = length;
        }
    }

    /// What a power cut leaves when nothing reached the disk but what was synced.
    pub(crate) fn restore(&self) -> Restore {
        let length = self.durable_length;
        let chunks: Vec<_> = self.saved.iter().map(|(&at, bytes)| (at, bytes.clone())).collect();
        let mut lost: Vec<_> = chunks.iter().map(|(at, b)| *at..at + b.len() as u64).collect();
        if self.live_length > length {
            lost.push(length..self.live_length);
        }
        Restore { length, chunks, zeros: Vec::new(), lost: joined(lost) }
    }

    /// What a power cut leaves when some of what was written had reached the disk by chance: the beginning of what was appended, or
    /// any sectors.
    pub(crate) fn restore_torn(&self, dice: &mut impl Rng) -> Restore {
        let mut restore = self.restore();
        let tail = self.durable_length..self.live_length.max(self.durable_length);
        let by_sector = dice.random_bool(0.5);
        let sectors = tail.start / SECTOR_BYTES..=tail.end / SECTOR_BYTES;
        let end = dice.random_range(sectors) * SECTOR_BYTES;
        restore.length = match dice.random_range(0..4) {
            0 => tail.start,
            1 => tail.end,
            _ => end.clamp(tail.start, tail.end),
        };
        if by_sector {
            restore.chunks = self.keep_some_sectors(&restore.chunks, dice);
        }
        restore.lost = restore.chunks.iter().map(|(at, b)| *at..at + b.len() as u64).collect();
        if by_sector {
            for sector in sectors_of(&(tail.start..restore.length)) {
                if dice.random_bool(0.5) {
                    restore.zeros.push(sector.clone());
                    restore.lost.push(sector);
                }
            }
        }
        if restore.length < tail.end {
            restore.lost.push(restore.length..tail.end);
        }
        restore.lost = joined(restore.lost);
        restore
    }

    /// The chunks without those sectors of which the live bytes stay. What lies beyond the live end has none, and what was forgotten
    /// has no chance.
    fn keep_some_sectors(
        &self,
        chunks: &[(u64, Vec<u8>)],
        dice: &mut impl Rng,
    ) -> Vec<(u64, Vec<u8>)> {
        let mut kept = Vec::new();
        for (offset, bytes) in chunks {
            for sector in sectors_of(&(*offset..offset + bytes.len() as u64)) {
                let overlaps =
                    |lost: &Range<u64>| lost.start < sector.end && sector.start < lost.end;
                let hopeless = sector.end > self.live_length || self.forgotten.iter().any(overlaps);
                if hopeless || dice.random_bool(0.5) {
                    let part = &bytes[index(sector.start - offset)..index(sector.end - offset)];
                    kept.push((sector.start, part.to_vec()));
                }
            }
        }
        kept
    }
}

/// Ranges in order, neighbours made one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// A range in parts that do not cross a sector's boundary.
fn sectors_of(range: &Range<u64>) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(range.end);
        parts.push(at..end);
        at = end;
    }
    parts
}

/// An offset within bytes that are in memory.
pub(crate) fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("what is in memory has an index")
}
