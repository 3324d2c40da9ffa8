//! What a control node can ask of an agent, and what the agent answers.
//!
//! These types are the wire format (postcard): a change of any of them is a change of [`crate::PROTOCOL_VERSION`].

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::clock::{ClockReading, ClockWish};
use crate::disk::{Damaged, DiskDamage, DiskFault, DiskReport, Naming, PowerLoss};
use crate::finding::Finding;
use crate::program_clock::{ProgramClock, ProgramWish};
use crate::shape::Shaping;
use crate::train::{Train, TrainReport};

/// In place of a program's path: the agent's own executable, wherever it is.
pub const SELF_EXE: &str = "@keelhaul";

/// A command that runs to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Program and arguments; the program is looked up in the usual directories unless it holds a slash, and
    /// [`SELF_EXE`] stands for the agent's own executable.
    pub argv: Vec<String>,
    /// Variables beside the few that the agent always sets (`PATH`, `HOME`, `LANG`). Nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// Working directory; `/` when absent.
    pub cwd: Option<String>,
    /// What the command reads on its standard input.
    pub stdin: Vec<u8>,
    /// After so many milliseconds its whole process group is killed; 0 means [`Command::TIMEOUT_MS_DEFAULT`].
    pub timeout_ms: u64,
}

impl Command {
    /// Long enough for a package's own set-up scripts on a busy machine, short enough that a run ends.
    pub const TIMEOUT_MS_DEFAULT: u64 = 60_000;

    /// A command without further variables, directory or input.
    #[must_use]
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Its time was up and the agent killed it.
    TimedOut,
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// How it ended.
    pub status: Exit,
    /// What it wrote to standard output, as far as kept.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, as far as kept.
    pub stderr: Vec<u8>,
    /// Standard output was longer than what is kept.
    pub stdout_cut: bool,
    /// Standard error was longer than what is kept.
    pub stderr_cut: bool,
}

impl Output {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == Exit::Code(0)
    }
}

/// A program that stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// What the other requests call it, and the name of its log file: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// As for [`Command::argv`].
    pub argv: Vec<String>,
    /// As for [`Command::env`].
    pub env: Vec<(String, String)>,
    /// As for [`Command::cwd`].
    pub cwd: Option<String>,
}

/// What became of a daemon, read from the kernel at the time of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DaemonState {
    /// This agent never started it.
    NotStarted,
    /// Its first process lives and at least one thread of its processes may run.
    Running {
        /// The first process.
        pid: u32,
    },
    /// Its first process lives and every thread of every process of it is stopped.
    Paused {
        /// The first process.
        pid: u32,
    },
    /// Its first process ended.
    Exited {
        /// By itself, with this code.
        code: Option<i32>,
        /// By this signal.
        signal: Option<i32>,
    },
}

/// What the kernel does to one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutRule {
    /// Packets from this address are dropped on arrival.
    pub from: Ipv4Addr,
    /// And answered by a reset or an error.
    pub refuses: bool,
    /// Packets dropped so far.
    pub packets: u64,
    /// Bytes dropped so far.
    pub bytes: u64,
}

/// What a control node can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Nothing but a sign of life, which renews the [lease](crate::host); answered by [`Reply::Done`].
    Ping,
    /// Run a command to its end; answered by [`Reply::Output`].
    Run(Command),
    /// Start a daemon in a process group of its own; answered by [`Reply::Pid`].
    StartDaemon(Daemon),
    /// Ask a daemon to end (`SIGTERM`), and kill it when the grace is over; answered by [`Reply::State`].
    Stop {
        /// Which daemon.
        name: String,
        /// Milliseconds between the two.
        grace_ms: u64,
    },
    /// Kill every process of a daemon; answered by [`Reply::State`] once none is left.
    Kill {
        /// Which daemon.
        name: String,
    },
    /// Stop every process of a daemon where it is; answered by [`Reply::State`] once none can run.
    Pause {
        /// Which daemon.
        name: String,
    },
    /// Let a paused daemon go on; answered by [`Reply::State`].
    Resume {
        /// Which daemon.
        name: String,
    },
    /// Answered by [`Reply::State`].
    Status {
        /// Which daemon.
        name: String,
    },
    /// Write at an offset, making the file and its directories; offset 0 also empties the file. Answered by [`Reply::Done`].
    WriteFile {
        /// Absolute path.
        path: String,
        /// From which byte on.
        offset: u64,
        /// The content.
        bytes: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// Read a part of a file; answered by [`Reply::Bytes`].
    ReadFile {
        /// Absolute path.
        path: String,
        /// From which byte on.
        offset: u64,
        /// At most so many bytes.
        limit: u64,
    },
    /// From now on drop or refuse packets from exactly these addresses; answered by [`Reply::Cuts`] as read back.
    Cut {
        /// All whose packets meet silence; if there is nobody, the agent's table is removed.
        from: Vec<Ipv4Addr>,
        /// All whose packets are answered by a reset or an error.
        refuse: Vec<Ipv4Addr>,
    },
    /// Answered by [`Reply::Cuts`].
    CutState,
    /// Where probes to this agent must go; answered by [`Reply::Port`].
    ProbePort,
    /// Send one probe packet; answered by [`Reply::Done`] when it left, whether or not it arrives.
    ProbeSend {
        /// Where the agent listens that may see it.
        to: SocketAddrV4,
        /// What to recognise it by.
        nonce: u64,
    },
    /// Whether a TCP connection is refused; answered by [`Reply::Seen`].
    ProbeRefused {
        /// To where; that nobody listens there is a refusal, too.
        to: SocketAddrV4,
        /// How many milliseconds to wait for any answer.
        wait_ms: u64,
    },
    /// Whether a probe arrived here; answered by [`Reply::Seen`].
    ProbeSeen {
        /// What to recognise it by.
        nonce: u64,
        /// How many milliseconds to wait for it.
        wait_ms: u64,
    },
    /// From now on shape exactly these links; answered by [`Reply::Done`].
    Shape {
        /// All links, each by the address of who sends.
        links: Vec<(Ipv4Addr, Shaping)>,
    },
    /// Await a train; answered by [`Reply::Done`].
    TrainListen {
        /// Which.
        name: u64,
    },
    /// Send a train; answered by [`Reply::Done`] when it has left.
    TrainSend {
        /// Where the agent listens that awaits it.
        to: SocketAddrV4,
        /// What is sent.
        train: Train,
    },
    /// What arrived of a train that was awaited; answered by [`Reply::Train`].
    TrainSeen {
        /// Which.
        name: u64,
        /// Once so many have arrived, it is over; never before its time if 0.
        enough: u32,
        /// Once nothing has come for so many milliseconds, it is over.
        quiet_ms: u64,
    },
    /// Send packets that another agent answers; answered by [`Reply::Echoes`].
    Echo {
        /// Where that agent listens.
        to: SocketAddrV4,
        /// How many and how often; their length is their own.
        train: Train,
        /// How many milliseconds to wait for the last answer.
        wait_ms: u64,
    },
    /// Mount a disk that can fail over a directory, which is made if need be; what is in it is on the disk. Answered by
    /// [`Reply::Done`].
    MountDisk {
        /// Absolute path.
        dir: String,
        /// What makes names durable.
        naming: Naming,
    },
    /// Take a disk away; the directory then holds everything that was ever written. Answered by [`Reply::Done`].
    UnmountDisk {
        /// The directory.
        dir: String,
    },
    /// Replace all faults of a disk; answered by [`Reply::Disk`].
    DiskFaults {
        /// The directory.
        dir: String,
        /// All that is to go wrong from now on; nothing heals it.
        faults: Vec<DiskFault>,
        /// Decides which operations are struck.
        seed: u64,
    },
    /// Damage what is stored, once; answered by [`Reply::Damaged`].
    DamageDisk {
        /// The directory.
        dir: String,
        /// How.
        damage: DiskDamage,
        /// Only files whose path, relative to the directory, holds this.
        path_contains: String,
        /// Decides where.
        seed: u64,
    },
    /// Give back what was damaged, where no program has written since; answered by [`Reply::Damaged`] with what was given back.
    MendDisk {
        /// The directory.
        dir: String,
    },
    /// Cut and restore a disk's power: what was not synced is gone, and who has something open there gets EIO. Answered by
    /// [`Reply::PowerLost`].
    PowerCut {
        /// The directory.
        dir: String,
        /// Some of it is not gone: whatever this seed says had reached the disk by chance.
        torn: Option<u64>,
    },
    /// What a disk has done and would lose; answered by [`Reply::Disk`].
    DiskState {
        /// The directory.
        dir: String,
    },
    /// How long the disk that the node's logs are on takes to make a small write durable; answered by [`Reply::Micros`].
    TimeSync,
    /// What the machine's clocks say; answered by [`Reply::Clock`].
    ReadClock,
    /// Make the machine's clock so; answered by [`Reply::Done`].
    SetClock(ClockWish),
    /// Let the clocks of a daemon's processes, and of those of its later starts, be so; answered by [`Reply::Done`].
    TellClock {
        /// Which daemon.
        name: String,
        /// How.
        wish: ProgramWish,
    },
    /// What the clocks of a daemon's first process show; answered by [`Reply::ProgramClock`].
    AskClock {
        /// Which daemon.
        name: String,
    },
    /// Look for what faults and a store that listens on these ports need; answered by [`Reply::Findings`].
    Examine {
        /// The ports.
        ports: Vec<u16>,
    },
    /// Whether the machine's clock is ours to change; answered by [`Reply::Done`] if so.
    TryClock,
    /// Resume what is paused, remove all cuts, shape nothing and end all faults of disks; daemons and disks stay. Answered by [`Reply::Done`].
    HealAll,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// A command ended.
    Output(Output),
    /// A daemon runs.
    Pid(u32),
    /// A daemon's state.
    State(DaemonState),
    /// A part of a file.
    Bytes {
        /// The content.
        bytes: Vec<u8>,
        /// How long the whole file is.
        size: u64,
    },
    /// What the kernel drops and refuses, by address.
    Cuts(Vec<CutRule>),
    /// The port of probes.
    Port(u16),
    /// Whether the probe was seen.
    Seen(bool),
    /// What arrived of a train.
    Train(TrainReport),
    /// How long each packet and its answer were under way, in microseconds, without those that were lost.
    Echoes(Vec<u32>),
    /// What a disk says of itself.
    Disk(DiskReport),
    /// What was damaged.
    Damaged(Vec<Damaged>),
    /// What a power cut took.
    PowerLost(PowerLoss),
    /// What was looked for.
    Findings(Vec<Finding>),
    /// What the clocks say.
    Clock(ClockReading),
    /// What a program's clocks show.
    ProgramClock(ProgramClock),
    /// A time in microseconds.
    Micros(u64),
    /// It could not be done.
    Failed {
        /// What was tried and what the system said.
        message: String,
        /// The system's error number, when there is one.
        errno: Option<i32>,
    },
}
