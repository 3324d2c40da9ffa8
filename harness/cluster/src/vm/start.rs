//! From an image to nodes, and back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keelhaul_history::NodeId;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::fleet::Fleet;
use super::image::{Image, ImageError};
use super::network;
use super::probe::{self, Accelerator};
use super::qemu::{MachineError, Parts, Running, Switch};
use crate::cluster::{CloseError, Closing, Cluster, Environment};
use crate::local::{self, NODES_MAX};
use crate::machine::{Machine, Switching};
use crate::node::Node;
use crate::ssh::{Bundle, Host, Lines, Ssh, SshError, Transport};
use crate::stream::AgentStream;

/// Memory of a machine unless somebody asks for more: a store, its page cache, and the agent fit.
pub const MEMORY_MIB_DEFAULT: u32 = 256;
/// What QEMU takes beside the machine's memory: seen, 131.
const OVERHEAD_MIB: u64 = 144;
/// How long machines may take to boot. By translation, several at once on a busy machine, it is a minute.
const BOOT_PATIENCE: Duration = Duration::from_secs(300);
/// How long a machine may be stopped by its switch without losing its connection.
const STOPPED_MAX_S: u32 = 600;
/// Pause between two looks at whether one has.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Why there are no machines.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// No image.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// Not 1 to 9.
    #[error("start {0} machines: there can be 1 to {NODES_MAX}")]
    Count(u16),
    /// They would not fit.
    #[error(
        "start {count} machines: they take {needed_mib} MiB of memory and {available_mib} MiB are available; ask for fewer or smaller ones"
    )]
    Memory {
        /// How many.
        count: u16,
        /// What they take.
        needed_mib: u64,
        /// What there is.
        available_mib: u64,
    },
    /// Not inside the namespaces that [`enter`](crate::local::enter) makes.
    #[error("start machines: this process is not inside the namespaces of local::enter")]
    NotInside,
    /// Fewer machines are up than asked for.
    #[error(
        "use {wanted} machines: {up} are up; give --nodes {up}, or take them down with `keelhaul vm down`"
    )]
    TooFew {
        /// Asked for.
        wanted: u16,
        /// There.
        up: u16,
    },
    /// This machine lacks something.
    #[error("{what}: {source}")]
    Here {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A machine does not do what it should.
    #[error("start the machine {node}: {said}")]
    Machine {
        /// Which.
        node: NodeId,
        /// What is wrong.
        said: String,
    },
    /// It is up and could not become a node.
    #[error("{0}")]
    Ssh(#[from] SshError),
}

/// Virtual machines on this machine.
#[derive(Debug)]
pub struct Vm {
    /// What they boot.
    pub image: Image,
    /// How many.
    pub count: u16,
    /// The memory of each.
    pub memory_mib: u32,
}

impl Vm {
    /// Refuses what cannot work before anything is started.
    ///
    /// # Errors
    /// One sentence on what is in the way.
    pub fn check(&self) -> Result<(), VmError> {
        if !(1..=NODES_MAX).contains(&self.count) {
            return Err(VmError::Count(self.count));
        }
        let needed_mib = u64::from(self.count) * (u64::from(self.memory_mib) + OVERHEAD_MIB);
        let available_mib = available_mib().unwrap_or(u64::MAX);
        if needed_mib > available_mib {
            return Err(VmError::Memory { count: self.count, needed_mib, available_mib });
        }
        Ok(())
    }

    /// Boots machines that become the nodes `n1`, `n2`, …, inside [`enter`](crate::local::enter); they end with this process, however it
    /// ends. `say` is told what takes its time. In `run_dir/nodes/nX` are their consoles.
    ///
    /// # Errors
    /// [`VmError`].
    pub async fn start(
        &self,
        run_dir: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Cluster, VmError> {
        let nodes_dir = absolute(&run_dir.join("nodes"))?;
        let machines = self.boot(&nodes_dir, say).await?;
        for machine in &machines {
            // Whatever ends the run, nothing is left of the disks.
            machine.forget_disk().map_err(here("forget a disk"))?;
        }
        let switches = machines.iter().map(|machine| machine.switch.clone()).collect();
        serve(&self.image, switches, machines, run_dir).await
    }

    /// Makes nodes of machines that are up already; this process must have [joined](Fleet::join) them.
    ///
    /// # Errors
    /// [`VmError`].
    pub async fn join(fleet: &Fleet, count: u16, run_dir: &Path) -> Result<Cluster, VmError> {
        if count > fleet.count {
            return Err(VmError::TooFew { wanted: count, up: fleet.count });
        }
        let switches = fleet.switches().into_iter().take(usize::from(count)).collect::<Vec<_>>();
        for (node, switch) in (1..).map(NodeId).zip(&switches) {
            let failed = |error: MachineError| VmError::Machine { node, said: error.to_string() };
            // A run that was killed may have left it switched off, or stopped.
            switch.on().await.map_err(failed)?;
            await_answer(switch).await.map_err(|said| VmError::Machine { node, said })?;
        }
        serve(&fleet.image(), switches, Vec::new(), run_dir).await
    }

    /// Boots the machines and waits until all answer.
    pub(super) async fn boot(
        &self,
        nodes_dir: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Running>, VmError> {
        self.check()?;
        if !local::is_inside() {
            return Err(VmError::NotInside);
        }
        let probe::Choice { accelerator, why } = probe::choose(&self.image).await;
        let plural = if self.count == 1 { "" } else { "s" };
        say(&format!(
            "{} machine{plural} of {} MiB with {} ({why})",
            self.count,
            self.memory_mib,
            accelerator.as_str()
        ));
        let bundle = Bundle::of_this_program().map_err(here("read this program"))?;
        fs::create_dir_all(nodes_dir).map_err(here("make a directory for the machines"))?;
        let tar = nodes_dir.join("program.tar");
        fs::write(&tar, bundle.tar()).map_err(here("pack this program for the machines"))?;
        network::make_bridge().map_err(here("make a bridge"))?;
        let begun = Instant::now();
        let mut booting = JoinSet::new();
        for node in (1..=self.count).map(NodeId) {
            let parts =
                self.parts(node, nodes_dir, accelerator, (tar.clone(), bundle.hash.clone()));
            let failed =
                move |error: MachineError| VmError::Machine { node, said: error.to_string() };
            let mut machine = Running::start(parts).await.map_err(failed)?;
            booting.spawn(async move {
                machine.await_boot(BOOT_PATIENCE).await.map_err(failed)?;
                Ok::<_, VmError>((node, machine))
            });
        }
        let mut machines = Vec::new();
        while let Some(booted) = booting.join_next().await {
            let (node, machine) = booted.map_err(io::Error::other).map_err(here("boot"))??;
            say(&format!("{node} answers after {:.1} s", begun.elapsed().as_secs_f64()));
            machines.push((node, machine));
        }
        fs::remove_file(&tar).map_err(here("remove the packed program"))?;
        machines.sort_unstable_by_key(|(node, _)| *node);
        Ok(machines.into_iter().map(|(_, machine)| machine).collect())
    }

    fn parts(
        &self,
        node: NodeId,
        nodes_dir: &Path,
        accelerator: Accelerator,
        program: (PathBuf, String),
    ) -> Parts {
        Parts {
            node,
            dir: nodes_dir.join(node.to_string()),
            image: self.image.clone(),
            accelerator,
            memory_mib: self.memory_mib,
            program: Some(program),
        }
    }
}

fn here(what: &str) -> impl Fn(io::Error) -> VmError + use<> {
    let what = what.to_owned();
    move |source| VmError::Here { what: what.clone(), source }
}

fn absolute(path: &Path) -> Result<PathBuf, VmError> {
    fs::create_dir_all(path)
        .and_then(|()| path.canonicalize())
        .map_err(here(&format!("make {}", path.display())))
}

/// What the kernel says new programs can have.
fn available_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? >> 10)
}

/// Makes nodes of machines that answer.
async fn serve(
    image: &Image,
    switches: Vec<Switch>,
    machines: Vec<Running>,
    run_dir: &Path,
) -> Result<Cluster, VmError> {
    let hosts: Vec<Host> = switches.iter().map(|switch| host(image, switch)).collect();
    let (cluster, lines) = Ssh::connect(&hosts, Transport::Ssh, run_dir).await?;
    for ((node, switch), host) in cluster.nodes().iter().zip(&switches).zip(hosts) {
        let machine =
            Reached { node: node.id(), switch: switch.clone(), host, lines: lines.clone() };
        node.on_machine(Arc::new(machine));
    }
    Ok(cluster.within(|connections| Box::new(Machines { connections, switches, machines })))
}

/// How one logs in to a machine.
pub(super) fn host(image: &Image, switch: &Switch) -> Host {
    Host {
        host: switch.address.to_string(),
        user: Some("root".into()),
        key: Some(image.key()),
        known_hosts: Some(image.known_hosts()),
        silence_s: Some(STOPPED_MAX_S),
        ..Host::default()
    }
}

async fn await_answer(switch: &Switch) -> Result<(), String> {
    let deadline = Instant::now() + BOOT_PATIENCE;
    while !switch.answers().await {
        if Instant::now() > deadline {
            return Err(format!("it does not answer within {} s", BOOT_PATIENCE.as_secs()));
        }
        sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

/// A machine that is a host of a run.
#[derive(Debug)]
struct Reached {
    node: NodeId,
    switch: Switch,
    host: Host,
    lines: Lines,
}

impl Machine for Reached {
    fn power_off(&self) -> Switching<'_, ()> {
        Box::pin(async {
            let off = self.switch.off().await.map_err(|error| error.to_string());
            self.lines.drop_line(self.node);
            off
        })
    }

    fn is_off(&self) -> Switching<'_, bool> {
        Box::pin(async { self.switch.is_off().await.map_err(|error| error.to_string()) })
    }

    fn stop(&self) -> Switching<'_, ()> {
        Box::pin(async { self.switch.stop().await.map_err(|error| error.to_string()) })
    }

    fn is_stopped(&self) -> Switching<'_, bool> {
        Box::pin(async { self.switch.is_stopped().await.map_err(|error| error.to_string()) })
    }

    fn go_on(&self) -> Switching<'_, ()> {
        Box::pin(async { self.switch.go_on().await.map_err(|error| error.to_string()) })
    }

    fn reset(&self) -> Switching<'_, ()> {
        Box::pin(async {
            let reset = self.switch.reset().await.map_err(|error| error.to_string());
            self.lines.drop_line(self.node);
            reset
        })
    }

    fn power_on(&self) -> Switching<'_, AgentStream> {
        Box::pin(async {
            self.switch.on().await.map_err(|error| error.to_string())?;
            await_answer(&self.switch).await?;
            self.lines.reopen(self.node, &self.host).await.map_err(|error| error.to_string())
        })
    }
}

/// The machines of a run: the connections to them, and those that end with it.
#[derive(Debug)]
struct Machines {
    connections: Box<dyn Environment>,
    switches: Vec<Switch>,
    machines: Vec<Running>,
}

impl Environment for Machines {
    fn close(self: Box<Self>, nodes: Vec<Node>) -> Closing {
        let Self { connections, switches, machines } = *self;
        Box::pin(async move {
            let closed = connections.close(nodes).await;
            let failed = |what: &str| {
                let what = what.to_owned();
                move |source| CloseError { what, source }
            };
            if machines.is_empty() {
                // Others' machines are left as they were found: switched on.
                for switch in switches {
                    let on = switch.on().await.map_err(io::Error::other);
                    on.map_err(failed("a machine that is to be left on"))?;
                }
                return closed;
            }
            let nodes: Vec<NodeId> = (1..).map(NodeId).take(machines.len()).collect();
            for machine in machines {
                machine.end().await.map_err(failed("a machine"))?;
            }
            local::remove_network(nodes).map_err(failed("the network"))?;
            closed
        })
    }
}
