//! Shaped links, seen by traffic that knows nothing of them.

use std::collections::BTreeMap;
use std::time::Duration;

use keelhaul_cluster::{Command, Daemon, MILLION, SELF_EXE, Shaping, Train, TrainReport};
use keelhaul_history::NodeId;

use crate::inside::World;

const FIRST: NodeId = NodeId(1);
const SECOND: NodeId = NodeId(2);
const THIRD: NodeId = NodeId(3);

/// How far a delay of ours may be off, in percent.
const DELAY_TOLERANCE: u64 = 10;

/// What a link does to packets, for a test.
async fn shape(world: &World<'_>, links: &[(NodeId, NodeId, Shaping)]) {
    let links: BTreeMap<_, _> =
        links.iter().map(|(from, to, shaping)| ((*from, *to), *shaping)).collect();
    world.cluster.shape(&links).await.unwrap();
}

/// Runs this program on a node; what it prints, as a number.
async fn own(world: &World<'_>, node: NodeId, words: &[&str]) -> u64 {
    let argv = [SELF_EXE].into_iter().chain(words.iter().copied());
    let output = world.cluster.node(node).run(Command::new(argv)).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.success(), "{words:?} on {node}: {:?} {said}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

async fn serve(world: &World<'_>, node: NodeId) {
    let argv = [SELF_EXE, "tcp-echo"].map(str::to_owned).to_vec();
    let node = world.cluster.node(node);
    node.start(Daemon { name: "echo".into(), argv, ..Daemon::default() }).await.unwrap();
    while !node
        .read_file("/var/log/keelhaul/echo.log", 100)
        .await
        .unwrap()
        .starts_with(b"listening")
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn round_trip_us(world: &World<'_>, from: NodeId, to: NodeId) -> u64 {
    let address = world.cluster.node(to).address().to_string();
    own(world, from, &["tcp-times", &address]).await
}

/// Whether a time is as long as asked, beside what it is without.
fn assert_delayed(what: &str, seen_us: u64, without_us: u64, asked_us: u64) {
    let added = seen_us.saturating_sub(without_us);
    println!("  {what}: {added} us of {asked_us} us asked, {without_us} us without");
    assert!(added.abs_diff(asked_us) * 100 <= asked_us * DELAY_TOLERANCE, "{what}: {added} us");
}

pub async fn delay(world: &World<'_>) {
    serve(world, SECOND).await;
    serve(world, THIRD).await;
    let without_us = round_trip_us(world, FIRST, SECOND).await;
    let slow = Shaping { delay_us: 50_000, ..Shaping::default() };
    shape(world, &[(FIRST, SECOND, slow)]).await;
    assert_delayed("there", round_trip_us(world, FIRST, SECOND).await, without_us, 50_000);
    assert!(round_trip_us(world, FIRST, THIRD).await < 10_000, "another link is as before");
    shape(world, &[(FIRST, SECOND, slow), (SECOND, FIRST, slow)]).await;
    assert_delayed("and back", round_trip_us(world, FIRST, SECOND).await, without_us, 100_000);
    let jittery = Shaping { delay_us: 20_000, jitter_us: 10_000, ..Shaping::default() };
    shape(world, &[(SECOND, FIRST, jittery)]).await;
    let times = world.cluster.round_trips(FIRST, SECOND, Duration::from_secs(1)).await.unwrap();
    assert!(times.iter().all(|us| (10_000..40_000).contains(us)), "{times:?}");
    assert!(times[times.len() - 1] - times[0] > 2_000, "they differ: {times:?}");
    shape(world, &[]).await;
    let healed_us = round_trip_us(world, FIRST, SECOND).await;
    assert!(healed_us < 10_000, "{healed_us} us after healing");
    for id in [SECOND, THIRD] {
        world.cluster.node(id).kill("echo").await.unwrap();
    }
}

/// So many packets, a millisecond apart.
async fn train(world: &World<'_>, from: NodeId, to: NodeId, count: u32) -> TrainReport {
    let train = Train { name: 0, count, bytes: 200, interval_us: 1_000 };
    world.cluster.train(from, to, train, Duration::from_millis(200)).await.unwrap()
}

/// A share of a million as counted, within five standard deviations.
fn assert_share(what: &str, count: u32, of: u32, ppm: u32) {
    let (p, of) = (f64::from(ppm) / f64::from(MILLION), f64::from(of));
    let slack = 5.0 * (of * p * (1.0 - p)).sqrt();
    println!("  {what}: {count} of {of}");
    assert!((f64::from(count) - of * p).abs() <= slack, "{what}: {count} of {of}");
}

const PACKETS: u32 = 1_000;

async fn assert_untouched(world: &World<'_>, from: NodeId, to: NodeId) {
    let clean = train(world, from, to, PACKETS).await;
    let TrainReport { arrived, doubled, early, damaged, .. } = clean;
    assert_eq!((arrived, doubled, early, damaged), (PACKETS, 0, 0, 0));
}

pub async fn loss_and_doubles(world: &World<'_>) {
    let lossy = Shaping { loss_ppm: 200_000, ..Shaping::default() };
    let twice = Shaping { duplicate_ppm: 300_000, ..Shaping::default() };
    shape(world, &[(FIRST, SECOND, lossy), (SECOND, FIRST, twice)]).await;
    let seen = train(world, FIRST, SECOND, PACKETS).await;
    assert_share("lost", PACKETS - seen.arrived, PACKETS, lossy.loss_ppm);
    assert_eq!((seen.doubled, seen.damaged), (0, 0));
    let seen = train(world, SECOND, FIRST, PACKETS).await;
    assert_share("doubled", seen.doubled, PACKETS, twice.duplicate_ppm);
    assert_eq!((seen.arrived, seen.damaged), (PACKETS, 0));
    assert_untouched(world, THIRD, SECOND).await;
    shape(world, &[]).await;
    assert_untouched(world, FIRST, SECOND).await;
    assert_untouched(world, SECOND, FIRST).await;
}

pub async fn order_and_damage(world: &World<'_>) {
    let early = Shaping { delay_us: 20_000, reorder_ppm: 250_000, ..Shaping::default() };
    let wrong = Shaping { corrupt_ppm: 100_000, ..Shaping::default() };
    shape(world, &[(FIRST, SECOND, early), (SECOND, FIRST, wrong)]).await;
    let seen = train(world, FIRST, SECOND, PACKETS).await;
    assert_share("early", seen.early, PACKETS, early.reorder_ppm);
    assert_eq!((seen.arrived, seen.doubled, seen.damaged), (PACKETS, 0, 0));
    let seen = train(world, SECOND, FIRST, PACKETS).await;
    // What is damaged is found by its checksum, and so lost; a wrong port is found later, or never.
    assert_share("damaged", PACKETS - seen.arrived, PACKETS, wrong.corrupt_ppm);
    assert!(seen.damaged > 0 && seen.damaged <= PACKETS - seen.arrived, "{seen:?}");
    shape(world, &[]).await;
    assert_untouched(world, FIRST, SECOND).await;
    assert_untouched(world, SECOND, FIRST).await;
}

pub async fn bandwidth(world: &World<'_>) {
    serve(world, SECOND).await;
    let address = world.cluster.node(SECOND).address().to_string();
    let pour =
        async |bytes: u64| own(world, FIRST, &["tcp-pour", &address, &bytes.to_string()]).await;
    let mbit = |bytes: u64, us: u64| bytes as f64 * 8.0 / us as f64;
    let slow = Shaping { rate_kbit: 8_000, ..Shaping::default() };
    shape(world, &[(FIRST, SECOND, slow)]).await;
    let bytes = 3_000_000;
    let seen = mbit(bytes, pour(bytes).await);
    println!("  {seen:.2} Mbit/s of 8 asked");
    // Headers are no payload, and TCP may lose some time; nothing is faster.
    assert!((6.0..8.2).contains(&seen), "{seen} Mbit/s");
    let far = Shaping { delay_us: 20_000, ..Shaping::default() };
    shape(world, &[(FIRST, SECOND, far)]).await;
    let bytes = 30_000_000;
    println!("  {:.0} Mbit/s over a link that is 20 ms long", mbit(bytes, pour(bytes).await));
    shape(world, &[]).await;
    let seen = mbit(bytes, pour(bytes).await);
    println!("  {seen:.0} Mbit/s after healing");
    assert!(seen > 16.0, "at least twice the limit of before: {seen} Mbit/s");
    world.cluster.node(SECOND).kill("echo").await.unwrap();
}

pub async fn with_a_cut(world: &World<'_>) {
    let lossy = Shaping { loss_ppm: 400_000, delay_us: 150_000, ..Shaping::default() };
    shape(world, &[(FIRST, SECOND, lossy), (THIRD, SECOND, lossy)]).await;
    let second = world.cluster.node(SECOND);
    second.cut(&[world.cluster.node(FIRST).address()]).await.unwrap();
    let patience = |_: NodeId, to: NodeId| (to == SECOND).then_some(Duration::from_millis(150));
    let seen = world.cluster.reachability_when_shaped(patience).await.unwrap();
    for &(from, to, reached) in &seen.pairs {
        assert_eq!(reached, (from, to) != (FIRST, SECOND), "{from} to {to}");
    }
    second.cut(&[]).await.unwrap();
    let seen = world.cluster.reachability_when_shaped(patience).await.unwrap();
    assert!(seen.reaches(FIRST, SECOND) && seen.reaches(THIRD, SECOND));
    shape(world, &[]).await;
}

pub async fn healed_by_heal(world: &World<'_>) {
    let slow = Shaping { delay_us: 300_000, ..Shaping::default() };
    shape(world, &[(FIRST, SECOND, slow)]).await;
    let wait = Duration::from_secs(1);
    let times = world.cluster.round_trips(FIRST, SECOND, wait).await.unwrap();
    assert!(times[0] >= 300_000, "{times:?}");
    world.cluster.node(SECOND).heal().await.unwrap();
    let times = world.cluster.round_trips(FIRST, SECOND, wait).await.unwrap();
    assert!(times[0] < 100_000, "{times:?}");
    assert_untouched(world, FIRST, SECOND).await;
}

/// How a connection from one node to another, on which nothing listens that we know of, ends: at once by a refusal, or not within the time.
async fn is_refused(world: &World<'_>, from: NodeId, to: NodeId) -> bool {
    world.cluster.refuses(from, to, Duration::from_millis(900)).await.unwrap()
}

pub async fn refusals(world: &World<'_>) {
    serve(world, SECOND).await;
    let second = world.cluster.node(SECOND);
    let (first_address, third_address) =
        (world.cluster.node(FIRST).address(), world.cluster.node(THIRD).address());
    let connects = async |from: NodeId| {
        let argv = [SELF_EXE, "tcp-times", &second.address().to_string()];
        world.cluster.node(from).run(Command::new(argv)).await.unwrap()
    };
    assert!(connects(FIRST).await.success() && connects(THIRD).await.success());
    // One is refused, another meets silence.
    let rules = second.cut_and_refuse(&[third_address], &[first_address]).await.unwrap();
    let refuses: Vec<_> = rules.iter().map(|rule| (rule.from, rule.refuses)).collect();
    assert_eq!(refuses, [(first_address, true), (third_address, false)]);
    let told = String::from_utf8_lossy(&connects(FIRST).await.stderr).into_owned();
    assert!(told.contains("ConnectionRefused"), "{told}");
    assert!(is_refused(world, FIRST, SECOND).await && !is_refused(world, THIRD, SECOND).await);
    // One way only: the second's own packets arrive, and are answered, though the answers are refused.
    let seen = world.cluster.reachability().await.unwrap();
    assert!(!seen.reaches(FIRST, SECOND) && seen.reaches(SECOND, FIRST));
    let rules = second.cut_state().await.unwrap();
    assert!(rules.iter().all(|rule| rule.packets > 0), "{rules:?}");
    // Both ways: each hears that the other refuses.
    let first = world.cluster.node(FIRST);
    first.cut_and_refuse(&[], &[second.address()]).await.unwrap();
    assert!(is_refused(world, FIRST, SECOND).await && is_refused(world, SECOND, FIRST).await);
    let seen = world.cluster.reachability().await.unwrap();
    assert!(!seen.reaches(FIRST, SECOND) && !seen.reaches(SECOND, FIRST));
    for node in [first, second] {
        assert!(node.cut(&[]).await.unwrap().is_empty());
    }
    assert!(connects(FIRST).await.success() && connects(THIRD).await.success());
    second.kill("echo").await.unwrap();
}
