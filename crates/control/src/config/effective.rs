//! What counts in the end: each value with where it came from, however much of the rest is wrong.

use std::path::PathBuf;

use api_key_lb_core::target::mask_credentials;
use serde_json::Value;

use super::environment::{Environment, Flags};
use super::field::{FIELDS, Field, KEY_FIELDS, Kind, Usual, named};
use super::finding::{Findings, Note, Place, Problem, Sourced};
use super::otlp::OtlpEntry;
use super::sheet::{KeyEntry, Sheet, number, yes_or_no};
use super::{Config, DEFAULT_TARGET, credential, prices};

/// Fields at the top of the file that are shown with the default pool.
const OF_THE_POOL: &[&str] = &["target", "provider", "keys", "pools"];
/// Fields whose values are secrets, or say where secrets are.
const SECRETS: &[&str] = &["client_tokens"];

/// Everything that counts.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The file that was read, or should have been.
    pub file: Option<PathBuf>,
    /// Every file that was read, or looked for.
    pub files: Vec<PathBuf>,
    /// Every setting that is about all pools.
    pub settings: Vec<Setting>,
    /// The pools, the default one first.
    pub pools: Vec<EffectivePool>,
    /// What keeps it from starting.
    pub problems: Vec<Problem>,
    /// What else was noticed.
    pub notes: Vec<Note>,
    /// What would be started, if nothing is wrong.
    pub config: Option<Config>,
}

/// A setting, its value and where that came from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name in the file.
    pub name: &'static str,
    /// Its value, fit to be shown; nothing if it has none, or none that can be used.
    pub value: Option<Value>,
    /// What counts where there is no value to be shown.
    pub words: Option<&'static str>,
    /// Where it was given.
    pub place: Place,
    /// Whether something is wrong with it, which is among the problems.
    pub wrong: bool,
}

/// A pool.
#[derive(Clone, Debug)]
pub struct EffectivePool {
    /// Its name; empty for the default pool.
    pub name: String,
    /// `target` and `provider`.
    pub settings: Vec<Setting>,
    /// Its keys, as they were written.
    pub keys: Vec<EffectiveKey>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct EffectiveKey {
    /// What it is called, if it can be used.
    pub label: Option<String>,
    /// Its mask, or where it is.
    pub key: String,
    /// What else is said of it, by the name of the field.
    pub rest: Vec<(&'static str, Value)>,
    /// Where it was given.
    pub place: Place,
    /// Whether something is wrong with it, which is among the problems.
    pub wrong: bool,
}

impl Effective {
    /// What a start with these flags in this environment would go by.
    pub fn of(flags: &Flags, env: &Environment) -> Self {
        let mut findings = Findings::default();
        let read = Config::read(flags, env, &mut findings);
        let mut effective = Self {
            file: None,
            files: Vec::new(),
            settings: Vec::new(),
            pools: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            config: None,
        };
        // What flags and variables say counts even if the file cannot be read.
        let (file, sheet) = read.unwrap_or_else(|| {
            let mut sheet = Sheet::default();
            sheet.overlay(flags, env);
            (None, sheet)
        });
        let is_readable = findings.problems.is_empty() || file.is_some();
        effective.settings = FIELDS
            .iter()
            .filter(|field| !OF_THE_POOL.contains(&field.name))
            .filter(|field| !matches!(field.kind, Kind::Ignored))
            .map(|field| setting(field, &sheet))
            .collect();
        effective.pools = pools(&sheet);
        if is_readable {
            let config = Config::assemble(file.as_deref(), sheet, env, &mut findings);
            if let Some(config) = &config {
                effective.complete(config);
            }
            effective.config = config.filter(|_| findings.problems.is_empty());
        }
        // One that cannot be read is the one that was meant all the same.
        effective.file = file.or_else(|| findings.files.first().cloned());
        effective.notes = std::mem::take(&mut findings.notes);
        effective.files = findings.files.clone();
        if let Some(config) = &mut effective.config {
            config.notes.clone_from(&effective.notes);
            config.files.clone_from(&effective.files);
        }
        effective.problems = findings.into_error().problems;
        effective.mark_wrong();
        effective
    }

    /// What only loading tells: names of keys, and defaults that depend on the machine.
    fn complete(&mut self, config: &Config) {
        for called in &config.called {
            let pool = self.pools.iter_mut().find(|pool| pool.name == called.pool);
            if let Some(key) = pool.and_then(|pool| pool.keys.get_mut(called.index)) {
                key.label = Some(called.label.clone());
            }
        }
        for setting in &mut self.settings {
            if setting.place != Place::Default {
                continue;
            }
            setting.value = match setting.name {
                "workers" => Some(config.workers.into()),
                "host" => {
                    let hosts = config.listen.hosts.iter().map(ToString::to_string);
                    Some(hosts.collect::<Vec<_>>().into())
                }
                _ => continue,
            };
        }
    }

    /// Hides values that something is wrong with: they may be a secret that went astray.
    fn mark_wrong(&mut self) {
        let problems = &self.problems;
        let is_wrong = |place: &Place| {
            *place != Place::Default
                && problems
                    .iter()
                    .any(|problem| problem.place.as_ref() == Some(place))
        };
        let in_pools = self.pools.iter_mut().flat_map(|pool| &mut pool.settings);
        for setting in self.settings.iter_mut().chain(in_pools) {
            if is_wrong(&setting.place) {
                setting.wrong = true;
                setting.value = None;
            }
        }
        for key in self.pools.iter_mut().flat_map(|pool| &mut pool.keys) {
            key.wrong = is_wrong(&key.place);
        }
    }
}

fn setting(field: &'static Field, sheet: &Sheet) -> Setting {
    let listed = |values: Vec<Value>, place: Option<&Place>| {
        place.map(|place| (Value::Array(values), place.clone()))
    };
    let given = match field.kind {
        Kind::Rules => listed(
            sheet.rules.iter().map(|rule| rule.shown()).collect(),
            sheet.rules.first().map(|rule| &rule.text().place),
        ),
        Kind::Errors => listed(
            sheet.errors.iter().map(|rule| rule.shown()).collect(),
            sheet.errors.first().map(|rule| &rule.place),
        ),
        Kind::Prices => sheet
            .prices_place
            .clone()
            .map(|place| (prices::shown(&sheet.prices), place)),
        Kind::Otlp if !sheet.scalars.contains_key(field.name) => {
            sheet.otlp.as_ref().and_then(OtlpEntry::shown)
        }
        Kind::Texts => sheet.lists.get(field.name).and_then(|texts| {
            let values = texts.iter().map(|text| {
                if SECRETS.contains(&field.name) {
                    credential::shown(&text.value).into()
                } else {
                    text.value.clone().into()
                }
            });
            listed(values.collect(), texts.first().map(|text| &text.place))
        }),
        _ => sheet
            .scalars
            .get(field.name)
            .map(|given| (typed(field, &given.value), given.place.clone())),
    };
    let (value, place) = match given {
        Some((value, place)) => (Some(value), place),
        None => (usual(field), Place::Default),
    };
    Setting {
        name: field.name,
        value,
        words: match field.usual {
            Usual::Words(words) if place == Place::Default => Some(words),
            _ => None,
        },
        place,
        wrong: false,
    }
}

/// The default, if it is a value.
fn usual(field: &Field) -> Option<Value> {
    match field.usual {
        Usual::Is(json) => serde_json::from_str(json).ok(),
        Usual::Words(_) | Usual::Required => None,
    }
}

/// The value that the text of a field is.
fn typed(field: &Field, text: &str) -> Value {
    let text = text.trim();
    match field.kind {
        Kind::Whole(..) => number(text).map(Value::from),
        Kind::Switch => yes_or_no(text).map(Value::from),
        _ => None,
    }
    .unwrap_or_else(|| mask_credentials(text).into())
}

fn pools(sheet: &Sheet) -> Vec<EffectivePool> {
    let mut pools = Vec::new();
    if !sheet.keys.is_empty() || sheet.pools.is_empty() {
        let target = sheet.scalars.get("target").cloned();
        pools.push(EffectivePool {
            name: String::new(),
            settings: settings_of(
                Some(&target.unwrap_or(Sourced {
                    value: DEFAULT_TARGET.to_owned(),
                    place: Place::Default,
                })),
                sheet.scalars.get("provider"),
            ),
            keys: sheet.keys.iter().map(key).collect(),
        });
    }
    pools.extend(sheet.pools.iter().map(|entry| EffectivePool {
        name: entry.name.value.clone(),
        settings: settings_of(entry.target.as_ref(), entry.provider.as_ref()),
        keys: entry.keys.iter().map(key).collect(),
    }));
    pools
}

/// `target` and `provider` of a pool.
fn settings_of(
    target: Option<&Sourced<String>>,
    provider: Option<&Sourced<String>>,
) -> Vec<Setting> {
    [("target", target), ("provider", provider)]
        .into_iter()
        .filter_map(|(name, given)| {
            let field = named(FIELDS, name)?;
            Some(Setting {
                name: field.name,
                value: given.map(|given| typed(field, &given.value)),
                words: match (given, field.usual) {
                    (None, Usual::Words(words)) => Some(words),
                    _ => None,
                },
                place: given.map_or(Place::Default, |given| given.place.clone()),
                wrong: false,
            })
        })
        .collect()
}

fn key(entry: &KeyEntry) -> EffectiveKey {
    let rest = KEY_FIELDS
        .iter()
        .filter(|field| !["key", "label"].contains(&field.name))
        .filter_map(|field| {
            let given = entry.rest.get(field.name)?;
            Some((field.name, typed(field, &given.value)))
        });
    EffectiveKey {
        label: None,
        key: credential::shown(&entry.key.value),
        rest: rest.collect(),
        place: entry.key.place.clone(),
        wrong: false,
    }
}
