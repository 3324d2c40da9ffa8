//! A node's file system: the machine's software, with all writes kept in the node.
//!
//! The root is a tmpfs. Every top-level directory of the host appears in it as an *overlay*: what the host has below, what the
//! node writes above, in a second tmpfs that nobody else sees. Where the kernel refuses an overlay (directories with mounts of the
//! host in them) the directory is bound read-only, or *split* when a node needs something of its own in it: made anew, with each
//! entry mirrored. `/proc`, `/sys`, `/dev`, `/tmp` and `/run` are the node's own. Two directories are real and survive the node:
//! its data and its logs, both in the run directory.
//!
//! Without root, directories inside an overlay still belong to the host's users, so a node can add to top-level directories, `/var/lib`
//! and `/var/log`, but change nothing deeper.
//!
//! Source: the kernel's `filesystems/overlayfs.rst` ("userxattr", "User namespaces"), `pivot_root(2)`, `mount_setattr(2)`.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use keelhaul_history::NodeId;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{AccessFlags, access, pivot_root};

use super::enter::mount_proc;
use super::network;

/// Where a node keeps what must survive it: `data` in its directory.
pub(super) const DATA_DIR: &str = "var/lib/keelhaul";
/// Top-level directories that are the node's own, or are no software.
const OWN_DIRS: [&str; 6] = ["proc", "sys", "dev", "tmp", "run", "lost+found"];
/// Directories that are split where they cannot be overlaid: a node has something of its own in each.
const SPLIT_DIRS: [&str; 4] = ["etc", "var", "var/lib", "var/log"];
/// Where the upper layers are while overlays are being mounted.
const LAYERS: &str = ".layers";
/// Devices that programs expect; those that the host has.
const DEVICES: [&str; 9] =
    ["null", "zero", "full", "random", "urandom", "tty", "fuse", "kvm", "net/tun"];
/// Parts of `/proc` by which real root could change the host even from a user namespace.
const GUARDED: [&str; 5] = ["proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "proc/fs"];

/// What a node's file system is made from.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub node: NodeId,
    /// How many nodes there are, for `/etc/hosts`.
    pub count: u16,
    /// The run's directory of nodes, absolute; hidden from the node.
    pub nodes_dir: PathBuf,
}

impl Plan {
    /// This node's directory on the host, which is its log directory.
    pub fn node_dir(&self) -> PathBuf {
        self.nodes_dir.join(self.node.to_string())
    }

    /// An empty directory to mount the new root on.
    pub fn mount_point(&self) -> PathBuf {
        self.nodes_dir.join(".root")
    }
}

/// What could not be done, with the path in words.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(super) struct RootError {
    pub what: String,
    pub source: io::Error,
}

/// Lets an error say what was tried.
trait Trying<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, RootError>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, RootError> {
        self.map_err(|e| RootError { what: what(), source: e.into() })
    }
}

/// Builds the node's file system and makes it this process' root. The mount namespace must be private already.
pub(super) fn enter(plan: &Plan) -> Result<(), RootError> {
    let mount_point = plan.mount_point();
    mount_tmpfs(&mount_point, "mode=755")
        .trying(|| format!("mount a tmpfs on {}", mount_point.display()))?;
    // From here on the new root is the working directory, and a path without a slash at its start is in it.
    std::env::set_current_dir(&mount_point).trying(|| "enter the new root".into())?;
    fs::create_dir(LAYERS).trying(|| "make a directory for layers".into())?;
    mount_tmpfs(Path::new(LAYERS), "mode=700").trying(|| "mount a tmpfs for layers".into())?;
    mirror_host(plan)?;
    umount2(LAYERS, MntFlags::MNT_DETACH).trying(|| "put the layers out of sight".into())?;
    fs::remove_dir(LAYERS).trying(|| "remove the directory for layers".into())?;
    for (name, mode) in [("tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777)] {
        make_dir(Path::new(name), mode).trying(|| format!("make /{name}"))?;
    }
    make_proc_and_sys()?;
    make_dev()?;
    bind_own(plan)?;
    pivot_root(".", ".").trying(|| "change the root".into())?;
    // The old root lies under the new one at the same place.
    umount2(".", MntFlags::MNT_DETACH).trying(|| "leave the old root".into())?;
    std::env::set_current_dir("/").trying(|| "enter the root".into())
}

/// Every top-level directory and link of the host.
fn mirror_host(plan: &Plan) -> Result<(), RootError> {
    for name in names_in("/")? {
        let path = Path::new("/").join(&name);
        let kind = fs::symlink_metadata(&path)
            .trying(|| format!("look at {}", path.display()))?
            .file_type();
        if !OWN_DIRS.contains(&name.as_str()) && !kind.is_file() {
            mirror(plan, &name)?;
        }
    }
    Ok(())
}

/// The entries of a directory of the host, sorted; names that are no text belong to no software.
fn names_in(path: &str) -> Result<Vec<String>, RootError> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.trying(|| format!("list {path}"))?;
    let mut names: Vec<String> =
        entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// Makes `path`, without its slash, what it is on the host.
fn mirror(plan: &Plan, path: &str) -> Result<(), RootError> {
    let host = Path::new("/").join(path);
    let kind =
        fs::symlink_metadata(&host).trying(|| format!("look at {}", host.display()))?.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(&host).trying(|| format!("read {}", host.display()))?;
        symlink(target, path).trying(|| format!("make the link /{path}"))
    } else if kind.is_dir() {
        mirror_dir(plan, path, &host)
    } else if kind.is_file() {
        fs::write(path, "").trying(|| format!("make /{path}"))?;
        bind_read_only(&host, Path::new(path)).trying(|| format!("bind /{path} read-only"))
    } else {
        // A socket or a pipe: its other end is not in the node.
        Ok(())
    }
}

fn mirror_dir(plan: &Plan, path: &str, host: &Path) -> Result<(), RootError> {
    fs::create_dir_all(path).trying(|| format!("make /{path}"))?;
    // An overlay that cannot read what is below shows nothing at all, not even what is above.
    if access(host, AccessFlags::R_OK | AccessFlags::X_OK).is_err() {
        return Ok(());
    }
    // These characters have a meaning in mount options.
    let plain = !path.contains([',', ':', '\\']);
    if plain && overlay(plan, path, host)? {
        return Ok(());
    }
    if !SPLIT_DIRS.contains(&path) {
        return bind_read_only(host, Path::new(path)).trying(|| format!("bind /{path} read-only"));
    }
    prepare(plan, path, Path::new(path)).trying(|| format!("fill /{path}"))?;
    for name in names_in(&host.to_string_lossy())? {
        let entry = format!("{path}/{name}");
        // What the node has of its own stays: files, and directories that hold nothing of the host's.
        if !Path::new(&entry).exists() || SPLIT_DIRS.contains(&entry.as_str()) {
            mirror(plan, &entry)?;
        }
    }
    Ok(())
}

/// Whether the kernel took it.
fn overlay(plan: &Plan, path: &str, host: &Path) -> Result<bool, RootError> {
    let layer = Path::new(LAYERS).join(path.replace('/', "-"));
    let mode = fs::metadata(host).map_or(0o755, |meta| meta.permissions().mode() & 0o7777);
    let made = make_dir(&layer, 0o700)
        .and_then(|()| make_dir(&layer.join("work"), 0o700))
        .and_then(|()| make_dir(&layer.join("upper"), mode))
        .and_then(|()| prepare(plan, path, &layer.join("upper")));
    made.trying(|| format!("make a layer for /{path}"))?;
    let options = format!(
        "userxattr,lowerdir={},upperdir={layer}/upper,workdir={layer}/work",
        host.display(),
        layer = layer.display()
    );
    Ok(mount(Some("overlay"), path, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .is_ok())
}

/// What a node has of its own in a directory. It belongs to the node's root, which may write in it.
fn prepare(plan: &Plan, path: &str, into: &Path) -> io::Result<()> {
    match path {
        "etc" => {
            fs::write(into.join("hostname"), format!("{}\n", plan.node))?;
            fs::write(into.join("hosts"), hosts(plan.count))
        }
        "var" => {
            for (dir, mode) in [("lib", 0o755), ("log", 0o755), ("cache", 0o755), ("tmp", 0o1777)] {
                make_dir(&into.join(dir), mode)?;
            }
            make_dir(&into.join("lib/keelhaul"), 0o755)?;
            make_dir(&into.join("log/keelhaul"), 0o755)
        }
        "var/lib" | "var/log" => make_dir(&into.join("keelhaul"), 0o755),
        _ => Ok(()),
    }
}

/// `/etc/hosts`: every node by name, and the control node.
fn hosts(count: u16) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
    let mut line = |address: Ipv4Addr, name: &str| text.push_str(&format!("{address} {name}\n"));
    for node in (1..=count).map(NodeId) {
        line(network::address_of(node), &node.to_string());
    }
    line(network::CONTROL_ADDRESS, "control");
    text
}

fn make_proc_and_sys() -> Result<(), RootError> {
    fs::create_dir("proc").trying(|| "make /proc".into())?;
    mount_proc("proc").trying(|| "mount /proc".into())?;
    for guarded in GUARDED {
        if Path::new(guarded).exists() {
            let guarded = Path::new(guarded);
            bind_read_only(guarded, guarded).trying(|| format!("guard /{}", guarded.display()))?;
        }
    }
    fs::create_dir("sys").trying(|| "make /sys".into())?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if mount(Some("sysfs"), "sys", Some("sysfs"), flags, None::<&str>).is_err() {
        bind_read_only(Path::new("/sys"), Path::new("sys")).trying(|| "bind /sys".into())?;
    }
    Ok(())
}

/// A `/dev` with harmless devices only: real root could open the host's disks by the others.
fn make_dev() -> Result<(), RootError> {
    make_dir(Path::new("dev"), 0o755).trying(|| "make /dev".into())?;
    for device in DEVICES {
        let (host, own) = (Path::new("/dev").join(device), Path::new("dev").join(device));
        if !host.exists() {
            continue;
        }
        let made =
            own.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&own, ""));
        made.and_then(|()| bind(&host, &own, false)).trying(|| format!("bind /dev/{device}"))?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, Path::new("dev").join(link)).trying(|| format!("make /dev/{link}"))?;
    }
    make_dir(Path::new("dev/shm"), 0o1777).trying(|| "make /dev/shm".into())?;
    make_dir(Path::new("dev/pts"), 0o755).trying(|| "make /dev/pts".into())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("devpts"),
        "dev/pts",
        Some("devpts"),
        flags,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
    .trying(|| "mount /dev/pts".into())
}

/// The two directories that are real, and the one that must not be seen.
fn bind_own(plan: &Plan) -> Result<(), RootError> {
    let node_dir = plan.node_dir();
    // Before hiding: the run directory may hold either, or be held by one.
    let inside = plan.nodes_dir.strip_prefix("/").unwrap_or(&plan.nodes_dir);
    if inside.is_dir() {
        mount_tmpfs(inside, "mode=000,size=4k")
            .trying(|| format!("hide {}", plan.nodes_dir.display()))?;
    }
    let log_dir = keelhaul_agent::LOG_DIR.trim_start_matches('/');
    for (host, own) in [(node_dir.join("data"), DATA_DIR), (node_dir, log_dir)] {
        fs::create_dir_all(own).trying(|| format!("make /{own}"))?;
        bind(&host, Path::new(own), false)
            .trying(|| format!("bind {} to /{own}", host.display()))?;
    }
    Ok(())
}

fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    // Not what the umask leaves of it.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

pub(crate) fn mount_tmpfs(target: &Path, options: &str) -> io::Result<()> {
    Ok(mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options),
    )?)
}

fn bind(from: &Path, to: &Path, recursive: bool) -> io::Result<()> {
    let recursive = if recursive { MsFlags::MS_REC } else { MsFlags::empty() };
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | recursive, None::<&str>)?)
}

/// Shows `from`, with all mounts in it, at `to`, so that nothing can be written there.
pub(crate) fn bind_read_only(from: &Path, to: &Path) -> io::Result<()> {
    bind(from, to, true)?;
    make_read_only(to)
}

/// Makes a mount and all mounts in it read-only, and leaves their other flags, which an unprivileged user must not change.
fn make_read_only(target: &Path) -> io::Result<()> {
    let target = std::ffi::CString::new(target.as_os_str().as_encoded_bytes())?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    #[expect(unsafe_code, reason = "no wrapper exists for mount_setattr")]
    // SAFETY: the path is a string with a final zero and the structure is of the size given; both outlive the call, which
    // only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
