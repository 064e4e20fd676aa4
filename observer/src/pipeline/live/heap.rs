//! The heap of a daemon that is small for most of its life.

/// Gives back what the heap no longer needs: the C library keeps what a burst left behind unless it is asked.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time on any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
