//! Histories of transactions by session, in every format for them.

use keelhaul_history::import::{Format, SESSION_END};

use crate::bytes::Bytes;

struct Op {
    write: bool,
    key: u64,
    value: u64,
}

struct Txn {
    ops: Vec<Op>,
    committed: bool,
}

/// A file of such a format that is right.
pub fn right(format: Format, bytes: &mut Bytes<'_>) -> Vec<u8> {
    let sessions: Vec<Vec<Txn>> =
        (0..bytes.below(4)).map(|_| (0..bytes.below(4)).map(|_| txn(bytes)).collect()).collect();
    match format {
        Format::Plume => plume(&sessions),
        Format::Dbcop => json(&sessions),
        Format::DbcopBincode => bincode(&sessions),
        _ => cobra(&sessions),
    }
}

fn txn(bytes: &mut Bytes<'_>) -> Txn {
    let mut op = || Op {
        write: bytes.below(2) == 0,
        key: bytes.below(3) as u64,
        value: 1 + bytes.below(5) as u64,
    };
    let ops = vec![op(), op(), op()];
    Txn { ops, committed: bytes.below(5) > 0 }
}

fn plume(sessions: &[Vec<Txn>]) -> Vec<u8> {
    let (mut file, mut number) = (String::new(), 0);
    for (session, txns) in sessions.iter().enumerate() {
        for txn in txns {
            let shown = if txn.committed { number } else { -1 };
            for Op { write, key, value } in &txn.ops {
                let does = if *write { 'w' } else { 'r' };
                file += &format!("{does}({key},{value},{session},{shown})\n");
            }
            number += 1;
        }
    }
    file.into_bytes()
}

fn json(sessions: &[Vec<Txn>]) -> Vec<u8> {
    let event = |Op { write, key, value }: &Op| {
        format!("[\"{}\",{key},{value}]", if *write { 'w' } else { 'r' })
    };
    let txn = |txn: &Txn| {
        let events: Vec<String> = txn.ops.iter().map(event).collect();
        format!("{{\"events\":[{}],\"committed\":{}}}", events.join(","), txn.committed)
    };
    let session =
        |txns: &Vec<Txn>| format!("[{}]", txns.iter().map(txn).collect::<Vec<_>>().join(",\n"));
    let data: Vec<String> = sessions.iter().map(session).collect();
    format!("{{\"data\":[{}]}}", data.join(",")).into_bytes()
}

fn bincode(sessions: &[Vec<Txn>]) -> Vec<u8> {
    let mut file = Vec::new();
    let number = |file: &mut Vec<u8>, number: u64| file.extend(number.to_le_bytes());
    (0..8).for_each(|_| number(&mut file, 0));
    number(&mut file, sessions.len() as u64);
    for txns in sessions {
        number(&mut file, txns.len() as u64);
        for txn in txns {
            number(&mut file, txn.ops.len() as u64);
            for op in &txn.ops {
                file.push(op.write.into());
                number(&mut file, op.key);
                number(&mut file, op.value);
                file.push(1);
            }
            file.push(txn.committed.into());
        }
    }
    file
}

fn cobra(sessions: &[Vec<Txn>]) -> Vec<u8> {
    let mut file = Vec::new();
    let entry = |file: &mut Vec<u8>, letter: u8, numbers: &[u64]| {
        file.push(letter);
        numbers.iter().for_each(|number| file.extend(number.to_be_bytes()));
    };
    for txns in sessions {
        for txn in txns {
            entry(&mut file, b'S', &[1]);
            for Op { write, key, value } in &txn.ops {
                match write {
                    true => entry(&mut file, b'W', &[*value, *key, 0]),
                    false => entry(&mut file, b'R', &[1, *value, *key, 0]),
                }
            }
            entry(&mut file, if txn.committed { b'C' } else { b'A' }, &[1]);
        }
        file.push(SESSION_END);
    }
    file
}
