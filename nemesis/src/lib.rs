//! One file a fault: inject, verify in effect, heal, verify healed.
//!
//! A [`Schedule`] is drawn from the seed before the run and stands in the plan; [`generator`] turns it into operations
//! of the process `nemesis`; [`Nemesis`] carries them out. So the history says of each fault when it began, whether
//! it was seen in effect from outside the injector, when it was healed, and whether it was seen healed.
//!
//! A fault has four operations, `inject`, `verify`, `heal` and `verify-healed`. The value of each is a map with the fault's
//! number under `fault` and its kind under `kind`. Between them the nemesis looks who leads (`leader`), and after
//! the last one it waits until the store is well (`await-healthy`).

mod asks;
mod clock;
mod cuts;
mod damage;
mod disk;
mod env;
mod flap;
mod generator;
mod group;
mod kill;
mod links;
mod machine;
mod machine_clock;
mod member;
mod membership;
mod named;
mod nemesis;
mod partition;
mod pause;
mod power;
mod pressure;
mod process;
mod program_clock;
mod restart;
mod schedule;
pub mod sequence;
mod shapes;
mod shaping;
mod target;
mod upgrade;

pub use asks::{asks, harms};
pub use clock::{Clock, ClockSpec};
pub use cuts::Link;
pub use damage::{Damage, DamageSpec};
pub use disk::{Plight, PlightSpec, Trouble};
pub use env::{Env, names};
pub use generator::{generator, recovery};
pub use group::{Group, GroupSpec};
pub use links::{Effect, LinkSpec};
pub use machine::{Machine, MachineSpec};
pub use member::{Member, MemberSpec};
pub use membership::Ask;
pub use nemesis::{Nemesis, reference};
pub use partition::{Direction, Shape, label, links};
pub use process::{Process, ProcessSpec};
pub use schedule::{Moment, Schedule, ScheduleOptions, ScheduledFault, Spec};
pub use sequence::{SCHEDULE_VERSION, ScheduleFile, SequenceError};
pub use target::{Target, minority};

/// The faults a user can ask for: name, and what it does in one sentence.
pub const KINDS: &[(&str, &str)] = &[
    (
        "partition",
        "cuts the network between nodes: one node, the leader, halves, a minority, a ring, a bridge; one way or both",
    ),
    (
        "reject",
        "refuses packets between nodes as a partition drops them: connections are reset at once",
    ),
    ("flap", "cuts and restores the network between nodes again and again"),
    ("kill", "ends the store's process on some nodes with SIGKILL, and starts it again"),
    ("pause", "stops every process of the store on some nodes, and lets them go on"),
    ("restart", "asks the store on some nodes to end, and starts it again at once"),
    ("rolling-restart", "restarts the store on all nodes, one after the other"),
    (
        "restart-storm",
        "kills and starts the store on some nodes again and again, before it can settle",
    ),
    (
        "staggered-restart",
        "kills the store on most nodes at once, and starts it on one after the other",
    ),
    (
        "upgrade",
        "starts another release of the store on a minority, one node after the other, and then the first one again",
    ),
    ("rolling-upgrade", "starts another release of the store on all nodes, one after the other"),
    (
        "member-remove",
        "takes a node out of the cluster while it works, and lets it in again with an empty disk",
    ),
    (
        "member-replace",
        "kills a node, takes it out of the cluster, and lets it in again with an empty disk",
    ),
    (
        "group-join",
        "gives one more group of replicas its share of the keys of transactions, and takes it back",
    ),
    (
        "group-leave",
        "takes the keys of transactions from one group of replicas, and gives it its share again",
    ),
    (
        "wipe",
        "kills the store on a minority, empties its disks, and starts it as if nothing had been",
    ),
    ("clock-bump", "lets the clocks of some nodes jump ahead, by up to a minute"),
    ("clock-drift", "lets the clocks of some nodes run slow and those of the others fast"),
    ("clock-strobe", "lets the clocks of some nodes run fast and slow by turns"),
    ("stutter", "stops the store on some nodes for most of every tenth of a second"),
    ("cpu", "lets other processes on some nodes take all the time of their processors"),
    ("memory", "lets another process on some nodes hold a quarter of the memory that is free"),
    (
        "power",
        "kills the store on some nodes and takes from their disks what was not synced: contents, and names in directories",
    ),
    (
        "power-stall",
        "lets no sync on some nodes end for a while, and then takes their power: what they answered before it was synced is lost",
    ),
    ("machine-stop", "stops some machines as they are, clocks and all, and lets them go on"),
    (
        "machine-reset",
        "presses the reset button of some machines, which lose their memory and boot",
    ),
    ("disk-slow", "lets every sync on some nodes take longer"),
    ("disk-error", "lets every write, or every sync, on some nodes fail with EIO"),
    ("disk-full", "lets every write on some nodes fail with ENOSPC"),
    ("disk-stall", "lets no sync on some nodes end until it is healed"),
    ("disk-read", "lets every read from the disk on some nodes fail with EIO"),
    ("disk-torn", "lets every write on some nodes fail with EIO when half of it is done"),
    ("disk-misdirect", "lets every write on a minority go a sector too far, and says nothing"),
    ("disk-flip", "flips bits of what a minority has stored"),
    ("disk-truncate", "cuts off the end of files that a minority has stored"),
    ("disk-copy", "puts a part of each file that a minority has stored at another place of it too"),
    ("disk-rewind", "lets parts of files that a minority has stored be as they were a second ago"),
    ("delay", "lets packets between some nodes arrive later, more or less so"),
    ("loss", "loses some of the packets between some nodes"),
    ("duplicate", "lets some of the packets between some nodes arrive twice"),
    ("reorder", "lets some of the packets between some nodes overtake the others"),
    ("corrupt", "flips a bit in some packets between some nodes, which checksums then betray"),
    ("bandwidth", "lets only so many bits a second through between some nodes"),
    (
        "membership",
        "asks for changes of who belongs to the cluster and who leads: learners, voters, removals, transfers",
    ),
];

/// Whether a kind of fault exists on real nodes.
#[must_use]
pub fn is_live(kind: &str) -> bool {
    kind != "membership"
}

/// Whether a kind of fault needs a store whose members can be changed.
#[must_use]
pub fn needs_membership(kind: &str) -> bool {
    kind.starts_with("member-")
}

/// Whether a kind of fault needs another release of the store.
#[must_use]
pub fn needs_release(kind: &str) -> bool {
    matches!(kind, "upgrade" | "rolling-upgrade")
}

/// Whether a kind of fault needs a store whose keys are spread over groups of replicas.
#[must_use]
pub fn needs_groups(kind: &str) -> bool {
    kind.starts_with("group-")
}

/// Whether a kind of fault needs nodes that are machines of their own.
#[must_use]
pub fn needs_machines(kind: &str) -> bool {
    kind.starts_with("machine-")
}

/// Whether a kind of fault needs nodes whose clocks can differ.
#[must_use]
pub fn needs_clocks(kind: &str) -> bool {
    kind.starts_with("clock-")
}

/// Whether a kind of fault exists in virtual time too.
#[must_use]
pub fn is_simulated(kind: &str) -> bool {
    matches!(
        kind,
        "partition"
            | "kill"
            | "pause"
            | "power"
            | "disk-slow"
            | "disk-error"
            | "disk-full"
            | "disk-stall"
            | "disk-read"
            | "disk-torn"
            | "delay"
            | "loss"
            | "duplicate"
            | "reorder"
            | "corrupt"
            | "bandwidth"
            | "wipe"
            | "clock-bump"
            | "clock-drift"
            | "clock-strobe"
            | "member-remove"
            | "member-replace"
            | "membership"
    )
}

/// Whether a kind of fault is all in its injection, and little is left of it afterwards.
#[must_use]
pub fn is_gradual(kind: &str) -> bool {
    matches!(kind, "rolling-restart" | "restart-storm" | "rolling-upgrade" | "clock-strobe")
}

/// Whether a kind of fault can strike once in a run.
fn is_final(kind: &str) -> bool {
    kind == "rolling-upgrade"
}

/// Whether a kind of fault is one of links between nodes, of which there must be two.
#[must_use]
pub fn is_of_links(kind: &str) -> bool {
    matches!(kind, "partition" | "reject" | "flap") || shapes_links(kind)
}

/// Whether a kind of fault needs the store's data to be on a disk of ours.
#[must_use]
pub fn needs_disk(kind: &str) -> bool {
    kind.starts_with("power") || kind.starts_with("disk-")
}

/// Whether a kind of fault is one of links between nodes that stay usable.
#[must_use]
pub fn shapes_links(kind: &str) -> bool {
    matches!(kind, "delay" | "loss" | "duplicate" | "reorder" | "corrupt" | "bandwidth")
}
