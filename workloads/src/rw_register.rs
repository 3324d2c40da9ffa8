//! Transactions that read and write registers.
//!
//! Every written value of a key is another one, so a read names the write that it saw; which of two writes came first is left for
//! the checker to infer. Keys, and final reads, are those of [`list_append`](crate::list_append).

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::begun::Begun;
use crate::txns::{Mixed, read_alone};
use crate::{TxnOptions, Workload};

/// The rw-register workload.
#[must_use]
pub fn rw_register(options: TxnOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Begun::default();
    let last = begun.final_reads(read_alone);
    options.workload(Mixed::new("w", begun, ChaCha8Rng::from_rng(rng)), last, rng)
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_written_once_and_every_key_is_read_at_the_end() {
        crate::txns::tests::check("w", super::rw_register);
    }
}
