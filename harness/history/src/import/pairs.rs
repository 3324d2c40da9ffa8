//! Whether imported ops fit together: whose they are, and which completion ends which invocation.

use std::collections::{BTreeMap, BTreeSet};

use super::importer::CRASH;
use crate::error::Problem;
use crate::pairing::Functions;
use crate::raw::Invoked;
use crate::{Kind, Process};

/// Processes below this number have their state in an array.
const DENSE_PROCESSES_MAX: usize = 1 << 16;

/// Who performs an op, as the file names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Client(u32),
    Nemesis,
}

impl Who {
    /// The largest number that a file may give a process, far from where counting on would overflow.
    pub const CLIENT_MAX: u32 = 999_999_999;

    pub const fn process(self) -> Process {
        match self {
            Self::Client(id) => Process::Client(id),
            Self::Nemesis => Process::Nemesis,
        }
    }
}

/// What the next op says that matters for pairing.
pub(super) struct Event<'a> {
    pub who: Who,
    pub kind: Kind,
    pub f: &'a str,
    /// JSON of the key, to be remembered where keys were lifted out of values.
    pub key: Option<&'a str>,
    pub index: u64,
    pub time_ns: u64,
    /// The time that the file says.
    pub given_ns: Option<i64>,
}

/// How an op fits.
pub(super) enum Fit {
    Op {
        process: Process,
        kind: Kind,
        invoked: Option<Invoked>,
        /// Whether the process was given a new number for it.
        renamed: bool,
    },
    /// An event of the nemesis that fits nothing, and that no verdict needs.
    Odd,
    /// The process crashed while it did nothing.
    Crash,
}

#[derive(Default)]
struct Slot {
    /// Number it goes under, if not its own.
    renamed: Option<u32>,
    retired: bool,
    open: Option<Open>,
    given_ns: Option<i64>,
}

struct Open {
    f: u32,
    key: Option<Box<str>>,
    invoked: Invoked,
}

/// The state of every process; memory grows with the number of processes, never with the number of ops.
#[derive(Default)]
pub(super) struct Pairs {
    nemesis: Slot,
    dense: Vec<Slot>,
    sparse: BTreeMap<u32, Slot>,
    functions: Functions,
    /// The first number above all that were used so far.
    next_fresh: u32,
    /// New numbers that were given. A process that the file calls by one of them later gets another.
    given: BTreeSet<u32>,
}

impl Pairs {
    /// Takes the next op.
    #[inline]
    pub fn step(&mut self, event: &Event<'_>) -> Result<Fit, Problem> {
        let f = self.functions.id(event.f);
        let Event { who, mut kind, .. } = *event;
        let mut clashes = false;
        if let Who::Client(id) = who {
            clashes = !self.given.is_empty() && self.given.contains(&id);
            self.next_fresh = self.next_fresh.max(id + 1);
        }
        let next_fresh = self.next_fresh;
        let slot = self.slot(who);
        slot.retired |= clashes && slot.renamed.is_none();
        if who == Who::Nemesis {
            if kind == Kind::Info && slot.open.is_none() {
                kind = Kind::Invoke;
            }
            let odd = match &slot.open {
                None => kind != Kind::Invoke,
                Some(open) => kind == Kind::Invoke || open.f != f,
            };
            if odd {
                return Ok(Fit::Odd);
            }
        } else if let Some((previous, found)) = slot.given_ns.zip(event.given_ns)
            && found < previous
        {
            return Err(Problem::OwnTimeBack { process: who.process(), found, previous });
        }
        slot.given_ns = event.given_ns.or(slot.given_ns);
        let mut renamed = false;
        let invoked = match (kind, slot.open.take()) {
            (Kind::Invoke, Some(open)) => {
                let process = who.process();
                return Err(Problem::DoubleInvoke { process, open: open.invoked.index });
            }
            (Kind::Invoke, None) => {
                if slot.retired {
                    slot.retired = false;
                    slot.renamed = Some(next_fresh);
                    renamed = true;
                }
                let invoked = Invoked { index: event.index, time_ns: event.time_ns };
                slot.open = Some(Open { f, key: event.key.map(Into::into), invoked });
                None
            }
            (Kind::Info, None) if event.f == CRASH => {
                slot.retired = true;
                return Ok(Fit::Crash);
            }
            (_, None) => return Err(Problem::NoInvocation(who.process())),
            (_, Some(open)) if open.f != f => {
                let (process, found) = (who.process(), event.f.into());
                let invoked = self.functions.name(open.f);
                return Err(Problem::OtherFunction { process, found, invoked });
            }
            (_, Some(open)) => {
                slot.retired = kind == Kind::Info && who != Who::Nemesis;
                Some(open.invoked)
            }
        };
        let process = slot.renamed.map_or_else(|| who.process(), Process::Client);
        if renamed {
            self.given.insert(next_fresh);
            self.next_fresh = next_fresh + 1;
        }
        Ok(Fit::Op { process, kind, invoked, renamed })
    }

    /// The function of the operation that is open.
    pub fn open_function(&mut self, who: Who) -> Option<String> {
        let f = self.slot(who).open.as_ref()?.f;
        Some(self.functions.name(f))
    }

    /// The key of the operation that is open, as JSON.
    pub fn open_key(&mut self, who: Who) -> Option<&str> {
        self.slot(who).open.as_ref()?.key.as_deref()
    }

    fn slot(&mut self, who: Who) -> &mut Slot {
        match who {
            Who::Nemesis => &mut self.nemesis,
            Who::Client(id) if (id as usize) < DENSE_PROCESSES_MAX => {
                let at = id as usize;
                if at >= self.dense.len() {
                    self.dense.resize_with(at + 1, Slot::default);
                }
                &mut self.dense[at]
            }
            Who::Client(id) => self.sparse.entry(id).or_default(),
        }
    }
}
