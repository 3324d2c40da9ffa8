//! An agent as a control node meets it: a process at the other end of two pipes. No namespaces, no privileges.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use keelhaul_agent::wire::{Answer, Call, decode, encode, frame, hello};
use keelhaul_agent::{Command, Daemon, DaemonState, Exit, Reply, Request};

/// Longest wait for something that a test has set going.
const PATIENCE: Duration = Duration::from_secs(10);

type Test = fn(&Path);

const TESTS: [(&str, Test); 6] = [
    ("a_busy_shell_can_be_paused", a_busy_shell_can_be_paused),
    ("answers_come_as_they_are_ready", answers_come_as_they_are_ready),
    ("the_end_of_the_stream_undoes_everything", the_end_of_the_stream_undoes_everything),
    ("a_broken_stream_undoes_everything", a_broken_stream_undoes_everything),
    ("orphans_are_reaped", orphans_are_reaped),
    (
        "nothing_of_the_agents_environment_is_inherited",
        nothing_of_the_agents_environment_is_inherited,
    ),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, log_dir] = args.as_slice()
        && word == "agent"
    {
        let served =
            keelhaul_agent::serve_in(log_dir.as_ref(), std::io::stdin().lock(), std::io::stdout());
        std::process::exit(i32::from(served.is_err()));
    }
    if args.iter().any(|arg| arg == "--list") {
        return;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    for (name, test) in TESTS {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
            let dir = tempfile::tempdir().unwrap();
            test(dir.path());
            println!("test {name} ... ok");
        }
    }
}

/// The agent process and the stream to it.
struct Agent {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    id_next: u64,
}

impl Agent {
    fn start(log_dir: &Path) -> Self {
        let mut process = Process::new(std::env::current_exe().unwrap());
        process.args(["agent", log_dir.to_str().unwrap()]).env("KH_SECRET", "word");
        let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        input.write_all(&frame(&hello()).unwrap()).unwrap();
        assert_eq!(payload(&mut output), hello());
        Self { child, input, output, id_next: 0 }
    }

    /// Sends a request; answers its id.
    fn send(&mut self, request: Request) -> u64 {
        self.id_next += 1;
        let call = Call { id: self.id_next, request };
        self.input.write_all(&frame(&encode(&call).unwrap()).unwrap()).unwrap();
        self.id_next
    }

    fn receive(&mut self) -> Answer {
        decode(&payload(&mut self.output)).unwrap()
    }

    fn ask(&mut self, request: Request) -> Reply {
        let id = self.send(request);
        let answer = self.receive();
        assert_eq!(answer.id, id);
        answer.reply
    }

    fn start_daemon(&mut self, name: &str, script: &str) -> u32 {
        let argv = ["sh", "-c", script].map(Into::into).to_vec();
        match self.ask(Request::StartDaemon(Daemon {
            name: name.into(),
            argv,
            ..Daemon::default()
        })) {
            Reply::Pid(pid) => pid,
            other => panic!("{other:?}"),
        }
    }
}

fn payload(output: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 4];
    output.read_exact(&mut length).unwrap();
    let mut payload = vec![0; u32::from_le_bytes(length) as usize];
    output.read_exact(&mut payload).unwrap();
    payload
}

fn sh(script: &str) -> Request {
    Request::Run(Command::new(["sh", "-c", script]))
}

/// Processes whose arguments hold a word, but not this one.
fn processes_with(word: &str) -> BTreeMap<u32, String> {
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

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}

fn answers_come_as_they_are_ready(dir: &Path) {
    let mut agent = Agent::start(dir);
    let go = dir.join("go");
    let slow =
        agent.send(sh(&format!("until test -e {}; do sleep 0.01; done; echo done", go.display())));
    let quick = agent.send(Request::Status { name: "none".into() });
    assert_eq!(agent.receive(), Answer { id: quick, reply: Reply::State(DaemonState::NotStarted) });
    let path = go.to_str().unwrap().to_owned();
    assert_eq!(
        agent.ask(Request::WriteFile { path, offset: 0, bytes: Vec::new(), mode: 0o600 }),
        Reply::Done
    );
    let answer = agent.receive();
    assert_eq!(answer.id, slow);
    assert!(
        matches!(&answer.reply, Reply::Output(output) if output.stdout == b"done\n"),
        "{answer:?}"
    );
    drop(agent.input);
    assert!(agent.child.wait().unwrap().success());
}

/// A daemon with a child that left its group and lost its parent, paused; and a command under way.
fn entangle(agent: &mut Agent, word: &str) {
    // Under a name of its own, so that one sees when the shells have started it: until then its process looks like a shell.
    let sleep = format!("{word}/sleep 1000");
    std::os::unix::fs::symlink("/bin/sleep", Path::new(word).join("sleep")).unwrap();
    let live = |count: usize| {
        let found = processes_with(word);
        let shells = found.values().filter(|args| args.starts_with("sh")).count();
        let sleeps = found.values().filter(|args| args.starts_with(word)).count();
        (shells, sleeps) == (count, count)
    };
    agent.start_daemon(
        "family",
        &format!(": {word}; (setsid sh -c ': {word}; {sleep}; :' &) ; {sleep}; :"),
    );
    eventually("both live", || live(2));
    match agent.ask(Request::Pause { name: "family".into() }) {
        Reply::State(DaemonState::Paused { .. }) => {}
        other => panic!("{other:?}"),
    }
    agent.send(sh(&format!(": {word}; {sleep}; :")));
    eventually("all live", || live(3));
}

fn the_end_of_the_stream_undoes_everything(dir: &Path) {
    let word = dir.to_str().unwrap();
    let mut agent = Agent::start(dir);
    entangle(&mut agent, word);
    drop(agent.input);
    assert!(agent.child.wait().unwrap().success());
    assert_eq!(processes_with(word), BTreeMap::new());
}

fn a_broken_stream_undoes_everything(dir: &Path) {
    let word = dir.to_str().unwrap();
    let mut agent = Agent::start(dir);
    entangle(&mut agent, word);
    agent.input.write_all(&[255; 64]).unwrap();
    assert!(!agent.child.wait().unwrap().success());
    assert_eq!(processes_with(word), BTreeMap::new());
}

fn orphans_are_reaped(dir: &Path) {
    let mut agent = Agent::start(dir);
    for _ in 0..20 {
        let reply = agent.ask(sh("(sh -c 'exit 3' &) ; exit 0"));
        assert!(matches!(reply, Reply::Output(output) if output.status == Exit::Code(0)));
    }
    let children = format!("/proc/{0}/task/{0}/children", agent.child.id());
    eventually("no child is left", || fs::read_to_string(&children).unwrap().is_empty());
    drop(agent.input);
    assert!(agent.child.wait().unwrap().success());
}

fn nothing_of_the_agents_environment_is_inherited(dir: &Path) {
    let mut agent = Agent::start(dir);
    match agent.ask(sh("env")) {
        Reply::Output(output) => {
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(!text.contains("KH_SECRET") && text.contains("PATH=/usr/local/sbin"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    drop(agent.input);
    assert!(agent.child.wait().unwrap().success());
}

/// A shell that starts programs all the time is often met in `vfork`, where it cannot be seen to stop.
fn a_busy_shell_can_be_paused(dir: &Path) {
    let mut agent = Agent::start(dir);
    let ticks = dir.join("ticks");
    let script = format!("while :; do /bin/true; echo >> {}; done", ticks.display());
    let pid = agent.start_daemon("busy", &script);
    let ticked = || fs::metadata(&ticks).map_or(0, |meta| meta.len());
    for _ in 0..50 {
        let before = ticked();
        eventually("it goes on", || ticked() > before);
        let name = String::from("busy");
        assert_eq!(agent.ask(Request::Pause { name }), Reply::State(DaemonState::Paused { pid }));
        let frozen = ticked();
        sleep(Duration::from_millis(3));
        assert_eq!(ticked(), frozen, "a paused daemon went on");
        let name = String::from("busy");
        assert_eq!(agent.ask(Request::Resume { name }), Reply::State(DaemonState::Running { pid }));
    }
    drop(agent.input);
    assert!(agent.child.wait().unwrap().success());
}
