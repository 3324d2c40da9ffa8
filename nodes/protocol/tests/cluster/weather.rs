//! How a run's cluster is set up and what its network and disks are like. Every other run is an ordinary one; the rest
//! vary what is usually constant, since a mistake that five nodes on a good network hide may show among three that often
//! campaign at the same time.

use keelhaul_protocol::api::{Nanos, NodeId};
use keelhaul_protocol::raft::Config;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const MS: u64 = 1_000_000;

/// Probabilities are per message or sync.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub nodes: usize,
    pub lost: f64,
    pub doubled: f64,
    pub late: f64,
    pub slow_disk: f64,
    /// How far election timeouts differ.
    election_spread_ms: u64,
    snapshot_entries: u64,
    keep_entries: u64,
    append_entries_max: usize,
    appends_in_flight_max: usize,
}

impl Weather {
    const ORDINARY: Weather = Weather {
        nodes: 5,
        lost: 0.01,
        doubled: 0.01,
        late: 0.01,
        slow_disk: 0.02,
        election_spread_ms: 150,
        snapshot_entries: 60,
        keep_entries: 10,
        append_entries_max: 8,
        appends_in_flight_max: 4,
    };

    pub fn of(seed: u64, rng: &mut ChaCha8Rng) -> Weather {
        if seed.is_multiple_of(2) {
            return Weather::ORDINARY;
        }
        let mut one_of = |values: [u64; 4]| values[rng.random_range(0..4)];
        Weather {
            nodes: one_of([3, 4, 5, 5]) as usize,
            election_spread_ms: one_of([20, 20, 50, 150]),
            snapshot_entries: one_of([5, 20, 60, 1_000]),
            keep_entries: one_of([0, 1, 5, 20]),
            append_entries_max: one_of([1, 2, 8, 64]) as usize,
            appends_in_flight_max: one_of([1, 2, 4, 16]) as usize,
            lost: one_of([0, 10, 30, 100]) as f64 / 1000.0,
            doubled: one_of([0, 10, 50, 100]) as f64 / 1000.0,
            late: one_of([0, 10, 30, 100]) as f64 / 1000.0,
            slow_disk: one_of([0, 20, 100, 300]) as f64 / 1000.0,
        }
    }

    /// From now on network and disks are ordinary ones.
    pub fn settle(&mut self) {
        let Weather { lost, doubled, late, slow_disk, .. } = Weather::ORDINARY;
        *self = Weather { lost, doubled, late, slow_disk, ..*self };
    }

    pub fn config(&self, node: usize) -> Config {
        let members = (0..self.nodes as u16).map(NodeId).collect();
        let mut config = Config::new(NodeId(node as u16), members);
        config.election_timeout = Nanos(150 * MS)..=Nanos((150 + self.election_spread_ms) * MS);
        config.heartbeat_interval = Nanos(30 * MS);
        config.snapshot_entries = self.snapshot_entries;
        config.keep_entries = self.keep_entries;
        config.append_entries_max = self.append_entries_max;
        config.append_bytes_max = 700;
        config.appends_in_flight_max = self.appends_in_flight_max;
        config
    }
}
