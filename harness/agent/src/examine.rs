//! What a machine can do, and what stands in the way of a run on it: everything tried for real, and nothing left of it.
//!
//! A run looks for what it needs before it starts anything, and `keelhaul doctor` for all of it, so both say the same.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::finding::Finding;
use crate::freezer::Freezer;
use crate::probe::PROBE_PORT;
use crate::{clock, cut, host, program_clock, shape, trial};

/// What a run needs at least for a store's data and logs.
const DISK_BYTES_MIN: u64 = 512 << 20;
/// Where they are.
const DATA_DIR: &str = "/var/lib/keelhaul";

/// What is looked for, by name.
pub mod what {
    /// Dropping packets.
    pub const CUTS: &str = "nf_tables";
    /// Answering packets by resets and errors.
    pub const REFUSALS: &str = "nf_tables reject";
    /// Delaying, losing and damaging them.
    pub const QUEUES: &str = "packet queues";
    /// Disks that fail.
    pub const FUSE: &str = "FUSE";
    /// Room for a store.
    pub const SPACE: &str = "disk space";
    /// Ports of the store.
    pub const PORTS: &str = "free ports";
    /// A clock that is ours to set, and that nobody else sets.
    pub const CLOCK: &str = "clock";
    /// The clocks of programs, which those are told that share a machine.
    pub const PROGRAM_CLOCK: &str = "clocks of programs";
    /// By how much the clock differs from that of whoever asks.
    pub const OFFSET: &str = "clock offset";
    /// Nothing of an earlier run, and no other run.
    pub const LEFTOVERS: &str = "no leftovers";
}

/// What faults and stores need. `ports` are those that a store listens on.
/// `program_clock` says whether the clocks of programs can be told anything.
pub(crate) fn examine(ports: &[u16], program_clock: io::Result<()>) -> Vec<Finding> {
    vec![
        module(what::CUTS, trial::in_own_network(cut::try_it), "nf_tables", "CONFIG_NF_TABLES"),
        module(what::REFUSALS, cut::try_refusing(), "nft_reject_inet", "CONFIG_NFT_REJECT_INET"),
        module(
            what::QUEUES,
            shape::try_shaping(),
            "nfnetlink_queue",
            "CONFIG_NETFILTER_NETLINK_QUEUE",
        ),
        module(what::FUSE, try_fuse(), "fuse", "CONFIG_FUSE_FS"),
        space(),
        free_ports(ports),
        clock(),
        Finding::new(
            what::PROGRAM_CLOCK,
            program_clock
                .map(|()| String::new())
                .map_err(|error| (error, program_clock::REMEDY.into())),
        ),
    ]
}

/// The same on a machine that no agent serves, with all else that a run meets there.
pub(crate) fn examine_idle(ports: &[u16]) -> Vec<Finding> {
    let mut found = vec![kernel(), user()];
    found.extend(examine(ports, program_clock::try_here()));
    found.extend([cgroups(), probes(), leftovers()]);
    found
}

fn module(what: &str, result: io::Result<()>, module: &str, option: &str) -> Finding {
    let remedy = |error: io::Error| {
        let remedy = format!(
            "as root, modprobe {module} (or use a kernel with {option}), or leave out the faults that need it"
        );
        (error, remedy)
    };
    Finding::new(what, result.map(|()| String::new()).map_err(remedy))
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    let release = release.map(|text| format!("Linux {}", text.trim()));
    Finding::new("kernel", release.map_err(|e| (e, "run on Linux with /proc mounted".into())))
}

fn user() -> Finding {
    let result = if nix::unistd::geteuid().is_root() {
        Ok("root".into())
    } else {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        Err((error, "log in as root, or let the user use sudo without a password".into()))
    };
    Finding::new("user", result)
}

/// Whether this process may serve a file system.
pub fn try_fuse() -> io::Result<()> {
    OpenOptions::new().read(true).write(true).open("/dev/fuse").map(drop)
}

/// Nothing that a fault needs: where there is no freezer processes are stopped by signals.
fn cgroups() -> Finding {
    let token = format!("trial-{}", std::process::id());
    let detail = match Freezer::open(&token) {
        Some(freezer) => freezer.close().map(|()| "version 2: processes are paused by its freezer"),
        None => Ok("none of ours: processes are paused by signals"),
    };
    let remedy = "as root, remove the empty groups keelhaul-* of the cgroup2 file system";
    Finding::new("cgroups", detail.map(Into::into).map_err(|error| (error, remedy.into())))
}

fn space() -> Finding {
    let there = Path::new(DATA_DIR).ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let remedy = format!("make room under {DATA_DIR}: a run needs {} MiB", DISK_BYTES_MIN >> 20);
    let found = statvfs(there).map_err(io::Error::from).and_then(|stat| {
        let free = stat.blocks_available() * stat.fragment_size();
        let detail = format!("{} MiB free on {}", free >> 20, there.display());
        if free < DISK_BYTES_MIN { Err(io::Error::other(detail)) } else { Ok(detail) }
    });
    Finding::new(what::SPACE, found.map_err(|error| (error, remedy)))
}

fn free_ports(ports: &[u16]) -> Finding {
    let words = |ports: &[u16]| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let is_taken = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_err();
    let taken: Vec<u16> = ports.iter().copied().filter(is_taken).collect();
    let result = if taken.is_empty() {
        Ok(words(ports))
    } else {
        let error = io::Error::other(format!("somebody listens on {}", words(&taken)));
        let remedy = "end what listens there (ss -tlpn tells who), such as the service of the store's own package";
        Err((error, remedy.into()))
    };
    Finding::new(what::PORTS, result)
}

/// Where another agent's probes arrive. Not having it is no harm: any other port will do.
fn probes() -> Finding {
    let free = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PROBE_PORT)).is_ok();
    let detail = if free { "free" } else { "taken, so another will be used" };
    Finding::new(&format!("port {PROBE_PORT} for probes"), Ok(detail.into()))
}

fn clock() -> Finding {
    let remedy = "for faults of the machine's clock, be root there and stop the service that sets it (systemctl stop); otherwise the store's programs alone are told another time";
    let result = clock::try_it().map(|()| "can be set, and nobody else sets it".into());
    Finding::new(what::CLOCK, result.map_err(|error| (error, remedy.into())))
}

fn leftovers() -> Finding {
    let remedy = "keelhaul clean with this host, once no other run uses it";
    let result = host::leftovers().and_then(|left| match left {
        None => Ok("nothing was left behind".into()),
        Some(left) => Err(io::Error::other(left)),
    });
    Finding::new(what::LEFTOVERS, result.map_err(|error| (error, remedy.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_are_named() {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let found = free_ports(&[port]);
        assert!(!found.ok && found.detail.ends_with(&format!(" {port}")), "{found:?}");
        assert!(found.sentence().contains("; end what listens there"), "{found:?}");
        drop(taken);
        assert!(free_ports(&[port]).ok);
        assert!(free_ports(&[]).ok);
    }
}
