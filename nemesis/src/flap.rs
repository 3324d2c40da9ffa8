//! Cuts and restores links again and again.
//!
//! A task of the nemesis goes on doing so until the fault is healed. Seen in effect when packets of a link are seen to get through at
//! one time and not at another.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use keelhaul_history::NodeId;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cuts::Link;
use crate::env::{Env, FaultError};
use crate::partition;

/// What looking may take, beside the time that the links are in each state.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tasks that are flapping links, by fault.
#[derive(Debug, Default)]
pub(crate) struct Flaps(BTreeMap<u64, JoinHandle<()>>);

impl Drop for Flaps {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

/// From now on the state of the fault's links, which are cut, changes after every `period_ms`.
pub(crate) fn begin(env: &Rc<Env>, fault: u64, period_ms: u64) {
    // Not to keep the environment alive after everybody else has let it go.
    let weak = Rc::downgrade(env);
    let period = Duration::from_millis(period_ms.max(1));
    let task = tokio::task::spawn_local(async move {
        let mut open = false;
        loop {
            tokio::time::sleep(period).await;
            let Some(env) = weak.upgrade() else { return };
            open = !open;
            env.cuts.borrow_mut().set_open(fault, open);
            // A node that does not answer is told again after the next period.
            let _ = env.apply_cuts().await;
        }
    });
    env.flaps.borrow_mut().0.insert(fault, task);
}

/// Packets of a link that no other fault cuts must be seen to get through, and not to.
pub(crate) async fn verify(env: &Env, fault: u64, period_ms: u64) -> Result<(), FaultError> {
    let links = env.cuts.borrow().of(fault);
    let open = |(from, to): &Link| {
        let powered = |id: NodeId| env.node(id).is_ok_and(keelhaul_cluster::Node::is_powered);
        !env.cuts.borrow().is_cut((*from, *to)) && powered(*from) && powered(*to)
    };
    let Some((from, to)) = links.into_iter().find(open) else {
        let why = "other faults hold every one of its links, so nothing can be seen on any";
        return Err(FaultError::NotInEffect(why.into()));
    };
    let deadline = Instant::now() + env.patience(PATIENCE) + Duration::from_millis(period_ms * 4);
    let (mut through, mut stopped) = (false, false);
    while !(through && stopped) {
        if Instant::now() > deadline {
            let what = if through { "always" } else { "never" };
            return Err(FaultError::NotInEffect(format!("packets from {from} {what} reach {to}")));
        }
        match env.cluster.reaches(from, to).await? {
            true => through = true,
            false => stopped = true,
        }
    }
    Ok(())
}

/// Ends the changes, and opens the links that no other fault holds.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    if let Some(task) = env.flaps.borrow_mut().0.remove(&fault) {
        task.abort();
    }
    partition::heal(env, fault).await
}
