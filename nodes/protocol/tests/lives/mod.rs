//! What random lives of a cluster are made of, whatever its protocol: disks, clients, the check of what these saw, and a driver without a clock.
//! The tests of each protocol bring their own [`chaos::Subject`].

pub mod chaos;
pub mod clients;
pub mod disk;
pub mod linear;

use std::ops::Range;

/// How many seeds each test plays: `otherwise`, or what `KEELHAUL_SEEDS` says.
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be asked for more than it plays by itself"
)]
pub fn seeds(otherwise: u64) -> Range<u64> {
    let count = std::env::var("KEELHAUL_SEEDS").ok().map(|count| {
        count.parse().unwrap_or_else(|_| panic!("KEELHAUL_SEEDS is '{count}', not a number"))
    });
    0..count.unwrap_or(otherwise)
}
