//! `api-key-lb check`: asks each key's provider, for free, whether it is valid, whose it is and what is left.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::config::DisabledKey;
use api_key_lb_control::{Config, Environment, Flags};
use api_key_lb_core::plan::Key;
use api_key_lb_engine::probe::Prober;
use tokio::runtime::{Builder, LocalOptions};

use crate::args::CheckArgs;
use crate::check::{self, Inquiry, KeyReport, Report};
use crate::exit::Exit;
use crate::keys::DEFAULT_POOL;
use crate::printer::Printer;
use crate::render::count;

/// Runs the command.
pub(super) fn run(args: &CheckArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let flags = Flags {
        config: args.config.clone(),
        ..Flags::default()
    };
    let config = match Config::load(&flags, &env) {
        Ok(config) => config,
        Err(error) => {
            printer.error(error);
            return Ok(Exit::Usage);
        }
    };
    super::print_notes(&config, printer);
    let keys = match chosen(&config, args.pool.as_deref()) {
        Ok(keys) => keys,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Usage);
        }
    };
    let is_wanted = |pool: &str| is_wanted(args.pool.as_deref(), pool);
    let off = config.disabled.iter().filter(|key| is_wanted(&key.pool));
    ask(&config, &keys, off, args, printer)
}

/// Asks about these keys and says what came of it; those that are `off` are shown as such.
pub(super) fn ask<'p>(
    config: &'p Config,
    keys: &[(&'p str, &'p Key)],
    off: impl Iterator<Item = &'p DisabledKey>,
    args: &CheckArgs,
    printer: &Printer,
) -> anyhow::Result<Exit> {
    if let Some(model) = args.model.as_deref().filter(|_| args.paid) {
        printer.warn(format!(
            "`--paid` costs: it has `{model}` generate one token with {}",
            count(keys.len(), "key")
        ));
    }
    let inquiry = Inquiry {
        prober: Prober::new(&config.plan, config.ca_file.as_deref())?,
        timeout: Duration::from_secs(args.timeout),
        paid: args.model.clone().filter(|_| args.paid),
        error_rules: config.plan.error_rules.clone(),
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("cannot wait for answers")?;
    let checked = runtime.block_on(check::ask_all(keys, inquiry, |finished| {
        printer.progress(check::progress(finished, check::now().unix_millis()));
    }));
    // A name server that does not answer would hold the end up.
    runtime.shutdown_background();
    let now = check::now().unix_millis();
    let mut report = Report::of(&checked, &config.accounts, now);
    report.keys.extend(off.map(KeyReport::disabled));
    if args.json {
        printer.answer(serde_json::to_string_pretty(&report)?)?;
    } else {
        printer.answer(check::table(&report, now))?;
        for warning in &report.warnings {
            printer.warn(&warning.text);
        }
    }
    Ok(if report.usable {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// Whether a pool is one that somebody has asked about.
fn is_wanted(asked: Option<&str>, pool: &str) -> bool {
    match asked {
        None => true,
        Some(DEFAULT_POOL) if pool.is_empty() => true,
        Some(name) => name == pool,
    }
}

/// The keys to ask about, each once, with the names of their pools; the error is for a person.
pub(super) fn chosen<'p>(
    config: &'p Config,
    pool: Option<&str>,
) -> Result<Vec<(&'p str, &'p Key)>, String> {
    let plan = &config.plan;
    let wanted = |name: &str| is_wanted(pool, name);
    // A key in two pools is one key.
    let mut seen = HashSet::new();
    let keys: Vec<_> = plan
        .pools()
        .filter(|pool| wanted(&pool.name))
        .flat_map(|pool| pool.keys.iter().map(|key| (pool.name.as_str(), key)))
        .filter(|(_, key)| seen.insert(key.id))
        .collect();
    if keys.is_empty() {
        let names: Vec<&str> = plan
            .pools()
            .map(|pool| match pool.name.as_str() {
                "" => DEFAULT_POOL,
                name => name,
            })
            .collect();
        return Err(format!(
            "there is no pool called `{}`; there is {}",
            pool.unwrap_or_default(),
            names.join(", ")
        ));
    }
    Ok(keys)
}
