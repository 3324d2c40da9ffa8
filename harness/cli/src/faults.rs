//! Which kinds of faults a run can have, and what they ask of a store.

use keelhaul_nemesis::{
    KINDS, asks, harms, is_live, is_of_links, is_simulated, needs_clocks, needs_groups,
    needs_machines, needs_membership, needs_release,
};

use crate::exit::Failure;
use crate::registry::{self, Choice};

/// What decides whether a fault can be.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The system under test, and how it serves reads.
    pub store: &'a str,
    pub read: Option<&'a str>,
    /// Where the nodes live, and how many they are.
    pub env: &'a str,
    pub nodes: u16,
    /// Over how many groups of replicas transactions go, if there are any on our own nodes.
    pub groups: Option<u16>,
}

/// The kinds that a user names, each once; each must work where the nodes are.
pub fn parse(text: &str, place: Place<'_>) -> Result<Vec<String>, Failure> {
    let mut faults: Vec<String> = Vec::new();
    if text == "none" {
        return Ok(faults);
    }
    let choices: Vec<Choice> = KINDS.iter().map(|&(name, what)| Choice { name, what }).collect();
    for name in text.split(',').map(str::trim) {
        let kind = registry::choose("--nemesis", &choices, name)?;
        // A hunt may have drawn such a fault for nodes that refuse all of its requests: its plans must be repeated as they are.
        if !is_live(kind) {
            changeable(kind, place.store)?;
        }
        if !faults.iter().any(|known| known == kind) {
            faults.push(kind.to_owned());
        }
    }
    check(&faults, place).map(|()| faults)
}

/// What strikes when nobody says. Every store here claims to be durable, and so loses its power, where that takes no boot and there is a disk for it.
pub fn usual(env: &str, disk: Option<&str>) -> &'static str {
    let has_disk = match env {
        "local" => keelhaul_cluster::try_fuse().is_ok(),
        "ssh" => true,
        _ => false,
    };
    if has_disk && disk != Some("plain") {
        "partition,kill,pause,power"
    } else {
        "partition,kill,pause"
    }
}

/// Refuses kinds that cannot be, one sentence each.
pub fn check(faults: &[String], place: Place<'_>) -> Result<(), Failure> {
    let Place { store, read, env, nodes, groups } = place;
    for kind in faults {
        // The clock of a machine that is stopped stands still: it takes its lease for good when others lead already.
        if matches!(kind.as_str(), "clock-bump" | "machine-stop") && read == Some("lease") {
            return Err(Failure::usage(format!(
                "leases are promised for clocks that go on and do not jump: leave {kind} out of --nemesis, or --read lease"
            )));
        }
        if needs_membership(kind) {
            changeable(kind, store)?;
            if groups.is_some_and(|groups| groups > 1) || faults.iter().any(|f| f == "group-join") {
                return Err(Failure::usage(format!(
                    "{kind} changes the members of one group, and there are several: leave it out of --nemesis, or --groups"
                )));
            }
        }
        if needs_machines(kind) && !matches!(env, "vm" | "sim") {
            return Err(Failure::usage(format!(
                "{kind} needs nodes that are machines of ours: leave it out of --nemesis, or choose --env vm"
            )));
        }
        if needs_groups(kind) {
            spread(kind, store, groups)?;
        }
        if is_of_links(kind) && nodes < 2 {
            return Err(Failure::usage(format!(
                "{kind} needs at least two nodes: leave it out of --nemesis, or raise --nodes"
            )));
        }
        if (harms(kind) || needs_membership(kind)) && nodes < 3 {
            return Err(Failure::usage(format!(
                "{kind} takes a minority, and {nodes} nodes have none: leave it out of --nemesis, or raise --nodes to 3 or more"
            )));
        }
        if env != "sim" && !is_live(kind) {
            return Err(Failure::usage(format!(
                "{kind} exists in virtual time only: leave it out of --nemesis, or choose --env sim"
            )));
        }
        if env == "sim" && !is_simulated(kind) {
            return Err(Failure::usage(format!(
                "{kind} does not exist in virtual time: leave it out of --nemesis, or choose another --env"
            )));
        }
    }
    Ok(())
}

/// Refuses a kind that changes members, of a store where they cannot be changed.
fn changeable(kind: &str, store: &str) -> Result<(), Failure> {
    if registry::has_membership(store) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{kind} needs a store whose members can be changed, and those of {store} cannot"
    )))
}

/// Refuses a kind that moves keys from group to group, where there are none to move them between.
fn spread(kind: &str, store: &str, groups: Option<u16>) -> Result<(), Failure> {
    match (kind, groups) {
        (_, None) => Err(Failure::usage(format!(
            "{kind} moves the keys of transactions on our own nodes, and there are none on {store} here"
        ))),
        ("group-leave", Some(1)) => Err(Failure::usage(format!(
            "{kind} needs another group that takes the keys: raise --groups to 2 or more"
        ))),
        _ => Ok(()),
    }
}

/// A sentence on each kind that is a fair test only of a store with more than the usual.
pub fn fair(faults: &[String]) -> impl Iterator<Item = String> {
    let asking = faults.iter().filter_map(|kind| Some((kind, asks(kind)?)));
    asking.map(|(kind, what)| format!("{kind} is a fair test only of a store that has {what}"))
}

/// Prints every kind, and where it can be.
pub fn list() {
    let width = KINDS.iter().map(|kind| kind.0.len()).max().unwrap_or(0);
    for &(name, what) in KINDS {
        println!("{name:width$}  {what}");
        for note in notes(name) {
            println!("{:width$}  ({note})", "");
        }
    }
}

/// Where a kind can be, unless it is on real nodes of every store; and what it asks of one.
fn notes(kind: &str) -> Vec<String> {
    let mut notes = Vec::new();
    match (is_live(kind), is_simulated(kind)) {
        (true, true) => notes.push("in virtual time, too".into()),
        (false, _) => notes.push("in virtual time only".into()),
        (true, false) => {}
    }
    let can = |store: &str| match kind {
        _ if needs_membership(kind) => registry::has_membership(store),
        _ if needs_groups(kind) => registry::is_own(store),
        _ if !is_live(kind) => registry::has_membership(store) && registry::is_own(store),
        _ => true,
    };
    let stores: Vec<&str> = registry::STORES.iter().map(|store| store.name).collect();
    let able: Vec<&str> = stores.iter().copied().filter(|store| can(store)).collect();
    if able.len() < stores.len() {
        notes.push(format!("of the stores: {}", able.join(", ")));
    }
    if needs_machines(kind) {
        notes.push("on virtual machines only".into());
    }
    if needs_groups(kind) {
        notes.push("with workloads of transactions".into());
    }
    if needs_release(kind) {
        notes.push("to the release that --upgrade-to names".into());
    }
    if needs_clocks(kind) {
        notes.push("of machines, or where nodes share one, of the store's processes".into());
    }
    notes.extend(asks(kind).map(|asked| format!("asks of the store: {asked}")));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_what_is_accepted() {
        for &(kind, _) in KINDS {
            for store in registry::STORES.iter().map(|store| store.name) {
                let notes = notes(kind).join("; ");
                let named = |after: &str| {
                    let named = notes.split_once(after)?.1.split(';').next()?;
                    Some(named.split(", ").any(|name| name == store))
                };
                let everywhere = named("of the stores: ").unwrap_or(true);
                for env in registry::ENVIRONMENTS.iter().map(|env| env.name) {
                    let in_env = match env {
                        "sim" => notes.contains("in virtual time"),
                        "local" | "ssh" if notes.contains("on virtual machines only") => false,
                        _ => !notes.contains("in virtual time only"),
                    };
                    // That etcd is not simulated is said elsewhere.
                    let elsewhere = env == "sim" && !registry::is_own(store);
                    let read = registry::reads(store).first().map(|read| read.name);
                    let groups = registry::is_own(store).then_some(if needs_membership(kind) {
                        1
                    } else {
                        2
                    });
                    let place = Place { store, read, env, nodes: 5, groups };
                    let accepted = parse(kind, place).is_ok();
                    assert!(
                        elsewhere || accepted == (everywhere && in_env),
                        "{kind} {store} {env}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |text: &str, env, nodes, expected: Result<&[&str], &str>| {
            let place = Place { store: "etcd", read: None, env, nodes, groups: None };
            let found = parse(text, place).map_err(|failure| failure.to_string());
            match expected {
                Ok(kinds) => assert_eq!(found.unwrap_or_default(), kinds),
                Err(words) => {
                    assert!(found.as_ref().is_err_and(|e| e.contains(words)), "{found:?}");
                }
            }
        };
        check("kill, disk-flip,kill", "local", 3, Ok(&["kill", "disk-flip"]));
        check("none", "sim", 1, Ok(&[]));
        check("partition", "local", 1, Err("at least two nodes"));
        check("disk-flip", "local", 2, Err("takes a minority, and 2 nodes have none"));
        check("disk-stall", "local", 1, Ok(&["disk-stall"]));
        check("disk-flip", "sim", 5, Err("does not exist in virtual time"));
        check("membership", "sim", 5, Ok(&["membership"]));
        check("membership", "local", 5, Err("exists in virtual time only"));
        check("member-remove", "local", 3, Ok(&["member-remove"]));
        check("clock-drift", "local", 3, Ok(&["clock-drift"]));
        check("disk-flap", "local", 5, Err("disk-flap"));
        check(
            "machine-stop",
            "local",
            5,
            Err("machine-stop needs nodes that are machines of ours"),
        );
        check("machine-reset", "vm", 3, Ok(&["machine-reset"]));
        check("group-join", "local", 5, Err("there are none on etcd here"));
    }

    #[test]
    fn keys_move_between_groups_only() {
        let check = |text: &str, groups, expected: Result<(), &str>| {
            let place = Place { store: "raft", read: None, env: "local", nodes: 5, groups };
            match (parse(text, place), expected) {
                (Err(failure), Err(words)) => {
                    assert!(failure.to_string().contains(words), "{failure}");
                }
                (found, expected) => assert!(found.is_ok() && expected.is_ok(), "{text}"),
            }
        };
        check("group-join", Some(1), Ok(()));
        check("group-join,group-leave", Some(2), Ok(()));
        check("group-leave", Some(1), Err("raise --groups to 2"));
        check("group-join", None, Err("there are none on raft here"));
        check("member-remove", Some(1), Ok(()));
        check("member-remove", Some(2), Err("there are several"));
        check("member-remove,group-join", Some(1), Err("there are several"));
    }
}
