//! The clocks of running programs, as the programs see them: a witness prints all that it is told of the time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::Duration;

use common::agent::{self, Agent};
use common::{eventually, start_daemon};
use keelhaul_agent::{
    ClockWish, Daemon, DaemonState, ProgramClock, ProgramWish, Reply, Request, SELF_EXE,
};
use nix::time::{ClockId, clock_gettime};

const TESTS: [(&str, common::Test); 6] = [
    ("all_that_tells_the_time_jumps", all_that_tells_the_time_jumps),
    ("a_pace_is_of_both_clocks_or_of_one", a_pace_is_of_both_clocks_or_of_one),
    (
        "a_later_start_and_a_forked_child_are_told_too",
        a_later_start_and_a_forked_child_are_told_too,
    ),
    ("a_program_outlives_hundreds_of_words", a_program_outlives_hundreds_of_words),
    ("a_paused_program_stays_paused", a_paused_program_stays_paused),
    ("a_frozen_program_is_told_when_it_goes_on", a_frozen_program_is_told_when_it_goes_on),
];
const WITNESS: &str = "witness";
const MS: i64 = 1_000_000;

fn main() {
    if std::env::args().nth(1).is_some_and(|word| word == WITNESS) {
        witness();
    }
    if let Some(code) = agent::as_agent() {
        std::process::exit(code);
    }
    common::run(&TESTS);
}

/// Prints, again and again: the time of day by three functions, and the monotonic and the processor's time, in nanoseconds. Meanwhile other threads ask as fast as they can,
/// and wait.
fn witness() -> ! {
    for _ in 0..2 {
        thread::spawn(|| while clock_gettime(ClockId::CLOCK_REALTIME).is_ok() {});
    }
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    thread::spawn(move || while receiver.recv_timeout(Duration::from_millis(3)).is_err() {});
    loop {
        let by = |clock| {
            let time = clock_gettime(clock).unwrap();
            time.tv_sec() * 1_000_000_000 + time.tv_nsec()
        };
        let (of_day, seconds) = other_functions();
        let line = [
            by(ClockId::CLOCK_REALTIME),
            of_day,
            seconds,
            by(ClockId::CLOCK_MONOTONIC),
            by(ClockId::CLOCK_PROCESS_CPUTIME_ID),
        ];
        println!("{}", line.map(|number| number.to_string()).join(" "));
        std::io::stdout().flush().unwrap();
        sleep(Duration::from_millis(5));
    }
}

/// `gettimeofday` and `time`.
#[expect(unsafe_code, reason = "nobody wraps functions that clock_gettime has replaced")]
fn other_functions() -> (i64, i64) {
    let mut of_day = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the structure is ours, and there need be no time zone.
    assert_eq!(unsafe { libc::gettimeofday(&raw mut of_day, std::ptr::null_mut()) }, 0);
    // SAFETY: there need be nowhere to write to.
    let seconds = unsafe { libc::time(std::ptr::null_mut()) };
    (of_day.tv_sec * 1_000_000_000 + of_day.tv_usec * 1_000, seconds * 1_000_000_000)
}

/// An agent with a witness.
struct Observed<'a> {
    agent: Agent,
    dir: &'a Path,
}

impl<'a> Observed<'a> {
    fn new(dir: &'a Path) -> Self {
        let mut observed = Self { agent: Agent::start(dir), dir };
        observed.start();
        observed
    }

    fn start(&mut self) {
        let argv = [SELF_EXE, WITNESS].map(Into::into).to_vec();
        let daemon = Daemon { name: WITNESS.into(), argv, ..Daemon::default() };
        assert!(matches!(self.agent.ask(Request::StartDaemon(daemon)), Reply::Pid(_)));
        self.lines(1);
    }

    fn tell(&mut self, ppm: i64, ahead_ms: i64, steady: bool) {
        let wish = ProgramWish { clock: ClockWish { ppm, ahead_ms }, steady };
        let told = self.agent.ask(Request::TellClock { name: WITNESS.into(), wish });
        assert_eq!(told, Reply::Done);
    }

    fn ask(&mut self) -> ProgramClock {
        match self.agent.ask(Request::AskClock { name: WITNESS.into() }) {
            Reply::ProgramClock(clock) => clock,
            other => panic!("{other:?}"),
        }
    }

    /// What the witness prints from now on.
    fn lines(&self, count: usize) -> Vec<[i64; 5]> {
        let log = self.dir.join("witness.log");
        let read = || fs::read_to_string(&log).unwrap_or_default();
        // The line that it is about to write may be of before.
        let before = read().lines().count() + 1;
        eventually("the witness goes on", || read().lines().count() > before + count);
        let lines = read();
        lines.lines().skip(before).take(count).map(numbers).collect()
    }

    fn end(self) {
        drop(self.agent.input);
        let mut child = self.agent.child;
        assert!(child.wait().unwrap().success());
    }
}

fn numbers(line: &str) -> [i64; 5] {
    let numbers: Vec<i64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// How far the program's clocks are ahead of the machine's: that of the day, and the monotonic one.
fn ahead(clock: ProgramClock) -> (i64, i64) {
    let difference = |shown: u64, machine: u64| shown.cast_signed() - machine.cast_signed();
    let (shown, machine) = (clock.shown, clock.machine);
    (difference(shown.wall_ns, machine.wall_ns), difference(shown.steady_ns, machine.steady_ns))
}

/// By how much the time of day is ahead of the monotonic clock, whose answers are milliseconds apart at most.
fn apart(line: &[i64; 5]) -> i64 {
    line[0] - line[3]
}

fn is_near(found: i64, wanted: i64, within: i64) -> bool {
    (found - wanted).abs() <= within
}

fn all_that_tells_the_time_jumps(dir: &Path) {
    let mut observed = Observed::new(dir);
    let before = apart(&observed.lines(1)[0]);
    assert!(is_near(ahead(observed.ask()).0, 0, 50 * MS), "nobody has told it anything");
    for ahead_ms in [5_000, 250, -3_600_000] {
        observed.tell(0, ahead_ms, true);
        for line in observed.lines(3) {
            let wanted = ahead_ms * MS;
            assert!(is_near(apart(&line) - before, wanted, 50 * MS), "{ahead_ms}: {line:?}");
            let [by_clock, of_day, seconds, ..] = line;
            assert!(is_near(by_clock, of_day, 50 * MS), "gettimeofday: {line:?}");
            assert!((0..1_050 * MS).contains(&(by_clock - seconds)), "time: {line:?}");
        }
        let (wall, steady) = ahead(observed.ask());
        assert!(is_near(wall, ahead_ms * MS, 50 * MS) && is_near(steady, 0, 50 * MS), "{wall}");
    }
    assert_eq!(observed.agent.ask(Request::HealAll), Reply::Done);
    assert!(is_near(apart(&observed.lines(1)[0]), before, 50 * MS), "it is healed");
    // What this very program is told of the time has nothing to do with it.
    let (of_day, _) = other_functions();
    assert!(is_near(observed.lines(1)[0][1], of_day, 5_000 * MS));
    observed.end();
}

fn a_pace_is_of_both_clocks_or_of_one(dir: &Path) {
    let mut observed = Observed::new(dir);
    // A tenth, which a second of watching tells from nothing on a busy machine, too.
    for (ppm, is_steady) in [(100_000, true), (-100_000, false)] {
        observed.tell(ppm, 0, is_steady);
        let first = observed.ask();
        sleep(Duration::from_secs(1));
        let later = observed.ask();
        let passed = (later.machine.steady_ns - first.machine.steady_ns).cast_signed();
        let gained = |part: fn((i64, i64)) -> i64| part(ahead(later)) - part(ahead(first));
        let wanted = passed * ppm / 1_000_000;
        assert!(is_near(gained(|(wall, _)| wall), wanted, 20 * MS), "{first:?} {later:?}");
        let wanted = if is_steady { wanted } else { 0 };
        assert!(is_near(gained(|(_, steady)| steady), wanted, 20 * MS), "{first:?} {later:?}");
    }
    let kept = ahead(observed.ask()).1;
    observed.tell(0, 0, true);
    let (wall, steady) = ahead(observed.ask());
    assert!(is_near(wall, 0, 20 * MS), "what the pace has gained is made up for");
    assert!(is_near(steady, kept, 20 * MS), "the monotonic clock never goes back");
    let log = fs::read_to_string(dir.join("witness.log")).unwrap();
    let complete = &log[..log.rfind('\n').unwrap()];
    let steady = complete.lines().map(|line| numbers(line)[3]);
    assert!(steady.is_sorted(), "the monotonic clock never went back");
    observed.end();
}

fn a_later_start_and_a_forked_child_are_told_too(dir: &Path) {
    let mut observed = Observed::new(dir);
    observed.tell(0, 60_000, false);
    let name = || WITNESS.to_owned();
    assert!(matches!(observed.agent.ask(Request::Kill { name: name() }), Reply::State(_)));
    let refused = observed.agent.ask(Request::AskClock { name: name() });
    assert!(
        matches!(&refused, Reply::Failed { message, .. } if message == "ask the clock of witness: it does not run")
    );
    observed.start();
    assert!(is_near(ahead(observed.ask()).0, 60_000 * MS, 50 * MS));
    // A shell tells the time without another program's help, and a part of it in brackets is a forked child.
    let script = "exec bash -c 'while :; do (echo $EPOCHSECONDS); sleep 0.02; done'";
    start_daemon(&mut observed.agent, "shell", script);
    let wish = ProgramWish { clock: ClockWish { ppm: 0, ahead_ms: 86_400_000 }, steady: false };
    let log = || fs::read_to_string(dir.join("shell.log")).unwrap_or_default();
    eventually("the shell speaks", || !log().is_empty());
    let told = observed.agent.ask(Request::TellClock { name: "shell".into(), wish });
    assert_eq!(told, Reply::Done);
    let last = || log().lines().filter_map(|line| line.parse().ok()).next_back().unwrap_or(0);
    let tomorrow = other_functions().1 / 1_000_000_000 + 86_400;
    eventually("its children say tomorrow", || is_near(last(), tomorrow, 30));
    observed.end();
}

fn a_program_outlives_hundreds_of_words(dir: &Path) {
    let mut observed = Observed::new(dir);
    for turn in 0..300 {
        observed.tell(if turn % 2 == 0 { 40_000 } else { -40_000 }, turn, true);
        if turn % 10 == 0 {
            observed.ask();
        }
    }
    observed.lines(5);
    observed.end();
}

fn a_paused_program_stays_paused(dir: &Path) {
    let mut observed = Observed::new(dir);
    let name = || WITNESS.to_owned();
    let is_paused = |reply| matches!(reply, Reply::State(DaemonState::Paused { .. }));
    assert!(is_paused(observed.agent.ask(Request::Pause { name: name() })));
    observed.tell(0, 7_000, true);
    assert!(is_near(ahead(observed.ask()).0, 7_000 * MS, 50 * MS));
    assert!(is_paused(observed.agent.ask(Request::Status { name: name() })));
    let length = || fs::metadata(dir.join("witness.log")).unwrap().len();
    let before = length();
    sleep(Duration::from_millis(100));
    assert_eq!(length(), before, "nobody went on");
    let resumed = observed.agent.ask(Request::Resume { name: name() });
    assert!(matches!(resumed, Reply::State(DaemonState::Running { .. })));
    observed.lines(3);
    observed.end();
}

/// On a host the freezer pauses, where there is one.
fn a_frozen_program_is_told_when_it_goes_on(dir: &Path) {
    let token = format!("clocks-{}", std::process::id());
    fs::write(dir.join("token"), &token).unwrap();
    let mut observed = Observed::new(dir);
    let name = || WITNESS.to_owned();
    let is_paused = |reply| matches!(reply, Reply::State(DaemonState::Paused { .. }));
    assert!(is_paused(observed.agent.ask(Request::Pause { name: name() })));
    assert!(is_paused(observed.agent.ask(Request::Status { name: name() })));
    observed.tell(0, 7_000, true);
    match observed.agent.ask(Request::AskClock { name: name() }) {
        Reply::ProgramClock(clock) => assert!(is_near(ahead(clock).0, 7_000 * MS, 50 * MS)),
        Reply::Failed { message, .. } => assert!(message.ends_with("it is paused"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert!(is_paused(observed.agent.ask(Request::Status { name: name() })), "nobody woke it");
    let resumed = observed.agent.ask(Request::Resume { name: name() });
    assert!(matches!(resumed, Reply::State(DaemonState::Running { .. })));
    observed.lines(3);
    assert!(is_near(ahead(observed.ask()).0, 7_000 * MS, 50 * MS));
    // Killed while it is paused, and started anew.
    assert!(is_paused(observed.agent.ask(Request::Pause { name: name() })));
    assert!(matches!(observed.agent.ask(Request::Kill { name: name() }), Reply::State(_)));
    observed.start();
    assert!(is_paused(observed.agent.ask(Request::Pause { name: name() })));
    observed.end();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let groups = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
    for mount in groups.filter_map(|line| line.split(' ').nth(1)) {
        assert!(!Path::new(mount).join(format!("keelhaul-{token}")).exists(), "{mount}");
    }
}
