//! What machines boot: a Debian system made from packages, its kernel, and the keys by which a machine is reached.
//!
//! `mmdebstrap` makes the system in a directory, without root where the machine allows user namespaces, and `mke2fs -d` makes a file system of the directory.
//! An image is kept in the user's cache, in a directory named by a hash of everything that goes into it but the packages' versions. It is made whole or
//! not at all.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

const INIT: &str = include_str!("init.sh");
const CUSTOMIZE: &str = include_str!("customize.sh");
/// What every machine needs: a kernel without drivers for hardware, a shell's usual programs, an SSH server, and what faults use.
const PACKAGES: [&str; 10] = [
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "kmod",
    "openssh-server",
    "iproute2",
    "nftables",
    "fuse3",
    "procps",
    "e2fsprogs",
];
/// What the initial file system needs to mount the disk; fewer modules boot sooner.
const EARLY_MODULES: &str = "virtio_pci\\nvirtio_blk\\next4\\n";
/// The size of a machine's disk. Only what is written takes space.
const DISK_SIZE: &str = "3G";

/// What an image is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// The Debian release, by its name.
    pub suite: String,
    /// Packages beside those that every machine needs, sorted.
    pub with: Vec<String>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A word that is no package or release.
    #[error("build an image with {0:?}: that is no name of a Debian package or release")]
    Name(String),
    /// A file.
    #[error("{what}: {source}")]
    Here {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that is not installed.
    #[error("start {program}: install Debian's package {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// Where it is from.
        package: &'static str,
    },
    /// A program that failed.
    #[error("build an image: {program} ended with {status} (what it said is above)")]
    Failed {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// None that would do.
    #[error("find an image{}: run `keelhaul vm image build{}`", needing(.0), with(.0))]
    None(Vec<String>),
}

fn needing(packages: &[String]) -> String {
    if packages.is_empty() { String::new() } else { format!(" with {}", packages.join(" and ")) }
}

fn with(packages: &[String]) -> String {
    if packages.is_empty() { String::new() } else { format!(" --with {}", packages.join(",")) }
}

impl ImageSpec {
    /// Debian's release `suite` with these packages.
    ///
    /// # Errors
    /// If one is no name of a package.
    pub fn new(suite: &str, with: &[String]) -> Result<Self, ImageError> {
        let plain = |word: &str| {
            !word.is_empty()
                && word.starts_with(|c: char| c.is_ascii_alphanumeric())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
        };
        let mut with = with.to_vec();
        with.sort_unstable();
        with.dedup();
        for word in with.iter().map(String::as_str).chain([suite]) {
            if !plain(word) {
                return Err(ImageError::Name(word.into()));
            }
        }
        Ok(Self { suite: suite.into(), with })
    }

    /// Tells apart what goes into images.
    fn hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        let parts = [INIT, CUSTOMIZE, EARLY_MODULES, DISK_SIZE, &self.suite];
        for part in parts.into_iter().chain(PACKAGES).chain(self.with.iter().map(String::as_str)) {
            hasher.write(part.as_bytes());
            hasher.write_u8(0);
        }
        format!("{:016x}", hasher.finish())
    }

    fn packages(&self) -> String {
        let own = self.with.iter().map(String::as_str);
        PACKAGES.into_iter().chain(own).collect::<Vec<_>>().join(",")
    }

    /// The image, if it is there already.
    #[must_use]
    pub fn find(&self) -> Option<Image> {
        let dir = images_dir().ok()?.join(self.hash());
        dir.join(READY).exists().then_some(Image { dir })
    }

    /// Makes the image. What the programs say goes to standard error.
    ///
    /// # Errors
    /// If a program is missing or fails, or the disk is full.
    pub fn build(&self) -> Result<Image, ImageError> {
        let here = |what: &str| {
            let what = what.to_owned();
            move |source| ImageError::Here { what, source }
        };
        // Not in the cache: in a user namespace nobody may enter a home directory.
        let build = Scratch::new().map_err(here("make a directory to build in"))?;
        build.fill(self).map_err(here("write what goes into the image"))?;
        keygen(&build.0.join("key"))?;
        let status = self.mmdebstrap(&build.0).status();
        let status = status.map_err(|error| missing(error, "mmdebstrap", "mmdebstrap"))?;
        if !status.success() {
            return Err(ImageError::Failed { program: "mmdebstrap", status });
        }
        let images = images_dir().map_err(here("find the user's cache"))?;
        self.keep(&build.0, &images).map_err(here("keep the image in the user's cache"))
    }

    fn mmdebstrap(&self, build: &Path) -> Command {
        let build = build.display();
        let early = format!(
            r#"mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d" &&
               echo MODULES=list > "$1/etc/initramfs-tools/conf.d/keelhaul" &&
               printf '{EARLY_MODULES}' > "$1/usr/share/initramfs-tools/modules.d/keelhaul""#
        );
        // A mount namespace of its own, in which the image's directory is bare.
        let make = format!(
            r#"unshare --mount --propagation private sh '{build}/customize.sh' "$1" '{build}' {DISK_SIZE}"#
        );
        let mut command = Command::new("mmdebstrap");
        command.args(["--variant=minbase", "--format=null"]);
        for path in ["doc", "man", "locale", "info"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{path}/*"));
        }
        command.arg(format!("--include={}", self.packages()));
        command.arg(format!("--essential-hook={early}")).arg(format!("--customize-hook={make}"));
        // Neither output: `vm image build` says on standard output where the image is.
        command.arg(&self.suite).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Moves what was built to where it is kept.
    fn keep(&self, build: &Path, images: &Path) -> io::Result<Image> {
        fs::create_dir_all(images)?;
        let new = images.join(format!("new-{}", std::process::id()));
        let _ = fs::remove_dir_all(&new);
        fs::create_dir(&new)?;
        // A copy, so that files made in a user namespace become the user's own; sparse, so that it takes what is in it.
        let mut copy = Command::new("cp");
        copy.args(["-r", "--sparse=always", "--no-preserve=mode,ownership"]);
        let copied = copy.arg(build.join("out/.")).arg(build.join("key")).arg(&new).status()?;
        if !copied.success() {
            return Err(io::Error::other(format!("cp ended with {copied}")));
        }
        fs::set_permissions(new.join("key"), fs::Permissions::from_mode(0o600))?;
        let host_key = fs::read_to_string(new.join("host_key.pub"))?;
        fs::write(new.join("known_hosts"), format!("* {host_key}"))?;
        fs::write(new.join(READY), serde_json::to_vec_pretty(self)?)?;
        let dir = images.join(self.hash());
        // One that was made meanwhile, or is to be made again.
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&new, &dir)?;
        Ok(Image { dir })
    }
}

/// Written last: what the image is made of.
const READY: &str = "image.json";

/// Where images are kept.
fn images_dir() -> io::Result<PathBuf> {
    let absent =
        || io::Error::new(io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    Ok(cache.ok_or_else(absent)?.join("keelhaul/images"))
}

fn keygen(path: &Path) -> Result<(), ImageError> {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path);
    let status = keygen.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.map_err(|error| missing(error, "ssh-keygen", "openssh-client"))?;
    if status.success() {
        Ok(())
    } else {
        Err(ImageError::Failed { program: "ssh-keygen", status })
    }
}

fn missing(source: io::Error, program: &'static str, package: &'static str) -> ImageError {
    if source.kind() == io::ErrorKind::NotFound {
        return ImageError::Missing { program, package };
    }
    ImageError::Here { what: format!("start {program}"), source }
}

/// A directory that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let dir = env::temp_dir().join(format!("keelhaul-image-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        let scratch = Self(dir);
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755))?;
        fs::create_dir(scratch.0.join("out"))?;
        // Whoever is root in a user namespace is somebody else out here.
        fs::set_permissions(scratch.0.join("out"), fs::Permissions::from_mode(0o1777))?;
        Ok(scratch)
    }

    fn fill(&self, spec: &ImageSpec) -> io::Result<()> {
        fs::write(self.0.join("init.sh"), INIT)?;
        fs::write(self.0.join("customize.sh"), CUSTOMIZE)?;
        fs::write(self.0.join("packages"), spec.packages())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies where temporary files do.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    dir: PathBuf,
}

impl Image {
    /// All images, the latest first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let Ok(dir) = images_dir() else { return Vec::new() };
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut images: Vec<_> = entries
            .filter_map(|entry| {
                let made = entry.path().join(READY).metadata().ok()?.modified().ok()?;
                Some((made, Self { dir: entry.path() }))
            })
            .collect();
        images.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
        images.into_iter().map(|(_, image)| image).collect()
    }

    /// The latest image that has these packages.
    ///
    /// # Errors
    /// [`ImageError::None`], with the command that would make one.
    pub fn having(packages: &[String]) -> Result<Self, ImageError> {
        let has = |image: &Self| {
            image.spec().is_some_and(|spec| packages.iter().all(|p| spec.with.contains(p)))
        };
        Self::all().into_iter().find(has).ok_or_else(|| ImageError::None(packages.to_vec()))
    }

    /// What it is made of.
    #[must_use]
    pub fn spec(&self) -> Option<ImageSpec> {
        serde_json::from_slice(&fs::read(self.dir.join(READY)).ok()?).ok()
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What its files take on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.metadata().ok()?.blocks() * 512)).sum()
    }

    /// The image that is kept there.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.dir.join("initrd")
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.dir.join("disk.img")
    }

    /// By which one logs in to its machines.
    pub(super) fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// By which its machines are recognised.
    pub(super) fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_names_the_image() {
        let spec = |suite: &str, with: &[&str]| {
            let with: Vec<String> = with.iter().map(ToString::to_string).collect();
            ImageSpec::new(suite, &with)
        };
        let hash = |suite, with| spec(suite, with).unwrap().hash();
        assert_eq!(hash("bookworm", &["b", "a", "a"]), hash("bookworm", &["a", "b"]));
        assert_ne!(hash("bookworm", &["a"]), hash("bookworm", &["b"]));
        assert_ne!(hash("bookworm", &[]), hash("trixie", &[]));
        for bad in ["", "-x", "a b", "a,b", "a;b", "../x"] {
            assert!(spec("bookworm", &[bad]).is_err() && spec(bad, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_missing_image_is_one_sentence_with_its_remedy() {
        let error = ImageError::None(vec!["etcd-server".into()]);
        assert_eq!(
            error.to_string(),
            "find an image with etcd-server: run `keelhaul vm image build --with etcd-server`"
        );
        assert_eq!(
            ImageError::None(Vec::new()).to_string(),
            "find an image: run `keelhaul vm image build`"
        );
    }
}
