//! What to do when the kernel refuses something that the local environment needs: one sentence each.

use std::fs;
use std::io;

/// For namespaces that could not be made or mapped.
pub(crate) fn of_namespaces(error: &io::Error) -> String {
    let refused = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    if setting("/proc/sys/user/max_user_namespaces") == Some(0)
        || error.raw_os_error() == Some(libc::ENOSPC)
    {
        return "allow user namespaces: as root, sysctl -w user.max_user_namespaces=15000".into();
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return "allow user namespaces: as root, sysctl -w kernel.unprivileged_userns_clone=1"
            .into();
    }
    if apparmor_restricts() && refused {
        return APPARMOR.into();
    }
    if error.raw_os_error() == Some(libc::EINVAL) {
        return "use a kernel with user, pid, network, mount, uts and ipc namespaces".into();
    }
    "run it outside of the container or sandbox that forbids namespaces, or start that one with leave to make them".into()
}

/// For mounts inside fresh namespaces.
pub(crate) fn of_mounts(error: &io::Error) -> String {
    if apparmor_restricts() && matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) {
        return APPARMOR.into();
    }
    "run it outside of the container or sandbox that hides parts of /proc or /sys or forbids mounts"
        .into()
}

const APPARMOR: &str = "let programs use user namespaces: as root, sysctl -w \
                        kernel.apparmor_restrict_unprivileged_userns=0, or give keelhaul an AppArmor profile with userns";

fn apparmor_restricts() -> bool {
    setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1)
}

fn setting(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
