//! Golden scripts: protocol scenarios as text, each with all that the replicas did.
//!
//! A line that begins with `>` is a command; what follows it, up to an empty line, is its expected outcome. `UPDATE_GOLDEN=1 cargo
//! test` writes what the replicas do now. Every node has a clock of its own, so that only a command makes time pass. Messages wait
//! between two nodes until a command delivers or drops them; a disk syncs at once unless the script asks it to wait.

mod world;

use std::fmt::Write as _;
use std::path::Path;

use crate::api::{NodeId, Payload};
use crate::kv::{Command, Request, Response, SessionId};

pub(crate) use world::{Scene, Scripted, World};

/// The script with every outcome as it is now.
fn play<P: Scripted>(script: &str, mutant: Option<P::Mutant>) -> String {
    let mut world = World::<P>::of(mutant);
    let mut text = String::new();
    let mut outcome = false;
    for line in script.lines() {
        outcome &= !line.is_empty() && !line.starts_with('>') && !line.starts_with('#');
        if outcome {
            continue;
        }
        let _ = writeln!(text, "{line}");
        if let Some(command) = line.strip_prefix('>') {
            world.command(&command.split_whitespace().collect::<Vec<_>>());
            text.extend(world.take_lines().iter().map(|line| format!("{line}\n")));
            outcome = true;
        }
    }
    text
}

/// Plays a script of a folder, and compares.
#[expect(clippy::disallowed_methods, reason = "a test may be asked to write what it sees")]
pub(crate) fn check<P: Scripted>(folder: &Path, name: &str) {
    let path = folder.join(name).with_extension("txt");
    let script = std::fs::read_to_string(&path).unwrap();
    let now = play::<P>(&script, None);
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let difference = script.lines().zip(now.lines()).enumerate().find(|(_, (was, is))| was != is);
    assert_eq!(script, now, "{name}: first difference: {difference:?}");
}

/// Under each mistake, a script comes to a line to which it must not come.
pub(crate) fn tell_mistakes<P: Scripted>(folder: &Path, told: &[(P::Mutant, &str, &str)]) {
    for (mutant, name, line) in told {
        let script = std::fs::read_to_string(folder.join(name).with_extension("txt")).unwrap();
        assert!(!script.contains(line), "{name} has {line}");
        let seen = play::<P>(&script, Some(*mutant));
        assert!(seen.contains(line), "{mutant} goes through {name} unseen: {seen}");
    }
}

/// A folder holds no script but these.
pub(crate) fn all_are_played(folder: &Path, names: &[&str]) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(names.contains(&name), "{name} is not in the list");
        }
    }
}

/// A test for each script of a protocol's folder, and one that none is left out.
macro_rules! scripts {
    ($protocol:ty, $folder:expr, $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::golden::check::<$protocol>(&$folder, stringify!($name));
            }
        )*

        #[test]
        fn every_script_is_played() {
            $crate::golden::all_are_played(&$folder, &[$(stringify!($name)),*]);
        }
    };
}
pub(crate) use scripts;

pub(crate) fn id(name: &str) -> NodeId {
    NodeId(name.strip_prefix('n').and_then(|n| n.parse().ok()).expect("a name like n1"))
}

pub(crate) fn name(node: NodeId) -> String {
    format!("n{}", node.0)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `3/1`: session and sequence number.
pub(crate) fn perform(number: &str, command: Command) -> Request {
    let (session, sequence) = number.split_once('/').unwrap();
    let session = SessionId(session.parse().unwrap());
    Request::Perform { session, sequence: sequence.parse().unwrap(), command }
}

/// `x=a`: a key and its new value.
pub(crate) fn write(assignment: &str) -> Command {
    let (key, value) = assignment.split_once('=').unwrap();
    Command::Write { key: key.into(), value: value.into() }
}

/// What an entry does; nothing for a no-op.
pub(crate) fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Noop => String::new(),
        Payload::Register => ":register".to_owned(),
        Payload::Command { command: Command::Write { key, value }, .. } => {
            format!(":{}={}", text(key), text(value))
        }
        Payload::Command { .. } => ":command".to_owned(),
        Payload::Membership(_) => ":members".to_owned(),
    }
}

pub(crate) fn answer(response: &Response) -> String {
    match response {
        Response::Registered(session) => format!("session {}", session.0),
        Response::Value(value) => {
            format!("value {}", value.as_ref().map_or("none".to_owned(), |v| text(v)))
        }
        Response::NotLeader { leader } => {
            format!("not leader, {} is", leader.map_or("nobody".to_owned(), name))
        }
        Response::Written => "written".to_owned(),
        Response::Changed => "changed".to_owned(),
        Response::Unknown => "nobody knows".to_owned(),
        Response::SessionExpired => "session expired".to_owned(),
        other => format!("{other:?}"),
    }
}
