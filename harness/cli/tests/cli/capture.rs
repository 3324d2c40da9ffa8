//! Packets that nodes write on request.

use std::path::Path;

use crate::common::{cluster_allowed, keelhaul};

const HEADER: usize = 24;
const RECORD: usize = 16;
/// Where TCP's ports are in an Ethernet frame with an IPv4 header without options.
const PORTS: usize = 34;

/// The ports of every packet of a file, source and destination.
fn ports(file: &Path) -> Vec<[u16; 2]> {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(bytes[..4], 0xa1b2_3c4d_u32.to_le_bytes(), "{}", file.display());
    let (mut at, mut ports) = (HEADER, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(*bytes[at + 8..].first_chunk().unwrap());
        let port = |from: usize| u16::from_be_bytes(*bytes[from..].first_chunk().unwrap());
        ports.push([port(at + RECORD + PORTS), port(at + RECORD + PORTS + 2)]);
        at += RECORD + length as usize;
    }
    assert_eq!(at, bytes.len(), "the last packet is whole");
    ports
}

#[test]
fn packets_of_the_ports_named_are_in_the_run_directory() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_leave) = cluster_allowed(dir.path()) else { return };
    let words = "run --store raft --nodes 3 --nemesis none --time-limit 2 --rate 50 --seed 1";
    let run = keelhaul(dir.path(), &format!("{words} --capture 7002"));
    assert_eq!(run.code, 0, "{run:?}");
    for node in ["n1", "n2", "n3"] {
        let ports = ports(&dir.path().join(format!("runs/latest/nodes/{node}/packets.pcap")));
        assert!(ports.len() > 10, "{node}: {} packets", ports.len());
        assert!(ports.iter().all(|both| both.contains(&7002)), "{node}: {ports:?}");
    }
    // The plan has as many nodes wherever it goes, and no packets in virtual time.
    let moved = keelhaul(dir.path(), "run --plan runs/latest/plan.json --env sim");
    assert!(moved.code == 64 && moved.stderr.contains("no packets in virtual time"), "{moved:?}");
}
