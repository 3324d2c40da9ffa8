//! The plan: everything that decides a run, as plain data, written to the run directory before anything else.

use std::path::Path;

use anyhow::Context;
use keelhaul_cluster::ssh::{Host, Transport};
use keelhaul_nemesis::{Schedule, ScheduleOptions, needs_disk, needs_release};
use keelhaul_sim::{Evidence, Weather, Work};
use keelhaul_stores::Family;
use serde::{Deserialize, Serialize};

use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::faults::{self, Place};
use crate::logs;
use crate::registry::{self, Choice};
use crate::scheduled::{self, For};
use crate::units;

/// A complete plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub keelhaul_plan: u32,
    /// The system under test.
    pub store: String,
    /// How the store serves reads, where it offers a choice.
    pub read: Option<String>,
    /// Whether locks are fenced, where the workload is about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Over how many groups of replicas keys are spread.
    #[serde(default = "one")]
    pub groups: u16,
    /// What transactions promise, where that is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// What the store's data are on.
    #[serde(default = "plain")]
    pub disk: String,
    /// Ports whose packets every node writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capture: Vec<u16>,
    /// Where another release of the store is on every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_to: Option<String>,
    /// The mistake seeded into our own nodes.
    pub mutant: Option<String>,
    /// What the clients do.
    pub workload: String,
    /// The promise to be checked.
    pub model: String,
    /// Where the nodes live.
    pub env: String,
    /// How many nodes.
    pub nodes: u16,
    /// The hosts that are the nodes, where the environment has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// How they are reached.
    #[serde(default)]
    pub transport: Transport,
    /// How many operations may be in flight.
    pub concurrency: u32,
    /// Operations a second over all clients.
    pub rate: f64,
    /// How long clients and faults run, milliseconds.
    pub time_limit_ms: u64,
    /// How long a client waits for an answer, milliseconds.
    pub op_timeout_ms: u64,
    /// By how much this timeout and those of the store are multiplied, since the nodes are slower than this machine; measured when they
    /// are up.
    #[serde(default = "once")]
    pub timeout_factor: u32,
    /// Kinds of faults.
    pub faults: Vec<String>,
    /// Mean time between two faults of one kind, milliseconds.
    pub nemesis_interval_ms: u64,
    /// Every fault with its time.
    pub schedule: Schedule,
    /// The file that it was read from; if absent, it was drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_file: Option<String>,
    /// Decides the order of operations and faults.
    pub seed: u64,
    /// What a simulation has beside the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sim: Option<Simulated>,
    /// What no line of the nodes' logs may match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_pattern: Option<String>,
    /// How long judging may take, milliseconds.
    pub check_time_ms: u64,
    /// How much memory judging may take.
    pub check_memory_bytes: usize,
    /// What a second run of this plan repeats.
    pub reproducible: Vec<String>,
    /// What it cannot repeat.
    pub not_reproducible: Vec<String>,
}

/// What decides a simulated run beside the rest of its plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulated {
    /// What goes wrong without a fault.
    pub weather: Weather,
    /// What the clients do: drawn from the seed, or listed. A list is kept to on real nodes as well.
    #[serde(default)]
    pub work: Work,
    /// What counts as a violation.
    #[serde(default)]
    pub evidence: Evidence,
}

const PLAN_VERSION: u32 = 1;

/// How many nodes there are when nobody says.
const NODES_DEFAULT: &str = "5";
/// How many machines: they share this machine's cores and memory.
const MACHINES_DEFAULT: &str = "3";

impl Plan {
    /// Makes sense of the command line; every mistake is one sentence.
    pub fn lower(args: &RunArgs, seed: u64) -> Result<Self, Failure> {
        let store = registry::choose("--store", registry::STORES, &args.store)?;
        let workload = registry::choose("--workload", &registry::workloads(), &args.workload)?;
        let (family, model) = registry::needs(workload);
        if !registry::families(store).contains(&family) {
            let serves = |s: &&Choice| registry::families(s.name).contains(&family);
            let stores: Vec<&str> =
                registry::STORES.iter().filter(serves).map(|store| store.name).collect();
            return Err(Failure::usage(format!(
                "--workload {workload} needs a store that serves it, such as {}, not {store}",
                stores.join(" or ")
            )));
        }
        let (groups, isolation) = transactions(args, store, workload)?;
        let (env, nodes, hosts) = place(args, None)?;
        let time_limit_ms = millis(units::duration("--time-limit", &args.time_limit)?);
        let place = Place {
            store,
            read: args.read.as_deref(),
            env,
            nodes,
            groups: isolation.is_some().then_some(groups),
        };
        let kinds = faults::parse(drawn(args, env), place)?;
        let nemesis_interval_ms = match &args.nemesis_interval {
            Some(text) => millis(units::duration("--nemesis-interval", text)?),
            None => interval_ms(env, kinds.len()),
        };
        let options =
            ScheduleOptions { kinds, nodes, time_limit_ms, interval_ms: nemesis_interval_ms };
        let schedule =
            scheduled::schedule(args.schedule.as_deref(), &For { store, seed, options: &options })?;
        let faults = if args.schedule.is_some() { schedule.kinds() } else { options.kinds };
        faults::check(&faults, place)?;
        Ok(Self {
            keelhaul_plan: PLAN_VERSION,
            store: store.into(),
            read: read(args, store)?,
            lock: lock(args, workload)?,
            groups,
            isolation: isolation.map(str::to_owned),
            disk: disk(args, env, &faults)?,
            capture: captured(args, env, &registry::ports(store, groups + spare(&faults)))?,
            upgrade_to: upgrade_to(args, &faults)?,
            mutant: mutant(args, store)?,
            workload: workload.into(),
            model: registry::promise(model, isolation).into(),
            env: env.into(),
            nodes,
            hosts,
            transport: args.transport,
            concurrency: units::concurrency(&args.concurrency, nodes)?,
            rate: units::rate("--rate", &args.rate)?,
            time_limit_ms,
            op_timeout_ms: millis(units::duration("--op-timeout", &args.op_timeout)?),
            timeout_factor: once(),
            faults,
            nemesis_interval_ms,
            schedule,
            schedule_file: args.schedule.as_ref().map(|file| file.display().to_string()),
            seed,
            sim: simulated(env, store, workload, args.read.as_deref(), seed)?,
            log_pattern: logs::pattern(args.log_pattern.as_deref())?.map(|p| p.as_str().into()),
            check_time_ms: millis(units::duration("--check-time", &args.check_time)?),
            check_memory_bytes: units::bytes("--check-memory", &args.check_memory)?,
            reproducible: reproducible(env).0,
            not_reproducible: reproducible(env).1,
        })
    }

    /// Reads a plan.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        let usage = |error: anyhow::Error| Failure::new(Exit::Usage, error);
        let text = std::fs::read(file)
            .with_context(|| format!("failed to read {}", file.display()))
            .map_err(usage)?;
        let plan: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a plan of this version", file.display()))
            .map_err(usage)?;
        if plan.keelhaul_plan != PLAN_VERSION {
            return Err(Failure::usage(format!(
                "{} is a plan of version {}: this program knows version {PLAN_VERSION}",
                file.display(),
                plan.keelhaul_plan
            )));
        }
        Ok(plan)
    }

    /// What all plans of a hunt have in common.
    pub fn for_hunt(store: &str, mutant: Option<&str>) -> Result<Self, Failure> {
        let args = RunArgs {
            store: store.into(),
            env: Some("sim".into()),
            mutant: mutant.map(str::to_owned),
            ..RunArgs::default_flags()
        };
        Self::lower(&args, 0)
    }

    /// Reads a plan, and moves it to other nodes if the command line names some.
    pub fn read(file: &Path, args: &RunArgs, moved: bool) -> Result<Self, Failure> {
        let mut plan = Self::open(file)?;
        if moved {
            let (env, nodes, hosts) = place(args, Some(plan.nodes))?;
            if nodes != plan.nodes {
                return Err(Failure::usage(format!(
                    "the plan's faults are made for {} nodes, and {nodes} are named",
                    plan.nodes
                )));
            }
            faults::check(&plan.faults, Place { env, nodes, ..plan.place() })?;
            plan.timeout_factor = once();
            // Only a machine of its own loses anything without a disk that can.
            if env != "vm"
                && plan.disk == plain()
                && plan.faults.iter().any(|kind| needs_disk(kind))
            {
                plan.disk = "journaled".into();
            }
            (plan.env, plan.hosts, plan.transport) = (env.into(), hosts, args.transport);
            (plan.reproducible, plan.not_reproducible) = reproducible(env);
            if plan.sim.is_none() {
                let (store, workload) = (&plan.store, &plan.workload);
                plan.sim = simulated(env, store, workload, plan.read.as_deref(), plan.seed)?;
            }
        }
        Ok(plan)
    }

    /// What decides which faults there can be.
    pub fn place(&self) -> Place<'_> {
        let (store, read) = (self.store.as_str(), self.read.as_deref());
        let groups = self.isolation.is_some().then_some(self.groups);
        Place { store, read, env: &self.env, nodes: self.nodes, groups }
    }

    /// Groups that run without keys, for faults that give them some.
    pub fn spare_groups(&self) -> u16 {
        spare(&self.faults)
    }

    /// The nodes as `--nodes` takes them.
    fn nodes_word(&self) -> String {
        if self.hosts.is_empty() {
            return self.nodes.to_string();
        }
        self.hosts.iter().map(Host::shown).collect::<Vec<_>>().join(",")
    }

    /// The command that runs this plan again.
    pub fn command(&self) -> String {
        let faults = if self.faults.is_empty() { "none".into() } else { self.faults.join(",") };
        let mut words = vec![
            format!(
                "keelhaul run --store {} --workload {} --env {} --nodes {}",
                self.store,
                self.workload,
                self.env,
                self.nodes_word()
            ),
            match &self.schedule_file {
                Some(file) => format!("--schedule {}", quoted(file)),
                None => {
                    format!("--nemesis {faults} --nemesis-interval {}ms", self.nemesis_interval_ms)
                }
            },
            format!("--time-limit {}ms --op-timeout {}ms", self.time_limit_ms, self.op_timeout_ms),
            format!("--concurrency {} --rate {} --seed {}", self.concurrency, self.rate, self.seed),
        ];
        words.extend(self.read.iter().map(|read| format!("--read {read}")));
        if self.isolation.is_some() {
            words.push(format!("--groups {}", self.groups));
        }
        words.extend(self.isolation.iter().map(|level| format!("--isolation {level}")));
        words.extend(self.lock.iter().map(|lock| format!("--lock {lock}")));
        words.push(format!("--disk {}", self.disk));
        if !self.capture.is_empty() {
            let ports: Vec<String> = self.capture.iter().map(u16::to_string).collect();
            words.push(format!("--capture {}", ports.join(",")));
        }
        words.extend(self.upgrade_to.iter().map(|at| format!("--upgrade-to {}", quoted(at))));
        words.extend(self.mutant.iter().map(|mutant| format!("--mutant {mutant}")));
        words.extend(self.log_pattern.iter().map(|text| format!("--log-pattern {}", quoted(text))));
        words.join(" ")
    }
}

/// How often a kind of fault strikes when nobody says. Seven kinds that each keep the rhythm of three leave a store no second
/// without a fault, and no leader is elected again: such a run proves nothing. Simulated nodes come back in no time.
fn interval_ms(env: &str, kinds: usize) -> u64 {
    const INTERVAL_MS: u64 = 5_000;
    const KINDS_USUAL: u64 = 3;
    let kinds = if env == "sim" { KINDS_USUAL } else { kinds as u64 };
    INTERVAL_MS * kinds.max(KINDS_USUAL) / KINDS_USUAL
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Where the nodes live, how many they are, and on which hosts. Of nodes that are ours to make there are as many as usual, unless somebody says how
/// many.
fn place(args: &RunArgs, usual: Option<u16>) -> Result<(&'static str, u16, Vec<Host>), Failure> {
    let words = args.nodes.as_deref();
    // A number is a count; anything else names hosts.
    let count = words.map_or(args.nodes_file.is_none(), |words| words.parse::<i64>().is_ok());
    let env = args.env.as_deref().unwrap_or(if count { "local" } else { "ssh" });
    let env = registry::choose("--env", registry::ENVIRONMENTS, env)?;
    let default = if env == "vm" { MACHINES_DEFAULT } else { NODES_DEFAULT };
    match (env, count, words, usual) {
        ("local" | "sim" | "vm", true, None, Some(usual)) => Ok((env, usual, Vec::new())),
        ("local" | "sim" | "vm", true, ..) => {
            Ok((env, node_count(words.unwrap_or(default))?, Vec::new()))
        }
        ("local" | "vm" | "sim", false, ..) => Err(Failure::usage(format!(
            "the environment {env} makes its nodes itself: give --nodes their number, 1 to 9"
        ))),
        (_, true, ..) => Err(Failure::usage(format!(
            "--env {env} needs hosts: name them with --nodes user@name:port,… or --nodes-file"
        ))),
        (_, false, ..) => {
            let hosts = inventory(words, args.nodes_file.as_deref())?;
            Ok((env, node_count(&hosts.len().to_string())?, hosts))
        }
    }
}

/// The hosts that a list or a file names.
pub fn inventory(words: Option<&str>, file: Option<&Path>) -> Result<Vec<Host>, Failure> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("failed to read {}", file.display()))
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        return Host::parse_file(&text)
            .with_context(|| format!("failed to understand {}", file.display()))
            .map_err(|error| Failure::new(Exit::Usage, error));
    }
    Host::parse_list(words.unwrap_or_default())
        .map_err(|error| Failure::usage(format!("--nodes: {error}")))
}

/// What a second run of a plan repeats, and what it cannot.
pub fn reproducible(env: &str) -> (Vec<String>, Vec<String>) {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    match env {
        "sim" => (words(&["everything: the history, byte for byte"]), Vec::new()),
        _ => (words(&REPRODUCIBLE), words(&NOT_REPRODUCIBLE)),
    }
}

/// What a simulation has beside the rest.
fn simulated(
    env: &str,
    store: &str,
    workload: &str,
    read: Option<&str>,
    seed: u64,
) -> Result<Option<Simulated>, Failure> {
    match (env, store) {
        ("sim", _) if workload != "register" => Err(Failure::usage(format!(
            "--env sim simulates --workload register only, not --workload {workload}"
        ))),
        ("sim", _) if read == Some("local") => {
            Err(Failure::usage("local reads are not simulated: they need --env local, ssh or vm"))
        }
        ("sim", store) if registry::is_own(store) => {
            let mut weather = Weather::draw(seed);
            if read == Some("lease") {
                // A lease is promised for clocks that do not jump.
                weather.jump_ms = 0;
            }
            Ok(Some(Simulated { weather, work: Work::default(), evidence: Evidence::default() }))
        }
        ("sim", other) => Err(Failure::usage(format!(
            "only our own nodes can be simulated: {other} needs --env local, ssh or vm"
        ))),
        _ => Ok(None),
    }
}

const REPRODUCIBLE: [&str; 3] = [
    "the fault schedule: kinds, shapes, targets by role, order of victims and planned times",
    "each key's sequence of operations as asked for, as long as the store's answers come in the same order",
    "the planned times of operations",
];

const NOT_REPRODUCIBLE: [&str; 4] = [
    "the store's own timing: which node leads, how long an operation takes, which of two concurrent ones wins",
    "which node a fault aimed at the leader strikes",
    "which worker performs an operation, and the expected value of a cas, once answers come in another order",
    "scheduling of processes and packets by the kernel",
];

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn node_count(text: &str) -> Result<u16, Failure> {
    let count = text.parse::<u16>().ok().filter(|n| (1..=9).contains(n));
    count.ok_or_else(|| Failure::usage(format!("--nodes takes 1 to 9 nodes, not {text:?}")))
}

fn read(args: &RunArgs, store: &str) -> Result<Option<String>, Failure> {
    let Some(read) = &args.read else { return Ok(None) };
    let choices = registry::reads(store);
    if choices.is_empty() {
        return Err(Failure::usage(format!("--read is no choice of {store}")));
    }
    let read = if store == "etcd" && read == "local" { "serializable" } else { read };
    registry::choose("--read", choices, read).map(|read| Some(read.to_owned()))
}

/// The kinds of faults that a schedule is drawn of, as the user would say them.
fn drawn<'a>(args: &'a RunArgs, env: &str) -> &'a str {
    match (&args.schedule, &args.nemesis) {
        (Some(_), _) => "none",
        (None, Some(kinds)) => kinds,
        (None, None) => faults::usual(env, args.disk.as_deref()),
    }
}

/// See [`Plan::spare_groups`].
fn spare(faults: &[String]) -> u16 {
    u16::from(faults.iter().any(|kind| kind == "group-join"))
}

/// The ports whose packets are to be written.
fn captured(args: &RunArgs, env: &str, own: &[u16]) -> Result<Vec<u16>, Failure> {
    let Some(text) = &args.capture else { return Ok(Vec::new()) };
    if env == "sim" {
        return Err(Failure::usage(NO_PACKETS));
    }
    units::ports(text, own)
}

/// Where another release is, which some faults need and the others have no use for.
fn upgrade_to(args: &RunArgs, faults: &[String]) -> Result<Option<String>, Failure> {
    let mut kinds = faults.iter().filter(|kind| needs_release(kind));
    let kind = kinds.next();
    if kinds.next().is_some() {
        return Err(Failure::usage(
            "after a rolling-upgrade no node goes back, so there is no upgrade beside it: leave one of them out of --nemesis",
        ));
    }
    match (kind, &args.upgrade_to) {
        (Some(kind), None) => Err(Failure::usage(format!(
            "{kind} starts another release of the store: say with --upgrade-to where it is on the nodes"
        ))),
        (None, Some(_)) => Err(Failure::usage(
            "--upgrade-to is for the faults upgrade and rolling-upgrade: name one of them with --nemesis",
        )),
        (_, at) => Ok(at.clone()),
    }
}

/// Why no packets are written in virtual time.
pub const NO_PACKETS: &str =
    "there are no packets in virtual time: leave --capture out, or choose another --env";

/// Over how many groups transactions go, and what they promise, where the store is ours.
fn transactions(
    args: &RunArgs,
    store: &str,
    workload: &str,
) -> Result<(u16, Option<&'static str>), Failure> {
    let groups = args.groups.parse::<u16>().ok().filter(|groups| (1..=8).contains(groups));
    let groups = groups.ok_or_else(|| {
        Failure::usage(format!("--groups takes 1 to 8 groups, not {:?}", args.groups))
    })?;
    if registry::is_own(store) && registry::needs(workload).0 == Family::Txn {
        let level = args.isolation.as_deref().unwrap_or("serializable");
        let level = registry::choose("--isolation", registry::ISOLATIONS, level)?;
        return Ok((groups, Some(level)));
    }
    let flag = if args.isolation.is_some() { "--isolation" } else { "--groups" };
    if args.isolation.is_some() || groups > 1 {
        return Err(Failure::usage(format!(
            "{flag} is a choice for transactions on our own nodes, and this is {workload} on {store}"
        )));
    }
    Ok((1, None))
}

/// What becomes of fencing tokens, where the workload is about locks.
fn lock(args: &RunArgs, workload: &str) -> Result<Option<String>, Failure> {
    match (&args.lock, workload) {
        (asked, "lock") => {
            let asked = asked.as_deref().unwrap_or("fenced");
            registry::choose("--lock", registry::LOCKS, asked).map(|lock| Some(lock.to_owned()))
        }
        (Some(_), other) => Err(Failure::usage(format!(
            "--lock is a choice of --workload lock, and this one is {other}"
        ))),
        (None, _) => Ok(None),
    }
}

/// What the store's data were on before there was a choice.
fn plain() -> String {
    "plain".into()
}

fn once() -> u32 {
    1
}

fn one() -> u16 {
    1
}

fn disk(args: &RunArgs, env: &str, faults: &[String]) -> Result<String, Failure> {
    // Those of the disk itself first: they are the more particular ones.
    // A machine of its own loses by itself what was not synced, whatever its data are on.
    let lacks = |kind: &&String| needs_disk(kind) && !(env == "vm" && *kind == "power");
    let needing = faults.iter().filter(lacks).min();
    let Some(asked) = &args.disk else {
        return Ok(if needing.is_some() || env == "sim" { "journaled".into() } else { plain() });
    };
    let disk = registry::choose("--disk", registry::DISKS, asked)?;
    match needing {
        Some(kind) if disk == "plain" => Err(Failure::usage(format!(
            "the fault {kind} needs a disk that can lose and fail: leave --disk out, or see `list disks`"
        ))),
        // Healing such a fault would let syncs work again.
        Some(kind) if disk == "volatile" && kind != "power" => Err(Failure::usage(format!(
            "a volatile disk goes with the fault power only, not with {kind}"
        ))),
        _ => Ok(disk.into()),
    }
}

fn mutant(args: &RunArgs, store: &str) -> Result<Option<String>, Failure> {
    let Some(name) = &args.mutant else { return Ok(None) };
    if store == "etcd" {
        return registry::choose("--mutant", registry::ETCD_MUTANTS, name)
            .map(|name| Some(name.to_owned()));
    }
    if !registry::is_own(store) {
        return Err(Failure::usage(format!(
            "--mutant seeds a mistake into our own nodes; {store} is not one of them"
        )));
    }
    let mutants: Vec<Choice> = registry::mutants(store);
    registry::choose("--mutant", &mutants, name).map(|name| Some(name.to_owned()))
}
