//! `keelhaul doctor`: what works here, or on hosts, and how to mend what does not.

use keelhaul_cluster::doctor::{Finding, probe};
use keelhaul_cluster::ssh::Ssh;
use keelhaul_cluster::what;

use crate::args::HostsArgs;
use crate::exit::{Exit, Failure};
use crate::plan::inventory;
use crate::registry;
use crate::run::runtime;

/// Without these a run can leave out what needs them.
const NOT_NEEDED: [&str; 4] = [what::CLOCK, what::PROGRAM_CLOCK, what::FUSE, what::OFFSET];

/// Prints what the local environment needs, or what hosts have, and how to mend what is missing.
pub fn doctor(args: &HostsArgs) -> Result<Exit, Failure> {
    if args.nodes.is_some() || args.nodes_file.is_some() {
        return hosts(args);
    }
    let findings = probe();
    print(&findings);
    machines();
    Ok(worst(&findings))
}

/// What virtual machines need. Who uses none can do without, so it does not count.
fn machines() {
    let Ok(runtime) = runtime() else { return };
    println!("\nfor --env vm:");
    print(&runtime.block_on(keelhaul_cluster::vm::findings()));
}

fn hosts(args: &HostsArgs) -> Result<Exit, Failure> {
    let hosts = inventory(args.nodes.as_deref(), args.nodes_file.as_deref())?;
    let stores = registry::STORES.iter();
    let mut ports: Vec<u16> = stores.flat_map(|store| registry::ports(store.name, 1)).collect();
    ports.sort_unstable();
    ports.dedup();
    let found = runtime()?.block_on(Ssh::examine(&hosts, args.transport, &ports));
    let found = found.map_err(|error| Failure::new(Exit::Infrastructure, error))?;
    let mut exit = Exit::Valid;
    for (host, findings) in found {
        println!("{host}:");
        print(&findings);
        exit = exit.worst(worst(&findings));
    }
    Ok(exit)
}

fn worst(findings: &[Finding]) -> Exit {
    let needed = |finding: &&Finding| !NOT_NEEDED.contains(&&*finding.what);
    let all = findings.iter().filter(needed).all(|finding| finding.ok);
    if all { Exit::Valid } else { Exit::Infrastructure }
}

fn print(findings: &[Finding]) {
    let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0);
    for finding in findings {
        let mark = if finding.ok { "ok     " } else { "missing" };
        println!("{mark}  {:width$}  {}", finding.what, finding.detail);
        if !finding.ok {
            println!("         {:width$}  remedy: {}", "", finding.remedy);
        }
    }
}
