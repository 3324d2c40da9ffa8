//! Histories for tests, small and written down.

use keelhaul_history::{Ending, Header, Op, ReadError, Reader, Writer};

/// The op lines of a small well-formed history, as the writer writes them.
pub const LINES: [&str; 8] = [
    r#"{"index":0,"time":100,"type":"invoke","process":0,"f":"write","key":3,"value":7,"node":"n1"}"#,
    r#"{"index":1,"time":200,"type":"invoke","process":1,"f":"read","key":3,"value":null,"node":"n2"}"#,
    r#"{"index":2,"time":300,"type":"invoke","process":"nemesis","f":"inject","value":{"fault":1,"kind":"kill"}}"#,
    r#"{"index":3,"time":400,"type":"info","process":0,"f":"write","key":3,"value":7,"node":"n1","error":"timeout"}"#,
    r#"{"index":4,"time":500,"type":"ok","process":1,"f":"read","key":3,"value":7,"node":"n2"}"#,
    r#"{"index":5,"time":500,"type":"ok","process":"nemesis","f":"inject","value":{"fault":1,"kind":"kill","label":"kill: n1","nodes":["n1"]}}"#,
    r#"{"index":6,"time":600,"type":"invoke","process":1,"f":"cas","key":3,"value":[7,8],"node":"n2"}"#,
    r#"{"index":7,"time":700,"type":"fail","process":1,"f":"cas","key":3,"value":[7,8],"node":"n2","error":"not \"leader\"\n"}"#,
];

pub fn header() -> Header {
    let mut header = Header::new("raft", "register");
    header.nodes = vec!["n1".into(), "n2".into()];
    header.seed = 42;
    header
}

/// A file of the header and these lines, each with its newline.
pub fn file<S: AsRef<str>>(lines: &[S]) -> Vec<u8> {
    let mut text = serde_json::to_string(&header()).expect("a header is JSON");
    text.push('\n');
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    text.into_bytes()
}

pub fn sealed(ops: &[Op]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).expect("memory takes all");
    for op in ops {
        writer.append(op).expect("memory takes all");
    }
    writer.seal().expect("memory takes all")
}

pub fn read(bytes: &[u8]) -> Result<(Vec<Op>, Ending), ReadError> {
    let mut reader = Reader::new(bytes)?;
    let ops = reader.read_all()?;
    Ok((ops, reader.ending().expect("the end was reached")))
}
