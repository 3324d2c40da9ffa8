//! Damage that is mended, and writes that stop half-way.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use keelhaul_agent::{Damaged, DiskDamage, DiskEffect, DiskFault, DiskOp, Reply, Request};

use super::Disk;

fn mend(disk: &mut Disk) -> Vec<Damaged> {
    match disk.agent.ask(Request::MendDisk { dir: disk.name() }) {
        Reply::Damaged(mended) => mended,
        other => panic!("{other:?}"),
    }
}

/// Each kind of damage is seen by a program, and gone when it is mended; what a program wrote in between stays.
pub fn what_is_mended_is_as_it_was(dir: &Path) {
    let mut disk = Disk::new(dir);
    let text: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
    disk.write_synced("data", &text);
    for damage in [
        DiskDamage::FlipBits { count: 5 },
        DiskDamage::Truncate { bytes: 700 },
        DiskDamage::CopyWithin { bytes: 512 },
    ] {
        let damaged = disk.damage(damage.clone(), "data");
        let now = fs::read(disk.path("data")).unwrap();
        assert_ne!(now, text.as_bytes(), "{damage:?}");
        for place in &damaged {
            let start = place.offset as usize;
            let had = &text.as_bytes()[start..start + place.was.len()];
            assert_eq!(place.was, had, "{damage:?} says what was there");
        }
        assert_eq!(mend(&mut disk).len(), damaged.len(), "{damage:?}");
        assert!(disk.read("data").unwrap() == text, "{damage:?} is mended");
        assert_eq!(mend(&mut disk), [], "nothing is left to mend");
    }
    let damaged = disk.damage(DiskDamage::FlipBits { count: 2 }, "data");
    let file = fs::OpenOptions::new().write(true).open(disk.path("data")).unwrap();
    file.write_all_at(b"#", damaged[0].offset).unwrap();
    drop(file);
    mend(&mut disk);
    let mut expected = text.into_bytes();
    expected[damaged[0].offset as usize] = b'#';
    assert!(fs::read(disk.path("data")).unwrap() == expected);
    // A file that went on after it lost its end goes on from there.
    disk.damage(DiskDamage::Truncate { bytes: 10 }, "data");
    let length = fs::metadata(disk.path("data")).unwrap().len();
    let mut file = fs::OpenOptions::new().append(true).open(disk.path("data")).unwrap();
    std::io::Write::write_all(&mut file, b"new").unwrap();
    drop(file);
    assert_eq!(mend(&mut disk), []);
    assert_eq!(fs::metadata(disk.path("data")).unwrap().len(), length + 3);
    let log = fs::read_to_string(dir.join("disk.log")).unwrap();
    assert!(log.contains("FlipBits") && log.contains("mended on"), "{log}");
    disk.end();
}

/// Writes that go astray are put where they belong, and old chunks come back with the end that their file had.
pub fn misdirected_and_rewound_files_are_mended(dir: &Path) {
    let mut disk = Disk::new(dir);
    let text: String = (0..400).map(|n| format!("line {n}\n")).collect();
    disk.write_synced("data", &text);
    let file = fs::OpenOptions::new().write(true).open(disk.path("data")).unwrap();
    disk.faults(vec![DiskFault::always(DiskOp::Write, DiskEffect::Misdirect)]);
    file.write_all_at(&[b'x'; 700], 100).unwrap();
    file.write_all_at(&[b'y'; 10], 2_000).unwrap();
    disk.faults(Vec::new());
    assert_eq!(disk.read("data").unwrap().find('x'), Some(612));
    mend(&mut disk);
    let mut expected = text.into_bytes();
    expected[100..800].fill(b'x');
    expected[2_000..2_010].fill(b'y');
    assert!(fs::read(disk.path("data")).unwrap() == expected);
    drop(file);
    disk.damage(DiskDamage::CopyChunk { bytes: 1 << 20 }, "data");
    disk.write("data", &"z".repeat(expected.len() + 100)).sync_all().unwrap();
    assert_eq!(disk.damage(DiskDamage::RestoreChunks, "data").len(), 2);
    assert_eq!(fs::metadata(disk.path("data")).unwrap().len(), expected.len() as u64);
    assert_ne!(disk.read("data").unwrap().find("line"), None);
    mend(&mut disk);
    assert_eq!(disk.read("data").unwrap(), "z".repeat(expected.len() + 100));
    disk.end();
}

/// Half of a write is there, the program is told of an error, and after healing writes are whole again.
pub fn a_torn_write_leaves_its_first_half(dir: &Path) {
    let mut disk = Disk::new(dir);
    disk.write_synced("data", &"-".repeat(1000));
    let file = fs::OpenOptions::new().write(true).open(disk.path("data")).unwrap();
    disk.faults(vec![DiskFault::always(DiskOp::Write, DiskEffect::Tear)]);
    let error = file.write_at(&[b'x'; 100], 200).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    let seen = disk.read("data").unwrap();
    assert_eq!((seen.find('x'), seen.matches('x').count()), (Some(200), 50));
    disk.faults(Vec::new());
    file.write_all_at(&[b'y'; 100], 200).unwrap();
    assert_eq!(disk.read("data").unwrap().matches('y').count(), 100);
    disk.end();
}
