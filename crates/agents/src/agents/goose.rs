//! Goose: `config.yaml`, and a JSON file for each custom provider.
//!
//! Source: block/goose, crates/goose/src/config/{base,paths,declarative_providers}.rs and
//! providers/{openai,anthropic,openrouter}.rs, 2026. A variable of the shell wins over the file. Keys are in the
//! keyring, so that choosing a provider must count as having one. It sends its session id by itself.

use std::path::PathBuf;

use serde_json::Value;

use super::draft::{Draft, any_text, instead, lead, text};
use crate::agent::{Agent, Candidate, Document, Machine, Os, Proposal};
use crate::aim::{Aim, Lead};
use crate::text::{Format, Path};

/// A built-in provider: its name, the setting with its URL, that URL, and what Goose adds to it.
const BUILT_IN: &[(&str, &str, &str, &str)] = &[
    (
        "anthropic",
        "ANTHROPIC_HOST",
        "https://api.anthropic.com",
        "/v1",
    ),
    (
        "google",
        "GOOGLE_HOST",
        "https://generativelanguage.googleapis.com",
        "/v1beta",
    ),
    ("openai", "OPENAI_HOST", "https://api.openai.com", "/v1"),
    (
        "openrouter",
        "OPENROUTER_HOST",
        "https://openrouter.ai",
        "/api/v1",
    ),
    ("xai", "XAI_HOST", "https://api.x.ai/v1", ""),
];
/// Those whose URL is fixed, unless a custom provider takes their place.
const FIXED: &[(&str, &str)] = &[
    ("custom_deepseek", "https://api.deepseek.com"),
    ("groq", "https://api.groq.com/openai/v1"),
    ("mistral", "https://api.mistral.ai/v1"),
    ("moonshot", "https://api.moonshot.ai/v1"),
];
/// Settings that choose a provider.
const CHOICES: &[&str] = &[
    "GOOSE_PROVIDER",
    "GOOSE_LEAD_PROVIDER",
    "GOOSE_PLANNER_PROVIDER",
    "GOOSE_SUBAGENT_PROVIDER",
];
/// What Goose does with a path that is one of these: it takes it for the whole of `v1/chat/completions`.
const PLAIN_PATHS: &[&str] = &["", "v1", "v1/"];

/// Goose.
#[derive(Debug)]
pub(super) struct Goose;

fn directory(machine: &Machine) -> PathBuf {
    if let Some(root) = machine.var("GOOSE_PATH_ROOT") {
        return PathBuf::from(root).join("config");
    }
    match (machine.os, machine.var("APPDATA")) {
        (Os::Windows, Some(data)) => PathBuf::from(data),
        (Os::Windows, None) => machine.home.join("AppData").join("Roaming"),
        _ => return machine.xdg_config().join("goose"),
    }
    .join("Block")
    .join("goose")
    .join("config")
}

fn adds(setting: &str) -> &'static str {
    BUILT_IN
        .iter()
        .find(|(_, name, ..)| *name == setting)
        .map_or("", |(.., adds)| adds)
}

impl Agent for Goose {
    fn id(&self) -> &'static str {
        "goose"
    }

    fn name(&self) -> &'static str {
        "Goose"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["goose"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        vec![Candidate {
            path: directory(machine).join("config.yaml"),
            format: Format::Yaml,
            evidence: true,
        }]
    }

    fn patterns(&self, machine: &Machine) -> Vec<Candidate> {
        vec![Candidate {
            path: directory(machine).join("custom_providers").join("*.json"),
            format: Format::Json,
            evidence: true,
        }]
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let place = directory(machine).join("config.yaml");
        let config = draft.document(&place);
        if let Some(config) = config
            && let Value::Object(members) = &config.value
        {
            for name in members.keys() {
                if name.ends_with("_HOST") || name.ends_with("_BASE_URL") {
                    draft.root(config, &Path::of(&[name]), adds(name));
                }
            }
        }
        for document in documents
            .iter()
            .filter(|found| found.format == Format::Json)
        {
            custom(&mut draft, document);
        }
        for (_, setting, _, adds) in BUILT_IN {
            draft.environment(&[setting], adds);
        }

        let chosen = |id: &str| {
            CHOICES.iter().any(|choice| {
                machine.var(choice) == Some(id)
                    || config.is_some_and(|config| {
                        any_text(&config.value, choice, &|name: &str| name == id)
                    })
            })
        };
        for (id, setting, url, adds) in BUILT_IN {
            let has_url = draft.has_var(&[setting])
                || config.is_some_and(|config| text(&config.value, &[setting]).is_some());
            if let Some(to) = instead(aim, url, adds).filter(|_| chosen(id) && !has_url) {
                draft.set(&place, Format::Yaml, Path::of(&[setting]), to);
            }
        }
        for (id, url) in FIXED {
            let replaced = documents
                .iter()
                .any(|found| text(&found.value, &["name"]) == Some(id));
            if let Some(to) = instead(aim, url, "").filter(|_| chosen(id) && !replaced) {
                draft.note(format!(
                    "The URL of Goose's provider {id} cannot be set. Add a custom provider with the URL \
                     {to}/chat/completions in goose configure, and choose it."
                ));
            }
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Goose"
    }
}

/// A custom provider. With a pool's name in it, a plain path is plain no longer and must be spelled out.
fn custom(draft: &mut Draft<'_>, document: &Document) {
    let at = Path::of(&["base_url"]);
    let Some(url) = text(&document.value, &["base_url"]) else {
        return;
    };
    let plain = |url: &str| {
        url.split_once("://").is_some_and(|(_, rest)| {
            PLAIN_PATHS.contains(&rest.split_once('/').map_or("", |(_, path)| path))
        })
    };
    let is_openai =
        text(&document.value, &["engine"]).is_some_and(|engine| engine.starts_with("openai"));
    let adds = if is_openai { "" } else { "/v1" };
    match lead(draft.aim, url, adds) {
        Lead::To(to)
            if is_openai
                && plain(url)
                && !plain(&to)
                && document.value.get("base_path").is_none() =>
        {
            let to = to.trim_end_matches('/');
            let end = if url.trim_end_matches('/').ends_with("/v1") {
                "/chat/completions"
            } else {
                "/v1/chat/completions"
            };
            draft.set(&document.path, document.format, at, format!("{to}{end}"));
        }
        _ => {
            draft.root(document, &at, adds);
        }
    }
}
