//! From events to operations: what words a workload uses, and what their values must look like.

use keelhaul_history::{Kind, Process, RawOp, RawValue, Value};

use super::model::{Model, Operation};
use crate::budget::Budget;
use crate::columns::{Atom, ColumnError, NEVER, WordMap};
use crate::interner::Keys;
use crate::lattice::{Answers, Question, Table};
use crate::models::Model as Consistency;
use crate::sequential;

/// What is wrong with an event's function or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// There is no such function.
    Function,
    /// The value must be what this says.
    Value(&'static str),
}

/// How the events of one object are read.
pub trait Vocabulary: Default {
    /// The object.
    type Model: Model;

    /// What the object is called, with its functions, e.g. `a queue has enqueue and dequeue`.
    const KNOWN: &'static str;

    /// Learns what the object holds at first, where the user says so.
    ///
    /// # Errors
    /// With what can be said, if not this. By default nothing can: the object begins empty.
    fn begin(&mut self, _initial: &Value) -> Result<(), &'static str> {
        Err("nothing, since what is judged here begins empty")
    }

    /// The invoked operation, without a result.
    ///
    /// # Errors
    /// If this is no invocation of the object.
    fn invoke(&mut self, f: &str, value: RawValue<'_>) -> Result<Op<Self>, Misfit>;

    /// The operation with the result that it completed with.
    ///
    /// # Errors
    /// If this is no result of the operation.
    fn complete(&mut self, op: Op<Self>, value: RawValue<'_>) -> Result<Op<Self>, Misfit>;

    /// The object, when all events have been read.
    fn finish(self, ops: &mut [Operation<Op<Self>>]) -> Self::Model;

    /// Judges all objects of a history by the models of these names; none: what is usual.
    fn answer(objects: Vec<Object<Self::Model>>, names: &[&str], budget: &dyn Budget) -> Answers
    where
        Self::Model: Send,
    {
        let table: &Table<Vec<Object<Self::Model>>> = &[
            (Consistency::Linearizable, |objects, budget| super::check(objects, budget)),
            (Consistency::Sequential, |objects, budget| {
                sequential::objects::check(objects, budget)
            }),
        ];
        Question::of_objects(table, &objects, budget).answer(names, |_| false)
    }
}

/// The operations of a vocabulary's object.
pub type Op<V> = <<V as Vocabulary>::Model as Model>::Op;

/// One object and what was done to it.
#[derive(Debug)]
pub struct Object<M: Model> {
    /// Its key; `None` when the history has a single, unnamed one.
    pub key: Option<Value>,
    /// What it promises.
    pub model: M,
    /// Operations in order of invocation, without those that promise nothing.
    pub ops: Vec<Operation<M::Op>>,
}

/// Builds objects from events in their order.
pub struct ObjectsBuilder<V: Vocabulary> {
    initial: Value,
    objects: Vec<Unfinished<V>>,
    keys: Keys,
    in_flight: WordMap<u32, (u32, u32)>,
    next_index: u64,
}

/// An object whose history is being read.
struct Unfinished<V: Vocabulary> {
    key: Option<Value>,
    vocabulary: V,
    ops: Vec<Operation<Op<V>>>,
}

/// Marks a row that [`ObjectsBuilder::finish`] leaves out.
const DROPPED: u32 = u32::MAX - 1;

impl<V: Vocabulary> Default for ObjectsBuilder<V> {
    fn default() -> Self {
        Self {
            initial: Value::Null,
            objects: Vec::new(),
            keys: Keys::default(),
            in_flight: WordMap::default(),
            next_index: 0,
        }
    }
}

impl<V: Vocabulary> ObjectsBuilder<V> {
    /// Objects that hold `initial` at first; null is the same as nothing said.
    ///
    /// # Errors
    /// With what can be said, if not this.
    pub fn new(initial: Value) -> Result<Self, &'static str> {
        if initial != Value::Null {
            V::default().begin(&initial)?;
        }
        Ok(Self { initial, ..Self::default() })
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// If it is not an event of the object, or does not fit what came before.
    pub fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        let Process::Client(process) = op.process else { return Ok(()) };
        let index = op.index;
        let position = self.position(index)?;
        if op.kind == Kind::Invoke {
            return self.invoke(op, position, process);
        }
        let (object, row) =
            self.in_flight.remove(&process).ok_or(ColumnError::Orphan { index, process })?;
        let Unfinished { vocabulary, ops, .. } = &mut self.objects[object as usize];
        let operation = &mut ops[row as usize];
        match op.kind {
            Kind::Ok => {
                let known = vocabulary.complete(operation.op.clone(), op.value.json());
                operation.op = known.map_err(|misfit| explain::<V>(op, misfit))?;
                operation.ret = position;
                operation.end_ns = op.time_ns;
            }
            Kind::Fail => operation.ret = DROPPED,
            Kind::Info | Kind::Invoke => {}
        }
        Ok(())
    }

    fn invoke(&mut self, op: &RawOp<'_>, call: u32, process: u32) -> Result<(), ColumnError> {
        let object = self.object(op.key);
        let Unfinished { vocabulary, ops, .. } = &mut self.objects[object as usize];
        let invoked =
            vocabulary.invoke(op.f, op.value.json()).map_err(|misfit| explain::<V>(op, misfit))?;
        let row = u32::try_from(ops.len()).expect("fewer rows than events");
        if self.in_flight.insert(process, (object, row)).is_some() {
            return Err(ColumnError::DoubleInvoke { index: op.index, process });
        }
        let start_ns = op.time_ns;
        ops.push(Operation { op: invoked, start_ns, end_ns: 0, call, ret: NEVER, process });
        Ok(())
    }

    /// The objects in order of first use, without operations that promise nothing.
    #[must_use]
    pub fn finish(self) -> Vec<Object<V::Model>> {
        let objects = self.objects.into_iter().map(|object| {
            let Unfinished { key, vocabulary, mut ops } = object;
            ops.retain(|op| op.ret != DROPPED);
            let model = vocabulary.finish(&mut ops);
            ops.retain(|op| op.completed() || !model.is_pure(&op.op));
            Object { key, model, ops }
        });
        objects.collect()
    }

    fn position(&mut self, index: u64) -> Result<u32, ColumnError> {
        let position = u32::try_from(index).ok().filter(|p| *p < DROPPED);
        let position = position.filter(|_| index >= self.next_index);
        self.next_index = index + 1;
        position.ok_or(ColumnError::Index { index })
    }

    fn object(&mut self, key: Option<RawValue<'_>>) -> u32 {
        let (id, new) = self.keys.number(key);
        if let Some(key) = new {
            let mut vocabulary = V::default();
            if self.initial != Value::Null {
                vocabulary.begin(&self.initial).expect("it was understood before");
            }
            self.objects.push(Unfinished { key, vocabulary, ops: Vec::new() });
        }
        id
    }
}

/// A value of the history; numbers without an allocation.
pub fn atom(value: RawValue<'_>) -> Atom {
    value.as_int().map_or_else(|| Atom::from(value.to_value()), Atom::Int)
}

fn explain<V: Vocabulary>(op: &RawOp<'_>, misfit: Misfit) -> ColumnError {
    let (index, f) = (op.index, op.f.to_string());
    match misfit {
        Misfit::Function => ColumnError::OtherFunction { index, f, known: V::KNOWN },
        Misfit::Value(expected) => ColumnError::Value { index, f, expected },
    }
}
