//! A process that takes from the others on its node what they need: processor time, memory, or their peace.
//!
//! It runs as a daemon of the agent (`keelhaul hog …`), so it ends when the agent does, and whoever looks at the node sees it.

use std::hint::black_box;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// The hidden command by which it is started.
pub const HOG: &str = "hog";
/// Memory is touched a page at a time.
const PAGE_BYTES: usize = 4096;
/// Pause between two rounds over the memory, so that it stays in use without taking a processor.
const ROUND: Duration = Duration::from_millis(200);
/// One turn of stopping and going on.
const STUTTER: Duration = Duration::from_millis(100);

/// What it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hog {
    /// All the time of so many processors.
    Cpu {
        /// Threads that never wait.
        threads: u64,
    },
    /// So much memory, which it keeps in use.
    Memory {
        /// How many bytes.
        bytes: u64,
    },
    /// A part of the time of one process group, which it stops again and again.
    Stutter {
        /// The group.
        group: u64,
        /// How much of a hundred it stands still.
        percent: u64,
    },
}

impl Hog {
    /// The words after [`HOG`] that start it.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        let (name, numbers) = match self {
            Self::Cpu { threads } => ("cpu", vec![threads]),
            Self::Memory { bytes } => ("memory", vec![bytes]),
            Self::Stutter { group, percent } => ("stutter", vec![group, percent]),
        };
        let numbers = numbers.iter().map(u64::to_string);
        std::iter::once(name.to_owned()).chain(numbers).collect()
    }

    /// What the words ask for.
    #[must_use]
    pub fn of_words(words: &[String]) -> Option<Self> {
        let (name, numbers) = words.split_first()?;
        let numbers: Vec<u64> = numbers.iter().map(|n| n.parse().ok()).collect::<Option<_>>()?;
        match (name.as_str(), numbers.as_slice()) {
            ("cpu", &[threads]) => Some(Self::Cpu { threads }),
            ("memory", &[bytes]) => Some(Self::Memory { bytes }),
            ("stutter", &[group, percent]) if percent < 100 && group > 1 => {
                Some(Self::Stutter { group, percent })
            }
            _ => None,
        }
    }

    /// Takes it until the process is ended; a stutter also ends when the group does.
    ///
    /// # Errors
    /// If there is not so much to take.
    pub fn run(self) -> io::Result<()> {
        match self {
            Self::Cpu { threads } => {
                let burners: Vec<_> = (0..threads).map(|_| thread::spawn(burn)).collect();
                burners.into_iter().for_each(|burner| drop(burner.join()));
                Ok(())
            }
            Self::Memory { bytes } => hold(bytes),
            Self::Stutter { group, percent } => stutter(group, percent),
        }
    }
}

fn burn() {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn hold(bytes: u64) -> io::Result<()> {
    let too_much = || io::Error::from(io::ErrorKind::OutOfMemory);
    let length = usize::try_from(bytes).map_err(|_| too_much())?;
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(length).map_err(|_| too_much())?;
    memory.resize(length, 1);
    loop {
        for page in memory.chunks_mut(PAGE_BYTES) {
            page[0] = black_box(page[0].wrapping_add(1));
        }
        thread::sleep(ROUND);
    }
}

/// Ends with the group. Whoever ends this process must let the group go on.
fn stutter(group: u64, percent: u64) -> io::Result<()> {
    let group = i32::try_from(group).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let group = Pid::from_raw(group);
    let still = STUTTER * u32::try_from(percent).unwrap_or(0) / 100;
    loop {
        let begun = Instant::now();
        killpg(group, Signal::SIGSTOP)?;
        thread::sleep(still);
        killpg(group, Signal::SIGCONT)?;
        thread::sleep(STUTTER.saturating_sub(begun.elapsed()));
        kill(group, None)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_written() {
        for hog in [
            Hog::Cpu { threads: 2 },
            Hog::Memory { bytes: 1 << 30 },
            Hog::Stutter { group: 77, percent: 90 },
        ] {
            assert_eq!(Hog::of_words(&hog.words()), Some(hog));
        }
        for words in ["", "cpu", "cpu x", "memory 1 2", "stutter 7 100", "stutter 1 50", "fork 9"] {
            let words: Vec<String> = words.split_ascii_whitespace().map(str::to_owned).collect();
            assert_eq!(Hog::of_words(&words), None, "{words:?}");
        }
    }
}
