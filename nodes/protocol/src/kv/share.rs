//! Which keys a group keeps, and how keys go from group to group while transactions go on.
//!
//! A group that was never told of a [`Placement`] serves every key, and whoever asks it is trusted to ask the right one. A placement is changed
//! step by step, by whoever wants it changed (the [`mover`](crate::mover)):
//!
//! 1. *Close.* Every group of the old and the new placement is told of the change. From then on it serves only keys that it keeps in
//!    both, and takes no part in a transaction whose home leaves. Other keys go on as if nothing were. It is done when no prepared
//!    transaction is in the way, which holds a key that leaves or has a home that does: nothing new can be, so each is waited for, or settled.
//! 2. *Copy.* What leaves is exported, and imported where it will be. Neither side serves it, so it does not change, and it may be copied any
//!    number of times.
//! 3. *Open.* Every group puts the new placement in force, serves what it has now, and drops what it has no longer.
//!
//! *One change at a time.* The *witness*, the lowest group of the placement in force, is closed first. It takes one change an epoch and says
//! which, so two who want different ones agree: the second completes the first one's before its own. So does anybody who finds a
//! change that its mover has left halfway.
//!
//! *No key is served twice, none is lost.* A key has one group in the old placement and one in the new. The old one has ceased to serve it
//! before it is copied, the new one begins to only when opened, and nobody is opened before all is copied. So a group that is opened proves that
//! everything is copied, and whoever meets one need only open the rest.
//!
//! *Clients* hold a ring that may be old. A group that does not serve a key says so and names its placement ([`Response::Misplaced`]); nothing was
//! done. A newer one tells the client where to go, another that it is to wait. What counts is who keeps the key, not which epoch a client knows.
//!
//! *Who has left* goes on to answer for outcomes, and its log goes on; it is sent no more keys.
//!
//! Sources: Adya et al., *Centrifuge* (NSDI 2010), for ownership that is given up before it is given; the controller of Shards in MIT's 6.824, lab 4; Ongaro's
//! dissertation, §4, for changes one at a time.
//!
//! Limits: keys are placed, locks are not; they stay where they were taken.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::locks::{Fences, Token};
use super::txns::{Step, TxnId, Txns};
use super::values::Values;
use super::{Command, Key, Mutant, Response, Value};
use crate::api::LogIndex;
use crate::placement::{GroupId, Placement, Ring};

/// Bytes of keys and values that a page is done with.
const PAGE_BYTES: usize = 32 << 10;

/// What a group is asked to do for a change of the placement. Answered with a [`Standing`], but for pages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placing {
    /// Say how things stand.
    Look,
    /// Serve no more what leaves.
    Close {
        /// Who the group is.
        own: GroupId,
        /// The placement in force.
        from: Placement,
        /// The groups of the next.
        to: BTreeSet<GroupId>,
    },
    /// Tell a page of what leaves, behind this key.
    Export {
        /// The placement that is closed.
        epoch: u64,
        /// Where the last page ended.
        after: Option<Key>,
    },
    /// Keep this, but do not serve it yet.
    Import {
        /// The placement that is closed.
        epoch: u64,
        /// Keys with what belongs to them.
        cells: Vec<Cell>,
    },
    /// Put a placement in force: everything is copied.
    Open {
        /// Who the group is.
        own: GroupId,
        /// Which.
        placement: Placement,
    },
}

/// A key on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// The key.
    pub key: Key,
    /// What it holds.
    pub value: Value,
    /// The largest token that it has seen.
    pub fence: Option<Token>,
}

/// Some of what leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Page {
    /// In order of the keys.
    pub cells: Vec<Cell>,
    /// Keys that were passed on the way, and stay.
    pub stay: u64,
    /// The last key that was passed, if there are more behind it.
    pub next: Option<Key>,
}

/// How things stand in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// The placement in force, if it was told of one.
    pub placement: Option<Placement>,
    /// The groups of the next, if it is closed.
    pub to: Option<BTreeSet<GroupId>>,
    /// A prepared transaction that is in the way of the change.
    pub held_by: Option<TxnId>,
}

impl Placing {
    /// Whether it may be answered without an entry of the log. A page may not: it has to be the last word, also of nodes that
    /// serve reads which are not.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::Look)
    }

    /// How many bytes of keys and values it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Import { cells, .. } => cells.iter().map(Cell::bytes).sum(),
            Self::Export { after, .. } => after.as_ref().map_or(0, Vec::len),
            Self::Look | Self::Close { .. } | Self::Open { .. } => 0,
        }
    }
}

impl Cell {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len() + size_of::<Token>()
    }
}

/// What a group was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    own: GroupId,
    placement: Placement,
    to: Option<BTreeSet<GroupId>>,
}

/// A group's share of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Share {
    told: Option<Told>,
    /// The rings of the placement in force and of the next; follow from what it was told.
    #[serde(skip)]
    rings: Vec<Ring>,
}

/// What of the map belongs to keys that are placed.
pub(super) struct Kept<'a> {
    pub(super) values: &'a mut Values,
    pub(super) fences: &'a mut Fences,
}

impl Share {
    /// Computes what follows from the rest.
    pub(super) fn restored(mut self) -> Self {
        self.draw();
        self
    }

    fn draw(&mut self) {
        let Some(told) = &self.told else { return };
        let next = told.to.clone().map(|to| told.placement.next(to).ring());
        self.rings = [told.placement.ring()].into_iter().chain(next).collect();
    }

    /// The placement to name to whoever asks for what this group does not serve.
    pub(super) fn refuses(
        &self,
        command: &Command,
        txns: &Txns,
        mistake: Option<Mutant>,
    ) -> Option<Response> {
        let told = self.told.as_ref()?;
        let rings = match mistake {
            Some(Mutant::ServeLeaving) => &self.rings[..1],
            _ => &self.rings[..],
        };
        let serves = |key: &Key| rings.iter().all(|ring| ring.group(key) == Some(told.own));
        let fine = match command {
            Command::Read { key }
            | Command::Write { key, .. }
            | Command::Cas { key, .. }
            | Command::Append { key, .. } => serves(key),
            Command::Txn(Step::Prepare { txn, .. }) if txns.has_prepared(*txn) => true,
            Command::Txn(step) => {
                step.keys().all(serves) && step.home().is_none_or(|home| !told.loses(home))
            }
            Command::Lock { .. } | Command::Place(_) => true,
        };
        (!fine).then(|| Response::Misplaced(told.placement.clone()))
    }

    /// Whether a key is this group's, and will be another's.
    fn leaves(&self, key: &[u8]) -> bool {
        let own = self.told.as_ref().map(|told| told.own);
        matches!(&self.rings[..], [now, next] if now.group(key) == own && next.group(key) != own)
    }

    pub(super) fn standing(&self, txns: &Txns, mistake: Option<Mutant>) -> Standing {
        let Some(told) = &self.told else { return Standing::default() };
        let in_the_way = || {
            txns.prepared().find_map(|(txn, mut keys)| {
                let is = told.loses(txn.home) || keys.any(|key| self.leaves(key));
                is.then_some(txn)
            })
        };
        let waits = told.to.is_some() && mistake != Some(Mutant::MoveUnderPrepared);
        Standing {
            placement: Some(told.placement.clone()),
            to: told.to.clone(),
            held_by: if waits { in_the_way() } else { None },
        }
    }

    /// What leaves, if this placement is closed.
    pub(super) fn export(
        &self,
        epoch: u64,
        after: Option<&Key>,
        values: &Values,
        fences: &Fences,
    ) -> Option<Page> {
        let told = self.told.as_ref()?;
        if told.placement.epoch != epoch || told.to.is_none() {
            return None;
        }
        let (mut page, mut bytes) = (Page::default(), 0);
        for (key, value) in values.after(after) {
            if bytes >= PAGE_BYTES {
                page.next = page.cells.last().map(|cell| cell.key.clone());
                break;
            }
            if self.leaves(key) {
                let fence = fences.largest(key);
                let cell = Cell { key: key.clone(), value: value.clone(), fence };
                bytes += cell.bytes();
                page.cells.push(cell);
            } else {
                page.stay += u64::from(self.rings[0].group(key) == Some(told.own));
            }
        }
        Some(page)
    }

    /// Does what changes something.
    pub(super) fn perform(&mut self, index: LogIndex, placing: &Placing, kept: &mut Kept<'_>) {
        match placing {
            Placing::Close { own, from, to } => self.close(*own, from, to, kept),
            Placing::Import { epoch, cells } => {
                let open = |told: &Told| told.placement.epoch == *epoch && told.to.is_some();
                if self.told.as_ref().is_some_and(open) {
                    cells.iter().for_each(|cell| kept.take(index, cell));
                }
            }
            Placing::Open { own, placement } => self.take_over(*own, placement, kept),
            Placing::Look | Placing::Export { .. } => {}
        }
    }

    fn close(
        &mut self,
        own: GroupId,
        from: &Placement,
        to: &BTreeSet<GroupId>,
        kept: &mut Kept<'_>,
    ) {
        // That it is in force elsewhere proves that everything is copied that it needed.
        self.take_over(own, from, kept);
        if let Some(told) = &mut self.told
            && told.placement.epoch == from.epoch
            && told.to.is_none()
        {
            told.to = Some(to.clone());
            self.draw();
        }
    }

    /// Puts a placement in force, unless that or a later one is.
    fn take_over(&mut self, own: GroupId, placement: &Placement, kept: &mut Kept<'_>) {
        if self.told.as_ref().is_some_and(|told| told.placement.epoch >= placement.epoch) {
            return;
        }
        self.told = Some(Told { own, placement: placement.clone(), to: None });
        self.draw();
        let ring = &self.rings[0];
        kept.values.keep(|key| ring.group(key) == Some(own));
        kept.fences.keep(|key| ring.group(key) == Some(own));
    }
}

impl Told {
    /// Whether a group is none of those that keep keys, or will not be.
    fn loses(&self, group: GroupId) -> bool {
        let misses = |groups: &BTreeSet<GroupId>| !groups.contains(&group);
        misses(&self.placement.groups) || self.to.as_ref().is_some_and(misses)
    }
}

impl Kept<'_> {
    fn take(&mut self, index: LogIndex, Cell { key, value, fence }: &Cell) {
        self.values.put(index, key.clone(), value.clone());
        if let Some(token) = fence {
            // One that is here is of the same key, from an earlier copy.
            let _ = self.fences.pass(key, *token);
        }
    }
}
