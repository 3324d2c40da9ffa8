//! One machine: a QEMU process, and its power switch.
//!
//! *Power off* is `stop` and then `system_reset`: the processor stands still at once, memory and devices are reset, and the machine waits at
//! its first instruction (QEMU calls that state `prelaunch`) until `cont` lets it boot. The process stays, so nothing but the machine's state
//! is lost: writes that had reached its disk are in the disk's file, everything else was in its memory.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use keelhaul_history::NodeId;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::image::Image;
use super::network::{address_of, hardware_address_of, interface_of, tap_of};
use super::probe::Accelerator;
use super::qcow2;
use super::qmp::{Qmp, QmpError};

/// The program.
pub(super) const QEMU: &str = "qemu-system-x86_64";
const SOCKET: &str = "qmp.sock";
const DISK: &str = "disk.qcow2";
const CONSOLE: &str = "console.log";
/// How long QEMU may take to listen once it is started, on a busy machine.
const LISTEN_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at whether a machine does something.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a machine that is off may have to be silent. One that is on answers a connection from its kernel, within milliseconds.
const SILENCE: Duration = Duration::from_millis(1_500);
const SSH_PORT: u16 = 22;

/// Why a machine does not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum MachineError {
    #[error("{what}: {source}")]
    Here { what: String, source: io::Error },
    #[error("start QEMU (packages qemu-system-x86): {0}")]
    NoQemu(io::Error),
    #[error("keep QEMU running: {0}")]
    Ended(String),
    #[error("{0}")]
    Qmp(#[from] QmpError),
    #[error("boot within {} s; its console says: {said}", after.as_secs())]
    Silent { after: Duration, said: String },
    #[error("have the machine {wanted}: QEMU says it is {status}")]
    State { wanted: &'static str, status: String },
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub node: NodeId,
    /// Where its disk, its console and QEMU's socket are.
    pub dir: PathBuf,
    pub image: Image,
    pub accelerator: Accelerator,
    pub memory_mib: u32,
    /// A tar archive that the machine unpacks, and the name of what is in it.
    pub program: Option<(PathBuf, String)>,
}

impl Parts {
    fn arguments(&self) -> Vec<String> {
        let Self { node, image, accelerator, memory_mib, .. } = self;
        // Where the host is busy a trial of the timer's interrupt fails by its lateness, and the kernel gives up: it is left out.
        let mut append = format!(
            "root=/dev/vda rw init=/usr/sbin/keelhaul-init console=ttyS0 quiet net.ifnames=0 mitigations=off \
             no_timer_check keelhaul.name={node} keelhaul.address={}",
            interface_of(*node)
        );
        let mut drives = vec![format!("file={DISK},format=qcow2,if=virtio,cache=writeback")];
        if let Some((tar, hash)) = &self.program {
            append += &format!(" keelhaul.program={hash}");
            drives.push(format!("file={},format=raw,if=virtio,readonly=on", comma_safe(tar)));
        }
        let mut words = base_arguments(image, *accelerator, *memory_mib, &append);
        for drive in drives {
            words.extend(["-drive".into(), drive]);
        }
        let tap = tap_of(*node);
        let mac = hardware_address_of(*node);
        words.extend([
            "-netdev".into(),
            format!("tap,id=net,ifname={tap},script=no,downscript=no"),
            "-device".into(),
            format!("virtio-net-pci,netdev=net,mac={mac},romfile="),
            "-serial".into(),
            format!("file:{CONSOLE}"),
            "-qmp".into(),
            format!("unix:{SOCKET},server=on,wait=off"),
        ]);
        words
    }
}

/// What every boot of an image has.
pub(super) fn base_arguments(
    image: &Image,
    accelerator: Accelerator,
    memory_mib: u32,
    append: &str,
) -> Vec<String> {
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        // Translated code of a small guest fits in far less than QEMU would take.
        Accelerator::Tcg => ("tcg,thread=multi,tb-size=64", "max"),
    };
    let words =
        ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-smp", "1"];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    for (flag, value) in [
        ("-accel", accel.to_owned()),
        ("-cpu", cpu.to_owned()),
        ("-m", memory_mib.to_string()),
        ("-device", "virtio-rng-pci".to_owned()),
        ("-kernel", image.kernel().display().to_string()),
        ("-initrd", image.initrd().display().to_string()),
        ("-append", append.to_owned()),
    ] {
        words.extend([flag.to_owned(), value]);
    }
    words
}

/// A path as a value in a list that commas separate.
fn comma_safe(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// A machine whose QEMU process is ours: it ends when this is dropped, and when the thread that started it does.
#[derive(Debug)]
pub(super) struct Running {
    pub switch: Switch,
    child: Child,
    parts: Parts,
}

impl Running {
    /// Makes the disk and starts QEMU; the machine begins to boot.
    pub async fn start(parts: Parts) -> Result<Self, MachineError> {
        let here = |what: String| move |source| MachineError::Here { what, source };
        let dir = parts.dir.display();
        fs::create_dir_all(&parts.dir).map_err(here(format!("make {dir}")))?;
        qcow2::create_over(&parts.dir.join(DISK), &parts.image.disk())
            .map_err(here(format!("make a disk in {dir}")))?;
        let errors =
            File::create(parts.dir.join("qemu.log")).map_err(here(format!("write in {dir}")))?;
        let mut qemu = Command::new(QEMU);
        qemu.args(parts.arguments()).current_dir(&parts.dir).kill_on_drop(true);
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        die_with_parent(&mut qemu);
        let child = qemu.spawn().map_err(MachineError::NoQemu)?;
        let switch = Switch::new(address_of(parts.node), &parts.dir);
        let mut running = Self { switch, child, parts };
        running.await_monitor().await?;
        super::network::plug(running.parts.node).map_err(here("plug a machine in".into()))?;
        Ok(running)
    }

    async fn await_monitor(&mut self) -> Result<(), MachineError> {
        let deadline = Instant::now() + LISTEN_PATIENCE;
        loop {
            self.alive()?;
            match self.switch.monitor().await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => sleep(LOOK_INTERVAL).await,
            }
        }
    }

    fn alive(&mut self) -> Result<(), MachineError> {
        let ended = self.child.try_wait();
        let ended =
            ended.map_err(|source| MachineError::Here { what: "look at QEMU".into(), source })?;
        match ended {
            None => Ok(()),
            Some(status) => {
                let log = last_line(&self.parts.dir.join("qemu.log"));
                Err(MachineError::Ended(format!("{status}: {log}")))
            }
        }
    }

    /// Waits until the machine's SSH server answers.
    pub async fn await_boot(&mut self, patience: Duration) -> Result<(), MachineError> {
        let deadline = Instant::now() + patience;
        while !self.switch.answers().await {
            self.alive()?;
            if Instant::now() > deadline {
                let said = last_line(&self.parts.dir.join(CONSOLE));
                return Err(MachineError::Silent { after: patience, said });
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Removes from the directory what only QEMU needs and has open, so that nothing is left however it ends.
    pub fn forget_disk(&self) -> io::Result<()> {
        fs::remove_file(self.parts.dir.join(DISK))
    }

    /// Ends QEMU, waits until it is gone, and removes what it had.
    pub async fn end(mut self) -> io::Result<()> {
        self.child.kill().await?;
        for name in [SOCKET, DISK] {
            match fs::remove_file(self.parts.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What it takes to switch a machine off and on, or to stop it, from any process that reaches its socket and its address.
#[derive(Clone, Debug)]
pub(super) struct Switch {
    pub address: Ipv4Addr,
    dir: PathBuf,
}

impl Switch {
    /// Of the machine at this address, whose files are in `dir`.
    pub fn new(address: Ipv4Addr, dir: &Path) -> Self {
        Self { address, dir: dir.to_owned() }
    }

    async fn monitor(&self) -> Result<Qmp, QmpError> {
        // The kernel allows 107 bytes for the name of a socket; a descriptor is a short name of its directory.
        let dir = File::open(&self.dir)?;
        let name = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
        Qmp::connect(Path::new(&name)).await
    }

    /// Cuts the power; the machine then waits to be switched on.
    pub async fn off(&self) -> Result<(), MachineError> {
        let mut monitor = self.monitor().await?;
        monitor.execute("stop", json!({})).await?;
        monitor.execute("system_reset", json!({})).await?;
        monitor.event("RESET").await?;
        match status(&mut monitor).await? {
            status if is_off(&status) => Ok(()),
            status => Err(MachineError::State { wanted: "be off", status }),
        }
    }

    /// Whether it is off: QEMU says so, and nobody answers at its address.
    pub async fn is_off(&self) -> Result<bool, MachineError> {
        let off = is_off(&status(&mut self.monitor().await?).await?);
        Ok(off && !self.answers().await)
    }

    /// Lets a machine that is off begin to boot, and one that is stopped go on; one that runs does so anyway.
    pub async fn on(&self) -> Result<(), MachineError> {
        self.monitor().await?.execute("cont", json!({})).await?;
        Ok(())
    }

    /// Stops its processor, and with it everything in it, at once.
    pub async fn stop(&self) -> Result<(), MachineError> {
        self.monitor().await?.execute("stop", json!({})).await?;
        Ok(())
    }

    /// Whether it is stopped: QEMU says so, and nobody answers at its address.
    pub async fn is_stopped(&self) -> Result<bool, MachineError> {
        let stopped = status(&mut self.monitor().await?).await? == "paused";
        Ok(stopped && !self.answers().await)
    }

    /// Lets a machine that was stopped go on where it was.
    pub async fn go_on(&self) -> Result<(), MachineError> {
        let mut monitor = self.monitor().await?;
        match status(&mut monitor).await? {
            status if status == "paused" => {}
            status => return Err(MachineError::State { wanted: "be stopped", status }),
        }
        monitor.execute("cont", json!({})).await?;
        Ok(())
    }

    /// Presses its reset button: it loses what is in memory, and begins to boot.
    pub async fn reset(&self) -> Result<(), MachineError> {
        let mut monitor = self.monitor().await?;
        monitor.execute("system_reset", json!({})).await?;
        Ok(monitor.event("RESET").await?)
    }

    /// Whether an SSH server answers there.
    pub async fn answers(&self) -> bool {
        let greeted = async {
            let mut stream = TcpStream::connect(SocketAddr::from((self.address, SSH_PORT))).await?;
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).await?;
            Ok::<_, io::Error>(&greeting == b"SSH-")
        };
        matches!(timeout(SILENCE, greeted).await, Ok(Ok(true)))
    }
}

async fn status(monitor: &mut Qmp) -> Result<String, QmpError> {
    let answer = monitor.execute("query-status", json!({})).await?;
    let status = answer.get("status").and_then(serde_json::Value::as_str);
    status.map(str::to_owned).ok_or_else(|| QmpError::Nonsense(answer.to_string()))
}

/// After a reset that nobody has let it boot from, QEMU calls a machine so.
fn is_off(status: &str) -> bool {
    status == "prelaunch"
}

/// Lets a program end when the thread that starts it does.
pub(super) fn die_with_parent(command: &mut Command) {
    #[expect(unsafe_code, reason = "what runs between fork and exec is for us to answer for")]
    // SAFETY: prctl is safe to call between fork and exec: it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
}

/// The last line of a log that says something.
pub(super) fn last_line(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    last.unwrap_or("nothing").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_who_it_is() {
        let parts = Parts {
            node: NodeId(3),
            dir: "/d".into(),
            image: Image::at("/i".into()),
            accelerator: Accelerator::Tcg,
            memory_mib: 256,
            program: Some(("/a,b.tar".into(), "abc".into())),
        };
        let line = parts.arguments().join(" ");
        for part in [
            "keelhaul.name=n3 keelhaul.address=10.77.0.3/24 keelhaul.program=abc",
            "-drive file=/a,,b.tar,format=raw,if=virtio,readonly=on",
            "tap,id=net,ifname=kh-n3,script=no",
            "-m 256",
            "cache=writeback",
            "-accel tcg",
        ] {
            assert!(line.contains(part), "{part} is missing in {line}");
        }
    }
}
