//! How far consumers were behind.
//!
//! A poll that ends at offset *o* of a key is behind if, when it began, a later offset was known to be in use: by the time that
//! has passed since it was, at least. A consumer that has polled nothing of a key it is assigned is at the beginning.

use super::log::{Log, NO_OFFSET, Outcome, What};
use crate::columns::WordMap;

/// The longest that a poll was behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lag {
    pub key: u32,
    /// Nanoseconds.
    pub lag_ns: u64,
    /// When the poll began, nanoseconds since the run did.
    pub time_ns: u64,
    pub process: u32,
}

/// The worst lag of each key that was polled with a known position, in order of the keys.
pub(super) fn lags(log: &Log) -> Vec<Lag> {
    let expired = expired(log);
    let mut worst: Vec<Option<Lag>> = vec![None; log.keys.len()];
    let mut at: WordMap<u32, WordMap<u32, i64>> = WordMap::default();
    for op in log.ops.iter().filter(|op| op.outcome == Outcome::Ok) {
        let positions = at.entry(op.span.process).or_default();
        match op.what {
            What::Assign => {
                let keys = log.keys_of(op);
                positions.retain(|key, _| keys.contains(key));
                for key in keys {
                    positions.entry(*key).or_insert(NO_OFFSET);
                }
                continue;
            }
            // Nobody knows what the group's leader gives us.
            What::Subscribe => {
                positions.clear();
                continue;
            }
            What::Txn => {}
        }
        if !op.consumes {
            continue;
        }
        for key in log.keys_of(op) {
            positions.entry(*key).or_insert(NO_OFFSET);
        }
        for item in log.polls_of(op) {
            let position = positions.entry(log.key_of(item.message)).or_insert(NO_OFFSET);
            *position = (*position).max(item.offset);
        }
        #[expect(clippy::iter_over_hash_type, reason = "the worst of each key, whatever the order")]
        for (&key, offset) in &*positions {
            let (time_ns, process) = (op.span.start_ns, op.span.process);
            let since = since(&expired[key as usize], *offset).unwrap_or(u64::MAX);
            let lag = Lag { key, lag_ns: time_ns.saturating_sub(since), time_ns, process };
            let known = &mut worst[key as usize];
            if known.is_none_or(|known| known.lag_ns < lag.lag_ns) {
                *known = Some(lag);
            }
        }
    }
    worst.into_iter().flatten().collect()
}

/// By key: when a higher offset than all before was first known to be in use, both rising.
fn expired(log: &Log) -> Vec<Vec<(i64, u64)>> {
    let mut expired: Vec<Vec<(i64, u64)>> = vec![Vec::new(); log.keys.len()];
    // Of what crashed nobody knows since when it was there.
    for op in log.ops.iter().filter(|op| op.outcome == Outcome::Ok) {
        let time_ns = op.span.end_ns;
        for item in log.sends_of(op).iter().chain(log.polls_of(op)) {
            let known = &mut expired[log.key_of(item.message) as usize];
            if item.offset != NO_OFFSET && known.last().is_none_or(|(o, _)| *o < item.offset) {
                known.push((item.offset, time_ns));
            }
        }
    }
    expired
}

/// Since when `offset` was not the last.
fn since(expired: &[(i64, u64)], offset: i64) -> Option<u64> {
    expired.get(expired.partition_point(|(known, _)| *known <= offset)).map(|(_, time_ns)| *time_ns)
}
