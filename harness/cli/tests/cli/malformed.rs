//! What is no history is refused with one sentence that names the file and the line, whoever wrote it; what is one,
//! however odd, is judged. Nothing crashes and nothing is passed over.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{Ended, KEELHAUL, ended, keelhaul, skipped};

/// Kinds of files that can be written from the same events.
const KINDS: [&str; 5] = ["keelhaul", "edn", "json", "jepsen-text", "porcupine-etcd"];

const HEADER: &str = "{\"keelhaul\":1,\"store\":\"raft\",\"workload\":\"register\"}\n";

/// Process, type, function and value of an event, separated by blanks; the value is JSON without any.
type Event<'a> = &'a str;

/// The events as a file of this kind.
fn file(kind: &str, events: &[Event<'_>]) -> String {
    let mut text = String::from(if kind == "keelhaul" { HEADER } else { "" });
    for (index, event) in events.iter().enumerate() {
        let words: Vec<&str> = event.split(' ').collect();
        let [process, type_, f, value] = words[..] else { panic!("{event}") };
        let edn = value.replace(',', " ").replace("null", "nil");
        let log = format!("{process}\t:{type_}\t:{f}\t{edn}");
        text += &match kind {
            "keelhaul" => format!(
                "{{\"index\":{index},\"time\":{index},\"type\":\"{type_}\",\"process\":{process},\"f\":\"{f}\",\"value\":{value}}}"
            ),
            "json" => format!(
                "{{\"process\":{process},\"type\":\"{type_}\",\"f\":\"{f}\",\"value\":{value}}}"
            ),
            "edn" => format!("{{:process {process}, :type :{type_}, :f :{f}, :value {edn}}}"),
            "jepsen-text" => log,
            _ => format!("INFO  jepsen.util - {log}"),
        };
        text.push('\n');
    }
    text
}

const GOOD: [Event<'_>; 4] =
    ["0 invoke write 3", "0 ok write 3", "1 invoke read null", "1 ok read 3"];

fn check_bytes(bytes: &[u8], flags: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("h"), bytes).unwrap();
    keelhaul(dir.path(), &format!("check h --workload register {flags}"))
}

/// Expects one sentence on standard error, with the file, the line and this text, and nothing on standard output.
#[track_caller]
fn refused(bytes: &[u8], line: usize, text: &str) {
    let ended = check_bytes(bytes, "");
    assert_eq!(ended.code, 64, "{text}: {ended:?}");
    assert_eq!(ended.stdout, "", "{text}");
    let sentence = ended.stderr.strip_prefix("error: h: ").unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(sentence.lines().count(), 1, "{ended:?}");
    assert!(sentence.contains(&format!("line {line}: ")), "line {line}, {text}: {ended:?}");
    assert!(sentence.contains(text), "{text}: {ended:?}");
}

#[track_caller]
fn judged(bytes: &[u8], code: i32) {
    let ended = check_bytes(bytes, "");
    assert_eq!(ended.code, code, "{ended:?}");
    assert_eq!(ended.stderr, "", "{ended:?}");
}

/// As [`refused`], of a file of each kind; lines are those of the events, from 1.
#[track_caller]
fn refused_of_every_kind(events: &[Event<'_>], line: usize, text: &str) {
    for kind in KINDS {
        let line = line + usize::from(kind == "keelhaul");
        refused(file(kind, events).as_bytes(), line, text);
    }
}

#[test]
fn ops_that_do_not_fit() {
    let [write, wrote, read, _] = GOOD;
    refused_of_every_kind(&[write, "0 invoke write 4"], 2, "its operation of index 0 is open");
    refused_of_every_kind(
        &[write, wrote, wrote],
        3,
        "process 0 completes an operation that it never",
    );
    refused_of_every_kind(
        &[write, "1 ok write 3"],
        2,
        "process 1 completes an operation that it never",
    );
    refused_of_every_kind(
        &[write, "0 ok read 3"],
        2,
        "completes \"read\" but had invoked \"write\"",
    );
    refused_of_every_kind(
        &[write, wrote, "1 invoke reed null"],
        3,
        "a register has no function `reed`",
    );
    refused_of_every_kind(
        &[read, "1 ok read 3", "1 invoke cas 3"],
        3,
        "the value of a cas must be",
    );
    refused_of_every_kind(
        &[read, "1 ok read 3", "1 invoke cas [1,2,3]"],
        3,
        "the value of a cas must be",
    );
    let info = file("keelhaul", &[write, "0 info write 3", "0 invoke write 4"]);
    refused(info.as_bytes(), 4, "process 0 is used again after an info");
}

/// Replaces text in a good file of this kind.
fn with(kind: &str, from: &str, to: &str) -> Vec<u8> {
    let good = file(kind, &GOOD);
    assert!(good.contains(from), "{from} is not in {good}");
    good.replacen(from, to, 1).into_bytes()
}

#[test]
fn fields_that_are_missing_or_wrong() {
    refused(&with("keelhaul", "\"process\":0,", ""), 2, "\"process\" is missing");
    refused(&with("edn", ":process 0,", ""), 1, "the operation has no process");
    refused(&with("json", "\"process\":0,", ""), 1, "the operation has no process");
    refused(
        &with("json", "\"process\":0,", "\"process\":null,"),
        1,
        "the operation has no process",
    );
    refused(&with("jepsen-text", "0\t:ok", ":ok"), 2, "not a log line");
    refused(&with("porcupine-etcd", "0\t:ok", ":ok"), 2, "not a log line");
    refused(&with("keelhaul", "\"time\":2", "\"time\":0"), 4, "time 0 ns is before 1 ns");
    let timed = |first: &str, second: &str| {
        let text = file("edn", &GOOD[..2]).replacen("0,", &format!("0, :time {first},"), 1);
        text.replacen("}\n{:process 0,", &format!("}}\n{{:process 0, :time {second},"), 1)
    };
    refused(timed("100", "99").as_bytes(), 2, "time 99 ns is before 100 ns");
    refused(
        &with("keelhaul", "\"index\":2", "\"index\":3"),
        4,
        "lines are missing or out of order",
    );
    refused(&with("keelhaul", "\"index\":2", "\"index\":1"), 4, "duplicated or out of order");
    refused(&with("keelhaul", "\"index\":0", "\"index\":0,\"index\":0"), 2, "stands twice");
    refused(&with("json", "\"process\":0", "\"process\":0,\"process\":1"), 1, "stands twice");
    refused(&with("json", "\"value\":3", "\"value\":{\"a\":1,\"a\":1}"), 1, "stands twice");
    refused(&with("edn", ":process 0", ":process 0 :process 0"), 1, "stands twice");
    let huge = "123456789012345678901234567890";
    refused(&with("keelhaul", "\"value\":3", &format!("\"value\":{huge}")), 2, "fit in 64 bits");
    for kind in ["edn", "json"] {
        // Its own digits are its value: what was written and what was read can still be compared.
        let read_back = file(kind, &GOOD).replace('3', huge);
        judged(read_back.as_bytes(), 0);
        judged(read_back.replacen(huge, "123456789012345678901234567891", 2).as_bytes(), 1);
    }
    refused(&with("keelhaul", "\"process\":0", &format!("\"process\":{huge}")), 2, "32 bits");
    refused(
        &with("json", "\"process\":0", &format!("\"process\":{huge}")),
        1,
        "is neither a number",
    );
}

#[test]
fn files_that_end_too_soon() {
    // The last event loses its last bytes; ours then ends with what was written whole.
    for kind in KINDS {
        let text = file(kind, &GOOD);
        let cut = &text.as_bytes()[..text.len() - 4];
        match kind {
            "keelhaul" => judged(cut, 3),
            "jepsen-text" | "porcupine-etcd" => refused(cut, 4, "not a log line"),
            _ => refused(cut, 4, "not "),
        }
    }
    refused(&HEADER.as_bytes()[..HEADER.len() - 5], 1, "ends before its header line is complete");
    judged(HEADER.as_bytes(), 3);
    judged(b"", 3);
    judged(b"[]\n", 3);
    refused(b"[{:process 0, :type :invoke, :f :read}\n", 2, "never closed");
    refused(b"#jepsen.history.Op", 1, "an operation must follow its tag");
    for kind in KINDS {
        let invocations: Vec<Event<'_>> = vec![GOOD[0], GOOD[2]];
        judged(file(kind, &invocations).as_bytes(), 3);
    }
}

#[test]
fn files_of_two_kinds() {
    for first in KINDS {
        for second in KINDS {
            // A Jepsen log's line is also what follows the dash of Porcupine's, and Porcupine's begin like no other.
            if first == second {
                continue;
            }
            let (one, two) = (file(first, &GOOD), file(second, &["7 invoke read null"]));
            refused([one.clone(), two].concat().as_bytes(), one.lines().count() + 1, "");
        }
    }
}

#[test]
fn bytes_that_are_no_text() {
    for kind in KINDS {
        let text = file(kind, &GOOD);
        let last = text.lines().count();
        let mut bytes = text.clone().into_bytes();
        let at = bytes.len() - 5;
        bytes[at] = 0xff;
        refused(&bytes, last, "not UTF-8 at column");
        // What a file system leaves where a crash came before the data.
        let nul = [text.as_bytes(), &[0; 100]].concat();
        if kind == "keelhaul" {
            judged(&nul, 0);
            refused(&[&nul[..], b"\n"].concat(), last + 1, "not JSON at column 1");
        } else {
            refused(&nul, last + 1, "");
        }
        judged(&[b"\xef\xbb\xbf", text.as_bytes()].concat(), 0);
        judged(text.replace('\n', "\r\n").as_bytes(), 0);
        let wide: Vec<u8> = "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        refused(&wide, 1, "UTF-16");
    }
    refused(b"\x1f\x8b\x08\0\0\0\0\0\0\x03", 1, "compressed with gzip");
    refused(b"\x28\xb5\x2f\xfd\x24\x0b\x59\0", 1, "compressed with zstd");
    refused(b"PK\x03\x04\x14\0\x08", 1, "compressed with zip");
    refused(b"\x7fELF\x02\x01", 1, "neither a keelhaul history, nor");
    refused(b"<html><body>404</body></html>", 1, "neither a keelhaul history, nor");
}

#[test]
fn texts_without_end() {
    let brackets = "[".repeat(100_000);
    for (kind, line) in [("keelhaul", 2), ("edn", 1), ("json", 1)] {
        let (from, to) = match kind {
            "edn" => (" 3}", format!(" {brackets}}}")),
            _ => (":3}", format!(":{brackets}}}")),
        };
        refused(&with(kind, from, &to), line, "nested deeper than 64");
    }
    for opening in ["{", "#_ ", "^", "[{:a ", "#{"] {
        let ended = check_bytes(opening.repeat(100_000).as_bytes(), "");
        assert!(ended.code == 64 && ended.stderr.contains("line 1: "), "{opening}: {ended:?}");
    }
    let long = with("edn", "3}", &format!("\"{}\"}}", "x".repeat(9 << 20)));
    refused(&long, 1, "longer than 8388608 bytes");
}

#[test]
fn many_keys() {
    let mut text = String::from(HEADER);
    for key in 0..100_000 {
        for (kind, index) in [("invoke", 2 * key), ("ok", 2 * key + 1)] {
            text += &format!(
                "{{\"index\":{index},\"time\":{index},\"type\":\"{kind}\",\"process\":0,\"f\":\"write\",\"key\":{key},\"value\":1}}\n"
            );
        }
    }
    judged(text.as_bytes(), 0);
}

#[test]
fn what_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let good = file("edn", &GOOD);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/good.edn"), &good).unwrap();
    symlink("..", at("d/loop")).unwrap();
    symlink("good.edn", at("d/linked.edn")).unwrap();
    symlink("nowhere", at("d/dangling.edn")).unwrap();
    make_pipe(&at("d/pipe.edn"));
    let folder = keelhaul(dir.path(), "check d --workload register");
    assert!(folder.code == 0 && folder.stdout.lines().count() == 2, "{folder:?}");
    let absent = keelhaul(dir.path(), "check d/dangling.edn --workload register");
    assert!(
        absent.code == 64 && absent.stderr.contains("failed to open d/dangling.edn"),
        "{absent:?}"
    );
    // A pipe is read like a file, once somebody writes.
    let pipe = at("d/pipe.edn");
    let writer = std::thread::spawn(move || fs::write(pipe, good).unwrap());
    let read = keelhaul(dir.path(), "check d/pipe.edn --workload register");
    writer.join().unwrap();
    assert_eq!(read.code, 0, "{read:?}");
    let zeros = keelhaul(dir.path(), "check /dev/zero --workload register");
    assert!(zeros.code == 64 && zeros.stderr.contains("/dev/zero: line 1: "), "{zeros:?}");
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret.edn");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(&path).is_ok() {
        return skipped("root may read everything");
    }
    let ended = keelhaul(dir.path(), "check secret.edn");
    assert!(ended.code == 64 && ended.stderr.contains("failed to open secret.edn"), "{ended:?}");
}

#[test]
fn names_that_are_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let name = std::ffi::OsString::from_vec(b"h\xff.edn".to_vec());
    fs::write(dir.path().join(&name), file("edn", &GOOD)).unwrap();
    let mut command = Command::new(KEELHAUL);
    command.current_dir(dir.path()).arg("check").arg(&name).args(["--workload", "register"]);
    let ended = ended(&command.output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// Runs `check -` with this on its standard input.
fn check_input(bytes: &[u8], words: &[&str]) -> Ended {
    let mut child = Command::new(KEELHAUL)
        .arg("check")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // A file that is refused is not read to its end.
    let _ = input.write_all(bytes);
    drop(input);
    ended(&child.wait_with_output().unwrap())
}

#[test]
fn standard_input() {
    let words = ["-", "--workload", "register"];
    assert_eq!(check_input(file("edn", &GOOD).as_bytes(), &words).code, 0);
    let bad = check_input(file("edn", &[GOOD[1]]).as_bytes(), &words);
    assert!(bad.code == 64 && bad.stderr.starts_with("error: standard input: "), "{bad:?}");
    let twice = check_input(b"", &["-", "-"]);
    assert!(twice.code == 64 && twice.stderr.contains("can be named once"), "{twice:?}");
}

#[test]
fn an_output_that_goes_away_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("h.edn"),
        file("edn", &GOOD).replacen(":read, :value 3", ":read, :value 4", 1),
    )
    .unwrap();
    let run = |output: Stdio| {
        let mut command = Command::new(KEELHAUL);
        command.current_dir(dir.path()).args(["check", "h.edn", "--workload", "register"]);
        ended(
            &command
                .stdout(output)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
                .wait_with_output()
                .unwrap(),
        )
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let gone = run(writer.into());
    assert!(gone.code == 1 && gone.stderr.is_empty(), "{gone:?}");
    let full = run(fs::File::options().write(true).open("/dev/full").unwrap().into());
    assert!(
        full.code == 1 && full.stderr.contains("failed to write to standard output"),
        "{full:?}"
    );
}
