//! Which configuration file is read: named, or searched for.

use std::path::{Path, PathBuf};

use super::DEFAULT_TARGET;
use super::environment::{Environment, Flags};
use super::finding::{Place, Problem};

/// The flag that names a file.
const FILE_FLAG: &str = "--config";
/// The environment variable that names a file.
const FILE_VARIABLE: &str = "API_KEY_LB_CONFIG";
/// The file searched for in the current directory.
const LOCAL_FILE: &str = "api-key-lb.json";
/// The file searched for in the home directory, and where `setup` writes.
const HOME_FILE: &str = ".config/api-key-lb/config.json";

/// Where the configuration file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its path.
    pub path: PathBuf,
    /// What named it; `None` if it was searched for and found.
    pub named_by: Option<Place>,
}

impl Location {
    /// Whether it was only found in the current directory.
    pub fn is_of_current_directory(&self, env: &Environment) -> bool {
        self.named_by.is_none() && self.path == env.cwd.join(LOCAL_FILE)
    }

    /// The file a person named, whether it exists or not.
    fn named(flags: &Flags, env: &Environment) -> Option<Self> {
        let (text, place) = match &flags.config {
            Some(path) => (path.to_string_lossy().into_owned(), Place::Flag(FILE_FLAG)),
            None => (
                env.var(FILE_VARIABLE)?.to_owned(),
                Place::Variable(FILE_VARIABLE),
            ),
        };
        Some(Self {
            path: env.path(&text, &env.cwd),
            named_by: Some(place),
        })
    }

    /// Where `setup` writes: the named file, else the one in the home directory. `None` if there
    /// is no home directory.
    pub fn for_setup(flags: &Flags, env: &Environment) -> Option<Self> {
        Self::named(flags, env).or_else(|| {
            Some(Self {
                path: home_file(env)?,
                named_by: None,
            })
        })
    }
}

/// The file that a person named, whether it exists or not.
pub(crate) fn named_file(flags: &Flags, env: &Environment) -> Option<PathBuf> {
    Location::named(flags, env).map(|location| location.path)
}

/// The file in the home directory, whether it exists or not.
pub(crate) fn home_file(env: &Environment) -> Option<PathBuf> {
    env.home.as_ref().map(|home| home.join(HOME_FILE))
}

/// The file to read: `--config`, `$API_KEY_LB_CONFIG`, `./api-key-lb.json`,
/// `~/.config/api-key-lb/config.json`; `None` if there is none.
///
/// # Errors
/// If a named file does not exist.
pub fn find_file(flags: &Flags, env: &Environment) -> Result<Option<Location>, Problem> {
    if let Some(location) = Location::named(flags, env) {
        if exists(&location.path) {
            return Ok(Some(location));
        }
        return Err(Problem {
            text: format!(
                "there is no file `{}`; name one that exists, or write it with \
                 `api-key-lb setup --config {} --keys KEY1,KEY2 --target URL`",
                location.path.display(),
                location.path.display()
            ),
            place: location.named_by,
        });
    }
    Ok([Some(env.cwd.join(LOCAL_FILE)), home_file(env)]
        .into_iter()
        .flatten()
        .find(|path| exists(path))
        .map(|path| Location {
            path,
            named_by: None,
        }))
}

/// Whether there is something at `path`. What cannot be looked at counts as there, so that
/// reading it says why.
fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// Why commands in the file at `path` are not run: it only lies in the current directory, where somebody
/// else's may lie too, such as that of a repository.
pub(crate) fn unnamed(path: &Path, flags: &Flags, env: &Environment) -> Option<String> {
    let is_named = flags.config.is_some() || env.var(FILE_VARIABLE).is_some();
    let is_found = flags.found || (!is_named && path == env.cwd.join(LOCAL_FILE));
    is_found.then(|| {
        format!(
            "commands in a file that was only found in the current directory are not run, since anybody may \
             have put it there; if it is yours, name it: `--config ./{LOCAL_FILE}`, or {FILE_VARIABLE}={}",
            path.display()
        )
    })
}

/// That there is no key, and each way to give one.
pub(crate) fn no_keys(file: Option<&Path>, env: &Environment) -> String {
    let path = file
        .map(Path::to_path_buf)
        .or_else(|| home_file(env))
        .map_or_else(
            || "api-key-lb.json".to_owned(),
            |path| path.display().to_string(),
        );
    let where_looked = match file {
        Some(file) => format!("the file `{}` has none", file.display()),
        None => "there is no configuration file".to_owned(),
    };
    format!(
        "there is no API key: {where_looked}, and neither --keys nor API_KEYS is given. Do one of these:\n\
         api-key-lb setup --keys KEY1,KEY2 --target {DEFAULT_TARGET}\n\
         API_KEYS=KEY1,KEY2 api-key-lb start\n\
         or write {{\"keys\": [\"KEY1\", \"KEY2\"]}} into {path}"
    )
}
