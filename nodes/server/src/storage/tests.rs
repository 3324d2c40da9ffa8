//! The data directory as a whole, and the thread that works on it.

use std::fs;
use std::sync::Arc;

use keelhaul_protocol::api::{Entry, NodeId, Payload, Term};
use keelhaul_protocol::raft::{HardState, Message};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

type Storage = super::Storage<Message>;
type Command = super::Command<Message>;

const IDENTITY: Identity = Identity { protocol: "raft", node: 1, cluster: 9 };

fn open(directory: &TempDir) -> Result<(Storage, Stored<Message>, Recovery), StorageError> {
    Storage::open(RealDisk, None, directory.path(), &IDENTITY, 256)
}

fn refusal(directory: &TempDir, identity: &Identity) -> String {
    Storage::open(RealDisk, None, directory.path(), identity, 256).expect_err("refused").to_string()
}

fn snapshot(last: u64) -> Snapshot<Term> {
    let data = Arc::from(last.to_string().into_bytes());
    Snapshot { last_index: LogIndex(last), last_era: Term(1), data }
}

fn save(storage: &mut Storage, last: u64, keep_log: bool) {
    let log_from = LogIndex(last + 1);
    storage
        .apply(Command::Snapshot { snapshot: snapshot(last), log_from, keep_log })
        .expect("saves");
}

fn append(range: std::ops::RangeInclusive<u64>) -> Command {
    let entry = |index| Entry { index: LogIndex(index), term: Term(1), payload: Payload::Noop };
    Command::Append(range.map(entry).collect())
}

fn snapshot_files(directory: &TempDir) -> Vec<String> {
    Files::real().names(&directory.path().join("snapshots")).expect("lists")
}

#[test]
fn a_new_directory_is_blank_and_stays_whose_it_is() {
    let directory = TempDir::new().expect("a directory");
    let nested = directory.path().join("a/b");
    let (storage, stored, recovery) =
        Storage::open(RealDisk, None, &nested, &IDENTITY, 256).expect("makes it");
    assert_eq!((stored, recovery.entries), (Stored::default(), 0));
    drop(storage);
    let other = Identity { node: 2, ..IDENTITY };
    let error =
        Storage::open(RealDisk, None, &nested, &other, 256).expect_err("refused").to_string();
    assert!(
        error.contains("node 1 of cluster 9\", not") && error.contains("node 2 of cluster 9"),
        "{error}"
    );
    Storage::open(RealDisk, None, &nested, &IDENTITY, 256).expect("its own");
}

#[test]
fn a_directory_serves_one_process_at_a_time() {
    let directory = TempDir::new().expect("a directory");
    let first = open(&directory).expect("opens");
    assert!(refusal(&directory, &IDENTITY).contains("in use by another process"));
    drop(first);
    open(&directory).expect("free again");
}

#[test]
fn a_directory_that_lost_its_log_or_its_identity_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let (mut storage, ..) = open(&directory).expect("opens");
    storage.apply(append(1..=3)).expect("appends");
    storage.sync().expect("syncs");
    drop(storage);
    let identity = directory.path().join("identity");
    let saved = fs::read(&identity).expect("reads");
    fs::remove_file(&identity).expect("removes");
    assert!(refusal(&directory, &IDENTITY).contains("is missing (the log is not empty)"));
    fs::write(&identity, saved).expect("writes");
    open(&directory).expect("whole again");
    fs::remove_dir_all(directory.path().join("log")).expect("removes");
    assert!(refusal(&directory, &IDENTITY).contains("is missing (the log has no segment)"));
}

#[test]
fn a_first_start_cut_short_is_repeated() {
    let directory = TempDir::new().expect("a directory");
    drop(open(&directory).expect("opens"));
    fs::remove_file(directory.path().join("identity")).expect("removes");
    open(&directory).expect("nothing was recorded yet");
}

#[test]
fn a_snapshot_comes_back_and_replaces_the_one_before_once_it_is_durable() {
    let directory = TempDir::new().expect("a directory");
    let (mut storage, ..) = open(&directory).expect("opens");
    storage.apply(append(1..=20)).expect("appends");
    save(&mut storage, 5, true);
    storage.sync().expect("syncs");
    save(&mut storage, 12, true);
    assert_eq!(snapshot_files(&directory).len(), 2, "the new one's marker is not durable");
    storage.sync().expect("syncs");
    assert_eq!(snapshot_files(&directory).len(), 1);
    drop(storage);
    let (_, stored, recovery) = open(&directory).expect("opens");
    assert_eq!(stored.snapshot, Some(snapshot(12)));
    assert_eq!(stored.entries.first().map(|entry| entry.index), Some(LogIndex(13)));
    assert_eq!((recovery.entries, recovery.snapshot_index), (8, 12));
}

#[test]
fn a_snapshot_file_that_the_log_does_not_name_is_no_snapshot() {
    let directory = TempDir::new().expect("a directory");
    drop(open(&directory).expect("opens"));
    snapshot::write(&Files::real(), &directory.path().join("snapshots"), &snapshot(5))
        .expect("writes");
    let (_, stored, _) = open(&directory).expect("opens");
    assert_eq!(stored, Stored::default());
    assert!(snapshot_files(&directory).is_empty());
}

#[test]
fn a_damaged_or_missing_snapshot_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let (mut storage, ..) = open(&directory).expect("opens");
    save(&mut storage, 5, false);
    storage.sync().expect("syncs");
    drop(storage);
    let path = directory.path().join("snapshots").join(&snapshot_files(&directory)[0]);
    let whole = fs::read(&path).expect("reads");
    for position in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        fs::write(&path, damaged).expect("damages");
        assert!(refusal(&directory, &IDENTITY).contains("is corrupt"), "byte {position}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).expect("cuts");
        assert!(refusal(&directory, &IDENTITY).contains("is corrupt"), "cut to {length}");
    }
    fs::remove_file(&path).expect("removes");
    assert!(refusal(&directory, &IDENTITY).contains("is missing (the log names this snapshot)"));
}

/// All reports of a worker that was given these commands and then left.
fn work(storage: Storage, commands: impl IntoIterator<Item = Command>) -> Vec<Report> {
    let (reports, mut queue): (_, UnboundedReceiver<Report>) = unbounded_channel();
    let worker = Worker::spawn(storage, reports).expect("a thread");
    commands.into_iter().for_each(|command| worker.send(command));
    drop(worker);
    std::iter::from_fn(|| queue.blocking_recv()).collect()
}

#[test]
fn the_worker_reports_tickets_in_order_up_to_the_last() {
    let directory = TempDir::new().expect("a directory");
    let (storage, ..) = open(&directory).expect("opens");
    let commands =
        (1..=200).flat_map(|number| [append(number..=number), Command::Sync(SyncTicket(number))]);
    let tickets: Vec<_> =
        work(storage, commands).into_iter().map(|report| report.expect("works").0).collect();
    assert!(tickets.is_sorted());
    assert_eq!(tickets.last(), Some(&200));
    assert_eq!(open(&directory).expect("opens").1.entries.len(), 200);
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged() {
    let directory = TempDir::new().expect("a directory");
    let (mut storage, ..) = open(&directory).expect("opens");
    storage.wal.break_for_test();
    let hard_state = HardState { term: Term(1), vote: Some(NodeId(1)) };
    let commands = [
        Command::HardState(hard_state),
        Command::Sync(SyncTicket(1)),
        append(1..=1),
        Command::Sync(SyncTicket(2)),
    ];
    let reports = work(storage, commands);
    assert_eq!(reports.len(), 1);
    let error = reports[0].as_ref().expect_err("the disk failed").to_string();
    assert!(error.starts_with("cannot append to"), "{error}");
}
