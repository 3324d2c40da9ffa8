//! A handle on one node.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use keelhaul_agent::{
    CHUNK_BYTES_MAX, ClockReading, ClockWish, Command, CutRule, Daemon, DaemonState, Damaged,
    DiskDamage, DiskFault, DiskReport, Finding, Naming, Output, PowerLoss, ProgramClock,
    ProgramWish, Reply, Request,
};
use keelhaul_history::NodeId;

use crate::machine::{Machine, Seat};
use crate::stream::AgentStream;

/// Why a node did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeError {
    /// The stream to the agent ended, or never answered: the node is gone.
    #[error("reach {node}: {reason}")]
    Lost {
        /// Which node.
        node: NodeId,
        /// What was seen.
        reason: String,
    },
    /// The agent tried and could not.
    #[error("on {node}: {message}")]
    Failed {
        /// Which node.
        node: NodeId,
        /// What was tried and what the system said.
        message: String,
        /// The system's error number, when there is one.
        errno: Option<i32>,
    },
}

/// A handle on one node; clones share the stream. When the cluster and all handles are gone, the agent ends.
#[derive(Clone, Debug)]
pub struct Node {
    id: NodeId,
    address: Ipv4Addr,
    seat: Arc<Seat>,
}

impl Node {
    pub(crate) fn new(id: NodeId, address: Ipv4Addr, agent: AgentStream) -> Self {
        Self { id, address, seat: Arc::new(Seat::new(agent)) }
    }

    /// Gives the node a power switch.
    pub(crate) fn on_machine(&self, machine: Arc<dyn Machine>) {
        self.seat.set_machine(machine);
    }

    /// Whether it is a machine of its own, whose power can be cut.
    #[must_use]
    pub fn has_power_switch(&self) -> bool {
        self.seat.machine().is_some()
    }

    /// Whether it is on and goes, as far as we switched it. Nobody reaches a node that does not.
    #[must_use]
    pub fn is_powered(&self) -> bool {
        self.seat.is_powered()
    }

    /// Cuts the machine's power in an instant: what it held in memory is gone, and nothing on it ends in an orderly way. Answers when
    /// it is seen to be off. For nodes with a power switch.
    pub async fn power_off(&self) -> Result<(), NodeError> {
        self.seat.power_off().await.map_err(|reason| self.lost(reason))
    }

    /// Whether the machine is off, looked at from outside: by what runs it and by its silence.
    pub async fn is_off(&self) -> Result<bool, NodeError> {
        self.seat.is_off().await.map_err(|reason| self.lost(reason))
    }

    /// Stops the machine as it is, its clock too. For nodes with a power switch.
    pub async fn stop_machine(&self) -> Result<(), NodeError> {
        self.seat.stop().await.map_err(|reason| self.lost(reason))
    }

    /// Whether the machine is stopped, looked at from outside: by what runs it and by its silence.
    pub async fn is_stopped(&self) -> Result<bool, NodeError> {
        self.seat.is_stopped().await.map_err(|reason| self.lost(reason))
    }

    /// Lets a machine that was stopped go on where it was; its clock is behind by as long.
    pub async fn go_on(&self) -> Result<(), NodeError> {
        self.seat.go_on().await.map_err(|reason| self.lost(reason))
    }

    /// Presses the machine's reset button: what it held in memory is gone, and it begins to boot; [`Node::power_on`] waits for that. For nodes
    /// with a power switch.
    pub async fn reset(&self) -> Result<(), NodeError> {
        self.seat.reset().await.map_err(|reason| self.lost(reason))
    }

    /// Lets the machine boot; answers when its agent does. Disks that were mounted by [`Node::mount_disk`] are mounted again with
    /// their faults; daemons are not started, and nothing is cut.
    pub async fn power_on(&self) -> Result<(), NodeError> {
        self.seat.power_on().await.map_err(|reason| self.lost(reason))?;
        for (dir, disk) in self.seat.disks() {
            self.ask_done(Request::MountDisk { dir: dir.clone(), naming: disk.naming }).await?;
            if let Some((faults, seed)) = disk.faults {
                self.ask_disk(Request::DiskFaults { dir, faults, seed }).await?;
            }
        }
        Ok(())
    }

    /// Which node it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Where the other nodes and the control node reach it.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs a command to its end. A command that fails is an `Ok` whose status says so.
    pub async fn run(&self, command: Command) -> Result<Output, NodeError> {
        match self.ask(Request::Run(command)).await? {
            Reply::Output(output) => Ok(output),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Starts a daemon; answers the pid of its first process, as the node counts pids. One that runs already is an error; what an
    /// ended one of the same name left running is killed first.
    pub async fn start(&self, daemon: Daemon) -> Result<u32, NodeError> {
        match self.ask(Request::StartDaemon(daemon)).await? {
            Reply::Pid(pid) => Ok(pid),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Asks a daemon to end and kills it when the grace is over; answers its state when no process of it is left.
    pub async fn stop(&self, name: &str, grace_ms: u64) -> Result<DaemonState, NodeError> {
        self.ask_state(Request::Stop { name: name.into(), grace_ms }).await
    }

    /// Kills every process of a daemon; answers when none is left.
    pub async fn kill(&self, name: &str) -> Result<DaemonState, NodeError> {
        self.ask_state(Request::Kill { name: name.into() }).await
    }

    /// Stops every process of a daemon where it is; answers when none can run.
    pub async fn pause(&self, name: &str) -> Result<DaemonState, NodeError> {
        self.ask_state(Request::Pause { name: name.into() }).await
    }

    /// Lets a paused daemon go on; answers when none of its processes is stopped.
    pub async fn resume(&self, name: &str) -> Result<DaemonState, NodeError> {
        self.ask_state(Request::Resume { name: name.into() }).await
    }

    /// What the node's kernel says of a daemon now.
    pub async fn status(&self, name: &str) -> Result<DaemonState, NodeError> {
        self.ask_state(Request::Status { name: name.into() }).await
    }

    /// Writes a whole file, making its directories.
    pub async fn write_file(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), NodeError> {
        let mut offset = 0;
        loop {
            let rest = &bytes[offset..];
            let chunk = &rest[..rest.len().min(chunk_bytes())];
            let request = Request::WriteFile {
                path: path.into(),
                offset: offset as u64,
                bytes: chunk.to_vec(),
                mode,
            };
            self.ask_done(request).await?;
            offset += chunk.len();
            if offset == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Reads a file, at most its first `limit` bytes.
    pub async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, NodeError> {
        self.read_range(path, 0..limit).await
    }

    /// Reads a part of a file, as far as there is one.
    pub async fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, NodeError> {
        let mut found = Vec::new();
        let mut offset = range.start;
        while offset < range.end {
            let (bytes, _) = self.read_chunk(path, offset, range.end - offset).await?;
            // A file may grow or shrink meanwhile: its end is where nothing more comes.
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
            found.extend(bytes);
        }
        Ok(found)
    }

    /// How long a file is.
    pub async fn file_length(&self, path: &str) -> Result<u64, NodeError> {
        Ok(self.read_chunk(path, 0, 0).await?.1)
    }

    /// As much of a file as one answer holds, and how long the whole is.
    async fn read_chunk(
        &self,
        path: &str,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<u8>, u64), NodeError> {
        let limit = CHUNK_BYTES_MAX.min(limit);
        match self.ask(Request::ReadFile { path: path.into(), offset, limit }).await? {
            Reply::Bytes { bytes, size } => Ok((bytes, size)),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Drops packets from exactly these addresses from now on; answers the rules as read back from the kernel.
    pub async fn cut(&self, from: &[Ipv4Addr]) -> Result<Vec<CutRule>, NodeError> {
        self.cut_and_refuse(from, &[]).await
    }

    /// [`Node::cut`], and from now on answers packets from exactly these others by a reset or an error.
    pub async fn cut_and_refuse(
        &self,
        from: &[Ipv4Addr],
        refuse: &[Ipv4Addr],
    ) -> Result<Vec<CutRule>, NodeError> {
        self.ask_cuts(Request::Cut { from: from.to_vec(), refuse: refuse.to_vec() }).await
    }

    /// Whether a TCP connection to a port that nobody listens on is refused, rather than left without an answer.
    pub async fn is_refused(&self, to: SocketAddrV4, wait_ms: u64) -> Result<bool, NodeError> {
        match self.ask(Request::ProbeRefused { to, wait_ms }).await? {
            Reply::Seen(refused) => Ok(refused),
            other => Err(self.unexpected(&other)),
        }
    }

    /// What the node's kernel drops and refuses now.
    pub async fn cut_state(&self) -> Result<Vec<CutRule>, NodeError> {
        self.ask_cuts(Request::CutState).await
    }

    /// Mounts a disk that can fail over a directory, which is made if need be; what is in it is on the disk.
    pub async fn mount_disk(&self, dir: &str, naming: Naming) -> Result<(), NodeError> {
        self.ask_done(Request::MountDisk { dir: dir.into(), naming }).await?;
        self.seat.mounted(dir, naming);
        Ok(())
    }

    /// Takes a disk away; the directory then holds everything that was ever written.
    pub async fn unmount_disk(&self, dir: &str) -> Result<(), NodeError> {
        self.seat.unmounted(dir);
        self.ask_done(Request::UnmountDisk { dir: dir.into() }).await
    }

    /// Replaces all faults of a disk, none heals it; `seed` decides which operations are struck. Answers its state afterwards.
    pub async fn disk_faults(
        &self,
        dir: &str,
        faults: Vec<DiskFault>,
        seed: u64,
    ) -> Result<DiskReport, NodeError> {
        self.seat.faulty(dir, &faults, seed);
        self.ask_disk(Request::DiskFaults { dir: dir.into(), faults, seed }).await
    }

    /// Damages, once, what a disk has stored in files whose path holds `path_contains`; `seed` decides where. Answers where.
    pub async fn damage_disk(
        &self,
        dir: &str,
        damage: DiskDamage,
        path_contains: &str,
        seed: u64,
    ) -> Result<Vec<Damaged>, NodeError> {
        let (dir, path_contains) = (dir.into(), path_contains.into());
        match self.ask(Request::DamageDisk { dir, damage, path_contains, seed }).await? {
            Reply::Damaged(damaged) => Ok(damaged),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Gives back what was damaged on a disk, where no program has written since; answers where.
    pub async fn mend_disk(&self, dir: &str) -> Result<Vec<Damaged>, NodeError> {
        match self.ask(Request::MendDisk { dir: dir.into() }).await? {
            Reply::Damaged(mended) => Ok(mended),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Reads a part of a file, as much of it as there is.
    pub async fn read_part(
        &self,
        path: &str,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, NodeError> {
        let limit = limit.min(CHUNK_BYTES_MAX);
        match self.ask(Request::ReadFile { path: path.into(), offset, limit }).await? {
            Reply::Bytes { bytes, .. } => Ok(bytes),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Cuts and restores a disk's power: what was not synced is gone, but for what the seed `torn`, if any, keeps by chance.
    /// Kill whoever uses it first: a process that lives on meets errors no power cut would let it see.
    pub async fn power_cut(&self, dir: &str, torn: Option<u64>) -> Result<PowerLoss, NodeError> {
        match self.ask(Request::PowerCut { dir: dir.into(), torn }).await? {
            Reply::PowerLost(loss) => Ok(loss),
            other => Err(self.unexpected(&other)),
        }
    }

    /// What a disk has done, and what it would lose now.
    pub async fn disk_state(&self, dir: &str) -> Result<DiskReport, NodeError> {
        self.ask_disk(Request::DiskState { dir: dir.into() }).await
    }

    /// Looks for what faults and a store that listens on these ports need; see [`keelhaul_agent::examine`].
    pub async fn examine(&self, ports: &[u16]) -> Result<Vec<Finding>, NodeError> {
        match self.ask(Request::Examine { ports: ports.to_vec() }).await? {
            Reply::Findings(found) => Ok(found),
            other => Err(self.unexpected(&other)),
        }
    }

    /// How long the disk that the node's logs are on takes to make a small write durable.
    pub async fn time_sync(&self) -> Result<Duration, NodeError> {
        match self.ask(Request::TimeSync).await? {
            Reply::Micros(micros) => Ok(Duration::from_micros(micros)),
            other => Err(self.unexpected(&other)),
        }
    }

    /// What the machine's clocks say.
    pub async fn clock(&self) -> Result<ClockReading, NodeError> {
        match self.ask(Request::ReadClock).await? {
            Reply::Clock(reading) => Ok(reading),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Makes the machine's clock so, and no other node's, if it is a [machine of its own](Node::try_clock).
    pub async fn set_clock(&self, wish: ClockWish) -> Result<(), NodeError> {
        self.ask_done(Request::SetClock(wish)).await
    }

    /// Whether the machine's clock is ours to change, and nobody else sets it; an error if not.
    pub async fn try_clock(&self) -> Result<(), NodeError> {
        self.ask_done(Request::TryClock).await
    }

    /// Lets the clocks of a daemon's processes be so, and those of its later starts, whatever the machine's show.
    pub async fn tell_clock(&self, name: &str, wish: ProgramWish) -> Result<(), NodeError> {
        self.ask_done(Request::TellClock { name: name.into(), wish }).await
    }

    /// What a daemon's clocks show, and the machine's.
    pub async fn ask_clock(&self, name: &str) -> Result<ProgramClock, NodeError> {
        match self.ask(Request::AskClock { name: name.into() }).await? {
            Reply::ProgramClock(clock) => Ok(clock),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Which boot of which kernel this is: nodes that share a clock have the same.
    pub async fn boot_id(&self) -> Result<String, NodeError> {
        let output = self.run(Command::new(["cat", "/proc/sys/kernel/random/boot_id"])).await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Resumes what is paused, removes all cuts, shapes nothing, sets the clock right and ends all faults of disks; daemons and disks stay as they are.
    pub async fn heal(&self) -> Result<(), NodeError> {
        self.ask_done(Request::HealAll).await
    }

    /// Ends the stream to the agent, for all clones of this handle.
    pub(crate) fn close(&self) {
        self.seat.agent().close();
    }

    /// Where probes to this node must go.
    pub(crate) async fn probe_address(&self) -> Result<SocketAddrV4, NodeError> {
        match self.ask(Request::ProbePort).await? {
            Reply::Port(port) => Ok(SocketAddrV4::new(self.address, port)),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Sends one probe packet that another node's agent may see.
    pub(crate) async fn probe_send(&self, to: SocketAddrV4, nonce: u64) -> Result<(), NodeError> {
        self.ask_done(Request::ProbeSend { to, nonce }).await
    }

    /// Whether a probe arrived, waiting for it at most so long.
    pub(crate) async fn probe_seen(&self, nonce: u64, wait_ms: u64) -> Result<bool, NodeError> {
        match self.ask(Request::ProbeSeen { nonce, wait_ms }).await? {
            Reply::Seen(seen) => Ok(seen),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn ask_state(&self, request: Request) -> Result<DaemonState, NodeError> {
        match self.ask(request).await? {
            Reply::State(state) => Ok(state),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn ask_cuts(&self, request: Request) -> Result<Vec<CutRule>, NodeError> {
        match self.ask(request).await? {
            Reply::Cuts(rules) => Ok(rules),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn ask_disk(&self, request: Request) -> Result<DiskReport, NodeError> {
        match self.ask(request).await? {
            Reply::Disk(report) => Ok(report),
            other => Err(self.unexpected(&other)),
        }
    }

    pub(crate) async fn ask_done(&self, request: Request) -> Result<(), NodeError> {
        match self.ask(request).await? {
            Reply::Done => Ok(()),
            other => Err(self.unexpected(&other)),
        }
    }

    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, NodeError> {
        match self.seat.agent().call(request).await {
            Ok(Reply::Failed { message, errno }) => {
                Err(NodeError::Failed { node: self.id, message, errno })
            }
            Ok(reply) => Ok(reply),
            Err(reason) => Err(self.lost(reason)),
        }
    }

    pub(crate) fn unexpected(&self, reply: &Reply) -> NodeError {
        self.lost(format!("the agent answered something else: {reply:?}"))
    }

    fn lost(&self, reason: String) -> NodeError {
        NodeError::Lost { node: self.id, reason }
    }
}

fn chunk_bytes() -> usize {
    usize::try_from(CHUNK_BYTES_MAX).expect("a chunk fits the address space")
}
