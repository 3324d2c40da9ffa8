//! What must hold of importers and decision procedures whatever they are given.
//!
//! Each target is an ordinary function of bytes that panics where something does not hold. `cargo fuzz` looks for such
//! bytes; `tests/smoke.rs` runs every target on seeded ones, without a fuzzer.

mod bytes;
mod events;
mod importers;
mod judges;
mod oracle;
mod sessions;
mod spec;

/// A target's name and body, which says what became of its input.
pub type Target = (&'static str, fn(&[u8]) -> Told);

/// What became of an input, in a word: a target whose inputs all end alike tests nothing.
pub type Told = &'static str;

/// Every target.
pub const TARGETS: [Target; 14] = [
    ("import_keelhaul", importers::keelhaul),
    ("import_edn", importers::edn),
    ("import_json", importers::json),
    ("import_jepsen_text", importers::jepsen_text),
    ("import_porcupine_etcd", importers::porcupine_etcd),
    ("import_plume", importers::plume),
    ("import_dbcop", importers::dbcop),
    ("import_dbcop_bincode", importers::dbcop_bincode),
    ("import_cobra", importers::cobra),
    ("registers", judges::registers),
    ("objects", judges::objects),
    ("honest", judges::honest),
    ("models", judges::models),
    ("workloads", judges::any_workload),
];

/// Runs the target of that name.
///
/// # Panics
/// If something that must hold does not, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("a target of the table").1(bytes);
}
