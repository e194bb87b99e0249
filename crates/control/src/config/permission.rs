//! Whether others on this machine can read a file that holds keys, or could have written its commands.

use std::fs::Metadata;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The permission bits that let group and others read.
#[cfg(unix)]
const OTHERS_READ: u32 = 0o044;
/// The one that lets everybody write.
#[cfg(unix)]
const EVERYBODY_WRITES: u32 = 0o002;
/// The one that lets the group write.
#[cfg(unix)]
const GROUP_WRITES: u32 = 0o020;
/// The one of a directory in which everybody has files, and changes no other's.
#[cfg(unix)]
const STICKY: u32 = 0o1000;

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

/// Why the commands in the file at `path`, which is `data`, are not run: who else could have written them. That
/// is everybody but this user and root, and who may write the file or put another one in its place.
#[cfg(unix)]
pub(crate) fn objection(path: &Path, data: &Metadata) -> Option<String> {
    let shown = path.display();
    let is_ours = |data: &Metadata| is_ours(data.uid());
    // What a link leads to may be ours, and the choice of it somebody else's.
    if !is_ours(data) || std::fs::symlink_metadata(path).is_ok_and(|link| !is_ours(&link)) {
        return Some(format!(
            "`{shown}` belongs to another user, who could so have commands run as you; copy it to where only \
             you can write and use the copy"
        ));
    }
    if let Some((who, mode)) = other_writers(data) {
        return Some(format!(
            "{who} can write `{shown}` and so have commands run as you; run: chmod {mode} '{shown}'"
        ));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let data = std::fs::metadata(directory).ok()?;
    // Where it is set, files are replaced by their owners only, and whose this one is has been looked at.
    if data.mode() & STICKY != 0 {
        return None;
    }
    let (who, mode) = other_writers(&data)?;
    let mode = if mode == "600" { "go-w" } else { mode };
    Some(format!(
        "{who} can put another file in the place of `{shown}` and so have commands run as you; run: chmod \
         {mode} '{}'",
        directory.display()
    ))
}

/// Who besides its owner can write it, and the mode that takes that back.
#[cfg(unix)]
fn other_writers(data: &Metadata) -> Option<(&'static str, &'static str)> {
    if data.mode() & EVERYBODY_WRITES != 0 {
        return Some(("every user of this machine", "600"));
    }
    // A user's own group, which is the user alone, has the user's number by convention.
    let writes = data.mode() & GROUP_WRITES != 0 && data.gid() != data.uid();
    writes.then_some(("every user of its group", "g-w"))
}

#[cfg(unix)]
fn is_ours(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// See [`warning`].
#[cfg(not(unix))]
pub(crate) fn objection(_path: &Path, _data: &Metadata) -> Option<String> {
    None
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;
    use crate::private_file::scratch::Scratch;
    use crate::private_file::write_private;

    fn said(path: &Path) -> String {
        objection(path, &fs::metadata(path).unwrap()).unwrap_or_default()
    }

    #[test]
    fn a_file_that_others_can_write_or_replace_runs_no_command() {
        let scratch = Scratch::new();
        let dir = scratch.path().join("d");
        let path = dir.join("c.json");
        write_private(&path, "{}").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        assert_eq!(said(&path), "");
        set(&path, 0o666).unwrap();
        assert!(said(&path).contains("every user of this machine can write"));
        set(&path, 0o600).unwrap();
        set(&dir, 0o777).unwrap();
        assert!(said(&path).contains("another file in the place"));
        // The owner of the file is what counts there.
        set(&dir, 0o1777).unwrap();
        assert_eq!(said(&path), "");
    }

    #[test]
    fn a_file_of_another_user_or_of_a_shared_group_runs_no_command() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let scratch = Scratch::new();
        let path = scratch.path().join("c.json");
        write_private(&path, "{}").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        assert_eq!(said(&path), "", "the group is the user's own");
        chown(&path, None, Some(54_321)).unwrap();
        assert!(said(&path).contains("of its group can write"));
        let link = scratch.path().join("link.json");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        assert_eq!(said(&link), "");
        std::os::unix::fs::lchown(&link, Some(54_321), None).unwrap();
        assert!(said(&link).contains("belongs to another user"));
        chown(&path, Some(54_321), None).unwrap();
        assert!(said(&path).contains("belongs to another user"));
    }
}
