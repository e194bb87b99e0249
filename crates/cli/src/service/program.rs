//! The path of this program that will still be right after an update, and what speaks against it.

use std::io;
use std::path::{Component, Path, PathBuf};

use api_key_lb_control::Environment;

/// What Linux appends to the path of a program whose file is gone or was replaced.
const DELETED: &str = " (deleted)";
/// Cargo keeps this file beside what it builds.
const BUILD_LOCK: &str = ".cargo-lock";
/// Where systems put what may be gone tomorrow; programs that are run once without being installed live in the last.
const TEMPORARY: &[&str] = &[
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/run",
    "/private/tmp",
    "/private/var/folders",
    "/var/folders",
];
/// A directory of programs that are run without being installed (`npx`).
const RUN_ONCE: &str = "_npx";

/// Where this program is found from now on. A name on `$PATH` that leads here comes first: package
/// managers put each version into a directory of its own and move such a link.
pub(super) fn path(env: &Environment) -> io::Result<PathBuf> {
    let exe = present(std::env::current_exe()?);
    let dirs = env.var("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(dirs).filter(|dir| !is_temporary(dir));
    Ok(linked(&exe, dirs).unwrap_or(exe))
}

/// The first of these directories in which a link of the same name leads to `exe`.
fn linked(exe: &Path, mut dirs: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let real = exe.canonicalize().ok()?;
    let name = exe.file_name()?;
    dirs.find_map(|dir| {
        let path = dir.join(name);
        let leads_here = path.is_absolute() && path.canonicalize().is_ok_and(|found| found == real);
        leads_here.then_some(path)
    })
}

/// The path without what Linux appends once the file was replaced, if there is a new one.
fn present(exe: PathBuf) -> PathBuf {
    let stripped = exe.to_str().and_then(|path| path.strip_suffix(DELETED));
    match stripped.map(PathBuf::from) {
        Some(path) if path.exists() => path,
        _ => exe,
    }
}

/// What a person should know before a service depends on this path.
pub(super) fn warning(path: &Path) -> Option<String> {
    let place = if is_build(path) {
        "a build directory"
    } else if is_temporary(path) {
        "a temporary directory"
    } else {
        return None;
    };
    Some(format!(
        "the service runs {}, which is in {place} and may be gone or replaced one day; better install the \
         program first (`cargo install --path crates/cli`) and run `api-key-lb service install` with that one",
        path.display()
    ))
}

fn is_build(path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .take(2)
        .any(|dir| dir.join(BUILD_LOCK).exists())
}

fn is_temporary(path: &Path) -> bool {
    let is_below = |dir: &Path| path.starts_with(dir);
    is_below(&std::env::temp_dir())
        || TEMPORARY.iter().any(|dir| is_below(Path::new(dir)))
        || path
            .components()
            .any(|part| part == Component::Normal(RUN_ONCE.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_test_is_in_a_build_directory() {
        let said = warning(&std::env::current_exe().unwrap()).unwrap();
        assert!(
            said.contains("build directory") && said.contains("cargo install"),
            "{said}"
        );
    }

    #[test]
    fn temporary_places_are_known_and_others_are_fine() {
        for path in ["/tmp/x/api-key-lb", "/home/me/.npm/_npx/ab/api-key-lb"] {
            let said = warning(Path::new(path)).unwrap();
            assert!(said.contains("temporary"), "{said}");
        }
        assert_eq!(warning(Path::new("/home/me/.cargo/bin/api-key-lb")), None);
        assert_eq!(warning(Path::new("/tmpfoo/api-key-lb")), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_on_the_path_outlives_the_version_it_leads_to() {
        let dir = std::env::current_exe().unwrap();
        let dir = dir
            .parent()
            .unwrap()
            .join(format!("service-{}", std::process::id()));
        let (bin, cellar) = (dir.join("bin"), dir.join("2.0.0"));
        for dir in [&bin, &cellar] {
            std::fs::create_dir_all(dir).unwrap();
        }
        let exe = cellar.join("api-key-lb");
        std::fs::write(&exe, "").unwrap();
        std::os::unix::fs::symlink(&exe, bin.join("api-key-lb")).unwrap();
        let dirs = ["relative".into(), dir.join("none"), bin.clone()];
        let found = linked(&exe, dirs.into_iter());
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found, Some(bin.join("api-key-lb")));
    }
}
