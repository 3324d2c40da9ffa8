//! What must hold of every importer: it never panics; errors name a line of the file; how the bytes arrive does not
//! matter; what is accepted is a history, and can be repaired to the same.

use std::io::{self, Read};

use keelhaul_history::import::{Format, Imported, Independent, Options, open_all};
use keelhaul_history::{Ending, Header, Op, ReadError, Reader, Writer};

use crate::Told;
use crate::bytes::Bytes;
use crate::sessions;

pub fn keelhaul(bytes: &[u8]) -> Told {
    import(Format::Keelhaul, KEELHAUL, bytes)
}

pub fn edn(bytes: &[u8]) -> Told {
    import(Format::Edn, EDN, bytes)
}

pub fn json(bytes: &[u8]) -> Told {
    import(Format::Json, JSON, bytes)
}

pub fn jepsen_text(bytes: &[u8]) -> Told {
    import(Format::JepsenText, TEXT, bytes)
}

pub fn porcupine_etcd(bytes: &[u8]) -> Told {
    import(Format::PorcupineEtcd, LOG, bytes)
}

pub fn plume(bytes: &[u8]) -> Told {
    import(Format::Plume, PLUME, bytes)
}

pub fn dbcop(bytes: &[u8]) -> Told {
    import(Format::Dbcop, DBCOP, bytes)
}

pub fn dbcop_bincode(bytes: &[u8]) -> Told {
    import(Format::DbcopBincode, NUMBERS, bytes)
}

pub fn cobra(bytes: &[u8]) -> Told {
    import(Format::Cobra, NUMBERS, bytes)
}

/// Hands out some bytes at a time.
struct Slow<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let step = self.step.min(buf.len());
        self.bytes.read(&mut buf[..step])
    }
}

/// The file that the bytes stand for: themselves; or pieces that fit together now and then; or a history that is right
/// but for a few changes.
fn file(format: Format, pieces: &[&str], bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut file = match bytes.below(4) {
        0 => return bytes.0.to_vec(),
        1 => {
            let mut file = Vec::new();
            while !bytes.0.is_empty() {
                push_piece(&mut file, pieces, bytes);
            }
            return file;
        }
        _ if format.is_by_session() => sessions::right(format, bytes),
        _ => right(format, bytes),
    };
    for _ in 0..bytes.below(4) {
        let at = bytes.next_u16() % (file.len() + 1);
        let mut end = file.split_off(at);
        match bytes.below(3) {
            0 => push_piece(&mut file, pieces, bytes),
            1 => drop(end.drain(..bytes.below(20).min(end.len()))),
            _ => file.push(bytes.next()),
        }
        file.append(&mut end);
    }
    file
}

/// Adds one of the pieces, or a byte.
fn push_piece(file: &mut Vec<u8>, pieces: &[&str], bytes: &mut Bytes<'_>) {
    match pieces.get(bytes.below(pieces.len() + 1)) {
        Some(piece) => file.extend_from_slice(piece.as_bytes()),
        None => file.push(bytes.next()),
    }
}

/// A history that is right.
fn right(format: Format, bytes: &mut Bytes<'_>) -> Vec<u8> {
    const VALUES: [&str; 8] = ["null", "1", "-2", "[1,2]", "[1,null]", "[[1]]", "\"a\"", "[]"];
    let mut file = String::from(if format == Format::Keelhaul { KEELHAUL[0] } else { "" });
    let (mut processes, mut fresh) = ([0, 1, 2, 3], 4);
    let mut open = [None; 4];
    for index in 0..bytes.below(30) {
        let client = bytes.below(open.len());
        let process = processes[client];
        let (kind, f) = match open[client].take() {
            Some(f) => (bytes.one_of(&["ok", "ok", "fail", "info"]), f),
            None => ("invoke", bytes.one_of(&["read", "read", "write", "cas"])),
        };
        if kind == "invoke" {
            open[client] = Some(f);
        } else if kind == "info" {
            processes[client] = fresh;
            fresh += 1;
        }
        let value = bytes.one_of(&VALUES);
        let edn = value.replace("null", "nil").replace(',', " ");
        file += &match format {
            Format::Keelhaul => format!(
                "{{\"index\":{index},\"time\":{index},\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\",\"value\":{value}}}\n"
            ),
            Format::Json => format!(
                "{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":{value}}}\n"
            ),
            Format::Edn => {
                format!("{{:process {process}, :type :{kind}, :f :{f}, :value {edn}}}\n")
            }
            Format::JepsenText => format!("{process}\t:{kind}\t:{f}\t{edn}\n"),
            Format::PorcupineEtcd => format!("INFO - {process}\t:{kind}\t:{f}\t{edn}\n"),
            _ => unreachable!("a history of sessions"),
        };
    }
    file.into_bytes()
}

/// Imports the file that the bytes stand for.
fn import(format: Format, pieces: &[&str], bytes: &[u8]) -> Told {
    let mut bytes = Bytes(bytes);
    let independent =
        bytes.one_of(&[Independent::Guess, Independent::No, Independent::Yes, Independent::No]);
    let step = bytes.below(40) + 1;
    let file = file(format, pieces, &mut bytes);
    let strict = Options { independent, repair: false };
    let repair = Options { independent, repair: true };
    let imported = open_all(&file[..], Some(format), strict);
    let slow = open_all(Slow { bytes: &file, step }, Some(format), strict);
    assert_eq!(told(&imported), told(&slow), "it depends on how the bytes arrive");
    let mended = open_all(&file[..], Some(format), repair);
    let _ = open_all(&file[..], None, strict);
    for result in [&imported, &mended] {
        match result {
            Ok(imported) => is_a_history(imported),
            Err(error) => names_a_line(error, &file),
        }
    }
    if format == Format::Keelhaul {
        prefixes(&file);
    }
    let Ok(imported) = imported else { return "refused" };
    let mended = mended.unwrap_or_else(|error| panic!("accepted, but not repaired: {error}"));
    if imported.ending == (Ending::Unsealed { torn_tail: true }) {
        // A last line may lack nothing but its newline, which repairing does not ask for.
        assert!(mended.ops.starts_with(&imported.ops));
    } else if imported.notes.is_empty() {
        assert_eq!((&imported.ops, &imported.lines), (&mended.ops, &mended.lines));
        assert_eq!(mended.notes, [""; 0]);
    }
    if imported.ops.is_empty() { "empty" } else { "accepted" }
}

/// Ops, their lines, and notes.
type Comparable<'a> = (&'a [Op], &'a [u64], &'a [String]);

/// What can be compared of a result.
fn told(result: &Result<Imported, ReadError>) -> Result<Comparable<'_>, String> {
    match result {
        Ok(imported) => Ok((&imported.ops, &imported.lines, &imported.notes)),
        Err(error) => Err(error.to_string()),
    }
}

fn names_a_line(error: &ReadError, file: &[u8]) {
    let (ReadError::Malformed { line, .. } | ReadError::Io { line, .. }) = error;
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!((1..=lines).contains(line), "line {line} of {lines}: {error}");
}

/// Our own reader takes what was imported, and gives it back.
fn is_a_history(imported: &Imported) {
    let again = read(&written(&imported.header, &imported.ops)).expect("it is right");
    assert_eq!(again, imported.ops);
    assert_eq!(imported.lines.len(), imported.ops.len());
    assert!(imported.lines.is_sorted() || !imported.notes.is_empty(), "{:?}", imported.lines);
}

fn written(header: &Header, ops: &[Op]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header).expect("memory takes all");
    for op in ops {
        writer.append(op).expect("memory takes all");
    }
    writer.seal().expect("memory takes all")
}

fn read(file: &[u8]) -> Result<Vec<Op>, ReadError> {
    Reader::new(file)?.read_all()
}

/// A file of ours that is right is right wherever it is cut behind its header, if it has no seal: a run can be killed
/// at any moment.
fn prefixes(file: &[u8]) {
    let Ok(ops) = read(file) else { return };
    let sealed = written(&Header::new("store", "workload"), &ops);
    assert_eq!(read(&sealed).expect("it is right"), ops);
    let header = 1 + sealed.iter().position(|byte| *byte == b'\n').expect("a header");
    // Some fifty of all places: a reader's buffer is large, and filling it with zeros is most of the work.
    for cut in (header..sealed.len()).step_by(1 + sealed.len() / 50) {
        let whole = sealed[header..cut].iter().filter(|byte| **byte == b'\n').count();
        let prefix = read(&sealed[..cut]).expect("a prefix is right");
        assert_eq!(prefix, ops[..whole.min(ops.len())]);
    }
}

const EDN: &[&str] = &[
    "{:process 0, :type :invoke, :f :write, :value 1}\n",
    "{:process 0, :type :ok, :f :write, :value 1}\n",
    "{:process 1, :type :invoke, :f :read, :value nil}\n",
    "{:process 1, :type :ok, :f :read, :value [1 #{3 2} {:a 1 \"b\" nil}]}\n",
    "{:process 1, :type :info, :f :read, :error [:timed-out 1]}\n",
    "{:process 0, :type :fail, :f :write, :error \"no\"}\n",
    "{:process :nemesis, :type :info, :f :start, :value nil}\n",
    "{:process 2, :type :invoke, :f :cas, :value [5 [1 2]], :time 10, :index 7}\n",
    "#jepsen.history.Op{:process 3, ",
    ":type :invoke, ",
    ":type :ok, ",
    ":f :read, ",
    ":value ",
    ":time ",
    ":index ",
    "12",
    "-3",
    "1/2",
    "0x1F",
    "1e3",
    "99999999999999999999",
    "nil",
    "true",
    ":key",
    "\"te\\nxt\u{e9}\"",
    "\\newline",
    "#{1 2}",
    "#:a{:b 1}",
    "^{:m 1} ",
    "#_ ",
    "#\"re\\\"gex\"",
    "#'var",
    "; comment\n",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    " ",
    ",",
    "\r\n",
    "\u{feff}",
    "\"",
];

const JSON: &[&str] = &[
    "{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n",
    "{\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"value\":1}\n",
    "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"value\":null}\n",
    "{\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"value\":[1,{\"b\":1,\"a\":[2.5]}]}\n",
    "{\"process\":1,\"type\":\"info\",\"f\":\"read\",\"error\":[\"timeout\",1]}\n",
    "{\"process\":\"nemesis\",\"type\":\"info\",\"f\":\"start\"}\n",
    "{\"process\":2,\"type\":\"invoke\",\"f\":\"cas\",\"value\":[5,[1,2]],\"time\":10,\"index\":7}\n",
    "{\"process\":3,",
    "\"type\":\"invoke\",",
    "\"type\":\"\\u006fk\",",
    "\"f\":\"read\",",
    "\"value\":",
    "\"time\":",
    "\"index\":",
    "12",
    "-0",
    "1.5e9",
    "99999999999999999999",
    "null",
    "true",
    "\"te\\nxt\u{e9}\\ud83d\\ude00\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\r\n",
    "\u{feff}",
    "\"",
];

const TEXT: &[&str] = &[
    "0 :invoke :write 1\n",
    "0 :ok :write 1\n",
    "1\t:invoke\t:read\tnil\n",
    "1 :ok :read [1 2]\n",
    "1 :info :read :timed-out\n",
    "2 :invoke :cas [1 2]\n",
    "2 :fail :cas [1 2] :conflict\n",
    ":nemesis :info :start \"cut {:n1 #{:n2}}\"\n",
    "3 ",
    ":invoke ",
    ":ok ",
    ":read ",
    "nil",
    "7",
    "\"",
    "[",
    "]",
    "{",
    "}",
    " ; ",
    " ",
    "\n",
    "\r\n",
    "\u{feff}",
];

const LOG: &[&str] = &[
    "INFO  jepsen.util - 0 :invoke :write 1\n",
    "INFO  jepsen.util - 0 :ok :write 1\n",
    "INFO - 1 :invoke :read nil\n",
    "INFO - 1 :ok :read 1\n",
    "INFO - 1 :info :read :timed-out\n",
    "INFO - 2 :invoke :cas [1 2]\n",
    "INFO - 2 :fail :cas [1 2]\n",
    "INFO [x] worker - jepsen.util 3 :invoke :read nil\n",
    "INFO ",
    " - ",
    "jepsen.util ",
    "3 ",
    ":ok ",
    ":read ",
    "nil",
    "\"",
    "[",
    "]",
    "\n",
    "\r\n",
    "\u{e9}",
];

const KEELHAUL: &[&str] = &[
    "{\"keelhaul\":1,\"store\":\"raft\",\"workload\":\"register\"}\n",
    "{\"index\":0,\"time\":10,\"type\":\"invoke\",\"process\":0,\"f\":\"write\",\"key\":0,\"value\":1}\n",
    "{\"index\":1,\"time\":20,\"type\":\"ok\",\"process\":0,\"f\":\"write\",\"key\":0,\"value\":1}\n",
    "{\"index\":1,\"time\":20,\"type\":\"info\",\"process\":0,\"f\":\"write\",\"key\":0,\"value\":1,\"error\":\"timeout\"}\n",
    "{\"index\":2,\"time\":20,\"type\":\"invoke\",\"process\":1,\"f\":\"read\",\"key\":0,\"value\":null,\"node\":\"n1\"}\n",
    "{\"index\":3,\"time\":30,\"type\":\"ok\",\"process\":1,\"f\":\"read\",\"key\":0,\"value\":1}\n",
    "{\"index\":4,\"time\":30,\"type\":\"invoke\",\"process\":\"nemesis\",\"f\":\"inject\",\"value\":{\"kind\":\"kill\"}}\n",
    "{\"index\":0,\"time\":10,\"type\":\"invoke\",\"process\":0,\"f\":\"w\\u0072ite\",\"value\":[1,[2]]}\n",
    "{ \"time\":10, \"index\":0, \"type\":\"invoke\", \"process\":0, \"f\":\"cas\", \"value\":[1,2] }\n",
    "{\"seal\":{\"count\":2,\"crc32\":\"00000000\"}}\n",
    "{\"index\":",
    "5,\"time\":40,",
    "\"type\":\"ok\",",
    "\"process\":1,",
    "\"f\":\"read\"",
    ",\"value\":",
    "}",
    "[",
    "]",
    "\"",
    "\n",
    "\u{feff}",
];

const PLUME: &[&str] = &[
    "r(1,0,0,0)\n",
    "w(1,1,0,0)\n",
    "r(1,1,1,1)\r\n",
    "w(2,1,0,-1)\n",
    "w(2, 7, 3, 9)\n",
    "r(",
    "w(",
    ",",
    "-",
    "0",
    "12",
    "99999999999999999999",
    ")",
    " ",
    "\n",
    "\u{e9}",
];

const DBCOP: &[&str] = &[
    "{\"params\":{\"id\":0},\"data\":",
    "{\"data\":",
    "{\"events\":[[\"r\",1,null],[\"w\",1,2]],\"committed\":true}",
    "{\"events\":[{\"Write\":{\"variable\":0,\"version\":1}}],\"committed\":false}",
    "{\"events\":[{\"write\":true,\"variable\":0,\"value\":1,\"success\":true}],\"success\":true}",
    "[\"r\",1,2]",
    "{\"Read\":{\"variable\":\"x\",\"version\":null}}",
    "[[",
    "]]",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "null",
    "1.5",
    "\"",
    "\n",
];

/// Of files that are no text.
const NUMBERS: &[&str] = &[
    "\0\0\0\0\0\0\0\0",
    "\u{1}\0\0\0\0\0\0\0",
    "\0\0\0\0\0\0\0\u{1}",
    "\u{2}\0\0\0\0\0\0\0",
    "\u{1}",
    "\0",
    "S",
    "R",
    "W",
    "C",
    "A",
    "\n",
];
