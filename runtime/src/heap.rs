//! The memory of this process.

/// Gives the kernel back the pages that are free in the middle of the heap. glibc by itself gives back only what lies at
/// its end, and something that is kept always lies there. Takes some milliseconds for 50 MiB; does nothing elsewhere.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) has no preconditions and takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
