//! Causal consistency in its three forms.
//!
//! *Happened before* is what sessions and reading span: an operation comes before the later ones of its process, and a write
//! before the reads that return it, and so on. Each form asks for more than the one before:
//!
//! * **Causal** (CC; weak causal consistency): for each read there is an order of what happened before it, in which the write that it
//!   returns is the last one of its key.
//! * **Causal convergence** (CCv; causal+): that order is part of one order of all operations, the same for every read.
//! * **Causal memory** (CM): for each process there is an order of what happened before its last operation that explains all
//!   of its reads. It does not imply causal convergence, nor follows from it.
//!
//! Where written values differ, these are the same as the absence of *bad patterns*, and that is what is looked for:
//!
//! | pattern | what it is | breaks |
//! |---|---|---|
//! | thin-air read | a read of a value that nobody wrote | all |
//! | CyclicCO | an operation that happened before itself | all |
//! | WriteCOInitRead | a read of the initial value after a write of the key happened | all |
//! | WriteCORead | `w` happened before `w'`, and that before a read that returns `w`'s value, all of one key | all |
//! | CyclicCF | where `w'` happened before a read that returns `w`, let `w'` come before `w`: a cycle of this and happened before | CCv |
//! | CyclicHB | the same for one process, and what follows again because of its other reads | CM |
//! | WriteHBInitRead | a read of the initial value after a write of the key, in the order of CyclicHB | CM |
//!
//! A cas that succeeded is a read and a write at one point. What it did was decided where it was done: for others it is a
//! write. So two cas from the same value, neither of which knew of the other, break none of these promises.
//! An operation of unknown outcome that somebody has read has happened; any other one counts as never begun, which explains at
//! least as much. Real time plays no part: a read of a value that was written only later breaks a promise only if it
//! happened before that write.
//!
//! Costs: with `n` operations and `k` processes CC and CCv take O(n·k), and so does the memory for the clocks, at most; CM takes O(n) more for
//! each process.
//!
//! Sources: Bouajjani, Enea, Guerraoui & Hamza, *On Verifying Causal Consistency* (POPL 2017), sections 3 and 6; Perrin, Mostéfaoui &
//! Jard, *Causal Consistency: Beyond Memory* (PPoPP 2016); Ahamad et al., *Causal Memory* (Distributed Computing 9(1), 1995).

pub(crate) mod clocks;
mod conflicts;
mod peel;
pub(crate) mod view;
pub(crate) mod writes;

use rayon::prelude::*;

use crate::budget::{Budget, Exhausted, Sparing};
use crate::columns::Registers;
use crate::models::Model;
use crate::sessions::judge::judge;
use crate::sessions::order::{INIT, NOBODY, NONE};
use crate::sessions::violation::{Happened, Known, Link, Order, Step, Violation, happened, path};
use crate::verdict::Check;
use clocks::{Clocks, NoClocks};
use conflicts::{Edges, Stale, conflicts};
use peel::{Peel, Scope};
use view::{Names, View};
use writes::Writes;

/// Judges CC.
#[must_use]
pub fn check(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::Causal, refute, registers, budget)
}

/// Judges CCv.
#[must_use]
pub fn check_convergence(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::CausalConvergence, refute_convergence, registers, budget)
}

/// Judges CM.
#[must_use]
pub fn check_memory(registers: &Registers, budget: &dyn Budget) -> Check {
    judge(Model::CausalMemory, refute_memory, registers, budget)
}

/// What breaks CC.
///
/// # Errors
/// If the budget ends.
pub fn refute(known: Known<'_>, budget: &dyn Budget) -> Result<Option<Violation>, Exhausted> {
    Ok(causal(known, false, budget)?.err())
}

/// What is known of a history that is CC.
struct Causal {
    clocks: Clocks,
    writes: Writes,
    /// By key, writes and the writes that they must come before.
    edges: Vec<Edges>,
}

fn causal(
    known: Known<'_>,
    edges: bool,
    budget: &dyn Budget,
) -> Result<Result<Causal, Violation>, Exhausted> {
    if let Some(violation) = not_written(known) {
        return Ok(Err(violation));
    }
    let clocks = match Clocks::causal(known, budget) {
        Ok(clocks) => clocks,
        Err(NoClocks::Exhausted(why)) => return Err(why),
        Err(NoClocks::Cycle(op)) => return Ok(Err(cyclic(known, op))),
    };
    let writes = Writes::new(known.sessions);
    let (stale, edges) = conflicts(known, &clocks, &writes, edges, budget)?;
    Ok(stale.map_or(Ok(Causal { clocks, writes, edges }), |stale| Err(tell_stale(known, stale))))
}

/// The first read of a value that nobody wrote.
pub(crate) fn not_written(known: Known<'_>) -> Option<Violation> {
    let ops = 0..known.sessions.len();
    let bad = ops.filter(|op| known.sources[*op as usize] == NOBODY);
    let read = bad.min_by_key(|op| known.sessions.row(*op).ret)?;
    Some(Violation::NotWritten { read })
}

/// The operation happened before itself.
pub(crate) fn cyclic(known: Known<'_>, op: u32) -> Violation {
    let round = path(&Happened(known), &|other| other == op, op, known.sessions.len());
    let steps = round.map(|(_, steps)| steps).unwrap_or_default();
    Violation::Cycle { anomaly: "CyclicCO", steps }
}

fn tell_stale(known: Known<'_>, Stale { old, new, read }: Stale) -> Violation {
    let (anomaly, replaced) = match old {
        INIT => ("WriteCOInitRead", Vec::new()),
        _ => ("WriteCORead", happened(known, old, new)),
    };
    Violation::Stale { anomaly, old, replaced, new, known: happened(known, new, read), read }
}

/// What breaks CCv.
///
/// # Errors
/// If the budget ends.
pub fn refute_convergence(
    known: Known<'_>,
    budget: &dyn Budget,
) -> Result<Option<Violation>, Exhausted> {
    let Causal { clocks, edges, .. } = match causal(known, true, budget)? {
        Ok(causal) => causal,
        Err(violation) => return Ok(Some(violation)),
    };
    let mut peel = Peel::new(known.sessions);
    let ops = 0..known.sessions.len();
    ops.clone().for_each(|op| peel.add(known, Scope::All, op));
    edges.iter().flatten().for_each(|(first, second)| peel.edge(*first, *second));
    let free: Vec<u32> = ops.filter(|op| !peel.blocked(*op)).collect();
    let mut left = vec![true; known.sessions.len() as usize];
    for op in free {
        peel.take(known, Scope::All, op, NONE, |gone| left[gone as usize] = false);
    }
    if !left.contains(&true) {
        return Ok(None);
    }
    Ok(Some(Arbitrated { known, clocks: &clocks, edges: inside(&edges, &left) }.violation()))
}

/// The edges between operations that are left, in order of their later ends.
fn inside(edges: &[Edges], left: &[bool]) -> Edges {
    let both = |(a, b): &&(u32, u32)| left[*a as usize] && left[*b as usize];
    let mut edges: Edges = edges.iter().flatten().filter(both).copied().collect();
    edges.sort_unstable_by_key(|(first, second)| (*second, *first));
    edges.dedup();
    edges
}

/// Happened before, and what reads say of concurrent writes.
struct Arbitrated<'a> {
    known: Known<'a>,
    clocks: &'a Clocks,
    edges: Edges,
}

/// Edges that are tried as the start of a short cycle.
const CYCLES_TRIED: usize = 32;

impl Arbitrated<'_> {
    fn violation(&self) -> Violation {
        let len = self.known.sessions.len();
        let round = |(first, second): &(u32, u32)| {
            let (_, mut steps) = path(self, &|op| op == *second, *first, len)?;
            steps.push(Step { to: *second, link: self.replaced(*first, *second) });
            Some(steps)
        };
        let mut rounds: Vec<Vec<Step>> = Vec::new();
        for edge in &self.edges {
            rounds.extend(round(edge));
            if rounds.len() >= CYCLES_TRIED {
                break;
            }
        }
        let mut steps =
            rounds.into_iter().min_by_key(Vec::len).expect("what is left holds a cycle");
        let mut before = steps.last().expect("a cycle has steps").to;
        for step in &mut steps {
            if matches!(step.link, Link::Replaced { .. }) {
                step.link = self.replaced(before, step.to);
            }
            before = step.to;
        }
        Violation::Cycle { anomaly: "CyclicCF", steps }
    }

    /// Who had the first write in its past and found the second.
    fn replaced(&self, first: u32, second: u32) -> Link {
        let sessions = self.known.sessions;
        let readers = sessions.of_key(sessions.key(second)).iter().copied();
        let mut readers = readers.filter(|op| {
            self.known.found(*op) == second && self.clocks.before(sessions, first, *op)
        });
        let reader = readers.next().expect("some read says so");
        Link::Replaced { reader, seen: happened(self.known, first, reader) }
    }
}

impl Order for Arbitrated<'_> {
    fn before(&self, op: u32, visit: &mut dyn FnMut(u32, Link)) {
        Happened(self.known).before(op, visit);
        let from = self.edges.partition_point(|(_, second)| *second < op);
        for (first, _) in self.edges[from..].iter().take_while(|(_, second)| *second == op) {
            visit(*first, Link::Replaced { reader: NONE, seen: Vec::new() });
        }
    }
}

/// What breaks CM.
///
/// # Errors
/// If the budget ends.
pub fn refute_memory(
    known: Known<'_>,
    budget: &dyn Budget,
) -> Result<Option<Violation>, Exhausted> {
    let Causal { clocks, writes, .. } = match causal(known, false, budget)? {
        Ok(causal) => causal,
        Err(violation) => return Ok(Some(violation)),
    };
    let names = Names { cycle: "CyclicHB", initial: "WriteHBInitRead" };
    views(known, Some(&clocks), &writes, names, budget)
}

/// The first session that has no view of its own.
///
/// # Errors
/// If the budget ends.
pub(crate) fn views(
    known: Known<'_>,
    clocks: Option<&Clocks>,
    writes: &Writes,
    names: Names,
    budget: &dyn Budget,
) -> Result<Option<Violation>, Exhausted> {
    let chains = 0..known.sessions.chains().len() as u32;
    let new_view = || View::new(known, clocks, writes, names);
    let sparing = Sparing::new(budget);
    let examined = chains.into_par_iter().map_init(new_view, |view, chain| {
        let answer = view.examine(chain);
        if answer.is_none() {
            sparing.step(view.steps(), 0)?;
        }
        Ok(answer)
    });
    // A violation found counts even if the budget ended elsewhere.
    let answer = examined.find_first(|answer| !matches!(answer, Ok(None)));
    answer.unwrap_or(Ok(None))
}
