//! Flags, environment and file become one validated configuration, or every reason why not.

mod change;
mod credential;
mod document;
mod effective;
mod environment;
mod errors;
mod field;
mod finding;
mod lenient;
mod location;
mod log;
mod network;
mod otlp;
mod permission;
mod pool;
mod prices;
pub(crate) mod program;
mod recognition;
mod schema;
mod settings;
mod sheet;
mod template;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::{AccountId, Plan, Pool, Secret};

pub use change::Changes;
pub use effective::{Effective, EffectiveKey, EffectivePool, Setting};
pub use environment::{Environment, Flags};
pub use field::{Variable, variables};
pub use finding::{ConfigError, Note, NoteLevel, Place, Problem};
pub use location::{Location, find_file};
pub use log::{LogFormat, LogLevel, LogSettings};
pub use otlp::Otlp;
pub use schema::schema;
pub use template::template;
pub use watch::Watch;

pub use credential::{Source, shown};
pub use pool::DisabledKey;

pub(crate) use credential::objection as key_objection;
pub(crate) use document::{syntax, syntax_problem, without_mark};
pub(crate) use pool::{default_label, label_objection};

use credential::Told;
use finding::{Findings, Sourced};
use location::{named_file, no_keys};
use pool::PoolBuilder;
use recognition::recognition;
use settings::{
    ca_file, default_workers, guard, limits, listen, log_level, log_settings, pacing, setting,
    timing, usage_days,
};
use sheet::{Sheet, switch};

use crate::prices::Prices;

/// The TCP port unless another is configured.
pub const DEFAULT_PORT: u16 = 4577;
/// The target of the default pool unless another is configured.
pub const DEFAULT_TARGET: &str = "https://api.openai.com";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The TCP port; 0 takes any free one.
    pub port: u16,
    /// The addresses; never empty.
    pub hosts: Vec<IpAddr>,
    /// Whether they were given. If not, one that this machine does not have is no error.
    pub explicit_hosts: bool,
}

/// Everything that was configured, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the engine serves by.
    pub plan: Plan,
    /// Where it listens.
    pub listen: Listen,
    /// Number of worker threads, at least 1.
    pub workers: usize,
    /// A PEM file with certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Which requests are logged.
    pub log: LogLevel,
    /// How they are logged.
    pub log_settings: LogSettings,
    /// What tokens cost.
    pub prices: Arc<Prices>,
    /// Where OpenTelemetry is exported to.
    pub otlp: Option<Otlp>,
    /// Whether anything outlives the process.
    pub store: bool,
    /// For how many days the usage is kept.
    pub usage_days: u32,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    /// The names of the accounts that have one.
    pub accounts: BTreeMap<AccountId, String>,
    /// The keys that are there and must not serve.
    pub disabled: Vec<DisabledKey>,
    /// What to say once at the start.
    pub notes: Vec<Note>,
    /// Every file that was read: a change of one of them is a change of the configuration.
    pub files: Vec<PathBuf>,
    /// What the keys as written are called.
    called: Vec<pool::Called>,
}

/// How to reach the instance that this configuration describes.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Its TCP port.
    pub port: u16,
    /// The addresses it listens on.
    pub hosts: Vec<IpAddr>,
    /// What it wants from its clients; empty for nothing.
    pub client_tokens: Vec<Secret>,
    /// How long its running answers may take to finish once it is stopped.
    pub drain_timeout: Duration,
}

impl Config {
    /// Loads, merges and validates.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem that was found, not only the first.
    pub fn load(flags: &Flags, env: &Environment) -> Result<Self, ConfigError> {
        let mut findings = Findings::default();
        let read = Self::read(flags, env, &mut findings);
        let config = read
            .and_then(|(file, sheet)| Self::assemble(file.as_deref(), sheet, env, &mut findings));
        Self::found(config, findings)
    }

    /// What [`Self::load`] will make of the file at `path` once it says `text`, flags and variables aside.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of_text(path: &Path, text: &str, env: &Environment) -> Result<Self, ConfigError> {
        let mut findings = Findings::default();
        let mut sheet = parse_file(path, text, &mut findings);
        if let Some(sheet) = &mut sheet {
            sheet.refusal = refusal_at(path);
        }
        let config = sheet.and_then(|sheet| Self::assemble(Some(path), sheet, env, &mut findings));
        Self::found(config, findings)
    }

    /// The same, with what flags and variables say besides the keys: these are the file's.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn of_keys_in(
        path: &Path,
        text: &str,
        flags: &Flags,
        env: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut findings = Findings::default();
        let sheet = parse_file(path, text, &mut findings);
        let config = sheet.and_then(|mut sheet| {
            let keys = std::mem::take(&mut sheet.keys);
            sheet.overlay(flags, env);
            sheet.keys = keys;
            sheet.refusal = location::unnamed(path, flags, env).or_else(|| refusal_at(path));
            Self::assemble(Some(path), sheet, env, &mut findings)
        });
        Self::found(config, findings)
    }

    fn found(config: Option<Self>, findings: Findings) -> Result<Self, ConfigError> {
        match config {
            Some(mut config) if findings.problems.is_empty() => {
                config.notes = findings.notes;
                config.files = findings.files;
                Ok(config)
            }
            _ => Err(findings.into_error()),
        }
    }

    /// The file, flags and variables, still as text; `None` after a problem that leaves nothing of them.
    fn read(
        flags: &Flags,
        env: &Environment,
        findings: &mut Findings,
    ) -> Option<(Option<PathBuf>, Sheet)> {
        let file = match find_file(flags, env) {
            Ok(file) => file.map(|location| location.path),
            Err(problem) => {
                findings.problems.push(problem);
                findings.files.extend(named_file(flags, env));
                return None;
            }
        };
        findings.files.extend(file.clone());
        let mut sheet = match &file {
            Some(path) => read_file(path, findings)?,
            None => Sheet::default(),
        };
        if let Some(unnamed) = file
            .as_ref()
            .and_then(|path| location::unnamed(path, flags, env))
        {
            sheet.refusal = Some(unnamed);
        }
        sheet.overlay(flags, env);
        Some((file, sheet))
    }

    /// Everything, with what is wrong in `findings`; `None` if nothing can be made of it.
    fn assemble(
        file: Option<&Path>,
        mut sheet: Sheet,
        env: &Environment,
        findings: &mut Findings,
    ) -> Option<Self> {
        let log = log_level(&sheet, findings);
        let log_settings = log_settings(&sheet, findings);
        let prices = Arc::new(prices::prices(&sheet.prices));
        let given = sheet.scalars.get("otlp");
        let source = (env, sheet.refusal.as_deref());
        let otlp = otlp::otlp(sheet.otlp.as_ref(), given, source, findings);
        let ca_file = ca_file(&sheet, env, findings);
        let timing = timing(&sheet, findings);
        let limits = limits(&sheet, findings);
        let answer_headers = switch(&sheet.scalars, "answer_headers", findings).unwrap_or(true);
        let include_usage = switch(&sheet.scalars, "include_usage", findings).unwrap_or(false);
        let recognition = recognition(&sheet, findings);
        let pacing = pacing(&sheet, findings);
        let store = switch(&sheet.scalars, "store", findings).unwrap_or(true);
        let usage_days = usage_days(&sheet, findings);
        let workers = setting(&sheet, "workers", findings)
            .and_then(|workers| usize::try_from(workers).ok())
            .unwrap_or_else(default_workers);
        let listen = listen(&mut sheet, findings);
        let told = Told::fetch(secrets(&sheet), env, sheet.refusal.as_deref());
        let guard = guard(&mut sheet, &listen, (env, &told), findings);

        let mut builder = PoolBuilder::new(env, &told);
        let (mut default_pool, mut named_pools) = pools(&sheet, &mut builder, file, env, findings);
        if let Some(given) = sheet.scalars.get("list_account") {
            let pools = default_pool.iter_mut().chain(&mut named_pools);
            pool::set_lists(pools, &builder.disabled, given, findings);
        }
        let plan = Plan {
            default_pool,
            named_pools,
            guard,
            timing,
            limits,
            recognition,
            pacing,
            answer_headers,
            include_usage,
            error_rules: errors::own_rules(&sheet.errors),
        };
        refuse_itself(&plan, &listen, &builder, findings);
        Some(Self {
            plan,
            listen,
            workers,
            ca_file,
            log,
            log_settings,
            prices,
            otlp,
            store,
            usage_days,
            file: file.map(Path::to_path_buf),
            accounts: builder.accounts,
            called: builder.called,
            disabled: builder.disabled,
            notes: Vec::new(),
            files: Vec::new(),
        })
    }
}

/// Reads the file; `None` after a problem that leaves nothing of it.
fn read_file(path: &Path, findings: &mut Findings) -> Option<Sheet> {
    let unreadable = |error: &dyn fmt::Display| {
        format!(
            "cannot read `{}`: {error}; correct it, or name another file with --config",
            path.display()
        )
    };
    let (text, refusal) = match read_with_refusal(path) {
        Ok((Ok(text), refusal)) => (text, refusal),
        Ok((Err(_), _)) => {
            findings.problem_nowhere(unreadable(&"it is not UTF-8 text"));
            return None;
        }
        Err(error) => {
            findings.problem_nowhere(unreadable(&error));
            return None;
        }
    };
    if let Some(warning) = permission::warning(path, "your keys") {
        findings.note(NoteLevel::Warning, warning);
    }
    let mut sheet = parse_file(path, &text, findings)?;
    sheet.refusal = refusal;
    Some(sheet)
}

/// What the file says, and why its commands are not run: of the very file that was read.
fn read_with_refusal(
    path: &Path,
) -> io::Result<(Result<String, std::string::FromUtf8Error>, Option<String>)> {
    let mut file = std::fs::File::open(path)?;
    let refusal = permission::objection(path, &file.metadata()?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((String::from_utf8(bytes), refusal))
}

/// Why the commands of the file at `path` are not run; one that is to be written yet has no such reason.
fn refusal_at(path: &Path) -> Option<String> {
    permission::objection(path, &std::fs::metadata(path).ok()?)
}

/// What the file says; `None` after a problem that leaves nothing of it.
fn parse_file(path: &Path, text: &str, findings: &mut Findings) -> Option<Sheet> {
    match document::parse(&Arc::from(path), text) {
        Ok(Some(root)) => Some(Sheet::read(root, findings)),
        Ok(None) => Some(Sheet::default()),
        Err(problem) => {
            findings.problems.push(problem);
            None
        }
    }
}

/// The secret that `text` in the file at `path` is or names, as far as it can be told without running
/// anything.
pub fn peek(text: &str, path: &Path, env: &Environment) -> Option<Secret> {
    let given = Sourced {
        value: text.to_owned(),
        place: Place::File {
            path: Arc::from(path),
            line: 1,
            column: 1,
        },
    };
    credential::peek(&given, env)
}

/// Whether a text in the file means yes.
pub(crate) fn means_yes(text: &str) -> bool {
    sheet::yes_or_no(text) == Some(true)
}

/// Everything in the sheet that is, or names, a secret that is needed.
fn secrets(sheet: &Sheet) -> impl Iterator<Item = &Sourced<String>> {
    let in_pools = sheet.pools.iter().flat_map(|pool| &pool.keys);
    let keys = sheet.keys.iter().chain(in_pools);
    let tokens = sheet.lists.get("client_tokens").into_iter().flatten();
    keys.filter(|entry| !entry.is_disabled())
        .map(|entry| &entry.key)
        .chain(tokens)
}

fn pools(
    sheet: &Sheet,
    builder: &mut PoolBuilder<'_>,
    file: Option<&Path>,
    env: &Environment,
    findings: &mut Findings,
) -> (Option<Pool>, Vec<Pool>) {
    let before = findings.problems.len();
    let in_pools = sheet.pools.iter().flat_map(|pool| &pool.keys);
    builder.reserve_labels(sheet.keys.iter().chain(in_pools), findings);

    let given = sheet.scalars.get("target");
    let default_pool = if sheet.keys.is_empty() {
        if let (Some(target), false) = (given, sheet.pools.is_empty()) {
            findings.warn(
                &target.place,
                "`target` is without effect, because there are no `keys` beside it; \
                 add them, or remove it",
            );
        }
        None
    } else {
        let usual = Sourced {
            value: DEFAULT_TARGET.to_owned(),
            place: Place::Default,
        };
        builder
            .target(
                given.unwrap_or(&usual),
                sheet.scalars.get("provider"),
                findings,
            )
            .and_then(|target| builder.pool("", &target, &sheet.keys, findings))
    };
    let mut named_pools: Vec<Pool> = Vec::new();
    for entry in &sheet.pools {
        if named_pools.iter().any(|pool| pool.name == entry.name.value) {
            findings.problem(
                &entry.name.place,
                format!(
                    "there are two pools called `{}`; rename one of them",
                    entry.name.value
                ),
            );
            continue;
        }
        named_pools.extend(builder.named_pool(entry, findings));
    }
    if default_pool.is_none()
        && named_pools.is_empty()
        && !sheet.keys_unread
        && findings.problems.len() == before
    {
        findings.problem_nowhere(no_keys(file, env));
    }
    (default_pool, named_pools)
}

/// A target that leads back here would send every request round in circles.
fn refuse_itself(plan: &Plan, listen: &Listen, builder: &PoolBuilder<'_>, findings: &mut Findings) {
    // Any free port cannot be known before it is taken.
    if listen.port == 0 {
        return;
    }
    let Some(target) = plan.target_at_self(listen.port, &listen.hosts) else {
        return;
    };
    let place = builder
        .targets
        .iter()
        .find(|known| *known.value == *target)
        .map_or(Place::Default, |known| known.place.clone());
    findings.problem(
        &place,
        format!(
            "the target {target} is this proxy itself, which listens on port {}; write the \
             provider's URL, such as {DEFAULT_TARGET}, or choose another `port`",
            listen.port
        ),
    );
}
