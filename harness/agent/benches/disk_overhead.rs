//! What a healthy disk of ours costs: the same work in a plain directory and on a disk over it, by turns.
//!
//! `cargo bench -p keelhaul-agent --bench disk_overhead [-- DIRECTORY]`. The directory, the current one by default, decides what
//! real disk is below.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made has no other way out")]

#[path = "../tests/common/agent.rs"]
mod agent;
#[path = "../tests/common/namespaces.rs"]
mod namespaces;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::Agent;
use keelhaul_agent::{Naming, Reply, Request};

/// One operation, ready to be done again and again in a directory.
type Work = fn(&Path) -> Box<dyn FnMut()>;

/// What is done, and how often.
const WORKS: [(&str, usize, Work); 5] = [
    ("append 200 bytes and fdatasync", 500, synced_append),
    ("overwrite 16 of 64 pages and fdatasync, as bbolt does", 200, synced_pages),
    ("append 200 bytes, no sync", 5_000, append),
    ("write 64 MiB in pieces of 1 MiB, one fsync", 7, sequential),
    ("create, write, fsync, rename, fsync the directory", 100, replace),
];

fn main() {
    if let Some(code) = agent::as_agent() {
        std::process::exit(code);
    }
    let base = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or(".".into());
    let base = fs::canonicalize(base).unwrap();
    namespaces::enter().unwrap();
    let dir = tempfile::tempdir_in(base).unwrap();
    let plain = dir.path().join("plain");
    let disk = dir.path().join("disk");
    fs::create_dir(&plain).unwrap();
    let mut agent = Agent::start(dir.path());
    let name = disk.to_str().unwrap().to_owned();
    let mounted = agent.ask(Request::MountDisk { dir: name, naming: Naming::Strict });
    assert_eq!(mounted, Reply::Done);
    for (what, count, work) in WORKS {
        let (mut bare_op, mut our_op) = (work(&plain), work(&disk));
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..count {
            bare.push(timed(&mut bare_op));
            ours.push(timed(&mut our_op));
        }
        bare.sort_unstable();
        ours.sort_unstable();
        // On a busy machine the quick ones say more of the disk, and less of who else wants the processor.
        for (name, at) in [("p10", count / 10), ("p50", count / 2)] {
            let (bare, ours) = (bare[at], ours[at]);
            let ratio = ours.as_secs_f64() / bare.as_secs_f64();
            println!("{what}, {name}: plain {bare:.2?}, disk {ours:.2?}, ratio {ratio:.2}");
        }
    }
    drop(agent.input);
    assert!(agent.child.wait().unwrap().success());
}

fn timed(work: &mut dyn FnMut()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn file(dir: &Path, name: &str) -> File {
    OpenOptions::new().append(true).create(true).open(dir.join(name)).unwrap()
}

fn synced_append(dir: &Path) -> Box<dyn FnMut()> {
    let mut file = file(dir, "synced");
    Box::new(move || {
        file.write_all(&[1; 200]).unwrap();
        file.sync_data().unwrap();
    })
}

fn synced_pages(dir: &Path) -> Box<dyn FnMut()> {
    let file = File::create(dir.join("pages")).unwrap();
    file.write_all_at(&[0; 4096 * 64], 0).unwrap();
    file.sync_all().unwrap();
    let mut round = 0;
    Box::new(move || {
        round += 7;
        for page in 0..16 {
            file.write_all_at(&[2; 4096], (round + page * 4) % 64 * 4096).unwrap();
        }
        file.sync_data().unwrap();
    })
}

fn append(dir: &Path) -> Box<dyn FnMut()> {
    let mut file = file(dir, "unsynced");
    Box::new(move || file.write_all(&[1; 200]).unwrap())
}

fn sequential(dir: &Path) -> Box<dyn FnMut()> {
    let path = dir.join("large");
    let piece = vec![3; 1 << 20];
    Box::new(move || {
        let mut file = File::create(&path).unwrap();
        (0..64).for_each(|_| file.write_all(&piece).unwrap());
        file.sync_all().unwrap();
    })
}

fn replace(dir: &Path) -> Box<dyn FnMut()> {
    let dir = dir.to_owned();
    Box::new(move || {
        let mut file = File::create(dir.join("next")).unwrap();
        file.write_all(b"content").unwrap();
        file.sync_all().unwrap();
        fs::rename(dir.join("next"), dir.join("current")).unwrap();
        File::open(&dir).unwrap().sync_all().unwrap();
    })
}
