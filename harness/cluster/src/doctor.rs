//! What this machine can do: everything the local environment needs, tried for real.
//!
//! Whatever is made for a trial is made in a child process in namespaces of its own, so that nothing is left.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub use keelhaul_agent::Finding;
use keelhaul_agent::examine::what;
use keelhaul_agent::netlink::{Socket, route};
use keelhaul_agent::{cut, program_clock};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::{getpid, pipe2};

use crate::local::{
    Program, TRY_ALL, bind_read_only, map_identities, mount_proc, mount_tmpfs, of_mounts,
    of_namespaces, private_mounts, spawn,
};

/// Tries everything the local environment needs, in child processes that leave nothing behind. The program's `main` must send
/// `node-init …` to [`node_init`](crate::local::node_init).
#[must_use]
pub fn probe() -> Vec<Finding> {
    let mut findings = vec![kernel(), user_namespaces()];
    if !findings.iter().all(|finding| finding.ok) {
        return findings;
    }
    for (what, flag) in [
        ("mount namespaces", CloneFlags::CLONE_NEWNS),
        ("network namespaces", CloneFlags::CLONE_NEWNET),
        ("pid namespaces", CloneFlags::CLONE_NEWPID),
        ("uts namespaces", CloneFlags::CLONE_NEWUTS),
        ("ipc namespaces", CloneFlags::CLONE_NEWIPC),
    ] {
        let result = in_namespaces(CloneFlags::CLONE_NEWUSER | flag, None).map(|_| String::new());
        findings.push(Finding::new(what, result.map_err(|e| with_remedy(e, of_namespaces))));
    }
    if findings.iter().all(|finding| finding.ok) {
        findings.extend(inside());
    }
    findings
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| format!("Linux {}", text.trim()));
    Finding::new("kernel", release.map_err(|e| (e, "run on Linux with /proc mounted".into())))
}

fn user_namespaces() -> Finding {
    let detail =
        if nix::unistd::geteuid().is_root() { "root keeps all user ids" } else { "unprivileged" };
    let result = in_namespaces(CloneFlags::CLONE_NEWUSER, None).map(|_| detail.into());
    Finding::new("user namespaces", result.map_err(|e| with_remedy(e, of_namespaces)))
}

fn with_remedy(error: io::Error, remedy: fn(&io::Error) -> String) -> (io::Error, String) {
    let remedy = remedy(&error);
    (error, remedy)
}

/// Makes namespaces and, when `argument` is given, lets this program run in them; answers what it wrote.
fn in_namespaces(flags: CloneFlags, argument: Option<&str>) -> io::Result<String> {
    let (output, stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let nowhere: OwnedFd = File::open("/dev/null")?.into();
    let argv: Vec<CString> = ["keelhaul", "node-init"]
        .into_iter()
        .chain(argument)
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    let streams = [Some(nowhere.as_fd()), Some(stdout.as_fd()), None];
    let gated = spawn(flags, &Program { argv: &argv, env: &[], streams, kept: None })?;
    let pid = gated.pid();
    let mapped = map_identities(pid);
    // A gate that is dropped unopened lets the child end before it becomes anything.
    let opened = if mapped.is_ok() && argument.is_some() {
        gated.open().map(drop)
    } else {
        drop(gated);
        Ok(())
    };
    drop(stdout);
    let mut text = String::new();
    let heard = File::from(output).read_to_string(&mut text);
    waitpid(pid, None)?;
    mapped.and(opened).and(heard).map(|_| text)
}

/// What [`try_inside`] finds in fresh namespaces.
fn inside() -> Vec<Finding> {
    let everything = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    let found: Vec<Finding> = match in_namespaces(everything, Some(TRY_ALL)) {
        Ok(text) => text.lines().filter_map(Finding::from_line).collect(),
        Err(e) => {
            return vec![Finding::new(
                "all namespaces at once",
                Err(with_remedy(e, of_namespaces)),
            )];
        }
    };
    if found.is_empty() {
        let silent = io::Error::other("the trial inside said nothing");
        return vec![Finding::new(
            "mounts and networks inside",
            Err(with_remedy(silent, of_mounts)),
        )];
    }
    found
}

/// A trial, by its noun.
struct Trial {
    what: &'static str,
    run: fn() -> io::Result<()>,
    remedy: fn(&io::Error) -> String,
}

/// Runs in the child: tries one thing after the other and prints a line for each.
pub(crate) fn try_inside() {
    let trials = [
        Trial { what: "private mounts", run: private_mounts, remedy: of_mounts },
        Trial { what: "/proc of a pid namespace", run: || mount_proc("/proc"), remedy: of_mounts },
        Trial {
            what: "tmpfs",
            run: || mount_tmpfs(Path::new(TRIAL_DIR), "mode=755"),
            remedy: of_mounts,
        },
        Trial {
            what: "overlay file system",
            run: try_overlay,
            remedy: |_| kernel_option("CONFIG_OVERLAY_FS", "overlay"),
        },
        Trial {
            what: "read-only binds",
            run: try_read_only,
            remedy: |_| "use Linux 5.12 or later, which has mount_setattr".into(),
        },
        Trial {
            what: "bridge",
            run: try_bridge,
            remedy: |_| kernel_option("CONFIG_BRIDGE", "bridge"),
        },
        Trial {
            what: "virtual ethernet",
            run: try_veth,
            remedy: |_| kernel_option("CONFIG_VETH", "veth"),
        },
        Trial {
            what: "nf_tables",
            run: cut::try_it,
            remedy: |_| kernel_option("CONFIG_NF_TABLES_INET", "nf_tables"),
        },
        Trial {
            what: what::PROGRAM_CLOCK,
            run: program_clock::try_here,
            remedy: |_| program_clock::REMEDY.into(),
        },
    ];
    for trial in trials {
        let result =
            (trial.run)().map(|()| String::new()).map_err(|e| with_remedy(e, trial.remedy));
        println!("{}", Finding::new(trial.what, result).to_line());
    }
}

/// There on every system, and nothing is ever written to the host's: a tmpfs is mounted over it first.
const TRIAL_DIR: &str = "/tmp";

fn kernel_option(option: &str, module: &str) -> String {
    format!("load the kernel's module: as root, modprobe {module} (or use a kernel with {option})")
}

fn try_overlay() -> io::Result<()> {
    let dir = Path::new(TRIAL_DIR);
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(dir.join(name))?;
    }
    let options = format!(
        "userxattr,lowerdir={TRIAL_DIR}/lower,upperdir={TRIAL_DIR}/upper,workdir={TRIAL_DIR}/work"
    );
    let merged = dir.join("merged");
    mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    fs::write(merged.join("written"), "")?;
    if dir.join("upper/written").exists() {
        Ok(())
    } else {
        Err(io::Error::other("a write did not stay in the upper layer"))
    }
}

fn try_read_only() -> io::Result<()> {
    let dir = Path::new(TRIAL_DIR).join("lower");
    bind_read_only(&dir, &dir)?;
    match fs::write(dir.join("written"), "") {
        Err(e) if e.raw_os_error() == Some(libc::EROFS) => Ok(()),
        Err(e) => Err(e),
        Ok(()) => Err(io::Error::other("a read-only bind could be written")),
    }
}

fn try_bridge() -> io::Result<()> {
    route::add_bridge(&mut Socket::route()?, "kh0")
}

fn try_veth() -> io::Result<()> {
    route::add_veth(&mut Socket::route()?, "kh-a", "kh0", "kh-b", getpid().as_raw().unsigned_abs())
}
