//! What models of transactions are, by their axioms: is there an order of commits in which every read is explained? All orders are
//! tried, so this is for histories of a few transactions.
//!
//! After Biswas & Enea 2019, figure 2, and Cerone, Bernardi & Gotsman 2015: a transaction that reads a key from one writer, and to which
//! another writer of the key was *visible*, has the latter before the former. The models differ in what is visible. The order of
//! commits keeps that of the elements in the lists, and read-from; and where a model says so that of sessions, or of time.

use keelhaul_history::Reader;

use crate::models::Model;
use crate::testing::history;
use crate::txn::columns::{F, NONE, Outcome, Txns, Writers};
use crate::txn::deps::externals;
use crate::txn::read::{Reading, Shape};

/// The models that [`History::keeps`] knows.
pub(super) const AXIOMATIC: [Model; 12] = [
    Model::StrictSerializable,
    Model::StrongSessionSerializable,
    Model::Serializable,
    Model::StrongSnapshotIsolation,
    Model::StrongSessionSnapshotIsolation,
    Model::UpdateSerializable,
    Model::SnapshotIsolation,
    Model::ParallelSnapshotIsolation,
    Model::Prefix,
    Model::TransactionalCausal,
    Model::UpdateAtomic,
    Model::ReadAtomic,
];

/// Whether one transaction comes before another: a square of truths.
type Relation = Vec<Vec<bool>>;

/// A transaction; the first writes the initial version of every key.
struct Txn {
    session: u32,
    call: u32,
    ret: u32,
    /// Keys and from whom they were read.
    reads: Vec<(u32, usize)>,
    writes: Vec<u32>,
}

/// A history whose transactions all committed.
pub(super) struct History {
    txns: Vec<Txn>,
    /// Of a key: its writers, in the order of its elements.
    orders: Vec<Vec<usize>>,
}

impl History {
    /// Of events in the notation of [`history`].
    pub fn of(events: &str) -> Self {
        let text = history(events);
        let mut reader = Reader::new(text.as_bytes()).unwrap();
        let mut reading = Reading::new(Shape::Lists);
        while let Some(op) = reader.next_op().unwrap() {
            reading.observe(&op).unwrap();
        }
        Self::new(&reading.finish())
    }

    fn new(txns: &Txns) -> Self {
        assert!(txns.txns.iter().all(|txn| txn.outcome == Outcome::Ok));
        let writers = Writers::new(txns);
        let keys = 0..txns.keys.len() as u32;
        let initial = Txn {
            session: NONE,
            call: 0,
            ret: 0,
            reads: Vec::new(),
            writes: keys.clone().collect(),
        };
        let mut all = vec![initial];
        for (row, txn) in txns.txns.iter().enumerate() {
            let appends = txns.ops(row as u32).iter().filter(|op| op.f == F::Append);
            let mut writes: Vec<u32> = appends.map(|op| op.key).collect();
            writes.sort_unstable();
            writes.dedup();
            let (session, call, ret) = (txn.session, txn.span.call, txn.span.ret);
            all.push(Txn { session, call, ret, reads: Vec::new(), writes });
        }
        let row = |version| writers.of(version).map_or(0, |writer| writer as usize + 1);
        externals(txns, |read| {
            all[read.txn as usize + 1].reads.push((read.key, row(read.version)));
        });
        let order = |key| txns.spine(key).iter().map(|version| row(*version)).collect();
        Self { txns: all, orders: keys.map(order).collect() }
    }

    fn relation(&self, holds: impl Fn(usize, usize) -> bool) -> Relation {
        let all = 0..self.txns.len();
        all.clone().map(|a| all.clone().map(|b| a != b && holds(a, b)).collect()).collect()
    }

    /// Whether the history has the model.
    pub fn keeps(&self, model: Model) -> bool {
        if model == Model::UpdateSerializable {
            let reader = |at: &usize| *at > 0 && self.txns[*at].writes.is_empty();
            let mut each = (0..self.txns.len()).filter(reader).map(Some).chain([None]);
            return each.all(|reader| self.with(reader).keeps(Model::Serializable));
        }
        let t = &self.txns;
        let reads = self.relation(|a, b| t[b].reads.iter().any(|(_, from)| *from == a));
        let session = self.relation(|a, b| t[a].session == t[b].session && t[a].call < t[b].call);
        let time = self.relation(|a, b| a > 0 && t[a].ret < t[b].call);
        let apart = self.relation(|_, _| false);
        let before = match model {
            Model::Serializable | Model::SnapshotIsolation => apart,
            Model::StrictSerializable | Model::StrongSnapshotIsolation => time,
            _ => session,
        };
        let known = self.relation(|a, b| reads[a][b] || before[a][b]);
        // What nobody saw follows all that somebody saw.
        let lists = self.relation(|a, b| {
            self.orders.iter().enumerate().any(|(key, order)| {
                let unseen = b > 0 && self.writes(b, key as u32) && !order.contains(&b);
                order.windows(2).any(|next| next == [a, b]) || unseen && order.contains(&a)
            })
        });
        let first = self.relation(|a, b| known[a][b] || lists[a][b]);
        self.extend(&first, &mut vec![0], &|commits: &Relation| {
            self.explained(model, &known, commits)
        })
    }

    /// Only what writes, and a reader.
    fn with(&self, reader: Option<usize>) -> Self {
        let kept = |at: usize| at == 0 || !self.txns[at].writes.is_empty() || Some(at) == reader;
        let rows: Vec<usize> = (0..self.txns.len()).filter(|at| kept(*at)).collect();
        let row = |old: usize| rows.iter().position(|at| *at == old).unwrap();
        let txns = rows.iter().map(|at| {
            let Txn { session, call, ret, reads, writes } = &self.txns[*at];
            let reads = reads.iter().map(|(key, from)| (*key, row(*from))).collect();
            Txn { session: *session, call: *call, ret: *ret, reads, writes: writes.clone() }
        });
        let orders = self.orders.iter().map(|order| order.iter().map(|at| row(*at)).collect());
        Self { txns: txns.collect(), orders: orders.collect() }
    }

    /// Tries all orders of commits that go on from this one and keep what is known.
    fn extend(
        &self,
        known: &Relation,
        order: &mut Vec<usize>,
        explained: &dyn Fn(&Relation) -> bool,
    ) -> bool {
        if order.len() == self.txns.len() {
            let place = |at: usize| order.iter().position(|other| *other == at);
            return explained(&self.relation(|a, b| place(a) < place(b)));
        }
        for next in 1..self.txns.len() {
            let early = (1..self.txns.len()).any(|at| known[at][next] && !order.contains(&at));
            if early || order.contains(&next) {
                continue;
            }
            order.push(next);
            if self.extend(known, order, explained) {
                return true;
            }
            order.pop();
        }
        false
    }

    fn writes(&self, txn: usize, key: u32) -> bool {
        self.txns[txn].writes.contains(&key)
    }

    fn explained(&self, model: Model, known: &Relation, co: &Relation) -> bool {
        let all = 0..self.txns.len();
        let conflict =
            |a: usize, b: usize| self.txns[a].writes.iter().any(|key| self.writes(b, *key));
        let visible = match model {
            Model::ReadAtomic | Model::UpdateAtomic => known.clone(),
            Model::TransactionalCausal => closed(known),
            Model::ParallelSnapshotIsolation => {
                closed(&self.relation(|a, b| known[a][b] || co[a][b] && conflict(a, b)))
            }
            Model::Prefix => self.prefix(known, co),
            Model::SnapshotIsolation
            | Model::StrongSessionSnapshotIsolation
            | Model::StrongSnapshotIsolation => {
                self.prefix(&self.relation(|a, b| known[a][b] || co[a][b] && conflict(a, b)), co)
            }
            _ => co.clone(),
        };
        let lost = model == Model::UpdateAtomic && self.loses_an_update();
        !lost
            && all.clone().all(|reader| {
                self.txns[reader].reads.iter().all(|(key, from)| {
                    let mut others = all.clone().filter(|o| o != from && *o != reader);
                    others.all(|other| {
                        !(self.writes(other, *key) && visible[other][reader]) || co[other][*from]
                    })
                })
            })
    }

    /// Everything up to the last that is visible by itself.
    fn prefix(&self, visible: &Relation, co: &Relation) -> Relation {
        let all = 0..self.txns.len();
        self.relation(|a, b| {
            all.clone().any(|middle| visible[middle][b] && (a == middle || co[a][middle]))
        })
    }

    fn loses_an_update(&self) -> bool {
        let all = || self.txns.iter().enumerate();
        let updates = |txn: &Txn, read: &(u32, usize)| {
            txn.reads.contains(read) && txn.writes.contains(&read.0)
        };
        all().any(|(a, txn)| {
            let mut own = txn.reads.iter().filter(|read| updates(txn, read));
            own.any(|read| all().any(|(b, other)| a < b && updates(other, read)))
        })
    }
}

/// The relation made transitive.
fn closed(relation: &Relation) -> Relation {
    let mut closed = relation.clone();
    for middle in 0..closed.len() {
        let through = closed[middle].clone();
        for row in &mut closed {
            if row[middle] {
                row.iter_mut().zip(&through).for_each(|(to, from_middle)| *to |= from_middle);
            }
        }
    }
    closed
}
