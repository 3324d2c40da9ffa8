//! What is brought to a host: this program, with the libraries that it is linked to.
//!
//! A program that is linked statically travels alone. Otherwise its loader and its libraries go with it and it is started by
//! that loader, so that the host's own libraries do not matter. Either way the host needs nothing but `sh` and `tar`.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// What the program is called inside the bundle.
const PROGRAM: &str = "keelhaul";

/// Files, and how the program among them is started.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    /// Name inside the bundle and content.
    files: Vec<(String, Vec<u8>)>,
    /// Name of the loader inside the bundle, if the program needs one.
    loader: Option<String>,
    /// Tells contents apart.
    pub hash: String,
}

impl Bundle {
    /// This very program, as it runs.
    pub fn of_this_program() -> io::Result<Self> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        let libraries = libraries(&maps);
        let loader = libraries.iter().find(|path| is_loader(path)).map(|path| name_of(path));
        let mut files = vec![(PROGRAM.to_owned(), fs::read("/proc/self/exe")?)];
        if loader.is_some() {
            for path in &libraries {
                files.push((name_of(path), fs::read(path)?));
            }
        }
        let hash = hash(&files);
        Ok(Self { files, loader, hash })
    }

    /// The words that start the program when the bundle lies in `dir`.
    pub fn words(&self, dir: &str) -> Vec<String> {
        let program = format!("{dir}/{PROGRAM}");
        match &self.loader {
            Some(loader) => {
                vec![format!("{dir}/{loader}"), "--library-path".into(), dir.into(), program]
            }
            None => vec![program],
        }
    }

    /// How much there is of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, content)| content.len() as u64).sum()
    }

    /// All files as one tar archive (POSIX.1-1988, ustar).
    pub fn tar(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, content) in &self.files {
            archive.extend(tar_header(name, content.len()));
            archive.extend(content);
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
        archive.resize(archive.len() + 2 * BLOCK, 0);
        archive
    }
}

/// The shared objects that a process has mapped, from its `/proc/PID/maps`.
fn libraries(maps: &str) -> BTreeSet<PathBuf> {
    let mapped = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
    mapped
        .filter(|path| path.ends_with(".so") || path.contains(".so."))
        .map(PathBuf::from)
        .collect()
}

fn is_loader(path: &Path) -> bool {
    let name = name_of(path);
    name.starts_with("ld-linux") || name.starts_with("ld64") || name.starts_with("ld-musl")
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// 128 bits that tell builds apart; nobody is kept from forging them, and nobody gains by it.
fn hash(files: &[(String, Vec<u8>)]) -> String {
    let part = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        for (name, content) in files {
            hasher.write(name.as_bytes());
            hasher.write_usize(content.len());
            hasher.write(content);
        }
        hasher.finish()
    };
    format!("{:016x}{:016x}", part(0), part(1))
}

const BLOCK: usize = 512;

/// The header block of a regular, executable file.
fn tar_header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn libraries_are_found_once() {
        let maps = "7f0 r--p 0 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f1 r-xp 0 fe:00 1 /usr/lib/x86_64-linux-gnu/libc.so.6\n\
                    7f2 r-xp 0 fe:00 1 /usr/lib64/ld-linux-x86-64.so.2\n\
                    7f3 r-xp 0 fe:00 1 /home/u/keelhaul\n7f4 rw-p 0 00:00 0 [heap]\n";
        let found = libraries(maps);
        assert_eq!(found.len(), 2);
        assert!(found.iter().any(|path| is_loader(path)));
    }

    #[test]
    fn tar_unpacks_a_program_that_runs() {
        let mut bundle = Bundle::of_this_program().unwrap();
        // Any small program will do for the format; this one is the test itself, which is large.
        bundle.files[0].1 = b"#!/bin/sh\necho here\n".to_vec();
        let dir = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar")
            .args(["-x", "-C"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&bundle.tar()).unwrap();
        assert!(tar.wait().unwrap().success());
        let said = Command::new(dir.path().join(PROGRAM)).output().unwrap().stdout;
        assert_eq!(said, b"here\n");
        for (name, content) in &bundle.files {
            assert!(&fs::read(dir.path().join(name)).unwrap() == content, "{name}");
        }
    }
}
