//! Mistral Vibe: `config.toml`.
//!
//! Source: mistralai/mistral-vibe 2026-07-01, vibe/core/config/{_settings,models}.py; Vibe 3.0.2, run. A trusted
//! project's `.vibe/config.toml` is read instead of the user's, not besides it. It sends its session id by itself.

use std::path::PathBuf;

use super::draft::{Draft, elements, instead, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

const DEFAULT: &str = "https://api.mistral.ai/v1";
const KEY: &str = "MISTRAL_API_KEY";
/// Lists of providers, and what is added to their URLs (the first one's have it).
const LISTS: &[(&str, &str)] = &[
    ("providers", ""),
    ("tts_providers", "/v1"),
    ("transcribe_providers", "/v1"),
];

/// Mistral Vibe.
#[derive(Debug)]
pub(super) struct MistralVibe;

fn directory(machine: &Machine) -> PathBuf {
    machine.dir("VIBE_HOME", ".vibe")
}

impl Agent for MistralVibe {
    fn id(&self) -> &'static str {
        "mistral-vibe"
    }

    fn name(&self) -> &'static str {
        "Mistral Vibe"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["vibe", "vibe-acp"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let own = directory(machine);
        let mut found = vec![
            Candidate {
                path: own.join(".env"),
                format: Format::Dotenv,
                evidence: true,
            },
            Candidate {
                path: own.join("config.toml"),
                format: Format::Toml,
                evidence: true,
            },
        ];
        if let Some(project) = &machine.project {
            found.push(Candidate {
                path: project.join(".vibe").join("config.toml"),
                format: Format::Toml,
                evidence: false,
            });
        }
        found
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let configs = || {
            documents
                .iter()
                .filter(|found| found.format == Format::Toml)
        };
        let env = draft.document(&directory(machine).join(".env"));
        let is_set = |name: &str| {
            machine.var(name).is_some()
                || env.is_some_and(|found| text(&found.value, &[name]).is_some())
        };
        for document in configs() {
            for (list, adds) in LISTS {
                for entry in elements(&document.value, &Path::of(&[list])) {
                    let leads = draft.root(document, &entry.key("api_base"), adds);
                    let key = entry.key("api_key_env_var");
                    if let Some(key) = key.find(&document.value).and_then(|key| key.as_str())
                        && leads
                        && !key.is_empty()
                        && !is_set(key)
                    {
                        draft.note(format!(
                            "Vibe asks for a key unless {key} is set, in the environment or in {}. Any text will do: the \
                             proxy replaces it by a key of the pool.",
                            directory(machine).join(".env").display()
                        ));
                    }
                }
            }
        }
        // A list in the file takes the place of the built-in one, and its other entries would be lost.
        if configs().all(|found| found.value.get("providers").is_none())
            && is_set(KEY)
            && let Some(to) = instead(aim, DEFAULT, "")
        {
            draft.note(format!(
                "Vibe uses its built-in provider. To use the pool, put these lines at the end of {}: [[providers]], \
                 name = \"mistral\", api_base = \"{to}\", api_key_env_var = \"{KEY}\", backend = \"mistral\".",
                directory(machine).join("config.toml").display()
            ));
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Vibe"
    }
}
