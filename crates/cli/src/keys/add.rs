//! Adds keys: each is looked at first, so that nothing is written that cannot serve without a word about it.

use std::path::Path;
use std::time::Duration;

use api_key_lb_control::config::{DEFAULT_TARGET, peek};
use api_key_lb_control::key_file::NewKey;
use api_key_lb_control::keychain::{Keychain, KeychainError};
use api_key_lb_control::{Config, Environment};
use api_key_lb_core::Secret;
use api_key_lb_core::wire::probe::Standing;
use serde_json::{Value, json};

use super::args::AddArgs;
use super::file::{Opened, changed};
use super::given::{given, has_source};
use super::naming::{named, the_pool};
use crate::check::Report;
use crate::printer::Printer;
use crate::prompt;
use crate::setup::probe;

/// How long trying the keys may hold somebody up.
const PROBE: Duration = Duration::from_secs(5);

/// What a key is called while it is tried, if it has no label.
const NEW_LABEL: &str = "new-key";

/// What came of adding keys.
#[derive(Debug)]
pub(crate) enum Addition {
    /// So many stand at the end of this pool now.
    Added {
        /// Its name.
        pool: String,
        /// How many.
        count: usize,
    },
    /// Every one of them is there already, which has been said.
    Nothing,
    /// The command line lacks something, in words.
    Usage(String),
}

/// A key to be added, and the secret itself as far as it is known.
struct Candidate {
    written: Secret,
    secret: Option<Secret>,
}

/// Adds what is given to the file, which is not written yet.
pub(crate) fn add(
    args: &AddArgs,
    opened: &mut Opened,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Addition> {
    if let Some(why) = args.label.as_deref().and_then(|label| opened.taken(label)) {
        return Ok(Addition::Usage(why));
    }
    let pool = match opened.pool_for_new() {
        Ok(pool) => pool.to_owned(),
        Err(why) => return Ok(Addition::Usage(why)),
    };
    // Before anybody types: the key would be shown to whoever is the default.
    let Some(about) = about_pool(opened, &pool, env) else {
        anyhow::bail!(
            "{} names no provider for {}, so nobody knows whose keys these are; add \"target\": \
             \"{DEFAULT_TARGET}\" (or your provider's URL) to it, or run `api-key-lb setup`",
            opened.path.display(),
            the_pool(&pool)
        );
    };
    let candidates = match &args.keychain {
        Some(name) => match from_keychain(name, args, env, printer)? {
            Some(candidate) => vec![candidate],
            None => return Ok(Addition::Usage(nobody_to_ask())),
        },
        None => match given(args, env, printer)? {
            Some(keys) => keys
                .into_iter()
                .map(|written| Candidate {
                    secret: peek(written.expose(), &opened.path, env),
                    written,
                })
                .collect(),
            None => return Ok(Addition::Usage(nobody_to_ask())),
        },
    };
    if candidates.len() > 1 && args.label.is_some() {
        return Ok(Addition::Usage(format!(
            "`--label` is for one key, and these are {}; add them without, and use `api-key-lb keys label`",
            candidates.len()
        )));
    }
    let mut looked_at = Vec::new();
    for mut candidate in candidates {
        if said_to_be_there(&candidate, opened, &pool, env, printer) {
            continue;
        }
        if !args.no_check {
            let told = tried(&candidate, args, (&about, &opened.path), env, printer)?;
            if candidate.secret.is_none() {
                candidate.secret = told;
            }
        }
        if let (Some(name), Some(secret)) = (&args.keychain, &candidate.secret) {
            keep(name, secret, env, printer)?;
        }
        looked_at.push(candidate);
    }
    // People, providers and keychains take their time, and others must not wait for them: what has become of
    // the file meanwhile is looked at anew.
    if !looked_at.is_empty() && !opened.hold(&args.at)? {
        if let Some(why) = args.label.as_deref().and_then(|label| opened.taken(label)) {
            return Ok(Addition::Usage(why));
        }
        if about_pool(opened, &pool, env).as_ref() != Some(&about) {
            return Err(changed(&opened.path));
        }
    }
    let mut count = 0;
    for candidate in looked_at {
        if said_to_be_there(&candidate, opened, &pool, env, printer) {
            continue;
        }
        let new = NewKey {
            written: candidate.written,
            label: args.label.clone(),
            weight: args.weight,
            account: args.account.clone(),
        };
        opened.file.add(&pool, &new)?;
        count += 1;
    }
    Ok(match count {
        0 => Addition::Nothing,
        count => Addition::Added { pool, count },
    })
}

fn nobody_to_ask() -> String {
    "no key was given, and there is no terminal to ask at; pipe it (`api-key-lb keys add --stdin`), or say where \
     it is: --file PATH, --env NAME, --command COMMAND, --keychain NAME"
        .to_owned()
}

/// What a configuration of one key of this pool says besides the key; `None` if nobody has said where it is valid.
fn about_pool(opened: &Opened, pool: &str, env: &Environment) -> Option<Value> {
    let said = |name| opened.file.setting(pool, name);
    let has_keys = || opened.file.keys().iter().any(|key| key.pool == pool);
    let target = match pool {
        "" => env
            .var("TARGET")
            .map(str::to_owned)
            .or_else(|| said("target")),
        _ => said("target"),
    };
    let target = target.or_else(|| has_keys().then(|| DEFAULT_TARGET.to_owned()))?;
    let mut about = json!({ "target": target });
    if let Some(provider) = said("provider") {
        about["provider"] = provider.into();
    }
    if let Some(file) = opened.file.setting("", "ca_file") {
        about["ca_file"] = file.into();
    }
    Some(about)
}

/// What shall be in the keychain, or is; `None` if it is not and there is nobody to ask.
fn from_keychain(
    name: &str,
    args: &AddArgs,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Option<Candidate>> {
    let kept = match Keychain::of_system().lookup(name, env) {
        Ok(secret) => Some(secret),
        Err(KeychainError::NotThere(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let is_given = has_source(args);
    anyhow::ensure!(
        args.file.is_none() || args.copy,
        "with `--keychain`, `--file` needs `--copy`: the key cannot be in both"
    );
    let secret = match kept {
        Some(kept) if !is_given => {
            printer.note(format!(
                "the keychain has a key called `{name}` already, which is used"
            ));
            kept
        }
        kept => {
            let Some(mut keys) = given(args, env, printer)? else {
                return Ok(None);
            };
            anyhow::ensure!(keys.len() == 1, "a name in the keychain is that of one key");
            let Some(key) = keys.pop() else {
                return Ok(None);
            };
            if let Some(kept) = kept
                && !kept.matches(key.expose().as_bytes())
            {
                anyhow::bail!(
                    "the keychain has another key called `{name}` already; choose another name, or remove it with `{}`",
                    Keychain::of_system().removal(name)
                );
            }
            key
        }
    };
    Ok(Some(Candidate {
        written: Secret::new(format!("keychain:{name}")),
        secret: Some(secret),
    }))
}

fn keep(name: &str, secret: &Secret, env: &Environment, printer: &Printer) -> anyhow::Result<()> {
    let keychain = Keychain::of_system();
    if matches!(keychain.lookup(name, env), Ok(kept) if kept.matches(secret.expose().as_bytes())) {
        return Ok(());
    }
    keychain.store(name, secret, env)?;
    printer.say(format!("Put the key into the keychain as `{name}`"))?;
    Ok(())
}

/// Says so if a key is in the pool already.
fn said_to_be_there(
    candidate: &Candidate,
    opened: &Opened,
    pool: &str,
    env: &Environment,
    printer: &Printer,
) -> bool {
    let same = |known: &Secret| {
        known.matches(candidate.written.expose().as_bytes())
            || candidate.secret.as_ref().is_some_and(|secret| {
                peek(known.expose(), &opened.path, env)
                    .is_some_and(|known| known.matches(secret.expose().as_bytes()))
            })
    };
    let mut keys = opened.file.keys().iter();
    let Some(known) = keys.find(|key| key.pool == pool && same(&key.written)) else {
        return false;
    };
    let hint = if known.disabled {
        format!(
            ", disabled; `api-key-lb keys enable {}` lets it serve again",
            known.label
        )
    } else {
        String::new()
    };
    printer.note(format!(
        "{} holds this key already, as {}{hint}",
        the_pool(pool),
        named(known)
    ));
    true
}

/// Whether its provider does not take a key, as opposed to: cannot be reached, has no more for it now.
fn is_refused(report: &Report) -> bool {
    report
        .keys
        .iter()
        .any(|key| key.standing == Some(Standing::Refused))
}

/// Whether there is such a key, and what its provider says of it; that only warns.
fn tried(
    candidate: &Candidate,
    args: &AddArgs,
    (about, path): (&Value, &Path),
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<Option<Secret>> {
    let secret = candidate.secret.as_ref().unwrap_or(&candidate.written);
    let label = args.label.as_deref().unwrap_or(NEW_LABEL);
    let key = json!({ "key": secret.expose(), "label": label });
    let mut text = about.clone();
    text["keys"] = json!([key]);
    let config = match Config::of_text(path, &text.to_string(), env) {
        Ok(config) => config,
        Err(error) => {
            // Where it stands means nothing to people: it is in no file yet.
            let problems: Vec<String> = error
                .problems
                .into_iter()
                .map(|problem| problem.text)
                .collect();
            anyhow::bail!(
                "{}; nothing was changed (`--no-check` adds it nevertheless)",
                problems.join("; ")
            );
        }
    };
    let told = config.plan.pools().flat_map(|pool| &pool.keys).next();
    let told = told.map(|key| key.secret.clone());
    printer.progress(format!(
        "Trying it at {} …",
        about["target"].as_str().unwrap_or("its provider")
    ));
    let asked = probe::ask(&config, PROBE);
    let is_refused = asked.report.as_ref().is_some_and(is_refused);
    match asked.report {
        Some(report) if report.usable => {
            for line in &asked.lines {
                printer.say(format!("  {line}"))?;
            }
        }
        Some(report) => {
            for warning in &report.warnings {
                printer.warn(&warning.text);
            }
        }
        None => printer.warn(format!(
            "its provider has not answered within {} s; `api-key-lb keys test` takes its time",
            PROBE.as_secs()
        )),
    }
    if is_refused && prompt::is_possible() && !prompt::yes("Add it nevertheless?", false)? {
        anyhow::bail!("nothing was changed");
    }
    Ok(told)
}
