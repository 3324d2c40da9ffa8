//! Small histories drawn from bytes: of an object that does as it should, and of one that makes things up now and then.

use serde_json::{Value, json};

use crate::bytes::Bytes;
use crate::spec::{self, Call, KEYS};

/// What a history looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub object: &'static str,
    /// Operations at most.
    pub ops_max: usize,
    /// Clients at a time.
    pub clients: usize,
    /// Objects, at most [`KEYS`].
    pub keys: usize,
    /// How many of 256 results are made up.
    pub lies: u8,
    /// Whether all that is written is different.
    pub unique: bool,
}

/// An operation: when it was called, and what became of it.
#[derive(Clone, Debug)]
pub struct Op {
    pub call: usize,
    /// When it returned, if the outcome is known.
    pub ret: Option<usize>,
    pub process: usize,
    pub what: Call,
    /// What it returned, null if it says nothing.
    pub result: Value,
}

/// A history: the operations that may have happened, and a file of ours with all of them.
#[derive(Debug, Default)]
pub struct History {
    pub ops: Vec<Op>,
    pub file: String,
}

/// A history, and what it is drawn from.
struct Draw<'a, 'b> {
    bytes: &'a mut Bytes<'b>,
    shape: Shape,
    states: Vec<Value>,
    history: History,
    index: usize,
    /// Written so far.
    written: i64,
}

/// What a client does.
#[derive(Clone, Debug, Default)]
struct Client {
    process: usize,
    open: Option<(usize, Call)>,
}

/// Draws a history.
pub fn history(bytes: &mut Bytes<'_>, shape: Shape) -> History {
    let states = vec![spec::initial(shape.object); KEYS];
    let file = String::from("{\"keelhaul\":1}\n");
    let history = History { ops: Vec::new(), file };
    let mut draw = Draw { bytes, shape, states, history, index: 0, written: 0 };
    let clients = (0..shape.clients).map(|process| Client { process, open: None });
    let mut clients: Vec<Client> = clients.collect();
    let (mut begun, mut fresh) = (0, shape.clients);
    while begun < shape.ops_max && !draw.bytes.0.is_empty() {
        let at = draw.bytes.below(clients.len());
        let client = &mut clients[at];
        if client.open.is_some() {
            if draw.complete(client) {
                client.process = fresh;
                fresh += 1;
            }
        } else {
            draw.invoke(client);
            begun += 1;
        }
    }
    for client in &mut clients {
        if client.open.is_some() && draw.bytes.chance(128) {
            draw.complete(client);
        }
    }
    let open = clients.into_iter().filter_map(|client| Some((client.process, client.open?)));
    for (process, (call, what)) in open.collect::<Vec<_>>() {
        draw.remember(process, call, None, what, Value::Null);
    }
    draw.history.ops.sort_by_key(|op| op.call);
    draw.history
}

impl Draw<'_, '_> {
    fn invoke(&mut self, client: &mut Client) {
        let (f, arguments) = self.bytes.one_of(spec::functions(self.shape.object));
        let argument = match arguments {
            0 => Value::Null,
            1 => self.value(),
            2 => json!([self.small(), self.value()]),
            _ => self.accesses(),
        };
        let what = Call { f, key: self.bytes.below(self.shape.keys), argument };
        let call = self.event(client.process, "invoke", &what, &what.argument);
        client.open = Some((call, what));
    }

    /// Ends what the client does; true if nobody knows how.
    fn complete(&mut self, client: &mut Client) -> bool {
        let Some((call, what)) = client.open.take() else { return false };
        let object = self.shape.object;
        let mut outcomes = spec::outcomes(object, &self.states[what.key], what.f, &what.argument);
        let lie = self.bytes.chance(self.shape.lies);
        let info = self.bytes.chance(40);
        if info || (outcomes.is_empty() && !lie) {
            let happened = info && !outcomes.is_empty() && self.bytes.chance(128);
            if happened {
                let at = self.bytes.below(outcomes.len().min(4));
                self.states[what.key] = outcomes.swap_remove(at).1;
            }
            self.event(client.process, if info { "info" } else { "fail" }, &what, &Value::Null);
            if info {
                self.remember(client.process, call, None, what, Value::Null);
            }
            return info;
        }
        let result = if lie {
            self.made_up(&what)
        } else {
            let at = self.bytes.below(outcomes.len().min(4));
            let (result, next) = outcomes.swap_remove(at);
            self.states[what.key] = next;
            result
        };
        let says = spec::has_result(object, what.f);
        let result = if says { result } else { what.argument.clone() };
        let ret = self.event(client.process, "ok", &what, &result);
        let result = if says { result } else { Value::Null };
        self.remember(client.process, call, Some(ret), what, result);
        false
    }

    fn remember(
        &mut self,
        process: usize,
        call: usize,
        ret: Option<usize>,
        what: Call,
        result: Value,
    ) {
        self.history.ops.push(Op { call, ret, process, what, result });
    }

    fn event(&mut self, process: usize, kind: &str, what: &Call, value: &Value) -> usize {
        let (index, f, key) = (self.index, what.f, what.key);
        self.history.file += &format!(
            "{{\"index\":{index},\"time\":{index},\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\",\"key\":{key},\"value\":{value}}}\n"
        );
        self.index += 1;
        index
    }

    fn small(&mut self) -> i64 {
        let written = self.written;
        let most = if self.shape.unique { written + 1 } else { 3 };
        self.bytes.below(most.min(200) as usize) as i64
    }

    /// Something to write.
    fn value(&mut self) -> Value {
        self.written += 1;
        let number = if self.shape.unique { self.written } else { self.small() };
        match self.shape.object {
            "kv" => json!(format!("{number}")),
            "counter" => json!(number - 1),
            _ => json!(number),
        }
    }

    fn accesses(&mut self) -> Value {
        let count = 1 + self.bytes.below(3);
        let access = |draw: &mut Self| {
            let register = draw.bytes.below(3);
            if draw.bytes.next().is_multiple_of(2) {
                json!(["r", register, null])
            } else {
                json!(["w", register, draw.value()])
            }
        };
        (0..count).map(|_| access(self)).collect()
    }

    /// A result of the right form.
    fn made_up(&mut self, what: &Call) -> Value {
        match (self.shape.object, what.f) {
            ("multi-register", _) => {
                let mut results = what.argument.clone();
                for access in results.as_array_mut().into_iter().flatten() {
                    if access[0] == "r" {
                        access[2] = json!(self.small());
                    }
                }
                results
            }
            ("set", "read") => {
                let count = self.bytes.below(4);
                (0..count).map(|_| json!(self.small())).collect()
            }
            ("kv", "get") => {
                let count = self.bytes.below(3);
                json!((0..count).map(|_| self.small().to_string()).collect::<String>())
            }
            ("cas-register" | "queue" | "fifo-queue" | "stack" | "priority-queue", _)
                if self.bytes.chance(30) =>
            {
                Value::Null
            }
            _ => json!(self.small()),
        }
    }
}
