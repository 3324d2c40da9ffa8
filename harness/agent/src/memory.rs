//! How this process holds memory.

/// Blocks larger than this come from the kernel one by one, zeroed without being touched, and go back to it when they are freed. Nothing but the
/// buffers of disks is as large: 16 MiB for every thread of every mount, of which requests touch a few pages. By itself glibc takes the
/// first one that is freed as a sign that more will be wanted: it cuts the next ones from its arenas, writes zeros all over them, and keeps them.
/// A loss of power, which makes a new mount, then took 128 MiB, and those after it some more.
#[cfg(target_env = "gnu")]
const BLOCK_BYTES_MAX: libc::c_int = 1 << 20;

/// Lets large blocks go back to the system, and not be touched before they are used.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "no wrapper exists for mallopt")]
pub(crate) fn give_large_blocks_back() {
    // SAFETY: it sets a parameter of the allocator, under the allocator's own lock.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, BLOCK_BYTES_MAX) };
}

/// Other allocators are left as they are.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_large_blocks_back() {}
