//! pi: `models.json` in its agent directory.
//!
//! Read in `@earendil-works/pi-coding-agent` 1.5.2 (`docs/models-configuration.md`, `dist/core/model-config.js`,
//! `dist/core/provider-composer.js`) and `@mariozechner/pi-coding-agent` 0.73.1, which has the same keys.
//! Providers that pi brings along get their URL from an entry of their name that has nothing but `baseUrl`.
//! The chat and messages dialects send the session only with `compat.sendSessionAffinityHeaders`; the
//! Responses dialect always does.

use std::path::PathBuf;

use serde_json::Value;

use super::compat::{self, Reader};
use super::draft::{BuiltIn, Draft, elements, instead, names, text};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// pi.
#[derive(Debug)]
pub(super) struct Pi;

/// A provider that pi brings along, from its catalog (`dist/providers/data/*.json` of pi-ai 1.5.2,
/// `dist/models.generated.js` of 0.73.1).
struct Known {
    built_in: BuiltIn,
    /// Why it is left to the person: an entry replaces the URL of all its models, and not all have this one.
    unless: Option<&'static str>,
    /// Whether its models speak the Responses dialect, which sends the session anyway.
    responses: bool,
}

const fn known(id: &'static str, url: &'static str, keys: &'static [&'static str]) -> Known {
    Known {
        built_in: BuiltIn { id, url, keys },
        unless: None,
        responses: false,
    }
}

const BUILT_IN: &[Known] = &[
    known(
        "zai",
        "https://api.z.ai/api/coding/paas/v4",
        &["ZAI_API_KEY"],
    ),
    Known {
        responses: true,
        ..known("openai", "https://api.openai.com/v1", &["OPENAI_API_KEY"])
    },
    known(
        "anthropic",
        "https://api.anthropic.com",
        &["ANTHROPIC_API_KEY"],
    ),
    Known {
        unless: Some("its Claude models, which have another path, will not work then"),
        ..known(
            "openrouter",
            "https://openrouter.ai/api/v1",
            &["OPENROUTER_API_KEY"],
        )
    },
    known(
        "deepseek",
        "https://api.deepseek.com",
        &["DEEPSEEK_API_KEY"],
    ),
    known(
        "moonshotai",
        "https://api.moonshot.ai/v1",
        &["MOONSHOT_API_KEY"],
    ),
    Known {
        unless: Some("pi before 1.3 wants it without the /v1"),
        ..known(
            "kimi-coding",
            "https://api.kimi.com/coding/v1",
            &["KIMI_API_KEY"],
        )
    },
    known(
        "minimax",
        "https://api.minimax.io/anthropic",
        &["MINIMAX_API_KEY"],
    ),
    known("groq", "https://api.groq.com/openai/v1", &["GROQ_API_KEY"]),
    known("mistral", "https://api.mistral.ai", &["MISTRAL_API_KEY"]),
    known(
        "together",
        "https://api.together.ai/v1",
        &["TOGETHER_API_KEY"],
    ),
];

const SESSION: &str = "sendSessionAffinityHeaders";

impl Agent for Pi {
    fn id(&self) -> &'static str {
        "pi"
    }

    fn name(&self) -> &'static str {
        "pi"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["pi"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let directory = directory(machine);
        ["settings.json", "auth.json", "models.json"]
            .into_iter()
            .map(|name| Candidate {
                path: directory.join(name),
                format: Format::Json,
                evidence: true,
            })
            .collect()
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let directory = directory(machine);
        let missing = Document {
            path: directory.join("models.json"),
            format: Format::Json,
            value: Value::Null,
        };
        let models = draft.document(&missing.path).unwrap_or(&missing);
        let auth = draft.document(&directory.join("auth.json"));
        let found = draft.urls(
            models,
            &Path::default(),
            |name| name == "baseUrl",
            |_| false,
        );
        let providers = Path::of(&["providers"]);
        for id in names(&models.value, &providers) {
            let provider = providers.key(id);
            let dialect = provider.key("api");
            for at in std::iter::once(provider.clone())
                .chain(elements(&models.value, &provider.key("models")))
            {
                let dialect = [at.key("api"), dialect.clone()]
                    .iter()
                    .find_map(|at| at.find(&models.value)?.as_str());
                if found.contains(&at.key("baseUrl")) {
                    session(&mut draft, models, &at, id, dialect);
                }
            }
        }
        for provider in BUILT_IN {
            built_in_url(&mut draft, models, auth, provider);
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "pi sessions"
    }
}

fn directory(machine: &Machine) -> PathBuf {
    machine.dir("PI_CODING_AGENT_DIR", ".pi/agent")
}

/// Turns the session on in the entry of a provider or a model whose URL leads to the pool, and writes down what
/// pi knew by the URL.
fn session(draft: &mut Draft<'_>, models: &Document, at: &Path, id: &str, dialect: Option<&str>) {
    if dialect.is_some_and(|dialect| dialect.ends_with("-responses")) {
        return;
    }
    let flags = at.key("compat");
    draft.add(models, flags.key(SESSION), true);
    if dialect.is_none_or(|dialect| dialect == "openai-completions")
        && let Some(url) = at.key("baseUrl").find(&models.value)
        && let Some(url) = url.as_str()
    {
        compat::keep(draft, models, &flags, url, id, Reader::Pi);
    }
}

/// Gives a provider that pi brings along its URL, if pi has a key for it.
fn built_in_url(
    draft: &mut Draft<'_>,
    models: &Document,
    auth: Option<&Document>,
    provider: &Known,
) {
    let id = provider.built_in.id;
    let entry = Path::of(&["providers", id]);
    let Some(url) = instead(draft.aim, provider.built_in.url, "") else {
        return;
    };
    if entry.key("baseUrl").find(&models.value).is_some() {
        return;
    }
    // What pi was logged in with comes before the file and the environment.
    match auth.and_then(|auth| text(&auth.value, &[id, "type"])) {
        Some("api_key") => {}
        Some(_) => {
            draft.note(format!(
                "pi is logged in at {id} without an API key. To use the pool there, run `/logout` in pi, \
                 store a key with `/login`, and run setup again."
            ));
            return;
        }
        None if draft.has_var(provider.built_in.keys)
            || text(&models.value, &["providers", id, "apiKey"]).is_some() => {}
        None => return,
    }
    if let Some(unless) = provider.unless {
        draft.note(format!(
            "pi uses its own URL for {id}. To use the pool there, set {} in models.json to {url}; {unless}.",
            entry.key("baseUrl")
        ));
        return;
    }
    draft.add(models, entry.key("baseUrl"), url);
    if !provider.responses {
        draft.add(models, entry.key("compat").key(SESSION), true);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{aim, changes, document, machine, machine_with};
    use crate::aim::Pool;

    #[test]
    fn an_entry_that_leads_to_the_pool_sends_its_session_and_keeps_what_pi_knew_by_the_url() {
        let models = document(
            "/home/me/.pi/agent/models.json",
            json!({"providers": {"glm": {
                "baseUrl": "https://api.z.ai/api/coding/paas/v4",
                "api": "openai-completions",
                "compat": {"thinkingFormat": "qwen"},
            }}}),
        );
        let proposal = Pi.propose(&aim(), &machine(), &[models]);
        assert_eq!(
            changes(&proposal),
            json!({
                "providers.glm.baseUrl": "http://127.0.0.1:4577/api/coding/paas/v4",
                "providers.glm.compat.sendSessionAffinityHeaders": true,
                "providers.glm.compat.supportsStore": false,
                "providers.glm.compat.supportsDeveloperRole": false,
                "providers.glm.compat.supportsReasoningEffort": false,
                "providers.glm.compat.maxTokensField": "max_tokens",
            })
        );
    }

    #[test]
    fn a_model_with_a_url_of_its_own_is_an_entry_too() {
        let models = document(
            "/home/me/.pi/agent/models.json",
            json!({"providers": {"mine": {
                "baseUrl": "https://example.com/v1",
                "api": "openai-completions",
                "models": [{"id": "a"}, {
                    "id": "b",
                    "api": "anthropic-messages",
                    "baseUrl": "https://api.z.ai/api/anthropic",
                }],
            }}}),
        );
        let proposal = Pi.propose(&aim(), &machine(), &[models]);
        assert_eq!(
            changes(&proposal),
            json!({
                "providers.mine.models[1].baseUrl": "http://127.0.0.1:4577/api/anthropic",
                "providers.mine.models[1].compat.sendSessionAffinityHeaders": true,
            })
        );
    }

    #[test]
    fn the_responses_dialect_and_a_decision_of_the_person_need_no_flag() {
        let models = document(
            "/home/me/.pi/agent/models.json",
            json!({"providers": {
                "a": {"baseUrl": "http://127.0.0.1:4577/v1", "api": "openai-responses"},
                "b": {
                    "baseUrl": "http://127.0.0.1:4577/v1",
                    "compat": {"sendSessionAffinityHeaders": false},
                },
            }}),
        );
        let proposal = Pi.propose(&aim(), &machine(), &[models]);
        assert_eq!(changes(&proposal), json!({}));
        assert!(proposal.already);
    }

    #[test]
    fn a_provider_pi_brings_along_is_pointed_at_the_pool_only_with_a_key_for_it() {
        let login = |kind: &str| {
            document(
                "/home/me/.pi/agent/auth.json",
                json!({"zai": {"type": kind}}),
            )
        };
        let proposal = Pi.propose(&aim(), &machine(), &[login("api_key")]);
        assert_eq!(
            changes(&proposal),
            json!({
                "providers.zai.baseUrl": "http://127.0.0.1:4577/api/coding/paas/v4",
                "providers.zai.compat.sendSessionAffinityHeaders": true,
            })
        );
        let proposal = Pi.propose(&aim(), &machine(), &[login("oauth")]);
        assert_eq!(changes(&proposal), json!({}));
        assert_eq!(proposal.notes.len(), 1);
        assert_eq!(Pi.propose(&aim(), &machine(), &[]), Proposal::default());
    }

    #[test]
    fn a_provider_whose_models_have_several_urls_is_left_to_the_person() {
        let aim = Aim {
            pools: vec![Pool {
                target: "https://openrouter.ai/api/v1".to_owned(),
                base: "http://127.0.0.1:4577".to_owned(),
            }],
            former: Vec::new(),
        };
        let machine = machine_with(&[("OPENROUTER_API_KEY", "k")]);
        let proposal = Pi.propose(&aim, &machine, &[]);
        assert_eq!(changes(&proposal), json!({}));
        assert!(proposal.notes[0].contains("http://127.0.0.1:4577/api/v1; its Claude models"));
    }
}
