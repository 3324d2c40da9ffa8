//! The clock of a machine of its own: made to jump, and to run fast or slow.
//!
//! The pace is the length of the kernel's tick, by which both the wall clock and the monotonic clock run; a jump is of the wall clock
//! alone, since the kernel lets nobody move the other one. What the clock was like before is written to [`STATE`] before anything is changed, so
//! that whoever comes later can restore it; a reboot forgets both.
//!
//! Who has no say over a machine's clock, such as a node in namespaces, is refused.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What to restore: the tick before, and by how many milliseconds the clock is ahead.
pub const STATE: &str = "/run/keelhaul/clock";
/// Programs that set clocks, as the kernel shortens their names.
const SETTERS: [&str; 6] =
    ["chronyd", "ntpd", "openntpd", "ntpsec", "systemd-timesyn", "VBoxService"];
/// Parts in a million by which one unit of the tick changes the pace: a tick has ten thousand.
const PPM_PER_UNIT: i64 = 100;
const MICROS_PER_MS: i64 = 1_000;
const MS_PER_S: i64 = 1_000;

/// What a machine's clocks say, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Since 1970, by the wall clock.
    pub wall_ns: u64,
    /// By the monotonic clock.
    pub steady_ns: u64,
}

/// How a clock is to be, beside what it was before anything was done to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockWish {
    /// Parts in a million that it runs fast; slow if negative. Rounded to hundreds, and the kernel allows a tenth.
    pub ppm: i64,
    /// Milliseconds that the wall clock is ahead.
    pub ahead_ms: i64,
}

/// Whoever holds it changes the clock.
static CHANGING: Mutex<()> = Mutex::new(());

/// What is in [`STATE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Before {
    tick: i64,
    ahead_ms: i64,
}

impl Before {
    fn parse(text: &str) -> Option<Self> {
        let (tick, ahead) = text.trim().split_once(' ')?;
        Some(Self { tick: tick.parse().ok()?, ahead_ms: ahead.parse().ok()? })
    }

    fn to_text(self) -> String {
        format!("{} {}\n", self.tick, self.ahead_ms)
    }
}

/// What the clocks say now.
pub(crate) fn read() -> io::Result<ClockReading> {
    let now = |clock| -> io::Result<u64> {
        let time = clock_gettime(clock)?;
        Ok(time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned())
    };
    Ok(ClockReading {
        wall_ns: now(ClockId::CLOCK_REALTIME)?,
        steady_ns: now(ClockId::CLOCK_MONOTONIC)?,
    })
}

/// From now on the clock is as wished.
pub(crate) fn set(wish: ClockWish) -> io::Result<()> {
    let _one = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = match before()? {
        Some(before) => before,
        None => Before { tick: tick()?, ahead_ms: 0 },
    };
    // Written first: who is killed between the two leaves a note of a jump that may not have been, never a jump without note.
    let after = Before { ahead_ms: wish.ahead_ms, ..before };
    fs::create_dir_all(Path::new(STATE).parent().unwrap_or(Path::new("/")))?;
    fs::write(STATE, after.to_text())?;
    set_tick(before.tick + wish.ppm / PPM_PER_UNIT)?;
    jump(wish.ahead_ms - before.ahead_ms)
}

/// Makes the clock what it was before any of us changed it; nothing is done where none has.
pub(crate) fn restore() -> io::Result<()> {
    let _one = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(before) = before()? else { return Ok(()) };
    set_tick(before.tick)?;
    jump(-before.ahead_ms)?;
    fs::remove_file(STATE)
}

/// Why the clock is not ours to change, if so: it is set to the pace that it has.
pub(crate) fn try_it() -> io::Result<()> {
    set_tick(tick()?)?;
    let setters = setters();
    if setters.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} sets it, and would undo the fault: stop that service (as root, systemctl stop)",
        setters.join(", ")
    )))
}

/// The programs that run here and set the clock.
pub(crate) fn setters() -> Vec<&'static str> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names: Vec<String> = entries
        .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    SETTERS.into_iter().filter(|setter| names.iter().any(|name| name == setter)).collect()
}

fn before() -> io::Result<Option<Before>> {
    match fs::read_to_string(STATE) {
        Ok(text) => {
            let odd = || io::Error::other(format!("{STATE} does not say what to restore"));
            Before::parse(&text).map(Some).ok_or_else(odd)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn tick() -> io::Result<i64> {
    Ok(adjust(|_| {})?.tick)
}

fn set_tick(tick: i64) -> io::Result<()> {
    adjust(|change| {
        change.modes = libc::ADJ_TICK;
        change.tick = tick;
    })
    .map(drop)
}

fn jump(ms: i64) -> io::Result<()> {
    if ms == 0 {
        return Ok(());
    }
    adjust(|change| {
        // In microseconds: to count in nanoseconds would leave the clock in another mode than it was.
        change.modes = libc::ADJ_SETOFFSET;
        change.time.tv_sec = ms.div_euclid(MS_PER_S);
        change.time.tv_usec = ms.rem_euclid(MS_PER_S) * MICROS_PER_MS;
    })
    .map(drop)
}

/// The system call by which clocks are adjusted; without modes it only looks.
#[expect(unsafe_code, reason = "no wrapper exists for adjtimex")]
fn adjust(ask: impl FnOnce(&mut libc::timex)) -> io::Result<libc::timex> {
    // SAFETY: `timex` is plain numbers, for all of which zero is a value.
    let mut change: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    ask(&mut change);
    // SAFETY: the call reads and writes this structure, which is ours, and nothing else.
    let result = unsafe { libc::adjtimex(&raw mut change) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(change) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_restore_survives_its_file() {
        for before in [Before { tick: 10_000, ahead_ms: 0 }, Before { tick: 9_550, ahead_ms: -7 }] {
            assert_eq!(Before::parse(&before.to_text()), Some(before));
        }
        assert_eq!(Before::parse("10000"), None);
    }

    #[test]
    fn clocks_go_on() {
        let (first, second) = (read().unwrap(), read().unwrap());
        assert!(second.steady_ns >= first.steady_ns && first.wall_ns > first.steady_ns);
        assert!((9_000..=11_000).contains(&tick().unwrap()), "what the kernel allows");
    }
}
