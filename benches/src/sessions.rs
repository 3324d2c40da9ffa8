//! Seeded histories for the models that look at sessions.
//!
//! Either one register a key, which is linearizable and so keeps every promise; or replicas, one a client, that now and then take
//! over all that another one knows: the write with the larger timestamp wins, so they are causally convergent, and not more.

use keelhaul_checkers::columns::{Call, ColumnError, Outcome, Registers, RegistersBuilder};
use keelhaul_history::Value;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What to generate.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Operations in all.
    pub ops: u64,
    /// Clients, which work in turns.
    pub clients: u32,
    /// Keys, numbered from 0.
    pub keys: u32,
    /// Percentage of operations that are reads; the rest are writes of new values.
    pub reads_percent: u32,
    /// Operations in every thousand whose outcome is never learnt; another process follows then.
    pub crashed_per_mille: u32,
    /// Whether every client has a replica of its own.
    pub replicas: bool,
    /// Decides everything random.
    pub seed: u64,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            ops: 1_000_000,
            clients: 10,
            keys: 100,
            reads_percent: 50,
            crashed_per_mille: 0,
            replicas: false,
            seed: 1,
        }
    }
}

/// Operations of a client between two times that it learns from another one, on average.
const SYNC_EVERY: u32 = 8;

/// A value with its timestamp and its writer.
type Stamped = (u64, u32, i64);

/// The registers of such a history.
///
/// # Errors
/// Never, unless this is wrong.
pub fn session_history(options: &SessionOptions) -> Result<Registers, ColumnError> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let copies = if options.replicas { options.clients as usize } else { 1 };
    let mut states: Vec<Vec<Stamped>> = vec![vec![(0, 0, 0); options.keys as usize]; copies];
    let mut clocks = vec![0_u64; copies];
    let mut processes: Vec<u32> = (0..options.clients).collect();
    let mut next_process = options.clients;
    let mut builder = RegistersBuilder::new(Value::Int(0));
    for at in 0..options.ops {
        let client = rng.random_range(0..options.clients) as usize;
        let copy = client % copies;
        if copies > 1 && rng.random_range(0..SYNC_EVERY) == 0 {
            learn(&mut states, &mut clocks, copy, rng.random_range(0..copies));
        }
        let process = processes[client];
        let key = rng.random_range(0..options.keys);
        let name = Some(i64::from(key).into());
        let (index, time) = (2 * at, at * 1_000);
        let state = &mut states[copy][key as usize];
        let crashed = rng.random_range(0..1000) < options.crashed_per_mille;
        if rng.random_range(0..100) < options.reads_percent {
            builder.invoke(index, time, process, name, Call::Read)?;
            let result = Outcome::Ok(state.2.into());
            let outcome = if crashed { Outcome::Info } else { result };
            builder.complete(index + 1, time + 500, process, outcome)?;
        } else {
            let value = at as i64 + 1;
            builder.invoke(index, time, process, name, Call::Write(value.into()))?;
            clocks[copy] += 1;
            *state = (clocks[copy], process, value);
            let outcome = if crashed { Outcome::Info } else { Outcome::Ok(value.into()) };
            builder.complete(index + 1, time + 500, process, outcome)?;
        }
        if crashed {
            processes[client] = next_process;
            next_process += 1;
        }
    }
    Ok(builder.finish())
}

/// One copy takes over all that another one knows.
fn learn(states: &mut [Vec<Stamped>], clocks: &mut [u64], to: usize, from: usize) {
    if to == from {
        return;
    }
    let [mine, others] = states.get_disjoint_mut([to, from]).expect("two different copies");
    for (mine, other) in mine.iter_mut().zip(others) {
        *mine = (*mine).max(*other);
    }
    clocks[to] = clocks[to].max(clocks[from]);
}
