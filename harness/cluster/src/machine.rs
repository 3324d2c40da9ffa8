//! What is behind a node's handle, and outlives a boot: the stream to the agent, which a machine that boots anew replaces, and, where
//! the environment has one, the machine's power switch.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use keelhaul_agent::{DiskFault, Naming};

use crate::stream::AgentStream;

/// What a machine is asked to do; the error is a sentence.
pub(crate) type Switching<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// A machine that a node is, with its power switch.
pub(crate) trait Machine: fmt::Debug + Send + Sync {
    /// Cuts its power; done when it is off.
    fn power_off(&self) -> Switching<'_, ()>;

    /// Whether it is off, as seen from outside.
    fn is_off(&self) -> Switching<'_, bool>;

    /// Stops it as it is; done when it is stopped.
    fn stop(&self) -> Switching<'_, ()>;

    /// Whether it is stopped, as seen from outside.
    fn is_stopped(&self) -> Switching<'_, bool>;

    /// Lets it go on where it was stopped.
    fn go_on(&self) -> Switching<'_, ()>;

    /// Lets it lose what is in its memory and boot; done when it has lost it.
    fn reset(&self) -> Switching<'_, ()>;

    /// Lets it boot, or waits until it has, and answers a stream to a fresh agent on it.
    fn power_on(&self) -> Switching<'_, AgentStream>;
}

/// A disk that the node has mounted, as it must be mounted again after a boot.
#[derive(Clone, Debug)]
pub(crate) struct MountedDisk {
    pub naming: Naming,
    pub faults: Option<(Vec<DiskFault>, u64)>,
}

/// What all handles on a node share.
#[derive(Debug)]
pub(crate) struct Seat {
    agent: Mutex<AgentStream>,
    machine: OnceLock<Arc<dyn Machine>>,
    powered: AtomicBool,
    disks: Mutex<BTreeMap<String, MountedDisk>>,
}

impl Seat {
    pub fn new(agent: AgentStream) -> Self {
        let powered = AtomicBool::new(true);
        Self {
            agent: Mutex::new(agent),
            machine: OnceLock::new(),
            powered,
            disks: Mutex::default(),
        }
    }

    pub fn agent(&self) -> AgentStream {
        locked(&self.agent).clone()
    }

    pub fn set_machine(&self, machine: Arc<dyn Machine>) {
        // An environment gives each node one machine, once.
        let _ = self.machine.set(machine);
    }

    pub fn machine(&self) -> Option<&Arc<dyn Machine>> {
        self.machine.get()
    }

    pub fn is_powered(&self) -> bool {
        self.powered.load(Ordering::Relaxed)
    }

    fn switch(&self) -> Result<&Arc<dyn Machine>, String> {
        self.machine().ok_or_else(|| "it has no power switch".into())
    }

    pub async fn power_off(&self) -> Result<(), String> {
        let machine = self.switch()?;
        // Before it is: whoever asks it meanwhile would wait for an answer that cannot come.
        self.powered.store(false, Ordering::Relaxed);
        machine.power_off().await
    }

    pub async fn is_off(&self) -> Result<bool, String> {
        self.switch()?.is_off().await
    }

    pub async fn stop(&self) -> Result<(), String> {
        let machine = self.switch()?;
        self.powered.store(false, Ordering::Relaxed);
        machine.stop().await
    }

    pub async fn is_stopped(&self) -> Result<bool, String> {
        self.switch()?.is_stopped().await
    }

    pub async fn go_on(&self) -> Result<(), String> {
        self.switch()?.go_on().await?;
        self.powered.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub async fn reset(&self) -> Result<(), String> {
        let machine = self.switch()?;
        self.powered.store(false, Ordering::Relaxed);
        machine.reset().await
    }

    pub async fn power_on(&self) -> Result<(), String> {
        let agent = self.switch()?.power_on().await?;
        *locked(&self.agent) = agent;
        self.powered.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub fn mounted(&self, dir: &str, naming: Naming) {
        locked(&self.disks).insert(dir.into(), MountedDisk { naming, faults: None });
    }

    pub fn unmounted(&self, dir: &str) {
        locked(&self.disks).remove(dir);
    }

    pub fn faulty(&self, dir: &str, faults: &[DiskFault], seed: u64) {
        if let Some(disk) = locked(&self.disks).get_mut(dir) {
            disk.faults = Some((faults.to_vec(), seed));
        }
    }

    pub fn disks(&self) -> BTreeMap<String, MountedDisk> {
        locked(&self.disks).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
