//! What takes the place of the vDSO's functions: machine code that asks the kernel and then bends the answer.
//!
//! It is written in assembly ([`super::assembly`]), lives in this program as data, and is copied from there into other processes. It stands on nothing but the x86-64
//! calling convention and the kernel's system calls, may lie anywhere, and reads its [`Course`] from its own first bytes.

use super::assembly::{
    keelhaul_clock_ask, keelhaul_clock_end, keelhaul_clock_gettime, keelhaul_clock_gettimeofday,
    keelhaul_clock_start, keelhaul_clock_time,
};

/// Marks a process whose clock is ours already. The last byte is the version of what follows it.
const MAGIC: [u8; 8] = *b"keelhau\x01";
const RECORD_BYTES: usize = 24;
/// What the code reads before its first instruction.
pub(super) const COURSE_BYTES: usize = 16 + 2 * RECORD_BYTES;
/// The unit of a slope is so small a part of the clock's pace.
const SLOPE_BITS: u32 = 32;
const MILLION: i128 = 1_000_000;

/// A label of the code, as its distance from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    GetTime,
    GetTimeOfDay,
    Time,
    Ask,
    End,
}

impl Label {
    pub(super) fn offset(self) -> usize {
        let label = match self {
            Self::GetTime => &raw const keelhaul_clock_gettime,
            Self::GetTimeOfDay => &raw const keelhaul_clock_gettimeofday,
            Self::Time => &raw const keelhaul_clock_time,
            Self::Ask => &raw const keelhaul_clock_ask,
            Self::End => &raw const keelhaul_clock_end,
        };
        label as usize - &raw const keelhaul_clock_start as usize
    }
}

/// The code, with this course in front.
pub(super) fn code(course: &Course) -> Vec<u8> {
    let (start, length) = (&raw const keelhaul_clock_start, Label::End.offset());
    #[expect(unsafe_code, reason = "labels are all that Rust knows of the assembly")]
    // SAFETY: everything between the first label and the last is data of this program that nobody writes.
    let code = unsafe { std::slice::from_raw_parts(start, length) };
    [&course.to_bytes(), &code[COURSE_BYTES..]].concat()
}

/// How a clock runs beside the machine's: straight, from some moment on. In nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    base: i64,
    offset: i64,
    /// In parts of 2^32.
    slope: i64,
}

impl Record {
    /// What it shows when the machine's clock shows `time`; as the code reckons.
    pub(super) fn shown(self, time: i64) -> i64 {
        let bent = i128::from(time - self.base) * i128::from(self.slope);
        time + self.offset + (bent >> SLOPE_BITS) as i64
    }

    /// The one that goes on from here at another pace, once it has jumped by so much.
    pub(super) fn next(self, now: i64, jump_ns: i64, ppm: i64) -> Self {
        let slope = ((i128::from(ppm) << SLOPE_BITS) / MILLION) as i64;
        Self { base: now, offset: self.shown(now) - now + jump_ns, slope }
    }

    /// The one that is ahead by so much and runs as the machine's.
    pub(super) fn straight(offset: i64) -> Self {
        Self { offset, ..Self::default() }
    }

    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        for (at, number) in [self.base, self.offset, self.slope].into_iter().enumerate() {
            bytes[8 * at..][..8].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        Self { base: number(bytes, 0), offset: number(bytes, 8), slope: number(bytes, 16) }
    }
}

/// What a process' clocks show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// How far ahead the time of day was told to be.
    pub ahead_ms: i64,
    pub wall: Record,
    pub steady: Record,
}

impl Course {
    pub(super) fn to_bytes(self) -> [u8; COURSE_BYTES] {
        let mut bytes = [0; COURSE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.ahead_ms.to_le_bytes());
        bytes[16..][..RECORD_BYTES].copy_from_slice(&self.wall.to_bytes());
        bytes[16 + RECORD_BYTES..].copy_from_slice(&self.steady.to_bytes());
        bytes
    }

    /// None if they are not ours.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let ours = bytes.len() >= COURSE_BYTES && bytes[..8] == MAGIC;
        ours.then(|| Self {
            ahead_ms: number(bytes, 8),
            wall: Record::of_bytes(&bytes[16..]),
            steady: Record::of_bytes(&bytes[16 + RECORD_BYTES..]),
        })
    }
}

fn number(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_course_survives_its_bytes() {
        let record = Record::straight(-7).next(5 * SECOND, 3, -45_000);
        let course = Course { ahead_ms: 9, wall: record, steady: Record::straight(4) };
        assert_eq!(Course::of_bytes(&course.to_bytes()), Some(course));
        assert_eq!(Course::of_bytes(&[0; COURSE_BYTES]), None);
        assert_eq!(code(&course)[..COURSE_BYTES], course.to_bytes());
    }

    #[test]
    fn a_change_of_pace_is_no_jump_and_a_jump_is_one() {
        let start = 1_800_000_000 * SECOND;
        let fast = Record::default().next(start, 0, 45_000);
        assert_eq!(fast.shown(start), start);
        let later = start + 10 * SECOND;
        assert!((fast.shown(later) - later - 450_000_000).abs() < 10, "{fast:?}");
        let slow = fast.next(later, 2 * SECOND, -20_000);
        assert_eq!(slow.shown(later), fast.shown(later) + 2 * SECOND);
        // Eleven days at any pace that is asked for do not overflow.
        assert!(slow.shown(later + 1_000_000 * SECOND) < later + 1_000_000 * SECOND);
    }

    #[test]
    fn the_parts_of_the_code_follow_each_other() {
        let labels = [Label::GetTime, Label::GetTimeOfDay, Label::Time, Label::Ask, Label::End];
        assert_eq!(labels[0].offset(), COURSE_BYTES);
        assert!(labels.is_sorted_by_key(|label| label.offset()));
        assert!(Label::End.offset() < 512, "it must fit behind every kernel's vDSO");
    }
}
