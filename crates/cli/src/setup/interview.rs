//! The first run of `setup` at a terminal: which provider, which keys, each tried at once.

use std::time::Duration;

use api_key_lb_control::Environment;
use api_key_lb_control::setup_file::{SetupChanges, key_problem};
use api_key_lb_core::Secret;
use api_key_lb_core::target::Target;

use crate::printer::{self, Printer, faint, strong};
use crate::prompt;
use crate::render::count;

use super::probe;
use super::providers::{self, OFFERS, Offer};

/// How long one key may take while a person waits.
const PROBE: Duration = Duration::from_secs(5);

/// What to write, as answered; what `given` says already is not asked.
///
/// # Errors
/// If the input ends before everything was answered.
pub(crate) fn interview(
    given: &SetupChanges,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<SetupChanges> {
    printer.say(format!(
        "{}\nSeveral keys of one provider become one key with all their quota. Ctrl-C leaves everything as it is.\n",
        strong("api-key-lb setup")
    ))?;
    let target = match &given.target {
        Some(target) => target.clone(),
        None => which_provider(printer)?,
    };
    let keys = match &given.keys {
        Some(keys) => keys.clone(),
        None => which_keys(&target, env, printer)?,
    };
    Ok(SetupChanges {
        keys: Some(keys),
        target: Some(target),
        port: given.port,
    })
}

fn which_provider(printer: &Printer) -> anyhow::Result<String> {
    printer.say("Whose keys are they?")?;
    let widest = OFFERS
        .iter()
        .map(|offer| offer.name.len())
        .max()
        .unwrap_or(0);
    for (number, offer) in OFFERS.iter().enumerate() {
        printer.say(format!(
            "  {:>2}  {:<widest$}  {}",
            number + 1,
            offer.name,
            faint(offer.target)
        ))?;
    }
    let (target, offer) = prompt::line(
        "Number, name, or the base URL of another one",
        Some("1"),
        chosen,
    )?;
    match offer {
        Some(offer) => printer.say(format!("{}\n", offer.pooling()))?,
        None => printer.say(
            "Keys of one account share its limits and add no quota; whether the provider's terms allow several \
             accounts is for you to read.\n",
        )?,
    }
    Ok(target)
}

fn chosen(answer: &str) -> Result<(String, Option<Offer>), String> {
    if let Some(offer) = providers::called(answer) {
        return Ok((offer.target.to_owned(), Some(offer)));
    }
    if answer.contains("://") {
        return match Target::parse(answer) {
            Ok(_) => Ok((answer.to_owned(), None)),
            Err(error) => Err(error.to_string()),
        };
    }
    Err(format!(
        "type a number from 1 to {}, one of the names, or a base URL such as https://llm.example.com",
        OFFERS.len()
    ))
}

fn which_keys(target: &str, env: &Environment, printer: &Printer) -> anyhow::Result<String> {
    let mut keys: Vec<Secret> = Vec::new();
    loop {
        let number = keys.len() + 1;
        let question = match keys.len() {
            0 => format!("Key {number}"),
            _ => format!("Key {number}, or Enter if that is all"),
        };
        let Some(key) = prompt::secret(&question)? else {
            if keys.is_empty() {
                printer.note("at least one key is needed; paste it and press Enter");
                continue;
            }
            break;
        };
        // Several pasted at once, separated by commas, as `--keys` takes them.
        for key in key.expose().split([',', ' ']).filter(|key| !key.is_empty()) {
            take(key, &mut keys, target, env, printer)?;
        }
    }
    if keys.len() == 1 {
        printer.note("one key is no pool yet; add more at any time with `api-key-lb keys add`");
    }
    let all: Vec<&str> = keys.iter().map(Secret::expose).collect();
    let all = all.join(",");
    if keys.len() > 1 {
        for warning in probe::likeness(&all, target, env, PROBE) {
            printer.warn(warning);
        }
    }
    printer.say(format!("{}\n", printer::good(count(keys.len(), "key"))))?;
    Ok(all)
}

/// Tries a key and takes it, unless it cannot be one, is there already, or is refused and not wanted then.
fn take(
    key: &str,
    keys: &mut Vec<Secret>,
    target: &str,
    env: &Environment,
    printer: &Printer,
) -> anyhow::Result<()> {
    let secret = Secret::new(key.to_owned());
    if let Some(problem) = key_problem(key) {
        printer.warn(problem);
    } else if keys.iter().any(|known| known.matches(key.as_bytes())) {
        printer.note("this one is there already");
    } else {
        let verdict = probe::one(key, target, env, PROBE);
        printer.say(format!("  {}", verdict.text))?;
        if !verdict.refused || prompt::yes("Keep it anyway?", false)? {
            keys.push(secret);
        }
    }
    Ok(())
}
