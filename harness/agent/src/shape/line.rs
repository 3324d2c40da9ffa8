//! What becomes of the packets of one link: decided by numbers alone, without a clock or a packet.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{MILLION, Shaping};

/// How long packets may wait for the bandwidth; a packet that would wait longer is lost.
const BACKLOG_NS_MAX: u64 = 500_000_000;
const US: u64 = 1_000;
/// Nanoseconds that a byte takes at one kilobit a second.
const NS_PER_BYTE_AT_1_KBIT: u64 = 8_000_000;

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When it arrives; never, if it is lost.
    pub at_ns: Option<u64>,
    /// When a second one arrives.
    pub copy_at_ns: Option<u64>,
    /// Which of its bits is flipped: any number, to be taken modulo its length.
    pub flip: Option<u32>,
}

/// One link.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What happens to what goes through it.
    pub shaping: Shaping,
    /// When the last packet has been through.
    free_at_ns: u64,
}

impl Line {
    /// One on which nothing waits yet.
    #[must_use]
    pub fn new(shaping: Shaping) -> Self {
        Self { shaping, free_at_ns: 0 }
    }

    /// Decides on a packet of so many bytes that comes now.
    pub fn fate(&mut self, now_ns: u64, bytes: usize, rng: &mut ChaCha8Rng) -> Fate {
        let Shaping { loss_ppm, duplicate_ppm, corrupt_ppm, .. } = self.shaping;
        let mut fate = Fate { at_ns: None, copy_at_ns: None, flip: None };
        // In netem's order: a packet that is lost may have a double that is not.
        let lost = chance(loss_ppm, rng);
        let doubled = chance(duplicate_ppm, rng);
        if !lost {
            fate.flip = chance(corrupt_ppm, rng).then(|| rng.random());
            fate.at_ns = self.through(now_ns, bytes, rng);
        }
        if doubled {
            fate.copy_at_ns = self.through(now_ns, bytes, rng);
        }
        fate
    }

    /// When a packet has been through, unless too many wait already.
    fn through(&mut self, now_ns: u64, bytes: usize, rng: &mut ChaCha8Rng) -> Option<u64> {
        let Shaping { delay_us, jitter_us, reorder_ppm, rate_kbit, .. } = self.shaping;
        let mut sent_ns = now_ns;
        if rate_kbit > 0 {
            let begins_ns = self.free_at_ns.max(now_ns);
            if begins_ns - now_ns > BACKLOG_NS_MAX {
                return None;
            }
            sent_ns = begins_ns + bytes as u64 * NS_PER_BYTE_AT_1_KBIT / u64::from(rate_kbit);
            self.free_at_ns = sent_ns;
        }
        if chance(reorder_ppm, rng) {
            return Some(sent_ns);
        }
        let (delay, jitter) = (u64::from(delay_us) * US, u64::from(jitter_us) * US);
        let delay = match jitter {
            0 => delay,
            _ => (delay + rng.random_range(0..=2 * jitter)).saturating_sub(jitter),
        };
        Some(sent_ns + delay)
    }
}

/// Draws only where there is something to decide, so that a fault does not change what another does.
fn chance(ppm: u32, rng: &mut ChaCha8Rng) -> bool {
    ppm > 0 && rng.random_range(0..MILLION) < ppm
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const MS: u64 = 1_000_000;
    const PACKETS: u64 = 20_000;

    /// What becomes of many packets of 1000 bytes that come a tenth of a millisecond apart: 80 Mbit/s.
    fn fates(shaping: Shaping) -> Vec<(u64, Fate)> {
        let (mut line, mut rng) = (Line::new(shaping), ChaCha8Rng::seed_from_u64(1));
        (0..PACKETS).map(|i| i * MS / 10).map(|at| (at, line.fate(at, 1000, &mut rng))).collect()
    }

    fn share(count: usize) -> f64 {
        count as f64 / PACKETS as f64
    }

    #[test]
    fn an_even_delay_keeps_order_and_jitter_spreads_evenly() {
        let shaping = Shaping { delay_us: 50_000, ..Shaping::default() };
        assert!(fates(shaping).iter().all(|(at, fate)| fate.at_ns == Some(at + 50 * MS)));
        let jittery = fates(Shaping { jitter_us: 10_000, ..shaping });
        let delays: Vec<u64> = jittery.iter().map(|(at, fate)| fate.at_ns.unwrap() - at).collect();
        assert!(delays.iter().all(|delay| (40 * MS..=60 * MS).contains(delay)));
        assert!(delays.iter().any(|d| *d < 41 * MS) && delays.iter().any(|d| *d > 59 * MS));
        let mean = delays.iter().sum::<u64>() / PACKETS;
        assert!(mean.abs_diff(50 * MS) < MS / 5, "{mean}");
    }

    #[test]
    fn shares_are_as_asked() {
        let part = 100_000;
        let lost = fates(Shaping { loss_ppm: part, ..Shaping::default() });
        let doubled = fates(Shaping { duplicate_ppm: part, ..Shaping::default() });
        let flipped = fates(Shaping { corrupt_ppm: part, ..Shaping::default() });
        let early = fates(Shaping { reorder_ppm: part, delay_us: 1, ..Shaping::default() });
        let check = |what: &str, count: usize| {
            assert!((share(count) - 0.1).abs() < 0.01, "{what}: {}", share(count));
        };
        check("lost", lost.iter().filter(|(_, fate)| fate.at_ns.is_none()).count());
        check("doubled", doubled.iter().filter(|(_, fate)| fate.copy_at_ns.is_some()).count());
        check("flipped", flipped.iter().filter(|(_, fate)| fate.flip.is_some()).count());
        check("early", early.iter().filter(|(at, fate)| fate.at_ns == Some(*at)).count());
        assert!(lost.iter().all(|(_, fate)| fate.copy_at_ns.is_none() && fate.flip.is_none()));
    }

    #[test]
    fn bandwidth_spaces_packets_and_a_full_backlog_loses_them() {
        // A tenth of what comes.
        let fates = fates(Shaping { rate_kbit: 8_000, ..Shaping::default() });
        let arrived: Vec<u64> = fates.iter().filter_map(|(_, fate)| fate.at_ns).collect();
        assert!(arrived.windows(2).all(|pair| pair[1] - pair[0] >= MS), "1000 bytes take 1 ms");
        let (begin, end) = (arrived[0], arrived[arrived.len() - 1]);
        assert!(arrived.len() as u64 >= (end - begin) / MS, "the line is never idle");
        assert!(fates.iter().all(|(at, fate)| fate.at_ns.is_none_or(|t| t - at <= 502 * MS)));
        // Two seconds of sending, and half a second of backlog.
        assert!((2_490..2_510).contains(&arrived.len()), "{}", arrived.len());
    }

    #[test]
    fn an_unshaped_line_changes_nothing() {
        let untouched = |at: u64| Fate { at_ns: Some(at), copy_at_ns: None, flip: None };
        assert!(fates(Shaping::default()).iter().all(|(at, fate)| *fate == untouched(*at)));
    }
}
