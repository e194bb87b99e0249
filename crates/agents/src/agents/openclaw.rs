//! OpenClaw: `openclaw.json` and the model list it makes of it.
//!
//! Read in `openclaw` 2026.9.6: `dist/zod-schema.core-*.mjs` (a provider has no `compat`, a model has; any
//! other key makes the whole file invalid), `dist/worker/worker.mjs` (which flags are read, and what is guessed
//! from the URL), `docs/concepts/models.md` (a URL in an agent's `models.json` wins over `openclaw.json`),
//! `docs/help/environment.md`.

use std::path::PathBuf;

use serde_json::Value;

use super::compat::{self, Reader};
use super::draft::{Draft, elements, instead, names, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// OpenClaw.
#[derive(Debug)]
pub(super) struct OpenClaw;

/// Providers whose URL OpenClaw brings along, as far as pools are made of them.
const BUILT_IN: &[(&str, &str)] = &[
    ("zai", "https://api.z.ai/api/coding/paas/v4"),
    ("openai", "https://api.openai.com/v1"),
    ("anthropic", "https://api.anthropic.com"),
    ("openrouter", "https://openrouter.ai/api/v1"),
    ("deepseek", "https://api.deepseek.com"),
    ("moonshot", "https://api.moonshot.ai/v1"),
];

/// Hosts where OpenClaw knows that a reasoning effort may be asked for; it asks no loopback URL for one.
const WITH_EFFORT: &[&str] = &[
    "api.openai.com",
    "openrouter.ai",
    "deepseek.com",
    "api.groq.com",
    "cerebras.ai",
];

impl Agent for OpenClaw {
    fn id(&self) -> &'static str {
        "openclaw"
    }

    fn name(&self) -> &'static str {
        "OpenClaw"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["openclaw"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let state = state(machine);
        let config = machine
            .var("OPENCLAW_CONFIG_PATH")
            .map_or_else(|| state.join("openclaw.json"), PathBuf::from);
        let file = |path, format| Candidate {
            path,
            format,
            evidence: true,
        };
        vec![
            file(state.join(".env"), Format::Dotenv),
            file(config, Format::Json),
        ]
    }

    fn patterns(&self, machine: &Machine) -> Vec<Candidate> {
        vec![Candidate {
            path: state(machine).join("agents/*/agent/models.json"),
            format: Format::Json,
            evidence: true,
        }]
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        for document in documents {
            let found = draft.urls(
                document,
                &Path::default(),
                |name| name == "baseUrl" || name.ends_with("_BASE_URL"),
                |_| false,
            );
            if document.format == Format::Dotenv {
                continue;
            }
            for providers in [Path::of(&["models", "providers"]), Path::of(&["providers"])] {
                for id in names(&document.value, &providers) {
                    provider(&mut draft, document, &found, &providers.key(id), id);
                }
            }
            defaults(&mut draft, &document.value);
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "the OpenClaw gateway"
    }
}

fn state(machine: &Machine) -> PathBuf {
    machine.var("OPENCLAW_STATE_DIR").map_or_else(
        || {
            machine
                .var("OPENCLAW_HOME")
                .map_or_else(|| machine.home.clone(), PathBuf::from)
                .join(".openclaw")
        },
        PathBuf::from,
    )
}

/// Turns the session on for the models of one provider that lead to a pool: whose URLs are `found`.
fn provider(draft: &mut Draft<'_>, document: &Document, found: &[Path], at: &Path, id: &str) {
    let text = |at: Path| at.find(&document.value).and_then(Value::as_str);
    for model in elements(&document.value, &at.key("models")) {
        let own = model.key("baseUrl");
        let url = if text(own.clone()).is_some() {
            own
        } else {
            at.key("baseUrl")
        };
        if !found.contains(&url) {
            continue;
        }
        let flags = model.key("compat");
        let dialect = text(model.key("api")).or_else(|| text(at.key("api")));
        if dialect.is_some_and(|dialect| dialect.ends_with("-responses")) {
            draft.add(document, flags.key("sendSessionIdHeader"), true);
            continue;
        }
        draft.add(document, flags.key("sendSessionAffinityHeaders"), true);
        if dialect.is_none_or(|dialect| dialect == "openai-completions")
            && let Some(url) = text(url)
        {
            compat::keep(draft, document, &flags, url, id, Reader::OpenClaw);
            let url = url.to_ascii_lowercase();
            if WITH_EFFORT.iter().any(|host| url.contains(host)) {
                draft.add(document, flags.key("supportsReasoningEffort"), true);
            }
        }
    }
}

/// Says what to do for providers that have a key but no URL. Their entries would need models too, which
/// OpenClaw otherwise brings along; and which URL of several it takes depends on how it was set up.
fn defaults(draft: &mut Draft<'_>, config: &Value) {
    let profiles = ["auth", "profiles"];
    for (id, url) in BUILT_IN {
        let with_key = names(config, &Path::of(&profiles)).into_iter().any(|name| {
            let at = |key| [profiles.as_slice(), &[name, key]].concat();
            text(config, &at("provider")) == Some(id)
                && text(config, &at("mode")) == Some("api_key")
        });
        let at = Path::of(&["models", "providers", id, "baseUrl"]);
        if let Some(url) = instead(draft.aim, url, "")
            && with_key
            && at.find(config).is_none()
        {
            draft.note(format!(
                "OpenClaw uses its own URL for {id}. To use the pool there: `openclaw config set {at} {url}`"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine};

    #[test]
    fn flags_stand_at_models_because_a_provider_must_not_have_them() {
        let config = document(
            "openclaw.json",
            json!({"models": {"providers": {"zai": {
                "baseUrl": "https://api.z.ai/api/coding/paas/v4",
                "api": "openai-completions",
                "models": [{"id": "glm-5.3"}, {"id": "x", "baseUrl": "https://example.com"}],
            }}}}),
        );
        let proposal = OpenClaw.propose(&aim(), &machine(), &[config]);
        let model = "models.providers.zai.models[0].compat";
        assert_eq!(
            changes(&proposal),
            json!({
                "models.providers.zai.baseUrl": "http://127.0.0.1:4577/api/coding/paas/v4",
                (format!("{model}.sendSessionAffinityHeaders")): true,
                (format!("{model}.maxTokensField")): "max_tokens",
                (format!("{model}.thinkingFormat")): "zai",
            })
        );
    }

    #[test]
    fn the_responses_dialect_sends_its_session_in_a_header_of_its_own() {
        let config = document(
            "openclaw.json",
            json!({"models": {"providers": {"openai": {
                "baseUrl": "https://api.openai.com/v1",
                "api": "openai-responses",
                "models": [{"id": "gpt"}],
            }}}}),
        );
        let proposal = OpenClaw.propose(&aim(), &machine(), &[config]);
        assert_eq!(
            changes(&proposal),
            json!({
                "models.providers.openai.baseUrl": "http://127.0.0.1:4577/openai/v1",
                "models.providers.openai.models[0].compat.sendSessionIdHeader": true,
            })
        );
    }

    #[test]
    fn urls_elsewhere_in_the_file_and_in_its_environment_follow() {
        let config = document(
            "openclaw.json",
            json!({
                "env": {"vars": {"OPENAI_BASE_URL": "https://api.openai.com/v1"}},
                "agents": {"defaults": {"memorySearch": {
                    "remote": {"baseUrl": "https://api.openai.com/v1/"},
                }}},
                "channels": {"mattermost": {"baseUrl": "https://chat.example.com"}},
            }),
        );
        let proposal = OpenClaw.propose(&aim(), &machine(), &[config]);
        assert_eq!(
            changes(&proposal),
            json!({
                "env.vars.OPENAI_BASE_URL": "http://127.0.0.1:4577/openai/v1",
                "agents.defaults.memorySearch.remote.baseUrl": "http://127.0.0.1:4577/openai/v1/",
            })
        );
    }

    #[test]
    fn a_provider_with_a_key_but_no_url_is_left_to_the_person() {
        let config = document(
            "openclaw.json",
            json!({"auth": {"profiles": {
                "zai:default": {"provider": "zai", "mode": "api_key"},
                "openai:me": {"provider": "openai", "mode": "oauth"},
            }}}),
        );
        let proposal = OpenClaw.propose(&aim(), &machine(), &[config]);
        assert_eq!(changes(&proposal), json!({}));
        assert_eq!(
            proposal.notes,
            ["OpenClaw uses its own URL for zai. To use the pool there: \
              `openclaw config set models.providers.zai.baseUrl \
              http://127.0.0.1:4577/api/coding/paas/v4`"]
        );
    }
}
