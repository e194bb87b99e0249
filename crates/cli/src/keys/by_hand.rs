//! Keys that the dashboard has disabled: the running proxy knows that, the file does not.

use std::path::Path;
use std::time::Duration;

use api_key_lb_control::health::Health;
use api_key_lb_control::{Config, Environment};

use super::{Opened, named};
use crate::args::PlaceArgs;
use crate::instance::{self, Resident};
use crate::printer::Printer;
use crate::setup::files::same_file;

/// What such a key is called in `/health`.
const DISABLED: &str = "disabled";
/// How long the proxy may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Its answer if it has done it.
const DONE: u16 = 200;

/// Whether a proxy reads the file at `path`.
pub(crate) fn is_of(health: &Health, path: &Path) -> bool {
    let file = health.config_file.as_deref().map(Path::new);
    file.is_some_and(|file| same_file(file, path))
}

/// Lets those of the keys at `found` serve again that the running proxy still has disabled.
///
/// # Errors
/// If nothing can be printed. A proxy that does not answer is said.
pub(crate) fn enable_by_hand(
    opened: &Opened,
    found: &[usize],
    place: &PlaceArgs,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<()> {
    let contact = Config::contact_lenient(&place.flags(), env);
    let address = instance::address(&contact.hosts, contact.port);
    let token = contact.client_tokens.first();
    let (Resident::Ours(told), Some(noted), _) = instance::meet(address, token, env, printer)
    else {
        return Ok(());
    };
    // The token is for the one that noted it, whoever else answers there by now.
    let is_noted = told.health.instance.as_ref() == Some(&noted.instance);
    if !is_noted || !is_of(&told.health, &opened.path) {
        return Ok(());
    }
    for at in found {
        let key = opened.key(*at)?;
        let told = told.health.keys.iter().find(|told| {
            told.status == DISABLED
                && told.label.as_deref() == Some(&key.label)
                && told.pool.as_deref() == Some(&key.pool)
        });
        let Some(fingerprint) = told.and_then(|told| told.fingerprint.as_deref()) else {
            continue;
        };
        let path = format!("/_lb/keys/{fingerprint}/enable");
        match instance::command(address, token, &noted, &path, b"", PATIENCE) {
            Ok(answer) if answer.status == DONE => printer.say(format!(
                "The running proxy, where {} was disabled in the dashboard, lets it serve again",
                named(key)
            ))?,
            Ok(answer) => printer.warn(format!(
                "the running proxy has {} disabled and did not change that (status {})",
                named(key),
                answer.status
            )),
            Err(error) => printer.warn(format!(
                "the running proxy has {} disabled and could not be told: {error}",
                named(key)
            )),
        }
    }
    Ok(())
}
