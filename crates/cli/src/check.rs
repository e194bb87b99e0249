//! What `check` finds out about the configured keys, as it is printed for programs and kept for people.

mod ask;
mod text;
mod twins;

use std::collections::BTreeMap;
use std::time::Duration;

use api_key_lb_control::config::DisabledKey;
use api_key_lb_core::headroom::Axis;
use api_key_lb_core::plan::{AccountId, Key};
use api_key_lb_core::wire::probe::{self, Left, Standing, Told};
use serde::Serialize;

pub(crate) use ask::{Inquiry, ask_all, now};
pub(crate) use text::{progress, table};

/// The state of a key that must not serve.
pub(crate) const DISABLED: &str = "disabled";
/// Longest reason that is shown, in characters.
const MOST_REASON: usize = 200;
/// Longest name of an account, a plan or a window that is shown, in characters.
const MOST_NAME: usize = 64;

/// A configured key and what was found out about it.
#[derive(Debug)]
pub(crate) struct Checked<'p> {
    /// The name of its pool; empty for the default one.
    pub(crate) pool: &'p str,
    /// The key.
    pub(crate) key: &'p Key,
    /// What its provider told, as it came.
    pub(crate) told: Told,
    /// How long the answer took.
    pub(crate) took: Duration,
}

/// Everything that was found out. The fields are documented in `docs/check.md` and stay.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether every key that is not disabled serves, now or when its limit is over.
    pub(crate) usable: bool,
    pub(crate) keys: Vec<KeyReport>,
    pub(crate) warnings: Vec<Warning>,
}

/// One key.
#[derive(Debug, Serialize)]
pub(crate) struct KeyReport {
    pub(crate) label: String,
    pub(crate) pool: String,
    pub(crate) target: String,
    pub(crate) provider: &'static str,
    pub(crate) state: &'static str,
    pub(crate) usable: bool,
    pub(crate) until_ms: Option<u64>,
    pub(crate) reason: Option<String>,
    pub(crate) owners: Vec<OwnerReport>,
    pub(crate) plan: Option<String>,
    pub(crate) left: Vec<LeftReport>,
    pub(crate) took_ms: u64,
    #[serde(skip)]
    pub(crate) standing: Option<Standing>,
}

/// Something that a key belongs to.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OwnerReport {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
}

/// Something that is left.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum LeftReport {
    /// A limit that the headers state.
    Limit {
        name: &'static str,
        remaining: u64,
        limit: Option<u64>,
        reset_ms: Option<u64>,
    },
    /// A window of a subscription.
    Window {
        name: String,
        percent_left: f64,
        reset_ms: Option<u64>,
    },
    /// Money.
    Money {
        name: &'static str,
        amount: String,
        currency: Option<String>,
        of: Option<String>,
        renewed: Option<String>,
    },
}

/// Something to do something about.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    pub(crate) code: &'static str,
    /// The labels of the keys it is about.
    pub(crate) keys: Vec<String>,
    pub(crate) text: String,
}

impl Report {
    /// Of what was found out; `names` are those of the configured accounts, `now` is in
    /// milliseconds since the epoch.
    pub(crate) fn of(
        checked: &[Checked<'_>],
        names: &BTreeMap<AccountId, String>,
        now: u64,
    ) -> Self {
        let keys: Vec<KeyReport> = checked.iter().map(KeyReport::of).collect();
        let mut warnings = text::warnings(&keys, now);
        warnings.extend(twins::warnings(checked, names));
        Self {
            usable: keys.iter().all(|key| key.usable),
            keys,
            warnings,
        }
    }
}

impl KeyReport {
    /// One that must not serve, and so was not asked about.
    pub(crate) fn disabled(key: &DisabledKey) -> Self {
        Self {
            label: key.label.clone(),
            pool: key.pool.clone(),
            target: key.target.to_string(),
            provider: key.target.provider().name,
            state: DISABLED,
            usable: false,
            until_ms: None,
            reason: None,
            owners: Vec::new(),
            plan: None,
            left: Vec::new(),
            took_ms: 0,
            standing: None,
        }
    }

    /// Everything that a provider wrote is made fit to be shown here, and nowhere later.
    fn of(checked: &Checked<'_>) -> Self {
        let Checked { key, told, .. } = checked;
        let shown = |text: &str, most| probe::quotable(text, key.secret.expose(), most);
        let name = |text: &String| shown(text, MOST_NAME);
        Self {
            label: key.label.clone(),
            pool: checked.pool.to_owned(),
            target: key.target.to_string(),
            provider: key.target.provider().name,
            state: told.standing.as_str(),
            usable: told.standing.is_usable(),
            until_ms: told.until.map(|until| until.unix_millis()),
            reason: told.reason.as_deref().map(|text| shown(text, MOST_REASON)),
            owners: told
                .owners
                .iter()
                .map(|owner| OwnerReport {
                    kind: owner.kind,
                    id: name(&owner.id),
                })
                .collect(),
            plan: told.plan.as_ref().map(name),
            left: told
                .left
                .iter()
                .map(|left| left_report(left, &name))
                .collect(),
            took_ms: u64::try_from(checked.took.as_millis()).unwrap_or(u64::MAX),
            standing: Some(told.standing),
        }
    }
}

fn left_report(left: &Left, name: &dyn Fn(&String) -> String) -> LeftReport {
    match left {
        Left::Bucket(bucket) if bucket.axis == Axis::Window => LeftReport::Window {
            name: "window".to_owned(),
            // Thousandths.
            percent_left: f64::from(u32::try_from(bucket.remaining).unwrap_or(u32::MAX)) / 10.0,
            reset_ms: bucket.reset.map(|reset| reset.unix_millis()),
        },
        Left::Bucket(bucket) => LeftReport::Limit {
            name: match bucket.axis {
                Axis::Requests => "requests",
                Axis::Tokens | Axis::Window => "tokens",
                Axis::InputTokens => "input tokens",
                Axis::OutputTokens => "output tokens",
            },
            remaining: bucket.remaining,
            limit: bucket.limit,
            reset_ms: bucket.reset.map(|reset| reset.unix_millis()),
        },
        Left::Window(window) => LeftReport::Window {
            name: name(&window.name),
            percent_left: window.percent_left,
            reset_ms: window.reset.map(|reset| reset.unix_millis()),
        },
        Left::Money(money) => LeftReport::Money {
            name: money.name,
            amount: name(&money.amount),
            currency: money.currency.as_ref().map(name),
            of: money.of.as_ref().map(name),
            renewed: money.renewed.as_ref().map(name),
        },
    }
}
