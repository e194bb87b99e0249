//! Zed: `settings.json` of its configuration directory.
//!
//! Read in Zed's source: `crates/settings_content/src/language_model.rs` (keys; `prompt_cache_key` is off unless
//! set, and an entry with `capabilities` needs all four of them), `crates/language_models/src/provider/*.rs`
//! (stored keys are found by the URL; the session is sent as `prompt_cache_key`), `crates/paths/src/paths.rs`;
//! snapshots of August 2026.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::draft::{Draft, elements, instead, names, text};
use crate::agent::{Agent, Candidate, Document, Machine, Os, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// Zed.
#[derive(Debug)]
pub(super) struct Zed;

/// Providers that Zed brings along: what `provider` of a chosen model says, their key in `language_models`, and
/// their URL. All of them are used with an API key; subscriptions have names of their own.
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("openai", "openai", "https://api.openai.com/v1"),
    ("anthropic", "anthropic", "https://api.anthropic.com"),
    ("deepseek", "deepseek", "https://api.deepseek.com/v1"),
    ("mistral", "mistral", "https://api.mistral.ai/v1"),
    ("openrouter", "open_router", "https://openrouter.ai/api/v1"),
    ("x_ai", "x_ai", "https://api.x.ai/v1"),
    (
        "google",
        "google",
        "https://generativelanguage.googleapis.com",
    ),
];

/// Where a model is chosen.
const CHOICES: &[&str] = &[
    "default_model",
    "inline_assistant_model",
    "commit_message_model",
    "thread_summary_model",
];

impl Agent for Zed {
    fn id(&self) -> &'static str {
        "zed"
    }

    fn name(&self) -> &'static str {
        "Zed"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["zed", "zeditor"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        vec![Candidate {
            path: directory(machine).join("settings.json"),
            format: Format::Json,
            evidence: true,
        }]
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let mut moved = false;
        for document in documents {
            let found = draft.urls(
                document,
                &Path::default(),
                |name| {
                    name == "api_url"
                        || name == "custom_model_api_url"
                        || name.ends_with("_BASE_URL")
                },
                |_| false,
            );
            moved |= found.iter().any(|at| {
                let url = at.find(&document.value).and_then(Value::as_str);
                url.is_some_and(|url| instead(aim, url, "").is_some())
            });
            for (provider, key, url) in BUILT_IN {
                let at = Path::of(&["language_models", key, "api_url"]);
                let chosen = |choice: &&str| {
                    text(&document.value, &["agent", choice, "provider"]) == Some(provider)
                };
                if let Some(url) = instead(aim, url, "")
                    && CHOICES.iter().any(chosen)
                    && at.find(&document.value).is_none()
                {
                    draft.add(document, at, url);
                    moved = true;
                }
            }
            let providers = Path::of(&["language_models", "openai_compatible"]);
            for name in names(&document.value, &providers) {
                let provider = providers.key(name);
                if found.contains(&provider.key("api_url")) {
                    session(&mut draft, document, &provider);
                }
            }
        }
        if moved {
            draft.note(
                "Zed stores keys by URL. Enter any text as the key of these providers again (Agent \
                 Settings, LLM Providers), unless a variable such as OPENAI_API_KEY has it.",
            );
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "nothing: Zed sees the change at once"
    }
}

fn directory(machine: &Machine) -> PathBuf {
    match machine.os {
        Os::Linux => machine
            .var("FLATPAK_XDG_CONFIG_HOME")
            .map_or_else(|| machine.xdg_config(), PathBuf::from)
            .join("zed"),
        Os::MacOs => machine.home.join(".config/zed"),
        Os::Windows => machine.dir("APPDATA", "AppData/Roaming").join("Zed"),
    }
}

/// Turns the session on for every model of a provider. `false` counts as not decided: Zed itself writes it
/// when a provider is added by its dialogue.
fn session(draft: &mut Draft<'_>, document: &Document, provider: &Path) {
    for model in elements(&document.value, &provider.key("available_models")) {
        let capabilities = model.key("capabilities");
        let Some(said) = capabilities.find(&document.value) else {
            // The other three as they are when nothing is said.
            let all = json!({
                "tools": true,
                "images": false,
                "parallel_tool_calls": false,
                "prompt_cache_key": true,
            });
            draft.add(document, capabilities, all);
            continue;
        };
        if said.get("prompt_cache_key") != Some(&Value::Bool(true)) {
            let at = capabilities.key("prompt_cache_key");
            draft.set(&document.path, document.format, at, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine, machine_with};

    #[test]
    fn every_model_that_leads_to_the_pool_sends_its_session() {
        let settings = document(
            "settings.json",
            json!({"language_models": {"openai_compatible": {
                "Z.ai": {
                    "api_url": "https://api.z.ai/api/coding/paas/v4",
                    "available_models": [
                        {"name": "glm-5.3", "max_tokens": 200_000},
                        {"name": "glm-5", "max_tokens": 200_000, "capabilities": {
                            "tools": true, "images": true, "parallel_tool_calls": false,
                            "prompt_cache_key": false,
                        }},
                    ],
                },
                "Other": {
                    "api_url": "https://example.com/v1",
                    "available_models": [{"name": "a", "max_tokens": 1}],
                },
            }}}),
        );
        let proposal = Zed.propose(&aim(), &machine(), &[settings]);
        let models = "language_models.openai_compatible.Z.ai.available_models";
        assert_eq!(
            changes(&proposal),
            json!({
                "language_models.openai_compatible.Z.ai.api_url":
                    "http://127.0.0.1:4577/api/coding/paas/v4",
                (format!("{models}[0].capabilities")): {
                    "tools": true, "images": false, "parallel_tool_calls": false,
                    "prompt_cache_key": true,
                },
                (format!("{models}[1].capabilities.prompt_cache_key")): true,
            })
        );
        assert_eq!(proposal.notes.len(), 1);
    }

    #[test]
    fn a_provider_zed_brings_along_is_pointed_at_the_pool_if_a_model_of_it_is_chosen() {
        let settings = |provider: &str| {
            document(
                "settings.json",
                json!({"agent": {"default_model": {"provider": provider, "model": "gpt"}}}),
            )
        };
        let proposal = Zed.propose(&aim(), &machine(), &[settings("openai")]);
        assert_eq!(
            changes(&proposal),
            json!({"language_models.openai.api_url": "http://127.0.0.1:4577/openai/v1"})
        );
        let proposal = Zed.propose(&aim(), &machine(), &[settings("zed.dev")]);
        assert_eq!(proposal, Proposal::default());
    }

    #[test]
    fn windows_and_macos_have_other_places() {
        let place = |os, vars: &[(&str, &str)]| {
            let machine = Machine {
                os,
                ..machine_with(vars)
            };
            Zed.candidates(&machine)[0].path.clone()
        };
        assert_eq!(
            place(Os::Linux, &[("XDG_CONFIG_HOME", "/x")]),
            PathBuf::from("/x/zed/settings.json")
        );
        assert_eq!(
            place(Os::MacOs, &[("XDG_CONFIG_HOME", "/x")]),
            PathBuf::from("/home/me/.config/zed/settings.json")
        );
        assert_eq!(
            place(Os::Windows, &[("APPDATA", "/roaming")]),
            PathBuf::from("/roaming/Zed/settings.json")
        );
    }
}
