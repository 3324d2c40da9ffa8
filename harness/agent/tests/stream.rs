//! An agent as a control node meets it: a process at the other end of two pipes. No namespaces, no privileges.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use common::agent::{self, Agent};
use common::{eventually, start_daemon};
use keelhaul_agent::wire::Answer;
use keelhaul_agent::{Command, DaemonState, Exit, Reply, Request};

const TESTS: [(&str, common::Test); 6] = [
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
    if let Some(code) = agent::as_agent() {
        std::process::exit(code);
    }
    common::run(&TESTS);
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
    start_daemon(
        agent,
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
    let pid = start_daemon(&mut agent, "busy", &script);
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
