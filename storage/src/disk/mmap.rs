//! `unsafe` at the disk: mapping a sealed file, and two system calls that `std` lacks.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A read-only map of a sealed file; empty files are not mapped.
pub(super) struct SealedMap(Option<memmap2::Mmap>);

impl SealedMap {
    /// Maps the whole of `file`, which must be sealed and inside the locked data directory.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self(None));
        }
        // SAFETY: a map is sound while the file's bytes do not change and the file does not shrink.
        // Sealed files are never written, truncated or renamed over, by the rule of this module; the
        // data directory is locked, so that no second process of ours breaks it. Removing the file's
        // name leaves the mapped inode as it is.
        #[expect(unsafe_code, reason = "mapping has no safe face; see SAFETY")]
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(Some(map)))
    }
}

impl Deref for SealedMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }
}

/// `fallocate(2)`: reserves the first `bytes` bytes and extends the file to them.
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        #[expect(unsafe_code, reason = "std has no fallocate; see SAFETY")]
        let code = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) };
        if code == 0 {
            return Ok(());
        }
        let cause = io::Error::last_os_error();
        if cause.kind() != io::ErrorKind::Interrupted {
            return Err(cause);
        }
    }
}

/// `statvfs(3)`: bytes free for a process without privileges on the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut answer = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` ends in NUL and outlives the call; `answer` is valid for writing one `statvfs`.
    #[expect(unsafe_code, reason = "std has no statvfs; see SAFETY")]
    let code = unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `statvfs` is plain numbers, for which all zeros is a value, and the call succeeded.
    #[expect(unsafe_code, reason = "filled by the call above; see SAFETY")]
    let answer = unsafe { answer.assume_init() };
    Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
}
