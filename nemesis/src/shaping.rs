//! Makes links bad in ways that leave them usable, and looks whether they are.
//!
//! Seen in effect, and healed, by packets between the agents: round trips for delays, trains of numbered packets for all else
//! ([`Effect::measure`]). A link that another fault has cut cannot be measured, and what another fault does to a link is reckoned with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keelhaul_cluster::{MILLION, Node, Shaping, Train, TrainReport};
use keelhaul_engine::together;
use keelhaul_history::NodeId;

use crate::cuts::Link;
use crate::env::{Env, FaultError, Injected};
use crate::links::{Effect, LinkSpec};
use crate::partition;

/// What a train is for all but bandwidth: enough packets to see a share of a few percent, small ones.
const TRAIN: Train = Train { name: 0, count: 250, bytes: 60, interval_us: 500 };
/// Large packets, for bandwidth, and how many of them.
const LARGE_BYTES: u32 = 1_400;
const LARGE_COUNT: (u64, u64) = (8, 200);
/// A train for bandwidth is as long as what goes through in so many milliseconds.
const LARGE_MS: u64 = 250;
/// What the network and the agents take beside.
const QUIET: Duration = Duration::from_millis(100);
/// Series of round trips until one packet comes back.
const TRIES: u32 = 3;

/// What was seen of a link.
#[derive(Clone, Debug)]
enum Seen {
    /// Microseconds there and back, in rising order.
    RoundTrips(Vec<u32>),
    /// What arrived of so many packets.
    Train(u32, TrainReport),
}

/// What is done to a link there, and to the one back.
#[derive(Clone, Copy, Debug, Default)]
struct Both {
    there: Shaping,
    back: Shaping,
}

impl Both {
    fn delay_us(self) -> u32 {
        self.there.delay_us + self.back.delay_us
    }

    fn jitter_us(self) -> u32 {
        self.there.jitter_us + self.back.jitter_us
    }

    /// How long a packet and its answer may be under way.
    fn patience(self) -> Duration {
        QUIET + Duration::from_micros((self.delay_us() + self.jitter_us()).into())
    }

    fn is_slow(self) -> bool {
        self.there.rate_kbit > 0 || self.back.rate_kbit > 0
    }

    fn overtakes(self) -> bool {
        self.there.reorder_ppm + self.back.reorder_ppm + self.jitter_us() > 0
    }
}

impl Effect {
    /// Looks at a link, on which all faults together do this.
    async fn measure(self, env: &Env, (from, to): Link, all: Both) -> Result<Seen, FaultError> {
        let (cluster, quiet) = (&env.cluster, env.patience(all.patience()));
        let train = match self {
            Self::Delay { .. } => {
                for _ in 1..TRIES {
                    let times = cluster.round_trips(from, to, quiet).await?;
                    if !times.is_empty() {
                        return Ok(Seen::RoundTrips(times));
                    }
                }
                return Ok(Seen::RoundTrips(cluster.round_trips(from, to, quiet).await?));
            }
            Self::Bandwidth { kbit } => {
                let packets = u64::from(kbit) * LARGE_MS / 8 / u64::from(LARGE_BYTES);
                let count = packets.clamp(LARGE_COUNT.0, LARGE_COUNT.1) as u32;
                Train { name: 0, count, bytes: LARGE_BYTES, interval_us: 0 }
            }
            _ => TRAIN,
        };
        // What goes through slowly may pause for as long as a packet takes.
        let quiet = if all.is_slow() { quiet + QUIET } else { quiet };
        Ok(Seen::Train(train.count, cluster.train(from, to, train, quiet).await?))
    }

    /// Why this effect is not seen, if so; `all` is what all faults do, this one among them.
    fn missing(self, seen: &Seen, all: Both) -> Option<String> {
        match (self, seen) {
            (Self::Delay { .. }, Seen::RoundTrips(times)) => {
                // One that overtakes is not delayed.
                let late = if all.overtakes() { times.last() } else { times.get(times.len() / 2) };
                let Some(&late) = late else { return Some("no packet comes back".into()) };
                let least = (all.delay_us() * 9 / 10).saturating_sub(all.jitter_us());
                (late < least).then(|| format!("a round trip takes {late} us only"))
            }
            (Self::Bandwidth { kbit }, Seen::Train(_, report)) => match rate_kbit(report) {
                None => Some("too few packets arrive to see how fast".into()),
                Some(rate) => {
                    (rate > u64::from(kbit) * 12 / 10).then(|| format!("{rate} kbit/s go through"))
                }
            },
            (_, Seen::Train(sent, report)) => {
                let count = self.counted(*sent, report);
                let least =
                    if all.is_slow() { 0 } else { expected(*sent, self.visible(all.there)).0 };
                (count < least.max(1)).then(|| format!("{count} of {sent} packets only"))
            }
            (_, Seen::RoundTrips(_)) => None,
        }
    }

    /// Why this effect is still seen, if so; `all` is what all other faults do.
    fn left(self, seen: &Seen, all: Both) -> Option<String> {
        match (self, seen) {
            // A link that others make slow, or on which others overtake, says nothing.
            (Self::Delay { delay_ms, .. }, Seen::RoundTrips(times)) if !all.is_slow() => {
                let Some(&soonest) = times.first() else {
                    return Some("no packet comes back".into());
                };
                let most = all.delay_us() + all.jitter_us() + delay_ms * 500;
                (soonest > most).then(|| format!("a round trip still takes {soonest} us"))
            }
            (Self::Bandwidth { kbit }, Seen::Train(_, report))
                if !all.is_slow() && !all.overtakes() =>
            {
                let rate = rate_kbit(report).unwrap_or(0);
                (rate < u64::from(kbit) * 12 / 10).then(|| format!("only {rate} kbit/s go through"))
            }
            (Self::Reorder { .. }, _) if all.overtakes() => None,
            (
                Self::Loss { .. }
                | Self::Duplicate { .. }
                | Self::Reorder { .. }
                | Self::Corrupt { .. },
                Seen::Train(sent, report),
            ) if !all.is_slow() => {
                let count = self.counted(*sent, report);
                let most = expected(*sent, self.share_of(all.there)).1 + sent / 100;
                (count > most).then(|| format!("still {count} of {sent} packets"))
            }
            _ => None,
        }
    }

    /// The packets that this effect has struck. What is damaged is lost.
    fn counted(self, sent: u32, report: &TrainReport) -> u32 {
        let lost = sent.saturating_sub(report.arrived);
        match self {
            Self::Duplicate { .. } => report.doubled,
            Self::Reorder { .. } => report.early,
            Self::Corrupt { .. } => lost.min(report.damaged),
            _ => lost,
        }
    }

    /// The share of packets in which this effect can be seen beside all others: a packet that is lost arrives no second time, and one
    /// that arrives a second time is not lost.
    fn visible(self, all: Shaping) -> u32 {
        let share = |ppm: u32| f64::from(ppm) / f64::from(MILLION);
        let own = share(self.share_of(self.shaping()));
        let once = 1.0 - share(all.duplicate_ppm);
        let through = 1.0 - share(all.loss_ppm);
        let whole = through * (1.0 - share(all.corrupt_ppm));
        let seen = match self {
            Self::Duplicate { .. } => own * whole * whole,
            Self::Reorder { .. } => own * whole,
            Self::Corrupt { .. } => own * through * once,
            _ => own * once,
        };
        (seen * f64::from(MILLION)) as u32
    }

    /// The share of packets that are to be counted, by what is done to a link.
    fn share_of(self, shaping: Shaping) -> u32 {
        let Shaping { loss_ppm, corrupt_ppm, duplicate_ppm, reorder_ppm, .. } = shaping;
        match self {
            Self::Duplicate { .. } => duplicate_ppm,
            Self::Reorder { .. } => reorder_ppm,
            Self::Corrupt { .. } => corrupt_ppm,
            _ => (loss_ppm + corrupt_ppm).min(MILLION),
        }
    }
}

/// How many of so many packets, at least and at most: five standard deviations around the mean.
fn expected(sent: u32, ppm: u32) -> (u32, u32) {
    let (n, p) = (f64::from(sent), f64::from(ppm) / f64::from(MILLION));
    let slack = 5.0 * (n * p * (1.0 - p)).sqrt();
    ((n * p - slack).max(0.0).floor() as u32, (n * p + slack).min(n).ceil() as u32)
}

/// Kilobits a second, from the first packet to the last; none if there were not two.
fn rate_kbit(report: &TrainReport) -> Option<u64> {
    (report.bytes > 0).then(|| report.bytes * 8 * 1_000 / report.span_us.max(1))
}

/// Shapes the links.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    LinkSpec { effect, shape, direction }: LinkSpec,
    order: &[NodeId],
) -> Result<Injected, FaultError> {
    let order = partition::placed(env, shape, order).await;
    let links = partition::links(shape, direction, &order);
    let nodes: BTreeSet<NodeId> = links.iter().flat_map(|&(a, b)| [a, b]).collect();
    let links = links.into_iter().map(|link| (link, effect.shaping())).collect();
    env.shapes.borrow_mut().insert(fault, links);
    env.apply_shapes().await?;
    let label = partition::label(shape, direction, &order);
    Ok(Injected { label, nodes: nodes.into_iter().collect() })
}

/// Packets over every link of the fault must meet its effect.
pub(crate) async fn verify(env: &Env, fault: u64, effect: Effect) -> Result<(), FaultError> {
    let mut seen = 0;
    for (link, found) in measure(env, fault, effect).await {
        let (found, all) = found?;
        if let Some(why) = effect.missing(&found, all) {
            return Err(FaultError::NotInEffect(describe(link, &why)));
        }
        seen += 1;
    }
    if seen == 0 {
        let why = "other faults hold every one of its links, so nothing can be seen on any";
        return Err(FaultError::NotInEffect(why.into()));
    }
    Ok(())
}

/// Lets the fault's links be, but for what other faults do.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    let links = env.shapes.borrow().of(fault).into_keys();
    let untouched = links.map(|link| (link, Shaping::default())).collect();
    // Kept, without effect, so that it is known where to look.
    env.shapes.borrow_mut().insert(fault, untouched);
    env.apply_shapes().await
}

/// Packets over every link of the fault must meet its effect no more.
pub(crate) async fn verify_healed(env: &Env, fault: u64, effect: Effect) -> Result<(), FaultError> {
    for (link, found) in measure(env, fault, effect).await {
        let (found, all) = found?;
        if let Some(why) = effect.left(&found, all) {
            return Err(FaultError::NotHealed(describe(link, &why)));
        }
    }
    env.shapes.borrow_mut().remove(fault);
    Ok(())
}

fn describe((from, to): Link, why: &str) -> String {
    format!("from {from} to {to} {why}")
}

/// Looks at all links of a fault that can be looked at, at once.
async fn measure(
    env: &Env,
    fault: u64,
    effect: Effect,
) -> Vec<(Link, Result<(Seen, Both), FaultError>)> {
    let links: BTreeMap<Link, Shaping> = env.shapes.borrow().of(fault);
    let open = |link: &Link| {
        let cuts = env.cuts.borrow();
        let needed = [*link, (link.1, link.0)];
        let there_only = !matches!(effect, Effect::Delay { .. });
        let carries =
            needed.into_iter().take(if there_only { 1 } else { 2 }).all(|l| !cuts.may_be_cut(l));
        let powered = |id| env.node(id).is_ok_and(Node::is_powered);
        carries && powered(link.0) && powered(link.1)
    };
    let looks = links.into_keys().filter(open).map(|link| async move {
        let total = |link| env.shapes.borrow().total(link);
        let all = Both { there: total(link), back: total((link.1, link.0)) };
        (link, effect.measure(env, link, all).await.map(|seen| (seen, all)))
    });
    together(looks).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an effect alone on a link is seen in what was measured, and whether it is still seen there when it is healed.
    fn judge(effect: Effect, seen: &Seen) -> (bool, bool) {
        let all = Both { there: effect.shaping(), back: Shaping::default() };
        (effect.missing(seen, all).is_none(), effect.left(seen, Both::default()).is_some())
    }

    fn train(arrived: u32, doubled: u32, early: u32, damaged: u32) -> Seen {
        let report = TrainReport { arrived, doubled, early, damaged, bytes: 1, span_us: 1 };
        Seen::Train(250, report)
    }

    #[test]
    fn what_is_there_is_seen_and_what_is_not_is_not() {
        let (there, gone) = ((true, true), (false, false));
        let delay = Effect::Delay { delay_ms: 50, jitter_ms: 0 };
        assert_eq!(judge(delay, &Seen::RoundTrips(vec![50_100, 50_200, 90_000])), there);
        assert_eq!(judge(delay, &Seen::RoundTrips(vec![100, 200, 90_000])), gone);
        assert_eq!(
            judge(delay, &Seen::RoundTrips(Vec::new())),
            (false, true),
            "nothing is neither"
        );
        assert_eq!(judge(Effect::Loss { percent: 20 }, &train(200, 0, 0, 0)), there);
        assert_eq!(judge(Effect::Loss { percent: 20 }, &train(249, 0, 0, 0)), gone);
        assert_eq!(judge(Effect::Duplicate { percent: 10 }, &train(250, 25, 0, 0)), there);
        assert_eq!(judge(Effect::Duplicate { percent: 10 }, &train(250, 0, 0, 0)), gone);
        assert_eq!(judge(Effect::Corrupt { percent: 5 }, &train(238, 0, 0, 12)), there);
        assert_eq!(
            judge(Effect::Corrupt { percent: 5 }, &train(238, 0, 0, 0)),
            gone,
            "lost, but not damaged"
        );
        let reorder = Effect::Reorder { percent: 25, delay_ms: 20 };
        assert_eq!(judge(reorder, &train(250, 0, 60, 0)), there);
        assert_eq!(judge(reorder, &train(250, 0, 0, 0)), gone);
        let at = |bytes, span_us| {
            Seen::Train(20, TrainReport { bytes, span_us, ..TrainReport::default() })
        };
        assert_eq!(judge(Effect::Bandwidth { kbit: 1_000 }, &at(25_000, 200_000)), there);
        assert_eq!(judge(Effect::Bandwidth { kbit: 1_000 }, &at(25_000, 1_000)), gone);
    }

    #[test]
    fn what_others_do_is_reckoned_with() {
        let (slow, loss) =
            (Effect::Delay { delay_ms: 50, jitter_ms: 0 }, Effect::Loss { percent: 20 });
        let back = Both { there: Shaping::default(), back: slow.shaping() };
        assert!(slow.left(&Seen::RoundTrips(vec![51_000]), back).is_none());
        let both = Both { there: slow.shaping(), back: slow.shaping() };
        assert!(slow.missing(&Seen::RoundTrips(vec![51_000]), both).is_some());
        let others = Both { there: loss.shaping(), back: Shaping::default() };
        assert!(loss.left(&train(200, 0, 0, 0), others).is_none(), "another fault loses as many");
    }
}
