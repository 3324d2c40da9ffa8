//! The clocks of a running program, told to differ from the machine's, whatever the program is written in.
//!
//! Nodes that share a kernel share its clocks. But programs do not ask the kernel: they call functions of the vDSO, which the kernel maps into each process ([`vdso`]).
//! In the processes of a daemon these functions are replaced by ours ([`code`]), while all threads stand still ([`tracee`]). That needs no library and no wrapper, so it reaches
//! programs that are linked statically, such as those in Go; and a process that forks hands it on to its children.
//!
//! What is shown is asked for in the process itself: one of its threads calls the function that the program calls.
//!
//! Limits: x86-64; a program that makes the system call by itself, or that a daemon starts (`execve`) after its clock was told, sees the machine's clock. The kernel's own timers
//! run by its own clock: who computes the end of a wait as a moment of the monotonic clock, as the Java machine does, must keep that clock
//! ([`ProgramWish::steady`]). While a daemon's clock is told anything its threads stand still for about a millisecond, and system calls that signals
//! interrupt may answer EINTR, as after every pause.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "assembly, and the labels in it")]
mod assembly;
#[cfg(target_arch = "x86_64")]
mod code;
#[cfg(target_arch = "x86_64")]
mod tracee;
#[cfg(target_arch = "x86_64")]
mod vdso;

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};

use crate::children::Children;
use crate::clock::{ClockReading, ClockWish};
use crate::request::{Command, Exit, SELF_EXE};
use crate::run;

/// The word after `agent` by which this program is started to do it. The agent itself cannot: whoever traces a process is told of every change of its state, and the agent's
/// reaper would take that for the process' end.
pub(crate) const WORD: &str = "clock";
/// It is a matter of milliseconds, and of five seconds where a thread does not stop.
const TIMEOUT_MS: u64 = 20_000;

/// How a program's clocks are to be, beside the machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramWish {
    /// Their pace, and how far the time of day is ahead.
    pub clock: ClockWish,
    /// Whether the pace is also that of the monotonic clock. It never jumps, and what it has gained it keeps.
    pub steady: bool,
}

/// What a program's clocks show, and the machine's, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramClock {
    /// To the program.
    pub shown: ClockReading,
    /// To everybody else.
    pub machine: ClockReading,
}

/// Tells the clocks of these processes; those that have ended meanwhile are none.
pub(crate) fn tell(children: &Children, pids: &BTreeSet<i32>, wish: ProgramWish) -> io::Result<()> {
    let ClockWish { ppm, ahead_ms } = wish.clock;
    let words = [ppm.to_string(), ahead_ms.to_string(), u8::from(wish.steady).to_string()];
    ask(children, "tell", words.into_iter().chain(pids.iter().map(ToString::to_string))).map(drop)
}

/// What the clocks of this process show.
pub(crate) fn read(children: &Children, pid: i32) -> io::Result<ProgramClock> {
    let answer = ask(children, "read", [pid.to_string()])?;
    parse_reading(&answer)
        .ok_or_else(|| io::Error::other(format!("it shows something else: {answer:?}")))
}

/// Whether it can be done here: tried on a program that is started for it.
pub(crate) fn try_it(children: &Children) -> io::Result<()> {
    ask(children, "try", []).map(drop)
}

/// What to do where it cannot be done.
pub const REMEDY: &str =
    "on x86-64, let us trace processes (ptrace), or leave out faults of clocks";

/// The same in a process that is no agent, and to which `/proc` belongs.
pub fn try_here() -> io::Result<()> {
    let mut sleeper = std::process::Command::new("sleep").arg("60").spawn()?;
    let tried = try_on(sleeper.id().cast_signed());
    sleeper.kill().and(sleeper.wait())?;
    tried
}

fn try_on(pid: i32) -> io::Result<()> {
    const AHEAD_MS: i64 = 3_600_000;
    let clock = ClockWish { ppm: 0, ahead_ms: AHEAD_MS };
    here::tell(pid, ProgramWish { clock, steady: false })?;
    let ProgramClock { shown, machine } = here::read(pid)?;
    // Both are asked for within a moment.
    let is_ahead = shown.wall_ns.saturating_sub(machine.wall_ns) / 1_000_000 + 1_000
        > AHEAD_MS.cast_unsigned();
    if is_ahead { Ok(()) } else { Err(io::Error::other("a program is told the machine's time")) }
}

/// Starts this program to do it.
fn ask(
    children: &Children,
    what: &str,
    words: impl IntoIterator<Item = String>,
) -> io::Result<String> {
    let argv = [SELF_EXE, "agent", WORD, what].map(str::to_owned).into_iter().chain(words);
    let command = Command { timeout_ms: TIMEOUT_MS, ..Command::new(argv) };
    let output = run::run(children, &command)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status {
        Exit::Code(0) => Ok(said(&output.stdout)),
        Exit::TimedOut => Err(io::ErrorKind::TimedOut.into()),
        // What failed is on its last line.
        _ => {
            let said = said(&output.stderr);
            Err(io::Error::other(said.lines().next_back().unwrap_or("it was killed").to_owned()))
        }
    }
}

fn parse_reading(text: &str) -> Option<ProgramClock> {
    let numbers: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [wall, steady, machine_wall, machine_steady] = *numbers.as_slice() else { return None };
    let reading = |wall_ns, steady_ns| ClockReading { wall_ns, steady_ns };
    Some(ProgramClock {
        shown: reading(wall, steady),
        machine: reading(machine_wall, machine_steady),
    })
}

/// Performs the words after [`WORD`]: `tell PPM AHEAD_MS STEADY PID…`, or `read PID`, which prints four numbers, or `try`. None if they are other words.
pub(crate) fn perform(words: &[String]) -> Option<io::Result<()>> {
    let (word, words) = words.split_first()?;
    let numbers: Vec<i64> = words.iter().map(|word| word.parse()).collect::<Result<_, _>>().ok()?;
    let pid = |number: &i64| i32::try_from(*number).ok();
    match (word.as_str(), numbers.as_slice()) {
        ("try", []) => Some(try_here()),
        ("tell", [ppm, ahead_ms, steady, pids @ ..]) => {
            let clock = ClockWish { ppm: *ppm, ahead_ms: *ahead_ms };
            let wish = ProgramWish { clock, steady: *steady != 0 };
            let pids: Option<Vec<i32>> = pids.iter().map(pid).collect();
            Some(pids?.into_iter().try_for_each(|pid| here::tell(pid, wish)))
        }
        ("read", [number]) => {
            let pid = pid(number)?;
            Some(here::read(pid).map(|ProgramClock { shown, machine }| {
                let (theirs, ours) =
                    ((shown.wall_ns, shown.steady_ns), (machine.wall_ns, machine.steady_ns));
                println!("{} {} {} {}", theirs.0, theirs.1, ours.0, ours.1);
            }))
        }
        _ => None,
    }
}

/// Where no code of ours runs in other processes.
#[cfg(not(target_arch = "x86_64"))]
mod here {
    use super::{ProgramClock, ProgramWish, io};

    pub(super) fn tell(_pid: i32, _wish: ProgramWish) -> io::Result<()> {
        Err(unsupported())
    }

    pub(super) fn read(_pid: i32) -> io::Result<ProgramClock> {
        Err(unsupported())
    }

    fn unsupported() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "clocks of programs are told on x86-64 only")
    }
}

#[cfg(target_arch = "x86_64")]
mod here {
    use std::fs;
    use std::ops::Range;

    use nix::errno::Errno;
    use nix::time::ClockId;

    use super::code::{Course, Label, Record};
    use super::tracee::Tracee;
    use super::vdso::Vdso;
    use super::{ClockReading, ProgramClock, ProgramWish, io};
    use crate::clock;

    const NANOS_PER_MS: i64 = 1_000_000;
    /// How often a process is asked what its clocks show, to be told once.
    const LOOKS: u32 = 3;

    pub(super) fn tell(pid: i32, wish: ProgramWish) -> io::Result<()> {
        match steer(pid, |before| Ok(next(before, clock::read()?, wish))) {
            // One that has ended meanwhile has no clock.
            Err(e) if is_gone(&e) => Ok(()),
            other => other,
        }
    }

    pub(super) fn read(pid: i32) -> io::Result<ProgramClock> {
        // A process that was never told anything is told nothing: then it can be asked.
        if look(pid)?.course().is_none() {
            steer(pid, |_| Ok(Course::default()))?;
        }
        let mut tracee = Tracee::stop(pid)?;
        let vdso = found(&tracee, pid)?;
        let labels = (vdso.label(Label::Ask), vdso.label(Label::End));
        let (Some(ask), Some(end)) = labels else { return Err(io::Error::from(Errno::EAGAIN)) };
        let ask = ask..end;
        let clocks = [ClockId::CLOCK_REALTIME, ClockId::CLOCK_MONOTONIC];
        let clocks = clocks.map(|clock| clock.as_raw().cast_unsigned().into());
        let mut looks = (0..LOOKS).map(|_| {
            let before = clock::read()?;
            let shown = tracee.ask(ask.clone(), vdso.gettime(), &clocks)?;
            let took = clock::read()?.steady_ns - before.steady_ns;
            let machine = ClockReading {
                wall_ns: before.wall_ns + took / 2,
                steady_ns: before.steady_ns + took / 2,
            };
            let shown = ClockReading { wall_ns: shown[0], steady_ns: shown[1] };
            Ok((took, ProgramClock { shown, machine }))
        });
        let first = looks.next().ok_or_else(|| io::Error::from(Errno::EAGAIN))??;
        // The quickest answer says most about one moment.
        let better = |best: (u64, _), look: (u64, _)| if look.0 < best.0 { look } else { best };
        let best = looks.try_fold(first, |best, look| look.map(|look| better(best, look)));
        best.map(|(_, clock)| clock)
    }

    /// Lets the clocks of a process take another course, which depends on the one before.
    fn steer(pid: i32, course: impl Fn(Course) -> io::Result<Course>) -> io::Result<()> {
        // Where nobody must be is known only by a look at it.
        let forbidden = look(pid)?.patch(&Course::default())?.forbidden;
        let tracee = Tracee::stop_outside(pid, &forbidden)?;
        let vdso = found(&tracee, pid)?;
        let patch = vdso.patch(&course(vdso.course().unwrap_or_default())?)?;
        patch.writes.iter().try_for_each(|(address, bytes)| tracee.write(*address, bytes))
    }

    /// A look at a process' vDSO while it runs.
    fn look(pid: i32) -> io::Result<Vdso> {
        found(&Tracee::stop(pid)?, pid)
    }

    fn found(tracee: &Tracee, pid: i32) -> io::Result<Vdso> {
        let Range { start, end } = Vdso::range(&fs::read_to_string(format!("/proc/{pid}/maps"))?)?;
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        Vdso::new(start, tracee.read(start, length)?)
    }

    /// The course that obeys from now on.
    fn next(before: Course, now: ClockReading, wish: ProgramWish) -> Course {
        let ahead_ms = wish.clock.ahead_ms;
        let ppm = wish.clock.ppm;
        let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
        let wall = if ppm == 0 {
            // What a pace has gained or lost is made up for, as whoever keeps a machine's time would.
            Record::straight(ahead_ms.saturating_mul(NANOS_PER_MS))
        } else {
            let jump = (ahead_ms - before.ahead_ms).saturating_mul(NANOS_PER_MS);
            before.wall.next(signed(now.wall_ns), jump, ppm)
        };
        let steady_ppm = if wish.steady { ppm } else { 0 };
        let steady = before.steady.next(signed(now.steady_ns), 0, steady_ppm);
        Course { ahead_ms, wall, steady }
    }

    fn is_gone(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
    }
}
