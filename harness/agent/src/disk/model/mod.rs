//! What is durable: the pure core of the [disk](super).
//!
//! The model knows every file and directory below the mount: its *live* names, as a program sees them, and its
//! *durable* ones, as a power cut would leave them. Operations go in; out come [`Effect`]s on the backing directory, which always
//! holds the live tree, so that nothing is lost when the agent is killed.
//!
//! Policy ([`Naming::Strict`]), the least that POSIX lets a program rely on, with the one thing that every journaling file system adds:
//! * a file's content is durable as of the last sync of that file;
//! * a name in a directory is durable as of the last sync of that directory: a synced file without a durable name is gone;
//! * names in one directory become durable in the order in which they were changed; a rename between two directories
//!   is atomic, so syncing either makes all that came before it durable in both.
//!
//! [`Naming::Journaled`] is what ext4, XFS and btrfs do in practice: a sync of anything makes every earlier change of a name durable.
//!
//! A file or directory that has lost its last live name but could come back is *buried*: kept under its number in a directory of its
//! own ([`GRAVE`]), until no power cut can bring it back.
//!
//! Limits: modes, owners, times and extended attributes are taken as durable at once. `sync(2)` does not reach a FUSE
//! file system, so it makes nothing durable here.

mod content;
mod cut;
#[cfg(test)]
mod oracle_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

pub(super) use content::{Content, Restore, SECTOR_BYTES, index};

use super::fault::Naming;

/// The directory of what is buried, in the root of the backing directory; no program sees it.
pub(super) const GRAVE: &str = ".keelhaul-unsynced";

/// A file's or directory's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ino(pub u64);

/// The directory that is mounted.
pub(super) const ROOT: Ino = Ino(1);

/// What an inode is, as far as durability is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: it has names, but no content of its own.
    Other,
}

/// A change of the backing directory; paths are relative to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// As `rename(2)`.
    Rename {
        /// What has this name.
        from: PathBuf,
        /// Its new name.
        to: PathBuf,
    },
    /// As `link(2)`.
    Link {
        /// A name that is there.
        from: PathBuf,
        /// One more.
        to: PathBuf,
    },
    /// As `unlink(2)`.
    Unlink(PathBuf),
    /// As `rmdir(2)`.
    Rmdir(PathBuf),
    /// Take a file back to what was durable of it.
    Restore(PathBuf, Restore),
}

/// Why an operation cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such name or inode.
    NotFound,
    /// The name is taken.
    Exists,
    /// The directory is not empty.
    NotEmpty,
    /// It is no directory.
    NotDirectory,
    /// The name is the file system's own.
    Reserved,
}

/// Names to their inodes.
type Names = BTreeMap<OsString, Ino>;

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    /// Its live names: the directory and the name in it.
    places: BTreeSet<(Ino, OsString)>,
    buried: bool,
    content: Content,
    live: Names,
    durable: Names,
}

/// One change of names that is not durable: what each name then meant.
#[derive(Clone, Debug)]
struct NameChange {
    assigned: Vec<(Ino, OsString, Option<Ino>)>,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Model {
    naming: Naming,
    nodes: BTreeMap<Ino, Node>,
    pending: Vec<NameChange>,
    next: u64,
}

impl Model {
    /// An empty directory.
    pub(super) fn new(naming: Naming) -> Self {
        let root = Node::new(Kind::Directory, Content::default());
        let nodes = BTreeMap::from([(ROOT, root)]);
        Self { naming, nodes, pending: Vec::new(), next: ROOT.0 + 1 }
    }

    /// Takes in what was there before the mount, which counts as durable.
    pub(super) fn adopt(&mut self, dir: Ino, name: &OsStr, kind: Kind, length: u64) -> Ino {
        let ino = self.add(kind, Content::durable(length));
        self.adopt_link(dir, name, ino);
        ino
    }

    /// Takes in one more name of something that was there before.
    pub(super) fn adopt_link(&mut self, dir: Ino, name: &OsStr, ino: Ino) {
        self.attach(dir, name, ino);
        self.node_mut(dir).durable.insert(name.to_owned(), ino);
    }

    /// What a name means.
    pub(super) fn lookup(&self, dir: Ino, name: &OsStr) -> Option<Ino> {
        self.nodes.get(&dir)?.live.get(name).copied()
    }

    /// The names in a directory.
    pub(super) fn entries(&self, dir: Ino) -> Option<&Names> {
        self.nodes.get(&dir).filter(|node| node.kind == Kind::Directory).map(|node| &node.live)
    }

    /// What an inode is, while it has a name or could get one back.
    pub(super) fn kind(&self, ino: Ino) -> Option<Kind> {
        self.nodes.get(&ino).map(|node| node.kind)
    }

    /// Whether an inode has a live name.
    pub(super) fn has_name(&self, ino: Ino) -> bool {
        self.nodes.get(&ino).is_some_and(|node| !node.places.is_empty())
    }

    /// Where an inode is in the backing directory.
    pub(super) fn path(&self, ino: Ino) -> Option<PathBuf> {
        let node = self.nodes.get(&ino)?;
        if ino == ROOT {
            return Some(PathBuf::new());
        }
        if node.buried {
            return Some(grave(ino));
        }
        let (dir, name) = node.places.first()?;
        Some(self.path(*dir)?.join(name))
    }

    /// All inodes.
    pub(super) fn inodes(&self) -> impl Iterator<Item = Ino> + '_ {
        self.nodes.keys().copied()
    }

    /// A file's content, while a power cut could matter to it.
    pub(super) fn content(&mut self, ino: Ino) -> Option<&mut Content> {
        self.nodes
            .get_mut(&ino)
            .filter(|node| node.kind == Kind::File)
            .map(|node| &mut node.content)
    }

    /// How many files have unsynced content, how many bytes of it, and how many changes of names are not durable.
    pub(super) fn unsynced(&self) -> (u64, u64, u64) {
        let dirty = self.nodes.values().filter(|node| node.content.is_dirty());
        let (files, bytes) = dirty.fold((0, 0), |(files, bytes), node| {
            (files + 1, bytes + node.content.unsynced_bytes())
        });
        (files, bytes, self.pending.len() as u64)
    }

    /// Whether a name may come to be in a directory, and its path there.
    pub(super) fn free_path(&self, dir: Ino, name: &OsStr) -> Result<PathBuf, Refusal> {
        let entries = self.entries(dir).ok_or(Refusal::NotDirectory)?;
        if dir == ROOT && name == GRAVE {
            return Err(Refusal::Reserved);
        }
        if entries.contains_key(name) {
            return Err(Refusal::Exists);
        }
        // A directory that was removed while somebody is in it takes no names.
        let path = self.path(dir).filter(|_| !self.is_removed(dir)).ok_or(Refusal::NotFound)?;
        Ok(path.join(name))
    }

    /// Something new was made at [`Model::free_path`].
    pub(super) fn created(&mut self, dir: Ino, name: &OsStr, kind: Kind) -> Ino {
        let ino = self.add(kind, Content::default());
        self.attach(dir, name, ino);
        self.change(vec![(dir, name.to_owned(), Some(ino))]);
        ino
    }

    /// One more name for a file.
    pub(super) fn link(
        &mut self,
        ino: Ino,
        dir: Ino,
        name: &OsStr,
    ) -> Result<Vec<Effect>, Refusal> {
        let to = self.free_path(dir, name)?;
        if self.nodes.get(&ino).is_none_or(|node| node.places.is_empty()) {
            return Err(Refusal::NotFound);
        }
        let from = self.path(ino).ok_or(Refusal::NotFound)?;
        self.attach(dir, name, ino);
        self.change(vec![(dir, name.to_owned(), Some(ino))]);
        Ok(vec![Effect::Link { from, to }])
    }

    /// Removes a name: of a file, or of an empty directory.
    pub(super) fn remove(&mut self, dir: Ino, name: &OsStr) -> Result<Vec<Effect>, Refusal> {
        let ino = self.lookup(dir, name).ok_or(Refusal::NotFound)?;
        if !self.node(ino).live.is_empty() {
            return Err(Refusal::NotEmpty);
        }
        let path = self.path(dir).ok_or(Refusal::NotFound)?.join(name);
        self.detach(dir, name, ino);
        self.change(vec![(dir, name.to_owned(), None)]);
        let mut effects = Vec::new();
        if self.node(ino).places.is_empty() && self.reachable().contains(&ino) {
            self.node_mut(ino).buried = true;
            effects.push(Effect::Rename { from: path, to: grave(ino) });
        } else {
            effects.push(self.removal(ino, path));
        }
        effects.extend(self.sweep());
        Ok(effects)
    }

    /// Renames, in place of whatever has the new name.
    pub(super) fn rename(
        &mut self,
        (dir, name): (Ino, &OsStr),
        (new_dir, new_name): (Ino, &OsStr),
    ) -> Result<Vec<Effect>, Refusal> {
        let ino = self.lookup(dir, name).ok_or(Refusal::NotFound)?;
        if new_dir == ROOT && new_name == GRAVE {
            return Err(Refusal::Reserved);
        }
        let victim = self.lookup(new_dir, new_name);
        if victim == Some(ino) {
            return Ok(Vec::new());
        }
        if victim.is_some_and(|victim| !self.node(victim).live.is_empty()) {
            return Err(Refusal::NotEmpty);
        }
        let gone = |model: &Self| model.is_removed(new_dir);
        let from = self.path(dir).ok_or(Refusal::NotFound)?.join(name);
        let to =
            self.path(new_dir).filter(|_| !gone(self)).ok_or(Refusal::NotFound)?.join(new_name);
        if let Some(victim) = victim {
            self.detach(new_dir, new_name, victim);
        }
        self.detach(dir, name, ino);
        self.attach(new_dir, new_name, ino);
        self.change(vec![(dir, name.to_owned(), None), (new_dir, new_name.to_owned(), Some(ino))]);
        let mut effects = Vec::new();
        if let Some(victim) = victim
            && self.node(victim).places.is_empty()
            && self.reachable().contains(&victim)
        {
            self.node_mut(victim).buried = true;
            let (from, to) = (to.clone(), grave(victim));
            effects.push(match self.node(victim).kind {
                Kind::Directory => Effect::Rename { from, to },
                Kind::File | Kind::Other => Effect::Link { from, to },
            });
        }
        effects.push(Effect::Rename { from, to });
        effects.extend(self.sweep());
        Ok(effects)
    }

    /// The file's content is durable.
    pub(super) fn sync_file(&mut self, ino: Ino) -> Vec<Effect> {
        if let Some(content) = self.content(ino) {
            content.sync();
        }
        if self.naming == Naming::Journaled { self.persist_all() } else { Vec::new() }
    }

    /// The directory's names are durable.
    pub(super) fn sync_directory(&mut self, dir: Ino) -> Vec<Effect> {
        match self.naming {
            Naming::Journaled => self.persist_all(),
            Naming::Strict => self.persist(&[dir]),
        }
    }

    fn persist_all(&mut self) -> Vec<Effect> {
        let directories: Vec<Ino> = self.inodes().collect();
        self.persist(&directories)
    }

    /// Makes the changes in these directories durable, and with each change all that came before it in the
    /// directories that it touches.
    fn persist(&mut self, directories: &[Ino]) -> Vec<Effect> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        let mut wanted: BTreeSet<Ino> = directories.iter().copied().collect();
        let mut durable = vec![false; self.pending.len()];
        for (change, durable) in self.pending.iter().zip(&mut durable).rev() {
            *durable = change.assigned.iter().any(|(dir, ..)| wanted.contains(dir));
            if *durable {
                wanted.extend(change.assigned.iter().map(|(dir, ..)| *dir));
            }
        }
        let mut left = Vec::new();
        for (change, durable) in std::mem::take(&mut self.pending).into_iter().zip(durable) {
            if !durable {
                left.push(change);
                continue;
            }
            for (dir, name, ino) in change.assigned {
                let Some(node) = self.nodes.get_mut(&dir) else { continue };
                match ino {
                    Some(ino) => node.durable.insert(name, ino),
                    None => node.durable.remove(&name),
                };
            }
        }
        self.pending = left;
        self.sweep()
    }

    /// Forgets, and unburies, what has no name and cannot get one back.
    fn sweep(&mut self) -> Vec<Effect> {
        let reachable = self.reachable();
        let gone: Vec<Ino> = self.inodes().filter(|ino| !reachable.contains(ino)).collect();
        let mut effects = Vec::new();
        for ino in gone {
            if self.node(ino).buried {
                effects.push(self.removal(ino, grave(ino)));
            }
            self.nodes.remove(&ino);
        }
        // Kept whole while any part matters: it also orders the changes before it.
        self.pending
            .retain(|change| change.assigned.iter().any(|(dir, ..)| reachable.contains(dir)));
        effects
    }

    /// Everything that has a live name, a durable one, or one that may still become durable.
    fn reachable(&self) -> BTreeSet<Ino> {
        let mut promised: BTreeMap<Ino, Vec<Ino>> = BTreeMap::new();
        for (dir, _, ino) in self.pending.iter().flat_map(|change| &change.assigned) {
            promised.entry(*dir).or_default().extend(ino);
        }
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(ino) = open.pop() {
            let Some(node) = self.nodes.get(&ino) else { continue };
            let promised = promised.get(&ino).into_iter().flatten();
            for &child in node.live.values().chain(node.durable.values()).chain(promised) {
                if reached.insert(child) {
                    open.push(child);
                }
            }
        }
        reached
    }

    /// Whether a directory has been removed.
    fn is_removed(&self, dir: Ino) -> bool {
        self.nodes.get(&dir).is_none_or(|node| node.buried)
    }

    fn removal(&self, ino: Ino, path: PathBuf) -> Effect {
        match self.node(ino).kind {
            Kind::Directory => Effect::Rmdir(path),
            Kind::File | Kind::Other => Effect::Unlink(path),
        }
    }

    fn change(&mut self, assigned: Vec<(Ino, OsString, Option<Ino>)>) {
        self.pending.push(NameChange { assigned });
    }

    fn add(&mut self, kind: Kind, content: Content) -> Ino {
        let ino = Ino(self.next);
        self.next += 1;
        self.nodes.insert(ino, Node::new(kind, content));
        ino
    }

    fn attach(&mut self, dir: Ino, name: &OsStr, ino: Ino) {
        self.node_mut(dir).live.insert(name.to_owned(), ino);
        self.node_mut(ino).places.insert((dir, name.to_owned()));
    }

    fn detach(&mut self, dir: Ino, name: &OsStr, ino: Ino) {
        self.node_mut(dir).live.remove(name);
        self.node_mut(ino).places.remove(&(dir, name.to_owned()));
    }

    fn node(&self, ino: Ino) -> &Node {
        self.nodes.get(&ino).expect("names lead to inodes")
    }

    fn node_mut(&mut self, ino: Ino) -> &mut Node {
        self.nodes.get_mut(&ino).expect("names lead to inodes")
    }
}

impl Node {
    fn new(kind: Kind, content: Content) -> Self {
        Self {
            kind,
            places: BTreeSet::new(),
            buried: false,
            content,
            live: Names::new(),
            durable: Names::new(),
        }
    }
}

fn grave(ino: Ino) -> PathBuf {
    PathBuf::from(GRAVE).join(ino.0.to_string())
}
