//! The command line, as the user types it. [`plan`](crate::plan) makes sense of it.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use keelhaul_cluster::ssh::Transport;
use keelhaul_history::import;
use keelhaul_results::Format;

/// Does a distributed store keep its promises? Deploys it, breaks it, records one history, judges it.
#[derive(Debug, Parser)]
#[command(name = "keelhaul", version, after_help = crate::exit::TABLE, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["human", "json", "ndjson", "junit", "github"])
        .try_map(|name| name.parse())
}

fn transports() -> impl TypedValueParser<Value = Transport> {
    PossibleValuesParser::new(Transport::ALL.map(Transport::as_str))
        .try_map(|name| name.parse().map_err(|()| "no such way"))
}

fn inputs() -> impl TypedValueParser<Value = import::Format> {
    PossibleValuesParser::new(import::Format::ALL.map(import::Format::as_str))
        .try_map(|name| name.parse().map_err(|()| "no such kind"))
}

fn independents() -> impl TypedValueParser<Value = import::Independent> {
    PossibleValuesParser::new(["yes", "no", "guess"]).map(|word| match word.as_str() {
        "yes" => import::Independent::Yes,
        "no" => import::Independent::No,
        _ => import::Independent::Guess,
    })
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deploy a store, drive a workload, inject faults, judge the history
    Run(Box<RunArgs>),
    /// Look for a run that goes wrong: thousands of simulated ones, each with faults of its own
    Hunt(HuntArgs),
    /// Cut a simulated run that goes wrong down to the few faults and operations that matter
    Shrink(ShrinkArgs),
    /// Repeat a run, and say whether it went as before: byte for byte if it was simulated, else by operations and faults at their times
    Replay(ReplayArgs),
    /// Judge histories, ours or those of other tools: files, run directories, folders
    Check(CheckArgs),
    /// Write the report page of a run again
    Report {
        /// The run directory, e.g. runs/latest
        run: PathBuf,
    },
    /// Show what can be tested, and with what
    List {
        /// What to list
        what: Listing,
    },
    /// Tell what a consistency model or an anomaly is, with examples and sources
    Explain {
        /// Its name; all are listed without one
        name: Option<String>,
    },
    /// Show what this machine can do, or what hosts can, and how to mend what they cannot
    Doctor(HostsArgs),
    /// Undo on hosts what a run left there that was killed together with its agents; without hosts, what killed machines left here
    Clean(HostsArgs),
    /// Virtual machines: images, and machines that stay
    Vm {
        /// What to do
        #[command(subcommand)]
        command: crate::vm::VmCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Flags that a plan leaves no room for.
const DECIDED_BY_PLAN: [&str; 21] = [
    "store",
    "workload",
    "nemesis",
    "nemesis_interval",
    "schedule",
    "time_limit",
    "concurrency",
    "rate",
    "op_timeout",
    "read",
    "lock",
    "groups",
    "isolation",
    "disk",
    "capture",
    "upgrade_to",
    "mutant",
    "seed",
    "test_count",
    "check_time",
    "check_memory",
];

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::exit::TABLE)]
pub struct RunArgs {
    /// Run the plan in this file, such as an earlier run's plan.json, rather than one made of flags; --env and --nodes may move it
    #[arg(long, value_name = "FILE", conflicts_with_all = DECIDED_BY_PLAN)]
    pub plan: Option<PathBuf>,
    /// The system under test; see `list stores`
    #[arg(long, default_value = "raft")]
    pub store: String,
    /// What the clients do; see `list workloads`
    #[arg(short, long, default_value = "register")]
    pub workload: String,
    /// Where the nodes live: `local` is namespaces on this machine, `vm` virtual machines on it, `ssh` hosts, `sim` virtual time; by default `ssh` if hosts are named
    #[arg(long)]
    pub env: Option<String>,
    /// How many nodes, 1 to 9, by default 5; or hosts to be nodes, separated by commas: user@name:port
    #[arg(short, long, visible_alias = "node-count")]
    pub nodes: Option<String>,
    /// Hosts to be nodes: one a line, or an inventory in TOML with [[node]] tables
    #[arg(long, value_name = "FILE", conflicts_with = "nodes")]
    pub nodes_file: Option<PathBuf>,
    /// How hosts are reached: the system's `ssh` with its configuration, or `libssh2` where it is built in
    #[arg(long, default_value = "ssh", value_name = "WAY", value_parser = transports())]
    pub transport: Transport,
    /// Faults to inject, separated by commas, or `none`; see `list faults`. By default partition,kill,pause, and on hosts and local nodes
    /// also power: what was not synced is lost (locally where FUSE is to be had, and not with --disk plain)
    #[arg(long, value_name = "FAULTS")]
    pub nemesis: Option<String>,
    /// Mean time between the beginnings of two faults of one kind, in seconds; by default 5, and longer where there are more than
    /// three kinds, so that together they leave real nodes time to come back
    #[arg(long, value_name = "SECONDS")]
    pub nemesis_interval: Option<String>,
    /// A schedule of faults instead of a drawn one: a run's schedule.json, or steps that you have written, in JSON or TOML
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nemesis", "nemesis_interval"])]
    pub schedule: Option<PathBuf>,
    /// How long the clients run, in seconds
    #[arg(long, default_value = "30", value_name = "SECONDS")]
    pub time_limit: String,
    /// How many operations are in flight at most: a number, or a multiple of the nodes such as `3n`
    #[arg(short, long, default_value = "4n")]
    pub concurrency: String,
    /// Operations a second, over all clients
    #[arg(short, long, default_value = "400")]
    pub rate: String,
    /// How long a client waits for an answer, in seconds; then nobody knows what became of the operation
    #[arg(long, default_value = "1", value_name = "SECONDS")]
    pub op_timeout: String,
    /// How reads are served: `index` or `lease` by raft and paxos, `synced` or `local` by zab, `linearizable` or `serializable` by etcd
    #[arg(long, value_name = "KIND")]
    pub read: Option<String>,
    /// Whether the workload `lock` passes fencing tokens to what a lock guards: `fenced`, by default, or `unfenced`
    #[arg(long, value_name = "KIND")]
    pub lock: Option<String>,
    /// Over how many groups of replicas our own nodes spread the keys of transactions, 1 to 8; each group is on all nodes
    #[arg(long, default_value = "1", value_name = "N")]
    pub groups: String,
    /// What transactions of our own nodes promise: `serializable`, by default, `snapshot` or `read-committed`
    #[arg(long, value_name = "LEVEL")]
    pub isolation: Option<String>,
    /// What the store's data are on, see `list disks`; by default `journaled` if a fault needs a disk that can lose, else `plain`
    #[arg(long, value_name = "KIND")]
    pub disk: Option<String>,
    /// Write the packets of these ports, as every node sees them, to packets.pcap in its directory: numbers, separated by commas, or
    /// `store` for those that the store listens on
    #[arg(long, value_name = "PORTS")]
    pub capture: Option<String>,
    /// Another release of the store, for the faults `upgrade` and `rolling-upgrade`: where its program is on every node, or of zookeeper
    /// its class path; not under /tmp or /run, which local nodes have for themselves
    #[arg(long, value_name = "PATH")]
    pub upgrade_to: Option<String>,
    /// Seed a mistake into our own nodes; see `list mutants`
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Decides the order of operations and faults; drawn and printed when absent
    #[arg(long)]
    pub seed: Option<String>,
    /// Repeat the test this many times, with seeds that follow from the first
    #[arg(long, default_value = "1", value_name = "N")]
    pub test_count: String,
    /// Where run directories go
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub runs: PathBuf,
    /// Seconds that judging may take
    #[arg(long, default_value = "120", value_name = "SECONDS")]
    pub check_time: String,
    /// Memory that judging may take, e.g. `2G`
    #[arg(long, default_value = "2G", value_name = "BYTES")]
    pub check_memory: String,
    /// How to print the verdict
    #[arg(long, default_value = "human", value_parser = formats())]
    pub format: Format,
    /// A regular expression that no line of the nodes' logs may match, e.g. `panic|fatal error`
    #[arg(long, value_name = "REGEX")]
    pub log_pattern: Option<String>,
    /// Print the plan and stop
    #[arg(long)]
    pub dry_run: bool,
}

impl RunArgs {
    /// As if nothing had been typed.
    pub fn default_flags() -> Self {
        match Cli::try_parse_from(["keelhaul", "run"]).map(|cli| cli.command) {
            Ok(Command::Run(args)) => *args,
            _ => unreachable!("the defaults are flags"),
        }
    }
}

/// Flags of `hunt`.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::exit::TABLE)]
pub struct HuntArgs {
    /// The system under test; only our own nodes can be simulated
    #[arg(long, default_value = "raft")]
    pub store: String,
    /// Seed a mistake into the nodes; see `list mutants`
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// How many runs at most
    #[arg(long, default_value = "1000", value_name = "N")]
    pub seeds: String,
    /// The first run's seed
    #[arg(long, default_value = "0", value_name = "SEED")]
    pub seed: String,
    /// How many runs at a time
    #[arg(short, long, default_value = "1", value_name = "N")]
    pub jobs: String,
    /// How long to hunt at most, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub time_budget: Option<String>,
    /// How runs are chosen: `none` draws each anew, `states` changes those that reached new states of the cluster
    #[arg(long, default_value = "states", value_name = "KIND")]
    pub guidance: String,
    /// What counts as going wrong: `any` takes invariants inside the cluster too, `clients` what clients can see, as on live nodes
    #[arg(long, default_value = "any", value_name = "KIND")]
    pub evidence: String,
    /// A folder for plans that reached something new: what is there is gone on from
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Where the run directory of a run that goes wrong is made
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub runs: PathBuf,
}

/// Flags of `shrink`.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::exit::TABLE)]
pub struct ShrinkArgs {
    /// The run directory of a simulated run, or its plan
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// How many runs to try at most
    #[arg(long, default_value = "20000", value_name = "N")]
    pub tries: String,
    /// Where the run directory of what is left is made
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub runs: PathBuf,
}

/// Flags of `replay`.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::exit::TABLE)]
pub struct ReplayArgs {
    /// The run directory
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Repeat it somewhere else: a simulated run on live processes with `local`
    #[arg(long, value_name = "ENV")]
    pub env: Option<String>,
    /// Where the run directory of the second run is made
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub runs: PathBuf,
}

/// Flags of `clean`.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::exit::TABLE)]
pub struct HostsArgs {
    /// The hosts, separated by commas: user@name:port
    #[arg(short, long)]
    pub nodes: Option<String>,
    /// The hosts: one a line, or an inventory in TOML with [[node]] tables
    #[arg(long, value_name = "FILE", conflicts_with = "nodes")]
    pub nodes_file: Option<PathBuf>,
    /// How hosts are reached: the system's `ssh` with its configuration, or `libssh2` where it is built in
    #[arg(long, default_value = "ssh", value_name = "WAY", value_parser = transports())]
    pub transport: Transport,
}

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = crate::exit::TABLE, args_override_self = true)]
pub struct CheckArgs {
    /// Histories: files, run directories, or folders of files; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Judge the histories of a table, whose paths lie under PATH, and tell which verdicts are not the expected ones:
    /// path, flags of `check`, verdict, and if need be the verdict that is argued for it, separated by tabs. Ends with
    /// 1 if a verdict is another
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["workload", "input", "repair", "model", "init", "option"])]
    pub expect: Option<PathBuf>,
    /// What the operations mean; by default what the history's header says
    #[arg(short, long)]
    pub workload: Option<String>,
    /// Kind of the files; by default what their first bytes tell
    #[arg(long, value_name = "KIND", value_parser = inputs())]
    pub input: Option<import::Format>,
    /// Whether values are pairs of key and value, as Jepsen's `independent` writes them: yes, no or guess
    #[arg(long, default_value = "guess", value_parser = independents())]
    pub independent: import::Independent,
    /// Judge what is left of a malformed history, and say what was done to it
    #[arg(long)]
    pub repair: bool,
    /// Which promise to check; by default what the history's header says
    #[arg(short, long)]
    pub model: Option<String>,
    /// The value of every key before the first write, as JSON; by default a key holds nothing
    #[arg(long, value_name = "VALUE")]
    pub init: Option<String>,
    /// Says more of the workload's objects, e.g. `total=100`; see `list workloads`. May be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub option: Vec<String>,
    /// A regular expression that no line of the nodes' logs may match; of run directories
    #[arg(long, value_name = "REGEX")]
    pub log_pattern: Option<String>,
    /// Seconds that judging may take
    #[arg(long, default_value = "120", value_name = "SECONDS")]
    pub time_budget: String,
    /// Memory that judging may take, e.g. `512M`
    #[arg(long, default_value = "2G", value_name = "BYTES")]
    pub memory: String,
    /// How to print the verdict
    #[arg(long, default_value = "human", value_parser = formats())]
    pub format: Format,
}

/// What `list` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// Systems under test
    Stores,
    /// Workloads
    Workloads,
    /// Faults
    Faults,
    /// What a store's data can be on
    Disks,
    /// Consistency models
    Models,
    /// Mistakes that can be seeded into our own nodes
    Mutants,
}
