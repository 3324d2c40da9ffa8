//! Disks that fail, seen from outside the agent: by programs that use files, in namespaces of their own.
//!
//! Where the kernel lets us mount no FUSE file system in a user namespace, the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/damage.rs"]
mod damage;
#[path = "common/namespaces.rs"]
mod namespaces;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::thread;
use std::time::{Duration, Instant};

use common::agent::{self, Agent};
use keelhaul_agent::{
    Damaged, DiskDamage, DiskEffect, DiskFault, DiskOp, DiskReport, LostName, NameLoss, Naming,
    PowerLoss, Reply, Request,
};

const TESTS: [(&str, common::Test); 18] = [
    ("a_synced_file_survives_and_nothing_else_does", a_synced_file_survives_and_nothing_else_does),
    ("a_rename_without_a_sync_is_undone", a_rename_without_a_sync_is_undone),
    ("removed_is_not_gone_until_the_directory_is_synced", removed_is_not_gone_until_synced),
    ("a_journal_makes_names_durable_with_any_sync", a_journal_makes_names_durable_with_any_sync),
    ("synced_writes_and_mappings_are_durable", synced_writes_and_mappings_are_durable),
    ("a_torn_cut_keeps_a_part", a_torn_cut_keeps_a_part),
    ("programs_see_an_ordinary_file_system", programs_see_an_ordinary_file_system),
    ("a_sync_takes_the_asked_time", a_sync_takes_the_asked_time),
    ("a_stalled_disk_goes_on_when_healed", a_stalled_disk_goes_on_when_healed),
    ("errors_reach_the_program_until_healed", errors_reach_the_program_until_healed),
    ("a_disk_that_ignores_syncs_loses_what_was_synced", a_disk_that_ignores_syncs_loses),
    ("damage_is_where_it_says", damage_is_where_it_says),
    ("what_is_mended_is_as_it_was", damage::what_is_mended_is_as_it_was),
    ("misdirected_and_rewound_files_are_mended", damage::misdirected_and_rewound_files_are_mended),
    ("a_torn_write_leaves_its_first_half", damage::a_torn_write_leaves_its_first_half),
    ("losses_of_power_take_no_memory", losses_of_power_take_no_memory),
    ("the_end_of_the_stream_unmounts", the_end_of_the_stream_unmounts),
    ("a_killed_agent_leaves_nothing_that_hangs", a_killed_agent_leaves_nothing_that_hangs),
];

fn main() {
    if let Some(code) = agent::as_agent() {
        std::process::exit(code);
    }
    match namespaces::enter() {
        Ok(()) => common::run(&TESTS),
        Err(e) => {
            let _ =
                writeln!(io::stderr(), "disk tests are skipped: no FUSE in a user namespace: {e}");
        }
    }
}

/// A disk, and the agent that serves it.
struct Disk {
    agent: Agent,
    dir: PathBuf,
}

impl Disk {
    fn new(dir: &Path) -> Self {
        Self::with(dir, Naming::Strict)
    }

    fn with(dir: &Path, naming: Naming) -> Self {
        let mut agent = Agent::start(dir);
        let dir = dir.join("disk");
        let request = Request::MountDisk { dir: dir.to_str().unwrap().into(), naming };
        assert_eq!(agent.ask(request), Reply::Done);
        Self { agent, dir }
    }

    fn name(&self) -> String {
        self.dir.to_str().unwrap().into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes a file, or empties it, and writes; syncs nothing.
    fn write(&self, name: &str, text: &str) -> File {
        let mut file = File::create(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn write_synced(&self, name: &str, text: &str) {
        self.write(name, text).sync_all().unwrap();
        let path = self.path(name);
        self.sync_dir(path.parent().unwrap());
    }

    fn sync_dir(&self, dir: &Path) {
        File::open(dir).unwrap().sync_all().unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    fn power_cut(&mut self, torn: Option<u64>) -> PowerLoss {
        match self.agent.ask(Request::PowerCut { dir: self.name(), torn }) {
            Reply::PowerLost(loss) => loss,
            other => panic!("{other:?}"),
        }
    }

    fn faults(&mut self, faults: Vec<DiskFault>) -> DiskReport {
        match self.agent.ask(Request::DiskFaults { dir: self.name(), faults, seed: 7 }) {
            Reply::Disk(report) => report,
            other => panic!("{other:?}"),
        }
    }

    fn report(&mut self) -> DiskReport {
        match self.agent.ask(Request::DiskState { dir: self.name() }) {
            Reply::Disk(report) => report,
            other => panic!("{other:?}"),
        }
    }

    fn damage(&mut self, damage: DiskDamage, path_contains: &str) -> Vec<Damaged> {
        let path_contains = path_contains.to_owned();
        let request = Request::DamageDisk { dir: self.name(), damage, path_contains, seed: 3 };
        match self.agent.ask(request) {
            Reply::Damaged(damaged) => damaged,
            other => panic!("{other:?}"),
        }
    }

    fn end(mut self) {
        drop(self.agent.input);
        assert!(self.agent.child.wait().unwrap().success());
    }
}

fn a_synced_file_survives_and_nothing_else_does(dir: &Path) {
    fs::create_dir(dir.join("disk")).unwrap();
    fs::write(dir.join("disk/before"), "there before").unwrap();
    let mut disk = Disk::new(dir);
    disk.write_synced("synced", "kept");
    disk.write("synced-later-written", "first").sync_all().unwrap();
    disk.write("unnamed", "synced, but in a directory that was not").sync_all().unwrap();
    fs::create_dir(disk.path("directory")).unwrap();
    disk.write_synced("directory/inside", "of a directory without a durable name");
    assert_eq!(disk.report().unsynced_names, 3);
    assert_eq!(disk.read("unnamed").unwrap().len(), 39);
    let loss = disk.power_cut(None);
    let gone = |path: &str| LostName { path: path.into(), what: NameLoss::Gone };
    assert_eq!(loss.names, ["directory", "synced-later-written", "unnamed"].map(gone));
    assert_eq!(disk.read("before").unwrap(), "there before");
    assert_eq!(disk.read("synced").unwrap(), "kept");
    assert_eq!(disk.read("unnamed"), None);
    assert_eq!(fs::read_dir(&disk.dir).unwrap().count(), 2);
    // The next life: overwritten, appended, cut short.
    disk.write_synced("other", "0123456789");
    let file = OpenOptions::new().write(true).open(disk.path("synced")).unwrap();
    file.write_all_at(b"KEPT, but longer", 0).unwrap();
    let other = OpenOptions::new().write(true).open(disk.path("other")).unwrap();
    other.set_len(3).unwrap();
    assert_eq!(disk.read("synced").unwrap(), "KEPT, but longer");
    assert_eq!(disk.read("other").unwrap(), "012");
    let report = disk.report();
    assert_eq!((report.unsynced_files, report.unsynced_bytes), (2, 16 + 7));
    let loss = disk.power_cut(None);
    assert_eq!((loss.names_total, loss.files_total), (0, 2));
    assert_eq!(
        loss.data.iter().map(|data| (&data.path[..], &data.ranges[..])).collect::<Vec<_>>(),
        [("other", &[(3, 10)][..]), ("synced", &[(0, 16)][..]),]
    );
    assert_eq!(disk.read("synced").unwrap(), "kept");
    assert_eq!(disk.read("other").unwrap(), "0123456789");
    assert_eq!(disk.report().losses.len(), 2);
    // A descriptor from before the cut is of no use.
    assert_eq!(other.write_all_at(b"x", 0).unwrap_err().raw_os_error(), Some(libc::EIO));
    drop((file, other));
    disk.end();
}

fn a_rename_without_a_sync_is_undone(dir: &Path) {
    let mut disk = Disk::new(dir);
    disk.write_synced("current", "old");
    disk.write("next", "new").sync_all().unwrap();
    fs::rename(disk.path("next"), disk.path("current")).unwrap();
    assert_eq!(disk.read("current").unwrap(), "new");
    let loss = disk.power_cut(None);
    assert_eq!(loss.names, [LostName { path: "current".into(), what: NameLoss::Undone }]);
    assert_eq!(disk.read("current").unwrap(), "old");
    assert_eq!(disk.read("next"), None);
    // Renamed over without syncing the new content: the name is durable, the content is not.
    disk.write("next", "new");
    fs::rename(disk.path("next"), disk.path("current")).unwrap();
    disk.sync_dir(&disk.dir.clone());
    disk.power_cut(None);
    assert_eq!(disk.read("current").unwrap(), "");
    // As it should be done.
    disk.write("next", "new").sync_data().unwrap();
    fs::rename(disk.path("next"), disk.path("current")).unwrap();
    disk.sync_dir(&disk.dir.clone());
    assert!(disk.power_cut(None).is_empty());
    assert_eq!(disk.read("current").unwrap(), "new");
    disk.end();
}

fn removed_is_not_gone_until_synced(dir: &Path) {
    let mut disk = Disk::new(dir);
    fs::create_dir(disk.path("d")).unwrap();
    disk.write_synced("d/f", "back");
    disk.sync_dir(&disk.dir.clone());
    fs::remove_file(disk.path("d/f")).unwrap();
    fs::remove_dir(disk.path("d")).unwrap();
    assert!(!disk.path("d").exists());
    disk.power_cut(None);
    assert_eq!(disk.read("d/f").unwrap(), "back");
    fs::remove_file(disk.path("d/f")).unwrap();
    disk.sync_dir(&disk.path("d"));
    disk.power_cut(None);
    assert!(disk.path("d").is_dir() && !disk.path("d/f").exists());
    disk.end();
}

fn a_journal_makes_names_durable_with_any_sync(dir: &Path) {
    let mut disk = Disk::with(dir, Naming::Journaled);
    disk.write("f", "kept").sync_all().unwrap();
    disk.write("g", "gone");
    let loss = disk.power_cut(None);
    assert_eq!(loss.names, [LostName { path: "g".into(), what: NameLoss::Gone }]);
    assert_eq!(disk.read("f").unwrap(), "kept");
    disk.end();
}

/// A C library's `mmap` is not at hand: Python's is, where there is Python.
const MAPPED: &str = "import mmap,sys
f=open(sys.argv[1],'r+b')
m=mmap.mmap(f.fileno(),0)
m[0:6]=b'SYNCED'
m.flush()
m[4096:4102]=b'LATER!'
assert m[4096:4102]==b'LATER!'
m.close()
";

fn synced_writes_and_mappings_are_durable(dir: &Path) {
    let mut disk = Disk::new(dir);
    for (name, flag) in [("dsync", libc::O_DSYNC), ("sync", libc::O_SYNC)] {
        disk.write_synced(name, "");
        let mut options = OpenOptions::new();
        let mut file = options.append(true).custom_flags(flag).open(disk.path(name)).unwrap();
        let before = disk.report().syncs;
        file.write_all(b"by itself").unwrap();
        let report = disk.report();
        assert_eq!((report.unsynced_bytes, report.syncs - before), (0, 1), "{name}");
    }
    disk.write_synced("mapped", &"-".repeat(8192));
    let python = Process::new("python3").args(["-c", MAPPED]).arg(disk.path("mapped")).status();
    let mapped = python.is_ok_and(|status| status.success());
    disk.power_cut(None);
    assert_eq!(disk.read("sync").unwrap(), "by itself");
    assert_eq!(disk.read("dsync").unwrap(), "by itself");
    if mapped {
        let text = disk.read("mapped").unwrap();
        assert_eq!((&text[..8], &text[4096..4102]), ("SYNCED--", "------"));
    } else {
        let _ = writeln!(io::stderr(), "shared mappings are not tested: no python3");
    }
    disk.end();
}

fn a_torn_cut_keeps_a_part(dir: &Path) {
    let mut disk = Disk::new(dir);
    let (mut whole, mut part) = (0, 0);
    for seed in 0..12 {
        disk.write_synced("f", "");
        disk.write("f", &"x".repeat(4096)).sync_all().unwrap();
        OpenOptions::new()
            .append(true)
            .open(disk.path("f"))
            .unwrap()
            .write_all(&[b'y'; 4096])
            .unwrap();
        disk.power_cut(Some(seed));
        let text = fs::read(disk.path("f")).unwrap();
        assert_eq!(&text[..4096], [b'x'; 4096], "what was synced stays");
        assert!(text[4096..].iter().all(|byte| [0, b'y'].contains(byte)));
        let kept = text[4096..].iter().filter(|&&byte| byte == b'y').count();
        whole += i32::from(kept == 0 || kept == 4096);
        part += i32::from(kept > 0 && kept < 4096);
    }
    assert!(whole > 0 && part > 0, "{whole} whole, {part} in part");
    disk.end();
}

/// What a program does that uses many functions of a file system; everything is relative to `$1`.
const ORDINARY: &str = "set -e; cd \"$1\"
mkdir -p a/b; echo one > a/f; echo two >> a/f; ln a/f a/b/g; ln -s ../f a/b/link; cat a/b/link
mv a/f a/h; test ! -e a/f; cat a/h a/b/g; stat -c '%h %s %a' a/h; chmod 640 a/h; touch -d @86400 a/h
stat -c '%a %Y' a/h; echo three > a/new; mv a/new a/h; cat a/h a/b/g; stat -c %h a/b/g
truncate -s 1000 a/h; stat -c %s a/h; truncate -s 2 a/h; od -c a/h; fallocate -l 5000 a/full; stat -c %s a/full
dd if=/dev/zero of=a/big bs=100k count=30 2>/dev/null; printf end | dd of=a/big bs=1 seek=50 conv=notrunc 2>/dev/null
cksum a/big; exec 3> a/held; rm a/held; echo held >&3; exec 3>&-; mkfifo a/pipe; test -p a/pipe
for i in $(seq 300); do : > a/b/n$i; done; ls a/b | wc -l; rm a/b/n*; ls -A a/b; ! rmdir a/b 2>/dev/null
cp -r a copy; find copy | sort; rm -r a copy; ls -A";

fn programs_see_an_ordinary_file_system(dir: &Path) {
    let plain = dir.join("plain");
    fs::create_dir(&plain).unwrap();
    let mut disk = Disk::new(dir);
    let run = |dir: &Path| {
        let output = Process::new("sh").args(["-c", ORDINARY, "sh"]).arg(dir).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert!(output.status.success(), "{}{}", text(output.stdout), text(output.stderr));
        text(output.stdout)
    };
    assert_eq!(run(&disk.dir), run(&plain));
    // None of it was synced, so none of it ever was.
    disk.power_cut(None);
    assert_eq!(fs::read_dir(&disk.dir).unwrap().count(), 0);
    disk.end();
}

/// How long a sync of a file takes.
fn sync_time(disk: &Disk) -> Duration {
    let file = disk.write("timed", "x");
    let started = Instant::now();
    file.sync_all().unwrap();
    started.elapsed()
}

fn a_sync_takes_the_asked_time(dir: &Path) {
    let asked = Duration::from_millis(1_500);
    let mut disk = Disk::new(dir);
    let slow = DiskEffect::Delay { ms: asked.as_millis() as u64 };
    disk.faults(vec![DiskFault::always(DiskOp::Sync, slow)]);
    let taken = sync_time(&disk);
    assert!(taken >= asked && taken < asked * 2, "{taken:?}");
    let (report, asked_us) = (disk.report(), asked.as_micros() as u64);
    assert_eq!((report.struck, report.syncs), (vec![1], 1));
    assert!(report.sync_us >= asked_us && report.slowest_sync_us == report.sync_us);
    disk.faults(Vec::new());
    assert!(sync_time(&disk) < asked);
    let report = disk.report();
    assert!(report.slowest_sync_us < asked_us && report.sync_us >= asked_us, "{report:?}");
    disk.end();
}

fn a_stalled_disk_goes_on_when_healed(dir: &Path) {
    let mut disk = Disk::new(dir);
    disk.faults(vec![DiskFault::always(DiskOp::Sync, DiskEffect::Stall)]);
    let file = disk.write("f", "x");
    let sync = thread::spawn(move || file.sync_all());
    common::eventually("the sync has reached the disk", || disk.report().struck == [1]);
    // Others go on, and the sync does not end.
    disk.write("g", "y");
    assert_eq!(disk.read("g").unwrap(), "y");
    assert!(!sync.is_finished());
    assert_eq!(disk.agent.ask(Request::HealAll), Reply::Done);
    sync.join().unwrap().unwrap();
    disk.end();
}

fn errors_reach_the_program_until_healed(dir: &Path) {
    let mut disk = Disk::new(dir);
    disk.write_synced("f", "text");
    let check = |disk: &mut Disk, on: DiskOp, effect, error: Option<i32>| {
        let path_contains = "f".into();
        let fault = DiskFault { on: vec![on], path_contains, per_million: 1_000_000, effect };
        disk.faults(if error.is_some() { vec![fault] } else { Vec::new() });
        let number = |result: io::Result<()>| result.err().and_then(|e| e.raw_os_error());
        let file = OpenOptions::new().read(true).write(true).open(disk.path("f")).unwrap();
        let expected = |op| error.filter(|_| op == on);
        let mut byte = [0];
        assert_eq!(number((&file).read_exact(&mut byte)), expected(DiskOp::Read), "{effect:?}");
        assert_eq!(number(file.write_all_at(b"T", 0)), expected(DiskOp::Write), "{effect:?}");
        assert_eq!(number(file.sync_all()), expected(DiskOp::Sync), "{effect:?}");
        // Another path is not meant.
        assert_eq!(disk.write("other", "x").sync_all().err().map(|e| e.kind()), None);
    };
    for (on, effect, error) in [
        (DiskOp::Read, DiskEffect::IoError, libc::EIO),
        (DiskOp::Write, DiskEffect::IoError, libc::EIO),
        (DiskOp::Sync, DiskEffect::IoError, libc::EIO),
        (DiskOp::Write, DiskEffect::NoSpace, libc::ENOSPC),
    ] {
        check(&mut disk, on, effect, Some(error));
        check(&mut disk, on, effect, None);
    }
    let half =
        DiskFault { per_million: 500_000, ..DiskFault::always(DiskOp::Write, DiskEffect::IoError) };
    disk.faults(vec![half]);
    let file = OpenOptions::new().write(true).open(disk.path("f")).unwrap();
    let failed = (0..200).filter(|_| file.write_all_at(b"x", 0).is_err()).count();
    assert!((50..150).contains(&failed), "{failed} of 200");
    // What a failed sync was to make durable is not.
    disk.faults(vec![DiskFault::always(DiskOp::Sync, DiskEffect::IoError)]);
    file.write_all_at(b"lost", 0).unwrap();
    assert!(file.sync_all().is_err());
    disk.power_cut(None);
    assert_eq!(disk.read("f").unwrap(), "Text");
    drop(file);
    disk.end();
}

fn a_disk_that_ignores_syncs_loses(dir: &Path) {
    let mut disk = Disk::new(dir);
    disk.faults(vec![DiskFault::always(DiskOp::Sync, DiskEffect::IgnoreSync)]);
    disk.write_synced("f", "text");
    disk.power_cut(None);
    assert_eq!(disk.read("f"), None);
    disk.end();
}

fn damage_is_where_it_says(dir: &Path) {
    let mut disk = Disk::new(dir);
    let text = "0123456789abcdef".repeat(256);
    disk.write_synced("data", &text);
    disk.write_synced("other", "untouched");
    let differing = |disk: &Disk| -> Vec<u64> {
        let now = fs::read(disk.path("data")).unwrap();
        (0..)
            .zip(now.iter().zip(text.as_bytes()))
            .filter(|(_, (a, b))| a != b)
            .map(|(at, _)| at)
            .collect()
    };
    assert_eq!(differing(&disk), [0; 0]);
    let copied = disk.damage(DiskDamage::CopyChunk { bytes: 64 }, "data");
    let flipped = disk.damage(DiskDamage::FlipBits { count: 3 }, "data");
    let mut expected: Vec<u64> = flipped.iter().map(|damaged| damaged.offset).collect();
    expected.sort_unstable();
    assert_eq!((differing(&disk), expected.len()), (expected.clone(), 3));
    // It is on the disk: a power cut does not mend it.
    disk.power_cut(None);
    assert_eq!(differing(&disk), expected);
    // Back to an older state, which a program would take for its own.
    disk.write_synced("data", &"-".repeat(text.len()));
    let restored = disk.damage(DiskDamage::RestoreChunks, "");
    assert_eq!((restored.len(), restored[0].offset), (1, copied[0].offset));
    let old = copied[0].offset as usize..(copied[0].offset + copied[0].bytes) as usize;
    assert_eq!(disk.read("data").unwrap()[old.clone()], text[old]);
    disk.damage(DiskDamage::Truncate { bytes: 96 }, "data");
    assert_eq!(fs::metadata(disk.path("data")).unwrap().len(), 4000);
    disk.power_cut(None);
    assert_eq!(fs::metadata(disk.path("data")).unwrap().len(), 4000);
    // Misdirected: a sector further, and nothing said.
    disk.write_synced("m", &"-".repeat(2048));
    disk.faults(vec![DiskFault::always(DiskOp::Write, DiskEffect::Misdirect)]);
    OpenOptions::new()
        .write(true)
        .open(disk.path("m"))
        .unwrap()
        .write_all_at(b"here", 512)
        .unwrap();
    disk.faults(Vec::new());
    assert_eq!(disk.read("m").unwrap().find("here"), Some(1024));
    assert_eq!(disk.read("other").unwrap(), "untouched");
    disk.end();
}

/// Each mount has threads of its own, each of them a buffer that the largest request would fit in.
fn losses_of_power_take_no_memory(dir: &Path) {
    let mut disk = Disk::new(dir);
    for round in 0..6 {
        disk.write_synced("data", &format!("round {round}\n").repeat(10_000));
        disk.power_cut(None);
    }
    let used = anonymous_kib(disk.agent.child.id());
    assert!(used < 16 * 1024, "{used} KiB");
    disk.end();
}

/// What a process holds in memory that is in no file.
fn anonymous_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn the_end_of_the_stream_unmounts(dir: &Path) {
    let mut disk = Disk::new(dir);
    disk.write("unsynced", "kept, since the power was never cut");
    fs::remove_file(disk.path("unsynced")).unwrap();
    disk.write("unsynced", "again");
    // A daemon in the directory, held up by a stalled disk, keeps nobody from anything.
    disk.faults(vec![DiskFault::always(DiskOp::Sync, DiskEffect::Stall)]);
    let script =
        format!("cd {}; dd if=/dev/zero of=f bs=1 count=1 conv=fsync; sleep 1000", disk.name());
    common::start_daemon(&mut disk.agent, "user", &script);
    common::eventually("it waits for the disk", || disk.report().struck == [1]);
    let (dir, device) = (disk.dir.clone(), fs::metadata(&disk.dir).unwrap().dev());
    disk.end();
    assert_ne!(fs::metadata(&dir).unwrap().dev(), device);
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["f", "unsynced"]);
}

fn a_killed_agent_leaves_nothing_that_hangs(dir: &Path) {
    let mut disk = Disk::new(dir);
    disk.write("f", "here");
    disk.agent.child.kill().unwrap();
    disk.agent.child.wait().unwrap();
    assert_eq!(fs::read(disk.path("f")).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    // Whoever cleans up takes the dead mount away, and no other.
    let second = dir.join("second");
    fs::create_dir(&second).unwrap();
    let alive = Disk::new(&second);
    assert_eq!(keelhaul_agent::detach_dead_disks().unwrap(), 1);
    assert_eq!(disk.read("f").unwrap(), "here");
    assert_eq!(fs::read_dir(&disk.dir).unwrap().count(), 1);
    alive.write_synced("f", "alive");
    alive.end();
    // So does the next agent.
    let mut disk = Disk::new(dir);
    disk.agent.child.kill().unwrap();
    disk.agent.child.wait().unwrap();
    let disk = Disk::new(dir);
    assert_eq!(disk.read("f").unwrap(), "here");
    disk.end();
}
