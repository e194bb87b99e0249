//! The file: opened, checked, brought up to date, or set aside if it is not one that can be used.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_key_lb_core::Moment;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::schema::{self, APPLICATION, VERSION};
use crate::private_file::create_private_directory;

/// How long the writer waits for somebody else who has locked the file.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes to which the log of changes is cut after they went into the file.
const LOG_BYTES: u32 = 4 << 20;
/// Memory for pages of the file, in KiB.
const CACHE_KIB: u32 = 1024;
/// What SQLite keeps beside the file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The store of the instance on `port`.
pub fn path(dir: &Path, port: u16) -> PathBuf {
    dir.join(format!("{port}.db"))
}

/// What keeps a file from being used.
enum Unfit {
    /// A later version of this program wrote it.
    Newer(i64),
    /// It is damaged, or not ours.
    Corrupt(String),
    /// Nothing is known about the file itself: the disk, the lock, the permissions.
    Now(StoreError),
}

/// Opens the file at `path`, making it if it is missing. One that cannot be used is renamed and
/// replaced by an empty one; then there are words for that.
pub(super) fn open(path: &Path, now: Moment) -> Result<(Connection, Option<String>), StoreError> {
    let (ending, why) = match usable(path) {
        Ok(connection) => return Ok((connection, None)),
        Err(Unfit::Now(error)) => return Err(error),
        Err(Unfit::Newer(version)) => (
            "newer",
            format!(
                "a newer version of api-key-lb wrote it (format {version}, this one knows {VERSION})"
            ),
        ),
        Err(Unfit::Corrupt(why)) => ("corrupt", format!("it is damaged ({why})")),
    };
    let aside = set_aside(path, ending, now)?;
    let words = format!(
        "the store `{}` cannot be used: {why}. It is now `{}`, and an empty one takes its place; \
         sessions, cooldowns and usage start anew, nothing else is lost",
        path.display(),
        aside.display()
    );
    match usable(path) {
        Ok(connection) => Ok((connection, Some(words))),
        Err(Unfit::Now(error)) => Err(error),
        Err(Unfit::Newer(_) | Unfit::Corrupt(_)) => Err(StoreError::Io {
            path: path.to_owned(),
            source: io::Error::other("an empty file cannot be used"),
        }),
    }
}

/// Whether a failure says that the file is damaged.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Whether a failure to read says that the file is damaged: if it is not the disk, a lock or memory,
/// then what stands there is not what we have written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        None | Some(ErrorCode::Unknown | ErrorCode::TypeMismatch) => true,
        Some(_) => is_corrupt(error),
    }
}

/// Which file is at `path`, if any: not the one that was there, if somebody has removed that.
#[cfg(unix)]
pub(super) fn which(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Which file is at `path`, if any.
#[cfg(not(unix))]
pub(super) fn which(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}

/// Renames the file, and what is beside it, and says to what.
pub(super) fn set_aside(path: &Path, ending: &str, now: Moment) -> Result<PathBuf, StoreError> {
    let date = super::time::compact(now);
    let aside = with(path, &format!(".{ending}-{date}"));
    std::fs::rename(path, &aside).map_err(|source| StoreError::Io {
        path: path.to_owned(),
        source,
    })?;
    for beside in BESIDE {
        // Most of the time there is none.
        let _ = std::fs::rename(with(path, beside), with(&aside, beside));
    }
    Ok(aside)
}

fn with(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// Bytes of the file and what is beside it.
pub(super) fn bytes(path: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    size(path) + size(&with(path, BESIDE[0]))
}

/// For whoever only looks: nothing is made, checked or changed.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    known(path, flags)
}

/// For whoever tidies up beside a running proxy.
pub(super) fn open_to_prune(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = known(path, flags)?;
    schema::migrate(&mut connection).map_err(|source| StoreError::Sql {
        path: path.to_owned(),
        source,
    })?;
    Ok(connection)
}

/// For a process that another one has taken over from, which owns the file by now, and perhaps in
/// its newer form: nothing is made, changed or set aside; what is added is added by name.
pub(super) fn open_to_add(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let opened = connect(path).and_then(|connection| {
        connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        Ok(connection)
    });
    opened.map_err(|source| StoreError::Sql {
        path: path.to_owned(),
        source,
    })
}

fn known(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let failed = |source| StoreError::Sql {
        path: path.to_owned(),
        source,
    };
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(10 * PATIENCE).map_err(failed)?;
    match schema::version(&connection).map_err(failed)? {
        // What is asked for here is the same in all of them.
        1..=VERSION => Ok(connection),
        other => Err(StoreError::Version {
            path: path.to_owned(),
            other,
        }),
    }
}

fn usable(path: &Path) -> Result<Connection, Unfit> {
    create(path).map_err(|source| {
        Unfit::Now(StoreError::Io {
            path: path.to_owned(),
            source,
        })
    })?;
    let judge = |error: rusqlite::Error| {
        if is_corrupt(&error) {
            Unfit::Corrupt(error.to_string())
        } else {
            Unfit::Now(StoreError::Sql {
                path: path.to_owned(),
                source: error,
            })
        }
    };
    let mut connection = connect(path).map_err(judge)?;
    let version = schema::version(&connection).map_err(judge)?;
    let pragma = |name: &str| {
        let sql = format!("PRAGMA {name}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
    };
    if version == 0 {
        if pragma("schema_version").map_err(judge)? != 0 {
            return Err(Unfit::Corrupt("it is another program's".to_owned()));
        }
        // Only a file without tables takes this.
        connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL")
            .map_err(judge)?;
    } else {
        if pragma("application_id").map_err(judge)? != APPLICATION {
            return Err(Unfit::Corrupt("it is another program's".to_owned()));
        }
        if version > VERSION {
            return Err(Unfit::Newer(version));
        }
        let check: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(judge)?;
        if check != "ok" {
            return Err(Unfit::Corrupt(check.replace(['\n', '\r'], " ")));
        }
    }
    // A reader never keeps the writer waiting, and a crash of the process loses nothing that was
    // committed; one of the machine may lose the last commits, but leaves the file whole.
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        })
        .map_err(judge)?;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -{CACHE_KIB}"
        ))
        .map_err(judge)?;
    connection
        .query_row(
            &format!("PRAGMA journal_size_limit = {LOG_BYTES}"),
            [],
            |_| Ok(()),
        )
        .map_err(judge)?;
    schema::migrate(&mut connection).map_err(judge)?;
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// Makes the file for its owner only, before SQLite could make it for everybody.
fn create(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        create_private_directory(dir)?;
    }
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // The log of a file that somebody has removed would be taken for this one's.
            for beside in BESIDE {
                let _ = std::fs::remove_file(with(path, beside));
            }
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
        Err(error) => return Err(error),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    drop(file);
    Ok(())
}
