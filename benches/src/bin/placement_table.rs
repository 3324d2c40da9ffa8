//! How evenly the ring places keys, and how many move when groups join and leave, as a table.
//!
//! `cargo run --release -p keelhaul-benches --bin placement-table -- [--keys K]`
//!
//! No placement that stays even can move less than K/n of K keys when n groups become of n − 1, or n − 1 of n: that is the ideal which what
//! moved is divided by. Beside it stands what `hash mod n` would move. Everything is counted, nothing estimated.

use std::process::ExitCode;

use keelhaul_protocol::placement::{GroupId, Ring};

const USAGE: &str = "usage: placement-table [--keys K]";
const KEYS_DEFAULT: u32 = 200_000;
/// Groups before one joins.
const GROUPS: [u16; 5] = [1, 2, 4, 8, 16];
const POINTS: [u32; 4] = [1, 16, 128, 1024];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let keys = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Some(KEYS_DEFAULT),
        ["--keys", count] => count.parse().ok().filter(|count| (1..=100_000_000).contains(count)),
        _ => None,
    };
    let Some(keys) = keys else {
        eprintln!("{USAGE}, with K from 1 to 100000000");
        return ExitCode::from(64);
    };
    println!(
        "| groups | points a group | moved by a join / ideal | by the next leave / ideal | by `mod n` / ideal | largest share / mean | smallest |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for groups in GROUPS {
        for points in POINTS {
            row(groups, points, keys);
        }
    }
    ExitCode::SUCCESS
}

fn row(groups: u16, points: u32, keys: u32) {
    let before = Ring::new((0..groups).map(GroupId), points);
    let mut joined = before.clone();
    joined.join(GroupId(groups));
    // Who was there first leaves, rather than who came last.
    let mut left = joined.clone();
    left.leave(GroupId(0));
    let places = |ring: &Ring| -> Vec<u16> {
        (0..keys)
            .map(|key| ring.group(key.to_string().as_bytes()).map_or(0, |group| group.0))
            .collect()
    };
    let (before, joined, left) = (places(&before), places(&joined), places(&left));
    let ideal = f64::from(keys) / f64::from(groups + 1);
    let moved = |one: &[u16], other: &[u16]| {
        one.iter().zip(other).filter(|(one, other)| one != other).count() as f64 / ideal
    };
    let modulo = |groups: u16| (0..keys).map(|key| (key % u32::from(groups)) as u16).collect();
    let (old, new): (Vec<u16>, Vec<u16>) = (modulo(groups), modulo(groups + 1));
    let mut shares = vec![0_u32; usize::from(groups) + 1];
    joined.iter().for_each(|group| shares[usize::from(*group)] += 1);
    let share = |keys: Option<&u32>| keys.map_or(0.0, |keys| f64::from(*keys) / ideal);
    println!(
        "| {groups} + 1 | {points} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        moved(&before, &joined),
        moved(&joined, &left),
        moved(&old, &new),
        share(shares.iter().max()),
        share(shares.iter().min()),
    );
}
