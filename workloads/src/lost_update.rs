//! Transactions that read a key and write it: whoever writes must have seen what it overwrites.
//!
//! Many clients update the same few keys, so that at any time several updates of one key are under way; a fifth of the
//! transactions only read. Every written value of a key is another one, so that a read names the update that it follows.

use keelhaul_engine::generator::{Context, Generator, Next};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::begun::Begun;
use crate::keys::Keys;
use crate::txns::{read, read_alone, txn, write};
use crate::{TxnOptions, Workload};

/// Share of transactions that read any key that was begun so far, and write nothing.
const READS: f64 = 0.2;

/// The lost-update workload.
#[must_use]
pub fn lost_update(options: TxnOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Begun::default();
    let last = begun.final_reads(read_alone);
    let mut own = ChaCha8Rng::from_rng(rng);
    let keys = Keys::new(begun, &mut own);
    options.workload(Updates { rng: own, keys }, last, rng)
}

/// The transactions.
struct Updates {
    rng: ChaCha8Rng,
    keys: Keys,
}

impl Generator for Updates {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if ctx.pick().is_none() {
            return Next::Pending;
        }
        let micros = if self.rng.random_bool(READS) {
            vec![read(self.keys.revisit(&mut self.rng))]
        } else {
            let (key, value) = self.keys.write(&mut self.rng);
            vec![read(key), write("w", key, value)]
        };
        Next::Op { thread: None, op: txn(micros) }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use crate::txns::tests::{OPTIONS, history, micros};

    #[test]
    fn values_are_written_once_and_every_key_is_read_at_the_end() {
        crate::txns::tests::check("w", super::lost_update);
    }

    #[test]
    fn who_writes_has_read() {
        let history = history(super::lost_update(OPTIONS, &mut ChaCha8Rng::seed_from_u64(1)));
        let mut updates = 0;
        for op in &history {
            let micros = micros(std::slice::from_ref(op));
            if let Some((_, key, _)) = micros.iter().find(|(f, ..)| f == "w") {
                assert!(micros[0].0 == "r" && micros[0].1 == *key, "{op:?}");
                updates += 1;
            }
        }
        assert!(updates > 1_000, "{updates}");
    }
}
