//! Which accelerator works, tried by booting: a `/dev/kvm` that can be opened may still boot no kernel, as under some hypervisors.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::image::Image;
use super::qemu::{QEMU, base_arguments, die_with_parent};
use crate::doctor::Finding;

/// How QEMU executes a machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// By the processor itself.
    Kvm,
    /// By translation, which works everywhere and is tens of times slower.
    Tcg,
}

impl Accelerator {
    /// As people call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        }
    }
}

/// What was found, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What machines run on.
    pub accelerator: Accelerator,
    /// Why it is that.
    pub why: String,
}

/// A remembered choice, with what it depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    here: String,
    choice: Choice,
}

/// Enough for the kernel and for what starts the SSH server.
const MEMORY_MIB: u32 = 256;
/// How long a boot by the processor itself may take. It takes about two seconds; a machine that is busy takes longer.
const BOOT_PATIENCE: Duration = Duration::from_secs(40);
const KVM: &str = "/dev/kvm";
/// What the first process of a machine says when everything is up.
const UP: &str = "keelhaul-up";

/// Tries KVM with the image, or remembers what came of it on this very system.
pub(super) async fn choose(image: &Image) -> Choice {
    let here = surroundings().await;
    let memory = image.dir().join("accelerator.json");
    if let Some(choice) = recall(&memory, &here) {
        return choice;
    }
    let choice = match try_kvm(image).await {
        Ok(()) => Choice { accelerator: Accelerator::Kvm, why: "a trial machine booted".into() },
        Err(why) => Choice { accelerator: Accelerator::Tcg, why: format!("KVM: {why}") },
    };
    let remembered = Remembered { here, choice };
    // It is only remembered so as not to be tried each time.
    let _ = serde_json::to_vec(&remembered).map(|text| fs::write(&memory, text));
    remembered.choice
}

fn recall(memory: &Path, here: &str) -> Option<Choice> {
    let remembered: Remembered = serde_json::from_slice(&fs::read(memory).ok()?).ok()?;
    (remembered.here == here).then_some(remembered.choice)
}

/// What the choice depends on: kernel, QEMU, and whether the device can be opened.
async fn surroundings() -> String {
    let kernel = fs::read_to_string("/proc/version").unwrap_or_default();
    let opened = open_kvm().map_or_else(|error| error.to_string(), |_| "opens".into());
    format!("{}; {}; {opened}", kernel.trim(), version().await.unwrap_or_default())
}

fn open_kvm() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(KVM)
}

/// The first line of what QEMU says of itself.
async fn version() -> io::Result<String> {
    let output = Command::new(QEMU).arg("--version").stdin(Stdio::null()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("of no version").to_owned())
}

/// Boots the image, whose disk stays as it is.
async fn try_kvm(image: &Image) -> Result<(), String> {
    open_kvm().map_err(|error| format!("{KVM}: {error}"))?;
    let append = "root=/dev/vda ro init=/usr/sbin/keelhaul-init console=ttyS0 quiet panic=-1";
    let mut qemu = Command::new(QEMU);
    qemu.args(base_arguments(image, Accelerator::Kvm, MEMORY_MIB, append));
    let disk = format!("file={},format=raw,if=virtio,snapshot=on", image.disk().display());
    qemu.args(["-drive", &disk, "-serial", "stdio", "-no-reboot"]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    die_with_parent(&mut qemu);
    let mut child = qemu.spawn().map_err(|error| format!("{QEMU}: {error}"))?;
    let Some(console) = child.stdout.take() else { return Err("its console is closed".into()) };
    let booted = async {
        let mut lines = BufReader::new(console).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains(UP) {
                return true;
            }
        }
        false
    };
    match timeout(BOOT_PATIENCE, booted).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("QEMU ended").trim().to_owned();
            Err(format!("a trial machine does not boot: {said}"))
        }
        Err(_) => Err(format!("a trial machine did not boot within {} s", BOOT_PATIENCE.as_secs())),
    }
}

/// What virtual machines need, for `doctor`.
pub async fn findings() -> Vec<Finding> {
    let program = |name: &str, package: &str| {
        let found = in_path(name).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::NotFound, format!("{name} is not installed"));
            (error, format!("install Debian's package {package}"))
        });
        Finding::new(name, found)
    };
    let qemu = version()
        .await
        .map_err(|error| (error, "install Debian's package qemu-system-x86".to_owned()));
    let mut findings = vec![
        Finding::new("QEMU", qemu),
        Finding::new("taps", open_tap()),
        program("mmdebstrap", "mmdebstrap"),
        program("mke2fs", "e2fsprogs"),
    ];
    let image = Image::having(&[]);
    let described = image.as_ref().map(describe).map_err(|error| {
        (io::Error::other(error.to_string()), "run `keelhaul vm image build`".to_owned())
    });
    findings.push(Finding::new("image", described));
    if let (Ok(image), true) = (&image, findings[0].ok) {
        let Choice { accelerator, why } = choose(image).await;
        findings.push(match accelerator {
            Accelerator::Kvm => Finding::new("KVM", Ok(why)),
            Accelerator::Tcg => {
                let remedy = "none is needed: machines run by translation, tens of times slower; for KVM use a machine that lends it";
                Finding::new("KVM", Err((io::Error::other(why), remedy.into())))
            }
        });
    }
    findings
}

fn describe(image: &Image) -> String {
    let spec = image.spec().map(|spec| [vec![spec.suite], spec.with].concat().join(" "));
    format!("{}, {} MiB", spec.unwrap_or_default(), image.bytes() >> 20)
}

fn open_tap() -> Result<String, (io::Error, String)> {
    const TUN: &str = "/dev/net/tun";
    let opened = OpenOptions::new().read(true).write(true).open(TUN);
    opened.map(|_| TUN.to_owned()).map_err(|error| {
        (
            error,
            "load the kernel's module: as root, modprobe tun; and let users open /dev/net/tun"
                .into(),
        )
    })
}

/// Where a program is: also where administrators' programs are, which others have not in their path.
fn in_path(name: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = path.split(':').map(|dir| Path::new(dir).join(name)).find(|path| path.exists())?;
    Some(found.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_remembered_for_the_same_surroundings_only() {
        let dir = tempfile::tempdir().unwrap();
        let memory = dir.path().join("accelerator.json");
        let choice = Choice { accelerator: Accelerator::Tcg, why: "no device".into() };
        let remembered = Remembered { here: "a".into(), choice: choice.clone() };
        assert_eq!(recall(&memory, "a"), None);
        fs::write(&memory, serde_json::to_vec(&remembered).unwrap()).unwrap();
        assert_eq!(recall(&memory, "a"), Some(choice));
        assert_eq!(recall(&memory, "b"), None);
    }
}
