use proptest::prelude::*;

use super::super::{Format, Imported, Options, open_all};
use crate::{Kind, Process};

fn import(file: &[u8], format: Format) -> Result<Imported, String> {
    open_all(file, Some(format), Options::default()).map_err(|error| error.to_string())
}

/// Transactions in a line each: process, how it ended, and what it did.
fn txns(imported: &Imported) -> Vec<String> {
    let pairs = imported.ops.chunks(2).map(|pair| {
        assert_eq!((pair[0].kind, pair[0].process), (Kind::Invoke, pair[1].process));
        let told = if pair[1].kind == Kind::Ok { &pair[1] } else { &pair[0] };
        format!("{} {} {}", told.process, pair[1].kind, told.value)
    });
    pairs.collect()
}

#[track_caller]
fn check(file: &[u8], format: Format, expected: &[&str]) {
    let imported = import(file, format).unwrap();
    assert_eq!(txns(&imported), expected);
    assert_eq!(Format::recognise(file), Some(format));
    assert_eq!(imported.header.options.get("untimed"), Some(true.into()));
}

#[track_caller]
fn refused(file: &[u8], format: Format, expected: &str) {
    let error = import(file, format).unwrap_err();
    assert!(error.contains(expected), "expected {expected:?} in {error:?}");
}

#[test]
fn lines_of_plume() {
    check(
        b"r(15,0,0,0)\nw(18,1,0,0)\r\n\n w(-7,2,3,1) \nr(1, 5, 0, 2)\nw(1,1,0,-1)\nw(2,1,0,-1)",
        Format::Plume,
        &[
            "0 ok [[\"r\",15,null],[\"w\",18,1]]",
            "3 ok [[\"w\",-7,2]]",
            "0 ok [[\"r\",1,5]]",
            "0 fail [[\"w\",1,1],[\"w\",2,1]]",
        ],
    );
    let imported = import(b"w(1,1,0,0)\nw(1,2,0,1)\nr(1,2,0,1)\n", Format::Plume).unwrap();
    assert_eq!(imported.lines, [1, 1, 2, 2]);
    assert!(import(b"", Format::Plume).unwrap().ops.is_empty());
}

#[test]
fn lines_that_are_not_plumes() {
    for (line, expected) in [
        ("x(1,2,3,4)", "line 2: not an operation at column 1: a line must read r(key,"),
        ("r 1,2,3,4)", "column 2"),
        ("r(1,2,3)", "column 8"),
        ("r(a,2,3,4)", "column 3"),
        ("r(01,2,3,4)", "column 3"),
        ("r(1,2,3,4) x", "column 10"),
        ("r(1,2,3,9223372036854775808)", "column 9"),
        ("r(1,é,3,4)", "column 5"),
        ("r(1,2,-3,4)", "process -3 is neither"),
        ("w(1,0,0,1)", "line 2: key 1 is written 0, which is what a key holds"),
        ("w(1,2,0,1)\nw(1,3,0,0)", "line 3: transaction 0 of session 0 goes on after another"),
    ] {
        refused(format!("w(1,1,0,0)\n{line}").as_bytes(), Format::Plume, expected);
    }
    refused(b"w(1,1,0,0)\nw(\xff", Format::Plume, "line 2: not UTF-8 at column 3");
    let long = [b"r(".as_slice(), &vec![b' '; crate::LINE_BYTES_MAX + 1]].concat();
    refused(&long, Format::Plume, "line 1: longer than");
    // Short lines, but of one transaction.
    let many = "r(1,1,0,0)\n".repeat(crate::LINE_BYTES_MAX / 8);
    refused(many.as_bytes(), Format::Plume, "the transaction takes more than");
}

#[test]
fn json_of_dbcop() {
    let sessions = br#"[[{"events":[{"Write":{"variable":0,"version":1}},{"Read":{"variable":1,"version":null}}],"committed":true},
        {"committed":false,"events":[["w","x",2],["r",0,1]]}], [],
        [{"events":[],"committed":true}]]"#;
    let expected =
        ["0 ok [[\"w\",0,1],[\"r\",1,null]]", "0 fail [[\"w\",\"x\",2],[\"r\",0,1]]", "2 ok []"];
    check(sessions, Format::Dbcop, &expected);
    let framed =
        [br#"{"params":{"id":0,"n":[1.5]},"data":"#, &sessions[..], br#","end":""}"#].concat();
    check(&framed, Format::Dbcop, &expected);
    check(
        br#"{"data":[[{"events":[{"write":false,"variable":1,"value":0,"success":true},
            {"write":true,"variable":1,"value":3,"success":false}],"success":true}]]}"#,
        Format::Dbcop,
        &["0 ok [[\"r\",1,null]]"],
    );
}

#[test]
fn json_that_is_not_dbcops() {
    let whole = r#"{"a":1,"data":[[{"events":[["r",1,2]],"committed":true}]],"b":2}"#;
    assert!(import(whole.as_bytes(), Format::Dbcop).is_ok());
    for (from, to, expected) in [
        (whole, "", "column 1: a list of sessions, or an object"),
        (whole, "[", "a session must stand here"),
        (whole, "{}", "must have the sessions as \"data\""),
        (whole, "{\"data\":7}", "\"data\" must be a list"),
        ("[[{", "[{", "a session must stand here"),
        ("{\"events\"", "7,{\"events\"", "a transaction must stand here"),
        ("\"events\":", "\"event\":", "a transaction must stand here"),
        ("true", "1", "a transaction must stand here"),
        (",\"committed\":true", "", "a transaction must stand here"),
        ("[\"r\",1,2]", "[\"q\",1,2]", "events must be"),
        ("[\"r\",1,2]", "[\"r\",1]", "events must be"),
        ("[\"r\",1,2]", "[\"w\",1,null]", "events must be"),
        ("[\"r\",1,2]", "{\"Write\":{\"variable\":1}}", "events must be"),
        ("[\"r\",1,2]", "[\"r\",1,2.5]", "must be whole"),
        ("\"b\"", "\"data\"", "must stand once"),
        ("\"a\"", "a", "a field"),
        ("2}", "2} x", "the file must end"),
        ("}]]", "}7", "a comma or the closing bracket"),
    ] {
        assert!(whole.contains(from), "{from}");
        refused(whole.replacen(from, to, 1).as_bytes(), Format::Dbcop, expected);
    }
    for cut in 0..whole.len() {
        assert!(import(&whole.as_bytes()[..cut], Format::Dbcop).is_err(), "{}", &whole[..cut]);
    }
}

/// Whether it writes, key, value, and whether it succeeded.
type Event = (bool, u64, u64, bool);

/// Events, and whether they were committed.
type Events<'a> = (&'a [Event], bool);

/// Sessions as dbcop's bincode.
fn bincode(sessions: &[&[Events<'_>]]) -> Vec<u8> {
    let mut file: Vec<u8> = [7u64, 3, 2, 1, 4].iter().flat_map(|n| n.to_le_bytes()).collect();
    for text in ["Galera", "2019", ""] {
        file.extend((text.len() as u64).to_le_bytes());
        file.extend(text.as_bytes());
    }
    file.extend((sessions.len() as u64).to_le_bytes());
    for session in sessions {
        file.extend((session.len() as u64).to_le_bytes());
        for (events, committed) in *session {
            file.extend((events.len() as u64).to_le_bytes());
            for (write, key, value, success) in *events {
                file.push((*write).into());
                file.extend(key.to_le_bytes());
                file.extend(value.to_le_bytes());
                file.push((*success).into());
            }
            file.push((*committed).into());
        }
    }
    file
}

#[test]
fn bincode_of_dbcop() {
    let file = bincode(&[
        &[(&[(true, 1, 2, true), (false, 3, 0, true), (true, 1, 0, false)], true), (&[], false)],
        &[],
        &[(&[(false, 1, 2, true)], true)],
    ]);
    let expected = ["0 ok [[\"w\",1,2],[\"r\",3,null]]", "0 fail []", "2 ok [[\"r\",1,2]]"];
    check(&file, Format::DbcopBincode, &expected);
    for cut in 0..file.len() {
        refused(&file[..cut], Format::DbcopBincode, "not dbcop's bincode at byte");
    }
    refused(&[&file[..], b"x"].concat(), Format::DbcopBincode, "must end after the last session");
    let mut wrong = file;
    *wrong.last_mut().unwrap() = 2;
    refused(&wrong, Format::DbcopBincode, "a byte of 0 or 1 must say whether the transaction");
    wrong[40..48].fill(0xff);
    refused(&wrong, Format::DbcopBincode, "a text must be as long as it says");
    let zero = bincode(&[&[(&[(true, 1, 0, true)], true)]]);
    refused(&zero, Format::DbcopBincode, "key 1 is written 0");
}

fn entry(letter: u8, numbers: &[u64]) -> Vec<u8> {
    let mut entry = vec![letter];
    entry.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    entry
}

#[test]
fn logs_of_cobra() {
    let log = [
        entry(b'S', &[1]),
        entry(b'R', &[9, 0xbebe_ebee, 4, 0]),
        entry(b'W', &[77, u64::MAX, 0]),
        entry(b'C', &[1]),
        entry(b'S', &[2]),
        entry(b'A', &[2]),
        vec![super::SESSION_END],
        entry(b'S', &[10]),
        entry(b'W', &[78, 4, 0]),
    ]
    .concat();
    let expected = ["0 ok [[\"r\",4,null],[\"w\",-1,77]]", "0 fail []", "1 info [[\"w\",4,78]]"];
    check(&log, Format::Cobra, &expected);
    let two = [&log[..], &[super::SESSION_END], &entry(b'S', &[3]), &entry(b'C', &[3])].concat();
    let imported = import(&two, Format::Cobra).unwrap();
    assert_eq!(imported.ops.last().unwrap().process, Process::Client(2));
    for (file, expected) in [
        (entry(b'C', &[1]), "byte 9: a transaction must begin with S"),
        ([entry(b'S', &[1]), entry(b'S', &[2])].concat(), "must end before another one begins"),
        ([entry(b'S', &[1]), entry(b'C', &[2])].concat(), "must name the transaction"),
        ([entry(b'S', &[1]), vec![b'R', 1, 2]].concat(), "eight bytes each"),
        ([entry(b'S', &[1]), vec![b'x']].concat(), "must begin with S, R, W, C or A"),
    ] {
        refused(&file, Format::Cobra, expected);
    }
}

proptest! {
    /// Lines that are read in one step, and those that are not since something follows them.
    #[test]
    fn lines_of_plume_are_read_the_same_in_one_step(lines in prop::collection::vec(
        (any::<bool>(), prop_oneof!["-?[0-9]{0,2}", "-?[0-9]{17,20}", "[0-9a-]{1,3}"], "-?[0-9]{1,3}", "[0-2]", "[0-3]|-1"), 1..6))
    {
        let file = |blank: &str, end: &str| -> String {
            let line = |(write, key, value, session, txn): &(bool, String, String, String, String)| {
                let does = if *write { 'w' } else { 'r' };
                format!("{does}({blank}{key},{value},{session},{txn}){end}\n")
            };
            lines.iter().map(line).collect()
        };
        let read = |file: String| import(file.as_bytes(), Format::Plume).map(|imported| (txns(&imported), imported.lines));
        let (at_once, in_steps) = (read(file("", "")), read(file("", "\r")));
        prop_assert_eq!(&at_once, &in_steps);
        // The column of an error is another one.
        prop_assert_eq!(at_once.ok(), read(file(" ", "")).ok());
    }

    /// What is written is what is read, in every kind.
    #[test]
    fn kinds_agree(txns in prop::collection::vec(
        (0..4u32, prop::collection::vec((any::<bool>(), 0..9u64, 1..99u64), 1..4)), 0..20)
    ) {
        let mut sessions: Vec<Vec<Vec<(bool, u64, u64)>>> = vec![Vec::new(); 4];
        for (session, ops) in txns {
            sessions[session as usize].push(ops);
        }
        let (mut plume, mut json, mut log, mut txn) = (String::new(), Vec::new(), Vec::new(), 0);
        for (session, txns) in sessions.iter().enumerate() {
            let mut of_session = Vec::new();
            for ops in txns {
                let mut events = Vec::new();
                log.extend(entry(b'S', &[txn]));
                for (write, key, value) in ops {
                    let does = if *write { 'w' } else { 'r' };
                    plume += &format!("{does}({key},{value},{session},{txn})\n");
                    events.push(format!("[\"{does}\",{key},{value}]"));
                    let numbers = [&[0][usize::from(*write)..], &[*value, *key, 0]].concat();
                    log.extend(entry(if *write { b'W' } else { b'R' }, &numbers));
                }
                log.extend(entry(b'C', &[txn]));
                of_session.push(format!("{{\"events\":[{}],\"committed\":true}}", events.join(",")));
                txn += 1;
            }
            json.push(format!("[{}]", of_session.join(",")));
            log.push(super::SESSION_END);
        }
        let with_success: Vec<Vec<(Vec<_>, bool)>> = sessions.iter().map(|txns| {
            let all = |ops: &Vec<(bool, u64, u64)>| ops.iter().map(|(w, k, v)| (*w, *k, *v, true)).collect();
            txns.iter().map(|ops| (all(ops), true)).collect()
        }).collect();
        let borrowed: Vec<Vec<(&[_], bool)>> =
            with_success.iter().map(|txns| txns.iter().map(|(ops, ok)| (&ops[..], *ok)).collect()).collect();
        let borrowed: Vec<&[_]> = borrowed.iter().map(|txns| &txns[..]).collect();
        let json = format!("[{}]", json.join(","));
        let expected = import(plume.as_bytes(), Format::Plume).unwrap().ops;
        for (format, file) in [
            (Format::Dbcop, json.as_bytes()),
            (Format::DbcopBincode, &bincode(&borrowed)[..]),
            (Format::Cobra, &log[..]),
        ] {
            prop_assert_eq!(&import(file, format).unwrap().ops, &expected, "{}", format);
        }
    }
}
