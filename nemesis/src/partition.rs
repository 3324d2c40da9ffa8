//! Network partitions: which links a shape cuts, and the fault that cuts them.

use std::collections::BTreeSet;
use std::time::Duration;

use keelhaul_history::NodeId;
use serde::{Deserialize, Serialize};

use crate::cuts::{Link, Manner};
use crate::env::{Env, FaultError, Injected, names};

/// How long a refusal may take: a connection's first packet may have to be sent again.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(4);

/// Who is cut from whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One node from all others.
    One,
    /// Whoever leads when the fault is injected from all others.
    Leader,
    /// The largest minority without whoever leads, from all others.
    Followers,
    /// Two halves, the smaller first where the number is odd.
    Halves,
    /// One node fewer than a half, from the rest: with five nodes one, with seven two.
    Minority,
    /// Every node sees a majority, and no two see the same one.
    MajoritiesRing,
    /// Two halves that share one node, which sees both.
    Bridge,
    /// Every node from every other.
    Everyone,
}

impl Shape {
    pub(crate) const WEIGHTED: [(Self, u32); 6] = [
        (Self::One, 2),
        (Self::Leader, 4),
        (Self::Halves, 4),
        (Self::Minority, 1),
        (Self::MajoritiesRing, 2),
        (Self::Bridge, 2),
    ];

    /// For faults that leave a link usable: these may be everywhere.
    pub(crate) const WEIGHTED_USABLE: [(Self, u32); 5] = [
        (Self::One, 2),
        (Self::Leader, 4),
        (Self::Halves, 2),
        (Self::Bridge, 1),
        (Self::Everyone, 3),
    ];
}

/// Which of a partition's links are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// Only packets to the first group: it can speak and not hear.
    Inbound,
    /// Only packets from the first group: it can hear and not speak.
    Outbound,
}

impl Direction {
    pub(crate) const WEIGHTED: [(Self, u32); 3] =
        [(Self::Both, 4), (Self::Inbound, 1), (Self::Outbound, 1)];
}

/// The pairs `(a, b)` that a shape separates, `a` in the first group. `order` is a permutation of the cluster.
fn separated(shape: Shape, order: &[NodeId]) -> Vec<(NodeId, NodeId)> {
    let n = order.len();
    let split = |first: &[NodeId], second: &[NodeId]| {
        first.iter().flat_map(|&a| second.iter().map(move |&b| (a, b))).collect::<Vec<_>>()
    };
    match shape {
        Shape::One | Shape::Leader => split(&order[..1], &order[1..]),
        Shape::Halves => split(&order[..n / 2], &order[n / 2..]),
        Shape::Minority => split(&order[..minority(n)], &order[minority(n)..]),
        Shape::Followers => split(&order[..followers(n)], &order[followers(n)..]),
        // Two nodes have neither a ring nor a bridge, and three have no ring that is not a bridge.
        Shape::MajoritiesRing | Shape::Bridge if n < 3 => split(&order[..1], &order[1..]),
        Shape::Everyone => (1..n).flat_map(|at| split(&order[at - 1..at], &order[at..])).collect(),
        Shape::MajoritiesRing if n > 3 => {
            let reach = (n / 2).div_ceil(2);
            let mut pairs = Vec::new();
            for i in 0..n {
                for j in i + 1..n {
                    let distance = (j - i).min(n - (j - i));
                    if distance > reach {
                        pairs.push((order[i], order[j]));
                    }
                }
            }
            pairs
        }
        Shape::MajoritiesRing | Shape::Bridge => split(&order[1..=n / 2], &order[n / 2 + 1..]),
    }
}

/// The links a partition cuts.
pub fn links(shape: Shape, direction: Direction, order: &[NodeId]) -> BTreeSet<Link> {
    separated(shape, order)
        .into_iter()
        .flat_map(|(a, b)| match direction {
            Direction::Both => vec![(a, b), (b, a)],
            Direction::Inbound => vec![(b, a)],
            Direction::Outbound => vec![(a, b)],
        })
        .collect()
}

/// A line for people: `n1 n2 | n3 n4 n5`, with an arrow where only one direction is cut.
pub fn label(shape: Shape, direction: Direction, order: &[NodeId]) -> String {
    let n = order.len();
    let bar = match direction {
        Direction::Both => "|",
        Direction::Inbound => "|←",
        Direction::Outbound => "|→",
    };
    let split = |at: usize| format!("{} {bar} {}", names(&order[..at]), names(&order[at..]));
    match shape {
        Shape::MajoritiesRing if n > 3 && direction == Direction::Both => {
            format!("majorities ring {}", names(order))
        }
        Shape::MajoritiesRing if n > 3 => format!("majorities ring {}, one way", names(order)),
        Shape::MajoritiesRing | Shape::Bridge if n > 2 => {
            format!(
                "{} {bar} {}, bridge {}",
                names(&order[1..=n / 2]),
                names(&order[n / 2 + 1..]),
                order[0]
            )
        }
        Shape::Everyone if direction == Direction::Both => format!("all of {}", names(order)),
        Shape::Everyone => format!("all of {}, one way", names(order)),
        Shape::Halves => split(n / 2),
        Shape::Minority => split(minority(n)),
        Shape::Followers => split(followers(n)),
        Shape::One | Shape::Leader | Shape::MajoritiesRing | Shape::Bridge => split(1),
    }
}

/// The largest minority, but at least one.
fn followers(nodes: usize) -> usize {
    (nodes.saturating_sub(1) / 2).max(1)
}

/// One node fewer than the largest minority, but at least one.
fn minority(nodes: usize) -> usize {
    (nodes.saturating_sub(1) / 2).saturating_sub(1).max(1)
}

/// The order in which the shape takes nodes, with whoever leads now in the place that it has for a leader.
pub(crate) async fn placed(env: &Env, shape: Shape, order: &[NodeId]) -> Vec<NodeId> {
    let mut order = order.to_vec();
    let last = order.len() - 1;
    let (place, leader) = match shape {
        Shape::Leader => (0, env.leader().await),
        Shape::Followers => (last, env.leader_soon().await),
        _ => (0, None),
    };
    if let Some(at) = leader.and_then(|leader| order.iter().position(|&node| node == leader)) {
        order.swap(place, at);
    }
    order
}

/// Cuts the links of the shape.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    shape: Shape,
    direction: Direction,
    manner: Manner,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let order = placed(env, shape, order).await;
    let links = links(shape, direction, &order);
    let nodes: BTreeSet<NodeId> = links.iter().flat_map(|&(a, b)| [a, b]).collect();
    env.cuts.borrow_mut().insert(fault, links, manner);
    env.apply_cuts().await?;
    let label = label(shape, direction, &order);
    Ok(Injected {
        label: if manner == Manner::Drop { format!("partition: {label}") } else { label },
        nodes: nodes.into_iter().collect(),
    })
}

/// Sends datagrams over every link: those cut by this fault must not carry any, those that no fault cuts must.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
    let cut = env.cuts.borrow().of(fault);
    let reaches = env.reachability().await?;
    for (link, carried) in reaches {
        let (from, to) = link;
        if carried && cut.contains(&link) {
            return Err(FaultError::NotInEffect(format!("packets from {from} still reach {to}")));
        }
        if !carried && !env.cuts.borrow().may_be_cut(link) {
            return Err(FaultError::NotInEffect(format!(
                "packets from {from} do not reach {to}, which nothing cuts"
            )));
        }
    }
    Ok(())
}

/// [`verify`], and whoever knocks must be told that the door is shut.
pub(crate) async fn verify_refused(env: &Env, fault: u64) -> Result<(), FaultError> {
    verify(env, fault).await?;
    let refused: BTreeSet<Link> = env.cuts.borrow().of(fault);
    for (from, to) in refused {
        let (_, refuses) = env.cuts.borrow().senders_cut_at(to);
        let back = env.cuts.borrow().senders_cut_at(from).0;
        // Where another fault makes one of the two silent, there is no answer.
        if !refuses.contains(&from) || back.contains(&to) {
            continue;
        }
        if !env.cluster.refuses(from, to, env.patience(REFUSAL_PATIENCE)).await? {
            let sentence = format!("connections from {from} to {to} are not refused");
            return Err(FaultError::NotInEffect(sentence));
        }
    }
    Ok(())
}

/// Opens the links that no other fault holds.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    env.cuts.borrow_mut().remove(fault);
    env.apply_cuts().await
}

/// Every link that no fault cuts must carry datagrams again.
pub(crate) async fn verify_healed(env: &Env) -> Result<(), FaultError> {
    for (link, carried) in env.reachability().await? {
        if !carried && !env.cuts.borrow().may_be_cut(link) {
            return Err(FaultError::NotHealed(format!(
                "packets from {} still do not reach {}",
                link.0, link.1
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: u16) -> Vec<NodeId> {
        (1..=n).map(NodeId).collect()
    }

    /// For each node, how many nodes (itself included) it still exchanges packets with in both directions.
    fn sees(links: &BTreeSet<Link>, n: u16) -> Vec<usize> {
        order(n)
            .iter()
            .map(|&a| {
                order(n)
                    .iter()
                    .filter(|&&b| !links.contains(&(a, b)) && !links.contains(&(b, a)))
                    .count()
            })
            .collect()
    }

    #[test]
    fn shapes_separate_what_they_say() {
        let check = |shape, n, expected: &[usize]| {
            assert_eq!(
                sees(&links(shape, Direction::Both, &order(n)), n),
                expected,
                "{shape:?} of {n}"
            );
        };
        check(Shape::One, 5, &[1, 4, 4, 4, 4]);
        check(Shape::Halves, 5, &[2, 2, 3, 3, 3]);
        check(Shape::Halves, 4, &[2, 2, 2, 2]);
        check(Shape::Minority, 5, &[1, 4, 4, 4, 4]);
        check(Shape::Minority, 7, &[2, 2, 5, 5, 5, 5, 5]);
        check(Shape::MajoritiesRing, 5, &[3, 3, 3, 3, 3]);
        check(Shape::MajoritiesRing, 4, &[3, 3, 3, 3]);
        check(Shape::MajoritiesRing, 9, &[5; 9]);
        check(Shape::Followers, 5, &[2, 2, 3, 3, 3]);
        check(Shape::Followers, 3, &[1, 2, 2]);
        check(Shape::Bridge, 5, &[5, 3, 3, 3, 3]);
        check(Shape::Bridge, 3, &[3, 2, 2]);
        check(Shape::Everyone, 4, &[1, 1, 1, 1]);
        check(Shape::One, 1, &[1]);
        check(Shape::Bridge, 2, &[1, 1]);
        check(Shape::Halves, 2, &[1, 1]);
    }

    #[test]
    fn every_node_of_a_majorities_ring_sees_a_majority_and_no_two_the_same() {
        for n in 4..=9 {
            let links = links(Shape::MajoritiesRing, Direction::Both, &order(n));
            let views: BTreeSet<Vec<NodeId>> = order(n)
                .iter()
                .map(|&a| order(n).into_iter().filter(|&b| !links.contains(&(a, b))).collect())
                .collect();
            assert_eq!(views.len(), usize::from(n), "distinct views of {n}");
            assert!(views.iter().all(|view| view.len() > usize::from(n) / 2), "majorities of {n}");
        }
    }

    #[test]
    fn a_one_way_partition_cuts_one_direction() {
        let inbound = links(Shape::One, Direction::Inbound, &order(3));
        assert_eq!(inbound, BTreeSet::from([(NodeId(2), NodeId(1)), (NodeId(3), NodeId(1))]));
        let outbound = links(Shape::One, Direction::Outbound, &order(3));
        assert_eq!(outbound, BTreeSet::from([(NodeId(1), NodeId(2)), (NodeId(1), NodeId(3))]));
    }
}
