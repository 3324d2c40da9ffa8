//! What is written is read back, whatever it holds and wherever it was cut.

mod common;

use std::cell::RefCell;
use std::io::{self, Read, Write};

use common::{LINES, file, header, read, sealed};
use keelhaul_history::{Ending, F, Kind, NodeId, Op, Process, Reader, Value, Writer};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-5i64..5).prop_map(Value::Int),
        vec(any::<char>(), 0..6).prop_map(|cs| Value::from(cs.into_iter().collect::<String>())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(vec(any::<char>(), 0..3).prop_map(String::from_iter), inner, 0..4)
                .prop_map(|map| Value::Map(map.into_iter().map(|(k, v)| (k.into(), v)).collect()),),
        ]
    })
}

/// What one client op does: function, key, argument, outcome, result, node, error.
type Act = (u8, Option<Value>, Value, u8, Value, Option<u16>, Option<String>);

fn act() -> impl Strategy<Value = Act> {
    let text = vec(any::<char>(), 0..6).prop_map(String::from_iter);
    (
        0u8..4,
        proptest::option::of(value()),
        value(),
        0u8..3,
        value(),
        proptest::option::of(any::<u16>()),
        proptest::option::of(text),
    )
}

/// Lays the acts out as a well-formed history: processes take turns, infos retire them.
fn ops(acts: Vec<Act>) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    let mut next_process = 0;
    let mut free = Vec::new();
    for (f, key, argument, outcome, result, node, error) in acts {
        let process = free.pop().unwrap_or_else(|| {
            next_process += 1;
            next_process - 1
        });
        let index = ops.len() as u64;
        let invoke = Op {
            index,
            time_ns: index * 1_000_003,
            process: if f == 3 { Process::Nemesis } else { Process::Client(process) },
            kind: Kind::Invoke,
            f: [F::Read, F::Write, F::Cas, F::from("inject \"\\\u{1}é")][usize::from(f)].clone(),
            key,
            value: argument,
            node: node.map(NodeId),
            error: None,
        };
        let kind = [Kind::Ok, Kind::Fail, Kind::Info][usize::from(outcome)];
        let error = error.map(Into::into);
        let completion = Op {
            index: index + 1,
            time_ns: (index + 1) * 1_000_003,
            kind,
            value: result,
            error,
            ..invoke.clone()
        };
        if f == 3 || kind != Kind::Info {
            free.push(process);
        }
        ops.extend([invoke, completion]);
    }
    ops
}

/// Hands out a few bytes at a time, so that lines straddle every boundary.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(buf.len()).min(self.0.len());
        buf[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(acts in vec(act(), 0..12), step in 1usize..40) {
        let ops = ops(acts);
        let bytes = sealed(&ops);
        let mut reader = Reader::new(Trickle(&bytes, step)).unwrap();
        prop_assert_eq!(reader.read_all().unwrap(), ops);
        prop_assert_eq!(reader.ending(), Some(Ending::Sealed));
        prop_assert_eq!(reader.header(), &header());
    }

    /// The general parser agrees with the one for our own order, and with `serde_json` on what a line says.
    #[test]
    fn any_field_order(acts in vec(act(), 1..3), rotation in 0usize..9) {
        let ops = ops(acts);
        let text = String::from_utf8(sealed(&ops)).unwrap();
        let lines: Vec<String> = text.lines().skip(1).take(ops.len()).map(|line| {
            let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            let mut fields: Vec<String> = map
                .iter()
                .map(|(name, value)| format!(" {}\t: {value} ", serde_json::Value::from(name.as_str())))
                .collect();
            fields.push(r#""extra" : {"a":[1.5e-3,-0.0,{"b":null}]}"#.into());
            let middle = rotation % fields.len();
            fields.rotate_left(middle);
            format!(" {{{}}} ", fields.join(","))
        }).collect();
        let (again, ending) = read(&file(&lines)).unwrap();
        prop_assert_eq!(again, ops);
        prop_assert_eq!(ending, Ending::Unsealed { torn_tail: false });
    }

    /// Whatever bytes come, the reader answers and does not panic.
    #[test]
    fn arbitrary_bytes(mut bytes in vec(any::<u8>(), 0..200), at in 0usize..900) {
        let _ = read(&bytes);
        let mut whole = file(&LINES);
        let at = at.min(whole.len() - 1);
        whole.splice(at..(at + bytes.len()).min(whole.len()), bytes.drain(..));
        let _ = read(&whole);
    }
}

#[test]
fn lines_are_exactly_as_documented() {
    let (ops, _) = read(&file(&LINES)).unwrap();
    let text = String::from_utf8(sealed(&ops)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1..9], LINES);
    assert!(lines[9].starts_with(r#"{"seal":{"count":8,"crc32":""#), "{}", lines[9]);
    assert_eq!(lines.len(), 10);
}

#[test]
fn completions_name_their_invocation() {
    let bytes = file(&LINES);
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let mut invoked = Vec::new();
    while let Some(op) = reader.next_op().unwrap() {
        invoked.push(op.invoked.map(|i| (i.index, i.time_ns)));
    }
    let expected = [None, None, None, Some((0, 100)), Some((1, 200)), Some((2, 300))];
    assert_eq!(invoked[..6], expected);
}

#[test]
fn killed_at_every_byte() {
    let (ops, _) = read(&file(&LINES)).unwrap();
    let bytes = sealed(&ops);
    let newlines = |prefix: &[u8]| prefix.iter().filter(|b| **b == b'\n').count();
    for len in 0..bytes.len() {
        let prefix = &bytes[..len];
        let Some(whole) = newlines(prefix).checked_sub(1) else {
            let problem = read(prefix).unwrap_err().to_string();
            assert!(problem.contains("before its header line is complete"), "{problem}");
            continue;
        };
        let (found, ending) = read(prefix).unwrap();
        assert_eq!(found, ops[..whole], "cut after {len} bytes");
        assert_eq!(ending, Ending::Unsealed { torn_tail: prefix[len - 1] != b'\n' });
    }
    assert_eq!(read(&bytes).unwrap(), (ops, Ending::Sealed));
}

/// A disk with room for a while, that takes what fits and then refuses.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = buf.len().min(self.room - self.bytes.len());
        if n == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn full_disk_loses_nothing_already_written() {
    let (ops, _) = read(&file(&LINES)).unwrap();
    let whole = sealed(&ops);
    let header_len = file::<&str>(&[]).len();
    for room in header_len..whole.len() {
        let mut disk = Disk { bytes: Vec::new(), room };
        let mut writer = Writer::new(&mut disk, &header()).unwrap();
        let mut refused = 0;
        for op in &ops {
            writer.append(op).unwrap();
            refused += usize::from(writer.flush().is_err());
        }
        let Err(e) = writer.seal() else { panic!("a seal does not fit in {room} bytes") };
        assert_eq!(e.source.kind(), io::ErrorKind::StorageFull);
        drop(e);
        assert_eq!(disk.bytes, whole[..room], "after {refused} refusals");
        let (found, ending) = read(&disk.bytes).unwrap();
        assert_eq!(found, ops[..found.len()]);
        assert!(matches!(ending, Ending::Unsealed { .. }));
    }
}

/// Once armed takes a few bytes at a time and refuses every third call: nothing may be lost or doubled.
#[derive(Default)]
struct Flaky {
    bytes: Vec<u8>,
    calls: Option<usize>,
}

struct Shared<'a>(&'a RefCell<Flaky>);

impl Write for Shared<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut guard = self.0.borrow_mut();
        let flaky = &mut *guard;
        let mut len = buf.len();
        if let Some(calls) = &mut flaky.calls {
            *calls += 1;
            if calls.is_multiple_of(3) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            len = len.min(17);
        }
        flaky.bytes.extend_from_slice(&buf[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn refused_writes_continue_where_they_stopped() {
    let (ops, _) = read(&file(&LINES)).unwrap();
    let disk = RefCell::new(Flaky::default());
    let mut writer = Writer::new(Shared(&disk), &header()).unwrap();
    disk.borrow_mut().calls = Some(0);
    let mut refused = 0;
    for op in &ops {
        writer.append(op).unwrap();
        refused += usize::from(writer.flush().is_err());
    }
    let mut result = writer.seal();
    while let Err(e) = result {
        refused += 1;
        assert!(refused < 100, "the writer makes no progress");
        result = e.writer.seal();
    }
    assert!(refused > 8, "the disk refused only {refused} times");
    assert_eq!(disk.borrow().bytes, sealed(&ops));
}

#[test]
fn large_histories_leave_in_chunks() {
    let (small, _) = read(&file(&LINES[..2])).unwrap();
    let mut ops = Vec::new();
    for index in 0..4_000u64 {
        let mut op = small[0].clone();
        op.index = index;
        op.time_ns = index;
        op.process = Process::Client(index as u32);
        ops.push(op);
    }
    assert_eq!(read(&sealed(&ops)).unwrap(), (ops, Ending::Sealed));
}
