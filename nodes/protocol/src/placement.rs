//! Which group of replicas keeps a key: consistent hashing on a ring.
//!
//! *Ring.* The hashes, 0 to 2⁶⁴ − 1, closed to a circle. Each group has some *points* on it, drawn by hashing the group's number with
//! the point's; a key belongs to the group of the first point at or after the key's own hash. So a group that joins takes keys
//! only from those whose points come next, and one that leaves gives its keys to them; no other key moves. Of K keys on n groups
//! afterwards about K/n move, and no placement that is even can do with less.
//!
//! *Points per group.* One point a group makes shares differ by a factor of log n; many points even them out, by the square
//! root of their number, and let a leaver's keys go to all others rather than to one (*virtual nodes*).
//!
//! Everything is computed from the groups' numbers: two rings with the same groups are equal, in whatever order these came.
//!
//! Sources: Karger et al., *Consistent hashing and random trees* (STOC 1997), §4; Stoica et al., *Chord* (SIGCOMM 2001), §4.2;
//! DeCandia et al., *Dynamo* (SOSP 2007), §4.2 and §6.2, strategy 1.
//!
//! How keys are moved from one ring to the next while transactions go on is in [`crate::kv::share`] and [`crate::mover`].
//!
//! Left out: groups of different weight; bounded loads (Mirrokni et al. 2018).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A group of replicas that keeps a part of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupId(pub u16);

/// Points per group that are usual: shares differ by about a tenth then.
pub const POINTS_DEFAULT: u32 = 128;

/// Which groups keep the keys, from one change to the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    /// How many changes there were before.
    pub epoch: u64,
    /// The groups, each with [`POINTS_DEFAULT`] points on the ring.
    pub groups: BTreeSet<GroupId>,
}

impl Placement {
    /// The one before all changes.
    #[must_use]
    pub fn first(groups: impl IntoIterator<Item = GroupId>) -> Self {
        Self { epoch: 0, groups: groups.into_iter().collect() }
    }

    /// The one after the next change.
    #[must_use]
    pub fn next(&self, groups: BTreeSet<GroupId>) -> Self {
        Self { epoch: self.epoch + 1, groups }
    }

    /// Where each key is.
    #[must_use]
    pub fn ring(&self) -> Ring {
        Ring::new(self.groups.iter().copied(), POINTS_DEFAULT)
    }
}

/// Groups on the circle of hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    points_per_group: u32,
    groups: BTreeSet<GroupId>,
    /// By place on the circle; of two at one place the first counts.
    points: Vec<(u64, GroupId)>,
}

impl Ring {
    /// A ring of these groups, each with so many points, one at least.
    #[must_use]
    pub fn new(groups: impl IntoIterator<Item = GroupId>, points_per_group: u32) -> Self {
        let points_per_group = points_per_group.max(1);
        let mut ring = Self { points_per_group, groups: BTreeSet::new(), points: Vec::new() };
        for group in groups {
            ring.join(group);
        }
        ring
    }

    /// The groups, in order of their numbers.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = GroupId> {
        self.groups.iter().copied()
    }

    /// Whose a key is; nobody's on a ring without groups.
    #[must_use]
    pub fn group(&self, key: &[u8]) -> Option<GroupId> {
        let place = place_of_key(key);
        let at = self.points.partition_point(|(point, _)| *point < place);
        // Behind the last point the circle begins again.
        self.points.get(at).or(self.points.first()).map(|(_, group)| *group)
    }

    /// Puts a group on the ring; false if it is there already.
    pub fn join(&mut self, group: GroupId) -> bool {
        if !self.groups.insert(group) {
            return false;
        }
        self.points.extend(points(group, self.points_per_group));
        self.points.sort_unstable();
        true
    }

    /// Takes a group off the ring; false if it is not there.
    pub fn leave(&mut self, group: GroupId) -> bool {
        self.points.retain(|(_, owner)| *owner != group);
        self.groups.remove(&group)
    }
}

/// Where a group stands.
fn points(group: GroupId, count: u32) -> impl Iterator<Item = (u64, GroupId)> {
    (0..count).map(move |point| {
        let mut name = *b"point\0\0\0\0\0\0";
        name[5..7].copy_from_slice(&group.0.to_le_bytes());
        name[7..].copy_from_slice(&point.to_le_bytes());
        (hash(&name), group)
    })
}

fn place_of_key(key: &[u8]) -> u64 {
    hash(key)
}

/// FNV-1a, whose high bits hardly depend on a short text's last bytes, and the finalizer of `MurmurHash3` behind it, which makes
/// every bit depend on all. Against unevenness, not against malice.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 33
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn ring(groups: u16, points: u32) -> Ring {
        Ring::new((0..groups).map(GroupId), points)
    }

    fn keys(count: u32) -> impl Iterator<Item = Vec<u8>> {
        (0..count).map(|key| key.to_string().into_bytes())
    }

    /// The definition: of all points the one that is reached first, going up and around.
    fn slowly(ring: &Ring, key: &[u8]) -> Option<GroupId> {
        let all = ring.groups().flat_map(|group| points(group, ring.points_per_group));
        all.min_by_key(|(point, group)| (point.wrapping_sub(hash(key)), *group))
            .map(|(_, group)| group)
    }

    /// Keys that have another owner.
    fn moved(before: &Ring, after: &Ring, count: u32) -> u32 {
        keys(count).filter(|key| before.group(key) != after.group(key)).count() as u32
    }

    #[test]
    fn nobody_owns_a_key_of_an_empty_ring_and_one_group_owns_all() {
        assert_eq!(ring(0, 8).group(b"x"), None);
        assert!(keys(100).all(|key| ring(1, 1).group(&key) == Some(GroupId(0))));
    }

    #[test]
    fn who_is_there_does_not_join_and_who_is_not_does_not_leave() {
        let mut ring = ring(2, 4);
        let before = ring.clone();
        assert!(!ring.join(GroupId(1)) && !ring.leave(GroupId(7)));
        assert_eq!(ring, before);
    }

    /// Written down once: rings of two programs that share data must agree.
    #[test]
    fn places_are_what_they_were() {
        let ring = ring(3, POINTS_DEFAULT);
        let owners: Vec<u16> = keys(16).map(|key| ring.group(&key).unwrap().0).collect();
        assert_eq!(owners, OWNERS);
    }

    const OWNERS: [u16; 16] = [2, 2, 0, 1, 1, 1, 0, 2, 1, 1, 2, 2, 2, 2, 2, 1];

    #[test]
    fn with_many_points_shares_are_even_and_few_keys_move() {
        const KEYS: u32 = 40_000;
        for groups in [2, 4, 9] {
            let (before, after) = (ring(groups, 512), ring(groups + 1, 512));
            let ideal = f64::from(KEYS) / f64::from(groups + 1);
            let share = f64::from(moved(&before, &after, KEYS)) / ideal;
            assert!((0.8..1.2).contains(&share), "{groups} groups: {share} of the ideal moved");
            for group in after.groups() {
                let own = keys(KEYS).filter(|key| after.group(key) == Some(group)).count();
                let share = own as f64 / ideal;
                assert!((0.8..1.2).contains(&share), "{groups}, {group:?}: {share}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_owner_is_the_first_point_after_the_key(
            groups in btree_set(0..40_u16, 0..8), points in 1..20_u32, key in vec(any::<u8>(), 0..12)
        ) {
            let ring = Ring::new(groups.into_iter().map(GroupId), points);
            prop_assert_eq!(ring.group(&key), slowly(&ring, &key));
        }

        #[test]
        fn who_joins_takes_and_who_leaves_gives_and_nothing_else_moves(
            groups in btree_set(0..40_u16, 1..8), other in 40..50_u16, points in 1..20_u32
        ) {
            let before = Ring::new(groups.into_iter().map(GroupId), points);
            let mut after = before.clone();
            prop_assert!(after.join(GroupId(other)));
            for key in keys(500) {
                let (old, new) = (before.group(&key), after.group(&key));
                prop_assert!(old == new || new == Some(GroupId(other)));
            }
            prop_assert!(after.leave(GroupId(other)));
            prop_assert_eq!(before, after);
        }

        #[test]
        fn the_order_of_joining_does_not_matter(
            groups in vec(0..40_u16, 0..8), points in 1..20_u32
        ) {
            let ring = Ring::new(groups.iter().copied().map(GroupId), points);
            prop_assert_eq!(&ring, &Ring::new(groups.iter().rev().copied().map(GroupId), points));
        }
    }
}
