//! What decides a simulated life, as plain data.

use keelhaul_engine::Invocation;
use keelhaul_history::{F, Value};
use keelhaul_nemesis::Schedule;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::disk::Medium;
use crate::system::System;

/// How the network, the disks and the clocks are when no fault strikes. Probabilities are per thousand messages or syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weather {
    /// Messages between nodes that are lost.
    pub lost: u16,
    /// That arrive twice.
    pub doubled: u16,
    /// That take up to 50 ms rather than 2 ms, so that others overtake them.
    pub late: u16,
    /// Syncs that take up to 60 ms rather than 2 ms.
    pub slow_syncs: u16,
    /// How far a node's clock runs fast or slow at most, parts per million.
    pub drift_ppm: u32,
    /// How often a clock jumps forward by up to two seconds: mean time between two jumps of any node, ms; 0 for never.
    pub jump_ms: u32,
    /// Entries after which a node takes a snapshot.
    pub snapshot_entries: u32,
}

impl Weather {
    /// A good network, good disks and good clocks.
    pub const CALM: Self = Self {
        lost: 0,
        doubled: 0,
        late: 0,
        slow_syncs: 0,
        drift_ppm: 0,
        jump_ms: 0,
        snapshot_entries: 500,
    };

    /// The weather of a seed. Every other life has an ordinary one; the rest vary what is usually constant.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = stream(seed, "weather");
        let mut one_of = |values: [u16; 4]| values[rng.random_range(0..4)];
        if one_of([0, 1, 0, 1]) == 0 {
            return Self {
                lost: 10,
                doubled: 10,
                late: 10,
                slow_syncs: 20,
                drift_ppm: 200,
                jump_ms: 0,
                snapshot_entries: 100,
            };
        }
        Self {
            lost: one_of([0, 10, 30, 100]),
            doubled: one_of([0, 10, 50, 100]),
            late: one_of([0, 10, 30, 100]),
            slow_syncs: one_of([0, 20, 100, 300]),
            drift_ppm: u32::from(one_of([0, 200, 1_000, 20_000])),
            jump_ms: u32::from(one_of([0, 0, 2_000, 10_000])),
            snapshot_entries: u32::from(one_of([10, 30, 100, 1_000])),
        }
    }
}

/// An operation that is begun at a time, by a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedOp {
    /// Nanoseconds since the life began.
    pub at_ns: u64,
    /// Whose.
    pub thread: u32,
    /// `read`, `write` or `cas`.
    pub f: String,
    /// The register.
    pub key: i64,
    /// Null, a number, or a pair.
    pub value: serde_json::Value,
}

impl PlannedOp {
    /// As the interpreter takes it; none if the value is nothing that a register takes.
    #[must_use]
    pub fn invocation(&self) -> Option<Invocation> {
        let value = Value::from_json(&self.value.to_string())?;
        Some(Invocation { f: F::from(self.f.as_str()), key: Some(Value::Int(self.key)), value })
    }
}

/// Where a life's operations come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// The workload `register`, drawn from the seed.
    #[default]
    Drawn,
    /// These, in order of time: what `shrink` has left.
    Listed(Vec<PlannedOp>),
}

/// What counts as a violation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Whatever shows first. An invariant that breaks inside the cluster ends the life.
    #[default]
    Any,
    /// What clients can see: the life goes on whatever becomes of the invariants, as that of real nodes does. What broke inside is told all the same.
    Clients,
}

/// A whole simulated life.
#[derive(Clone, Debug, PartialEq)]
pub struct SimPlan {
    /// How many nodes.
    pub nodes: u16,
    /// How many clients.
    pub concurrency: u32,
    /// Operations a second over all clients.
    pub rate: f64,
    /// How long clients and faults run, ms.
    pub time_limit_ms: u64,
    /// How long a client waits for an answer, ms.
    pub op_timeout_ms: u64,
    /// Every fault with its time.
    pub schedule: Schedule,
    /// What the clients do.
    pub work: Work,
    /// What goes wrong without a fault.
    pub weather: Weather,
    /// What the disks are like.
    pub medium: Medium,
    /// Whether leaders answer reads alone while they hold a lease. It is promised for clocks that drift by five per cent at most, and not
    /// for clocks that jump.
    pub lease_reads: bool,
    /// What counts as a violation.
    pub evidence: Evidence,
    /// What the nodes run.
    pub system: System,
    /// Decides everything else.
    pub seed: u64,
}

/// A generator of randomness for one purpose; streams of one seed are independent of each other.
#[must_use]
pub fn stream(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // FNV-1a.
    let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    rng.set_stream(hash);
    rng
}
