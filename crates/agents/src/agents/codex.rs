//! OpenAI Codex CLI: `config.toml`, its provider tables and `openai_base_url`.
//!
//! Source: @openai/codex 0.169.0, run; codex-rs/model-provider-info/src/lib.rs, codex-rs/core/src/config. A
//! profile chooses a provider table, but holds no URL; newer versions read it from `NAME.config.toml`, which
//! does and wins, as does a trusted project's `.codex/config.toml`. It sends its session id by itself.

use std::path::PathBuf;

use serde_json::Value;

use super::draft::{Draft, any_text, instead, names, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

const DEFAULT: &str = "https://api.openai.com/v1";
/// The URL of the built-in provider.
const OWN_URL: &str = "openai_base_url";

/// Codex.
#[derive(Debug)]
pub(super) struct Codex;

fn directory(machine: &Machine) -> PathBuf {
    machine.dir("CODEX_HOME", ".codex")
}

impl Agent for Codex {
    fn id(&self) -> &'static str {
        "codex"
    }

    fn name(&self) -> &'static str {
        "Codex"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["codex"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let own = directory(machine);
        let toml = |path, evidence| Candidate {
            path,
            format: Format::Toml,
            evidence,
        };
        let mut found = vec![
            Candidate {
                path: own.join("auth.json"),
                format: Format::Json,
                evidence: true,
            },
            toml(own.join("config.toml"), true),
        ];
        if let Some(project) = &machine.project {
            found.push(toml(project.join(".codex").join("config.toml"), false));
        }
        found
    }

    fn patterns(&self, machine: &Machine) -> Vec<Candidate> {
        vec![Candidate {
            path: directory(machine).join("*.config.toml"),
            format: Format::Toml,
            evidence: true,
        }]
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let own = directory(machine);
        let configs = || {
            documents
                .iter()
                .filter(|found| found.format == Format::Toml)
        };
        for document in configs() {
            draft.url(document, &Path::of(&[OWN_URL]));
            for profile in names(&document.value, &Path::of(&["profiles"])) {
                draft.url(document, &Path::of(&["profiles", profile, OWN_URL]));
            }
            for id in names(&document.value, &Path::of(&["model_providers"])) {
                let provider = Path::of(&["model_providers", id]);
                if draft.url(document, &provider.key("base_url"))
                    && let Some(key) = text(&document.value, &["model_providers", id, "env_key"])
                    && machine.var(key).is_none()
                {
                    draft.note(format!(
                        "Codex does not start with its provider {id} unless the environment variable {key} is set. Any \
                         text will do: the proxy replaces it by a key of the pool."
                    ));
                }
            }
        }
        draft.environment(&["OPENAI_BASE_URL"], "");

        let chooses_built_in = configs()
            .all(|found| text(&found.value, &["model_provider"]).is_none_or(|id| id == "openai"))
            || configs()
                .any(|found| any_text(&found.value, "model_provider", &|id: &str| id == "openai"));
        let has_url = configs().any(|found| found.value.get(OWN_URL).is_some())
            || draft.has_var(&["OPENAI_BASE_URL"]);
        if let Some(to) = instead(aim, DEFAULT, "").filter(|_| chooses_built_in && !has_url) {
            let place = own.join("config.toml");
            let auth = draft
                .document(&own.join("auth.json"))
                .map_or(&Value::Null, |found| &found.value);
            let login = auth.get("tokens").is_some_and(Value::is_object);
            let key = text(auth, &["OPENAI_API_KEY"]).is_some()
                || draft.has_var(&["CODEX_API_KEY", "OPENAI_API_KEY"]);
            if login && text(auth, &["auth_mode"]) != Some("apikey") {
                draft.note(format!(
                    "Codex is logged in with ChatGPT, which is left as it is. To use the pool's keys instead of the \
                     subscription, put {OWN_URL} = \"{to}\" at the top of {}.",
                    place.display()
                ));
            } else if key {
                draft.set(&place, Format::Toml, Path::of(&[OWN_URL]), to);
            }
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Codex sessions"
    }
}
