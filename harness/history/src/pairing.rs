//! Whether a history is well formed: each process does one thing at a time and is retired when nobody knows how
//! that ended.

use std::collections::{BTreeMap, HashMap};

use crate::error::Problem;
use crate::raw::{Invoked, RawOp};
use crate::{Kind, Process};

/// Client processes below this number have their state in an array, where finding it costs nothing. The rest, which
/// only a strange history has, share a tree, so that one large number in a file cannot claim memory.
const DENSE_PROCESSES_MAX: usize = 1 << 20;

/// What is known of a process.
#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Idle,
    Open {
        f: u32,
        invoked: Invoked,
    },
    Retired,
}

/// The state of every process; memory grows with the number of processes, never with the number of ops.
#[derive(Default)]
pub(crate) struct Pairing {
    nemesis: State,
    dense: Vec<State>,
    sparse: BTreeMap<u32, State>,
    functions: Functions,
}

impl Pairing {
    /// Takes the next op; for a completion returns the invocation it ends.
    #[inline]
    pub fn step(&mut self, op: &RawOp<'_>) -> Result<Option<Invoked>, Problem> {
        let f = self.functions.id(op.f);
        let process = op.process;
        let state = match process {
            Process::Nemesis => &mut self.nemesis,
            Process::Client(id) if (id as usize) < DENSE_PROCESSES_MAX => {
                let at = id as usize;
                if at >= self.dense.len() {
                    self.dense.resize(at + 1, State::Idle);
                }
                &mut self.dense[at]
            }
            Process::Client(id) => self.sparse.entry(id).or_default(),
        };
        match (*state, op.kind) {
            (State::Retired, _) => Err(Problem::ReusedAfterInfo(process)),
            (State::Idle, Kind::Invoke) => {
                *state =
                    State::Open { f, invoked: Invoked { index: op.index, time_ns: op.time_ns } };
                Ok(None)
            }
            (State::Idle, _) => Err(Problem::NoInvocation(process)),
            (State::Open { invoked, .. }, Kind::Invoke) => {
                Err(Problem::DoubleInvoke { process, open: invoked.index })
            }
            (State::Open { f: opened, invoked }, kind) => {
                if opened != f {
                    let invoked = self.functions.name(opened);
                    return Err(Problem::OtherFunction { process, found: op.f.into(), invoked });
                }
                // A fault whose outcome is unknown does not stop the nemesis: it has nobody to replace it.
                let retire = kind == Kind::Info && process != Process::Nemesis;
                *state = if retire { State::Retired } else { State::Idle };
                Ok(Some(invoked))
            }
        }
    }
}

/// Numbers for function names.
#[derive(Default)]
pub(crate) struct Functions {
    names: Vec<Box<str>>,
    ids: HashMap<Box<str>, u32>,
}

impl Functions {
    /// Workloads use a handful of functions; comparing with these few is faster than hashing.
    const COMPARED: usize = 6;

    #[inline]
    pub fn id(&mut self, name: &str) -> u32 {
        let near = self.names.iter().take(Self::COMPARED).position(|known| &**known == name);
        match near {
            Some(at) => at as u32,
            None => self.id_slow(name),
        }
    }

    #[cold]
    fn id_slow(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len() as u32;
        self.names.push(name.into());
        self.ids.insert(name.into(), id);
        id
    }

    pub fn name(&self, id: u32) -> String {
        self.names[id as usize].to_string()
    }
}
