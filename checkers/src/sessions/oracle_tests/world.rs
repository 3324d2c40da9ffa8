//! The promises as they are defined, decided by trying everything.

use crate::columns::{Function, INITIAL};

/// An operation as the oracle sees it.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub process: u32,
    pub key: u32,
    pub f: Function,
    pub a: u32,
    pub b: u32,
    pub known: bool,
}

impl Op {
    pub fn leaves(&self) -> Option<u32> {
        match self.f {
            Function::Write => Some(self.a),
            Function::Cas => Some(self.b),
            Function::Read | Function::Miss => None,
        }
    }

    /// Whether it may find this.
    pub fn accepts(&self, value: u32) -> bool {
        match self.f {
            Function::Read | Function::Cas => value == self.a,
            Function::Write => true,
            Function::Miss => value != self.a,
        }
    }

    pub fn finds(&self) -> bool {
        self.f != Function::Write
    }
}

/// Asked of an operation, with the pasts of those up to it, and the order up to it.
type Fits<'a> = dyn Fn(usize, &[u32], &[usize]) -> bool + 'a;

/// Operations in the order of their invocations; all of them happened.
pub struct World {
    pub ops: Vec<Op>,
}

impl World {
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Program order: one of unknown outcome comes before nothing.
    pub fn po(&self, a: usize, b: usize) -> bool {
        a < b && self.ops[a].process == self.ops[b].process && self.ops[a].known
    }

    pub fn po_past(&self, op: usize) -> u32 {
        (0..self.len()).filter(|other| self.po(*other, op)).fold(0, |set, other| set | 1 << other)
    }

    /// Whether some order of `set` that keeps `before` (the sets of what comes before each) explains what the
    /// operations of `checked` found.
    pub fn explained(&self, set: u32, before: &[u32], checked: u32) -> bool {
        self.explain(set, before, checked, 0, [INITIAL; 2])
    }

    pub fn explain(
        &self,
        set: u32,
        before: &[u32],
        checked: u32,
        placed: u32,
        state: [u32; 2],
    ) -> bool {
        placed == set
            || (0..self.len()).any(|op| {
                let (bit, Op { key, .. }) = (1 << op, self.ops[op]);
                let key = key as usize;
                let fits = set & bit != 0
                    && placed & bit == 0
                    && before[op] & set & !placed == 0
                    && (checked & bit == 0 || self.ops[op].accepts(state[key]));
                let mut next = state;
                next[key] = self.ops[op].leaves().unwrap_or(state[key]);
                fits && self.explain(set, before, checked, placed | bit, next)
            })
    }

    /// Tries every order of all operations with every causal order in it; `fits` is asked of each operation, with the
    /// pasts of those up to it, the order, and how far it goes.
    pub fn some_causal(&self, fits: &Fits<'_>) -> bool {
        self.extend(&mut Vec::new(), &mut vec![0; self.len()], fits)
    }

    pub fn extend(&self, order: &mut Vec<usize>, pasts: &mut Vec<u32>, fits: &Fits<'_>) -> bool {
        if order.len() == self.len() {
            return true;
        }
        (0..self.len()).any(|op| {
            let po = self.po_past(op);
            let placed = order.iter().fold(0_u32, |set, op| set | 1 << op);
            if placed & 1 << op != 0 || po & !placed != 0 {
                return false;
            }
            order.push(op);
            let mut set = placed;
            let found = loop {
                let closed = (0..self.len()).all(|o| set & 1 << o == 0 || pasts[o] & !set == 0);
                if po & !set == 0 && closed {
                    pasts[op] = set;
                    if fits(op, pasts, order) && self.extend(order, pasts, fits) {
                        break true;
                    }
                }
                if set == 0 {
                    break false;
                }
                set = (set - 1) & placed;
            };
            order.pop();
            found
        })
    }

    pub fn causal(&self) -> bool {
        self.some_causal(&|op, pasts, _| {
            self.explained(pasts[op] | 1 << op, &with(pasts, op), 1 << op)
        })
    }

    pub fn memory(&self) -> bool {
        self.some_causal(&|op, pasts, _| {
            let checked = self.po_past(op) | 1 << op;
            self.explained(pasts[op] | 1 << op, &with(pasts, op), checked)
        })
    }

    pub fn convergence(&self) -> bool {
        self.some_causal(&|op, pasts, order| {
            let Op { key, .. } = self.ops[op];
            let past = order.iter().filter(|other| pasts[op] & 1 << **other != 0);
            let of_key = past.filter(|other| self.ops[**other].key == key);
            let state =
                of_key.fold(INITIAL, |state, other| self.ops[*other].leaves().unwrap_or(state));
            self.ops[op].accepts(state)
        })
    }

    pub fn pram(&self) -> bool {
        // A session ends with its last operation, or with one of unknown outcome.
        (0..self.len()).all(|last| {
            let own = self.po_past(last) | 1 << last;
            let writes = (0..self.len()).filter(|op| self.ops[*op].leaves().is_some());
            let set = writes.fold(own, |set, op| set | 1 << op);
            let before: Vec<u32> = (0..self.len()).map(|op| self.po_past(op)).collect();
            self.explained(set, &before, own)
        })
    }

    /// Tries every choice of sources: an operation, or none for the initial value.
    pub fn some_sources(&self, fits: &dyn Fn(&[Option<usize>]) -> bool) -> bool {
        self.choose(&mut Vec::new(), fits)
    }

    pub fn choose(
        &self,
        sources: &mut Vec<Option<usize>>,
        fits: &dyn Fn(&[Option<usize>]) -> bool,
    ) -> bool {
        let at = sources.len();
        if at == self.len() {
            return fits(sources);
        }
        let op = self.ops[at];
        let writes = (0..self.len()).filter(|w| *w != at && self.ops[*w].key == op.key);
        let left = writes.filter_map(|w| Some((Some(w), self.ops[w].leaves()?)));
        let candidates: Vec<Option<usize>> = std::iter::once((None, INITIAL))
            .chain(left)
            .filter(|(_, value)| op.accepts(*value))
            .map(|(source, _)| source)
            .collect();
        let candidates = if op.finds() { candidates } else { vec![None] };
        candidates.into_iter().any(|source| {
            sources.push(source);
            let found = self.choose(sources, fits);
            sources.pop();
            found
        })
    }

    pub fn writes_to(&self, key: u32) -> Vec<usize> {
        let all = 0..self.len();
        all.filter(|op| self.ops[*op].key == key && self.ops[*op].leaves().is_some()).collect()
    }

    pub fn readers(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|op| self.ops[*op].finds())
    }

    pub fn read_your_writes(&self) -> bool {
        self.some_sources(&|sources| {
            self.readers().all(|read| {
                self.writes_to(self.ops[read].key)
                    .into_iter()
                    .filter(|w| self.po(*w, read))
                    .all(|own| sources[read].is_some_and(|source| !self.po(source, own)))
            })
        })
    }

    pub fn monotonic_reads(&self) -> bool {
        let before: Vec<u32> = (0..self.len()).map(|op| self.po_past(op)).collect();
        self.some_sources(&|sources| {
            // Sessions by their last operation, as for PRAM.
            (0..self.len()).all(|last| {
                (0..2).all(|key| {
                    let own = self.po_past(last) | 1 << last;
                    let reads =
                        self.readers().filter(|op| own & 1 << op != 0 && self.ops[*op].key == key);
                    let found: Vec<Option<usize>> = reads.map(|op| sources[op]).collect();
                    let set = self.writes_to(key).into_iter().fold(0, |set, op| set | 1 << op);
                    some_order(self.len(), set, &before, &mut Vec::new(), &|order| {
                        let place =
                            |s: &Option<usize>| s.map(|s| order.iter().position(|o| *o == s));
                        found.iter().map(place).is_sorted()
                    })
                })
            })
        })
    }

    pub fn monotonic_writes(&self) -> bool {
        self.some_sources(&|sources| {
            self.readers().all(|read| {
                self.readers().filter(|earlier| self.po(*earlier, read)).all(|earlier| {
                    let Some(seen) = sources[earlier] else { return true };
                    let other = self.ops[seen].process != self.ops[read].process;
                    let passed = self
                        .writes_to(self.ops[read].key)
                        .into_iter()
                        .filter(|w| self.po(*w, seen));
                    !other || { passed }
                        .all(|w| sources[read].is_some_and(|source| !self.po(source, w)))
                })
            })
        })
    }

    pub fn writes_follow_reads(&self) -> bool {
        self.some_sources(&|sources| {
            let Some(before) = self.happened(sources) else { return false };
            self.readers().all(|read| {
                self.readers().filter(|earlier| self.po(*earlier, read)).all(|earlier| {
                    let Some(seen) = sources[earlier] else { return true };
                    let other = self.ops[seen].process != self.ops[read].process;
                    let question = |op: &usize| *op == seen || self.po(*op, seen);
                    let read_before = self.readers().filter(question).filter_map(|op| sources[op]);
                    let mut missed =
                        read_before.filter(|w| self.ops[*w].key == self.ops[read].key).filter(
                            |w| sources[read].is_none_or(|source| before[*w] & 1 << source != 0),
                        );
                    !other || missed.next().is_none()
                })
            })
        })
    }

    /// What happened before each, unless something happened before itself.
    pub fn happened(&self, sources: &[Option<usize>]) -> Option<Vec<u32>> {
        let mut before: Vec<u32> = (0..self.len())
            .map(|op| self.po_past(op) | sources[op].map_or(0, |source| 1 << source))
            .collect();
        for _ in 0..self.len() {
            for op in 0..self.len() {
                for other in 0..self.len() {
                    if before[op] & 1 << other != 0 {
                        before[op] |= before[other];
                    }
                }
            }
        }
        (0..self.len()).all(|op| before[op] & 1 << op == 0).then_some(before)
    }
}

/// The pasts, and that of `op` as its own.
pub fn with(pasts: &[u32], op: usize) -> Vec<u32> {
    let mut before = pasts.to_vec();
    before[op] = pasts[op];
    before
}

/// Tries every order of `set` that keeps `before`.
pub fn some_order(
    len: usize,
    set: u32,
    before: &[u32],
    order: &mut Vec<usize>,
    fits: &dyn Fn(&[usize]) -> bool,
) -> bool {
    let placed = order.iter().fold(0_u32, |set, op| set | 1 << op);
    if placed == set {
        return fits(order);
    }
    (0..len).any(|op| {
        let next = set & !placed & 1 << op != 0 && before[op] & set & !placed == 0;
        next && {
            order.push(op);
            let found = some_order(len, set, before, order, fits);
            order.pop();
            found
        }
    })
}

/// Whether the promise is kept if some of the operations of unknown outcome happened.
pub fn oracle(ops: &[Op], kept: impl Fn(&World) -> bool) -> bool {
    let unknown: Vec<usize> = (0..ops.len()).filter(|op| !ops[*op].known).collect();
    (0..1_u32 << unknown.len()).any(|chosen| {
        let happened = |op: usize| {
            unknown.iter().position(|other| *other == op).is_none_or(|at| chosen & 1 << at != 0)
        };
        let ops: Vec<Op> = (0..ops.len()).filter(|op| happened(*op)).map(|op| ops[op]).collect();
        kept(&World { ops })
    })
}
