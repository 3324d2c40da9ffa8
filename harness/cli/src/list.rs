//! `keelhaul list`: what there is.

use keelhaul_protocol::Mutant;

use crate::args::Listing;
use crate::exit::Exit;
use crate::explain;
use crate::faults;
use crate::registry::{self, Choice};

/// Prints a list for people, a name a line.
pub fn list(what: Listing) -> Exit {
    match what {
        Listing::Stores => choices(registry::STORES),
        Listing::Workloads => workloads(),
        Listing::Disks => choices(registry::DISKS),
        Listing::Models => explain::models(),
        Listing::Faults => faults::list(),
        Listing::Mutants => mutants(),
    }
    Exit::Valid
}

/// What clients can do in a run, and what histories can be judged.
fn workloads() {
    println!("run:");
    choices(&registry::workloads());
    println!("\ncheck:");
    let width = keelhaul_checkers::workloads().map(|w| w.name.len()).max().unwrap_or(0);
    for workload in keelhaul_checkers::workloads() {
        println!("{:width$}  {}", workload.name, workload.what);
        for option in workload.options {
            println!("{:width$}  --option {}: {}", "", option.name, option.what);
        }
    }
}

fn choices(choices: &[Choice]) {
    let width = choices.iter().map(|choice| choice.name.len()).max().unwrap_or(0);
    for choice in choices {
        println!("{:width$}  {}", choice.name, choice.what);
    }
}

fn mutants() {
    for mutant in Mutant::all() {
        let info = mutant.info();
        let protocol = mutant.protocol();
        println!("{} ({protocol} {}, class {})", info.name, info.id, info.class);
        println!("    breaks    {}", info.rule);
        println!("    source    {}", info.source);
        println!("    evidence  {}", info.evidence);
        println!(
            "    try       keelhaul run --store {protocol} --mutant {} --time-limit 60 --nemesis {} {}",
            info.name, info.nemesis, info.flags
        );
    }
    println!("\nChanges that break no rule, and must survive (--mutant takes them too):");
    let equivalents: Vec<_> = Mutant::equivalents().map(Mutant::info).collect();
    let width = equivalents.iter().map(|info| info.name.len()).max().unwrap_or(0);
    for info in equivalents {
        let protocol = info.mutant.protocol();
        println!("{:width$}  {} ({protocol} {})", info.name, info.rule, info.id);
    }
}
