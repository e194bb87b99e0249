//! Qwen Code: `settings.json` and `.env`.
//!
//! Source: @qwen-code/qwen-code 0.24.4, run and read (AUTH_ENV_MAPPINGS, findEnvFiles, model configuration). For
//! a base URL, the entry of the model in `modelProviders` wins over the environment, that over
//! `security.auth.baseUrl`; a variable of the shell wins over `.env` files and over `env` of the settings. It
//! has no way to send a session id.

use std::path::PathBuf;

use super::draft::{Draft, elements, instead, names, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// The base URLs by what `security.auth.selectedType` or a list in `modelProviders` is called, where there is
/// one without being told.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("openai", "https://api.openai.com/v1", ""),
    (
        "gemini",
        "https://generativelanguage.googleapis.com",
        "/v1beta",
    ),
];
const VARIABLES: &[&str] = &["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"];

/// Qwen Code.
#[derive(Debug)]
pub(super) struct QwenCode;

fn directory(machine: &Machine) -> PathBuf {
    machine.dir("QWEN_HOME", ".qwen")
}

impl Agent for QwenCode {
    fn id(&self) -> &'static str {
        "qwen-code"
    }

    fn name(&self) -> &'static str {
        "Qwen Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["qwen"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let file = |path: PathBuf, format, evidence| Candidate {
            path,
            format,
            evidence,
        };
        let own = directory(machine);
        let mut found = vec![
            file(own.join("settings.json"), Format::Json, true),
            file(machine.home.join(".env"), Format::Dotenv, false),
            file(own.join(".env"), Format::Dotenv, true),
        ];
        if let Some(project) = &machine.project {
            let own = project.join(".qwen");
            found.push(file(own.join("settings.json"), Format::Json, false));
            found.push(file(project.join(".env"), Format::Dotenv, false));
            found.push(file(own.join(".env"), Format::Dotenv, false));
        }
        found
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let settings = || {
            documents
                .iter()
                .filter(|found| found.format == Format::Json)
        };
        for document in documents {
            let env = match document.format {
                Format::Dotenv => Path::default(),
                _ => Path::of(&["env"]),
            };
            for name in VARIABLES {
                draft.url(document, &env.key(name));
            }
        }
        for document in settings() {
            draft.urls(
                document,
                &Path::default(),
                |name| name == "baseUrl",
                |name| matches!(name, "mcpServers" | "env" | "customHeaders"),
            );
        }
        draft.environment(VARIABLES, "");

        // Models in a list without a URL use the client's own.
        for document in settings() {
            for &(kind, url, adds) in DEFAULTS {
                let list = Path::of(&["modelProviders", kind]);
                for entry in elements(&document.value, &list) {
                    if names(&document.value, &entry).is_empty() {
                        continue;
                    }
                    if let Some(to) = instead(aim, url, adds) {
                        draft.add(document, entry.key("baseUrl"), to);
                    }
                }
            }
        }
        let place = directory(machine).join("settings.json");
        let kind = settings()
            .filter_map(|found| text(&found.value, &["security", "auth", "selectedType"]))
            .next_back();
        let has_url = draft.has_var(VARIABLES)
            || documents.iter().any(|found| {
                text(&found.value, &["security", "auth", "baseUrl"]).is_some()
                    || VARIABLES.iter().any(|name| {
                        text(&found.value, &[name]).is_some()
                            || text(&found.value, &["env", name]).is_some()
                    })
            });
        let has_models = |kind: &str| {
            settings().any(|found| {
                !elements(&found.value, &Path::of(&["modelProviders", kind])).is_empty()
            })
        };
        if kind == Some("openai")
            && !has_url
            && !has_models("openai")
            && let Some(to) = instead(aim, DEFAULTS[0].1, "")
        {
            draft.set(
                &place,
                Format::Json,
                Path::of(&["security", "auth", "baseUrl"]),
                to,
            );
        }
        if kind == Some("qwen-oauth")
            && !draft.leads()
            && let Some(to) = instead(aim, "https://dashscope.aliyuncs.com/compatible-mode/v1", "")
        {
            draft.note(format!(
                "Qwen Code is logged in with a Qwen account, which is left as it is. To use the pool's keys instead, \
                 choose an API key with /auth, and {to} as its base URL."
            ));
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Qwen Code"
    }
}
