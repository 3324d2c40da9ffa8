//! What faults do to messages between nodes beside cutting them off. Names and amounts are the nemesis crate's, as on real nodes.
//!
//! A message that was damaged is a lost one, since a checksum betrays it. Messages have no size here, so bandwidth is not simulated.

use std::collections::BTreeSet;

use keelhaul_nemesis::{Effect, Link};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::world::MS;

/// One way between two nodes: what all faults on it come to. Shares are parts of a hundred, times nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    delay: u64,
    jitter: u64,
    lost: u32,
    doubled: u32,
    /// So many overtake the others, which are later by so much.
    overtaking: u32,
    held: u64,
}

impl Way {
    /// A fault comes upon it.
    fn add(&mut self, effect: Effect) {
        let time = |ms: u32| u64::from(ms) * MS;
        match effect {
            Effect::Delay { delay_ms, jitter_ms } => {
                self.delay += time(delay_ms);
                self.jitter += time(jitter_ms);
            }
            Effect::Loss { percent } | Effect::Corrupt { percent } => {
                self.lost = (self.lost + percent).min(100);
            }
            Effect::Duplicate { percent } => self.doubled = (self.doubled + percent).min(100),
            Effect::Reorder { percent, delay_ms } => {
                (self.overtaking, self.held) = (percent.min(100), time(delay_ms));
            }
            // None of a life has these.
            Effect::Bandwidth { .. } | Effect::Reject | Effect::Flap { .. } => {}
        }
    }

    /// Whether a message gets lost on it.
    pub(crate) fn loses(self, rng: &mut ChaCha8Rng) -> bool {
        chance(self.lost, rng)
    }

    /// Whether one arrives twice.
    pub(crate) fn doubles(self, rng: &mut ChaCha8Rng) -> bool {
        chance(self.doubled, rng)
    }

    /// How much later than usual one arrives.
    pub(crate) fn delay(self, rng: &mut ChaCha8Rng) -> u64 {
        let shift = if self.jitter > 0 { rng.random_range(0..=2 * self.jitter) } else { 0 };
        let held = if self.held > 0 && !chance(self.overtaking, rng) { self.held } else { 0 };
        (self.delay + shift).saturating_sub(self.jitter) + held
    }
}

fn chance(percent: u32, rng: &mut ChaCha8Rng) -> bool {
    percent > 0 && rng.random_range(0..100) < percent
}

/// All ways between so many nodes, `from * nodes + to`, under these faults.
pub(crate) fn ways<'a>(
    nodes: usize,
    faults: impl Iterator<Item = &'a (BTreeSet<Link>, Effect)>,
) -> Vec<Way> {
    let mut ways = vec![Way::default(); nodes * nodes];
    for (links, effect) in faults {
        for (from, to) in links {
            ways[usize::from(from.0 - 1) * nodes + usize::from(to.0 - 1)].add(*effect);
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use keelhaul_history::NodeId;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn faults_add_up_on_the_ways_they_are_about() {
        let link = BTreeSet::from([(NodeId(1), NodeId(2))]);
        let delay = Effect::Delay { delay_ms: 50, jitter_ms: 10 };
        let faults = [(link.clone(), delay), (link, Effect::Loss { percent: 20 })];
        let ways = ways(2, faults.iter());
        assert_eq!((ways[0], ways[2], ways[3]), Default::default());
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let lost = (0..1_000).filter(|_| ways[1].loses(&mut rng)).count();
        assert!((150..250).contains(&lost), "{lost}");
        let delays: Vec<u64> = (0..1_000).map(|_| ways[1].delay(&mut rng)).collect();
        assert!(delays.iter().all(|delay| (40 * MS..=60 * MS).contains(delay)));
        assert!(delays.iter().sum::<u64>().abs_diff(1_000 * 50 * MS) < 1_000 * MS);
        // What nothing happens to asks chance nothing.
        let mut before = rng.clone();
        assert!(!ways[2].loses(&mut rng) && !ways[2].doubles(&mut rng));
        assert_eq!(ways[2].delay(&mut rng), 0);
        assert_eq!(before.random::<u64>(), rng.random::<u64>());
    }

    #[test]
    fn some_overtake_the_others() {
        let mut way = Way::default();
        way.add(Effect::Reorder { percent: 25, delay_ms: 20 });
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let soon = (0..1_000).filter(|_| way.delay(&mut rng) == 0).count();
        assert!((200..300).contains(&soon), "{soon}");
        assert_eq!((0..50).map(|_| way.delay(&mut rng)).max(), Some(20 * MS));
    }
}
