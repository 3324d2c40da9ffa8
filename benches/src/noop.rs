//! Driving the engine as fast as it goes: a client that does nothing, under generators like those of a real run.

use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use keelhaul_engine::driver::{DriverError, Progress, RunOptions, RunSummary, run};
use keelhaul_engine::generator::{Boxed, Combine, from_fn, independent, mix};
use keelhaul_engine::{Client, Connect, Invocation, LocalFuture, Outcome};
use keelhaul_history::{F, Header, NodeId, Process, Value, Writer};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Operations on one key before its threads take the next: of the size that a register workload uses.
const OPS_PER_KEY: u64 = 300;
/// Threads that share a key.
const THREADS_PER_KEY: u32 = 5;
/// Values are small numbers, so that a cas has a chance.
const VALUES: i64 = 5;

/// Everything succeeds at once: a write or cas with its own argument, a read with nothing.
struct Noop;

impl Client for Noop {
    fn invoke<'a>(&'a mut self, _: Process, op: &'a Invocation) -> LocalFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Ok(op.value.clone())))
    }
}

impl Connect for Noop {
    fn open<'a>(
        &'a self,
        _: Process,
        _: NodeId,
    ) -> LocalFuture<'a, Result<Box<dyn Client>, Box<str>>> {
        Box::pin(std::future::ready(Ok(Box::new(Self) as Box<dyn Client>)))
    }
}

/// Reads, writes and cas in equal parts, over keys of their own, without a rate.
#[must_use]
pub fn register_work(ops: u64, seed: u64) -> Boxed {
    let keys = (0..).map(Value::Int);
    independent(THREADS_PER_KEY, keys, move |key| {
        let key_seed = seed ^ key.as_int().unwrap_or(0) as u64;
        let stream = |n| {
            let mut rng = ChaCha8Rng::seed_from_u64(key_seed);
            rng.set_stream(n);
            rng
        };
        let (mut writes, mut swaps) = (stream(1), stream(2));
        let read = from_fn(|_| Some(op(F::Read, Value::Null)));
        let write = from_fn(move |_| Some(op(F::Write, writes.random_range(0..VALUES).into())));
        let cas = from_fn(move |_| {
            Some(op(
                F::Cas,
                Value::pair(swaps.random_range(0..VALUES), swaps.random_range(0..VALUES)),
            ))
        });
        mix([(1, read.boxed()), (1, write.boxed()), (1, cas.boxed())], stream(0))
            .limit(OPS_PER_KEY)
            .boxed()
    })
    .limit(ops)
    .clients()
    .boxed()
}

const fn op(f: F, value: Value) -> Invocation {
    Invocation { f, key: None, value }
}

/// Runs the work against clients that do nothing, and records it in a file.
///
/// # Errors
/// The file cannot be made or written.
pub fn record(
    path: &Path,
    work: Boxed,
    concurrency: u32,
    observer: &mut dyn FnMut(Progress<'_>),
) -> Result<RunSummary, DriverError> {
    let file = File::create(path).map_err(DriverError::Record)?;
    let mut writer =
        Writer::new(file, &Header::new("noop", "register")).map_err(DriverError::Record)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(DriverError::Record)?;
    let summary = runtime.block_on(async {
        let options = RunOptions {
            concurrency,
            nodes: 5,
            op_timeout: Duration::from_secs(5),
            nemesis_timeout: Duration::from_secs(60),
            origin: tokio::time::Instant::now(),
        };
        let stop = std::future::pending();
        run(options, work, Rc::new(Noop), Box::new(Noop), &mut writer, observer, stop).await
    })?;
    writer.seal().map_err(|e| DriverError::Record(io::Error::from(e)))?;
    Ok(summary)
}
