//! The bytes of one log segment: a header, then records.
//!
//! ```text
//! header   magic 8 | sequence u64 | crc32 of the 16 bytes before
//! record   magic 4 | length u32 | synced u64 | crc32 u32 | payload (postcard)
//! ```
//! Numbers are little-endian. A record's checksum also covers the segment's sequence number and the record's
//! offset, so that bytes from another place never pass for a record. `synced` is how much of the segment was known to be durable
//! when the record was written: it is what tells a torn write from corruption. An unreadable record that
//! a later, readable one declares durable was damaged afterwards; one that nobody declares durable is the tail
//! of a write that a crash cut short (after "Protocol-Aware Recovery", Alagappan et al., FAST '18, §3.3.2).
//!
//! Limit, shared with that paper: damage to the very last durable batch looks like a torn write.

use keelhaul_protocol::api::{LogIndex, Vocabulary};
use serde::{Deserialize, Serialize};

use super::StorageError;

const SEGMENT_MAGIC: [u8; 8] = *b"khwal\0\0\x01";
const RECORD_MAGIC: [u8; 4] = *b"kRc\x9d";
const HEADER_BYTES: usize = 20;
const RECORD_HEAD_BYTES: usize = 20;
/// The largest payload of a record, in bytes: far above any batch that a protocol makes, far below what a damaged
/// length could ask for.
const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// Names the snapshot that is in force, and says where the log continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker<E> {
    /// The last entry the snapshot includes.
    pub(super) last_index: LogIndex,
    /// Under whom that entry came to be.
    pub(super) last_era: E,
    /// The first entry of the log that is kept.
    pub(super) log_from: LogIndex,
}

/// What a log is made of. New kinds go to the end: the order is the format's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum Record<M: Vocabulary> {
    /// First in every segment: what earlier segments established, so that they can be deleted.
    Checkpoint {
        /// What was promised at that point.
        hard_state: M::HardState,
        /// The snapshot in force at that point.
        snapshot: Option<Marker<M::Era>>,
    },
    /// A new hard state.
    HardState(M::HardState),
    /// Entries; whatever the log held at or after the first one's index is gone.
    Entries(Vec<M::Entry>),
    /// A snapshot came into force; its file is already durable.
    Snapshot {
        /// Which one.
        marker: Marker<M::Era>,
        /// Whether the log before this record still counts, from `marker.log_from` on.
        keep_log: bool,
    },
    /// Entries, each in place of what the log held at its own index.
    Put(Vec<M::Entry>),
    /// Whatever the log held at or after this index is gone.
    Truncate(LogIndex),
}

/// Why a segment is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where.
    pub(super) offset: u64,
    /// What.
    pub(super) what: &'static str,
}

/// What a segment holds.
#[derive(Debug, PartialEq)]
pub(super) struct Scan<M: Vocabulary> {
    /// Its records, in order; the first is a checkpoint.
    pub(super) records: Vec<Record<M>>,
    /// The length of its readable part, in bytes.
    pub(super) end: u64,
}

/// The bytes of a new segment: header and checkpoint.
pub(super) fn new<M: Vocabulary>(
    sequence: u64,
    checkpoint: &Record<M>,
) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::with_capacity(128);
    bytes.extend_from_slice(&SEGMENT_MAGIC);
    bytes.extend_from_slice(&sequence.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    encode(&mut bytes, sequence, 0, 0, checkpoint)?;
    Ok(bytes)
}

/// Appends a record to `buffer`, whose first byte lies at `base` in the segment.
pub(super) fn encode<M: Vocabulary>(
    buffer: &mut Vec<u8>,
    sequence: u64,
    base: u64,
    synced: u64,
    record: &Record<M>,
) -> Result<(), StorageError> {
    let start = buffer.len();
    buffer.extend_from_slice(&RECORD_MAGIC);
    buffer.extend_from_slice(&[0; RECORD_HEAD_BYTES - 4]);
    postcard::to_io(record, &mut *buffer)
        .expect("a record serialises, and a vector takes all bytes");
    let length = buffer.len() - start - RECORD_HEAD_BYTES;
    if length > PAYLOAD_BYTES_MAX {
        buffer.truncate(start);
        return Err(StorageError::TooLarge { bytes: length, limit: PAYLOAD_BYTES_MAX });
    }
    let length_field = u32::try_from(length).expect("below the limit").to_le_bytes();
    let payload = &buffer[start + RECORD_HEAD_BYTES..];
    let crc = checksum(sequence, base + start as u64, length_field, synced.to_le_bytes(), payload);
    buffer[start + 4..start + 8].copy_from_slice(&length_field);
    buffer[start + 8..start + 16].copy_from_slice(&synced.to_le_bytes());
    buffer[start + 16..start + 20].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn checksum(sequence: u64, offset: u64, length: [u8; 4], synced: [u8; 8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&length);
    hasher.update(&synced);
    hasher.update(payload);
    hasher.finalize()
}

/// A record's frame: checked, not yet decoded.
struct Framed<'a> {
    synced: u64,
    payload: &'a [u8],
    end: usize,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn frame_at(bytes: &[u8], sequence: u64, offset: usize) -> Result<Framed<'_>, &'static str> {
    const CUT: &str = "a record is cut short";
    if field::<4>(bytes, offset).ok_or(CUT)? != RECORD_MAGIC {
        return Err("no record begins here");
    }
    let length: [u8; 4] = field(bytes, offset + 4).ok_or(CUT)?;
    let synced: [u8; 8] = field(bytes, offset + 8).ok_or(CUT)?;
    let crc = u32::from_le_bytes(field(bytes, offset + 16).ok_or(CUT)?);
    let begin = offset + RECORD_HEAD_BYTES;
    let end = begin.saturating_add(u32::from_le_bytes(length) as usize);
    let payload = bytes.get(begin..end).ok_or(CUT)?;
    if checksum(sequence, offset as u64, length, synced, payload) != crc {
        return Err("a record's checksum is wrong");
    }
    Ok(Framed { synced: u64::from_le_bytes(synced), payload, end })
}

/// Whether a readable record after `offset` says that more than `offset` bytes were durable.
fn declared_durable(bytes: &[u8], sequence: u64, offset: usize) -> bool {
    let mut at = offset + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| find(rest, &RECORD_MAGIC)) {
        at += found;
        match frame_at(bytes, sequence, at) {
            Ok(frame) if frame.synced > offset as u64 => return true,
            Ok(frame) => at = frame.end,
            Err(_) => at += 1,
        }
    }
    false
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Reads a segment. In the last one (`last`) an unreadable tail that was never durable is left out of the scan;
/// anything else that does not read is damage.
pub(super) fn scan<M: Vocabulary>(
    bytes: &[u8],
    sequence: u64,
    last: bool,
) -> Result<Scan<M>, Damage> {
    header(bytes, sequence)?;
    let mut records = Vec::new();
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() || records.is_empty() {
        let at = offset as u64;
        match frame_at(bytes, sequence, offset) {
            Ok(frame) => {
                let record = postcard::from_bytes(frame.payload)
                    .map_err(|_| Damage { offset: at, what: "a record does not decode" })?;
                if records.is_empty() != matches!(record, Record::Checkpoint { .. }) {
                    return Err(Damage {
                        offset: at,
                        what: "a checkpoint must come first, and only there",
                    });
                }
                records.push(record);
                offset = frame.end;
            }
            // A segment comes into being whole, with its checkpoint: that one cannot be torn.
            Err(what)
                if !last || records.is_empty() || declared_durable(bytes, sequence, offset) =>
            {
                return Err(Damage { offset: at, what });
            }
            Err(_) => break,
        }
    }
    Ok(Scan { records, end: offset as u64 })
}

fn header(bytes: &[u8], sequence: u64) -> Result<(), Damage> {
    let damage = |what| Damage { offset: 0, what };
    let crc = u32::from_le_bytes(field(bytes, 16).ok_or(damage("its header is cut short"))?);
    if crc32fast::hash(&bytes[..16]) != crc {
        return Err(damage("its header's checksum is wrong"));
    }
    if bytes[..8] != SEGMENT_MAGIC {
        return Err(damage("it is not a log segment of this format"));
    }
    if bytes[8..16] != sequence.to_le_bytes() {
        return Err(damage("its header and its name disagree"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelhaul_protocol::api::{Entry, NodeId, Payload, Term};
    use keelhaul_protocol::raft::{HardState, Message};

    type Record = super::Record<Message>;

    fn scan(bytes: &[u8], sequence: u64, last: bool) -> Result<Scan<Message>, Damage> {
        super::scan(bytes, sequence, last)
    }

    const SEQUENCE: u64 = 7;

    fn state(term: u64) -> Record {
        Record::HardState(HardState { term: Term(term), vote: Some(NodeId(2)) })
    }

    fn entries(from: u64, count: u64) -> Record {
        let entry = |index| Entry { index: LogIndex(index), term: Term(1), payload: Payload::Noop };
        Record::Entries((from..from + count).map(entry).collect())
    }

    /// A segment, the records in it, and where each record begins; `synced` pairs with each record.
    fn build(records: &[(Record, bool)]) -> (Vec<u8>, Vec<Record>, Vec<usize>) {
        let checkpoint = Record::Checkpoint { hard_state: HardState::default(), snapshot: None };
        let mut bytes = new(SEQUENCE, &checkpoint).expect("small");
        let (mut expected, mut starts) = (vec![checkpoint], vec![HEADER_BYTES]);
        let mut synced = bytes.len() as u64;
        for (record, synced_before) in records {
            if *synced_before {
                synced = bytes.len() as u64;
            }
            starts.push(bytes.len());
            encode(&mut bytes, SEQUENCE, 0, synced, record).expect("small");
            expected.push(record.clone());
        }
        (bytes, expected, starts)
    }

    #[test]
    fn a_tail_cut_at_any_byte_of_the_last_record_is_dropped() {
        let (bytes, records, starts) = build(&[(state(1), true), (entries(1, 3), true)]);
        let start = starts[2];
        for length in start..bytes.len() {
            let scan = scan(&bytes[..length], SEQUENCE, true).expect("torn, not damaged");
            assert_eq!(
                (scan.end, &scan.records[..]),
                (start as u64, &records[..2]),
                "cut to {length}"
            );
        }
        assert_eq!(scan(&bytes, SEQUENCE, true).expect("whole").records, records);
    }

    #[test]
    fn a_tail_of_zeros_or_rubbish_is_dropped() {
        let (bytes, _, starts) = build(&[(state(1), true), (entries(1, 3), true)]);
        for fill in [0_u8, 0xff, RECORD_MAGIC[0]] {
            let mut torn = bytes.clone();
            torn[starts[2]..].fill(fill);
            torn.extend_from_slice(&[fill; 999]);
            assert_eq!(scan(&torn, SEQUENCE, true).expect("torn").end, starts[2] as u64);
        }
    }

    #[test]
    fn any_flipped_byte_before_the_last_record_is_damage() {
        let (bytes, _, starts) =
            build(&[(state(1), true), (entries(1, 3), true), (state(2), true)]);
        for position in 0..starts[3] {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x40;
            assert!(scan(&flipped, SEQUENCE, true).is_err(), "byte {position}");
        }
    }

    #[test]
    fn a_hole_in_an_unsynced_batch_is_a_torn_write() {
        // A crash of the machine may keep later pages of a write and lose earlier ones.
        let (bytes, _, starts) =
            build(&[(state(1), true), (entries(1, 3), true), (state(2), false)]);
        let mut holed = bytes;
        holed[starts[2]..starts[3]].fill(0);
        assert_eq!(scan(&holed, SEQUENCE, true).expect("torn").end, starts[2] as u64);
    }

    #[test]
    fn a_segment_that_is_not_the_last_must_be_whole() {
        let (bytes, _, starts) = build(&[(state(1), true), (entries(1, 3), true)]);
        assert!(scan(&bytes, SEQUENCE, false).is_ok());
        let damage = scan(&bytes[..bytes.len() - 1], SEQUENCE, false).expect_err("cut");
        assert_eq!(damage, Damage { offset: starts[2] as u64, what: "a record is cut short" });
    }

    #[test]
    fn a_record_from_another_segment_or_place_is_not_accepted() {
        let (bytes, _, starts) = build(&[(state(1), true), (state(1), true)]);
        assert!(scan(&bytes, SEQUENCE + 1, true).is_err());
        let mut moved = bytes.clone();
        moved.extend_from_slice(&bytes[starts[2]..]);
        assert_eq!(scan(&moved, SEQUENCE, true).expect("torn").end, bytes.len() as u64);
    }

    #[test]
    fn a_segment_without_its_checkpoint_is_damage() {
        let (bytes, _, _) = build(&[]);
        for length in 0..bytes.len() {
            assert!(scan(&bytes[..length], SEQUENCE, true).is_err(), "cut to {length}");
        }
    }
}
