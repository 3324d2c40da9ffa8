//! Everything that has a name: the only place that knows every store, workload and fault.

use keelhaul_nemesis::needs_clocks;
use keelhaul_protocol::Mutant;
use keelhaul_protocol::placement::GroupId;
use keelhaul_server::ProtocolKind;
use keelhaul_stores::{Family, etcd, raft, zookeeper};
use keelhaul_workloads::{
    MakeTxns, bank, list_append, long_fork, lost_update, rw_register, write_skew,
};

use crate::exit::Failure;

/// Something a user can choose.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// What the user types.
    pub name: &'static str,
    /// What it is, in one line.
    pub what: &'static str,
}

const fn choice(name: &'static str, what: &'static str) -> Choice {
    Choice { name, what }
}

/// Systems under test.
pub const STORES: &[Choice] = &[
    choice(
        "raft",
        "our own Raft: a key-value store with client sessions, a write-ahead log and snapshots",
    ),
    choice("paxos", "our own Multi-Paxos: the same store, its commands chosen slot by slot"),
    choice("zab", "our own Zab, ZooKeeper's protocol: the same store, read at any node"),
    choice("etcd", "etcd, from Debian's etcd-server package"),
    choice("zookeeper", "ZooKeeper, from Debian's libzookeeper-java package"),
];

/// What clients do on single objects.
const REGISTER: Choice =
    choice("register", "read, write and cas on many registers; every written value is unique");

const LOCK: Choice = choice(
    "lock",
    "critical sections under locks with leases, on a resource that tells who was there; see --lock",
);

/// A workload of transactions, for stores that have them.
pub struct Transactional {
    choice: Choice,
    /// The promise that a run of it is judged by.
    promise: &'static str,
    /// Its generators.
    pub make: MakeTxns,
}

/// What clients do in transactions.
const TRANSACTIONAL: &[Transactional] = &[
    Transactional {
        choice: choice("list-append", "transactions that append to lists and read them"),
        promise: "strict-serializable",
        make: list_append,
    },
    Transactional {
        choice: choice("rw-register", "transactions that read and write registers"),
        promise: "strict-serializable",
        make: rw_register,
    },
    Transactional {
        choice: choice(
            "bank",
            "transfers between accounts, and reads of all of them: the total stays the same",
        ),
        promise: "bank",
        make: bank,
    },
    Transactional {
        choice: choice(
            "long-fork",
            "keys that are written once, and reads of groups of them: all agree on the order of writes",
        ),
        promise: "long-fork",
        make: long_fork,
    },
    Transactional {
        choice: choice(
            "lost-update",
            "transactions that read a key and write it: who overwrites has seen what was there",
        ),
        promise: "lost-update",
        make: lost_update,
    },
    Transactional {
        choice: choice(
            "write-skew",
            "two transactions read a pair of keys, and each writes another one: one sees the other",
        ),
        promise: "write-skew",
        make: write_skew,
    },
];

/// The workload of transactions of that name, if it is one.
pub fn transactional(workload: &str) -> Option<&'static Transactional> {
    TRANSACTIONAL.iter().find(|transactional| transactional.choice.name == workload)
}

/// What clients can do.
pub fn workloads() -> Vec<Choice> {
    let transactional = TRANSACTIONAL.iter().map(|transactional| transactional.choice);
    [REGISTER, LOCK].into_iter().chain(transactional).collect()
}

/// What the workload asks of a store, and the promise that a run of it is judged by.
pub fn needs(workload: &str) -> (Family, &'static str) {
    match (transactional(workload), workload) {
        (Some(transactional), _) => (Family::Txn, transactional.promise),
        (None, "lock") => (Family::Lock, "lock"),
        (None, _) => (Family::Register, "linearizable"),
    }
}

/// What a store can serve.
pub fn families(store: &str) -> &'static [Family] {
    match store {
        "etcd" => etcd::FAMILIES,
        "zookeeper" => zookeeper::FAMILIES,
        _ => raft::FAMILIES,
    }
}

/// Whether its members can be changed.
pub fn has_membership(store: &str) -> bool {
    matches!(store, "raft" | "etcd")
}

/// Where a store listens on its nodes.
pub fn ports(store: &str, groups: u16) -> Vec<u16> {
    match store {
        "etcd" => vec![etcd::members::CLIENT_PORT, etcd::members::PEER_PORT],
        "zookeeper" => zookeeper::deploy::PORTS.to_vec(),
        _ => (0..groups.max(1)).flat_map(|group| raft::members::ports(GroupId(group))).collect(),
    }
}

/// Where nodes live.
pub const ENVIRONMENTS: &[Choice] = &[
    choice("local", "namespaces on this machine; needs no privileges and leaves nothing behind"),
    choice(
        "vm",
        "virtual machines on this machine, each with its own kernel, clock and disk; see `keelhaul vm`",
    ),
    choice(
        "ssh",
        "hosts that are reached by SSH, as root or with sudo; see --nodes and --nodes-file",
    ),
    choice(
        "sim",
        "our own nodes in virtual time, on a simulated network and disks; repeats byte for byte",
    ),
];

/// What the store's data can be on. All but the first can lose and fail.
pub const DISKS: &[Choice] = &[
    choice("plain", "a directory of the node"),
    choice(
        "journaled",
        "a name in a directory is durable with the next sync of anything, as on ext4, XFS and btrfs",
    ),
    choice(
        "strict",
        "a name in a directory is durable with a sync of that directory only, which is all that POSIX promises",
    ),
    choice(
        "volatile",
        "syncs succeed and make nothing durable; no store can keep its promises on it",
    ),
];

/// What a run cannot say anything about: in its environment, with its faults; and without a disk that can lose.
pub fn not_testable(env: &str, disk: &str, faults: &[String]) -> Vec<String> {
    let reason = match env {
        "sim" => Some("sockets, threads and the kernel: their places are taken by a simulation"),
        _ if faults.iter().any(|kind| needs_clocks(kind)) => None,
        _ => Some("clock faults: all clocks were left alone"),
    };
    let power = (disk == "plain" && env != "vm").then_some(
        "power loss: what a killed process wrote survives in the system's cache, synced or not",
    );
    reason.into_iter().chain(power).map(ToString::to_string).collect()
}

const OWN_READS: &[Choice] = &[
    choice("index", "a leader asks a quorum each time whether it leads still"),
    choice("lease", "a leader answers alone while a quorum has promised to elect nobody else"),
];

const ZAB_READS: &[Choice] = &[
    choice(
        "synced",
        "a node asks its leader how far it must be, and the leader asks a quorum whether it leads still",
    ),
    choice("local", "whatever the node at hand has: sequentially consistent, not linearizable"),
];

const ZOOKEEPER_READS: &[Choice] = &[
    choice(
        "synced",
        "the server at hand first catches up with its leader, which asks nobody whether it leads still",
    ),
    choice("local", "whatever the server at hand has: sequentially consistent, not linearizable"),
];

const ETCD_READS: &[Choice] = &[
    choice("linearizable", "as of a moment between question and answer"),
    choice("serializable", "whatever the node at hand has; `local` is the same"),
];

/// How a store can serve reads, where that is a choice; the first is what it does by itself.
pub fn reads(store: &str) -> &'static [Choice] {
    match store {
        "raft" | "paxos" => OWN_READS,
        "zab" => ZAB_READS,
        "etcd" => ETCD_READS,
        "zookeeper" => ZOOKEEPER_READS,
        _ => &[],
    }
}

/// What transactions of our own nodes can promise; the first is what they do by themselves.
pub const ISOLATIONS: &[Choice] = &[
    choice("serializable", "they take effect one at a time, within real time"),
    choice("snapshot", "they read from a moment, and what they change is unchanged since"),
    choice("read-committed", "they read what was committed, each key by itself"),
];

/// The promise that a run is judged by, if transactions promise no more than this level.
pub fn promise(usual: &'static str, isolation: Option<&str>) -> &'static str {
    match (usual, isolation) {
        ("strict-serializable", Some("snapshot")) => "strong-snapshot-isolation",
        ("strict-serializable", Some("read-committed")) => "read-committed",
        _ => usual,
    }
}

/// Kinds of locks; the first is the one that is safe.
pub const LOCKS: &[Choice] = &[
    choice("fenced", "holders show their fencing token to the resource, which refuses old ones"),
    choice("unfenced", "there are no tokens: whoever takes itself for the holder gets through"),
];

/// The one mistake that etcd can be told to make, by a flag of its own.
pub const ETCD_MUTANTS: &[Choice] =
    &[choice(etcd::UNSAFE_NO_FSYNC, "never syncs; what was acknowledged is lost with the power")];

/// What `--mutant` takes for a store: mistakes that can be seeded into its nodes, and changes that are none.
pub fn mutants(store: &str) -> Vec<Choice> {
    Mutant::infos()
        .filter(|info| info.mutant.is_made_by(store))
        .map(|info| choice(info.name, info.rule))
        .collect()
}

/// Whether a store's nodes are our own.
pub fn is_own(store: &str) -> bool {
    ProtocolKind::from_name(store).is_some()
}

/// Finds a choice by name; the sentence names what there is.
pub fn choose(flag: &str, choices: &[Choice], name: &str) -> Result<&'static str, Failure> {
    choices.iter().find(|choice| choice.name == name).map(|choice| choice.name).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|choice| choice.name).collect();
        Failure::usage(format!("{flag} takes one of {}, not {name:?}", names.join(", ")))
    })
}
