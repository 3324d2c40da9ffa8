//! Which keys transactions work on.
//!
//! As in Elle's generator a few keys are in use at a time, drawn with exponentially falling weights, and each is replaced when it
//! has been written so many times: some keys are hot and some cold, some see one fault and some several, and a key's history
//! stays short enough to be understood.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::begun::{Begun, log_uniform};

/// Keys in use at a time.
pub(crate) const KEYS: usize = 8;
/// Writes to a key before it is replaced: at least, and at most; drawn evenly on a logarithmic scale.
pub(crate) const WRITES_PER_KEY: std::ops::Range<f64> = 16.0..256.0;

/// The keys in use.
pub(crate) struct Keys {
    in_use: Vec<Key>,
    begun: Begun,
}

struct Key {
    name: i64,
    written: i64,
    writes_max: i64,
}

impl Keys {
    pub(crate) fn new(begun: Begun, rng: &mut ChaCha8Rng) -> Self {
        let in_use = (0..KEYS).map(|_| Key::fresh(&begun, rng)).collect();
        Self { in_use, begun }
    }

    /// Any key in use.
    pub(crate) fn read(&self, rng: &mut ChaCha8Rng) -> i64 {
        self.in_use[self.draw(rng)].name
    }

    /// Any key in use, and what is to be written to it: values count up from 1, so each is written once.
    pub(crate) fn write(&mut self, rng: &mut ChaCha8Rng) -> (i64, i64) {
        let at = self.draw(rng);
        let key = &mut self.in_use[at];
        key.written += 1;
        let (name, value) = (key.name, key.written);
        if value == key.writes_max {
            self.in_use[at] = Key::fresh(&self.begun, rng);
        }
        (name, value)
    }

    /// Any key that was ever in use.
    pub(crate) fn revisit(&self, rng: &mut ChaCha8Rng) -> i64 {
        self.begun.any(rng)
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let mut at = 0;
        while at + 1 < self.in_use.len() && rng.random_bool(0.5) {
            at += 1;
        }
        at
    }
}

impl Key {
    fn fresh(begun: &Begun, rng: &mut ChaCha8Rng) -> Self {
        let writes_max = log_uniform(WRITES_PER_KEY, rng).cast_signed();
        Self { name: begun.begin(1), written: 0, writes_max }
    }
}
