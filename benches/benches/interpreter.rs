//! The engine with clients that do nothing: with and without recording.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use keelhaul_benches::noop::{record, register_work};
use keelhaul_engine::Outcome;
use keelhaul_engine::generator::simulate;

const OPS: u64 = 50_000;

fn interpreter(c: &mut Criterion) {
    let mut group = c.benchmark_group("interpreter");
    group.throughput(Throughput::Elements(OPS));
    group.sample_size(20);
    group.bench_function("virtual time, in memory", |b| {
        b.iter_batched(
            || register_work(OPS, 1),
            |work| simulate(work, 10, |_| 1_000, |dispatch| Outcome::Ok(dispatch.op.value.clone())),
            BatchSize::PerIteration,
        );
    });
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("interpreter-bench.jsonl");
    group.bench_function("tokio, to disk", |b| {
        b.iter_batched(
            || register_work(OPS, 1),
            |work| record(&path, work, 10, &mut |_| {}).expect("the disk has room"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, interpreter);
criterion_main!(benches);
