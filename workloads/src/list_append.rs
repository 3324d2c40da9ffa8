//! Transactions that append to lists and read them.
//!
//! A read of a list tells the order of all appends to it, so every dependency between transactions is known to the checker
//! (Kingsbury & Alvaro, *Elle*, VLDB 2020). Keys no longer in use are still read now and then, and at the end every key is:
//! what was acknowledged and then lost shows there at the latest.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::begun::Begun;
use crate::txns::{Mixed, read_alone};
use crate::{TxnOptions, Workload};

/// The list-append workload.
#[must_use]
pub fn list_append(options: TxnOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Begun::default();
    let last = begun.final_reads(read_alone);
    options.workload(Mixed::new("append", begun, ChaCha8Rng::from_rng(rng)), last, rng)
}

#[cfg(test)]
mod tests {
    #[test]
    fn elements_are_appended_once_and_every_key_is_read_at_the_end() {
        crate::txns::tests::check("append", super::list_append);
    }
}
