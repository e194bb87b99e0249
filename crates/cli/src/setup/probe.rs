//! Tries keys at their provider while they are set up: free questions, seconds at most, and only to warn.

use std::path::Path;
use std::time::Duration;

use api_key_lb_control::{Config, Environment};
use api_key_lb_core::plan::{Key, Plan};
use api_key_lb_core::wire::probe::Standing;
use api_key_lb_engine::probe::Prober;
use serde_json::json;
use tokio::runtime::{Builder, LocalOptions};

use crate::check::{self, Inquiry, KeyReport, Report};

/// What the provider says of a key.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// In a line, without the key.
    pub(crate) text: String,
    /// Whether it does not take the key.
    pub(crate) refused: bool,
}

/// Asks about one key.
pub(crate) fn one(key: &str, target: &str, env: &Environment, timeout: Duration) -> Verdict {
    let asked = with_config(key, target, env, |config| Some(ask(config, timeout)));
    let Some(Asked { report, lines }) = asked.filter(|asked| !asked.lines.is_empty()) else {
        return Verdict {
            text: "it could not be tried; `api-key-lb check` says why".to_owned(),
            refused: false,
        };
    };
    Verdict {
        refused: report.is_some_and(|report| report.keys.iter().any(is_refused)),
        text: lines.join("\n  "),
    }
}

/// What makes several of `keys` (separated by commas) look like one account.
pub(crate) fn likeness(
    keys: &str,
    target: &str,
    env: &Environment,
    timeout: Duration,
) -> Vec<String> {
    with_config(keys, target, env, |config| ask(config, timeout).report)
        .map(|report| {
            report
                .warnings
                .into_iter()
                .map(|warning| warning.text)
                .collect()
        })
        .unwrap_or_default()
}

/// What was found out.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// `None` if the time was over before all had answered.
    pub(crate) report: Option<Report>,
    /// A line for each key that has been asked about, as each was done.
    pub(crate) lines: Vec<String>,
}

/// Whether the provider does not take the key, as opposed to: cannot be reached, has no more for it now.
fn is_refused(key: &KeyReport) -> bool {
    key.standing == Some(Standing::Refused)
}

/// Asks about every key of a configuration, within `timeout` for all of them.
pub(crate) fn ask(config: &Config, timeout: Duration) -> Asked {
    let keys = keys(&config.plan);
    let Ok(prober) = Prober::new(&config.plan, config.ca_file.as_deref()) else {
        return Asked::default();
    };
    let inquiry = Inquiry {
        prober,
        timeout,
        paid: None,
        error_rules: config.plan.error_rules.clone(),
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let Ok(runtime) = runtime else {
        return Asked::default();
    };
    let now = check::now().unix_millis();
    let mut lines = Vec::new();
    let checked = runtime.block_on(async {
        let all = check::ask_all(&keys, inquiry, |finished| {
            lines.push(check::progress(finished, now))
        });
        tokio::time::timeout(timeout, all).await
    });
    // A name server that does not answer would hold the end up.
    runtime.shutdown_background();
    Asked {
        report: checked
            .ok()
            .map(|checked| Report::of(&checked, &config.accounts, now)),
        lines,
    }
}

fn keys(plan: &Plan) -> Vec<(&str, &Key)> {
    plan.pools()
        .flat_map(|pool| pool.keys.iter().map(|key| (pool.name.as_str(), key)))
        .collect()
}

/// A configuration of these keys and nothing else, for as long as `then` takes.
fn with_config<T>(
    keys: &str,
    target: &str,
    env: &Environment,
    then: impl FnOnce(&Config) -> Option<T>,
) -> Option<T> {
    let text = json!({ "keys": keys, "target": target }).to_string();
    let config = Config::of_text(Path::new("setup"), &text, env).ok()?;
    then(&config)
}
