//! A power cut: from the live tree back to the durable one, in changes of the backing directory.
//!
//! What is durable and not where it belongs is first buried, the deepest first; then every live name that is not durable
//! goes; then names are given back from the root on; then contents.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rand::{Rng, RngExt};

use super::{Effect, Ino, Kind, Model, ROOT, grave};
use crate::disk::fault::{LostData, LostName, NameLoss};

/// What a power cut does.
#[derive(Debug, Default)]
pub(in crate::disk) struct Cut {
    /// The changes of the backing directory, in order. What is still buried afterwards goes.
    pub(in crate::disk) effects: Vec<Effect>,
    /// Names that are not what they were, by path.
    pub(in crate::disk) names: Vec<LostName>,
    /// Files whose content is not what it was.
    pub(in crate::disk) data: Vec<LostData>,
}

impl Model {
    /// Takes everything back to what is durable. With `dice`, some of the rest had reached the disk by chance: the names of some
    /// directories, some files, and parts of others.
    pub(in crate::disk) fn cut(mut self, mut dice: Option<&mut impl Rng>) -> Cut {
        let mut cut = Cut::default();
        if let Some(dice) = dice.as_deref_mut() {
            let directories: Vec<Ino> = self.inodes().filter(|_| dice.random_bool(0.5)).collect();
            cut.effects = self.persist(&directories);
        }
        cut.names = self.lost_names();
        let kept = self.agreeing();
        self.bury_what_moves(&kept, &mut cut.effects);
        self.remove_what_is_not_durable(&kept, &mut cut.effects);
        let homes = self.give_names_back(&kept, &mut cut.effects);
        for (ino, path) in &homes {
            let content = &self.node(*ino).content;
            if !content.is_dirty() {
                continue;
            }
            let restore = match dice.as_deref_mut() {
                Some(dice) => content.restore_torn(dice),
                None => content.restore(),
            };
            cut.data.push(LostData {
                path: text(path),
                length_before: content.length(),
                length: restore.length,
                ranges: restore.lost.iter().map(|range| (range.start, range.end)).collect(),
            });
            cut.effects.push(Effect::Restore(path.clone(), restore));
        }
        cut
    }

    /// Live names that are durable too, in directories of which the same holds.
    fn agreeing(&self) -> BTreeSet<(Ino, OsString)> {
        let mut kept = BTreeSet::new();
        let mut open = vec![ROOT];
        while let Some(dir) = open.pop() {
            let node = self.node(dir);
            for (name, &ino) in
                node.live.iter().filter(|(name, ino)| node.durable.get(*name) == Some(ino))
            {
                kept.insert((dir, name.clone()));
                open.push(ino);
            }
        }
        kept
    }

    /// Everything that a durable name leads to, with the durable path of its first name, from the root on.
    fn durable_paths(&self) -> Vec<(Ino, PathBuf)> {
        let mut found = vec![(ROOT, PathBuf::new())];
        let mut seen = BTreeSet::from([ROOT]);
        let mut at = 0;
        while let Some((dir, path)) = found.get(at).cloned() {
            for (name, &ino) in &self.node(dir).durable {
                if seen.insert(ino) {
                    found.push((ino, path.join(name)));
                }
            }
            at += 1;
        }
        found
    }

    fn lost_names(&self) -> Vec<LostName> {
        let mut lost = Vec::new();
        for (dir, path) in self.durable_paths() {
            let node = self.node(dir);
            let names: BTreeSet<_> = node.live.keys().chain(node.durable.keys()).collect();
            for name in names {
                let what = match (node.live.get(name), node.durable.get(name)) {
                    (Some(live), Some(durable)) if live != durable => NameLoss::Undone,
                    (Some(_), None) => NameLoss::Gone,
                    (None, Some(_)) => NameLoss::Back,
                    _ => continue,
                };
                lost.push(LostName { path: text(&path.join(name)), what });
            }
        }
        lost
    }

    fn bury_what_moves(&mut self, kept: &BTreeSet<(Ino, OsString)>, effects: &mut Vec<Effect>) {
        let stays = |model: &Self, ino| {
            model.node(ino).buried
                || model.node(ino).places.iter().any(|place| kept.contains(place))
        };
        let mut moving: Vec<(Ino, PathBuf)> = self
            .durable_paths()
            .into_iter()
            .filter(|&(ino, _)| ino != ROOT && !stays(self, ino))
            .map(|(ino, _)| (ino, self.path(ino).expect("it has a live name, or is buried")))
            .collect();
        // What is deeper goes first: the paths of the others do not change by it.
        moving.sort_by_key(|(_, path)| std::cmp::Reverse(path.components().count()));
        for (ino, path) in moving {
            let (dir, name) = self.node(ino).places.first().expect("as above").clone();
            self.detach(dir, &name, ino);
            self.node_mut(ino).buried = true;
            effects.push(Effect::Rename { from: path, to: grave(ino) });
        }
    }

    fn remove_what_is_not_durable(
        &self,
        kept: &BTreeSet<(Ino, OsString)>,
        effects: &mut Vec<Effect>,
    ) {
        let mut doomed = Vec::new();
        for &dir in self.nodes.keys() {
            for (name, &ino) in &self.node(dir).live {
                if !kept.contains(&(dir, name.clone())) {
                    let path = self.path(dir).expect("it holds something").join(name);
                    doomed.push((path.components().count(), self.removal(ino, path)));
                }
            }
        }
        doomed.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        effects.extend(doomed.into_iter().map(|(_, effect)| effect));
    }

    /// Answers where everything is afterwards.
    fn give_names_back(
        &mut self,
        kept: &BTreeSet<(Ino, OsString)>,
        effects: &mut Vec<Effect>,
    ) -> Vec<(Ino, PathBuf)> {
        let homes = self.durable_paths();
        let mut present: BTreeMap<Ino, PathBuf> = BTreeMap::new();
        for (dir, path) in &homes {
            // Those that stayed come first, so that there is something to link to.
            for (name, &ino) in &self.node(*dir).durable {
                if kept.contains(&(*dir, name.clone())) {
                    present.insert(ino, path.join(name));
                }
            }
        }
        for (dir, path) in &homes {
            for (name, ino) in self.node(*dir).durable.clone() {
                if kept.contains(&(*dir, name.clone())) {
                    continue;
                }
                let to = path.join(name);
                match present.get(&ino) {
                    None => effects.push(Effect::Rename { from: grave(ino), to: to.clone() }),
                    // A directory has one name; the policy leaves it no second.
                    Some(_) if self.node(ino).kind == Kind::Directory => continue,
                    Some(from) => effects.push(Effect::Link { from: from.clone(), to: to.clone() }),
                }
                present.entry(ino).or_insert(to);
            }
        }
        homes.into_iter().skip(1).collect()
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
