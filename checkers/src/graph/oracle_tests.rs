//! Every search against one that tries everything, on thousands of small random graphs.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const FREE: Classes = Classes::WW.or(Classes::WR);
const ALL: Classes = FREE.or(Classes::RW).or(Classes::REALTIME);

const fn pattern(free: Classes, required: &'static [Classes], anti: Anti) -> Pattern {
    Pattern { free, required, anti }
}

/// Adya's lattice from the strongest down, with a variant in real time.
const PATTERNS: [Pattern; 8] = [
    pattern(Classes::WW, &[], Anti::None),
    pattern(FREE, &[Classes::WR], Anti::None),
    pattern(FREE, &[], Anti::Once(Classes::RW)),
    pattern(FREE, &[], Anti::Apart(Classes::RW)),
    pattern(FREE, &[], Anti::Several(Classes::RW)),
    pattern(Classes::WW, &[Classes::REALTIME], Anti::None),
    pattern(FREE, &[Classes::WR, Classes::REALTIME], Anti::None),
    pattern(FREE.or(Classes::REALTIME), &[Classes::REALTIME], Anti::Once(Classes::RW)),
];

type Edges = Vec<(u32, u32, Classes)>;

fn random(rng: &mut ChaCha8Rng, nodes: u32) -> Edges {
    let count = rng.random_range(0..=nodes * 2);
    let class = |rng: &mut ChaCha8Rng| ALL.each().nth(rng.random_range(0..4)).unwrap();
    let edge = |_| (rng.random_range(0..nodes), rng.random_range(0..nodes), class(rng));
    (0..count).map(edge).collect()
}

fn built(nodes: u32, edges: &Edges) -> Graph {
    let mut graph = GraphBuilder::new(nodes);
    edges.iter().for_each(|(from, to, class)| graph.edge(*from, *to, *class));
    graph.build()
}

/// Whether the classes of a cycle's edges are as the pattern says, by counting.
fn fits(pattern: &Pattern, walk: &[Classes]) -> bool {
    let anti = |class: &&Classes| pattern.anti.is(**class) && !pattern.free.meets(**class);
    let antis = walk.iter().filter(anti).count();
    let next_to_each_other = (0..walk.len())
        .any(|at| anti(&&walk[at]) && anti(&&walk[(at + 1) % walk.len()]) && antis > 0);
    walk.iter().all(|class| {
        pattern.free.meets(*class)
            || anti(&class)
            || pattern.required.iter().any(|set| set.meets(*class))
    }) && pattern.required.iter().all(|set| walk.iter().any(|class| set.meets(*class)))
        && match pattern.anti {
            Anti::None => antis == 0,
            Anti::Once(_) => antis == 1,
            Anti::Apart(_) => antis > 1 && !next_to_each_other,
            Anti::Several(_) => antis > 1,
        }
}

impl Anti {
    fn is(self, class: Classes) -> bool {
        match self {
            Self::None => false,
            Self::Once(set) | Self::Apart(set) | Self::Several(set) => set.meets(class),
        }
    }
}

const WALK_MAX: usize = 6;

/// The length of the shortest closed walk of each pattern, of those up to [`WALK_MAX`].
fn oracle(nodes: u32, edges: &Edges) -> Vec<Option<usize>> {
    fn go(edges: &Edges, start: u32, at: u32, walk: &mut Vec<Classes>, best: &mut [Option<usize>]) {
        if at == start && !walk.is_empty() {
            for (best, pattern) in best.iter_mut().zip(&PATTERNS) {
                if best.is_none_or(|best| walk.len() < best) && fits(pattern, walk) {
                    *best = Some(walk.len());
                }
            }
        }
        if walk.len() == WALK_MAX {
            return;
        }
        for (from, to, class) in edges {
            if *from == at && to != from {
                walk.push(*class);
                go(edges, start, *to, walk, best);
                walk.pop();
            }
        }
    }
    let mut best = vec![None; PATTERNS.len()];
    for start in 0..nodes {
        go(edges, start, start, &mut Vec::new(), &mut best);
    }
    best
}

#[test]
fn the_shortest_cycle_is_found_and_is_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(0xc1c1e);
    let mut found = [0; PATTERNS.len()];
    for case in 0..2000 {
        let nodes = rng.random_range(2..=4);
        let edges: Edges =
            random(&mut rng, nodes).into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let graph = built(nodes, &edges);
        for (at, (pattern, expected)) in PATTERNS.iter().zip(oracle(nodes, &edges)).enumerate() {
            let cycle = shortest(&graph, pattern, &mut 1_000_000);
            let length = cycle.as_ref().map(|cycle| cycle.steps.len());
            assert_eq!(
                length.filter(|length| *length <= WALK_MAX),
                expected,
                "case {case}, pattern {at}: {edges:?} gives {cycle:?}"
            );
            let Some(Cycle { steps, shortest }) = cycle else { continue };
            found[at] += 1;
            assert!(shortest);
            let walk: Vec<Classes> = steps.iter().map(|step| step.class).collect();
            assert!(fits(pattern, &walk), "case {case}, pattern {at}: {steps:?}");
            for (step, next) in steps.iter().zip(steps.iter().cycle().skip(1)) {
                assert_eq!(step.to, next.from);
                assert!(edges.contains(&(step.from, step.to, step.class)), "{step:?}");
            }
        }
    }
    assert!(found.iter().all(|found| *found > 25), "{found:?}");
}

/// The length of the shortest cycle of each pattern that has no node twice.
fn simple(nodes: u32, edges: &Edges) -> Vec<Option<usize>> {
    fn go(edges: &Edges, path: &mut Vec<u32>, walk: &mut Vec<Classes>, best: &mut [Option<usize>]) {
        for (from, to, class) in edges {
            if *from != path[path.len() - 1] || to == from {
                continue;
            }
            walk.push(*class);
            if *to == path[0] {
                for (best, pattern) in best.iter_mut().zip(&PATTERNS) {
                    if best.is_none_or(|best| walk.len() < best) && fits(pattern, walk) {
                        *best = Some(walk.len());
                    }
                }
            } else if !path.contains(to) {
                path.push(*to);
                go(edges, path, walk, best);
                path.pop();
            }
            walk.pop();
        }
    }
    let mut best = vec![None; PATTERNS.len()];
    for start in 0..nodes {
        go(edges, &mut vec![start], &mut Vec::new(), &mut best);
    }
    best
}

#[test]
fn where_nothing_stronger_is_cycles_have_no_node_twice() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x51319);
    // By pattern: those of which there must be no cycle. Of those apart there may be walks with no simple cycle.
    let stronger: [&[usize]; 7] = [&[], &[0], &[0, 1], &[], &[0, 1, 2], &[0], &[0, 1, 5]];
    let mut compared = [0; 7];
    for case in 0..3000 {
        let nodes = rng.random_range(2..=6);
        let edges = random(&mut rng, nodes);
        let graph = built(nodes, &edges);
        let simple = simple(nodes, &edges);
        for at in [0, 1, 2, 4, 5, 6] {
            if stronger[at].iter().any(|stronger| simple[*stronger].is_some()) {
                continue;
            }
            let cycle = shortest(&graph, &PATTERNS[at], &mut 1_000_000);
            let length = cycle.as_ref().map(|cycle| cycle.steps.len());
            assert_eq!(length, simple[at], "case {case}, pattern {at}: {edges:?}, {cycle:?}");
            compared[at] += usize::from(length.is_some());
        }
    }
    assert!([0, 1, 2, 4, 5, 6].iter().all(|at| compared[*at] > 50), "{compared:?}");
}

#[test]
fn components_are_what_reaches_each_other() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x5cc);
    for case in 0..2000 {
        let nodes = rng.random_range(1..=9);
        let edges = random(&mut rng, nodes);
        let classes = if rng.random_bool(0.5) { ALL } else { FREE };
        let mut reach = vec![vec![false; nodes as usize]; nodes as usize];
        for (from, to, class) in &edges {
            reach[*from as usize][*to as usize] |= class.meets(classes);
        }
        for via in 0..nodes as usize {
            for from in 0..nodes as usize {
                for to in 0..nodes as usize {
                    reach[from][to] |= reach[from][via] && reach[via][to];
                }
            }
        }
        let both = |a: u32, b: u32| reach[a as usize][b as usize] && reach[b as usize][a as usize];
        let component = |node: u32| -> Vec<u32> {
            (0..nodes).filter(|other| *other == node || both(node, *other)).collect()
        };
        let all: BTreeSet<Vec<u32>> = (0..nodes).map(component).filter(|c| c.len() > 1).collect();
        let expected: Vec<Vec<u32>> = all.into_iter().collect();
        let graph = built(nodes, &edges);
        assert_eq!(components(&graph, classes), expected, "case {case}: {edges:?}");
        for members in expected {
            let part = graph.induced(members.clone());
            for node in 0..part.graph.nodes() {
                let whole = graph.edges_of(members[node as usize]);
                let inside: Vec<_> = whole.filter(|(to, _)| members.contains(to)).collect();
                let edges = part.graph.edges_of(node).map(|(to, c)| (members[to as usize], c));
                assert_eq!(edges.collect::<Vec<_>>(), inside);
            }
        }
    }
}

#[test]
fn a_million_transactions_in_a_ring_are_one_component() {
    const NODES: u32 = 1_000_000;
    let mut graph = GraphBuilder::new(NODES);
    (0..NODES).for_each(|node| graph.edge(node, (node + 1) % NODES, Classes::WW));
    let graph = graph.build();
    assert_eq!(components(&graph, Classes::WW)[0].len(), NODES as usize);
    assert!(components(&graph, Classes::WR).is_empty());
}

#[test]
fn relays_say_what_all_pairs_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x7e1a7);
    for case in 0..2000 {
        let nodes = rng.random_range(2..=6u32);
        let mut calls: Vec<u32> = (0..nodes).map(|_| rng.random_range(0..20)).collect();
        calls.sort_unstable();
        let times: Vec<Times> = calls
            .iter()
            .map(|call| {
                let length = rng.random_range(1..8);
                Times {
                    call: 2 * call,
                    ret: rng.random_bool(0.8).then_some(2 * (call + length) - 1),
                }
            })
            .collect();
        let edges: Edges =
            random(&mut rng, nodes).into_iter().filter(|(.., class)| FREE.meets(*class)).collect();
        let (mut relays, mut pairs) = (GraphBuilder::new(nodes), GraphBuilder::new(nodes));
        for (from, to, class) in &edges {
            relays.edge(*from, *to, *class);
            pairs.edge(*from, *to, *class);
        }
        realtime(&mut relays, &times);
        for (from, a) in times.iter().enumerate() {
            for (to, b) in times.iter().enumerate() {
                if a.ret.is_some_and(|ret| ret < b.call) {
                    pairs.edge(from as u32, to as u32, Classes::REALTIME);
                }
            }
        }
        let (relays, pairs) = (relays.build(), pairs.build());
        let real = |graph: &Graph| -> Vec<Vec<u32>> {
            let all = components(graph, ALL).into_iter();
            all.map(|c| c.into_iter().filter(|node| *node < nodes).collect()).collect()
        };
        assert_eq!(real(&relays), real(&pairs), "case {case}: {edges:?} {times:?}");
        for pattern in &PATTERNS {
            let length = |graph| shortest(graph, pattern, &mut 1_000_000).map(|c| c.steps.len());
            assert_eq!(length(&relays), length(&pairs), "case {case}: {edges:?} {times:?}");
        }
    }
}

#[test]
fn a_search_that_may_not_go_on_says_so() {
    // Almost every edge leads to a lower number, so a cycle may begin almost anywhere.
    let ring =
        |nodes: u32| (0..nodes).map(|n| ((n + 1) % nodes, n, Classes::WW)).collect::<Edges>();
    let graph = built(50, &ring(50));
    assert!(shortest(&graph, &PATTERNS[0], &mut 20).is_none());
    let cycle = shortest(&graph, &PATTERNS[0], &mut 60).unwrap();
    assert_eq!((cycle.steps.len(), cycle.shortest), (50, false));
    assert!(shortest(&graph, &PATTERNS[0], &mut 10_000).unwrap().shortest);
    // Nothing is shorter than two.
    let graph = built(2, &ring(2));
    assert!(shortest(&graph, &PATTERNS[0], &mut 3).unwrap().shortest);
}

#[test]
fn a_search_ends_with_its_budget() {
    // Every walk is tried, and none has an edge that would make it a cycle of the pattern.
    let nodes = 700;
    let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    let edges: Edges = pairs.filter(|(a, b)| a != b).map(|(a, b)| (a, b, Classes::WW)).collect();
    let graph = built(nodes, &edges);
    let wanted = pattern(FREE, &[Classes::WR], Anti::None);
    let looks = std::sync::atomic::AtomicU64::new(0);
    let three = |_: usize| {
        let before = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (before >= 2).then_some(crate::budget::Exhausted::Time)
    };
    let mut work = u64::MAX;
    assert!(shortest_simple(&graph, &wanted, &mut work, &three).is_none());
    assert_eq!((work, looks.into_inner()), (0, 3));
}
