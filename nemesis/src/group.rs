//! Lets a group of replicas have keys that had none, or have none any more, while clients go on; and undoes it.
//!
//! No group ever loses a key that another does not have by then; the store sees to that, and a run to whether it does.

use std::collections::BTreeSet;

use keelhaul_stores::Sharding;
use keelhaul_stores::sharding::{GroupId, Groups, Moved};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::env::{Env, FaultError, Injected};
use crate::named::named;

/// What happens to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// It gets its share of the keys.
    GroupJoin,
    /// Its keys go to the others.
    GroupLeave,
}

/// What, and to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// What.
    #[serde(rename = "kind")]
    pub group: Group,
    /// Which of those that it can happen to, round and round.
    pub pick: u16,
}

impl Group {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GroupJoin => "group-join",
            Self::GroupLeave => "group-leave",
        }
    }

    const fn opposite(self) -> Self {
        match self {
            Self::GroupJoin => Self::GroupLeave,
            Self::GroupLeave => Self::GroupJoin,
        }
    }
}

impl GroupSpec {
    /// The fault with this name, on the first group that it can strike.
    pub(crate) fn named(kind: &str) -> Option<Self> {
        Some(Self { group: named(kind)?, pick: 0 })
    }

    pub(crate) fn draw(kind: &str, rng: &mut ChaCha8Rng) -> Option<Self> {
        Some(Self { pick: rng.random_range(0..64), ..Self::named(kind)? })
    }
}

/// What a fault did, or may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    what: Group,
    group: GroupId,
    /// Whether it was to be undone, and was not.
    overdue: bool,
}

impl Change {
    const fn new(what: Group, group: GroupId) -> Self {
        Self { what, group, overdue: false }
    }

    const fn undone(self) -> Self {
        Self { what: self.what.opposite(), ..self }
    }

    /// Whether it is so, where these groups have keys.
    fn is_done(self, placed: &BTreeSet<GroupId>) -> bool {
        placed.contains(&self.group) == (self.what == Group::GroupJoin)
    }

    async fn is_in_effect(self, env: &Env) -> Result<bool, FaultError> {
        Ok(self.is_done(&groups(env).await?.placed))
    }

    /// Sees to it that it is so.
    async fn perform(self, env: &Env) -> Result<Moved, FaultError> {
        let mut placed = groups(env).await?.placed;
        if self.is_done(&placed) {
            return Ok(Moved::default());
        }
        match self.what {
            Group::GroupJoin => placed.insert(self.group),
            Group::GroupLeave => placed.remove(&self.group),
        };
        Ok(sharding(env)?.place(placed, env.cluster.nodes()).await?)
    }
}

fn sharding(env: &Env) -> Result<&dyn Sharding, FaultError> {
    let missing = || FaultError::NotInEffect(format!("{} has one group", env.store.name()));
    env.store.sharding().ok_or_else(missing)
}

async fn groups(env: &Env) -> Result<Groups, FaultError> {
    Ok(sharding(env)?.groups(env.cluster.nodes()).await?)
}

fn change_of(env: &Env, fault: u64) -> Option<Change> {
    env.changes.borrow().get(&fault).copied()
}

/// Chooses a group that no other fault has, and changes what it has.
pub(crate) async fn inject(
    env: &Env,
    fault: u64,
    GroupSpec { group: what, pick }: GroupSpec,
) -> Result<Injected, FaultError> {
    undo_rest(env).await?;
    let Groups { all, placed } = groups(env).await?;
    let last = what == Group::GroupLeave && placed.len() < 2;
    let busy: Vec<GroupId> = env.changes.borrow().values().map(|change| change.group).collect();
    let able: Vec<Change> = all
        .into_iter()
        .filter(|group| !last && !busy.contains(group))
        .map(|group| Change::new(what, group))
        .filter(|change| !change.is_done(&placed))
        .collect();
    if able.is_empty() {
        return Err(FaultError::NothingToStrike);
    }
    let change = able[usize::from(pick) % able.len()];
    env.changes.borrow_mut().insert(fault, change);
    let moved = change.perform(env).await?;
    let label = format!(
        "{}: group {}, {} of {} keys moved, evenly {:.1}",
        what.name(),
        change.group.0,
        moved.moved,
        moved.keys,
        moved.ideal()
    );
    Ok(Injected { label, nodes: Vec::new() })
}

/// Groups must agree that it is done.
pub(crate) async fn verify(env: &Env, fault: u64) -> Result<(), FaultError> {
    match change_of(env, fault) {
        Some(change) if change.is_in_effect(env).await? => Ok(()),
        _ => Err(FaultError::NotInEffect("the groups have the keys that they had".into())),
    }
}

/// Undoes it.
pub(crate) async fn heal(env: &Env, fault: u64) -> Result<(), FaultError> {
    if let Some(change) = change_of(env, fault) {
        env.changes.borrow_mut().insert(fault, Change { overdue: true, ..change });
        change.undone().perform(env).await?;
    }
    Ok(())
}

/// Groups must agree that it is undone.
pub(crate) async fn verify_healed(env: &Env, fault: u64) -> Result<(), FaultError> {
    if let Some(change) = change_of(env, fault) {
        if !change.undone().is_in_effect(env).await? {
            let why = format!("group {} has keys as it was made to", change.group.0);
            return Err(FaultError::NotHealed(why));
        }
        env.changes.borrow_mut().remove(&fault);
    }
    Ok(())
}

/// Undoes what could not be undone when it was time, since too few nodes were well.
pub(crate) async fn undo_rest(env: &Env) -> Result<(), FaultError> {
    let overdue = |(fault, change): (&u64, &Change)| change.overdue.then_some(*fault);
    let faults: Vec<u64> = env.changes.borrow().iter().filter_map(overdue).collect();
    for fault in faults {
        heal(env, fault).await?;
        verify_healed(env, fault).await?;
    }
    Ok(())
}
