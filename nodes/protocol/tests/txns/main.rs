//! Coordinators against groups, with steps in any order, answers that get lost and coordinators that die: what commits is all there, what
//! fails is not, and each level of isolation lets happen what it is there to let happen, and nothing else. Also while keys move from
//! group to group, by movers that want different things and die as well.
//!
//! Transactions append to lists and read them, so that the lists tell the order of all versions. The judge is the definition: edges
//! between all pairs of transactions, and paths found by trying.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

mod judge;
mod world;

use std::collections::BTreeSet;

use keelhaul_protocol::coordinator::{End, Isolation};
use keelhaul_protocol::kv::{Command, Mutant, Response};
use keelhaul_protocol::placement::{GroupId, Placement};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use judge::{atomic, edges, worst};
use world::{GROUPS_MAX, Group, Play, World, play};

/// Circles by kind over many runs, as [`worst`] numbers them; with real time among the plain edges if that is promised.
fn circles(
    isolation: Isolation,
    runs: u64,
    (faults, moves): (bool, bool),
    real_time: bool,
) -> [u64; 4] {
    let mut counts = [0; 4];
    let (mut committed, mut settled, mut misplaced) = (0, 0, 0);
    for seed in 0..runs {
        let groups = 1 + seed as u16 % GROUPS_MAX;
        let played = play(Play { isolation, groups, faults, moves, mistake: None }, seed);
        let (lists, outcomes) = played.expect("what is left behind is settled");
        assert_eq!(atomic(&lists, &outcomes), Ok(()), "{isolation:?}, seed {seed}");
        let mut edges = edges(&lists, &outcomes);
        let done = || outcomes.iter().filter(|outcome| outcome.committed);
        for before in done().filter(|outcome| real_time && outcome.told == Some(End::Committed)) {
            let later = done().filter(|outcome| before.ended < outcome.begun);
            edges.extend(later.map(|outcome| (before.id, outcome.id, false)));
        }
        counts[usize::from(worst(&edges))] += 1;
        committed += done().count();
        misplaced += outcomes.iter().map(|outcome| outcome.tries - 1).sum::<u64>();
        settled += done().filter(|outcome| outcome.told != Some(End::Committed)).count();
    }
    assert!(committed as u64 > 4 * runs, "{isolation:?}: {committed} committed");
    assert!(!faults || settled > 0, "{isolation:?}: nobody's transaction was settled");
    assert!(!moves || misplaced > runs, "{isolation:?}: {misplaced} keys were not where they were");
    counts
}

#[test]
fn serializable_lets_no_circle_happen_not_even_with_real_time() {
    for trouble in [(false, false), (true, false), (false, true), (true, true)] {
        let [none, several, one, plain] = circles(Isolation::Serializable, 400, trouble, true);
        assert_eq!((several, one, plain), (0, 0, 0), "of {none}, {trouble:?}");
    }
}

#[test]
fn snapshot_isolation_lets_write_skew_happen_and_nothing_worse() {
    for moves in [false, true] {
        let [_, several, one, plain] = circles(Isolation::Snapshot, 600, (true, moves), true);
        assert_eq!((one, plain), (0, 0));
        assert!(several > 5, "{several}");
    }
}

#[test]
fn read_committed_lets_parts_of_transactions_be_seen_and_nothing_worse() {
    for moves in [false, true] {
        let level = Isolation::ReadCommitted;
        let [_, several, one, plain] = circles(level, 800, (true, moves), false);
        assert_eq!(plain, 0);
        assert!(several > 2 && one > 5, "{several} {one}");
    }
}

/// Whether a run with a mistaken state machine shows it.
fn caught(mistake: Mutant, moves: bool, seed: u64) -> bool {
    let isolation = Isolation::Serializable;
    let played =
        play(Play { isolation, groups: 2, faults: true, moves, mistake: Some(mistake) }, seed);
    played.is_none_or(|(lists, outcomes)| {
        atomic(&lists, &outcomes).is_err() || worst(&edges(&lists, &outcomes)) > 0
    })
}

#[test]
fn every_mistake_of_a_participant_is_caught() {
    for (mistake, moves) in [
        (Mutant::HideHolder, false),
        (Mutant::HoldPutsOnly, false),
        (Mutant::LastDecisionWins, false),
        (Mutant::ForgetPrepared, false),
        (Mutant::AlwaysYes, false),
        (Mutant::ServeLeaving, true),
        (Mutant::MoveUnderPrepared, true),
    ] {
        let found = (0..1_000).find(|seed| caught(mistake, moves, *seed));
        assert!(found.is_some(), "{mistake} was not seen in a thousand runs");
    }
}

#[test]
fn many_keys_move_page_by_page_and_no_more_than_must() {
    const KEYS: u32 = 2_000;
    let groups = (0..GROUPS_MAX).map(|group| (GroupId(group), Group::default())).collect();
    let (clients, movers, late) = Default::default();
    let rng = ChaCha8Rng::seed_from_u64(1);
    let mut world = World { groups, clients, movers, late, now: 1, rng, faults: false };
    let first = Placement::first([GroupId(0), GroupId(1)]);
    let ring = first.ring();
    let value = |key: u32| vec![key as u8; 100];
    for key in 0..KEYS {
        let bytes = key.to_string().into_bytes();
        let group = world.groups.get_mut(&ring.group(&bytes).unwrap()).unwrap();
        let command = Command::Write { key: bytes, value: value(key) };
        assert_eq!(group.perform(command), Response::Written);
    }
    let check = |world: &mut World, wish: &[u16]| {
        let wish: BTreeSet<GroupId> = wish.iter().copied().map(GroupId).collect();
        let known = world.placement().unwrap_or_else(|| first.clone());
        let moved = world.place(known, wish.clone());
        assert_eq!(moved.keys, u64::from(KEYS));
        let share = moved.moved as f64 / moved.ideal();
        assert!((0.7..1.3).contains(&share), "{moved:?}: {share} of the ideal");
        let placement = world.placement().unwrap();
        assert_eq!(placement.groups, wish);
        for key in 0..KEYS {
            let read = Command::Read { key: key.to_string().into_bytes() };
            let answers =
                world.groups.iter_mut().map(|(id, group)| (*id, group.perform(read.clone())));
            let found: Vec<_> =
                answers.filter(|(_, answer)| !matches!(answer, Response::Misplaced(_))).collect();
            let owner = placement.ring().group(key.to_string().as_bytes()).unwrap();
            assert_eq!(found, [(owner, Response::Value(Some(value(key))))]);
        }
    };
    check(&mut world, &[0, 1, 2]);
    check(&mut world, &[0, 2]);
    check(&mut world, &[2]);
    check(&mut world, &[0, 1, 2]);
}
