//! What the engine's benchmark records is a whole history: a benchmark that skipped work would be fast too.

use std::fs::File;
use std::path::Path;

use keelhaul_benches::noop::{record, register_work};
use keelhaul_history::{Ending, Kind, Reader};

#[test]
fn the_recorded_file_is_a_sealed_history_of_every_operation() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("noop-history.jsonl");
    let summary =
        record(&path, register_work(20_000, 3), 10, &mut |_| {}).expect("the disk has room");
    assert_eq!((summary.status.invoked, summary.status.ok), (20_000, 20_000));
    let mut reader = Reader::new(File::open(&path).expect("just written")).expect("a header");
    let history = reader.read_all().expect("well formed");
    assert_eq!(reader.ending(), Some(Ending::Sealed));
    assert_eq!(history.len(), 40_000);
    let words = ["read", "write", "cas"];
    for word in words {
        let count =
            history.iter().filter(|op| op.kind == Kind::Invoke && op.f.as_str() == word).count();
        assert!((6_000..7_400).contains(&count), "{word} {count}");
    }
    std::fs::remove_file(path).expect("just written");
}
