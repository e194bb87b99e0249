//! `api-key-lb keys`: the keys of the configuration file, and the running proxy that follows.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use api_key_lb_control::config::Source;
use api_key_lb_control::health::Health;
use api_key_lb_control::key_file::KeyChange;
use api_key_lb_control::keychain::Keychain;
use api_key_lb_control::{Config, Environment};

use crate::args::{CheckArgs, PlaceArgs};
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::keys::{
    self, Addition, AtArgs, KeysArgs, KeysOrder, Listing, NamedArgs, Opened, Proxy, TestArgs,
    named, the_pool,
};
use crate::printer::{self, Printer};
use crate::prompt;
use crate::render::count;

use super::reload;
use super::status::STOP_PREDECESSOR;

/// What a proxy without a configuration file is said to read.
const NO_FILE: &str = "no configuration file";

/// Runs the command.
pub(super) fn run(args: &KeysArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    match &args.order {
        KeysOrder::List { at, json } => list(at, *json, &env, printer),
        KeysOrder::Add(args) => add(args, &env, printer),
        KeysOrder::Remove { keys, yes, force } => remove(keys, *yes, *force, &env, printer),
        KeysOrder::Disable { keys, force } => disable(keys, *force, &env, printer),
        KeysOrder::Enable { keys } => {
            let change = KeyChange::Disabled(false);
            let mut opened = Opened::to_change(&keys.at, &env)?;
            let found = match opened.find_all(&keys.keys) {
                Ok(found) => found,
                Err(why) => return refuse(why, printer),
            };
            for at in &found {
                change_one(&mut opened, *at, &change, printer)?;
            }
            let exit = written(&mut opened, &keys.at.place, &env, printer)?;
            keys::enable_by_hand(&opened, &found, &keys.at.place, &env, printer)?;
            Ok(exit)
        }
        KeysOrder::Label { at, key, label, .. } => {
            let mut opened = Opened::to_change(at, &env)?;
            let found = match opened.find(key) {
                Ok(found) => found,
                Err(why) => return refuse(why, printer),
            };
            let is_same = opened.key(found)?.label == label.as_deref().unwrap_or_default();
            let objection = label.as_deref().filter(|_| !is_same);
            if let Some(why) = objection.and_then(|label| opened.taken(label)) {
                return refuse(why, printer);
            }
            change_one(
                &mut opened,
                found,
                &KeyChange::Label(label.clone()),
                printer,
            )?;
            written(&mut opened, &at.place, &env, printer)
        }
        KeysOrder::Weight { at, key, weight } => {
            let change = KeyChange::Weight(Some(*weight));
            one(at, key, &change, &env, printer)
        }
        KeysOrder::Account {
            at, key, account, ..
        } => {
            let account = account.as_deref().map(str::trim);
            if account == Some("") {
                return refuse(
                    "the name of an account is not empty; `--none` takes it away",
                    printer,
                );
            }
            let change = KeyChange::Account(account.map(str::to_owned));
            one(at, key, &change, &env, printer)
        }
        KeysOrder::Test(args) => test(args, &env, printer),
    }
}

fn refuse(why: impl std::fmt::Display, printer: &Printer) -> anyhow::Result<Exit> {
    printer.error(why);
    Ok(Exit::Usage)
}

fn list(at: &AtArgs, json: bool, env: &Environment, printer: &Printer) -> anyhow::Result<Exit> {
    let opened = Opened::of(at, env)?;
    let (port, running) = running(&at.place, env);
    let (is_running, health, same) = match running {
        Running::Ours(health) => {
            let same = keys::is_of(&health, &opened.path);
            (true, Some(health).filter(|_| same), Some(same))
        }
        Running::Other(_) => (true, None, Some(false)),
        Running::Nobody => (false, None, None),
    };
    let proxy = Proxy {
        port,
        running: is_running,
        same_config: same,
    };
    let pool = opened.pool.as_deref();
    let keys = opened.file.keys().iter().enumerate();
    let keys = keys.filter(|(_, key)| pool.is_none_or(|pool| key.pool == pool));
    let listing = Listing::of(&opened.path, proxy, keys, health.as_deref());
    if json {
        printer.answer(serde_json::to_string_pretty(&listing)?)?;
        return Ok(Exit::Success);
    }
    printer.answer(keys::table(&listing))?;
    let file = opened.path.display();
    printer.note(match same {
        Some(true) => format!("from {file}, as the proxy on port {port} has them"),
        Some(false) => format!("from {file}; the proxy on port {port} reads another configuration"),
        None => format!("from {file}; no proxy runs on port {port}"),
    });
    Opened::note_overrides(env, printer);
    Ok(Exit::Success)
}

fn add(args: &keys::AddArgs, env: &Environment, printer: &Printer) -> anyhow::Result<Exit> {
    let mut opened = Opened::of(&args.at, env)?;
    let (pool, added) = match keys::add(args, &mut opened, env, printer)? {
        Addition::Usage(why) => return refuse(why, printer),
        Addition::Nothing => {
            printer.say("Nothing to do: no key is new")?;
            return Ok(Exit::Success);
        }
        Addition::Added { pool, count } => (pool, count),
    };
    let of_pool = opened.file.keys().iter().filter(|key| key.pool == pool);
    let all = of_pool.clone().count();
    for key in of_pool.skip(all.saturating_sub(added)) {
        printer.say(format!(
            "{} {} to {}, which has {} now",
            printer::good("Added"),
            named(key),
            the_pool(&pool),
            count(all, "key")
        ))?;
    }
    written(&mut opened, &args.at.place, env, printer)
}

fn remove(
    keys: &NamedArgs,
    yes: bool,
    force: bool,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let mut opened = if yes {
        Opened::to_change(&keys.at, env)?
    } else {
        Opened::of(&keys.at, env)?
    };
    let found = match opened.find_all(&keys.keys) {
        Ok(found) => found,
        Err(why) => return refuse(why, printer),
    };
    if let Some(why) = opened.emptied_by(&found).filter(|_| !force).map(emptied) {
        return refuse(why, printer);
    }
    let gone = found
        .iter()
        .map(|at| opened.key(*at).cloned())
        .collect::<anyhow::Result<Vec<_>>>()?;
    if !yes {
        let names: Vec<String> = gone.iter().map(named).collect();
        if !prompt::is_possible() {
            return refuse(
                "`keys remove` asks before it removes a key, and there is no terminal to ask at; say `--yes`",
                printer,
            );
        }
        let question = format!("Remove {}? The file keeps no copy.", names.join(", "));
        if !prompt::yes(&question, false)? {
            printer.say("Nothing was changed.")?;
            return Ok(Exit::Failure);
        }
        if !opened.hold(&keys.at)? {
            return Err(keys::changed(&opened.path));
        }
    }
    for at in found.into_iter().rev() {
        opened.file.remove(at)?;
    }
    for key in &gone {
        printer.say(format!(
            "{} {} from {}",
            printer::good("Removed"),
            named(key),
            the_pool(&key.pool)
        ))?;
        if let Source::Keychain(name) = Source::of(key.written.expose()) {
            printer.note(format!(
                "the keychain still has it; `{}` removes it there",
                Keychain::of_system().removal(name)
            ));
        }
    }
    written(&mut opened, &keys.at.place, env, printer)
}

fn disable(
    keys: &NamedArgs,
    force: bool,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let mut opened = Opened::to_change(&keys.at, env)?;
    let found = match opened.find_all(&keys.keys) {
        Ok(found) => found,
        Err(why) => return refuse(why, printer),
    };
    if let Some(why) = opened.emptied_by(&found).filter(|_| !force).map(emptied) {
        return refuse(why, printer);
    }
    for at in found {
        change_one(&mut opened, at, &KeyChange::Disabled(true), printer)?;
    }
    written(&mut opened, &keys.at.place, env, printer)
}

/// That nothing would serve in a pool any more, and what that means.
fn emptied(pool: &str) -> String {
    format!(
        "{} would have no key left that serves: `start` refuses such a configuration, and a running proxy keeps \
         the one before; add or enable another key first, or say `--force`",
        the_pool(pool)
    )
}

/// Changes something about one key.
fn one(
    at: &AtArgs,
    key: &str,
    change: &KeyChange,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let mut opened = Opened::to_change(at, env)?;
    match opened.find(key) {
        Ok(found) => change_one(&mut opened, found, change, printer)?,
        Err(why) => return refuse(why, printer),
    }
    written(&mut opened, &at.place, env, printer)
}

fn change_one(
    opened: &mut Opened,
    at: usize,
    change: &KeyChange,
    printer: &Printer,
) -> anyhow::Result<()> {
    let before = opened.file.text();
    let was = named(opened.key(at)?);
    opened
        .file
        .change(at, change)
        .with_context(|| format!("cannot change {}", opened.path.display()))?;
    let is_same = opened.file.text() == before;
    let so = if is_same { "is already" } else { "is now" };
    let what = match change {
        KeyChange::Label(_) => format!("called {}", opened.key(at)?.label),
        KeyChange::Weight(weight) => format!("of weight {}", weight.unwrap_or(1)),
        KeyChange::Account(Some(account)) => format!("of the account {account}"),
        KeyChange::Account(None) => "of an account of its own".to_owned(),
        KeyChange::Disabled(true) => "disabled".to_owned(),
        KeyChange::Disabled(false) => "enabled".to_owned(),
    };
    printer.say(format!("{was} {so} {what}"))?;
    Ok(())
}

/// Writes the file, if it says anything else by now, and has the running proxy follow.
fn written(
    opened: &mut Opened,
    place: &PlaceArgs,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    if !opened.is_changed() {
        return Ok(Exit::Success);
    }
    opened.write()?;
    printer.say(format!(
        "{} {} (readable only by you)",
        printer::good("Updated"),
        opened.path.display()
    ))?;
    Opened::note_overrides(env, printer);
    follow(&opened.path, place, env, printer)
}

/// Has the running proxy read its configuration again, and says what came of it.
fn follow(
    path: &Path,
    place: &PlaceArgs,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    let (port, running) = running(place, env);
    let health = match running {
        Running::Ours(health) => health,
        Running::Other(why) => {
            printer.warn(why);
            return Ok(Exit::Success);
        }
        Running::Nobody => {
            printer.note(format!(
                "no proxy runs on port {port}; `api-key-lb start` will go by it"
            ));
            return Ok(Exit::Success);
        }
    };
    if !keys::is_of(&health, path) {
        printer.warn(format!(
            "the proxy on port {port} reads {}, which this does not change; name it with `--config`, or another \
             proxy with `--port`",
            health.config_file.as_deref().unwrap_or(NO_FILE)
        ));
        return Ok(Exit::Success);
    }
    let place = PlaceArgs {
        port: Some(port),
        ..place.clone()
    };
    let outcome = match reload::order(&place, printer)? {
        Ok(outcome) => outcome,
        Err(why) => {
            printer.warn(format!(
                "the file is changed, but the running proxy could not be told: {why}"
            ));
            return Ok(Exit::Failure);
        }
    };
    if let Some(why) = &outcome.error {
        printer.error(format!(
            "the file is changed, but the running proxy goes on with the configuration before: {why}"
        ));
        return Ok(Exit::Failure);
    }
    for text in &outcome.warnings {
        printer.warn(text);
    }
    printer.say(match outcome.applied.as_slice() {
        [] => "The running proxy goes by it".to_owned(),
        changes => format!("The running proxy goes by it: {}", changes.join("; ")),
    })?;
    Ok(Exit::Success)
}

/// Who runs where the configuration says.
enum Running {
    Ours(Box<Health>),
    /// Somebody who cannot follow, in words.
    Other(String),
    Nobody,
}

fn running(place: &PlaceArgs, env: &Environment) -> (u16, Running) {
    let contact = Config::contact_lenient(&place.flags(), env);
    let address = instance::address(&contact.hosts, contact.port);
    let port = contact.port;
    let running = match instance::ask_own(address, contact.client_tokens.first(), env) {
        Resident::Ours(told) => Running::Ours(Box::new(told.health)),
        Resident::Predecessor(_) => Running::Other(format!(
            "what runs on port {port} does not follow: {STOP_PREDECESSOR}"
        )),
        Resident::Guarded(reason) => Running::Other(format!(
            "the proxy on port {port} does not answer: {reason}; if it reads this file, it follows within a second"
        )),
        Resident::Nobody | Resident::Stranger => Running::Nobody,
    };
    (port, running)
}

fn test(args: &TestArgs, env: &Environment, printer: &Printer) -> anyhow::Result<Exit> {
    let check = CheckArgs {
        config: args.at.place.config.clone(),
        pool: args.at.pool.clone(),
        timeout: args.timeout,
        paid: false,
        model: None,
        json: args.json,
    };
    if args.keys.is_empty() {
        return super::check::run(&check, printer);
    }
    let mut opened = Opened::of(&args.at, env)?;
    let found = match opened.find_all(&args.keys) {
        Ok(found) => found,
        Err(why) => return refuse(why, printer),
    };
    let mut wanted = BTreeSet::new();
    for at in found {
        wanted.insert(opened.key(at)?.label.clone());
        // Whoever asks about a disabled key wants to know whether it would serve.
        opened.file.change(at, &KeyChange::Disabled(false))?;
    }
    let flags = args.at.place.flags();
    let config = match Config::of_keys_in(&opened.path, &opened.file.text(), &flags, env) {
        Ok(config) => config,
        Err(error) => return refuse(error, printer),
    };
    let keys = match super::check::chosen(&config, args.at.pool.as_deref()) {
        Ok(keys) => keys,
        Err(why) => return refuse(why, printer),
    };
    let keys: Vec<_> = keys
        .into_iter()
        .filter(|(_, key)| wanted.contains(&key.label))
        .collect();
    anyhow::ensure!(
        !keys.is_empty(),
        "this key is in the file a second time; ask about the other one, or about all"
    );
    super::check::ask(&config, &keys, std::iter::empty(), &check, printer)
}
