//! Whether others on this machine can read a file that holds keys.

use std::path::Path;

/// The permission bits that let group and others read.
#[cfg(unix)]
const OTHERS_READ: u32 = 0o044;
/// The one that lets everybody write.
#[cfg(unix)]
const EVERYBODY_WRITES: u32 = 0o002;

/// A warning with the command that helps, if others can read the file at `path`.
#[cfg(unix)]
pub(crate) fn warning(path: &Path, holds: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & OTHERS_READ != 0).then(|| {
        let path = path.display();
        format!(
            "other users of this machine can read `{path}`, which holds {holds}; \
             run: chmod 600 '{path}'"
        )
    })
}

/// Elsewhere permissions are not mode bits; the home directory protects what is in it.
#[cfg(not(unix))]
pub(crate) fn warning(_path: &Path, _holds: &str) -> Option<String> {
    None
}

/// Whether everybody can change the file at `path`. Not whether its group can, which on many systems is
/// the user alone.
#[cfg(unix)]
pub(crate) fn everybody_can_write(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & EVERYBODY_WRITES != 0)
}

/// See [`warning`].
#[cfg(not(unix))]
pub(crate) fn everybody_can_write(_path: &Path) -> bool {
    false
}
