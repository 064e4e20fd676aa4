//! The heap of a daemon that is small for most of its life.

/// Two heaps for all threads: each has holes of its own, and one thread alone makes most of what is held.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: libc::c_int = 2;
/// From this size on an allocation has pages of its own, bytes. The C library raises it to that of the largest one that
/// was freed, so that each table that has grown leaves its old place behind as a hole.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_PAGES: libc::c_int = 128 << 10;

/// Makes the heap one that stays as small as what is held. Before any other thread is there.
pub(super) fn keep_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` sets parameters of the allocator (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, OWN_PAGES);
    }
}

/// Gives back what the heap no longer needs: the C library keeps what a burst left behind unless it is asked.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time on any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
