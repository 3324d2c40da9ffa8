//! What goes wrong: cuts in the network, crashes and pauses, one or more at a time.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

#[derive(Clone, Debug)]
pub enum Fault {
    /// Pairs (from, to) whose messages are lost.
    Cut(Vec<(usize, usize)>),
    /// These nodes crash.
    Kill(Vec<usize>),
    /// These nodes stand still.
    Pause(Vec<usize>),
}

/// Which kinds a run draws from.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    pub partition: bool,
    pub kill: bool,
    pub pause: bool,
}

impl Kinds {
    pub const ALL: Kinds = Kinds { partition: true, kill: true, pause: true };

    pub fn named(names: &str) -> Kinds {
        let has = |name| names.split(',').any(|n| n == name);
        // A crash loses what was not synced here, so every kill is a loss of power.
        let kill = has("kill") || has("power");
        Kinds { partition: has("partition"), kill, pause: has("pause") }
    }
}

pub fn draw(kinds: Kinds, nodes: usize, leader: Option<usize>, rng: &mut ChaCha8Rng) -> Fault {
    loop {
        match rng.random_range(0..3) {
            0 if kinds.partition => return Fault::Cut(cut(nodes, leader, rng)),
            1 if kinds.kill => return Fault::Kill(some(nodes, leader, rng)),
            2 if kinds.pause => return Fault::Pause(some(nodes, leader, rng)),
            _ => {}
        }
    }
}

/// One node, the leader, a few, a majority or all.
fn some(nodes: usize, leader: Option<usize>, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let order = shuffled(nodes, rng);
    match rng.random_range(0..6) {
        0 | 1 => leader.map_or(order[..1].to_vec(), |leader| vec![leader]),
        2 => order[..1].to_vec(),
        3 => order[..nodes / 2].to_vec(),
        4 => order[..nodes / 2 + 1].to_vec(),
        _ => order,
    }
}

fn cut(nodes: usize, leader: Option<usize>, rng: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
    let order = shuffled(nodes, rng);
    let place: Vec<usize> =
        (0..nodes).map(|node| order.iter().position(|n| *n == node).unwrap_or(0)).collect();
    let leader = leader.unwrap_or(order[0]);
    let half = nodes / 2;
    let kind = rng.random_range(0..6);
    let one_way = kind < 4 && rng.random_bool(0.25);
    let apart = |a: usize, b: usize| match kind {
        0 => a == leader || b == leader,
        1 => a == order[0] || b == order[0],
        // A minority with the leader, or any.
        2 | 3 => {
            let side = |node: usize| {
                if kind == 2 && node == leader { true } else { place[node] < half }
            };
            side(a) != side(b)
        }
        // A bridge: two halves that meet in one node.
        4 => place[a] != half && place[b] != half && (place[a] < half) != (place[b] < half),
        // A ring of majorities: everyone sees its neighbours only.
        _ => !matches!(place[a].abs_diff(place[b]), 1) && place[a].abs_diff(place[b]) != nodes - 1,
    };
    (0..nodes)
        .flat_map(|a| (0..nodes).map(move |b| (a, b)))
        .filter(|(a, b)| a != b && apart(*a, *b))
        .filter(|(a, b)| !one_way || (place[*a] < place[*b]))
        .collect()
}

fn shuffled(nodes: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(rng);
    order
}
