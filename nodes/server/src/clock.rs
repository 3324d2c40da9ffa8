//! The node's clock: the machine's monotonic one, until somebody tells it to run fast or slow, or to jump.
//!
//! No process can change what the kernel's monotonic clock says, and local nodes share it. So that clocks can differ all the same, the
//! file that the variable [`FILE_VARIABLE`] names is looked at every few milliseconds. It holds how many parts in a million the clock runs
//! fast, and by how many milliseconds it has jumped ahead so far: `40000 0`. A clock that is told anything says in a second file, with
//! `.seen` behind the name, what it shows and what the machine's shows, in nanoseconds, at one moment.
//!
//! It never goes back: neither does the clock whose place it takes.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keelhaul_protocol::api::Nanos;

/// Names the file.
pub const FILE_VARIABLE: &str = "KEELHAUL_CLOCK";
/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How far the machine's own clock may be from one that is told to be wrong: half and double its pace.
const PPM_RANGE: std::ops::RangeInclusive<i64> = -500_000..=1_000_000;
const MILLION: i128 = 1_000_000;

/// What a clock is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    /// How many parts in a million it runs fast.
    ppm: i64,
    /// How far it has jumped ahead.
    jumped_ms: u64,
}

impl Told {
    fn parse(text: &str) -> Option<Self> {
        let (ppm, jumped_ms) = text.trim().split_once(' ')?;
        let told = Self { ppm: ppm.parse().ok()?, jumped_ms: jumped_ms.parse().ok()? };
        PPM_RANGE.contains(&told.ppm).then_some(told)
    }
}

/// A straight piece of the clock's course: where it begins, and how steep it is.
#[derive(Clone, Copy, Debug)]
struct Piece {
    real: Instant,
    shown_ns: u64,
    told: Told,
}

impl Piece {
    fn shown(&self, now: Instant) -> u64 {
        let real = now.saturating_duration_since(self.real).as_nanos() as i128;
        let elapsed = real * (MILLION + i128::from(self.told.ppm)) / MILLION;
        self.shown_ns.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// When it shows `at`.
    fn when(&self, at: u64, far: Duration) -> Instant {
        let shown = i128::from(at.saturating_sub(self.shown_ns));
        let real = shown * MILLION / (MILLION + i128::from(self.told.ppm));
        let real = u64::try_from(real).map_or(far, Duration::from_nanos);
        self.real + real.min(far)
    }

    /// The piece that follows when it is told something else.
    fn next(&self, now: Instant, told: Told) -> Self {
        let jump_ns = told.jumped_ms.saturating_sub(self.told.jumped_ms).saturating_mul(1_000_000);
        // What was told before is not taken back: the sum stays the higher one.
        let jumped_ms = told.jumped_ms.max(self.told.jumped_ms);
        let shown_ns = self.shown(now).saturating_add(jump_ns);
        Self { real: now, shown_ns, told: Told { jumped_ms, ..told } }
    }
}

/// A node's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    file: Option<PathBuf>,
    looked: Cell<Instant>,
    piece: Cell<Piece>,
}

impl Clock {
    /// A clock that shows nothing yet, and obeys the file that the environment names, if any.
    pub(crate) fn new() -> Self {
        Self::obeying(std::env::var_os(FILE_VARIABLE).map(PathBuf::from))
    }

    fn obeying(file: Option<PathBuf>) -> Self {
        let start = Instant::now();
        let piece = Piece { real: start, shown_ns: 0, told: Told::default() };
        Self { start, file, looked: Cell::new(start), piece: Cell::new(piece) }
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Nanos {
        let now = Instant::now();
        if let Some(file) = &self.file
            && now.duration_since(self.looked.get()) >= LOOK
        {
            self.looked.set(now);
            // A file that is not there, or is being written, says nothing.
            if let Some(told) = std::fs::read_to_string(file).ok().as_deref().and_then(Told::parse)
            {
                self.obey(now, told, file);
            }
        }
        Nanos(self.piece.get().shown(now))
    }

    fn obey(&self, now: Instant, told: Told, file: &std::path::Path) {
        if told != self.piece.get().told {
            self.piece.set(self.piece.get().next(now, told));
        }
        let shown = self.piece.get().shown(now);
        let real = now.duration_since(self.start).as_nanos();
        let mut seen = file.as_os_str().to_owned();
        seen.push(".seen");
        // Of one length and written over, so that nobody reads a part of it. Whoever wants to see it looks again.
        let written = OpenOptions::new().create(true).truncate(false).write(true).open(seen);
        let _ = written
            .and_then(|file| file.write_all_at(format!("{shown:020} {real:020}\n").as_bytes(), 0));
    }

    /// The moment at which it will show `at`, at most `far` from when it last changed its pace.
    pub(crate) fn when(&self, at: Nanos, far: Duration) -> Instant {
        self.piece.get().when(at.0, far)
    }

    /// How long ago it began, by the machine's clock.
    pub(crate) fn real(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn it_runs_as_told_and_is_read_backwards() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let first = Piece { real: start, shown_ns: 0, told: Told::default() };
        assert_eq!(first.shown(at(100)), 100_000_000);
        let fast = first.next(at(100), Told { ppm: 100_000, jumped_ms: 0 });
        assert_eq!(fast.shown(at(100)), 100_000_000, "a change of pace is no jump");
        assert_eq!(fast.shown(at(200)), 210_000_000);
        let slow = fast.next(at(200), Told { ppm: -500_000, jumped_ms: 5_000 });
        assert_eq!(slow.shown(at(300)), 210_000_000 + 5_000_000_000 + 50_000_000);
        let back = slow.next(at(300), Told::default());
        assert_eq!(back.shown(at(300)), slow.shown(at(300)), "it never goes back");
        for piece in [first, fast, slow, back] {
            let shown = piece.shown(at(350));
            let when = piece.when(shown, FAR);
            assert!(when <= at(350) && at(350) - when < Duration::from_micros(1), "{piece:?}");
        }
        assert_eq!(first.when(u64::MAX, FAR), start + FAR);
    }

    #[test]
    fn a_file_is_obeyed_and_what_it_shows_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("clock");
        let clock = Clock::obeying(Some(file.clone()));
        std::fs::write(&file, "200000 3000\n").expect("it is ours");
        let seen = loop {
            clock.now();
            if let Ok(text) = std::fs::read_to_string(dir.path().join("clock.seen")) {
                break text;
            }
        };
        let (shown, real) = seen.trim().split_once(' ').expect("two numbers");
        let (shown, real): (u64, u64) = (shown.parse().unwrap_or(0), real.parse().unwrap_or(0));
        assert!(shown >= real + 3_000_000_000, "{seen}");
        for text in ["", "1", "x 0", "0 -1", "2000000 0", "-600000 0"] {
            assert_eq!(Told::parse(text), None, "{text:?}");
        }
    }
}
