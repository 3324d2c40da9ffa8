//! Machines that stay until somebody takes them down.
//!
//! One *holder* process, which `vm up` starts and does not wait for, is inside namespaces of its own ([`crate::local::enter`]) with its machines, so
//! that they end when it does. A file in the user's state directory says who it is. A run joins the holder's user and network namespaces, and
//! reaches the machines there; power is switched through QEMU's sockets, which are files.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use keelhaul_history::NodeId;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::network::address_of;
use super::qemu::Switch;
use super::start::{Vm, VmError, host};
use crate::local::StopSignals;
use crate::ssh::{Host, host_arguments};

/// What the holder says once all machines answer.
const READY: &str = "ready";
const STATE: &str = "fleet.json";
const LOG: &str = "holder.log";
/// How long the holder may take to end its machines; then it is killed, and they with it.
const END_PATIENCE: Duration = Duration::from_secs(15);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why machines cannot be kept up, joined or taken down.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// There are some.
    #[error("start machines: {0} are up; take them down with `keelhaul vm down`")]
    Up(u16),
    /// There are none.
    #[error("reach machines: none are up; start them with `keelhaul vm up N`")]
    Down,
    /// There is no such machine.
    #[error("reach {name}: the machines are n1 to n{count}")]
    NoSuch {
        /// What was asked for.
        name: String,
        /// How many there are.
        count: u16,
    },
    /// They did not come up.
    #[error("start machines: {0}")]
    Failed(String),
    /// This machine lacks something.
    #[error("{what}: {source}")]
    Here {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

fn here(what: &str) -> impl Fn(io::Error) -> FleetError + use<> {
    let what = what.to_owned();
    move |source| FleetError::Here { what: what.clone(), source }
}

/// Machines that are up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// How many.
    pub count: u16,
    /// The memory of each.
    pub memory_mib: u32,
    /// The holder's process id and when it began, since process ids come again.
    holder: (i32, u64),
    image: PathBuf,
}

impl Fleet {
    /// Those that are up now, if there are any.
    ///
    /// # Errors
    /// If the state directory cannot be read.
    pub fn find() -> Result<Option<Self>, FleetError> {
        let text = match fs::read(dir()?.join(STATE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(here("read what machines are up"))?,
        };
        let fleet: Option<Self> = serde_json::from_slice(&text).ok();
        Ok(fleet.filter(|fleet| began(fleet.holder.0) == Some(fleet.holder.1)))
    }

    /// Those that are up.
    ///
    /// # Errors
    /// [`FleetError::Down`] if none are.
    pub fn expect() -> Result<Self, FleetError> {
        Self::find()?.ok_or(FleetError::Down)
    }

    /// Starts a holder: this program with the words `vm-hold COUNT MEMORY IMAGE`, which must come to [`hold`](Self::hold). Answers when all machines
    /// do; `say` hears what happens meanwhile.
    ///
    /// # Errors
    /// If some are up already, or these do not come up.
    pub fn up(vm: &Vm, say: &mut dyn FnMut(&str)) -> Result<Self, FleetError> {
        if let Some(fleet) = Self::find()? {
            return Err(FleetError::Up(fleet.count));
        }
        let dir = dir()?;
        remove(&dir)?;
        fs::create_dir_all(&dir).map_err(here("make a directory for the machines"))?;
        let log = File::create(dir.join(LOG)).map_err(here("write in the state directory"))?;
        let mut holder = Command::new("/proc/self/exe");
        holder.arg("vm-hold").args([vm.count.to_string(), vm.memory_mib.to_string()]);
        holder.arg(vm.image.dir()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        #[expect(unsafe_code, reason = "what runs between fork and exec is for us to answer for")]
        // SAFETY: setsid is safe to call between fork and exec: it neither allocates nor takes a lock.
        unsafe {
            holder.pre_exec(|| Ok(setsid().map(drop)?));
        }
        let mut holder = holder.spawn().map_err(here("start a holder of machines"))?;
        let pid =
            i32::try_from(holder.id()).expect("the kernel's pids are positive 32-bit numbers");
        let fleet = Self {
            count: vm.count,
            memory_mib: vm.memory_mib,
            holder: (pid, began(pid).unwrap_or_default()),
            image: vm.image.dir().to_owned(),
        };
        let text = serde_json::to_vec_pretty(&fleet).expect("plain data can be written");
        fs::write(dir.join(STATE), text).map_err(here("write down what machines are up"))?;
        if let Err(error) = await_ready(&mut holder, &dir, say) {
            fleet.down()?;
            return Err(error);
        }
        Ok(fleet)
    }

    /// What the holder does, inside [`enter`](crate::local::enter): boots the machines and holds them until it is told to end.
    ///
    /// # Errors
    /// If they do not come up, or cannot be ended.
    pub async fn hold(vm: &Vm) -> Result<(), VmError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| VmError::Here { what, source }
        };
        let mut signals = StopSignals::listen().map_err(failed("listen for signals"))?;
        let dir = dir().map_err(io::Error::other).map_err(failed("find the state directory"))?;
        let mut say = |line: &str| println!("{line}");
        let machines = vm.boot(&dir, &mut say).await?;
        say(READY);
        signals.received().await;
        for machine in machines {
            machine.end().await.map_err(failed("end a machine"))?;
        }
        Ok(())
    }

    /// Ends all machines, and removes what they had.
    ///
    /// # Errors
    /// If something is left.
    pub fn down(&self) -> Result<(), FleetError> {
        let (pid, beginning) = self.holder;
        let there = || began(pid) == Some(beginning);
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if there() {
                // One that is gone already is what we want.
                let _ = kill(Pid::from_raw(pid), signal);
            }
            let deadline = Instant::now() + END_PATIENCE;
            while there() && Instant::now() < deadline {
                sleep(LOOK_INTERVAL);
            }
        }
        remove(&dir()?)
    }

    /// Removes what machines left whose holder was killed; answers whether there was anything.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn clean() -> Result<bool, FleetError> {
        let dir = dir()?;
        if Self::find()?.is_some() || !dir.exists() {
            return Ok(false);
        }
        remove(&dir)?;
        Ok(true)
    }

    /// Moves this process, which must have one thread only, to where the machines are reached.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn join(&self) -> Result<(), FleetError> {
        let failed = here("join the machines' namespaces");
        let init = child_of(self.holder.0).ok_or(FleetError::Down)?;
        let open = |kind: &str| File::open(format!("/proc/{init}/ns/{kind}"));
        let (user, net) =
            open("user").and_then(|user| Ok((user, open("net")?))).map_err(&failed)?;
        setns(user, CloneFlags::CLONE_NEWUSER).map_err(|error| failed(error.into()))?;
        setns(net, CloneFlags::CLONE_NEWNET).map_err(|error| failed(error.into()))
    }

    /// The program and its words that log in to a machine and run a command there, or a shell. For a process that has [joined](Self::join).
    ///
    /// # Errors
    /// If there is no such machine.
    pub fn ssh(&self, name: &str, words: &[String]) -> Result<Command, FleetError> {
        let missing = || FleetError::NoSuch { name: name.into(), count: self.count };
        let number = name.strip_prefix('n').and_then(|number| number.parse::<u16>().ok());
        let number =
            number.filter(|number| (1..=self.count).contains(number)).ok_or_else(missing)?;
        let host: Host = host(&self.image(), &self.switch(NodeId(number)));
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=yes"]).args(host_arguments(&host));
        ssh.args(["--", &host.host]).args(words);
        Ok(ssh)
    }

    /// A line a machine on how it is. For a process that has [joined](Self::join).
    pub async fn status(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (node, switch) in (1..).map(NodeId).zip(self.switches()) {
            let state = match switch.is_off().await {
                Ok(true) => "off".to_owned(),
                Ok(false) if switch.answers().await => "up".to_owned(),
                Ok(false) => "does not answer".to_owned(),
                Err(error) => format!("gone: {error}"),
            };
            lines.push(format!("{node}  {}  {state}", switch.address));
        }
        lines
    }

    /// What they booted.
    pub(super) fn image(&self) -> Image {
        Image::at(self.image.clone())
    }

    pub(super) fn switches(&self) -> Vec<Switch> {
        (1..=self.count).map(|id| self.switch(NodeId(id))).collect()
    }

    fn switch(&self, node: NodeId) -> Switch {
        let dir = dir().unwrap_or_default().join(node.to_string());
        Switch::new(address_of(node), &dir)
    }
}

/// Listens to the holder until its machines are up.
fn await_ready(
    holder: &mut Child,
    dir: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<(), FleetError> {
    let output = holder.stdout.take().map(BufReader::new);
    for line in output.into_iter().flat_map(BufRead::lines) {
        match line.map_err(here("listen to the holder of machines"))?.as_str() {
            READY => return Ok(()),
            line => say(line),
        }
    }
    Err(FleetError::Failed(super::qemu::last_line(&dir.join(LOG))))
}

/// Where machines that stay have their disks and sockets.
fn dir() -> Result<PathBuf, FleetError> {
    let absent =
        || io::Error::new(io::ErrorKind::NotFound, "neither XDG_STATE_HOME nor HOME is set");
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/state")));
    let state = state.ok_or_else(absent).map_err(here("find the state directory"))?;
    Ok(state.join("keelhaul/vms"))
}

fn remove(dir: &Path) -> Result<(), FleetError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(here(&format!("remove {}", dir.display()))(error))
        }
        _ => Ok(()),
    }
}

/// The fields of `/proc/PID/stat` after the program's name, which may hold anything.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// When a living process began, in the kernel's ticks since it booted.
fn began(pid: i32) -> Option<u64> {
    let fields = stat(pid)?;
    // A process that has ended and that nobody has waited for yet is gone.
    if fields.first()? == "Z" {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// The one child of a process.
fn child_of(parent: i32) -> Option<i32> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parent = parent.to_string();
    pids.find(|pid| stat(*pid).is_some_and(|fields| fields.get(1) == Some(&parent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_beginning() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(began(pid).is_some_and(|ticks| ticks > 0));
        assert_eq!(began(pid), began(pid));
        assert_eq!(began(i32::MAX), None);
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let child_pid = i32::try_from(child.id()).unwrap();
        assert!(stat(child_pid).unwrap()[1] == pid.to_string());
        child.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while began(child_pid).is_some() {
            assert!(Instant::now() < deadline, "a killed process counts as living");
            sleep(LOOK_INTERVAL);
        }
        child.wait().unwrap();
    }
}
