//! Every target on seeded bytes: what a fuzzer would find in its first minute, found without one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use keelhaul_fuzz::TARGETS;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Inputs a target gets. `KEELHAUL_FUZZ_RUNS` says another number, `KEELHAUL_FUZZ_SEED` where to begin.
const RUNS: u64 = 400;

/// Bytes of an input, at most.
const BYTES_MAX: usize = 400;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

fn input(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = vec![0; rng.random_range(0..=BYTES_MAX)];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[test]
fn what_must_hold_holds_of_seeded_bytes() {
    let (runs, first) = (number("KEELHAUL_FUZZ_RUNS", RUNS), number("KEELHAUL_FUZZ_SEED", 0));
    let mut failed = Vec::new();
    for (name, body) in TARGETS {
        let mut told = BTreeMap::<&str, u64>::new();
        for seed in first..first + runs {
            let bytes = input(seed);
            match catch_unwind(AssertUnwindSafe(|| body(&bytes))) {
                Ok(word) => *told.entry(word).or_default() += 1,
                Err(_) => {
                    failed.push(format!("{name}: KEELHAUL_FUZZ_SEED={seed} KEELHAUL_FUZZ_RUNS=1"));
                    break;
                }
            }
        }
        println!("{name}: {told:?}");
        // Enough of each kind of input, or the target tests little.
        let seen = |word: &str| 50 * told.get(word).copied().unwrap_or_default() >= runs;
        let words: &[&str] = match name {
            "registers" | "objects" => &["valid", "invalid"],
            "models" => &["sequential", "not sequential"],
            "honest" => &["valid"],
            "workloads" => &["valid", "invalid", "refused"],
            _ => &["accepted", "refused"],
        };
        if runs == RUNS && !words.iter().all(|word| seen(word)) {
            failed.push(format!("{name}: too few of {words:?} in {told:?}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
