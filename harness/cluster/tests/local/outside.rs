//! What is seen from outside of a run: exit codes, signals, and that nothing is left however it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long after the end of any of its processes a run may leave traces.
const GONE: Duration = Duration::from_secs(2);
/// How long a run may take to come up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A user that owns nothing.
const NOBODY: u32 = 54_321;

/// Runs everything as the user we are; answers whether something failed.
pub fn as_myself(filters: &[String]) -> bool {
    println!("as user {}", nix::unistd::geteuid());
    let me = std::env::current_exe().unwrap();
    !pass(&mut Command::new(&me), filters)
}

/// Runs everything as a user without privileges.
pub fn as_nobody(filters: &[String]) -> bool {
    println!("as user {NOBODY}");
    let dir = tempfile::tempdir().unwrap();
    // The program may be in a directory that only we can read.
    let program = dir.path().join("local-test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if let Err(e) = chown(dir.path(), Some(NOBODY), Some(NOBODY)) {
        println!("skipped: this root has no other user ids ({e})");
        return false;
    }
    let mut command = Command::new(&program);
    command.uid(NOBODY).gid(NOBODY).env("TMPDIR", dir.path()).current_dir("/");
    !pass(&mut command, filters)
}

/// Runs everything where the host has mounts in the middle of the directories that nodes need, as machines with containers do.
pub fn on_a_crowded_host(filters: &[String]) -> bool {
    println!("on a crowded host");
    // Those that look at files, unless somebody asks for others.
    let default = ["exit_codes", "names", "software", "files", "host"].map(str::to_owned);
    let filters = if filters.is_empty() { &default } else { filters };
    !myself(&["crowd"]).args(filters).status().unwrap().success()
}

/// Crowds the directories in a mount namespace of its own, and runs everything there.
pub fn crowd(filters: &[String]) -> u8 {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let mut crowded = vec![fs::canonicalize("/etc/passwd").unwrap()];
    for parent in ["/usr", "/var/lib", "/var/log"] {
        let mut dirs = fs::read_dir(parent)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_type().unwrap().is_dir());
        crowded.extend(dirs.next().map(|entry| entry.path()));
    }
    for path in &crowded {
        mount(Some(path), path, none, MsFlags::MS_BIND, none).unwrap();
    }
    u8::from(as_myself(filters))
}

fn pass(command: &mut Command, filters: &[String]) -> bool {
    command.arg("lifecycle").args(filters).status().unwrap().success()
}

/// Gets a run directory of its own.
type Test = fn(&Path);

/// The tests, in this order.
const TESTS: [(&str, Test); 6] = [
    ("exit_codes_come_through", exit_codes_come_through),
    ("nothing_is_left_when_any_process_is_killed", nothing_is_left_when_any_process_is_killed),
    ("an_interrupt_ends_it_cleanly", an_interrupt_ends_it_cleanly),
    ("a_second_interrupt_kills", a_second_interrupt_kills),
    ("doctor_leaves_nothing", doctor_leaves_nothing),
    ("inside", inside),
];

/// Runs the tests as the current user.
pub fn main(filters: &[String]) -> u8 {
    for (name, test) in TESTS {
        if name == "inside"
            || filters.is_empty()
            || filters.iter().any(|filter| name.contains(filter.as_str()))
        {
            let dir = tempfile::tempdir().unwrap();
            let begun = Instant::now();
            if name == "inside" {
                let status = myself(&["inside", path(dir.path())]).args(filters).status().unwrap();
                assert!(status.success(), "inside: {status}");
            } else {
                test(dir.path());
            }
            assert_eq!(traces(dir.path()), Vec::<String>::new(), "after {name}");
            println!("  test {name} ... ok ({} ms)", begun.elapsed().as_millis());
        }
    }
    0
}

/// Run by [`main`] itself, since it passes the filters on.
fn inside(_: &Path) {}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// This program, which hears signals even where whoever runs the tests, a shell in the background say, is deaf to them.
fn myself(args: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,TERM").arg(std::env::current_exe().unwrap()).args(args);
    command
}

/// Everything of a run that is still there: processes that know its directory, mounts, interfaces.
fn traces(run_dir: &Path) -> Vec<String> {
    let word = path(run_dir);
    let mut found: Vec<String> =
        processes_with(word).into_iter().map(|(pid, args)| format!("{pid} {args}")).collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(word)).map(str::to_owned));
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap();
    found
        .extend(interfaces.lines().filter(|line| line.trim().starts_with("kh")).map(str::to_owned));
    found
}

/// Processes whose arguments hold a word, without ourselves.
fn processes_with(word: &str) -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(word) {
            found.insert(pid, arguments);
        }
    }
    found
}

fn children_of(parent: i32) -> Vec<i32> {
    let text =
        fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A run that holds three nodes, and its processes: outer, init, control.
struct Held {
    child: Child,
    lines: mpsc::Receiver<String>,
    chain: [i32; 3],
}

impl Held {
    fn start(run_dir: &Path) -> Self {
        let mut child = myself(&["hold", path(run_dir)]).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // A thread of its own, so that waiting for a line has an end.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), "holding");
        let outer = i32::try_from(child.id()).unwrap();
        let init = children_of(outer)[0];
        let chain = [outer, init, children_of(init)[0]];
        // Outer, init, control, three agents, and on each node a shell that goes on for ever.
        assert!(processes_with(path(run_dir)).len() >= 9, "{:?}", processes_with(path(run_dir)));
        Self { child, lines, chain }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.chain[0]), signal).unwrap();
    }

    /// The outer process' end.
    fn end(mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the run does not end");
            sleep(Duration::from_millis(5));
        }
    }
}

fn exit_codes_come_through(_: &Path) {
    for code in [0, 1, 70, 130] {
        let status = myself(&["end-with", &code.to_string()]).status().unwrap();
        assert_eq!(status.code(), Some(code));
    }
}

fn nothing_is_left_when_any_process_is_killed(run_dir: &Path) {
    for (i, who) in ["outer", "init", "control"].into_iter().enumerate() {
        let held = Held::start(run_dir);
        let begun = Instant::now();
        kill(Pid::from_raw(held.chain[i]), Signal::SIGKILL).unwrap();
        let status = held.end();
        assert!(!status.success(), "{who}: {status}");
        while !traces(run_dir).is_empty() {
            assert!(begun.elapsed() < GONE, "left after {who} was killed: {:#?}", traces(run_dir));
            sleep(Duration::from_millis(5));
        }
        println!("  all gone {} ms after {who} was killed", begun.elapsed().as_millis());
    }
}

fn an_interrupt_ends_it_cleanly(run_dir: &Path) {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let held = Held::start(run_dir);
        held.signal(signal);
        assert_eq!(held.lines.recv_timeout(PATIENCE).unwrap(), "stopping");
        assert_eq!(held.end().code(), Some(130));
    }
}

fn a_second_interrupt_kills(run_dir: &Path) {
    fs::write(run_dir.join("stubborn"), "").unwrap();
    let mut held = Held::start(run_dir);
    held.signal(Signal::SIGINT);
    assert_eq!(held.lines.recv_timeout(PATIENCE).unwrap(), "stopping");
    // A second signal at once is the same wish; one after a while is not.
    held.signal(Signal::SIGINT);
    sleep(Duration::from_millis(400));
    assert!(held.child.try_wait().unwrap().is_none(), "killed by one wish");
    held.signal(Signal::SIGINT);
    assert_eq!(held.end().code(), Some(137));
}

fn doctor_leaves_nothing(_: &Path) {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let findings = keelhaul_cluster::doctor::probe();
    assert!(findings.len() > 10 && findings.iter().all(|finding| finding.ok), "{findings:#?}");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    assert_eq!(children_of(i32::try_from(std::process::id()).unwrap()), Vec::<i32>::new());
}
