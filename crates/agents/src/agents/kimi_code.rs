//! Kimi Code, and the old kimi-cli: `config.toml`.
//!
//! Source: MoonshotAI/kimi-code 2026-08-22, packages/agent-core-v2/src/app/kosongConfig and kosong/provider, its
//! documentation of configuration files; kimi-code 2.1.0, run. A model's `base_url` wins over its provider's,
//! that over the `env` table of the provider. Of the shell's environment only `KIMI_MODEL_BASE_URL` counts, for a
//! model of its own; the old one let `KIMI_BASE_URL` and `OPENAI_BASE_URL` win. It sends its session id by itself.

use std::path::PathBuf;

use serde_json::Value;

use super::draft::{Draft, instead, names, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// The base URL for each `type`, unless told otherwise, and what is added to it.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("kimi", "https://api.moonshot.ai/v1", ""),
    ("openai", "https://api.openai.com/v1", ""),
    ("openai_responses", "https://api.openai.com/v1", ""),
    ("anthropic", "https://api.anthropic.com", "/v1"),
    (
        "google-genai",
        "https://generativelanguage.googleapis.com",
        "/v1beta",
    ),
];
const SECTIONS: &[&str] = &["providers", "models", "services"];

/// Kimi Code.
#[derive(Debug)]
pub(super) struct KimiCode;

impl Agent for KimiCode {
    fn id(&self) -> &'static str {
        "kimi-code"
    }

    fn name(&self) -> &'static str {
        "Kimi Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["kimi", "kimi-code", "kimi-cli"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let toml = |directory: PathBuf| Candidate {
            path: directory.join("config.toml"),
            format: Format::Toml,
            evidence: true,
        };
        vec![
            toml(machine.dir("KIMI_SHARE_DIR", ".kimi")),
            toml(machine.dir("KIMI_CODE_HOME", ".kimi-code")),
        ]
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        for document in documents {
            for section in SECTIONS {
                for id in names(&document.value, &Path::of(&[section])) {
                    entry(&mut draft, document, &Path::of(&[section, id]));
                }
            }
        }
        draft.environment(
            &["KIMI_MODEL_BASE_URL", "KIMI_BASE_URL", "OPENAI_BASE_URL"],
            "",
        );
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Kimi Code"
    }
}

fn entry(draft: &mut Draft<'_>, document: &Document, entry: &Path) {
    let Some(value) = entry.find(&document.value) else {
        return;
    };
    let own = text(value, &["base_url"]);
    let default = DEFAULTS
        .iter()
        .find(|(kind, ..)| text(value, &["type"]) == Some(kind));
    let adds = default.map_or("", |(.., adds)| adds);
    // Such an entry belongs to a login, which writes its URL anew each time.
    if value.get("oauth").is_some_and(Value::is_object) {
        if let Some(to) = own.and_then(|url| instead(draft.aim, url, adds)) {
            draft.note(format!(
                "Kimi Code is logged in with a subscription ({entry}), which is left as it is. To use the pool's keys \
                 instead, add a provider with base_url = \"{to}\" and api_key = \"pool\" in {}, and models that name it.",
                document.path.display()
            ));
        }
        return;
    }
    draft.root(document, &entry.key("base_url"), adds);
    let env = entry.key("env");
    let mut env_has_url = false;
    for name in names(&document.value, &env) {
        if name.ends_with("_BASE_URL") {
            env_has_url = true;
            draft.root(document, &env.key(name), adds);
        }
    }
    let has_key = text(value, &["api_key"]).is_some()
        || names(&document.value, &env)
            .iter()
            .any(|name| name.ends_with("_API_KEY"));
    if let Some((_, url, adds)) = default
        && own.is_none()
        && !env_has_url
        && has_key
        && let Some(to) = instead(draft.aim, url, adds)
    {
        draft.set(&document.path, document.format, entry.key("base_url"), to);
    }
}
