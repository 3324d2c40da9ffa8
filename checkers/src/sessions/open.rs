//! Values that repeat: which write a read found is unknown, and a promise is kept if there is some choice that keeps it.
//!
//! First the likeliest choice, the write that began last before the read returned: if that keeps the promise, it is kept. Otherwise
//! choices are tried one read after the other, each with what is settled so far, as long as that is not too much work.

use super::judge::{Answer, Refute, Why};
use super::order::{INIT, OPEN, Sessions, Sources};
use super::violation::{Known, Violation};
use crate::budget::{Budget, Exhausted};
use crate::columns::{Function, INITIAL};

/// Operations looked at in all choices together, at most.
const WORK_MAX: u64 = 4_000_000;

/// Looks for a choice that keeps the promise, given that nothing is wrong with what is known already.
pub fn search(
    sessions: &Sessions<'_>,
    sources: &Sources,
    refute: Refute,
    budget: &dyn Budget,
) -> Answer {
    let open = sources.iter().filter(|source| **source == OPEN).count();
    let guess = Likely::new(sessions).choose(sources.clone());
    match refute(Known { sessions, sources: &guess }, budget) {
        Ok(None) => return Answer::Kept,
        Err(why) => return Answer::Open(Why::Budget(why)),
        Ok(Some(_)) => {}
    }
    drop(guess);
    let mut order: Vec<u32> = (0..sessions.len()).collect();
    order.sort_by_key(|op| (sessions.row(*op).ret, sessions.row(*op).call));
    let mut trials = Trials { sessions, refute, budget, order, work: 0 };
    match trials.try_all(sources, 0) {
        Ok(true) => Answer::Kept,
        Ok(false) => Answer::Broken(Violation::NoChoice),
        Err(Some(why)) => Answer::Open(Why::Budget(why)),
        Err(None) => Answer::Open(Why::Repeated(open)),
    }
}

/// All writes of each key by value and time.
struct Likely<'a> {
    sessions: &'a Sessions<'a>,
    by_value: Vec<(u32, u32, u32, u32)>,
    by_call: Vec<(u32, u32, u32, u32)>,
}

impl<'a> Likely<'a> {
    fn new(sessions: &'a Sessions<'a>) -> Self {
        let writes = (0..sessions.len()).filter_map(|op| {
            let row = sessions.row(op);
            Some((sessions.key(op), row.produces()?, row.call, op))
        });
        let mut by_value: Vec<_> = writes.collect();
        let mut by_call: Vec<_> =
            by_value.iter().map(|(key, value, call, op)| (*key, *call, *value, *op)).collect();
        by_value.sort_unstable();
        by_call.sort_unstable();
        Self { sessions, by_value, by_call }
    }

    /// Chooses for every open read.
    fn choose(&self, mut sources: Sources) -> Sources {
        // A choice can show that an operation of unknown outcome happened, which then found something itself.
        while let Some(from) = sources.iter().position(|source| *source == OPEN) {
            for op in from as u32..self.sessions.len() {
                if sources[op as usize] == OPEN {
                    let choice = self.likeliest(op);
                    self.sessions.settle(&mut sources, op, choice);
                }
            }
        }
        sources
    }

    fn likeliest(&self, op: u32) -> u32 {
        let (row, key) = (self.sessions.row(op), self.sessions.key(op));
        if row.f == Function::Miss {
            let end = self.by_call.partition_point(|write| (write.0, write.1) < (key, row.ret));
            let earlier = self.by_call[..end].iter().rev().take_while(|write| write.0 == key);
            let mut fits = earlier.filter(|write| write.2 != row.a);
            let later = || self.by_call[end..].iter().find(|w| w.0 == key && w.2 != row.a);
            let otherwise =
                || if row.a == INITIAL { later().map(|write| write.3) } else { Some(INIT) };
            let choice = fits.next().map(|write| write.3).or_else(otherwise);
            return choice.expect("somebody writes another value");
        }
        let end = self.by_value.partition_point(|w| (w.0, w.1, w.2) < (key, row.a, row.ret));
        let same =
            |write: &&(u32, u32, u32, u32)| (write.0, write.1) == (key, row.a) && write.3 != op;
        let earlier =
            self.by_value[..end].iter().rev().take_while(|w| (w.0, w.1) == (key, row.a)).find(same);
        let later =
            || self.by_value[end..].iter().take_while(|w| (w.0, w.1) == (key, row.a)).find(same);
        match earlier {
            Some(write) => write.3,
            None if row.a == INITIAL => INIT,
            None => later().map_or(INIT, |write| write.3),
        }
    }
}

/// Choices one after the other.
struct Trials<'a> {
    sessions: &'a Sessions<'a>,
    refute: Refute,
    budget: &'a dyn Budget,
    /// Operations in the order in which they are settled.
    order: Vec<u32>,
    work: u64,
}

impl Trials<'_> {
    /// Whether some choice for what is open from `at` on keeps the promise; an error if that is too much work, or if the
    /// budget ended.
    fn try_all(&mut self, sources: &Sources, at: usize) -> Result<bool, Option<Exhausted>> {
        self.work += u64::from(self.sessions.len()) + 64;
        if self.work > WORK_MAX {
            return Err(None);
        }
        let known = Known { sessions: self.sessions, sources };
        if (self.refute)(known, self.budget).map_err(Some)?.is_some() {
            return Ok(false);
        }
        let open = |at: &usize| sources[self.order[*at] as usize] == OPEN;
        // Settling a read can open an earlier operation, of unknown outcome.
        let Some(at) = (at..self.order.len()).find(open).or_else(|| (0..at).find(open)) else {
            return Ok(true);
        };
        let op = self.order[at];
        for source in self.sessions.candidates(op) {
            let mut chosen = sources.clone();
            self.sessions.settle(&mut chosen, op, source);
            if self.try_all(&chosen, at)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
