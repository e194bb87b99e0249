//! `api-key-lb setup`: writes keys and target into the configuration file.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use api_key_lb_control::config::{DEFAULT_PORT, Location, find_file};
use api_key_lb_control::setup_file::{SetupChanges, SetupError, merge, write_private};
use api_key_lb_control::{Config, Environment, Flags};
use api_key_lb_core::Pool;

use crate::args::SetupArgs;
use crate::exit::Exit;
use crate::printer::{self, Printer};
use crate::render::count;

/// Variables that win over what is in the file.
const OVERRIDES: [&str; 5] = [
    "API_KEYS",
    "TARGET",
    "PORT",
    "COOLDOWN_MS",
    "SESSION_TTL_MS",
];

/// Runs the command.
pub(super) fn run(args: &SetupArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let Some(Location { path, .. }) = Location::for_setup(&args.plan.flags(), &env) else {
        printer.error(
            "there is no home directory ($HOME) to write to; name a file with `--config FILE`",
        );
        return Ok(Exit::Failure);
    };
    let existing = read(&path)?;
    if let Some(repeated) = args.plan.keys.as_deref().and_then(repeated) {
        printer.note(repeated);
    }
    let changes = SetupChanges {
        keys: args.plan.keys.clone(),
        target: args.plan.target.clone(),
        port: args.plan.place.port,
    };
    let text = match merge(existing.as_deref(), &changes) {
        Ok(text) => text,
        Err(error) => {
            printer.error(explained(&error, &path));
            return Ok(Exit::Failure);
        }
    };
    write_private(&path, &text)
        .with_context(|| format!("cannot write {}; nothing was changed", path.display()))?;
    // A script has no history, and neither has whoever answers no questions.
    if changes.keys.is_some() && io::stdin().is_terminal() && !args.yes {
        printer.warn(
            "the keys are now in your shell's history; remove that line there, or next time put them \
             into the file by hand",
        );
    }
    report(&path, existing.is_some(), &env, printer)
}

/// What to say if the same key was given twice.
fn repeated(keys: &str) -> Option<String> {
    let given: Vec<&str> = keys
        .split(',')
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .collect();
    let distinct: BTreeSet<&str> = given.iter().copied().collect();
    let more = given.len() - distinct.len();
    (more > 0).then(|| {
        format!(
            "{} given more than once; each key counts once",
            count(more, "key")
        )
    })
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error)
            .with_context(|| format!("cannot read {}; nothing was changed", path.display())),
    }
}

fn explained(error: &SetupError, path: &Path) -> String {
    match error {
        SetupError::NoKeys => {
            "--keys required. Usage: api-key-lb setup --keys key1,key2 [--target URL] [--port PORT]"
                .to_owned()
        }
        SetupError::NoTarget => {
            "--target required. Usage: api-key-lb setup --keys key1,key2 --target https://api.z.ai"
                .to_owned()
        }
        SetupError::Syntax { .. } | SetupError::NotAnObject => {
            format!("{}: {error}; nothing was changed", path.display())
        }
        SetupError::Key { .. } | SetupError::Target(_) => error.to_string(),
    }
}

/// Says what is in the file now, by reading it as `start` will.
fn report(
    path: &Path,
    existed: bool,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let verb = if existed { "Updated" } else { "Wrote" };
    printer.say(format!(
        "{} {} (readable only by you)",
        printer::good(verb),
        path.display()
    ))?;
    let flags = Flags {
        config: Some(path.to_owned()),
        ..Flags::default()
    };
    let mut file_only = env.clone();
    file_only.vars.retain(|name, _| !overrides(name));
    let config = match Config::load(&flags, &file_only) {
        Ok(config) => config,
        Err(error) => {
            printer.error(format!("`api-key-lb start` will refuse this file: {error}"));
            return Ok(Exit::Failure);
        }
    };
    super::print_notes(&config, printer);
    for pool in config.plan.pools() {
        printer.say(pool_line(pool))?;
    }
    let port = config.listen.port;
    printer.say(format!("  Port    {port}"))?;
    overridden(env, printer);
    // Where `start` would look by itself; it must be told of any other file.
    let start = match find_file(&Flags::default(), env) {
        Ok(Some(found)) if same_file(&found.path, path) => "api-key-lb start".to_owned(),
        _ => format!("api-key-lb start --config {}", path.display()),
    };
    let port = if port == 0 { DEFAULT_PORT } else { port };
    printer.say(format!(
        "\nNext: {}\nThen give your agent the base URL http://127.0.0.1:{port} instead of the provider's \
         (with the same path behind it, such as /v1) and any text as its API key.\n\
         Configuring agents and installing a service is not done by this version.",
        printer::strong(&start)
    ))?;
    Ok(Exit::Success)
}

fn overrides(name: &str) -> bool {
    OVERRIDES.contains(&name) || name.starts_with("AKLB_")
}

fn overridden(env: &Environment, printer: &Printer) {
    let set: Vec<&str> = OVERRIDES
        .into_iter()
        .filter(|name| env.var(name).is_some())
        .collect();
    if !set.is_empty() {
        printer.note(format!(
            "set in this environment, and winning over the file: {}",
            set.join(", ")
        ));
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// The keys of a pool, masked, and where they go.
fn pool_line(pool: &Pool) -> String {
    let masks: Vec<String> = pool.keys.iter().map(|key| key.secret.masked()).collect();
    let name = if pool.name.is_empty() {
        String::new()
    } else {
        format!("Pool    {}\n  ", pool.name)
    };
    format!(
        "  {name}Keys    {} ({})\n  Target  {}",
        count(pool.keys.len(), "key"),
        masks.join(", "),
        pool.target
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_and_target_are_named_as_flags() {
        let path = Path::new("c.json");
        assert!(explained(&SetupError::NoKeys, path).starts_with("--keys required. Usage:"));
        assert!(explained(&SetupError::NoTarget, path).starts_with("--target required. Usage:"));
    }

    #[test]
    fn a_broken_file_is_named_and_said_to_be_untouched() {
        let text = explained(&SetupError::NotAnObject, Path::new("c.json"));
        assert!(
            text.starts_with("c.json: line 1") && text.ends_with("nothing was changed"),
            "{text}"
        );
    }

    #[test]
    fn a_key_given_twice_is_said_once_and_not_shown() {
        assert_eq!(repeated("a, b ,,c"), None);
        let said = repeated("sk-secret,b,sk-secret, sk-secret").unwrap();
        assert_eq!(said, "2 keys given more than once; each key counts once");
    }

    #[test]
    fn variables_that_win_over_the_file_are_known() {
        assert!(overrides("API_KEYS") && overrides("AKLB_HOST") && !overrides("HOME"));
    }
}
