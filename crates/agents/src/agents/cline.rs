//! Cline: `providers.json` of the CLI.
//!
//! Read in `@cline/core` and `@cline/llms` 0.0.86, of which `cline` 3.0.65 is made, and run: an entry's
//! `settings.baseUrl` wins over the URL that Cline brings along for the provider. The VS Code extension keeps
//! the same in VS Code's own storage. Cline sends no session, and no setting changes that.

use super::draft::{Draft, instead, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// Cline, the CLI.
#[derive(Debug)]
pub(super) struct Cline;

/// Providers that Cline brings along: their id and URL, and the URL for `apiLine: "china"` if there is one.
const BUILT_IN: &[(&str, &str, Option<&str>)] = &[
    ("openai-native", "https://api.openai.com/v1", None),
    ("openai-compatible", "https://api.openai.com/v1", None),
    ("anthropic", "https://api.anthropic.com/v1", None),
    ("openrouter", "https://openrouter.ai/api/v1", None),
    ("deepseek", "https://api.deepseek.com/v1", None),
    (
        "zai",
        "https://api.z.ai/api/paas/v4",
        Some("https://open.bigmodel.cn/api/paas/v4"),
    ),
    (
        "zai-coding-plan",
        "https://api.z.ai/api/coding/paas/v4",
        Some("https://open.bigmodel.cn/api/coding/paas/v4"),
    ),
    (
        "moonshot",
        "https://api.moonshot.ai/v1",
        Some("https://api.moonshot.cn/v1"),
    ),
    (
        "minimax",
        "https://api.minimax.io/anthropic/v1",
        Some("https://api.minimaxi.com/anthropic/v1"),
    ),
    ("xai", "https://api.x.ai/v1", None),
    ("groq", "https://api.groq.com/openai/v1", None),
    ("mistral", "https://api.mistral.ai/v1", None),
    ("together", "https://api.together.xyz/v1", None),
    ("fireworks", "https://api.fireworks.ai/inference/v1", None),
];

impl Agent for Cline {
    fn id(&self) -> &'static str {
        "cline"
    }

    fn name(&self) -> &'static str {
        "Cline"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cline"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let data = machine.var("CLINE_DATA_DIR").map_or_else(
            || machine.dir("CLINE_DIR", ".cline").join("data"),
            Into::into,
        );
        vec![Candidate {
            path: data.join("settings/providers.json"),
            format: Format::Json,
            evidence: true,
        }]
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        for document in documents {
            let value = &document.value;
            draft.urls(
                document,
                &Path::default(),
                |name| name == "baseUrl",
                |_| false,
            );
            for (id, url, china) in BUILT_IN {
                let settings = ["providers", id, "settings"];
                let at = |name| [settings.as_slice(), &[name]].concat();
                let url = match text(value, &at("apiLine")) {
                    Some("china") => china.unwrap_or(url),
                    _ => url,
                };
                // A login has `auth` and no key.
                if let Some(url) = instead(aim, url, "")
                    && text(value, &at("apiKey")).is_some()
                {
                    draft.add(document, Path::of(&at("baseUrl")), url);
                }
            }
        }
        if draft.leads() {
            draft.note(
                "Cline in VS Code keeps its settings out of reach: set the base URL there by hand (API \
                 Provider, \"Use custom base URL\").",
            );
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Cline CLI sessions"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine};

    #[test]
    fn an_entry_with_a_url_is_rewritten_and_one_with_only_a_key_gets_one() {
        let providers = document(
            "providers.json",
            json!({"version": 1, "lastUsedProvider": "openai-compatible", "providers": {
                "openai-compatible": {"settings": {
                    "provider": "openai-compatible", "apiKey": "k",
                    "baseUrl": "https://api.z.ai/api/coding/paas/v4",
                }},
                "zai": {"settings": {"provider": "zai", "apiKey": "k"}},
                "openai-native": {"settings": {"provider": "openai-native", "auth": {"accessToken": "t"}}},
                "groq": {"settings": {"provider": "groq", "apiKey": "k"}},
            }}),
        );
        let proposal = Cline.propose(&aim(), &machine(), &[providers]);
        assert_eq!(
            changes(&proposal),
            json!({
                "providers.openai-compatible.settings.baseUrl":
                    "http://127.0.0.1:4577/api/coding/paas/v4",
                "providers.zai.settings.baseUrl": "http://127.0.0.1:4577/api/paas/v4",
            })
        );
    }

    #[test]
    fn another_line_of_a_provider_is_another_url() {
        let providers = document(
            "providers.json",
            json!({"providers": {"zai": {"settings": {"apiKey": "k", "apiLine": "china"}}}}),
        );
        assert_eq!(
            changes(&Cline.propose(&aim(), &machine(), &[providers])),
            json!({})
        );
    }
}
