//! Keys that are begun one after the other, revisited now and then, and all read at the end.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use keelhaul_engine::Invocation;
use keelhaul_history::Value;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Reads of each key at the end; several, since one may meet a node that answers with an error.
pub(crate) const FINAL_READS: i64 = 3;

/// How many keys, or groups of them, were begun; their names are the numbers below. Clones are the same, so that whoever reads
/// all of them in the end knows how many there are.
#[derive(Clone, Default)]
pub(crate) struct Begun(Rc<Cell<i64>>);

impl Begun {
    pub(crate) fn count(&self) -> i64 {
        self.0.get()
    }

    /// Begins so many more; the name of the first of them.
    pub(crate) fn begin(&self, count: i64) -> i64 {
        self.0.replace(self.count() + count)
    }

    /// Names without end: each is begun when it is asked for.
    pub(crate) fn names(&self) -> impl Iterator<Item = Value> + use<> {
        let begun = self.clone();
        std::iter::repeat_with(move || Value::Int(begun.begin(1)))
    }

    /// Any that was begun; there must be one.
    pub(crate) fn any(&self, rng: &mut ChaCha8Rng) -> i64 {
        rng.random_range(0..self.count())
    }

    /// Reads of everything that was begun. How much there is is known only when the first is asked for.
    pub(crate) fn final_reads<F: FnMut(i64) -> Invocation>(
        &self,
        mut read: F,
    ) -> impl Iterator<Item = Invocation> + use<F> {
        let begun = self.clone();
        (0..).map_while(move |at| {
            let name = at / FINAL_READS;
            (name < begun.count()).then(|| read(name))
        })
    }
}

/// A number of this range, drawn evenly on a logarithmic scale.
pub(crate) fn log_uniform(range: Range<f64>, rng: &mut ChaCha8Rng) -> u64 {
    rng.random_range(range.start.ln()..range.end.ln()).exp() as u64
}
