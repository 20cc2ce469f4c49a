//! How the C library's allocator treats large blocks.

/// Blocks from here on are mapped and given back to the system when they are freed.
#[cfg(target_env = "gnu")]
const MAPPED_BYTES_MIN: libc::c_int = 128 << 10;

/// Gives large blocks back to the system when they are freed, whatever was freed before. By default glibc takes
/// the largest block freed so far for what will be wanted again, and keeps what is smaller: the tables of one
/// flush of a million series would stay with the process as some 40 bytes a series. For the whole process, to be
/// called once, when it starts.
pub fn give_large_blocks_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallopt` takes two numbers and may be called at any time; a setting it refuses changes
        // nothing.
        #[expect(unsafe_code, reason = "std has no face for it; see SAFETY")]
        let _set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN) };
    }
}

/// Gives the system back what was freed in small blocks. A flush or a merge leaves such memory behind in the
/// arena of its thread, which would keep it for the next one. For the whole process; takes milliseconds.
pub fn give_free_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `malloc_trim` may be called at any time, by any thread.
        #[expect(unsafe_code, reason = "std has no face for it; see SAFETY")]
        let _any = unsafe { libc::malloc_trim(0) };
    }
}
