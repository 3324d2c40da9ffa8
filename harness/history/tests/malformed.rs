//! Every way a history can be wrong has its own sentence, with the line where it went wrong.

mod common;

use common::{LINES, file, header, read, sealed};
use keelhaul_history::{LINE_BYTES_MAX, ReadError};

/// Replaces `from` by `to` in the op line with this index and expects an error on `line` that says `expected`.
#[track_caller]
fn check(index: usize, from: &str, to: &str, line: u64, expected: &str) {
    let mut lines = LINES.map(String::from);
    assert!(lines[index].contains(from), "{from} is not in {}", lines[index]);
    lines[index] = lines[index].replacen(from, to, 1);
    expect(&file(&lines), line, expected);
}

#[track_caller]
fn expect(bytes: &[u8], line: u64, expected: &str) {
    match read(bytes) {
        Err(ReadError::Malformed { line: found, problem }) => {
            let text = problem.to_string();
            assert!(text.contains(expected), "expected {expected:?} in {text:?}");
            assert_eq!(found, line, "{text}");
        }
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

#[test]
fn not_json() {
    check(0, "{", "", 2, "not JSON at column 1: an object must stand here");
    check(0, "}", "", 2, "a comma or the closing bracket must stand here");
    check(0, "}", "}x", 2, "the line must end after the op");
    check(0, "\"f\":", "\"f\"", 2, "a colon must stand here");
    check(0, "7", "07", 2, "a number must be whole");
    check(0, "7", "1.5", 2, "a number must be whole and fit in 64 bits");
    check(0, "7", "9223372036854775808", 2, "a number must be whole and fit in 64 bits");
    check(0, "7", "tru", 2, "a value must stand here");
    check(0, "7", "[1 2]", 2, "a comma or the closing bracket");
    check(0, "7", "[1,]", 2, "a value must stand here");
    check(0, "7", "{1:2}", 2, "a string must stand here");
    check(0, "write", "wri\te", 2, "a control character must be escaped");
    check(0, "write", "\\x", 2, "no such escape");
    check(0, "write", "\\u12g4", 2, "\\u needs four hexadecimal digits");
    check(0, "write", "\\ud800", 2, "a high surrogate must be followed by a low one");
    check(0, "write", "\\ude00", 2, "a low surrogate must follow a high one");
    check(0, "\"n1\"}", "\"n1", 2, "the string never ends");
    check(0, "{", "{\"x\":1e,", 2, "a digit must follow the exponent");
    check(0, "{", "{\"x\":1.,", 2, "a digit must follow the point");
    check(0, "{", "{\"x\":-,", 2, "a digit must stand here");
    check(1, LINES[1], "", 3, "an object must stand here");
    check(1, LINES[1], "[]", 3, "an object must stand here");
}

#[test]
fn fields() {
    check(1, "\"index\":1,", "", 3, "field \"index\" is missing");
    check(1, "\"time\":200,", "", 3, "field \"time\" is missing");
    check(1, "\"type\":\"invoke\",", "", 3, "field \"type\" is missing");
    check(1, "\"process\":1,", "", 3, "field \"process\" is missing");
    check(1, "\"f\":\"read\",", "", 3, "field \"f\" is missing");
    check(1, "\"index\":1", "\"index\":\"1\"", 3, "field \"index\" must be a whole number");
    check(1, "\"index\":1", "\"index\":-1", 3, "field \"index\" must be a whole number");
    check(1, "\"time\":200", "\"time\":200.5", 3, "field \"time\" must be a whole number");
    check(1, "\"time\":200", "\"time\":18446744073709551616", 3, "field \"time\" must be a whole");
    check(1, "\"invoke\"", "\"Invoke\"", 3, "field \"type\" must be one of \"invoke\"");
    check(1, "\"invoke\"", "1", 3, "field \"type\" must be one of");
    check(1, "\"process\":1", "\"process\":4294967296", 3, "field \"process\" must be a number");
    check(1, "\"process\":1", "\"process\":\"me\"", 3, "or \"nemesis\"");
    check(1, "\"f\":\"read\"", "\"f\":null", 3, "field \"f\" must be a string");
    check(1, "\"node\":\"n2\"", "\"node\":\"host\"", 3, "field \"node\" must be a node's name");
    check(1, "\"node\":\"n2\"", "\"node\":2", 3, "field \"node\" must be a node's name");
    check(3, "\"timeout\"", "5", 5, "field \"error\" must be a string");
    check(1, "\"index\":1", "\"index\":1,\"index\":1", 3, "field \"index\" stands twice");
}

#[test]
fn order() {
    check(2, "\"index\":2", "\"index\":3", 4, "index 3 where 2 must follow: lines are missing");
    check(
        2,
        "\"index\":2",
        "\"index\":1",
        4,
        "index 1 where 2 must follow: the line is duplicated",
    );
    check(2, "\"time\":300", "\"time\":199", 4, "time 199 ns is before 200 ns");
    let with = |change: fn(&mut Vec<&str>)| {
        let mut lines = LINES.to_vec();
        change(&mut lines);
        file(&lines)
    };
    expect(&with(|lines| lines.swap(3, 4)), 5, "index 4 where 3 must follow");
    expect(&with(|lines| lines.insert(4, LINES[3])), 6, "index 3 where 4 must follow");
    expect(&file(&LINES[1..]), 2, "index 1 where 0 must follow");
}

#[test]
fn pairing() {
    check(
        1,
        "\"process\":1",
        "\"process\":0",
        3,
        "process 0 invokes while its operation of index 0",
    );
    check(4, "\"ok\"", "\"invoke\"", 6, "process 1 invokes while its operation of index 1 is open");
    check(4, "\"process\":1", "\"process\":9", 6, "process 9 completes an operation that it never");
    check(4, "\"process\":1", "\"process\":4294967295", 6, "process 4294967295 completes");
    check(4, "\"read\"", "\"cas\"", 6, "process 1 completes \"cas\" but had invoked \"read\"");
    check(6, "\"process\":1", "\"process\":0", 8, "process 0 is used again after an info");
    check(5, "\"ok\"", "\"invoke\"", 7, "process nemesis invokes while its operation of index 2");
}

#[test]
fn the_nemesis_survives_an_info() {
    let again =
        r#"{"index":6,"time":600,"type":"invoke","process":"nemesis","f":"verify","value":null}"#;
    let mut lines = LINES.map(String::from);
    lines[5] = lines[5].replace("\"ok\"", "\"info\"");
    lines[6] = again.into();
    assert_eq!(read(&file(&lines[..7])).unwrap().0.len(), 7);
}

#[test]
fn text() {
    let mut bytes = file(&LINES);
    let at = bytes.windows(5).position(|w| w == b"write").unwrap();
    bytes[at] = 0xff;
    expect(&bytes, 2, "not UTF-8 at column 56");
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    check(0, "7", &deep, 2, "nested deeper than 64 levels");
    check(0, "{", &format!("{{\"x\":{deep},"), 2, "nested deeper than 64 levels");
    let long = format!("\"{}\"", "x".repeat(LINE_BYTES_MAX));
    check(1, "null", &long, 3, "longer than 8388608 bytes");
    let mut endless = file(&LINES[..1]);
    endless.resize(endless.len() + 2 * LINE_BYTES_MAX, b'x');
    expect(&endless, 3, "longer than 8388608 bytes");
}

#[test]
fn deep_but_accepted() {
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    let line = LINES[0].replace("7", &deep);
    assert_eq!(read(&file(&[line])).unwrap().0[0].value.to_string(), deep);
}

#[test]
fn headers() {
    let with = |first: &str| {
        let mut bytes = first.as_bytes().to_vec();
        bytes.push(b'\n');
        bytes.extend(LINES[0].bytes());
        bytes.push(b'\n');
        bytes
    };
    expect(b"", 1, "the file ends before its header line");
    expect(&with(LINES[0]), 1, "it has no field \"keelhaul\"");
    expect(&with("{:type :invoke}"), 1, "not a keelhaul history: the first line must be a header");
    expect(&with("{\"keelhaul\":2,\"new\":true}"), 1, "format version 2 is newer than 1");
    expect(&with("{\"keelhaul\":0}"), 1, "format version 0 does not exist");
    expect(&with("{\"keelhaul\":\"1\"}"), 1, "its version is not a number");
    expect(&with("{\"keelhaul\":1,\"seed\":\"x\"}"), 1, "invalid type");
    assert_eq!(read(&with("{\"keelhaul\":1,\"later\":[1.5]}")).unwrap().0.len(), 1);
}

#[test]
fn seals() {
    let (ops, _) = read(&file(&LINES)).unwrap();
    let good = String::from_utf8(sealed(&ops)).unwrap();
    let bad = |from: &str, to: &str, line, expected: &str| {
        assert!(good.contains(from));
        expect(good.replacen(from, to, 1).as_bytes(), line, expected);
    };
    bad("\"count\":8", "\"count\":7", 10, "the seal counts 7 ops but 8 are there");
    bad("\"value\":7", "\"value\":6", 10, "but the lines above give");
    bad("\"seed\":42", "\"seed\":43", 10, "but the lines above give");
    bad("\"count\":8", "\"count\":\"8\"", 10, "the seal must read");
    bad("\"crc32\":\"", "\"crc32\":\"0", 10, "the seal must read");
    bad("\"crc32\":\"", "\"crc\":\"", 10, "the seal must read");
    expect(format!("{good}\n").as_bytes(), 11, "bytes follow the seal");
    expect(format!("{good}x").as_bytes(), 11, "bytes follow the seal");
    let mut lines = LINES.to_vec();
    let seal = good.lines().last().unwrap();
    lines.insert(4, seal);
    expect(&file(&lines), 6, "the seal counts 8 ops but 4 are there");
    assert_eq!(header().seed, 42);
}

#[test]
fn nothing_follows_an_error() {
    let mut lines = LINES.to_vec();
    lines[1] = "x";
    let bytes = file(&lines);
    let mut reader = keelhaul_history::Reader::new(&bytes[..]).unwrap();
    assert!(reader.next_op().unwrap().is_some());
    assert!(reader.next_op().is_err());
    assert!(reader.next_op().unwrap().is_none());
    assert_eq!(reader.ending(), None);
}
