//! The model against a slow and obvious one: the whole list of operations, replayed up to what was synced.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Effect, Ino, Kind, Model, Naming, ROOT, Refusal};

/// A file system in memory that carries out effects: paths to objects.
#[derive(Clone, Debug)]
struct Backing {
    names: BTreeMap<PathBuf, usize>,
    /// A file's bytes, or `None` for a directory.
    objects: Vec<Option<Vec<u8>>>,
}

impl Backing {
    fn new() -> Self {
        let names = BTreeMap::from([(PathBuf::new(), 0), (PathBuf::from(super::GRAVE), 1)]);
        Self { names, objects: vec![None, None] }
    }

    fn make(&mut self, path: PathBuf, object: Option<Vec<u8>>) {
        assert!(self.names.contains_key(path.parent().unwrap()), "{path:?}");
        self.objects.push(object);
        assert!(self.names.insert(path, self.objects.len() - 1).is_none());
    }

    fn below(&self, path: &Path) -> Vec<PathBuf> {
        self.names.keys().filter(|p| p.starts_with(path) && *p != path).cloned().collect()
    }

    fn file(&mut self, path: &Path) -> &mut Vec<u8> {
        self.objects[self.names[path]].as_mut().unwrap()
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Rename { from, to } => {
                    assert!(self.names.contains_key(to.parent().unwrap()), "{to:?}");
                    assert!(self.below(&to).is_empty(), "{to:?} is not empty");
                    for path in self.below(&from) {
                        let object = self.names.remove(&path).unwrap();
                        let new = to.join(path.strip_prefix(&from).unwrap());
                        self.names.insert(new, object);
                    }
                    let object = self.names.remove(&from).unwrap_or_else(|| panic!("no {from:?}"));
                    // POSIX: renaming one name of a file onto another does nothing.
                    assert_ne!(self.names.insert(to, object), Some(object));
                }
                Effect::Link { from, to } => {
                    let object = self.names[&from];
                    assert!(self.objects[object].is_some());
                    assert!(self.names.insert(to, object).is_none());
                }
                Effect::Unlink(path) => {
                    let object = self.names.remove(&path).unwrap_or_else(|| panic!("no {path:?}"));
                    assert!(self.objects[object].is_some());
                }
                Effect::Rmdir(path) => {
                    assert!(self.below(&path).is_empty(), "{path:?} is not empty");
                    assert!(self.objects[self.names.remove(&path).unwrap()].is_none());
                }
                Effect::Restore(path, restore) => {
                    let bytes = self.file(&path);
                    bytes.resize(restore.length as usize, 0xee);
                    for (offset, chunk) in restore.chunks {
                        bytes[offset as usize..][..chunk.len()].copy_from_slice(&chunk);
                    }
                    for range in restore.zeros {
                        bytes[range.start as usize..range.end as usize].fill(0);
                    }
                }
            }
        }
    }

    /// What is there: each path with its bytes, and all paths of each object that has several.
    fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        let mut groups: BTreeMap<usize, Vec<PathBuf>> = BTreeMap::new();
        for (path, &object) in &self.names {
            if !path.starts_with(super::GRAVE) && !path.as_os_str().is_empty() {
                tree.paths.insert(path.clone(), self.objects[object].clone());
                groups.entry(object).or_default().push(path.clone());
            }
        }
        tree.links = groups.into_values().filter(|paths| paths.len() > 1).collect();
        tree
    }
}

#[derive(Debug, Default, PartialEq)]
struct Tree {
    paths: BTreeMap<PathBuf, Option<Vec<u8>>>,
    links: BTreeSet<Vec<PathBuf>>,
}

/// One operation as the slow model remembers it.
#[derive(Clone, Debug)]
enum Done {
    Names(Vec<(Ino, OsString, Option<Ino>)>),
    /// What changed, and the whole content afterwards.
    Content(Ino, Range<u64>, Vec<u8>),
    SyncFile(Ino),
    SyncFailed(Ino),
    SyncDir(Ino),
}

/// A file byte by byte.
#[derive(Debug, Default)]
struct Bytes {
    live: Vec<u8>,
    /// Whether the system has the byte still to write.
    dirty: Vec<bool>,
    durable: Vec<u8>,
}

impl Bytes {
    fn change(&mut self, range: &Range<u64>, bytes: &[u8]) {
        let grown_from = self.live.len().min(bytes.len());
        self.live = bytes.to_vec();
        self.dirty.resize(bytes.len(), false);
        let changed =
            (range.start as usize).min(bytes.len())..(range.end as usize).min(bytes.len());
        self.dirty[changed].fill(true);
        self.dirty[grown_from..].fill(true);
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for at in 0..self.live.len() {
            if std::mem::take(&mut self.dirty[at]) {
                self.durable[at] = self.live[at];
            }
        }
    }

    fn fail(&mut self) {
        self.durable.resize(self.live.len().max(self.durable.len()), 0);
        self.dirty.fill(false);
    }
}

/// The slow model: what is durable follows from the list alone.
#[derive(Debug, Default)]
struct Oracle {
    done: Vec<Done>,
    directories: BTreeSet<Ino>,
}

impl Oracle {
    /// Which changes of names are durable, by going round until nothing is added.
    fn durable_changes(&self, naming: Naming) -> BTreeSet<usize> {
        let touches = |at: usize, dir: Ino| match &self.done[at] {
            Done::Names(assigned) => assigned.iter().any(|(d, ..)| *d == dir),
            _ => false,
        };
        let mut durable = BTreeSet::new();
        loop {
            let before = durable.len();
            for (at, done) in self.done.iter().enumerate() {
                let Done::Names(assigned) = done else { continue };
                let synced = self.done[at..].iter().any(|later| match (later, naming) {
                    (Done::SyncDir(_) | Done::SyncFile(_), Naming::Journaled) => true,
                    (Done::SyncDir(dir), Naming::Strict) => touches(at, *dir),
                    _ => false,
                });
                let drawn = durable
                    .iter()
                    .any(|&later| later > at && assigned.iter().any(|(d, ..)| touches(later, *d)));
                if synced || drawn {
                    durable.insert(at);
                }
            }
            if durable.len() == before {
                return durable;
            }
        }
    }

    fn tree(&self, naming: Naming) -> Tree {
        let durable = self.durable_changes(naming);
        let mut names: BTreeMap<Ino, BTreeMap<OsString, Ino>> = BTreeMap::new();
        let mut files: BTreeMap<Ino, Bytes> = BTreeMap::new();
        for (at, done) in self.done.iter().enumerate() {
            match done {
                Done::Names(assigned) if durable.contains(&at) => {
                    for (dir, name, ino) in assigned {
                        let dir = names.entry(*dir).or_default();
                        match ino {
                            Some(ino) => dir.insert(name.clone(), *ino),
                            None => dir.remove(name),
                        };
                    }
                }
                Done::Content(ino, range, bytes) => {
                    files.entry(*ino).or_default().change(range, bytes);
                }
                Done::SyncFile(ino) => files.entry(*ino).or_default().sync(),
                Done::SyncFailed(ino) => files.entry(*ino).or_default().fail(),
                Done::Names(_) | Done::SyncDir(_) => {}
            }
        }
        let mut tree = Tree::default();
        let mut groups: BTreeMap<Ino, Vec<PathBuf>> = BTreeMap::new();
        let mut open = vec![(ROOT, PathBuf::new())];
        while let Some((dir, path)) = open.pop() {
            for (name, &ino) in names.get(&dir).into_iter().flatten() {
                let path = path.join(name);
                groups.entry(ino).or_default().push(path.clone());
                if self.directories.contains(&ino) {
                    tree.paths.insert(path.clone(), None);
                    open.push((ino, path));
                } else {
                    tree.paths.insert(
                        path,
                        Some(files.get(&ino).map(|file| file.durable.clone()).unwrap_or_default()),
                    );
                }
            }
        }
        for mut paths in groups.into_values().filter(|paths| paths.len() > 1) {
            paths.sort();
            tree.links.insert(paths);
        }
        tree
    }
}

/// The model with a backing directory, driven side by side with the slow one.
struct World {
    model: Model,
    backing: Backing,
    oracle: Oracle,
    dice: ChaCha8Rng,
    next_byte: u8,
}

impl World {
    fn new(naming: Naming, seed: u64) -> Self {
        Self {
            model: Model::new(naming),
            backing: Backing::new(),
            oracle: Oracle::default(),
            dice: ChaCha8Rng::seed_from_u64(seed),
            next_byte: 0,
        }
    }

    /// Any inode of a kind that has a live name; the root among the directories.
    fn any(&mut self, kind: Kind) -> Option<Ino> {
        let live = |model: &Model, ino: Ino| ino == ROOT || !model.nodes[&ino].places.is_empty();
        let all: Vec<Ino> = self
            .model
            .inodes()
            .filter(|&ino| self.model.kind(ino) == Some(kind) && live(&self.model, ino))
            .collect();
        (!all.is_empty()).then(|| all[self.dice.random_range(0..all.len())])
    }

    fn any_name(&mut self) -> OsString {
        OsString::from(["a", "b", "c"][self.dice.random_range(0..3)])
    }

    fn step(&mut self) {
        let (dir, name) = (self.any(Kind::Directory).unwrap(), self.any_name());
        match self.dice.random_range(0..21) {
            0..3 => self.make(dir, &name, Kind::File),
            3..5 => self.make(dir, &name, Kind::Directory),
            5..7 => self.remove(dir, &name),
            7..11 => self.rename(dir, &name),
            11 => self.link(dir, &name),
            12..16 => self.change_content(),
            16 | 17 => {
                if let Some(file) = self.any(Kind::File) {
                    let effects = self.model.sync_file(file);
                    self.backing.perform(effects);
                    self.oracle.done.push(Done::SyncFile(file));
                }
            }
            18 => {
                if let Some(file) = self.any(Kind::File) {
                    self.model.content(file).unwrap().sync_failed();
                    self.oracle.done.push(Done::SyncFailed(file));
                }
            }
            _ => {
                let effects = self.model.sync_directory(dir);
                self.backing.perform(effects);
                self.oracle.done.push(Done::SyncDir(dir));
            }
        }
    }

    fn make(&mut self, dir: Ino, name: &OsStr, kind: Kind) {
        let Ok(path) = self.model.free_path(dir, name) else { return };
        self.backing.make(path, (kind == Kind::File).then(Vec::new));
        let ino = self.model.created(dir, name, kind);
        if kind == Kind::Directory {
            self.oracle.directories.insert(ino);
        }
        self.oracle.done.push(Done::Names(vec![(dir, name.to_owned(), Some(ino))]));
    }

    fn remove(&mut self, dir: Ino, name: &OsStr) {
        if let Ok(effects) = self.model.remove(dir, name) {
            self.backing.perform(effects);
            self.oracle.done.push(Done::Names(vec![(dir, name.to_owned(), None)]));
        }
    }

    fn rename(&mut self, dir: Ino, name: &OsStr) {
        let (new_dir, new_name) = (self.any(Kind::Directory).unwrap(), self.any_name());
        let Some(ino) = self.model.lookup(dir, name) else { return };
        let victim = self.model.lookup(new_dir, &new_name);
        // What the kernel refuses before it asks a file system.
        let inside = self.model.path(new_dir).unwrap().starts_with(self.model.path(ino).unwrap());
        let kinds_differ = victim.is_some_and(|v| self.model.kind(v) != self.model.kind(ino));
        if victim == Some(ino)
            || inside && self.model.kind(ino) == Some(Kind::Directory)
            || kinds_differ
        {
            return;
        }
        if let Ok(effects) = self.model.rename((dir, name), (new_dir, &new_name)) {
            self.backing.perform(effects);
            self.oracle.done.push(Done::Names(vec![
                (dir, name.to_owned(), None),
                (new_dir, new_name, Some(ino)),
            ]));
        }
    }

    fn link(&mut self, dir: Ino, name: &OsStr) {
        let Some(file) = self.any(Kind::File) else { return };
        if let Ok(effects) = self.model.link(file, dir, name) {
            self.backing.perform(effects);
            self.oracle.done.push(Done::Names(vec![(dir, name.to_owned(), Some(file))]));
        }
    }

    fn change_content(&mut self) {
        let Some(file) = self.any(Kind::File) else { return };
        let path = self.model.path(file).unwrap();
        let bytes = self.backing.file(&path);
        let (from, count) = (self.dice.random_range(0..12_u64), self.dice.random_range(1..6_u64));
        let truncates = self.dice.random_bool(0.3);
        let length = bytes.len() as u64;
        let content = self.model.content(file).unwrap();
        let changed = if truncates { from..length.max(from) } else { from..from + count };
        for range in content.wanted(changed.clone()) {
            let saved = bytes[range.start as usize..range.end as usize].to_vec();
            content.save(range.start, saved);
        }
        if truncates {
            content.resized(from);
            bytes.resize(from as usize, 0);
        } else {
            content.written(from..from + count);
            bytes.resize(bytes.len().max((from + count) as usize), 0);
            self.next_byte = self.next_byte.wrapping_add(1);
            bytes[from as usize..(from + count) as usize].fill(self.next_byte);
        }
        let bytes = bytes.clone();
        self.oracle.done.push(Done::Content(file, changed, bytes));
    }

    fn check(&self, what: &str) {
        let mut backing = self.backing.clone();
        let cut = self.model.clone().cut(None::<&mut ChaCha8Rng>);
        backing.perform(cut.effects);
        let expected = self.oracle.tree(self.model.naming);
        assert_eq!(backing.tree(), expected, "{what}: {:#?}", self.oracle.done);
        let is_same = self.backing.tree() == expected;
        assert!(is_same || !cut.data.is_empty() || !cut.names.is_empty(), "{what}: a loss untold");
    }
}

#[test]
fn a_power_cut_leaves_what_was_synced() {
    for naming in [Naming::Strict, Naming::Journaled] {
        for seed in 0..600 {
            let mut world = World::new(naming, seed);
            for step in 0..40 {
                world.step();
                if step % 4 == 3 {
                    world.check(&format!("{naming:?}, seed {seed}, step {step}"));
                }
            }
        }
    }
}

#[test]
fn a_torn_power_cut_takes_no_synced_name_and_no_synced_byte() {
    for seed in 0..600 {
        let mut world = World::new(Naming::Strict, seed);
        for _ in 0..30 {
            world.step();
        }
        // Everything is synced: whatever the dice say, nothing is lost.
        for ino in world.model.inodes().collect::<Vec<_>>() {
            if let Some(content) = world.model.content(ino) {
                // Written again, since a sync may have failed before.
                content.written(0..content.length());
            }
            let mut effects = world.model.sync_file(ino);
            effects.extend(world.model.sync_directory(ino));
            world.backing.perform(effects);
        }
        let before = world.backing.tree();
        let synced = world.model.clone();
        let mut backing = world.backing.clone();
        backing.perform(synced.cut(Some(&mut world.dice)).effects);
        assert_eq!(backing.tree(), before, "seed {seed}");
        for _ in 0..10 {
            world.step();
        }
        // Something is not: effects can be carried out whatever the dice say, and files only hold what was written to them.
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut backing = world.backing.clone();
        backing.perform(world.model.cut(Some(&mut dice)).effects);
        assert!(!backing.tree().paths.values().flatten().flatten().any(|&byte| byte == 0xee));
    }
}

#[test]
fn the_catalogue_of_missing_syncs() {
    let check = |script: &str, expected: &[(&str, &str)]| {
        let mut world = World::new(Naming::Strict, 0);
        for line in script.split(';') {
            scripted(&mut world, &line.split_whitespace().collect::<Vec<_>>());
        }
        let mut backing = world.backing.clone();
        backing.perform(world.model.cut(None::<&mut ChaCha8Rng>).effects);
        let found: Vec<(String, String)> = backing
            .tree()
            .paths
            .into_iter()
            .filter_map(|(path, bytes)| {
                Some((path.to_str()?.to_owned(), String::from_utf8(bytes?).ok()?))
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        assert_eq!(found, expected, "{script}");
    };
    check("create f; write f new; sync f", &[]);
    check("create f; write f new; syncdir .", &[("f", "")]);
    check("create f; write f new; sync f; syncdir .", &[("f", "new")]);
    check("create f; write f new; sync f; syncdir .; write f newer", &[("f", "new")]);
    check("create f; write f new; sync f; syncdir .; remove f", &[("f", "new")]);
    // A sync that failed is not made up for by one that succeeds, only by writing again.
    let failed = "create f; syncdir .; write f abc; fail f;";
    check(failed.trim_end_matches(';'), &[("f", "\0\0\0")]);
    check(&format!("{failed} sync f"), &[("f", "\0\0\0")]);
    check(&format!("{failed} write f xyz; sync f"), &[("f", "xyz")]);
    // A file written beside and renamed over the old one.
    let replaced = "create f; write f old; sync f; syncdir .; create t; write t new;";
    check(&format!("{replaced} sync t; rename t f"), &[("f", "old")]);
    check(&format!("{replaced} rename t f; syncdir ."), &[("f", "")]);
    check(&format!("{replaced} sync t; rename t f; syncdir ."), &[("f", "new")]);
    // Between directories.
    let two = "mkdir a; mkdir b; syncdir .; create a/f; write a/f x; sync a/f; syncdir a;";
    check(&format!("{two} rename a/f b/f"), &[("a/f", "x")]);
    check(&format!("{two} rename a/f b/f; syncdir a"), &[("b/f", "x")]);
    check(&format!("{two} rename a/f b/f; syncdir b"), &[("b/f", "x")]);
    check("mkdir a; create a/f; sync a/f; syncdir a", &[]);
}

fn scripted(world: &mut World, words: &[&str]) {
    let place = |model: &Model, path: &str| {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = if dir.is_empty() { ROOT } else { model.lookup(ROOT, OsStr::new(dir)).unwrap() };
        (dir, OsString::from(name))
    };
    let ino = |model: &Model, path: &str| match path {
        "." => ROOT,
        path => {
            let (dir, name) = place(model, path);
            model.lookup(dir, &name).unwrap()
        }
    };
    let (dir, name) = place(&world.model, words[1]);
    match *words {
        ["create", _] => world.make(dir, &name, Kind::File),
        ["mkdir", _] => world.make(dir, &name, Kind::Directory),
        ["remove", _] => world.remove(dir, &name),
        ["rename", _, new] => {
            let (new_dir, new_name) = place(&world.model, new);
            let effects = world.model.rename((dir, &name), (new_dir, &new_name));
            world.backing.perform(effects.unwrap());
        }
        ["write", path, text] => {
            let file = ino(&world.model, path);
            let path = world.model.path(file).unwrap();
            let content = world.model.content(file).unwrap();
            for range in content.wanted(0..text.len() as u64) {
                let saved =
                    world.backing.file(&path)[range.start as usize..range.end as usize].to_vec();
                content.save(range.start, saved);
            }
            content.written(0..text.len() as u64);
            content.resized(text.len() as u64);
            *world.backing.file(&path) = text.into();
        }
        ["sync", path] => {
            let effects = world.model.sync_file(ino(&world.model, path));
            world.backing.perform(effects);
        }
        ["fail", path] => {
            let file = ino(&world.model, path);
            world.model.content(file).unwrap().sync_failed();
        }
        ["syncdir", path] => {
            let effects = world.model.sync_directory(ino(&world.model, path));
            world.backing.perform(effects);
        }
        _ => panic!("{words:?}"),
    }
}

#[test]
fn its_own_directory_cannot_be_touched() {
    let mut model = Model::new(Naming::Strict);
    model.created(ROOT, OsStr::new("f"), Kind::File);
    let own = OsStr::new(super::GRAVE);
    assert_eq!(model.free_path(ROOT, own), Err(Refusal::Reserved));
    assert_eq!(model.rename((ROOT, OsStr::new("f")), (ROOT, own)), Err(Refusal::Reserved));
}
