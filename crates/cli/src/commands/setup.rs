//! `api-key-lb setup`: from nothing to agents that work through the pool.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::config::{DEFAULT_PORT, Location, find_file};
use api_key_lb_control::file_lock::replace_private;
use api_key_lb_control::key_file::KeyFile;
use api_key_lb_control::runtime_file::state_dir;
use api_key_lb_control::setup_file::{SetupChanges, SetupError, merge};
use api_key_lb_control::{Config, Environment, Flags};
use api_key_lb_core::Pool;

use crate::args::SetupArgs;
use crate::exit::Exit;
use crate::printer::{self, Printer};
use crate::prompt;
use crate::render::count;
use crate::service::Manager;
use crate::setup::agents::{self, Outcome, Wish};
use crate::setup::apply::Run;
use crate::setup::files::same_file;
use crate::setup::interview::interview;
use crate::setup::journal::identity;
use crate::setup::{probe, service};

/// Variables that win over what is in the file.
const OVERRIDES: [&str; 5] = [
    "API_KEYS",
    "TARGET",
    "PORT",
    "COOLDOWN_MS",
    "SESSION_TTL_MS",
];

/// How long trying the keys may hold `setup` up.
const PROBE: Duration = Duration::from_secs(5);

/// Runs the command.
pub(super) fn run(args: &SetupArgs, printer: &Printer) -> anyhow::Result<Exit> {
    if args.undo {
        return super::setup_undo::run(args, printer);
    }
    let wish = Wish {
        only: args.only.clone(),
        except: args.except.clone(),
        ask: false,
        dry: args.dry_run,
    };
    let agents = match agents::chosen(&wish) {
        Ok(agents) => agents,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Usage);
        }
    };
    let env = Environment::of_process();
    let Some(Location { path, .. }) = Location::for_setup(&args.plan.flags(), &env) else {
        printer.error(
            "there is no home directory ($HOME) to write to; name a file with `--config FILE`",
        );
        return Ok(Exit::Failure);
    };
    let is_complete = args.plan.keys.is_some() && args.plan.target.is_some();
    let asks = prompt::is_possible() && !args.yes && !is_complete && !args.dry_run;

    let existing = read(&path)?;
    if let Some(repeated) = args.plan.keys.as_deref().and_then(repeated) {
        printer.note(repeated);
    }
    let mut changes = SetupChanges {
        keys: args.plan.keys.clone(),
        target: args.plan.target.clone(),
        port: args.plan.place.port,
    };
    let lacks_keys = matches!(
        merge(existing.as_deref(), &changes),
        Err(SetupError::NoKeys | SetupError::NoTarget)
    );
    let interviewed = asks && lacks_keys;
    if interviewed {
        changes = interview(&changes, &env, printer)?;
    }
    let text = match merge(existing.as_deref(), &changes) {
        Ok(text) => text,
        Err(error) => {
            printer.error(explained(&error, &path));
            return Ok(Exit::Failure);
        }
    };
    if let Some(existing) = existing.as_deref()
        && !args.dry_run
    {
        keep_keys(&path, existing, &text, &env, printer)?;
    }
    let Some(config) = written(
        &path,
        existing.as_deref(),
        &text,
        args.dry_run,
        &env,
        printer,
    )?
    else {
        return Ok(Exit::Failure);
    };
    // A script has no history, and neither has whoever answers no questions.
    if args.plan.keys.is_some() && io::stdin().is_terminal() && !args.yes {
        printer.warn(
            "the keys are now in your shell's history; remove that line there, and next time type them: \
             `api-key-lb setup` asks, and so does `api-key-lb keys add`",
        );
    }
    overridden(&env, printer);
    if !args.no_check && !args.dry_run && !interviewed {
        try_keys(&config, printer)?;
    }
    let is_wanted = !args.no_agents || !args.no_service;
    if is_wanted && config.listen.port == 0 {
        printer.note(
            "the port is 0, so another one at each start: agents and a service need one that stays, and are left alone",
        );
        next(
            &path,
            &config,
            &(Outcome::default(), false),
            args,
            &env,
            printer,
        )?;
        return Ok(Exit::Success);
    }
    let state = state_dir(&env).filter(|_| is_wanted);
    if is_wanted && state.is_none() {
        printer.error(
            "there is no home directory ($HOME) to note changes in; agents and services are left alone",
        );
        return Ok(Exit::Failure);
    }
    let (mut outcome, mut served) = (Outcome::default(), service::Outcome::default());
    if let Some(state) = &state {
        if !args.no_agents {
            let wish = Wish { ask: asks, ..wish };
            outcome = agents::run(&agents, &config, (&env, state), &wish, printer)?;
        }
        if !args.no_service {
            let wish = service::Wish {
                manager: args.manager.unwrap_or(Manager::of_system()),
                ask: asks,
                dry: args.dry_run,
            };
            served = service::run(&path, (&env, state), wish, printer)?;
        }
    }
    let failed = outcome.failed || served.failed;
    next(&path, &config, &(outcome, served.runs), args, &env, printer)?;
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// Keeps a copy of a file whose keys are replaced, as `--keys` always did: there may be no other.
fn keep_keys(
    path: &Path,
    existing: &str,
    text: &str,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<()> {
    let written = |text: &str| -> Vec<String> {
        let file = KeyFile::parse(text).ok();
        let keys = file.iter().flat_map(|file| file.keys());
        keys.map(|key| key.written.expose().to_owned()).collect()
    };
    let stays = written(text);
    let gone = written(existing);
    let gone = gone.iter().filter(|key| !stays.contains(key)).count();
    if gone == 0 {
        return Ok(());
    }
    let state = state_dir(env).context(
        "there is no home directory ($HOME) to keep a copy of the keys in that would be replaced; nothing was changed",
    )?;
    let copy = Run::now(identity(path), &state).back_up(path, existing)?;
    printer.note(format!(
        "{} of the file replaced; what it said is in {}",
        count(gone, "key"),
        copy.display()
    ));
    Ok(())
}

/// Writes the file, unless it is only to be shown, and says what is in it now; `None` if `start` would refuse it.
fn written(
    path: &Path,
    existing: Option<&str>,
    text: &str,
    dry: bool,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Option<Config>> {
    let verb = match (existing, dry) {
        (Some(existing), _) if existing == text => "Kept",
        (Some(_), false) => "Updated",
        (Some(_), true) => "Would update",
        (None, false) => "Wrote",
        (None, true) => "Would write",
    };
    if !dry {
        // Even if it says the same: others may have been able to read it.
        replace_private(path, existing, text)?;
    }
    printer.say(format!(
        "{} {} (readable only by you)",
        printer::good(verb),
        path.display()
    ))?;
    let config = match Config::of_text(path, text, env) {
        Ok(config) => config,
        Err(error) => {
            printer.error(format!("`api-key-lb start` will refuse this file: {error}"));
            return Ok(None);
        }
    };
    super::print_notes(&config, printer);
    for pool in config.plan.pools() {
        printer.say(pool_line(pool))?;
    }
    printer.say(format!("  Port    {}", config.listen.port))?;
    Ok(Some(config))
}

/// Asks the providers whether the keys are valid and whose they are; only warns.
fn try_keys(config: &Config, printer: &Printer) -> anyhow::Result<()> {
    printer.progress("Trying the keys …");
    let asked = probe::ask(config, PROBE);
    for line in &asked.lines {
        printer.say(format!("  {line}"))?;
    }
    match asked.report {
        Some(report) => {
            for warning in &report.warnings {
                printer.warn(&warning.text);
            }
        }
        None => printer.warn(format!(
            "not every key could be tried within {} s; `api-key-lb check` takes its time",
            PROBE.as_secs()
        )),
    }
    Ok(())
}

/// What to do now.
fn next(
    path: &Path,
    config: &Config,
    (outcome, runs): &(Outcome, bool),
    args: &SetupArgs,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<()> {
    if args.dry_run {
        printer.say("\nNothing was changed.")?;
        return Ok(());
    }
    if !outcome.restart.is_empty() {
        printer.say(format!("\nStart anew: {}.", outcome.restart.join("; ")))?;
    }
    // Where `start` would look by itself; it must be told of any other file.
    let start = match find_file(&Flags::default(), env) {
        Ok(Some(found)) if same_file(&found.path, path) => "api-key-lb start".to_owned(),
        _ => format!("api-key-lb start --config {}", path.display()),
    };
    let port = match config.listen.port {
        0 => DEFAULT_PORT,
        port => port,
    };
    let start = if *runs {
        "the proxy runs; `api-key-lb status` shows how".to_owned()
    } else {
        printer::strong(&start)
    };
    printer.say(format!(
        "\nNext: {start}\nOther programs get the base URL http://127.0.0.1:{port} instead of the provider's (with the \
         same path behind it, such as /v1) and any text as API key. `api-key-lb setup --undo` takes everything back."
    ))?;
    Ok(())
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
}
